// SPDX-License-Identifier: GPL-2.0-or-later
// What we answer ourselves on one network: names of guests and the records of its definition, both ways.
//
// A guest is found by its bare name and by name.DOMAIN. Who is called what comes, in this order, from what is written
// down in the network's definition, from the inventory (DnsGuest: the guests as they are defined, by MAC), and from
// what a client calls itself when it asks for its lease. Addresses are read from the same table that DHCP works on, and
// from reservations, so an answer is never older than the lease. An address's own name is found in the same order.
//
// A name with the first label * (RFC 4592) stands for all below the rest that nothing is known of; the nearest counts.
//
// An alias (CNAME) of the definition that leads to a name elsewhere is followed: the name is asked for, and comes back
// behind our record. What never leaves the host: names of one label (address queries), everything below the domain when
// that is local only, reverse names of the network's own subnets, wherever their prefixes end, and of private addresses
// that no forwarder is named for, and the special names of RFC 6761.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "dhcp/dns_message.h"
#include "dhcp/leases.h"
#include "dhcp/leases6.h"
#include "dhcp/spec.h"

namespace bascule::dhcp {

// The leases of both families. DHCPv6's are optional.
struct Leased {
    Leased(const LeaseTable& v4_leases, const LeaseTable6* v6_leases = nullptr) : v4(v4_leases), v6(v6_leases) {}
    const LeaseTable& v4;
    const LeaseTable6* v6;
};

class Zone {
public:
    explicit Zone(const Spec& spec);

    // None: not ours to answer.
    std::optional<Answer> answer(const Query& query, const Leased& leases) const;
    bool is_our_domain(const DnsName& name) const { return !domain_.empty() && is_below(name, domain_); }
    // Whether names that are not ours are asked for elsewhere: any, and this one though others are not.
    bool forwards() const { return forwards_; }
    bool has_forwarder(const DnsName& name) const;

    // The inventory changed: this NIC's guest has that name now; empty: it is nobody's.
    void set_guest(const MacAddr& mac, const std::string& name);
    // What was learned by set_guest() and is not in a Spec: names that guests had before. A guest that still calls
    // itself so is not found by it.
    void inherit(const Zone& before);

private:
    enum class Scope { forward, local, special };

    void add(const DnsName& given, bool plain, const auto& put);
    void add_host(const std::string& name, const Ip& address, bool reverse);
    void add_records(const DnsSettings& dns);
    void add_services(const std::vector<DnsService>& services);
    std::optional<std::string> guest_label(const DnsName& name) const;
    bool is_known(const DnsName& name) const;
    DnsName as_written(const DnsName& name) const;
    bool is_former(const MacAddr& mac, const std::string& label) const;
    std::vector<Ip> addresses_of(const DnsName& name, const Leased& leases) const;
    bool append(const DnsName& name, const DnsName& owner, std::uint16_t type, const Leased& leases, Answer& out) const;
    std::optional<Answer> special(const Query& query) const;
    std::optional<Answer> reverse(const DnsName& name, std::uint16_t type, const Leased& leases) const;
    DnsName name_of(const Ip& address, const Leased& leases) const;

    DnsName domain_;
    bool domain_local_ = false, forwards_ = false;
    std::optional<bool> forward_plain_;
    std::vector<Prefix> subnets_;
    std::vector<DnsName> forwarded_domains_;
    std::unordered_map<DnsName, std::vector<Ip>> names_;
    std::unordered_map<DnsName, std::vector<Record>> records_;  // TXT and SRV
    std::unordered_map<DnsName, DnsName> aliases_;
    bool has_wildcards_ = false;
    std::unordered_set<DnsName> ancestors_;  // names that have names below: they exist, though empty
    std::unordered_map<Ip, DnsName> reverse_;
    std::unordered_map<MacAddr, std::string> guest_names_;              // labels
    std::unordered_map<std::string, std::vector<MacAddr>> guest_macs_;  // by label
    std::unordered_map<MacAddr, std::vector<std::string>> former_;      // labels, by guest
    std::unordered_map<MacAddr, std::vector<Ip>> reserved_;             // addresses by MAC
    std::unordered_map<Ip, MacAddr> reserved_for_;
};

// What to do with a message that a client sent to us.
struct Ignore {};
struct Forward {
    Query query;
};
using Reaction = std::variant<Ignore, Bytes, Forward>;  // Bytes: the reply
// `from_host`: it came from an address of our own. The host's resolver may be our upstream and have us as its
// upstream for the domain: such a question is not passed on again. `stream`: it came by TCP.
Reaction react(ByteView datagram, const Zone& zone, const Leased& leases, bool from_host, bool stream = false);
// Whether what it reacts to was no whole query.
bool to_malformed(const Reaction& reaction);

}  // namespace bascule::dhcp
