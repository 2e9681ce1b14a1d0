// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/flows.h"

#include <fmt/format.h>

namespace bascule::kernel {

std::string format(const FlowFilter& filter) {
    std::string out = "flows of " + bascule::format(filter.end);
    if (filter.other) {
        out += " with " + bascule::format(*filter.other);
    } else if (filter.other_outside) {
        out += " with the outside";
    }
    if (filter.service) {
        out += fmt::format(" to port {}-{}", filter.service->first, filter.service->last);
    }
    return out;
}

}  // namespace bascule::kernel
