// SPDX-License-Identifier: GPL-2.0-or-later
// Why a guest's message is not looked at, or comes to nothing. Counted for each network, said in the log once a minute
// and told to the daemon, which shows it (bascule status).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace bascule::dhcp {

enum class Drop : std::uint8_t { malformed, rate, flood, no_leases, dns_rate, off_link, exhausted };

inline constexpr std::array<std::string_view, 7> kDropNames{"malformed DHCP",
                                                            "DHCP beyond a port's rate",
                                                            "DHCP of unknown ports in a flood",
                                                            "DHCP without a lease file",
                                                            "DNS beyond a guest's rate",
                                                            "from elsewhere than the network",
                                                            "DHCP with no address left"};

// How often since the network is served, in that order.
using Drops = std::array<std::uint64_t, kDropNames.size()>;

}  // namespace bascule::dhcp
