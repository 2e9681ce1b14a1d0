// SPDX-License-Identifier: GPL-2.0-or-later
// DHCPv6: request in, outcome out, by the sections of RFC 9915.
#include "dhcp/server6.h"

#include <algorithm>
#include <set>

#include <gtest/gtest.h>

#include "tests/dhcp/fixtures.h"

namespace bascule::dhcp {
namespace {

using namespace test;

const Ip kServer6 = "2001:db8:1::1"_ip;
const std::vector<std::uint8_t> kDuid{0, 3, 0, 1, 0x52, 0x54, 0, 0, 0, 9};

Bytes to_bytes(const std::vector<std::uint8_t>& octets) {
    const auto view = std::as_bytes(std::span(octets));
    return {view.begin(), view.end()};
}

Spec network6() {
    Spec spec{.uuid = kUuid, .network = "six", .bridge = *IfName::parse("virbr6")};
    Subnet subnet{.server = {kServer6, 64}};
    subnet.ranges = {{"2001:db8:1::10"_ip, "2001:db8:1::13"_ip}};
    subnet.hosts = {{.mac = kReserved, .name = "db", .address = "2001:db8:1::99"_ip},
                    {.address = "2001:db8:1::98"_ip, .client_id = kDuid}};
    subnet.delegations = {{"2001:db8:f00::/56"_prefix, 64}};
    spec.subnets = {subnet};
    spec.domain = "example.test";
    return spec;
}

Packet6 from(Type6 type, std::vector<Ia> ias = {{.iaid = 1}}, const std::vector<std::uint8_t>& duid = {0, 4, 1, 2}) {
    Packet6 out;
    out.message = {.type = type, .xid = 0x123456, .client_id = to_bytes(duid), .ias = std::move(ias)};
    return out;
}

struct Dhcp6 : testing::Test {
    Dhcp6() { server.configure(spec); }

    Outcome6 handle(const Packet6& m, const MacAddr& port = kMac1, std::int64_t when = 0) {
        return server.handle(m, port, presence, at(when));
    }
    Packet6 to_us(Type6 type, std::vector<Ia> ias) {
        Packet6 out = from(type, std::move(ias));
        out.message.server_id = server.duid();
        return out;
    }
    Ia holding(const Ip& address, std::uint32_t iaid = 1) {
        return {.iaid = iaid, .addresses = {{.address = address}}};
    }
    std::optional<Ip> lease6(const MacAddr& port, std::int64_t when = 0, std::uint32_t iaid = 1) {
        const Outcome6 out = handle(to_us(Type6::request, {{.iaid = iaid}}), port, when);
        const auto& ias = out.reply->message.ias;
        return ias[0].addresses.empty() ? std::nullopt : std::optional(ias[0].addresses[0].address);
    }

