// SPDX-License-Identifier: GPL-2.0-or-later
// The host's ways out, for decisions and explanations: read-only, nothing of it is State.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/names.h"
#include "base/net.h"
#include "base/result.h"

namespace bascule::kernel::os {

// A link that takes router advertisements now, and would stop when it began to forward.
struct AdvertisedLink {
    IfName name;
    bool has_default_route = false;  // that came in an advertisement
};
Result<std::vector<AdvertisedLink>> advertised_links();

// A default route of the main table.
struct WayOut {
    IpFamily family = IpFamily::v4;
    IfName device;
    bool advertised = false;
    std::optional<Ip> gateway{};
};
Result<std::vector<WayOut>> ways_out();

// The host's own addresses on a link that others can route to.
Result<std::vector<IpInterface>> addresses_of(const IfName& link);

// Those of its default routes that somebody set: not what router advertisements brought.
Result<std::vector<Ip>> gateways_of(const IfName& link);

}  // namespace bascule::kernel::os
