// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/holds.h"

namespace bascule::dhcp {

namespace {

std::vector<Ip> keys(const std::unordered_map<Ip, MacAddr>& map) {
    std::vector<Ip> out;
    for (const auto& [address, port] : map) {
        out.push_back(address);
    }
    return out;
}

}  // namespace

std::optional<Ip> Offers::of(const MacAddr& port) const {
    const auto found = offers_.find(port);
    return found == offers_.end() ? std::nullopt : std::optional(found->second.address);
}

std::optional<MacAddr> Offers::holder(const Ip& address) const {
    const auto found = addresses_.find(address);
    return found == addresses_.end() ? std::nullopt : std::optional(found->second);
}

std::vector<Ip> Offers::put(const MacAddr& port, const Ip& address, Time until) {
    std::vector<Ip> changed = drop(port);
    if (const auto other = holder(address)) {
        drop(MacAddr(*other)).clear();  // the same address: it is reported below
    }
    if (offers_.size() >= kMost) {
        const auto room = drop(MacAddr(order_.begin()->second));
        changed.insert(changed.end(), room.begin(), room.end());
    }
    offers_[port] = {address, until};
    addresses_[address] = port;
    order_.insert({until, port});
    changed.push_back(address);
    return changed;
}

std::vector<Ip> Offers::drop(const MacAddr& port) {
    const auto found = offers_.find(port);
    if (found == offers_.end()) {
        return {};
    }
    const Offer offer = found->second;
    order_.erase({offer.until, port});
    addresses_.erase(offer.address);
    offers_.erase(found);
    return {offer.address};
}

std::vector<Ip> Offers::expire(Time now) {
    std::vector<Ip> changed;
    while (!order_.empty() && next_end() <= now) {
        const auto gone = drop(MacAddr(order_.begin()->second));
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
