// SPDX-License-Identifier: GPL-2.0-or-later
#include "network/spec.h"

#include <algorithm>

namespace bascule::network {

std::chrono::seconds LeaseTime::length() const {
    switch (unit) {
        case Unit::seconds: return std::chrono::seconds(expiry);
        case Unit::minutes: return std::chrono::minutes(expiry);
        case Unit::hours: return std::chrono::hours(expiry);
    }
    return {};
}

bool Spec::has_family(IpFamily family) const {
    return std::ranges::any_of(addresses, [&](const IpAddress& ip) { return ip.address.address.family() == family; });
}

}  // namespace bascule::network