    Spec spec = network6();
    Presence presence;
    Server6 server;
};

TEST_F(Dhcp6, SolicitIsAdvertisedWithoutALeaseAndRequestMakesIt) {
    const Outcome6 offer = handle(from(Type6::solicit));
    ASSERT_TRUE(offer.reply) << offer.why;
    const Message6& advert = offer.reply->message;
    EXPECT_EQ(advert.type, Type6::advertise);
    EXPECT_EQ(advert.xid, 0x123456U);
    EXPECT_EQ(advert.server_id, server.duid());
    EXPECT_EQ(advert.bytes(Opt6::preference)[0], std::byte{255});
    ASSERT_EQ(advert.ias.size(), 1U);
    const Ip offered = advert.ias[0].addresses.at(0).address;
    EXPECT_TRUE(offer.events.empty());
    const Outcome6 out = handle(to_us(Type6::request, {holding(offered)}));
    EXPECT_EQ(out.reply->message.type, Type6::reply);
    const Ia& ia = out.reply->message.ias[0];
    EXPECT_EQ(ia.addresses[0].address, offered);
    EXPECT_EQ(ia.addresses[0].valid, 3600U);
    EXPECT_EQ(ia.t1, 1800U);
    EXPECT_EQ(ia.t2, 2880U);
    ASSERT_EQ(out.events.size(), 1U);
    EXPECT_EQ(out.events[0].lease.iaid, 1U);
    EXPECT_EQ(out.events[0].lease.port, kMac1);
    EXPECT_EQ(out.events[0].lease.client_id, (std::vector<std::uint8_t>{0, 4, 1, 2}));
}

TEST_F(Dhcp6, RapidCommitNeedsOneMessage) {
    Packet6 m = from(Type6::solicit);
    m.message.rapid_commit = true;
    const Outcome6 out = handle(m);
    EXPECT_EQ(out.reply->message.type, Type6::reply);
    EXPECT_TRUE(out.reply->message.rapid_commit);
    EXPECT_EQ(out.events.size(), 1U);
}

TEST_F(Dhcp6, ReservationsByMacAndByDuidAndForOneIdentityAssociation) {
    EXPECT_EQ(lease6(kReserved), "2001:db8:1::99"_ip);
    const Outcome6 by_duid = handle(from(Type6::solicit, {{.iaid = 7}}, kDuid), kMac2);
    EXPECT_EQ(by_duid.reply->message.ias[0].addresses[0].address, "2001:db8:1::98"_ip);
    spec.subnets[0].hosts[1].iaid = 8;
    server.configure(spec);
    const Outcome6 other_ia = handle(from(Type6::solicit, {{.iaid = 7}}, kDuid), kMac2);
    EXPECT_NE(other_ia.reply->message.ias[0].addresses[0].address, "2001:db8:1::98"_ip);
}

TEST_F(Dhcp6, ClonesWithOneDuidGetDifferentAddresses) {
    std::set<Ip> seen;
    for (const MacAddr& port : {kMac1, kMac2, kMac3}) {
        seen.insert(*lease6(port));
    }
    EXPECT_EQ(seen.size(), 3U);
}

TEST_F(Dhcp6, ReservationsForOneAssociationComeBeforeThoseForAllAndThePortBeforeTheDuid) {
    const auto given = [&](std::uint32_t iaid, const MacAddr& port) {
        const Outcome6 out = handle(from(Type6::solicit, {{.iaid = iaid}}, kDuid), port);
        return out.reply->message.ias[0].addresses.at(0).address;
    };
    auto& hosts = spec.subnets[0].hosts;
    hosts.push_back({.mac = kMac1, .address = "2001:db8:1::50"_ip});
    hosts.push_back({.mac = kMac1, .address = "2001:db8:1::51"_ip, .iaid = 5});
    hosts.push_back({.address = "2001:db8:1::52"_ip, .client_id = kDuid, .iaid = 6});
    hosts.push_back({.address = "2001:db8:1::53"_ip, .iaid = 9});  // whoever says it
    server.configure(spec);
    EXPECT_EQ(given(1, kMac1), "2001:db8:1::50"_ip);
    EXPECT_EQ(given(5, kMac1), "2001:db8:1::51"_ip);
    EXPECT_EQ(given(1, kMac2), "2001:db8:1::98"_ip);
    EXPECT_EQ(given(6, kMac2), "2001:db8:1::52"_ip);
    EXPECT_EQ(lease6(kMac3, 0, 9), "2001:db8:1::53"_ip);
    EXPECT_NE(lease6(kMac3, 0, 10), "2001:db8:1::53"_ip);
    hosts.resize(2);  // they go while it serves
    server.configure(spec);
    EXPECT_EQ(given(6, kMac2), "2001:db8:1::98"_ip);
    EXPECT_NE(given(5, kMac1), "2001:db8:1::51"_ip);
}

TEST_F(Dhcp6, ReservedAddressesAreKeptFromOthers) {
    const Outcome6 out = handle(to_us(Type6::request, {holding("2001:db8:1::99"_ip)}));
    EXPECT_NE(out.reply->message.ias[0].addresses[0].address, "2001:db8:1::99"_ip);
}

TEST_F(Dhcp6, PrefixesAreDelegated) {
    const Outcome6 a = handle(to_us(Type6::request, {{.prefixes = true, .iaid = 5}}), kMac1);
    const Outcome6 b = handle(to_us(Type6::request, {{.prefixes = true, .iaid = 5}}), kMac2);
    const IaAddress first = a.reply->message.ias[0].addresses.at(0), second = b.reply->message.ias[0].addresses.at(0);
    EXPECT_EQ(first.length, 64U);
    EXPECT_TRUE("2001:db8:f00::/56"_prefix.contains(first.address));
    EXPECT_NE(first.address, second.address);
    EXPECT_TRUE(a.events[0].lease.delegated);
    EXPECT_EQ(a.events[0].lease.prefix_length, 64U);
}

TEST_F(Dhcp6, OurOwnSubnetIsNotDelegatedToWhoAsksForIt) {
    spec.subnets[0].delegations = {{"2001:db8::/47"_prefix, 64}};
    server.configure(spec);
    const Ia wish{.prefixes = true, .iaid = 5, .addresses = {{.address = "2001:db8:1::"_ip, .length = 64}}};
    const Outcome6 out = handle(to_us(Type6::request, {wish}), kMac1);
    EXPECT_NE(out.reply->message.ias[0].addresses.at(0).address, "2001:db8:1::"_ip);
}

TEST_F(Dhcp6, NothingLeftIsSaidInTheAssociation) {
    for (int i = 0; i < 4; ++i) {
        ASSERT_TRUE(lease6({{2, 0, 0, 0, 0, static_cast<std::uint8_t>(i)}}));
    }
    const Outcome6 out = handle(from(Type6::solicit));
    EXPECT_EQ(out.reply->message.ias[0].status, Status6::no_addresses);
    spec.subnets[0].delegations.clear();
    server.configure(spec);
    EXPECT_EQ(handle(from(Type6::solicit, {{.prefixes = true, .iaid = 1}})).reply->message.ias[0].status,
              Status6::no_prefixes);
}

TEST_F(Dhcp6, OnePortCannotEmptyThePoolWithNewAssociations) {
    spec.subnets[0].ranges = {{"2001:db8:1::100"_ip, "2001:db8:1::1ff"_ip}};
    server.configure(spec);
    std::size_t got = 0;
    for (std::uint32_t iaid = 0; iaid < 300; ++iaid) {
        got += lease6(kMac1, 0, iaid) ? 1 : 0;
    }
    EXPECT_EQ(got, Server6::kMostPerPort);
    EXPECT_TRUE(lease6(kMac2));
}

TEST_F(Dhcp6, RenewExtendsAndEndsWhatIsNoLongerGood) {
    const Ip address = *lease6(kMac1);
    const Outcome6 out = handle(to_us(Type6::renew, {holding(address)}), kMac1, 100);
    EXPECT_EQ(out.events[0].kind, LeaseEventKind::renewed);
    Ia wrong = holding(address);
    wrong.addresses.push_back({.address = "2001:db8:9::1"_ip});
    const Ia answer = handle(to_us(Type6::renew, {wrong}), kMac1, 101).reply->message.ias[0];
    ASSERT_EQ(answer.addresses.size(), 2U);
    EXPECT_EQ(answer.addresses[1].address, "2001:db8:9::1"_ip);
    EXPECT_EQ(answer.addresses[1].valid, 0U);
}

TEST_F(Dhcp6, RenewOfAnUnknownLeaseIsRecreatedWhenFreeElseNoBinding) {
    EXPECT_EQ(handle(to_us(Type6::renew, {holding("2001:db8:1::11"_ip)})).reply->message.ias[0].addresses[0].address,
              "2001:db8:1::11"_ip);
    EXPECT_EQ(handle(to_us(Type6::renew, {holding("2001:db8:7::11"_ip)}), kMac2).reply->message.ias[0].status,
              Status6::no_binding);
}

TEST_F(Dhcp6, RebindWithoutALeaseMovesTheClientToAGoodAddress) {
    const Ia answer = handle(from(Type6::rebind, {holding("2001:db8:7::11"_ip)})).reply->message.ias[0];
    ASSERT_EQ(answer.addresses.size(), 2U);
    EXPECT_TRUE(network6().subnets[0].ranges[0].addresses().contains(answer.addresses[0].address));
    EXPECT_EQ(answer.addresses[1].valid, 0U);
}

TEST_F(Dhcp6, ConfirmJudgesTheLinkAndIsSilentWithoutAddresses) {
    EXPECT_EQ(handle(from(Type6::confirm, {holding("2001:db8:1::77"_ip)})).reply->message.status, Status6::success);
    EXPECT_EQ(handle(from(Type6::confirm, {holding("2001:db8:2::77"_ip)})).reply->message.status, Status6::not_on_link);
    EXPECT_FALSE(handle(from(Type6::confirm)).reply);
}

TEST_F(Dhcp6, ReleaseFreesAndRemembers) {
    const Ip address = *lease6(kMac1);
    const Outcome6 wrong = handle(to_us(Type6::release, {holding("2001:db8:1::12"_ip)}), kMac2);
    EXPECT_EQ(wrong.reply->message.ias[0].status, Status6::no_binding);
    const Outcome6 out = handle(to_us(Type6::release, {holding(address)}));
    EXPECT_EQ(out.events[0].kind, LeaseEventKind::released);
    EXPECT_EQ(out.reply->message.status, Status6::success);
    EXPECT_EQ(lease6(kMac1, 9), address);
}

TEST_F(Dhcp6, ADeclinedAddressIsQuarantinedAndAPortCannotBurnThePool) {
    for (int i = 0; i < 6; ++i) {
        const auto address = lease6(kMac1, i);
        if (address) {
            handle(to_us(Type6::decline, {holding(*address)}), kMac1, i);
        }
    }
    EXPECT_TRUE(lease6(kMac2, 10));
    EXPECT_TRUE(lease6(kMac3, 10));
}

TEST_F(Dhcp6, AnInformationRequestThatNamesAnAssociationIsDropped) {  // RFC 9915 section 16.12
    EXPECT_FALSE(handle(from(Type6::information_request, {{.iaid = 1}})).reply);
}

TEST_F(Dhcp6, InformationRequestIsStateless) {
    Packet6 m = from(Type6::information_request, {});
    m.message.client_id.clear();
    m.message.asked = {Opt6::dns, Opt6::search, Opt6::refresh};
    const Outcome6 out = handle(m);
    ASSERT_TRUE(out.reply);
    EXPECT_EQ(out.reply->message.bytes(Opt6::dns).size(), 16U);
    EXPECT_EQ(as_text(out.reply->message.bytes(Opt6::search)), std::string_view("\7example\4test\0", 14));
    EXPECT_EQ(out.reply->message.bytes(Opt6::refresh).size(), 4U);
    EXPECT_TRUE(out.events.empty());
}

TEST_F(Dhcp6, MessagesForOthersOrWithoutAClientAreDropped) {
    Packet6 other = to_us(Type6::request, {{.iaid = 1}});
    other.message.server_id = to_bytes({0, 3, 0, 1, 1, 1, 1, 1, 1, 1});
    EXPECT_FALSE(handle(other).reply);
    EXPECT_FALSE(handle(from(Type6::request)).reply);  // no server identifier
    Packet6 nobody = from(Type6::solicit);
    nobody.message.client_id.clear();
    EXPECT_FALSE(handle(nobody).reply);
    Packet6 addressed = from(Type6::solicit);
    addressed.message.server_id = server.duid();
    EXPECT_FALSE(handle(addressed).reply);
    EXPECT_FALSE(handle(from(Type6::advertise)).reply);
}

TEST_F(Dhcp6, BootUrlFollowsTheArchitecture) {
    spec.boot = {{.file = "grub.efi", .when = {.archs = {7}}},
                 {.file = "http://[2001:db8:1::1]/x", .when = {.archs = {16}}}};
    server.configure(spec);
    Packet6 m = from(Type6::solicit);
    m.message.asked = {Opt6::boot_url};
    m.message.others = {{Opt6::client_arch, bytes({0, 7})}};
    EXPECT_EQ(as_text(handle(m).reply->message.bytes(Opt6::boot_url)), "tftp://[2001:db8:1::1]/grub.efi");
    m.message.others = {{Opt6::client_arch, bytes({0, 16})}};
    EXPECT_EQ(as_text(handle(m).reply->message.bytes(Opt6::boot_url)), "http://[2001:db8:1::1]/x");
}

TEST_F(Dhcp6, RelayedClientsAreKnownByWhatTheRelaySays) {  // RFC 6939
    Subnet far{.server = {"2001:db8:2::1"_ip, 64}, .ranges = {{"2001:db8:2::10"_ip, "2001:db8:2::20"_ip}}};
    far.relayed = true;
    spec.subnets.push_back(far);
    server.configure(spec);
    Packet6 m = to_us(Type6::request, {{.iaid = 1}});
    m.relays = {{.link = "2001:db8:2::1"_ip, .peer = "fe80::1"_ip, .interface_id = bytes({1, 2}), .client = kMac3}};
    const Outcome6 out = handle(m, kMac1);
    ASSERT_TRUE(out.reply) << out.why;
    EXPECT_EQ(out.events[0].lease.port, kMac3);
    const auto sent = decode6(encode6(*out.reply));
    EXPECT_FALSE(sent);  // a relay's reply is for relays
    EXPECT_EQ(out.reply->relays[0].interface_id, bytes({1, 2}));
    m.relays[0].link = "2001:db8:3::1"_ip;
    EXPECT_FALSE(handle(m).reply);
}

TEST_F(Dhcp6, ExpiryRevocationAndRestore) {
    const Ip address = *lease6(kMac1);
    EXPECT_EQ(server.tick(at(3601)).size(), 1U);
    ASSERT_EQ(lease6(kMac1, 4000), address);
    EXPECT_EQ(server.revoke(kMac1).size(), 1U);
    Server6 other;
    other.configure(spec);
    journal::Record record{.lease = {.network = kUuid,
                                     .port = kMac2,
                                     .address = "2001:db8:1::12"_ip,
                                     .prefix_length = 64,
                                     .expires = at(500).wall,
                                     .iaid = 1},
                           .active = true};
    other.restore({record}, at(0));
    EXPECT_EQ(other.leases().active(), 1U);
    EXPECT_EQ(other.tick(at(501)).size(), 1U);
}

// ---- the wire

TEST(Dhcp6Message, WhatIsEncodedIsDecodedAgain) {
    Packet6 m = from(Type6::solicit,
                     {{.iaid = 1, .addresses = {{.address = "2001:db8::5"_ip, .valid = 9}}},
                      {.prefixes = true, .iaid = 2, .addresses = {{.address = "2001:db8::"_ip, .length = 56}}}});
    m.message.asked = {Opt6::dns};
    m.message.rapid_commit = true;
    m.message.others = {{Opt6::elapsed, bytes({0, 1})}};
    EXPECT_EQ(*decode6(encode6(m)), m);
    m.relays = {{.hops = 1, .link = "::"_ip, .peer = "fe80::2"_ip},
                {.link = "2001:db8::1"_ip, .peer = "fe80::3"_ip, .interface_id = bytes({9}), .client = kMac2}};
    EXPECT_EQ(*decode6(encode6(m)), m);
}

TEST(Dhcp6Message, EveryTruncationIsRefusedOrWhole) {
    const Bytes whole = encode6(from(Type6::solicit, {{.iaid = 1, .addresses = {{.address = "2001:db8::5"_ip}}}}));
    for (std::size_t n = 0; n < whole.size(); ++n) {
        const auto cut = decode6(ByteView(whole).first(n));
        EXPECT_TRUE(!cut || encode6(*cut).size() <= n) << n;
    }
}

TEST(Dhcp6Message, OversizedDuidsAndTooManyRelaysAreRefused) {  // the class of CVE-2026-4892, CVE-2019-6472
    Packet6 m = from(Type6::solicit);
    m.message.client_id = Bytes(131);
    EXPECT_FALSE(decode6(encode6(m)));
    m.message.client_id = Bytes(130);
    EXPECT_TRUE(decode6(encode6(m)));
    m.relays.resize(kMostRelays, {.link = "::"_ip, .peer = "::"_ip});
    EXPECT_TRUE(decode6(encode6(m)));
    m.relays.push_back(m.relays[0]);
    EXPECT_FALSE(decode6(encode6(m)));
}

TEST(Dhcp6Message, TheMacInADuid) {
    EXPECT_EQ(mac_of_duid(to_bytes(kDuid)), "52:54:00:00:00:09"_mac);
    EXPECT_EQ(mac_of_duid(to_bytes({0, 1, 0, 1, 9, 9, 9, 9, 2, 0, 0, 0, 0, 7})), "02:00:00:00:00:07"_mac);
    EXPECT_FALSE(mac_of_duid(to_bytes({0, 4, 0, 1, 2, 0, 0, 0, 0, 7})));
}

}  // namespace
}  // namespace bascule::dhcp
