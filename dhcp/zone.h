// SPDX-License-Identifier: GPL-2.0-or-later
// What we answer ourselves on one network: names of guests and of <dns><host>, both ways.
//
// A guest is found by its bare name and by name.DOMAIN. Its name comes from its reservation, whether it runs or not,
// or from its lease, read from the same table that DHCP works on: an answer is never older than the lease. What is
// written down in the network's definition wins over what a guest claims.
//
// What never leaves the host: names of one label (address queries), everything below the domain when that is local
// only, and reverse names of the network's own subnets, wherever their prefixes end.
#pragma once

#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "dhcp/dns_message.h"
#include "dhcp/leases.h"
#include "dhcp/spec.h"

namespace bascule::dhcp {

class Zone {
public:
    explicit Zone(const Spec& spec);

    // None: not ours to answer.
    std::optional<Answer> answer(const Query& query, const LeaseTable& leases) const;
    bool is_our_domain(const DnsName& name) const { return !domain_.empty() && is_below(name, domain_); }
    bool forwards() const { return forwards_; }

private:
    void add(const std::string& name, const Ip& address, bool reverse);
    std::vector<Ip> addresses_of(const DnsName& name, const LeaseTable& leases) const;
    std::optional<Answer> reverse(const DnsName& name, std::uint16_t type, const LeaseTable& leases) const;

    DnsName domain_;
    bool domain_local_ = false, forwards_ = false;
    std::vector<Prefix> subnets_;
    std::unordered_map<DnsName, std::vector<Ip>> names_;
    std::unordered_set<DnsName> ancestors_;  // names that have names below: they exist, though empty
    std::unordered_map<Ip, DnsName> reverse_;
};

// What to do with a datagram that a client sent to us.
struct Ignore {};
struct Forward {
    Query query;
};
using Reaction = std::variant<Ignore, Bytes, Forward>;  // Bytes: the reply
// `from_host`: it came from an address of our own. The host's resolver may be our upstream and have us as its
// upstream for the domain: such a question is not passed on again.
Reaction react(ByteView datagram, const Zone& zone, const LeaseTable& leases, bool from_host);

}  // namespace bascule::dhcp
