// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <optional>
#include <vector>

#include "base/result.h"
#include "kernel/ledger.h"
#include "kernel/linux/facts.h"
#include "kernel/monitor.h"

namespace bascule::daemon {

// Where the host's own routes lead: all but those by bridges of ours. Remembered while the monitor watches, so that a
// network that starts does not have the kernel list the routes of all the others; forgotten at each change that may
// concern them. The kernel does not tell of IPv4 routes that end with their link, so news of the link count, too.
class HostRoutes {
public:
    explicit HostRoutes(const kernel::Ledger& ledger) : ledger_(ledger) {}

    // From now on on_change() hears of everything.
    void watched() { watched_ = true; }
    void on_change(const kernel::Change& change);
    void forget() { known_.reset(); }

    bool remembered() const { return known_.has_value(); }
    Result<std::vector<kernel::os::RouteTo>> others();
    bool is_ours(const std::string& device) const;

private:
    const kernel::Ledger& ledger_;
    bool watched_ = false;
    std::optional<std::vector<kernel::os::RouteTo>> known_;
};

}  // namespace bascule::daemon
