// SPDX-License-Identifier: GPL-2.0-or-later
// Which ports a network has, as the daemon says: the NICs of guests, and which of them are off. A MAC that is neither
// may be anything: a container plugged in by hand, a guest within a guest, an attacker.
#pragma once

#include <cstddef>
#include <unordered_map>
#include <vector>

#include "base/net.h"

namespace bascule::dhcp {

class Presence {
public:
    void know(const MacAddr& port, bool off = false) { ports_[port] = off; }
    void forget(const MacAddr& port) { ports_.erase(port); }
    void clear() { ports_.clear(); }

    bool is_known(const MacAddr& port) const { return ports_.contains(port); }
    // It cannot be using its lease.
    bool is_off(const MacAddr& port) const {
        const auto found = ports_.find(port);
        return found != ports_.end() && found->second;
    }
    std::size_t size() const { return ports_.size(); }
    std::vector<MacAddr> ports() const {
        std::vector<MacAddr> out;
        out.reserve(ports_.size());
        for (const auto& [port, off] : ports_) {
            out.push_back(port);
        }
        return out;
    }
    // How many known ports there are for which `has` is false.
    template <class Predicate>
    std::size_t without(Predicate has) const {
        std::size_t count = 0;
        for (const auto& [port, off] : ports_) {
            count += has(port) ? 0 : 1;
        }
        return count;
    }

private:
    std::unordered_map<MacAddr, bool> ports_;  // true: off
};

}  // namespace bascule::dhcp
