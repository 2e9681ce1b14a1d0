// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <optional>
#include <span>

#include "base/net.h"

namespace bascule::network {

// A subnet that overlaps none of `taken`: IPv4 a /24, the first free of 192.168.122.0 to 192.168.254.0, then of
// 10.128.0.0/9 and 172.16.0.0/12; IPv6 a /64 of a unique local prefix drawn at random (RFC 4193). Default routes, and
// halves of one, take nothing. None: everything is taken.
std::optional<Prefix> free_subnet(IpFamily family, std::span<const Prefix> taken);

}  // namespace bascule::network
