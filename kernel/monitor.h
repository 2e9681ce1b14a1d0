// SPDX-License-Identifier: GPL-2.0-or-later
// What others do to the host, told as it happens. A source of hints, not of truth: whoever hears of a change observes
// what it is about and plans anew (kernel/reconcile.h), so a hint too many costs a look and no more.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/names.h"
#include "base/net.h"

namespace bascule::kernel {

struct NewRoute {
    Prefix destination;
    std::string device;  // empty: none
    auto operator<=>(const NewRoute&) const = default;
};

struct Change {
    bool our_rules = false;            // somebody else's transaction touched our tables
    bool other_rules = false;          // or those of others only
    std::string by;                    // who did that: "nft (process 4711)"; empty when the kernel does not say
    std::set<IfName> links;            // appeared, changed, vanished, or their addresses or our routes by them did
    std::set<NewRoute> routes;         // of others, in the main table
    std::set<NewRoute> routes_gone{};  // likewise; not told of IPv4 routes that end with their link
    bool lost = false;                 // more happened than could be told: look at everything

    bool empty() const {
        return !our_rules && !other_rules && links.empty() && routes.empty() && routes_gone.empty() && !lost;
    }
};

class Monitor {
public:
    virtual ~Monitor() = default;
};

using OnChange = std::move_only_function<void(const Change&)>;

}  // namespace bascule::kernel
