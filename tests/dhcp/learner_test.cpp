// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/learner.h"

#include <gtest/gtest.h>

#include "dhcp/message6.h"
#include "tests/dhcp/fixtures.h"

namespace bascule::dhcp {

namespace {

using namespace test;

constexpr std::uint16_t kIp4 = 0x0800, kIp6 = 0x86dd, kArp = 0x0806;
constexpr std::uint32_t kPort = 7, kOther = 8;
const Ip kTen = "10.0.0.10"_ip, kEleven = "10.0.0.11"_ip;
const Ip kGlobal = "2001:db8::10"_ip, kRouter = "fe80::1"_ip;

Bytes udp(const Ip& from, const Ip& to, std::uint16_t from_port, std::uint16_t to_port, ByteView payload) {
    ByteWriter out;
    const auto length = static_cast<std::uint16_t>(payload.size() + 8);
    if (from.is_v4()) {
        out.u16(0x4500);
        out.u16(static_cast<std::uint16_t>(length + 20));
        out.u32(0);
        out.u16(0x4011);
        out.u16(0);
        out.u32(from.v4_value());
        out.u32(to.v4_value());
    } else {
        out.u32(0x60000000);
        out.u16(length);
        out.u16(0x1140);
        out.bytes(std::as_bytes(std::span(from.octets())));
        out.bytes(std::as_bytes(std::span(to.octets())));
    }
    out.u16(from_port);
    out.u16(to_port);
    out.u16(length);
    out.u16(0);
    out.bytes(payload);
    return out.take();
}

Bytes icmp6(const Ip& from, std::uint8_t hops, const Bytes& body) {
    ByteWriter out;
    out.u32(0x60000000);
    out.u16(static_cast<std::uint16_t>(body.size()));
    out.u8(58);
    out.u8(hops);
    out.bytes(std::as_bytes(std::span(from.octets())));
    out.bytes(std::as_bytes(std::span("ff02::1"_ip.octets())));
    out.bytes(body);
    return out.take();
}

Bytes neighbour(std::uint8_t type, const Ip& target) {
    ByteWriter out;
    out.u8(type);
    out.fill(7);
    out.bytes(std::as_bytes(std::span(target.octets())));
    return out.take();
}

Bytes advertisement(const Ip& prefix, std::uint8_t flags, std::uint32_t valid) {
    ByteWriter out;
    out.u8(134);
    out.fill(15);
    out.u8(3);
    out.u8(4);
    out.u8(64);
    out.u8(flags);
    out.u32(valid);
    out.u32(valid);
    out.u32(0);
    out.bytes(std::as_bytes(std::span(prefix.octets())));
    return out.take();
}

struct DhcpLearner : testing::Test {
    DhcpLearner() { watch(kPort, kMac1, false); }

    void watch(std::uint32_t index, const MacAddr& mac, bool any) {
        learner.watch(
            {.index = index, .name = *IfName::parse("vnet0"), .mac = mac, .any = any, .v4 = true, .v6 = true});
    }
    void hear(bool from_guest, std::uint16_t type, const Bytes& packet, std::uint32_t port = kPort) {
        learner.hear({.port = port, .from_guest = from_guest, .type = type, .packet = packet}, now);
    }
    void answer(MessageType type, const Ip& address, std::optional<std::uint32_t> seconds,
                std::uint32_t xid = 0x01020304, const MacAddr& mac = kMac1) {
        Message m = from_client(type, mac);
        m.reply = true;
        m.xid = xid;
        m.yiaddr = address;
        if (seconds) {
            m.options.put_u32(Opt::lease_time, *seconds);
        }
        hear(false, kIp4, udp(kServer, "255.255.255.255"_ip, 67, 68, encode(m)));
    }
    void ask(const Message& m) { hear(true, kIp4, udp("0.0.0.0"_ip, "255.255.255.255"_ip, 68, 67, encode(m))); }
    void arp(const Ip& address, const MacAddr& mac = kMac1, std::uint32_t port = kPort) {
        ByteWriter out;
        out.u32(0x00010800);
        out.u32(0x06040001);
        out.bytes(std::as_bytes(std::span(mac.octets)));
        out.u32(address.v4_value());
        out.fill(10);
        hear(true, kArp, out.take(), port);
    }
    void reply6(Type6 type, bool from_guest, const Ip& address, std::uint32_t valid) {
        Packet6 packet;
        packet.message.type = type;
        packet.message.client_id = Bytes(10, std::byte{1});
        packet.message.server_id = Bytes(10, std::byte{2});
        packet.message.ias = {{.iaid = 1, .addresses = {{.address = address, .preferred = valid, .valid = valid}}}};
        const auto [from, to] = from_guest ? std::pair(546, 547) : std::pair(547, 546);
        hear(from_guest, kIp6,
             udp(kRouter, "fe80::2"_ip, static_cast<std::uint16_t>(from), static_cast<std::uint16_t>(to),
                 encode6(packet)));
    }
    std::vector<Ip> addresses(std::uint32_t port = kPort) const {
        std::vector<Ip> out;
        for (const LearnedAddress& one : learner.addresses(port)) {
            out.push_back(one.address);
        }
        return out;
    }
    Time after(int seconds) const { return now + std::chrono::seconds(seconds); }

