// SPDX-License-Identifier: GPL-2.0-or-later
// The DHCPv6 leases of one network. A port may have several: one for each identity association.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "dhcp/leases.h"

namespace bascule::dhcp {

struct Key6 {
    MacAddr port;
    std::uint32_t iaid = 0;
    bool delegated = false;
    auto operator<=>(const Key6&) const = default;
};
Key6 key_of(const Lease& lease);

// Invariants: an association has one binding, an address one association.
class LeaseTable6 {
public:
    const Binding* by_key(const Key6& key) const;
    const Binding* by_address(const Ip& address) const;
    const Binding* by_name(const std::string& hostname) const;  // an active one of an address, if any
    std::vector<Key6> of_port(const MacAddr& port) const;
    std::size_t active_of(const MacAddr& port) const;

    const Binding& bind(Lease lease, Time ends) { return restore(std::move(lease), ends, true); }
    const Binding& restore(Lease lease, Time ends, bool active);
    // The lease is over, the address stays remembered. None when there was no active one.
    std::optional<Lease> end(const Key6& key);
    void forget(const Key6& key);

    std::vector<Lease> expire(Time now);
    Time next_end() const { return ends_.empty() ? kEndOfTime : ends_.begin()->first; }
    const std::map<Ip, Binding>& all() const { return bindings_; }
    std::size_t active() const { return active_; }
    std::uint64_t changes() const { return changes_; }  // as of LeaseTable
    // Forgets bindings that are over, the oldest end first, down to so many: a guest can make up new associations.
    void trim(std::size_t most_remembered);

private:
    void deactivate(Binding& binding);

    std::map<Ip, Binding> bindings_;
    std::map<Key6, Ip> keys_;
    std::set<std::pair<Time, Ip>> ends_, over_;  // active ones that end; remembered ones by their end
    std::multimap<std::string, Ip> names_;
    std::size_t active_ = 0;
    std::uint64_t changes_ = 0;
};

}  // namespace bascule::dhcp
