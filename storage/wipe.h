// SPDX-License-Identifier: GPL-2.0-or-later
// What a volume is overwritten with before it is let go.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/result.h"

namespace bascule::storage {

// One pass over all bytes: three bytes over and over, or random ones.
struct Pass {
    std::optional<std::array<std::uint8_t, 3>> pattern;  // none: random
    bool operator==(const Pass&) const = default;
};

// virStorageVolWipeAlgorithm
inline constexpr std::uint32_t kWipeZero = 0, kWipeTrim = 9;
// Empty for `trim`, which takes the blocks away. Code::invalid_argument for a number that is none.
Result<std::vector<Pass>> wipe_passes(std::uint32_t algorithm);

}  // namespace bascule::storage