    Learner learner;
    Time now = at(0).time;
};

TEST_F(DhcpLearner, EveryAckToThePortTeachesForItsLeaseTime) {
    answer(MessageType::ack, kTen, 100);
    answer(MessageType::ack, kEleven, 0xffffffff);
    const std::vector<LearnedAddress> wanted{{kTen, after(100), true}, {kEleven, kEndOfTime, true}};
    EXPECT_EQ(learner.addresses(kPort), wanted);
    EXPECT_EQ(learner.take_changed(), std::set<std::uint32_t>{kPort});
    EXPECT_TRUE(learner.take_changed().empty());
    EXPECT_EQ(learner.next_tick(), after(100));
    learner.tick(after(100));
    EXPECT_EQ(addresses(), std::vector{kEleven});
    EXPECT_EQ(learner.next_tick(), kEndOfTime);
}

TEST_F(DhcpLearner, ARenewalMayBeShorter) {
    answer(MessageType::ack, kTen, 1000);
    answer(MessageType::ack, kTen, 10);
    EXPECT_EQ(learner.addresses(kPort).front().ends, after(10));
    EXPECT_EQ(learner.next_tick(), after(10));
}

TEST_F(DhcpLearner, OnlyAcksWithALeaseForThePortTeach) {
    answer(MessageType::offer, kTen, 100);
    answer(MessageType::ack, kTen, std::nullopt);
    answer(MessageType::ack, kTen, 0);
    answer(MessageType::ack, "0.0.0.0"_ip, 100);
    answer(MessageType::ack, "239.0.0.1"_ip, 100);
    answer(MessageType::ack, kTen, 100, 1, kMac2);
    Message m = from_client(MessageType::ack, kMac1);
    m.reply = true;
    m.yiaddr = kTen;
    m.options.put_u32(Opt::lease_time, 100);
    hear(true, kIp4, udp(kServer, "255.255.255.255"_ip, 67, 68, encode(m)));  // the guest's own words
    Bytes cut = udp(kServer, "255.255.255.255"_ip, 67, 68, encode(m));
    cut.pop_back();
    hear(false, kIp4, cut);
    Bytes fragment = udp(kServer, "255.255.255.255"_ip, 67, 68, encode(m));
    fragment[6] = std::byte{0x20};
    hear(false, kIp4, fragment);
    arp(kTen);
    EXPECT_TRUE(addresses().empty());
}

TEST_F(DhcpLearner, ReleaseAndDeclineAndTheNakToItsOwnRequestTake) {
    for (const int way : {0, 1, 2}) {
        answer(MessageType::ack, kTen, 100);
        answer(MessageType::ack, kEleven, 100);
        if (way == 0) {
            ask(release(kMac2, kTen));
            ask(release(kMac1, kServer));
            EXPECT_EQ(addresses().size(), 2U);
            ask(release(kMac1, kTen));
        } else if (way == 1) {
            ask(decline(kMac1, kTen));
        } else {
            ask(renewing(kMac1, kTen));
            answer(MessageType::nak, {}, std::nullopt, 5);
            EXPECT_EQ(addresses().size(), 2U);
            answer(MessageType::nak, {}, std::nullopt);
        }
        EXPECT_EQ(addresses(), std::vector{kEleven}) << way;
    }
}

TEST_F(DhcpLearner, APortHasNoMoreThanSixteenAddresses) {
    for (std::uint32_t i = 1; i <= 40; ++i) {
        answer(MessageType::ack, Ip::v4(0x0a000000 + i), 100);
    }
    EXPECT_EQ(addresses().size(), Learner::kMostAddresses);
}

TEST_F(DhcpLearner, FromAnyFrameOneAddressIsLearnedOnce) {
    watch(kPort, kMac1, true);
    arp("0.0.0.0"_ip);
    arp("224.0.0.1"_ip);
    arp("127.0.0.1"_ip);
    arp(kEleven, kMac2);
    EXPECT_TRUE(addresses().empty());
    arp(kTen);
    arp(kEleven);
    hear(true, kIp4, udp(kEleven, kServer, 1, 2, {}));
    EXPECT_EQ(addresses(), std::vector{kTen});
    learner.forget_seen(kPort);
    EXPECT_TRUE(addresses().empty());
    hear(true, kIp4, udp(kEleven, kServer, 1, 2, {}));
    EXPECT_EQ(addresses(), std::vector{kEleven});
}

TEST_F(DhcpLearner, ALeaseStandsAboveWhatWasSeenAndNothingIsSeenAfterIt) {
    watch(kPort, kMac1, true);
    arp(kTen);
    answer(MessageType::ack, kEleven, 10);
    EXPECT_EQ(addresses(), std::vector{kEleven});
    learner.tick(after(10));
    arp(kTen);
    EXPECT_TRUE(addresses().empty());
}

TEST_F(DhcpLearner, WhatOnePortHasAnotherDoesNotLearnFromItsOwnFrames) {
    watch(kOther, kMac2, true);
    answer(MessageType::ack, kTen, 100);
    arp(kTen, kMac2, kOther);
    EXPECT_TRUE(addresses(kOther).empty());
    learner.unwatch(kPort);
    arp(kTen, kMac2, kOther);
    EXPECT_EQ(addresses(kOther), std::vector{kTen});
}

TEST_F(DhcpLearner, ByDhcpv6AddressesComeAndGo) {
    reply6(Type6::reply, false, kGlobal, 100);
    ASSERT_EQ(addresses(), std::vector{kGlobal});
    EXPECT_EQ(learner.next_tick(), after(100));
    reply6(Type6::reply, false, kGlobal, 0);
    EXPECT_TRUE(addresses().empty());
    reply6(Type6::reply, true, kGlobal, 100);  // the guest's own words
    reply6(Type6::advertise, false, kGlobal, 100);
    EXPECT_TRUE(addresses().empty());
    reply6(Type6::reply, false, kGlobal, 100);
    reply6(Type6::release, true, kGlobal, 100);
    EXPECT_TRUE(addresses().empty());
}

TEST_F(DhcpLearner, OfNeighbourDiscoveryOnlyAddressesInAdvertisedPrefixesCount) {
    const Ip none = "::"_ip;
    watch(kPort, kMac1, true);
    hear(true, kIp6, icmp6(none, 255, neighbour(135, kGlobal)));
    EXPECT_TRUE(addresses().empty());
    hear(false, kIp6, icmp6(kRouter, 255, advertisement("2001:db8::"_ip, 0x80, 100)));  // not to make addresses of
    hear(false, kIp6, icmp6(kRouter, 64, advertisement("2001:db8::"_ip, 0xc0, 100)));   // from beyond a router
    hear(true, kIp6, icmp6("fe80::9"_ip, 255, advertisement("2001:db8::"_ip, 0xc0, 100)));
    hear(true, kIp6, icmp6(none, 255, neighbour(135, kGlobal)));
    EXPECT_TRUE(addresses().empty());
    hear(false, kIp6, icmp6(kRouter, 255, advertisement("2001:db8::"_ip, 0xc0, 100)));
    hear(true, kIp6, icmp6(none, 64, neighbour(135, kGlobal)));
    hear(true, kIp6, icmp6(none, 255, neighbour(135, "2001:db9::1"_ip)));
    hear(true, kIp6, icmp6(none, 255, neighbour(135, kRouter)));
    hear(true, kIp6, icmp6("2001:db9::1"_ip, 255, neighbour(135, kGlobal)));  // asks about somebody else
    EXPECT_TRUE(addresses().empty());
    hear(true, kIp6, icmp6(none, 255, neighbour(135, kGlobal)));
    EXPECT_EQ(learner.addresses(kPort).front(), (LearnedAddress{kGlobal, after(100), false}));
    hear(false, kIp6, icmp6(kRouter, 255, advertisement("2001:db8::"_ip, 0xc0, 500)));
    EXPECT_EQ(learner.addresses(kPort).front().ends, after(500));
    hear(true, kIp6, icmp6("fe80::77"_ip, 255, neighbour(136, "fe80::77"_ip)));
    EXPECT_EQ(addresses().size(), 2U);
}

TEST_F(DhcpLearner, ByDhcpAloneNeighbourDiscoveryTeachesNothing) {
    hear(false, kIp6, icmp6(kRouter, 255, advertisement("2001:db8::"_ip, 0xc0, 100)));
    hear(true, kIp6, icmp6("::"_ip, 255, neighbour(135, kGlobal)));
    EXPECT_TRUE(addresses().empty());
}

TEST_F(DhcpLearner, APortThatIsKnownKeepsWhatItLearnedAndANewOneBringsItAlong) {
    answer(MessageType::ack, kTen, 100);
    watch(kPort, kMac1, true);
    EXPECT_EQ(addresses(), std::vector{kTen});
    watch(kPort, kMac2, true);  // another one behind the same interface
    EXPECT_TRUE(addresses().empty());
    learner.watch({.index = kOther,
                   .name = *IfName::parse("vnet1"),
                   .mac = kMac3,
                   .v4 = true,
                   .known = {{kEleven, after(50), true}, {kGlobal, kEndOfTime, true}}});
    EXPECT_EQ(addresses(kOther), std::vector{kEleven});
    EXPECT_EQ(learner.next_tick(), after(50));
}

}  // namespace

}  // namespace bascule::dhcp
