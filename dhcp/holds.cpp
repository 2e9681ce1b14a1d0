// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/holds.h"

namespace bascule::dhcp {

namespace {

template <class Value>
std::vector<Ip> keys(const std::unordered_map<Ip, Value>& map) {
    std::vector<Ip> out;
    for (const auto& [address, value] : map) {
        out.push_back(address);
    }
    return out;
}

}  // namespace

std::optional<Ip> Offers::of(const ClientKey& client) const {
    const auto found = offers_.find(client);
    return found == offers_.end() ? std::nullopt : std::optional(found->second.address);
}

std::optional<ClientKey> Offers::holder(const Ip& address) const {
    const auto found = addresses_.find(address);
    return found == addresses_.end() ? std::nullopt : std::optional(found->second);
}

std::vector<Ip> Offers::put(const ClientKey& client, const Ip& address, Time until) {
    std::vector<Ip> changed = drop(client);
    if (const auto other = holder(address)) {
        drop(ClientKey(*other)).clear();  // the same address: it is reported below
    }
    if (offers_.size() >= kMost) {
        const auto room = drop(ClientKey(order_.begin()->second));
        changed.insert(changed.end(), room.begin(), room.end());
    }
    offers_[client] = {address, until};
    addresses_[address] = client;
    order_.insert({until, client});
    changed.push_back(address);
    return changed;
}

std::vector<Ip> Offers::drop(const ClientKey& client) {
    const auto found = offers_.find(client);
    if (found == offers_.end()) {
        return {};
    }
    const Offer offer = found->second;
    order_.erase({offer.until, client});
    addresses_.erase(offer.address);
    offers_.erase(found);
    return {offer.address};
}

std::vector<Ip> Offers::expire(Time now) {
    std::vector<Ip> changed;
    while (!order_.empty() && next_end() <= now) {
        const auto gone = drop(ClientKey(order_.begin()->second));
        changed.insert(changed.end(), gone.begin(), gone.end());
    }
    return changed;
}

std::vector<Ip> Offers::all() const { return keys(addresses_); }

std::vector<Ip> Quarantine::all() const { return keys(addresses_); }

bool Quarantine::put(const MacAddr& port, const Ip& address, Time until, std::size_t most) {
    const auto mine = per_port_.find(port);
    if (addresses_.size() >= most || (mine != per_port_.end() && mine->second >= kMostPerPort) || holds(address)) {
        return false;
    }
    addresses_[address] = port;
    ++per_port_[port];
    order_.insert({until, address});
    return true;
}

std::vector<Ip> Quarantine::expire(Time now) {
    std::vector<Ip> changed;
    while (!order_.empty() && next_end() <= now) {
        const Ip address = order_.begin()->second;
        order_.erase(order_.begin());
        const auto holder = addresses_.find(address);
        if (const auto count = per_port_.find(holder->second); --count->second == 0) {
            per_port_.erase(count);
        }
        addresses_.erase(holder);
        changed.push_back(address);
    }
    return changed;
}

}  // namespace bascule::dhcp
