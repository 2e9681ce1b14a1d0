// SPDX-License-Identifier: GPL-2.0-or-later
#include "network/subnets.h"

#include <algorithm>
#include <array>

#include "base/names.h"

namespace bascule::network {

namespace {

struct Pool {
    std::uint32_t first, last;  // the networks' addresses, in steps of a /24
};
constexpr std::array<Pool, 3> kPools{{{0xc0a87a00, 0xc0a8fe00}, {0x0a800000, 0x0affff00}, {0xac100000, 0xac1fff00}}};
constexpr unsigned kLength4 = 24, kLength6 = 64;
constexpr int kDraws = 16;

}  // namespace

std::optional<Prefix> free_subnet(IpFamily family, std::span<const Prefix> taken) {
    const auto is_free = [&](const Prefix& one) {
        return std::ranges::none_of(taken,
                                    [&](const Prefix& other) { return other.length > 1 && other.overlaps(one); });
    };
    if (family == IpFamily::v4) {
        for (const Pool& pool : kPools) {
            for (std::uint32_t at = pool.first; at <= pool.last; at += 1U << (32 - kLength4)) {
                if (const Prefix one = Prefix::of(Ip::v4(at), kLength4); is_free(one)) {
                    return one;
                }
            }
        }
        return std::nullopt;
    }
    for (int draw = 0; draw < kDraws; ++draw) {
        std::array<std::uint8_t, 16> octets = Uuid::random().octets;
        octets[0] = 0xfd;
        if (const Prefix one = Prefix::of(Ip::v6(octets), kLength6); is_free(one)) {
            return one;
        }
    }
    return std::nullopt;
}

}  // namespace bascule::network
