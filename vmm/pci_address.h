// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <compare>
#include <cstdint>
#include <optional>

namespace bascule::vmm {

struct PciAddress {
    std::uint16_t domain = 0;
    std::uint8_t bus = 0, slot = 0, function = 0;  // slot 0..31, function 0..7
    std::optional<bool> multifunction{};           // at function 0: others of the slot may be there
    auto operator<=>(const PciAddress&) const = default;
};

}  // namespace bascule::vmm
