// SPDX-License-Identifier: GPL-2.0-or-later
// Addresses that are kept aside for a while without being leased. Neither is stored: a restart forgets them.
#pragma once

#include <cstddef>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/net.h"
#include "dhcp/leases.h"

namespace bascule::dhcp {

// An address, for whom, until when. At most one a client and one an address, at most `most` in all: the one that
// would end first makes room. Every change is told through the addresses returned, so that the pool's bitmaps
// can follow.
class Offers {
public:
    static constexpr std::size_t kMost = 1024;

    std::optional<Ip> of(const ClientKey& client) const;
    std::optional<ClientKey> holder(const Ip& address) const;
    [[nodiscard]] std::vector<Ip> put(const ClientKey& client, const Ip& address, Time until);
    [[nodiscard]] std::vector<Ip> drop(const ClientKey& client);
    [[nodiscard]] std::vector<Ip> expire(Time now);
    std::vector<Ip> all() const;
    Time next_end() const { return order_.empty() ? kEndOfTime : order_.begin()->first; }

private:
    struct Offer {
        Ip address;
        Time until;
    };

    std::unordered_map<ClientKey, Offer> offers_;
    std::unordered_map<Ip, ClientKey> addresses_;
    std::set<std::pair<Time, ClientKey>> order_;
};

// Addresses that a client found in use (DECLINE). A hostile guest must not burn the pool: so many a port, and so
// many in all, as put() is told.
class Quarantine {
public:
    static constexpr std::size_t kMostPerPort = 2;

    // False when the port or everybody has too many already.
    bool put(const MacAddr& port, const Ip& address, Time until, std::size_t most);
    bool holds(const Ip& address) const { return addresses_.contains(address); }
    [[nodiscard]] std::vector<Ip> expire(Time now);
    std::vector<Ip> all() const;
    Time next_end() const { return order_.empty() ? kEndOfTime : order_.begin()->first; }

private:
    std::unordered_map<Ip, MacAddr> addresses_;
    std::unordered_map<MacAddr, std::size_t> per_port_;
    std::set<std::pair<Time, Ip>> order_;
};

}  // namespace bascule::dhcp
