// SPDX-License-Identifier: GPL-2.0-or-later
// Options that hold others: a vendor's (43, 125; IPv6's 17) and whatever else is built so (175). Each is written down
// by itself, and those with the same code for the same clients go into one option.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dhcp/spec.h"

namespace bascule::network {

struct SubOption {
    std::uint8_t code = 43;                     // what it goes into
    bool ipv6 = false;                          // codes and lengths of 16 bits (RFC 9915 section 21.17)
    std::optional<std::uint32_t> enterprise{};  // 125 (RFC 3925) and IPv6's 17 are of one
    std::uint16_t number = 0;
    std::vector<std::uint8_t> value{};
    bool force = false;
    dhcp::ClientMatch when{};
    bool operator==(const SubOption&) const = default;
};

// Why it cannot be one, or nothing.
std::string what_is_wrong(const SubOption& option);
// What the service is to send for them.
std::vector<dhcp::ExtraOption> joined(const std::vector<SubOption>& all);

}  // namespace bascule::network
