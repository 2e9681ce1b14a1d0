// SPDX-License-Identifier: GPL-2.0-or-later
// RFC 2131's branches and the corner cases around them: request in, outcome out.
#include "dhcp/server.h"

#include <gtest/gtest.h>

#include "tests/dhcp/fixtures.h"

namespace bascule::dhcp {
namespace {

using namespace test;

struct DhcpServer : testing::Test {
    Server server{small_network()};

    Outcome handle(const Message& m, std::int64_t when = 0) { return server.handle(m, false, at(when)); }
    void expect_nak(const Message& m, std::string_view why, std::int64_t when = 0) {
        const Outcome out = handle(m, when);
        ASSERT_TRUE(out.reply) << out.why;
        EXPECT_EQ(out.reply->type, MessageType::nak);
        EXPECT_EQ(out.why, why);
        EXPECT_EQ(out.destination, Destination::broadcast);
        EXPECT_TRUE(out.reply->yiaddr.is_unspecified());
        EXPECT_EQ(out.reply->options.ip(Opt::server_id), kServer);
        EXPECT_FALSE(out.reply->options.has(Opt::lease_time));
    }
    void expect_ack(const Message& m, const Ip& address, std::int64_t when = 0) {
        const Outcome out = handle(m, when);
        ASSERT_TRUE(out.reply) << out.why;
        EXPECT_EQ(out.reply->type, MessageType::ack) << out.why;
        EXPECT_EQ(out.reply->yiaddr, address);
    }
};

const Ip kTen = "192.168.122.10"_ip, kEleven = "192.168.122.11"_ip;

// ---- DISCOVER

TEST_F(DhcpServer, DiscoverFromAReservedHostIsOfferedItsReservation) {
    const Outcome out = handle(discover(kReserved));
    ASSERT_TRUE(out.reply) << out.why;
    EXPECT_EQ(out.reply->yiaddr, kReservedIp);
    EXPECT_EQ(out.reply->options.text(Opt::hostname), "db");
    EXPECT_EQ(out.why, "reservation");
}

TEST_F(DhcpServer, DiscoverWritesNothing) {
    const Outcome out = handle(discover(kMac1));
    ASSERT_TRUE(out.reply);
    EXPECT_EQ(out.reply->type, MessageType::offer);
    EXPECT_TRUE(out.events.empty());
    EXPECT_EQ(server.leases().size(), 0U);
}

TEST_F(DhcpServer, AReservationByNameIsFoundByTheNameTheClientSays) {
    EXPECT_EQ(handle(named(discover(kMac1), "byname")).reply->yiaddr, "192.168.122.8"_ip);
    EXPECT_NE(handle(discover(kMac2)).reply->yiaddr, "192.168.122.8"_ip);
}

TEST_F(DhcpServer, TheAddressAskedForIsOfferedWhenItIsFree) {
    Message m = discover(kMac1);
    m.options.put_ip(Opt::requested_ip, kEleven);
    EXPECT_EQ(handle(m).reply->yiaddr, kEleven);
}

TEST_F(DhcpServer, AnAddressThatCannotBeIsNotOfferedThoughAskedFor) {
    for (const Ip& wish :
         {kReservedIp, kServer, "192.168.122.255"_ip, "192.168.122.0"_ip, "10.9.9.9"_ip, "192.168.122.200"_ip}) {
        Message m = discover(kMac1);
        m.options.put_ip(Opt::requested_ip, wish);
        EXPECT_NE(handle(m).reply->yiaddr, wish) << format(wish);
    }
}

TEST_F(DhcpServer, TheSameClientIsOfferedTheSameAddressByAnyServerOfTheNetwork) {
    Server other(small_network());
    EXPECT_EQ(handle(discover(kMac1)).reply->yiaddr, other.handle(discover(kMac1), false, at(9)).reply->yiaddr);
}

TEST_F(DhcpServer, TwoClientsAreNeverOfferedTheSame) {
    std::set<Ip> offered;
    for (const MacAddr& mac : {kMac1, kMac2, kMac3, "52:54:00:00:00:04"_mac}) {
        EXPECT_TRUE(offered.insert(handle(discover(mac)).reply->yiaddr).second);
    }
}

TEST_F(DhcpServer, AnExhaustedPoolSaysNothing) {
    for (int i = 1; i <= 4; ++i) {
        ASSERT_TRUE(lease(server, MacAddr{{2, 0, 0, 0, 0, static_cast<std::uint8_t>(i)}}, at(0)));
    }
    const Outcome out = handle(discover(kMac1));
    EXPECT_FALSE(out.reply);
    EXPECT_EQ(out.why, "pool exhausted");
    EXPECT_TRUE(handle(discover(kReserved)).reply) << "a reservation is not of the pool";
}

TEST_F(DhcpServer, AFloodOfDiscoversDoesNotExhaustThePool) {
    for (int i = 0; i < 100; ++i) {
        handle(discover(MacAddr{{2, 0, 0, 0, 1, static_cast<std::uint8_t>(i)}}));
    }
    EXPECT_TRUE(lease(server, kMac1, at(0)));
}

TEST_F(DhcpServer, AnOfferIsHeldForAWhileOnly) {
    const Ip address = handle(discover(kMac1)).reply->yiaddr;
    expect_nak(init_reboot(kMac2, address), "address not available", 10);
    expect_ack(init_reboot(kMac2, address), address, 31);
}

// ---- REQUEST, selecting

TEST_F(DhcpServer, SelectingBindsTheOffer) {
    const Ip address = handle(discover(kMac1)).reply->yiaddr;
    const Outcome out = handle(named(selecting(kMac1, address), "vm1"));
    ASSERT_TRUE(out.reply);
    EXPECT_EQ(out.branch, "selecting");
    EXPECT_EQ(out.destination, Destination::link);
    ASSERT_EQ(out.events.size(), 1U);
    const Lease& lease = out.events[0].lease;
    EXPECT_EQ(out.events[0].kind, LeaseEventKind::added);
    EXPECT_EQ(lease.port, kMac1);
    EXPECT_EQ(lease.address, address);
    EXPECT_EQ(lease.prefix_length, 24U);
    EXPECT_EQ(lease.hostname, "vm1");
    EXPECT_EQ(lease.expires, at(3600).wall);
}

TEST_F(DhcpServer, TheBroadcastFlagIsHonoured) {
    Message m = discover(kMac1);
    m.broadcast = true;
    const Outcome out = handle(m);
    EXPECT_EQ(out.destination, Destination::broadcast);
    EXPECT_TRUE(out.reply->broadcast);
}

TEST_F(DhcpServer, SelectingAnotherServerIsRefusedAndTheOfferFreed) {
    const Ip address = handle(discover(kMac1)).reply->yiaddr;
    expect_nak(selecting(kMac1, address, "192.168.122.66"_ip), "it took another server, and there is none");
    expect_ack(init_reboot(kMac2, address), address);
}

TEST_F(DhcpServer, SelectingAnAddressOfAnotherClientIsRefused) {
    const Ip address = *lease(server, kMac1, at(0));
    expect_nak(selecting(kMac2, address), "address not available");
}

TEST_F(DhcpServer, SelectingDropsTheOtherLeaseOfTheClient) {
    const Ip first = *lease(server, kMac1, at(0));
    const Ip second = first == kTen ? kEleven : kTen;
    const Outcome out = handle(selecting(kMac1, second));
    ASSERT_EQ(out.events.size(), 2U);
    EXPECT_EQ(out.events[0].kind, LeaseEventKind::released);
    EXPECT_EQ(out.events[0].lease.address, first);
    EXPECT_EQ(out.events[1].kind, LeaseEventKind::added);
    EXPECT_EQ(out.events[1].lease.address, second);
    expect_ack(selecting(kMac2, first), first);
}

TEST_F(DhcpServer, ARequestWithNoAddressAtAllGetsWhatADiscoverWould) {
    const Ip address = handle(discover(kMac1)).reply->yiaddr;
    expect_ack(from_client(MessageType::request, kMac1), address);
}

// ---- REQUEST, init-reboot

TEST_F(DhcpServer, InitRebootOfAKnownClientIsAcknowledged) {
    const Ip address = *lease(server, kMac1, at(0));
    const Outcome out = handle(init_reboot(kMac1, address), 5);
    EXPECT_EQ(out.branch, "init-reboot");
    EXPECT_EQ(out.reply->type, MessageType::ack);
    EXPECT_EQ(out.events.at(0).kind, LeaseEventKind::renewed);
}

TEST_F(DhcpServer, InitRebootOfAnUnknownClientIsAcknowledgedWhenTheAddressIsFree) {
    expect_ack(init_reboot(kMac1, kTen), kTen);
}

TEST_F(DhcpServer, InitRebootWithAnotherAddressIsRefused) {
    const Ip address = *lease(server, kMac1, at(0));
    expect_nak(init_reboot(kMac1, address == kTen ? kEleven : kTen), "it has another address");
}

TEST_F(DhcpServer, InitRebootFromAnotherNetworkIsRefused) {
    expect_nak(init_reboot(kMac1, "10.0.0.7"_ip), "wrong network");
}

TEST_F(DhcpServer, InitRebootForAnAddressNobodyMayHaveIsRefused) {
    for (const Ip& address : {kServer, "192.168.122.255"_ip, "192.168.122.0"_ip, kReservedIp, "192.168.122.77"_ip}) {
        expect_nak(init_reboot(kMac1, address), "address not available");
    }
}

// ---- REQUEST, renewing and rebinding

TEST_F(DhcpServer, RenewingExtendsTheLease) {
    const Ip address = *lease(server, kMac1, at(0), "vm1");
    const Outcome out = server.handle(renewing(kMac1, address), true, at(1800));
    EXPECT_EQ(out.branch, "renewing");
    EXPECT_EQ(out.destination, Destination::unicast);
    EXPECT_EQ(out.reply->ciaddr, address);
    EXPECT_EQ(out.events.at(0).lease.expires, at(1800 + 3600).wall);
    EXPECT_EQ(out.events.at(0).lease.hostname, "vm1") << "a client that says no name keeps its own";
    EXPECT_EQ(handle(renewing(kMac1, address), 1900).branch, "rebinding");
}

TEST_F(DhcpServer, RenewingALeaseWeLostIsRecreatedWhenFree) { expect_ack(renewing(kMac1, kTen), kTen); }

TEST_F(DhcpServer, RenewingAnAddressThatAnotherHasIsRefusedByBroadcast) {
    const Ip address = *lease(server, kMac1, at(0));
    expect_nak(renewing(kMac2, address), "address not available");
}

TEST_F(DhcpServer, RenewingInAnotherNetworkIsRefused) { expect_nak(renewing(kMac1, "10.1.1.1"_ip), "wrong network"); }

TEST_F(DhcpServer, ANewReservationMovesTheClientWhenItRenews) {
    const Ip before = *lease(server, kMac1, at(0));
    Spec spec = small_network();
    spec.subnets[0].hosts.push_back({kMac1, "", "192.168.122.7"_ip});
    server.configure(spec);
    expect_nak(renewing(kMac1, before), "address not available", 10);
    EXPECT_EQ(lease(server, kMac1, at(11)), "192.168.122.7"_ip);
}

TEST_F(DhcpServer, ANewReservationThatAnotherHoldsMovesNobodyYet) {
    const Ip mine = *lease(server, kMac1, at(0));
    const Ip others = *lease(server, kMac2, at(0));
    Spec spec = small_network();
    spec.subnets[0].hosts.push_back({kMac1, "", others});
    server.configure(spec);
    expect_ack(renewing(kMac1, mine), mine, 10);                       // or it would hear NAK for ever
    expect_nak(renewing(kMac2, others), "address not available", 20);  // the holder must go,
    expect_ack(renewing(kMac1, mine), mine, 21);                       // though it still may come back late
    ASSERT_TRUE(lease(server, kMac2, at(22)));
    expect_nak(renewing(kMac1, mine), "address not available", 30);  // now it is surely free
    EXPECT_EQ(lease(server, kMac1, at(31)), others);
}

TEST_F(DhcpServer, AClientOutsideTheNewRangeIsRefusedWhenItRenews) {
    const Ip before = *lease(server, kMac1, at(0));
    Spec spec = small_network();
    spec.subnets[0].ranges = {{"192.168.122.100"_ip, "192.168.122.110"_ip}};
    server.configure(spec);
    expect_nak(renewing(kMac1, before), "address not available", 1);
    EXPECT_GE(*lease(server, kMac1, at(2)), "192.168.122.100"_ip);
}

// ---- DECLINE, RELEASE, INFORM

TEST_F(DhcpServer, ADeclinedAddressIsQuarantinedForTenMinutes) {
    const Ip address = *lease(server, kMac1, at(0));
    const Outcome out = handle(decline(kMac1, address), 1);
    EXPECT_FALSE(out.reply);
    EXPECT_EQ(out.why, "address quarantined");
    EXPECT_EQ(out.events.at(0).kind, LeaseEventKind::released);
    EXPECT_NE(lease(server, kMac1, at(2)), address);
    expect_nak(init_reboot(kMac2, address), "address not available", 300);
    expect_ack(init_reboot(kMac2, address), address, 602);
}

TEST_F(DhcpServer, DeclineNeedsAddressServerAndLease) {
    const Ip address = *lease(server, kMac1, at(0));
    Message no_server = from_client(MessageType::decline, kMac1);
    no_server.options.put_ip(Opt::requested_ip, address);
    EXPECT_EQ(handle(no_server).why, "without our server identifier or the address");
    EXPECT_EQ(handle(decline(kMac2, address)).why, "not its address");
    EXPECT_EQ(server.leases().active(), 1U);
}

TEST_F(DhcpServer, APortCannotBurnThePoolByDeclining) {
    int quarantined = 0;
    for (int i = 0; i < 20; ++i) {
        const auto address = lease(server, kMac1, at(i));
        ASSERT_TRUE(address);
        quarantined += handle(decline(kMac1, *address), i).why == "address quarantined" ? 1 : 0;
    }
    EXPECT_EQ(quarantined, 2);
    EXPECT_TRUE(lease(server, kMac2, at(30)));
}

TEST_F(DhcpServer, ReleaseFreesTheAddressAndRemembersIt) {
    const Ip address = *lease(server, kMac1, at(0));
    const Outcome out = handle(release(kMac1, address), 1);
    EXPECT_FALSE(out.reply);
    EXPECT_EQ(out.events.at(0).kind, LeaseEventKind::released);
    EXPECT_EQ(server.leases().active(), 0U);
    EXPECT_NE(lease(server, kMac2, at(2)), address);
    EXPECT_EQ(lease(server, kMac1, at(3)), address);
}

TEST_F(DhcpServer, OnlyTheOwnerReleases) {
    const Ip address = *lease(server, kMac1, at(0));
    EXPECT_TRUE(handle(release(kMac2, address)).events.empty());
    EXPECT_EQ(server.leases().active(), 1U);
}

TEST_F(DhcpServer, ARememberedAddressIsGivenAwayLast) {
    const Ip address = *lease(server, kMac1, at(0));
    handle(release(kMac1, address));
    std::set<Ip> given;
    for (int i = 0; i < 4; ++i) {
        given.insert(*lease(server, MacAddr{{2, 0, 0, 0, 2, static_cast<std::uint8_t>(i)}}, at(i)));
        EXPECT_EQ(given.contains(address), i == 3);
    }
}

TEST_F(DhcpServer, InformIsAnsweredToItsAddressWithoutALease) {
    Message m = from_client(MessageType::inform, kMac1);
    m.ciaddr = "192.168.122.77"_ip;
    const Outcome out = handle(m);
    ASSERT_TRUE(out.reply);
    EXPECT_EQ(out.reply->type, MessageType::ack);
    EXPECT_TRUE(out.reply->yiaddr.is_unspecified());
    EXPECT_EQ(out.destination, Destination::unicast);
    EXPECT_FALSE(out.reply->options.has(Opt::lease_time));
    EXPECT_EQ(out.reply->options.ip(Opt::router), kServer);
    EXPECT_TRUE(out.events.empty());
    m.ciaddr = "8.8.8.8"_ip;
    EXPECT_FALSE(handle(m).reply) << "the answer would leave the network";
}

// ---- time

TEST_F(DhcpServer, AnExpiredLeaseIsReportedOnceAndItsAddressRemembered) {
    const Ip address = *lease(server, kMac1, at(0));
    EXPECT_TRUE(server.tick(at(3599)).empty());
    EXPECT_EQ(server.next_tick(), at(3600).time);
    const auto events = server.tick(at(3600));
    ASSERT_EQ(events.size(), 1U);
    EXPECT_EQ(events[0].kind, LeaseEventKind::expired);
    EXPECT_TRUE(server.tick(at(9999)).empty());
    EXPECT_EQ(lease(server, kMac1, at(9999)), address);
}

TEST_F(DhcpServer, LeaseTimes) {
    struct Case {
        std::int64_t configured;
        std::optional<std::uint32_t> asked;
        std::int64_t granted;
    };
    for (const Case& c :
         {Case{3600, std::nullopt, 3600}, Case{3600, 600, 600}, Case{3600, 1, 120}, Case{3600, 99999, 3600},
          Case{3600, 0xffffffff, 3600}, Case{0, std::nullopt, 0}, Case{0, 600, 600}, Case{60, 1, 60}}) {
        Subnet subnet{.server = {kServer, 24}};
        subnet.lease = std::chrono::seconds(c.configured);
        Message m = discover(kMac1);
        if (c.asked) {
            m.options.put_u32(Opt::lease_time, *c.asked);
        }
        EXPECT_EQ(lease_time(subnet.lease, m).count(), c.granted) << c.configured << " " << c.asked.value_or(0);
    }
}

TEST_F(DhcpServer, AnInfiniteLeaseHasNoTimers) {
    Spec spec = small_network();
    spec.subnets[0].lease = std::chrono::seconds(0);
    server.configure(spec);
    const Ip address = *lease(server, kMac1, at(0));
    const Outcome out = handle(renewing(kMac1, address));
    EXPECT_EQ(out.reply->options.u32(Opt::lease_time), 0xffffffffU);
    EXPECT_FALSE(out.reply->options.has(Opt::renewal));
    EXPECT_EQ(out.events.at(0).lease.expires, kNever);
    EXPECT_TRUE(server.tick(at(1'000'000'000)).empty());
}

// ---- what a reply holds

TEST_F(DhcpServer, RepliesHoldWhatWasAskedForInAFixedOrder) {
    Spec spec = small_network();
    spec.mtu = 9000;
    server.configure(spec);
    Message m = named(discover(kMac1), "vm1");
    m.options.put(Opt::client_id, bytes({1, 2, 3}));
    const auto codes = [](const Message& reply) {
        std::vector<int> out;
        for (const auto& option : reply.options.all()) {
            out.push_back(static_cast<int>(option.code));
        }
        return out;
    };
    EXPECT_EQ(codes(*handle(m).reply), (std::vector{54, 51, 58, 59, 1, 3, 6, 61, 26, 28, 12, 15}));
    m.options.put(Opt::parameters, bytes({1, 15}));
    EXPECT_EQ(codes(*handle(m).reply), (std::vector{54, 51, 58, 59, 1, 61, 15}));
}

TEST_F(DhcpServer, AnIsolatedNetworkNamesNoRouterAndOneWithoutDnsNoNameServer) {
    Spec spec = small_network();
    spec.gateway = false;
    spec.serve_dns = false;
    server.configure(spec);
    const Outcome out = handle(discover(kMac1));
    EXPECT_FALSE(out.reply->options.has(Opt::router));
    EXPECT_FALSE(out.reply->options.has(Opt::dns));
    EXPECT_EQ(out.reply->options.ip(Opt::subnet_mask), "255.255.255.0"_ip);
}

TEST_F(DhcpServer, TheClientIdentifierIsEchoedStoredAndDoesNotTellClientsApart) {  // RFC 6842; cloned images
    std::optional<Ip> first;
    for (const MacAddr& mac : {kMac1, kMac2}) {
        Message m = selecting(mac, mac == kMac1 ? kTen : kEleven);
        m.options.put(Opt::client_id, bytes({0xff, 1, 2, 3}));
        const Outcome out = handle(m);
        ASSERT_EQ(out.reply->type, MessageType::ack);
        EXPECT_EQ(out.reply->options.bytes(Opt::client_id).size(), 4U);
        EXPECT_EQ(out.events.at(0).lease.client_id, (std::vector<std::uint8_t>{0xff, 1, 2, 3}));
        EXPECT_NE(first, out.reply->yiaddr);
        first = out.reply->yiaddr;
    }
    Message nak = init_reboot(kMac3, "10.0.0.1"_ip);
    nak.options.put(Opt::client_id, bytes({9}));
    EXPECT_TRUE(handle(nak).reply->options.has(Opt::client_id));
    Message other_id = renewing(kMac1, kTen);  // firmware first, operating system then
    other_id.options.put(Opt::client_id, bytes({1, 0x52, 0x54}));
    expect_ack(other_id, kTen);
}

TEST_F(DhcpServer, WhatDoesNotComeFromAClientIsIgnored) {
    Message reply = discover(kMac1);
    reply.reply = true;
    Message relayed = discover(kMac1);
    relayed.giaddr = "172.16.0.5"_ip;  // of no subnet of ours
    Message long_id = discover(kMac1);
    long_id.options.put(Opt::client_id, Bytes(256));
    for (const Message& m : {reply, relayed, long_id, discover({}), discover("01:00:5e:00:00:01"_mac),
                             from_client(MessageType::offer, kMac1), from_client(MessageType::nak, kMac1)}) {
        const Outcome out = handle(m);
        EXPECT_FALSE(out.reply) << out.why;
        EXPECT_TRUE(out.events.empty());
    }
}

// ---- names

TEST_F(DhcpServer, NobodyTakesAnothersName) {
    ASSERT_TRUE(lease(server, kMac1, at(0), "vm1"));
    EXPECT_EQ(server.leases().by_port(kMac1)->lease.hostname, "vm1");
    for (const char* name : {"vm1", "VM1", "db", "host", "www", "gateway", "wpad"}) {
        ASSERT_TRUE(lease(server, kMac2, at(0), name)) << "the address does not depend on the name";
        EXPECT_EQ(server.leases().by_port(kMac2)->lease.hostname, "") << name;
    }
    ASSERT_TRUE(lease(server, kReserved, at(0), "liar"));
    EXPECT_EQ(server.leases().by_port(kReserved)->lease.hostname, "db");
}

TEST_F(DhcpServer, ANameIsFreeAgainWhenItsLeaseEnds) {
    const Ip address = *lease(server, kMac1, at(0), "vm1");
    handle(release(kMac1, address));
    ASSERT_TRUE(lease(server, kMac2, at(1), "vm1"));
    EXPECT_EQ(server.leases().by_name("vm1")->lease.port, kMac2);
}

TEST_F(DhcpServer, AReservationTakesItsNameFromAGuestThatHasIt) {
    ASSERT_TRUE(lease(server, kMac1, at(0), "web"));
    Spec spec = small_network();
    spec.subnets[0].hosts.push_back({kMac2, "web", std::nullopt});
    server.configure(spec);
    EXPECT_EQ(server.leases().by_port(kMac1)->lease.hostname, "");
    ASSERT_TRUE(lease(server, kMac2, at(1)));
    EXPECT_EQ(server.leases().by_port(kMac2)->lease.hostname, "web");
}

// ---- the daemon's word

TEST_F(DhcpServer, ARevokedLeaseEndsAndItsAddressIsRemembered) {
    const Ip address = *lease(server, kMac1, at(0));
    const auto events = server.revoke(kMac1);
    ASSERT_EQ(events.size(), 1U);
    EXPECT_EQ(events[0].kind, LeaseEventKind::released);
    EXPECT_TRUE(server.revoke(kMac1).empty());
    EXPECT_EQ(lease(server, kMac1, at(1)), address);
}

TEST_F(DhcpServer, StoredLeasesComeBackButNotForYears) {
    const Lease fresh{.network = kUuid, .port = kMac1, .address = kTen, .prefix_length = 24, .expires = at(100).wall};
    Lease past = fresh, absurd = fresh;
    past.port = kMac2;
    past.address = kEleven;
    past.expires = at(-5).wall;
    absurd.port = kMac3;
    absurd.address = "192.168.122.12"_ip;
    absurd.expires = at(1'000'000'000).wall;
    server.restore({{fresh, true}, {past, true}, {absurd, true}}, at(0));
    EXPECT_EQ(server.leases().active(), 2U);
    EXPECT_EQ(server.tick(at(100)).size(), 1U);
    EXPECT_EQ(server.tick(at(3600)).size(), 0U);
    EXPECT_EQ(server.tick(at(7 * 24 * 3600)).size(), 1U);
    EXPECT_EQ(handle(discover(kMac2)).reply->yiaddr, kEleven);
}

TEST(DhcpServerOfATinySubnet, HandsOutBothAddressesOfASlash31AndNoneOfASlash32) {
    Spec spec = small_network();
    spec.subnets[0].server = {"10.0.0.0"_ip, 31};
    spec.subnets[0].hosts.clear();
    spec.subnets[0].ranges = {{"10.0.0.0"_ip, "10.0.0.9"_ip}};
    Server server(spec);
    EXPECT_EQ(lease(server, kMac1, at(0)), "10.0.0.1"_ip);
    EXPECT_FALSE(lease(server, kMac2, at(0)));
    spec.subnets[0].server = {"10.0.0.0"_ip, 32};
    Server single(spec);
    EXPECT_FALSE(lease(single, kMac1, at(0)));
}

TEST(DhcpServerOfSeveralSubnets, TellsEachClientTheServerOfItsSubnet) {
    Spec spec = small_network();
    spec.subnets[0].ranges.clear();
    spec.subnets.push_back({.server = {"10.5.0.1"_ip, 16}, .ranges = {{"10.5.0.10"_ip, "10.5.0.20"_ip}}});
    spec.subnets.push_back({.server = {"fd00::1"_ip, 64}});
    Server server(spec);
    const Outcome out = server.handle(discover(kMac1), false, at(0));
    ASSERT_TRUE(out.reply);
    EXPECT_EQ(out.from, "10.5.0.1"_ip);
    EXPECT_EQ(out.reply->options.ip(Opt::router), "10.5.0.1"_ip);
    EXPECT_EQ(out.reply->options.ip(Opt::subnet_mask), "255.255.0.0"_ip);
}

}  // namespace
}  // namespace bascule::dhcp
