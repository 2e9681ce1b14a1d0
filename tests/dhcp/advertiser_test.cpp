// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/advertiser.h"

#include <gtest/gtest.h>

#include "dhcp/frame.h"
#include "tests/dhcp/fixtures.h"

namespace bascule::dhcp {
namespace {

using namespace test;

const MacAddr kRouter = "52:54:00:aa:bb:cc"_mac;

Spec network6() {
    Spec spec{.uuid = kUuid, .network = "six", .bridge = *IfName::parse("virbr6")};
    spec.subnets = {{.server = {"2001:db8:1::1"_ip, 64}}};
    return spec;
}

// An advertisement taken apart again.
struct Parsed {
    std::uint8_t flags = 0;
    std::uint16_t lifetime = 0;
    std::vector<std::pair<std::uint8_t, Bytes>> options;

    explicit Parsed(const Bytes& icmp) {
        ByteReader in(icmp);
        EXPECT_EQ(in.u8(), 134);
        in.skip(4);
        flags = in.u8();
        lifetime = in.u16();
        in.skip(8);
        while (in.left() > 0) {
            const std::uint8_t type = in.u8();
            const std::size_t length = std::size_t{in.u8()} * 8;
            const ByteView value = in.take(length - 2);
            options.emplace_back(type, Bytes(value.begin(), value.end()));
        }
        EXPECT_TRUE(in.ok());
    }
    std::vector<Bytes> of(std::uint8_t type) const {
        std::vector<Bytes> out;
        for (const auto& [code, value] : options) {
            if (code == type) {
                out.push_back(value);
            }
        }
        return out;
    }
};
Parsed advert(const Spec& spec, bool last = false) { return Parsed(encode_advertisement(spec, kRouter, last)); }
constexpr std::uint8_t kAutonomous = 0x40, kOnLink = 0x80;

TEST(RouterAdvertisement, WithoutDhcpGuestsMakeTheirOwnAddresses) {
    const Parsed a = advert(network6());
    EXPECT_EQ(a.flags, 0);
    EXPECT_EQ(a.lifetime, 1800);
    ASSERT_EQ(a.of(3).size(), 1U);
    EXPECT_EQ(a.of(3)[0][0], std::byte{64});
    EXPECT_EQ(a.of(3)[0][1], std::byte{kOnLink | kAutonomous});
    EXPECT_EQ(a.of(1)[0], bytes({0x52, 0x54, 0, 0xaa, 0xbb, 0xcc}));
    EXPECT_EQ(a.of(25).size(), 1U);  // we are the name server
}

TEST(RouterAdvertisement, WithRangesAddressesAreManaged) {
    Spec spec = network6();
    spec.subnets[0].ranges = {{"2001:db8:1::10"_ip, "2001:db8:1::20"_ip}};
    const Parsed a = advert(spec);
    EXPECT_EQ(a.flags, 0xc0);
    EXPECT_EQ(a.of(3)[0][1], std::byte{kOnLink});
    spec.subnets[0].autonomous = true;  // both
    EXPECT_EQ(advert(spec).of(3)[0][1], std::byte{kOnLink | kAutonomous});
    spec.advertising.managed = false;
    EXPECT_EQ(advert(spec).flags, 0x40);
}

TEST(RouterAdvertisement, WhatOnlyDhcpCanTellIsToBeAskedFor) {
    Spec spec = network6();
    spec.ntp_servers = {"10.0.0.1"_ip};
    EXPECT_EQ(advert(spec).flags, 0);
    spec.ntp_servers = {"2001:db8::9"_ip};
    EXPECT_EQ(advert(spec).flags, 0x40);
    spec.ntp_servers.clear();
    spec.options6 = {{.code = 59, .value = {'x'}}};
    EXPECT_EQ(advert(spec).flags, 0x40);
    spec.advertising.other = false;
    EXPECT_EQ(advert(spec).flags, 0);
}

TEST(RouterAdvertisement, SeveralPrefixesOnesOwnLifetimes) {
    Spec spec = network6();
    spec.subnets.push_back({.server = {"fd00:1::1"_ip, 64}});
    spec.subnets[1].valid = std::chrono::seconds(600);
    spec.subnets[1].preferred = std::chrono::seconds(300);
    const auto prefixes = advert(spec).of(3);
    ASSERT_EQ(prefixes.size(), 2U);
    ByteReader in(prefixes[1]);
    in.skip(2);
    EXPECT_EQ(in.u32(), 600U);
    EXPECT_EQ(in.u32(), 300U);
}

TEST(RouterAdvertisement, APrefixThatWentIsTakenBack) {  // RFC 9096
    const std::vector<Prefix> gone{"2001:db8:9::/64"_prefix};
    const auto prefixes = Parsed(encode_advertisement(network6(), kRouter, false, gone)).of(3);
    ASSERT_EQ(prefixes.size(), 2U);
    ByteReader in(prefixes[1]);
    EXPECT_EQ(in.u8(), 64);
    EXPECT_EQ(in.u8(), kOnLink | kAutonomous);
    EXPECT_EQ(in.u32(), 0U);
    EXPECT_EQ(in.u32(), 0U);
    in.skip(4);
    EXPECT_TRUE(std::ranges::equal(in.take(16), std::as_bytes(std::span(gone[0].network.octets()))));
}

TEST(RouterAdvertisement, APrefixThatIsNot64BitsLongIsNotForMakingUpAddresses) {  // RFC 4862
    Spec spec = network6();
    spec.subnets[0].server.length = 80;
    EXPECT_EQ(advert(spec).of(3)[0][1], std::byte{kOnLink});
}

TEST(RouterAdvertisement, AnIsolatedOrStoppingNetworkIsNoDefaultRouter) {
    Spec spec = network6();
    EXPECT_EQ(advert(spec, true).lifetime, 0);
    spec.gateway = false;
    EXPECT_EQ(advert(spec).lifetime, 0);
}

TEST(RouterAdvertisement, MtuNameServersSearchRoutesPref64AndPortal) {
    Spec spec = network6();
    spec.mtu = 1400;
    spec.dns_servers = {"2001:db8::53"_ip, "192.0.2.1"_ip};
    spec.domain = "lab.example";
    spec.advertising.routes = {"2001:db8:ff::/48"_prefix};
    spec.advertising.nat64 = "64:ff9b::/96"_prefix;
    spec.advertising.preference = 1;
    spec.captive_portal = "https://p/";
    const Parsed a = advert(spec);
    EXPECT_EQ(a.flags, 0x08);
    EXPECT_EQ(a.of(5)[0], bytes({0, 0, 0, 0, 0x05, 0x78}));
    EXPECT_EQ(a.of(25)[0].size(), 6U + 16U);
    EXPECT_EQ(as_text(ByteView(a.of(31)[0]).subspan(6, 13)), std::string_view("\3lab\7example\0", 13));
    EXPECT_EQ(a.of(24)[0].size(), 6U + 8U);
    EXPECT_EQ(a.of(24)[0][0], std::byte{48});
    const Bytes pref64 = a.of(38)[0];
    EXPECT_EQ(pref64.size(), 14U);
    EXPECT_EQ(std::to_integer<unsigned>(pref64[1]) & 7U, 0U);  // length code of /96
    EXPECT_EQ(as_text(ByteView(a.of(37)[0]).first(10)), "https://p/");
}

TEST(RouterAdvertisement, NoneWithoutAnIpv6Subnet) {
    EXPECT_FALSE(advertises(small_network()));
    EXPECT_TRUE(advertises(network6()));
    Spec off = network6();
    off.advertising.enabled = false;
    EXPECT_FALSE(advertises(off));
}

TEST(RouterSolicitation, IsCheckedAsTheRfcSays) {
    const Bytes plain = bytes({133, 0, 0, 0, 0, 0, 0, 0});
    EXPECT_TRUE(decode_solicitation(plain, 255, "fe80::1"_ip));
    EXPECT_FALSE(decode_solicitation(plain, 64, "fe80::1"_ip));  // came from beyond the link
    EXPECT_FALSE(decode_solicitation(ByteView(plain).first(7), 255, "fe80::1"_ip));
    const Bytes linked = bytes({133, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 9});
    EXPECT_EQ(decode_solicitation(linked, 255, "fe80::1"_ip)->link, "02:00:00:00:00:09"_mac);
    EXPECT_FALSE(decode_solicitation(linked, 255, "::"_ip));
    // CVE-2017-14492: an option of length 0, or longer than the message.
    EXPECT_FALSE(decode_solicitation(bytes({133, 0, 0, 0, 0, 0, 0, 0, 1, 0}), 255, "fe80::1"_ip));
    EXPECT_FALSE(decode_solicitation(bytes({133, 0, 0, 0, 0, 0, 0, 0, 1, 200, 1}), 255, "fe80::1"_ip));
}

TEST(Advertiser, BeginsFastGoesOnAtRandomWithinTheInterval) {
    std::uint32_t seed = 7;
    Advertiser advertiser([&seed] { return seed = seed * 1664525U + 1013904223U; });
    const Time start = at(0).time;
    advertiser.start(network6(), start);
    Time now = start;
    for (int i = 0; i < 20; ++i) {
        const Time before = now;
        now = advertiser.next();
        ASSERT_TRUE(advertiser.due(now));
        EXPECT_FALSE(advertiser.due(now));
        if (i > 6) {
            EXPECT_GE(now - before, std::chrono::seconds(200));
            EXPECT_LE(now - before, std::chrono::seconds(600));
        } else {
            EXPECT_LE(now - before, std::chrono::seconds(16));  // MAX_INITIAL_RTR_ADVERT_INTERVAL
        }
    }
}

TEST(Advertiser, AFloodOfSolicitationsCostsOnlyItsPort) {
    Advertiser advertiser([] { return 0U; });
    const Time now = at(0).time;
    advertiser.start(network6(), now);
    int answered = 0;
    for (int i = 0; i < 1000; ++i) {
        answered += advertiser.solicited(kMac1, false, now) ? 1 : 0;
    }
    EXPECT_EQ(answered, 4);
    EXPECT_TRUE(advertiser.solicited(kMac2, false, now));
    EXPECT_TRUE(advertiser.solicited(kMac1, false, now + std::chrono::seconds(1)));
}

TEST(Frame6, IsTakenApartWholeOrNotAtAll) {
    Bytes frame = bytes({0x33, 0x33, 0, 1, 0, 2, 2, 0, 0, 0, 0, 9, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 12, 17, 255});
    frame.resize(frame.size() + 32);
    for (const int octet : {2, 34, 2, 35, 0, 12, 0, 0, 0x64, 0x61, 0x74, 0x61}) {
        frame.push_back(static_cast<std::byte>(octet));
    }
    const auto whole = parse_frame6(frame);
    ASSERT_TRUE(whole);
    EXPECT_EQ(whole->from_mac, "02:00:00:00:00:09"_mac);
    EXPECT_EQ(whole->to_port, 547);
    EXPECT_EQ(as_text(whole->payload), "data");
    for (std::size_t n = 0; n < frame.size(); ++n) {
        EXPECT_FALSE(parse_frame6(ByteView(frame).first(n))) << n;
    }
}

TEST(Arp, AProbeNamesNobodyAndAnAnswerIsUnderstood) {
    const Bytes probe = arp_probe(kRouter, "192.168.122.9"_ip);
    EXPECT_EQ(probe.size(), 42U);
    EXPECT_FALSE(parse_arp(probe));
    Bytes answer = probe;
    answer[21] = std::byte{2};
    answer[28] = std::byte{192};
    answer[29] = std::byte{168};
    answer[30] = std::byte{122};
    answer[31] = std::byte{9};
    EXPECT_EQ(parse_arp(answer)->address, "192.168.122.9"_ip);
    EXPECT_FALSE(parse_arp(ByteView(answer).first(30)));
}

}  // namespace
}  // namespace bascule::dhcp
