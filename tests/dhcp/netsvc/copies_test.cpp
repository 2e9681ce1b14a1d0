// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/netsvc/copies.h"

#include <gtest/gtest.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <linux/netlink.h>

#include <cstring>

namespace bascule::netsvc {

namespace {

void put_host(Bytes& out, auto number) {
    const auto* const from = reinterpret_cast<const std::byte*>(&number);
    out.insert(out.end(), from, from + sizeof number);
}

void put_attribute(Bytes& out, std::uint16_t type, const Bytes& value) {
    put_host(out, static_cast<std::uint16_t>(value.size() + 4));
    put_host(out, type);
    out.insert(out.end(), value.begin(), value.end());
    out.resize((out.size() + 3) & ~std::size_t{3});
}

Bytes octets(std::initializer_list<int> numbers) {
    Bytes out;
    for (const int number : numbers) {
        out.push_back(static_cast<std::byte>(number));
    }
    return out;
}

Bytes message(const Bytes& attributes, std::uint16_t type = (NFNL_SUBSYS_ULOG << 8) | NFULNL_MSG_PACKET) {
    Bytes out;
    put_host(out, static_cast<std::uint32_t>(20 + attributes.size()));
    put_host(out, type);
    out.resize(20);
    out.insert(out.end(), attributes.begin(), attributes.end());
    return out;
}

TEST(Copies, AFrameIsOfThePortThatItCameInByOrGoesOutOf) {
    Bytes in, out;
    put_attribute(in, NFULA_PACKET_HDR, octets({0x08, 0x06, 0, 0}));
    put_attribute(in, NFULA_IFINDEX_INDEV, octets({0, 0, 0, 5}));
    put_attribute(in, NFULA_PAYLOAD, octets({1, 2, 3}));
    put_attribute(out, NFULA_PACKET_HDR, octets({0x08, 0x00, 4, 0}));
    put_attribute(out, NFULA_IFINDEX_OUTDEV, octets({0, 0, 0, 9}));
    put_attribute(out, NFULA_IFINDEX_PHYSOUTDEV, octets({0, 0, 0, 6}));
    put_attribute(out, NFULA_PREFIX, octets({'t', 'o', 'o', ' ', 'm', 'a', 'n', 'y', 0}));
    Bytes both = message(in);
    const Bytes second = message(out);
    both.insert(both.end(), second.begin(), second.end());
    const auto frames = parse_log(both);
    ASSERT_EQ(frames.size(), 2U);
    EXPECT_EQ(frames[0].copy.port, 5U);
    EXPECT_TRUE(frames[0].copy.from_guest);
    EXPECT_EQ(frames[0].copy.type, 0x0806);
    EXPECT_EQ(frames[0].copy.packet.size(), 3U);
    EXPECT_FALSE(frames[0].too_many);
    EXPECT_EQ(frames[1].copy.port, 6U);
    EXPECT_FALSE(frames[1].copy.from_guest);
    EXPECT_TRUE(frames[1].too_many);
}

TEST(Copies, WhatIsNoFrameOfABridgesPortIsLeftOut) {
    Bytes no_header, forward, torn;
    put_attribute(no_header, NFULA_PAYLOAD, octets({1}));
    put_attribute(forward, NFULA_PACKET_HDR, octets({0x08, 0x00, 2, 0}));
    put_host(torn, std::uint16_t{200});
    put_host(torn, std::uint16_t{NFULA_PAYLOAD});
    for (const Bytes& one : {message(no_header), message(forward), message(torn), message(forward, 3), Bytes(7)}) {
        EXPECT_TRUE(parse_log(one).empty());
    }
}

}  // namespace

}  // namespace bascule::netsvc
