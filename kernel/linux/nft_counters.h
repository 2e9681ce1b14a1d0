// SPDX-License-Identifier: GPL-2.0-or-later
// Counters in sets of `table bridge bascule` that packets add to.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace bascule::kernel::os {

struct Counted {
    std::vector<std::string> key;  // its fields; a mark is a decimal number, a link that is gone its number
    std::uint64_t packets = 0, bytes = 0;
    bool operator==(const Counted&) const = default;
};
// What `nft -j list set` says. Pure.
Result<std::vector<Counted>> parse_counters(std::string_view json);

// Asks the kernel. A set that is not there has counted nothing.
Result<std::vector<Counted>> counters_of(std::string_view set);

}  // namespace bascule::kernel::os
