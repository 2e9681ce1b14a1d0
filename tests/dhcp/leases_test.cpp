// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/leases.h"

#include <gtest/gtest.h>

#include "dhcp/holds.h"
#include "dhcp/pool.h"
#include "tests/dhcp/fixtures.h"

namespace bascule::dhcp {
namespace {

using namespace test;

Ip number(std::uint32_t n) { return Ip::v4(0x0a000000U + n); }

TEST(AddressPool, FindsTheFirstFreeAddressGoingRound) {
    AddressPool pool({{number(10), number(13)}});
    EXPECT_EQ(pool.find(2, Claim::none), number(12));
    pool.set(number(12), Claim::taken);
    EXPECT_EQ(pool.find(2, Claim::none), number(13));
    pool.set(number(13), Claim::offered);
    EXPECT_EQ(pool.find(2, Claim::none), number(10));
    EXPECT_EQ(pool.find(2, Claim::offered), number(13));
    pool.set(number(10), Claim::remembered);
    pool.set(number(11), Claim::taken);
    EXPECT_EQ(pool.find(0, Claim::none), std::nullopt);
    EXPECT_EQ(pool.find(1, Claim::remembered), number(10));
    pool.set(number(12), Claim::none);
    EXPECT_EQ(pool.find(7, Claim::none), number(12));
}

TEST(AddressPool, OverlappingRangesCountOnce) {
    AddressPool pool(
        {{number(20), number(30)}, {number(25), number(40)}, {number(22), number(24)}, {number(100), number(100)}});
    EXPECT_EQ(pool.size(), 22U);
    EXPECT_TRUE(pool.contains(number(40)));
    EXPECT_TRUE(pool.contains(number(100)));
    EXPECT_FALSE(pool.contains(number(41)));
    EXPECT_EQ(pool.find(21, Claim::none), number(100));
}

TEST(AddressPool, AHugeRangeIsUsedUpToALimit) {
    AddressPool pool({{number(0), number(0xffffff)}});
    EXPECT_EQ(pool.size(), AddressPool::kMost);
    EXPECT_FALSE(pool.contains(number(0xffffff)));
    AddressPool whole({{Ip::v4(0U), Ip::v4(0xffffffffU)}});
    EXPECT_EQ(whole.size(), AddressPool::kMost);
}

TEST(AddressPool, EveryAddressOfAFullPoolIsFoundOnce) {
    AddressPool pool({{number(3), number(200)}, {number(300), number(301)}});
    std::set<Ip> found;
    while (const auto next = pool.find(found.size() * 77, Claim::none)) {
        ASSERT_TRUE(found.insert(*next).second);
        pool.set(*next, Claim::taken);
    }
    EXPECT_EQ(found.size(), 200U);
}

TEST(AddressPool, AnEmptyOneHasNothing) {
    EXPECT_FALSE(AddressPool().find(5, Claim::offered));
    EXPECT_FALSE(AddressPool({{"fd00::1"_ip, "fd00::9"_ip}}).find(0, Claim::none));
}

Lease lease_of(const MacAddr& port, const Ip& address, std::string name = {}) {
    return {.network = kUuid, .port = port, .address = address, .prefix_length = 24, .hostname = std::move(name)};
}

TEST(LeaseTable, APortHasOneAddressAndAnAddressOnePort) {
    LeaseTable table;
    table.bind(lease_of(kMac1, number(1)), at(10).time);
    table.bind(lease_of(kMac1, number(2)), at(10).time);
    EXPECT_EQ(table.by_address(number(1)), nullptr);
    EXPECT_EQ(table.size(), 1U);
    table.end({kMac1, {}});
    table.bind(lease_of(kMac2, number(2)), at(10).time);
    EXPECT_EQ(table.by_port(kMac1), nullptr);
    EXPECT_EQ(table.by_address(number(2))->lease.port, kMac2);
    EXPECT_EQ(table.active(), 1U);
}

TEST(LeaseTable, ExpiryIsInOrderAndOnlyOfActiveOnes) {
    LeaseTable table;
    table.bind(lease_of(kMac1, number(1)), at(30).time);
    table.bind(lease_of(kMac2, number(2)), at(10).time);
    table.bind(lease_of(kMac3, number(3)), kEndOfTime);
    EXPECT_EQ(table.next_end(), at(10).time);
    EXPECT_TRUE(table.expire(at(9).time).empty());
    EXPECT_EQ(table.expire(at(30).time).size(), 2U);
    EXPECT_EQ(table.next_end(), kEndOfTime);
    EXPECT_FALSE(table.by_port(kMac1)->active);
    EXPECT_TRUE(table.by_port(kMac3)->active);
}

TEST(LeaseTable, ANameBelongsToOneActiveLease) {
    LeaseTable table;
    table.bind(lease_of(kMac1, number(1), "a"), kEndOfTime);
    EXPECT_EQ(table.bind(lease_of(kMac2, number(2), "a"), kEndOfTime).lease.hostname, "");
    EXPECT_EQ(table.by_name("a")->lease.port, kMac1);
    table.end({kMac1, {}});
    EXPECT_EQ(table.by_name("a"), nullptr);
    table.end({kMac2, {}});
    table.bind(lease_of(kMac2, number(2), "a"), kEndOfTime);
    table.clear_name(table.by_port(kMac2)->lease.address);
    EXPECT_EQ(table.by_name("a"), nullptr);
}

TEST(LeaseTable, TheShownEndFollowsTheClockThatDoesNotJump) {
    LeaseTable table;
    Lease lease = lease_of(kMac1, number(1));
    lease.expires = at(60).wall;
    const Binding& binding = table.bind(lease, at(60).time);
    Now after_jump = at(20);
    after_jump.wall += std::chrono::hours(1000);
    EXPECT_EQ(as_of(binding, after_jump).expires, after_jump.wall + std::chrono::seconds(40));
}

TEST(Offers, AreBoundedAndTheOldestMakesRoom) {
    Offers offers;
    for (std::uint32_t i = 0; i < Offers::kMost + 10; ++i) {
        const MacAddr mac{{2, 0, 0, 0, static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i)}};
        (void)offers.put({mac, {}}, number(i), at(i).time);
    }
    EXPECT_EQ(offers.all().size(), Offers::kMost);
    EXPECT_FALSE(offers.holder(number(9)));
    EXPECT_TRUE(offers.holder(number(10)));
    EXPECT_EQ(offers.expire(at(20).time).size(), 11U);
}

TEST(Offers, AnAddressOfferedAnewLeavesItsFormerHolder) {
    Offers offers;
    (void)offers.put({kMac1, {}}, number(1), at(5).time);
    (void)offers.put({kMac2, {}}, number(1), at(6).time);
    EXPECT_FALSE(offers.of({kMac1, {}}));
    EXPECT_EQ(offers.holder(number(1))->port, kMac2);
    EXPECT_EQ(offers.next_end(), at(6).time);
}

TEST(Quarantine, IsLimitedPerPortAndInAll) {
    Quarantine quarantine;
    EXPECT_TRUE(quarantine.put(kMac1, number(1), at(9).time, 3));
    EXPECT_TRUE(quarantine.put(kMac1, number(2), at(9).time, 3));
    EXPECT_FALSE(quarantine.put(kMac1, number(3), at(9).time, 3)) << "two a port";
    EXPECT_TRUE(quarantine.put(kMac2, number(3), at(9).time, 3));
    EXPECT_FALSE(quarantine.put(kMac3, number(4), at(9).time, 3)) << "three in all";
    EXPECT_EQ(quarantine.expire(at(9).time).size(), 3U);
    EXPECT_TRUE(quarantine.put(kMac1, number(3), at(9).time, 3));
}

}  // namespace
}  // namespace bascule::dhcp
