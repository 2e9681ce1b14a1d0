// SPDX-License-Identifier: GPL-2.0-or-later
// What clients are told, and how they are known: reservations, relays, boot files, probes, fairness.
#include "dhcp/told.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "tests/dhcp/fixtures.h"

namespace bascule::dhcp {
namespace {

using namespace test;

Message asking(std::initializer_list<int> codes, Message m = discover(kMac1)) {
    m.options.put(Opt::parameters, bytes(codes));
    return m;
}

Message with(Message m, Opt code, std::string_view text) {
    m.options.put_text(code, text);
    return m;
}

std::vector<std::uint8_t> octets(std::initializer_list<int> values) {
    std::vector<std::uint8_t> out;
    for (const int value : values) {
        out.push_back(static_cast<std::uint8_t>(value));
    }
    return out;
}

Options offered(const Spec& spec, const Message& m) {
    Server server(spec);
    const Outcome out = server.handle(m, false, at(0));
    return out.reply ? out.reply->options : Options();
}

// ---- options

TEST(DhcpTold, RoutesAreSentAs121And249WithTheDefaultRouteAmongThem) {  // RFC 3442
    Spec spec = small_network();
    spec.routes = {{"10.0.0.0/8"_prefix, "192.168.122.7"_ip}};
    const Options out = offered(spec, asking({121, 249}));
    const Bytes expected = bytes({8, 10, 192, 168, 122, 7, 0, 192, 168, 122, 1});
    EXPECT_TRUE(std::ranges::equal(out.bytes(Opt::routes), expected));
    EXPECT_TRUE(std::ranges::equal(out.bytes(Opt::routes_microsoft), expected));
    EXPECT_FALSE(offered(spec, asking({3})).has(Opt::routes));
    spec.gateway = false;
    EXPECT_EQ(offered(spec, asking({121})).bytes(Opt::routes).size(), 6U);
}

TEST(DhcpTold, TimeServersSearchListPortalAndIpv6OnlyComeWhenAskedFor) {
    Spec spec = small_network();
    spec.ntp_servers = {"192.168.122.3"_ip};
    spec.search = {"a.example", "b"};
    spec.captive_portal = "https://portal.example/";
    spec.v6_only = 1800;
    const Options out = offered(spec, asking({42, 108, 114, 119}));
    EXPECT_EQ(out.ip(Opt::ntp), "192.168.122.3"_ip);
    EXPECT_EQ(out.u32(Opt::v6_only), 1800U);
    EXPECT_EQ(out.text(Opt::captive_portal), "https://portal.example/");
    EXPECT_EQ(out.text(Opt::search), std::string("\1a\7example\0\1b\0", 14));
    const Options plain = offered(spec, discover(kMac1));
    EXPECT_FALSE(plain.has(Opt::v6_only));  // RFC 8925: only to who asks
    EXPECT_FALSE(plain.has(Opt::search));
}

TEST(DhcpTold, OtherNameServersReplaceUs) {
    Spec spec = small_network();
    spec.dns_servers = {"192.168.122.5"_ip, "192.168.122.6"_ip, "fd00::1"_ip};
    EXPECT_EQ(offered(spec, asking({6})).bytes(Opt::dns).size(), 8U);
}

TEST(DhcpTold, AWrittenOptionReplacesOursAndAForcedOneIsSentUnasked) {
    Spec spec = small_network();
    spec.options = {{.code = 3, .value = octets({192, 168, 122, 9})},
                    {.code = 224, .value = octets({1, 2}), .force = true},
                    {.code = 225, .value = octets({1})},
                    {.code = 15, .value = {}}};
    const Options out = offered(spec, asking({3, 15}));
    EXPECT_EQ(out.ip(Opt::router), "192.168.122.9"_ip);
    EXPECT_EQ(out.u16(static_cast<Opt>(224)), 0x0102);
    EXPECT_FALSE(out.has(static_cast<Opt>(225)));
    EXPECT_FALSE(out.has(Opt::domain));  // an empty one keeps ours back
}

TEST(DhcpTold, AnOptionForOneKindOfClientIsSentToItOnly) {
    Spec spec = small_network();
    spec.options = {{.code = 43, .value = octets({9}), .force = true, .when = {.vendor_class = "MSFT"}}};
    EXPECT_TRUE(offered(spec, with(discover(kMac1), Opt::vendor_class, "MSFT 5.0")).has(Opt::vendor));
    EXPECT_FALSE(offered(spec, with(discover(kMac1), Opt::vendor_class, "udhcp")).has(Opt::vendor));
    const auto identifying = [&](std::string_view value) {  // RFC 3925
        return offered(spec, with(discover(kMac1), Opt::vendor_identifying_class, std::string(value)));
    };
    EXPECT_TRUE(identifying(std::string_view("\0\0\1\x37\x05\x04MSFT", 10)).has(Opt::vendor));
    EXPECT_FALSE(identifying(std::string_view("\0\0\1\x37\x05\x09MSFT", 10)).has(Opt::vendor));  // cut short
    EXPECT_FALSE(identifying(std::string_view("\0\0\1", 3)).has(Opt::vendor));
}

// ---- network boot

Spec bootable() {
    Spec spec = small_network();
    spec.boot = {{.file = "http://192.168.122.1/boot.ipxe", .when = {.ipxe = true}},
                 {.file = "ipxe.efi", .when = {.archs = {7, 9, 16}}},
                 {.file = "undionly.kpxe", .server = "192.168.122.20"_ip, .server_name = "tftp"}};
    return spec;
}

TEST(DhcpBoot, TheFileFollowsTheArchitectureAndIpxe) {
    Server server(bootable());
    const auto file = [&](const Message& m) { return server.handle(m, false, at(0)).reply->file; };
    Message bios = discover(kMac1), efi = discover(kMac1), ipxe = discover(kMac1);
    bios.options.put_u16(Opt::client_arch, 0);
    efi.options.put(Opt::client_arch, bytes({0, 7}));
    ipxe.options.put(Opt::ipxe, bytes({1, 1, 1}));
    EXPECT_EQ(file(bios), "undionly.kpxe");
    EXPECT_EQ(file(efi), "ipxe.efi");
    EXPECT_EQ(file(ipxe), "http://192.168.122.1/boot.ipxe");
    EXPECT_EQ(file(with(efi, Opt::user_class, "iPXE")), "http://192.168.122.1/boot.ipxe");
    EXPECT_EQ(file(with(efi, Opt::user_class, "\4iPXE")), "http://192.168.122.1/boot.ipxe");  // RFC 3004's form
}

TEST(DhcpBoot, NextServerNameAndOptions66And67) {
    Server server(bootable());
    const Message reply = *server.handle(asking({66, 67}), false, at(0)).reply;
    EXPECT_EQ(reply.siaddr, "192.168.122.20"_ip);
    EXPECT_EQ(reply.sname, "tftp");
    EXPECT_EQ(reply.options.text(Opt::tftp_server), "tftp");
    EXPECT_EQ(reply.options.text(Opt::boot_file), "undionly.kpxe");
    Message efi = discover(kMac2);
    efi.options.put_u16(Opt::client_arch, 7);
    EXPECT_EQ(server.handle(efi, false, at(0)).reply->siaddr, kServer);
}

TEST(DhcpBoot, UefiHttpBootGetsAUrlAndItsVendorClassBack) {
    Message http = with(discover(kMac1), Opt::vendor_class, "HTTPClient:Arch:00016:UNDI:003001");
    http.options.put_u16(Opt::client_arch, 16);
    Server server(bootable());
    const Message reply = *server.handle(http, false, at(0)).reply;
    EXPECT_EQ(reply.options.text(Opt::vendor_class), "HTTPClient");
    EXPECT_EQ(reply.options.text(Opt::boot_file), "http://192.168.122.1/ipxe.efi");
}

TEST(DhcpBoot, AFileLongerThanItsFieldGoesIntoTheOption) {
    Spec spec = small_network();
    spec.boot = {{.file = "http://192.168.122.1/" + std::string(200, 'x')}};
    Server server(spec);
    const Message reply = *server.handle(asking({1}), false, at(0)).reply;
    EXPECT_TRUE(reply.file.empty());
    EXPECT_EQ(reply.options.text(Opt::boot_file).size(), 221U);
}

TEST(DhcpBoot, TheFieldsSurviveTheWire) {
    Message m = discover(kMac1);
    m.file = "pxelinux.0";
    m.sname = "tftp.example";
    EXPECT_EQ(*decode(encode(m)), m);
}

// ---- who it is

TEST(DhcpReservation, ByClientIdentifierWhateverTheMac) {
    Spec spec = small_network();
    spec.subnets[0].hosts.push_back({.address = "192.168.122.50"_ip, .client_id = octets({0, 'a', 'b'})});
    Server server(spec);
    Message m = discover(kMac1);
    m.options.put(Opt::client_id, bytes({0, 'a', 'b'}));
    EXPECT_EQ(server.handle(m, false, at(0)).reply->yiaddr, "192.168.122.50"_ip);
}

TEST(DhcpReservation, LeaseTimesPerHostAndPerRange) {
    Spec spec = small_network();
    spec.subnets[0].hosts[0].lease = std::chrono::seconds(300);
    spec.subnets[0].ranges[0].lease = std::chrono::seconds(0);
    Server server(spec);
    EXPECT_EQ(server.handle(discover(kReserved), false, at(0)).reply->options.u32(Opt::lease_time), 300U);
    EXPECT_EQ(server.handle(discover(kMac1), false, at(0)).reply->options.u32(Opt::lease_time), 0xffffffffU);
    ASSERT_TRUE(lease(server, kMac1, at(0)));
    EXPECT_EQ(server.leases().by_port(kMac1)->lease.expires, kNever);
}

TEST(DhcpReservation, AStaticOnlyPoolServesNobodyElse) {
    Spec spec = small_network();
    spec.subnets[0].ranges.clear();
    Server server(spec);
    EXPECT_TRUE(lease(server, kReserved, at(0)));
    EXPECT_FALSE(server.handle(discover(kMac1), false, at(0)).reply);
}

TEST(DhcpReservation, OneAddedWhileServingTakesEffectAtTheNextRenewal) {
    Server server(small_network());
    const Ip before = *lease(server, kMac1, at(0));
    Spec spec = small_network();
    spec.subnets[0].hosts.push_back({.mac = kMac1, .address = "192.168.122.60"_ip});
    server.configure(spec);
    EXPECT_EQ(server.handle(renewing(kMac1, before), true, at(1)).reply->type, MessageType::nak);
    EXPECT_EQ(lease(server, kMac1, at(2)), "192.168.122.60"_ip);
}

TEST(DhcpReservation, HeldByAStaleLeaseOfAGuestThatIsOffIsGivenToItsOwner) {
    Server server(small_network());
    Spec spec = small_network();
    const Ip taken = *lease(server, kMac1, at(0));
    spec.subnets[0].hosts.push_back({.mac = kMac2, .address = taken});
    server.configure(spec);
    EXPECT_NE(lease(server, kMac2, at(1)), taken);  // who knows whether it is gone
    server.presence().know(kMac1, true);
    const Outcome out = server.handle(selecting(kMac2, taken), false, at(2));
    ASSERT_EQ(out.reply->type, MessageType::ack) << out.why;
    EXPECT_EQ(server.leases().by_address(taken)->lease.port, kMac2);
    EXPECT_FALSE(server.leases().by_port(kMac1));
    EXPECT_TRUE(std::ranges::any_of(
        out.events, [](const LeaseEvent& e) { return e.kind == LeaseEventKind::released && e.lease.port == kMac1; }));
}

// ---- rapid commit

TEST(DhcpRapidCommit, ADiscoverThatAsksForItIsAcknowledgedAtOnce) {  // RFC 4039
    Message m = discover(kMac1);
    m.options.put(Opt::rapid_commit, {});
    Server server(small_network());
    const Outcome out = server.handle(m, false, at(0));
    EXPECT_EQ(out.reply->type, MessageType::ack);
    EXPECT_TRUE(out.reply->options.has(Opt::rapid_commit));
    EXPECT_EQ(out.events.size(), 1U);
    Spec off = small_network();
    off.rapid_commit = false;
    EXPECT_EQ(Server(off).handle(m, false, at(0)).reply->type, MessageType::offer);
}

// ---- relays

struct DhcpRelay : testing::Test {
    DhcpRelay() {
        Spec spec = small_network();
        spec.subnets.push_back({.server = {"10.9.0.1"_ip, 24}, .ranges = {{"10.9.0.10"_ip, "10.9.0.20"_ip}}});
        spec.subnets.back().relayed = true;
        server.configure(spec);
    }
    static Message relayed(Message m, const Ip& giaddr = "10.9.0.1"_ip) {
        m.giaddr = giaddr;
        m.hops = 1;
        m.options.put(Opt::relay_info, bytes({1, 2, 'e', '0'}));
        return m;
    }
    Server server{small_network()};
};

TEST_F(DhcpRelay, ARelayedClientGetsAnAddressOfItsSubnetThroughItsRelay) {
    const Outcome offer = server.handle(relayed(discover(kMac1)), false, at(0));
    ASSERT_TRUE(offer.reply) << offer.why;
    EXPECT_EQ(offer.destination, Destination::relay);
    EXPECT_TRUE("10.9.0.0/24"_prefix.contains(offer.reply->yiaddr));
    EXPECT_EQ(offer.reply->options.ip(Opt::router), "10.9.0.1"_ip);
    EXPECT_EQ(offer.reply->options.ip(Opt::server_id), kServer);
    EXPECT_EQ(offer.reply->options.all().back().code, Opt::relay_info);
    EXPECT_EQ(offer.reply->options.text(Opt::relay_info), std::string("\1\2e0"));
    EXPECT_EQ(server.handle(relayed(selecting(kMac1, offer.reply->yiaddr)), false, at(1)).reply->type,
              MessageType::ack);
    // It renews directly, by unicast.
    const Outcome renewed = server.handle(renewing(kMac1, offer.reply->yiaddr), true, at(2));
    EXPECT_EQ(renewed.reply->type, MessageType::ack) << renewed.why;
    EXPECT_EQ(renewed.destination, Destination::unicast);
}

TEST_F(DhcpRelay, AClientOnTheBridgeNeverGetsARelayedSubnetsAddress) {
    for (int i = 0; i < 4; ++i) {
        EXPECT_TRUE(small_network().subnets[0].server.prefix().contains(
            *lease(server, {{0x52, 0x54, 0, 9, 9, static_cast<std::uint8_t>(i)}}, at(i))));
    }
    EXPECT_FALSE(server.handle(discover(kMac1), false, at(9)).reply);
}

TEST_F(DhcpRelay, NakToARelayedClientGoesByItsRelayAsABroadcast) {
    const Outcome out = server.handle(relayed(init_reboot(kMac1, "10.77.0.1"_ip)), false, at(0));
    EXPECT_EQ(out.reply->type, MessageType::nak);
    EXPECT_EQ(out.destination, Destination::relay);
    EXPECT_TRUE(out.reply->broadcast);
    EXPECT_EQ(out.reply->giaddr, "10.9.0.1"_ip);
}

TEST_F(DhcpRelay, LinkSelectionAndServerIdentifierOverride) {  // RFC 3527, RFC 5107
    Message m = discover(kMac1);
    m.giaddr = "192.168.122.77"_ip;
    m.options.put(Opt::relay_info, bytes({5, 4, 10, 9, 0, 0, 11, 4, 10, 9, 0, 1}));
    const Outcome out = server.handle(m, false, at(0));
    ASSERT_TRUE(out.reply) << out.why;
    EXPECT_TRUE("10.9.0.0/24"_prefix.contains(out.reply->yiaddr));
    EXPECT_EQ(out.reply->options.ip(Opt::server_id), "10.9.0.1"_ip);
    Message request = selecting(kMac1, out.reply->yiaddr, "10.9.0.1"_ip);
    request.giaddr = m.giaddr;
    request.options.put(Opt::relay_info, m.options.bytes(Opt::relay_info));
    EXPECT_EQ(server.handle(request, false, at(1)).reply->type, MessageType::ack);
}

TEST_F(DhcpRelay, ARelayOnTheBridgeServesTheBridgesSubnet) {
    const Outcome out = server.handle(relayed(discover(kMac1), "192.168.122.2"_ip), false, at(0));
    EXPECT_TRUE("192.168.122.0/24"_prefix.contains(out.reply->yiaddr));
}

TEST_F(DhcpRelay, OneFromNowhereOrThatWentRoundIsNotAnswered) {
    EXPECT_FALSE(server.handle(relayed(discover(kMac1), "172.16.0.1"_ip), false, at(0)).reply);
    Message looped = relayed(discover(kMac1));
    looped.hops = 17;
    EXPECT_FALSE(server.handle(looped, false, at(0)).reply);
    EXPECT_EQ(server.handle(relayed(discover(kMac1), "172.16.0.1"_ip), false, at(0)).why,
              "relayed from a subnet that is not served");
}

TEST_F(DhcpRelay, TheRelaysOptionFitsWhateverElseDoesNot) {
    Message m = relayed(asking({1, 3, 6, 15}));
    m.options.drop(Opt::relay_info);
    m.options.put(Opt::relay_info, Bytes(250, std::byte{7}));
    Spec spec = server.spec();
    spec.options = {{.code = 224, .value = std::vector<std::uint8_t>(200, 1), .force = true}};
    server.configure(spec);
    const Message reply = *server.handle(m, false, at(0)).reply;
    const Message sent = *decode(encode(reply, kDefaultSize));
    EXPECT_EQ(sent.options.bytes(Opt::relay_info).size(), 250U);
    EXPECT_FALSE(sent.options.has(static_cast<Opt>(224)));
}

// ---- probing

TEST(DhcpProbe, AnAddressThatSomebodyUsesIsNotOffered) {
    Spec spec = small_network();
    spec.probe_addresses = true;
    Server server(spec);
    const Outcome first = server.handle(discover(kMac1), false, at(0));
    ASSERT_TRUE(first.probe);
    EXPECT_FALSE(first.reply);
    server.seen_in_use(*first.probe, kMac3, at(0));
    const auto again = server.probed(at(0));
    ASSERT_EQ(again.size(), 1U);
    const Outcome second = server.handle(again[0], false, at(0));
    ASSERT_TRUE(second.probe);
    EXPECT_NE(*second.probe, *first.probe);
    const auto silent = server.probed(at(1));  // nobody answered
    ASSERT_EQ(silent.size(), 1U);
    const Outcome third = server.handle(silent[0], false, at(1));
    ASSERT_TRUE(third.reply) << third.why;
    EXPECT_EQ(third.reply->yiaddr, *second.probe);
}

TEST(DhcpProbe, OneThatAnswersForEverythingDoesNotEmptyThePool) {
    Spec spec = small_network();
    spec.probe_addresses = true;
    Server server(spec);
    Message m = discover(kMac1);
    bool offered = false;
    for (int i = 0; i < 20 && !offered; ++i) {
        const Outcome out = server.handle(m, false, at(i));
        offered = out.reply.has_value();
        if (out.probe) {
            server.seen_in_use(*out.probe, kMac3, at(i));
        }
        (void)server.probed(at(i + 1));
    }
    EXPECT_TRUE(offered);
}

// ---- fairness

TEST(DhcpFairness, RandomMacsLeaveAnAddressForEveryPortThatIsUp) {
    Server server(small_network());  // four addresses
    server.presence().know(kMac1);
    server.presence().know(kMac2);
    int got = 0;
    for (int i = 0; i < 200; ++i) {
        got += lease(server, {{0x02, 1, 2, 3, 4, static_cast<std::uint8_t>(i)}}, at(0)) ? 1 : 0;
    }
    EXPECT_EQ(got, 2);
    EXPECT_TRUE(lease(server, kMac1, at(1)));
    EXPECT_TRUE(lease(server, kMac2, at(1)));
}

TEST(DhcpFairness, OffersToRandomMacsAreNoClaimOnWhatIsKeptForPorts) {
    Server server(small_network());  // four addresses
    server.presence().know(kMac1);
    server.presence().know(kMac2);
    std::vector<std::pair<MacAddr, Ip>> offers;
    for (std::uint8_t i = 0; i < 20; ++i) {
        const MacAddr mac{{0x02, 1, 2, 3, 4, i}};
        if (const Outcome out = server.handle(discover(mac), false, at(0)); out.reply) {
            offers.emplace_back(mac, out.reply->yiaddr);
        }
    }
    int bound = 0;
    for (const auto& [mac, address] : offers) {
        const Outcome out = server.handle(selecting(mac, address), false, at(1));
        bound += out.reply && out.reply->type == MessageType::ack ? 1 : 0;
    }
    EXPECT_LE(bound, 2);
    EXPECT_TRUE(lease(server, kMac1, at(2)));
    EXPECT_TRUE(lease(server, kMac2, at(2)));
}

TEST(DhcpFairness, ADeclineStormOfRandomMacsDoesNotTakeThePortsAddresses) {
    Spec spec = small_network();
    spec.subnets[0].ranges = {{"192.168.122.100"_ip, "192.168.122.199"_ip}};
    Server server(spec);
    server.presence().know(kMac1);
    for (int i = 0; i < 500; ++i) {
        const MacAddr mac{{0x02, 1, 2, 3, static_cast<std::uint8_t>(i / 256), static_cast<std::uint8_t>(i)}};
        if (const auto address = lease(server, mac, at(0))) {
            server.handle(decline(mac, *address), false, at(0));
        }
    }
    EXPECT_TRUE(lease(server, kMac1, at(1)));
}

}  // namespace
}  // namespace bascule::dhcp
