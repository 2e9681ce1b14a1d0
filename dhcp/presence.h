// SPDX-License-Identifier: GPL-2.0-or-later
// Which ports a network has, as the daemon says: those of running guests, and those of guests that are off. A MAC that
// is neither may be anything: a container plugged in by hand, a guest within a guest, an attacker.
#pragma once

#include <cstddef>
#include <unordered_map>

#include "base/net.h"

namespace bascule::dhcp {

class Presence {
public:
    void up(const MacAddr& port) { ports_[port] = true; }
    void down(const MacAddr& port) { ports_[port] = false; }
    void forget(const MacAddr& port) { ports_.erase(port); }
    void clear() { ports_.clear(); }

    bool is_up(const MacAddr& port) const { return is(port, true); }
    bool is_down(const MacAddr& port) const { return is(port, false); }
    std::size_t size() const { return ports_.size(); }
    // How many ports are up for which `has` is false.
    template <class Predicate>
    std::size_t up_without(Predicate has) const {
        std::size_t count = 0;
        for (const auto& [port, there] : ports_) {
            count += there && !has(port) ? 1 : 0;
        }
        return count;
    }

private:
    bool is(const MacAddr& port, bool there) const {
        const auto found = ports_.find(port);
        return found != ports_.end() && found->second == there;
    }

    std::unordered_map<MacAddr, bool> ports_;  // true: up
};

}  // namespace bascule::dhcp
