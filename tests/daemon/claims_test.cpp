// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/claims.h"

#include <algorithm>
#include <random>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace bascule::daemon {
namespace {

Uuid uuid_of(unsigned number) {
    Uuid out;
    out.octets[0] = 1;
    out.octets[15] = static_cast<std::uint8_t>(number);
    return out;
}

network::Spec spec(unsigned number, const std::string& bridge, const std::vector<IpInterface>& addresses) {
    network::Spec out{.name = *ObjectName::parse(fmt::format("n{}", number))};
    out.uuid = uuid_of(number);
    out.bridge = IfName::parse(bridge);
    for (const IpInterface& address : addresses) {
        out.addresses.push_back({.address = address});
    }
    return out;
}

// Few and small, so that they often meet.
network::Spec random_spec(unsigned number, std::mt19937& random) {
    const auto below = [&](unsigned limit) { return std::uniform_int_distribution<unsigned>(0, limit - 1)(random); };
    std::vector<IpInterface> addresses;
    for (unsigned i = below(3); i > 0; --i) {
        if (below(2) == 0) {
            addresses.push_back({Ip::v4(0x0a000000U + below(1U << 12)), 18 + below(15)});
        } else {
            std::array<std::uint8_t, 16> octets{0xfd};
            octets[15] = static_cast<std::uint8_t>(below(256));
            addresses.push_back({Ip::v6(octets), 116 + below(13)});
        }
    }
    return spec(number, fmt::format("b{}", below(40)), addresses);
}

bool meet(const network::Spec& one, const network::Spec& other) {
    return one.bridge == other.bridge || std::ranges::any_of(one.addresses, [&](const auto& mine) {
               return std::ranges::any_of(other.addresses, [&](const auto& theirs) {
                   return mine.address.prefix().overlaps(theirs.address.prefix());
               });
           });
}

TEST(Claims, AreThoseThatAWalkThroughAllWouldFind) {
    std::mt19937 random(7);
    std::map<unsigned, network::Spec> all;
    Claims claims;
    for (int round = 0; round < 2000; ++round) {
        const unsigned number = std::uniform_int_distribution<unsigned>(0, 30)(random);
        if (const auto known = all.find(number); known != all.end()) {
            claims.remove(known->second);
            all.erase(known);
        } else {
            claims.add(all.emplace(number, random_spec(number, random)).first->second);
        }
        const network::Spec asked = random_spec(99, random);
        std::set<Uuid> expected;
        for (const auto& [other, one] : all) {
            if (meet(asked, one)) {
                expected.insert(one.uuid);
            }
        }
        ASSERT_EQ(claims.meeting(asked), expected) << "round " << round;
    }
}

TEST(Claims, ANetworkWithoutABridgeClaimsNone) {
    Claims claims;
    network::Spec one = spec(1, "b", {});
    one.bridge.reset();
    claims.add(one);
    EXPECT_TRUE(claims.meeting(one).empty());
}

}  // namespace
}  // namespace bascule::daemon
