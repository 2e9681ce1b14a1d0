// SPDX-License-Identifier: GPL-2.0-or-later
// Why a guest's message is not looked at, or comes to nothing; also where an error is the answer. Counted for each
// network, said in the log once a minute and told to the daemon, which shows it (bascule status).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace bascule::dhcp {

// In the order in which the daemon is told: new ones at the end.
enum class Drop : std::uint8_t {
    malformed,
    rate,
    flood,
    no_leases,
    dns_rate,
    off_link,
    exhausted,
    malformed_dns,
    malformed_tftp,
    malformed_http,
    malformed_frame6,
    malformed_solicitation,
    solicitation_rate,
    tftp_rate,
    full_queue,
    foreign,
};

inline constexpr std::array<std::string_view, 16> kDropNames{"malformed DHCP",
                                                             "DHCP beyond a port's rate",
                                                             "DHCP of unknown ports in a flood",
                                                             "DHCP without a lease file",
                                                             "DNS beyond a guest's rate",
                                                             "from elsewhere than the network",
                                                             "DHCP with no address left",
                                                             "malformed DNS",
                                                             "malformed TFTP",
                                                             "malformed HTTP",
                                                             "malformed IPv6 frames",
                                                             "malformed router solicitations",
                                                             "router solicitations beyond a port's rate",
                                                             "TFTP beyond a guest's rate",
                                                             "more than a socket's queue holds",
                                                             "DHCP in another NIC's name"};

// How often since the network is served, in that order.
using Drops = std::array<std::uint64_t, kDropNames.size()>;

}  // namespace bascule::dhcp
