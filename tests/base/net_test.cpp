// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/net.h"

#include <gtest/gtest.h>

#include <random>

namespace bascule {
namespace {

using namespace literals;

TEST(MacAddr, IsReadInTheSpellingsThePeerAccepts) {
    EXPECT_EQ(parse_mac("52:54:00:12:34:56"), "52:54:00:12:34:56"_mac);
    EXPECT_EQ(parse_mac("52-54-00-AB-cd-56"), "52:54:00:ab:cd:56"_mac);
    EXPECT_EQ(parse_mac("5:4:0:1:2:3"), "05:04:00:01:02:03"_mac);
    for (const char* const bad : {"", "52:54:00:12:34", "52:54:00:12:34:56:78", "52:54:00:12:34:5g", "525400123456",
                                  "52:54:00:12:34:", ":54:00:12:34:56", "052:54:00:12:34:56", " 52:54:00:12:34:56",
                                  "52:54:00:12:34:-1", "52:54:00:12:34:+1", "0x:54:00:12:34:56"}) {
        EXPECT_EQ(parse_mac(bad), std::nullopt) << bad;
    }
}

TEST(MacAddr, KnowsItsKind) {
    EXPECT_TRUE("01:00:5e:00:00:01"_mac.is_multicast());
    EXPECT_TRUE("ff:ff:ff:ff:ff:ff"_mac.is_multicast());
    EXPECT_FALSE("52:54:00:00:00:01"_mac.is_multicast());
    EXPECT_TRUE(MacAddr().is_zero());
    EXPECT_EQ(format("52:54:00:AB:cd:0f"_mac), "52:54:00:ab:cd:0f");
}

TEST(Ip, ReadsBothFamiliesAndNothingElse) {
    EXPECT_EQ(format("192.168.122.1"_ip), "192.168.122.1");
    EXPECT_EQ(format("FD00:0:0:0:0:0:0:1"_ip), "fd00::1");
    EXPECT_TRUE("10.0.0.1"_ip.is_v4());
    EXPECT_TRUE("::"_ip.is_v6());
    EXPECT_EQ(parse_ipv4("::1"), std::nullopt);
    EXPECT_EQ(parse_ipv6("10.0.0.1"), std::nullopt);
    for (const char* const bad : {"", "10.0.0", "10.0.0.256", "10.0.0.01x", "10.0.0.1/8", "fe80::1%eth0",
                                  ":::", "1::2::3", " 10.0.0.1", "10.0.0.1 ", "0x0a.0.0.1"}) {
        EXPECT_EQ(parse_ip(bad), std::nullopt) << bad;
    }
    EXPECT_EQ(parse_ipv4(std::string_view("10.0.0.1\0x", 10)), std::nullopt);
    EXPECT_EQ(parse_ipv6(std::string_view("::1\0x", 5)), std::nullopt);
}

TEST(Ip, KnowsItsKind) {
    EXPECT_TRUE("0.0.0.0"_ip.is_unspecified());
    EXPECT_TRUE("::"_ip.is_unspecified());
    EXPECT_TRUE("239.0.0.1"_ip.is_multicast());
    EXPECT_TRUE("ff02::1"_ip.is_multicast());
    EXPECT_FALSE("240.0.0.1"_ip.is_multicast());
    EXPECT_TRUE("127.9.9.9"_ip.is_loopback());
    EXPECT_TRUE("::1"_ip.is_loopback());
    EXPECT_FALSE("::2"_ip.is_loopback());
    EXPECT_TRUE("169.254.1.1"_ip.is_link_local());
    EXPECT_TRUE("febf::1"_ip.is_link_local());
    EXPECT_FALSE("fec0::1"_ip.is_link_local());
    EXPECT_EQ("1.2.3.4"_ip.v4_value(), 0x01020304U);
    EXPECT_EQ("::1"_ip.v4_value(), 0U);
    EXPECT_EQ(Ip::v4(0x01020304), "1.2.3.4"_ip);
    EXPECT_LT("255.255.255.255"_ip, "::"_ip) << "IPv4 sorts before IPv6";
}

TEST(Ip, CountsOnAndWrapsWithinItsFamily) {
    EXPECT_EQ("10.0.0.255"_ip.plus(1), "10.0.1.0"_ip);
    EXPECT_EQ("255.255.255.255"_ip.plus(1), "0.0.0.0"_ip);
    EXPECT_EQ("fd00::ffff:ffff"_ip.plus(1), "fd00::1:0:0"_ip);
    EXPECT_EQ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"_ip.plus(2), "::1"_ip);
    EXPECT_EQ("10.0.0.1"_ip.plus(0), "10.0.0.1"_ip);
}

TEST(Prefix, HasNoHostBits) {
    EXPECT_EQ(Prefix::of("192.168.122.77"_ip, 24), "192.168.122.0/24"_prefix);
    EXPECT_EQ(Prefix::of("192.168.122.77"_ip, 99).length, 32U);
    EXPECT_EQ(parse_prefix("192.168.122.1/24"), std::nullopt);
    for (const char* const bad :
         {"10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.0/8x", "/8", "10.0.0.0/-1"}) {
        EXPECT_EQ(parse_prefix(bad), std::nullopt) << bad;
    }
    EXPECT_EQ(format("fd00::/8"_prefix), "fd00::/8");
    EXPECT_EQ("192.168.122.0/24"_prefix.last(), "192.168.122.255"_ip);
    EXPECT_EQ("fd00::/120"_prefix.last(), "fd00::ff"_ip);
    EXPECT_EQ(format(IpInterface{"192.168.122.1"_ip, 24}), "192.168.122.1/24");
    EXPECT_EQ((IpInterface{"192.168.122.1"_ip, 24}.prefix()), "192.168.122.0/24"_prefix);
}

TEST(Prefix, OverlapsWhereOneHoldsTheOther) {
    EXPECT_TRUE("10.0.0.0/8"_prefix.overlaps("10.1.0.0/16"_prefix));
    EXPECT_TRUE("10.1.0.0/16"_prefix.overlaps("10.0.0.0/8"_prefix));
    EXPECT_TRUE("0.0.0.0/0"_prefix.overlaps("10.0.0.0/8"_prefix));
    EXPECT_FALSE("10.0.0.0/9"_prefix.overlaps("10.128.0.0/9"_prefix));
    EXPECT_FALSE("0.0.0.0/0"_prefix.overlaps("::/0"_prefix));
    EXPECT_TRUE("fd00::/8"_prefix.contains("fdff::1"_ip));
    EXPECT_FALSE("fd00::/8"_prefix.contains("10.0.0.1"_ip));
}

TEST(Prefix, RandomOnesOverlapExactlyWhenAnEndIsInside) {
    std::mt19937 random(7);
    for (int i = 0; i < 2000; ++i) {
        const Prefix a = Prefix::of(Ip::v4(static_cast<std::uint32_t>(random() & 0x0f0f0000)), random() % 33);
        const Prefix b = Prefix::of(Ip::v4(static_cast<std::uint32_t>(random() & 0x0f0f0000)), random() % 33);
        const bool expected = a.first() <= b.last() && b.first() <= a.last();
        EXPECT_EQ(a.overlaps(b), expected) << format(a) << " " << format(b);
        EXPECT_TRUE(a.contains(a.last()));
        EXPECT_EQ(parse_prefix(format(a)), a);
    }
}

TEST(Netmask, AndLengthAreInverse) {
    for (unsigned length = 0; length <= 32; ++length) {
        EXPECT_EQ(netmask_length(netmask(length)), length);
    }
    EXPECT_EQ(netmask(24), "255.255.255.0"_ip);
    EXPECT_EQ(netmask(64, IpFamily::v6), "ffff:ffff:ffff:ffff::"_ip);
    EXPECT_EQ(netmask_length("255.0.255.0"_ip), std::nullopt);
    EXPECT_EQ(netmask_length("0.0.0.255"_ip), std::nullopt);
}

TEST(IpRange, HoldsItsEnds) {
    const IpRange range{"10.0.0.2"_ip, "10.0.0.9"_ip};
    EXPECT_TRUE(range.contains("10.0.0.2"_ip));
    EXPECT_TRUE(range.contains("10.0.0.9"_ip));
    EXPECT_FALSE(range.contains("10.0.0.10"_ip));
    EXPECT_FALSE(range.contains("::2"_ip));
    EXPECT_EQ(format(range), "10.0.0.2-10.0.0.9");
}

TEST(Hash, EqualValuesHashAlikeAndFamiliesDiffer) {
    EXPECT_EQ(std::hash<Ip>()("10.0.0.1"_ip), std::hash<Ip>()(Ip::v4(0x0a000001)));
    EXPECT_NE(std::hash<Ip>()("0.0.0.0"_ip), std::hash<Ip>()("::"_ip));
    EXPECT_NE(std::hash<MacAddr>()("52:54:00:00:00:01"_mac), std::hash<MacAddr>()("52:54:00:00:00:02"_mac));
}

}  // namespace
}  // namespace bascule
