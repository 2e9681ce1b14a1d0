// SPDX-License-Identifier: GPL-2.0-or-later
// The corner cases of RFC 2131 and of the field, one test each, in the order of docs/addresses.md's table.
#include <gtest/gtest.h>

#include <set>

#include "dhcp/journal.h"
#include "dhcp/server.h"
#include "tests/dhcp/fixtures.h"

namespace bascule::dhcp {
namespace {

using namespace test;

const Ip kTen = "192.168.122.10"_ip, kEleven = "192.168.122.11"_ip;
const Ip kElsewhere = "10.1.1.1"_ip;

struct DhcpCorner : testing::Test {
    Outcome handle(const Message& m, std::int64_t when = 0, bool unicast = false) {
        return server.handle(m, unicast, at(when));
    }
    static MessageType type(const Outcome& out) { return out.reply ? out.reply->type : MessageType::discover; }
    bool has(const MacAddr& mac, const Ip& address) {
        const Binding* const binding = server.leases().by_port(mac);
        return binding != nullptr && binding->active && binding->lease.address == address;
    }
    // Behind a relay: 10.9.0.0/24, of which .10 to .20 are to be had.
    void add_relayed_subnet() {
        Spec spec = small_network();
        spec.subnets.push_back({.server = {"10.9.0.1"_ip, 24}, .ranges = {{"10.9.0.10"_ip, "10.9.0.20"_ip}}});
        spec.subnets.back().relayed = true;
        server.configure(spec);
    }
    static Message relayed(Message m) {
        m.giaddr = "10.9.0.1"_ip;
        m.hops = 1;
        return m;
    }
    static Message identified(Message m, std::initializer_list<int> id) {
        m.options.put(Opt::client_id, bytes(id));
        return m;
    }

    Server server{small_network()};
};

// ---- REQUEST

TEST_F(DhcpCorner, RequestWithOurServerIdDropsAnyOtherLeaseAndAcknowledges) {
    ASSERT_EQ(type(handle(selecting(kMac1, kTen))), MessageType::ack);
    const Outcome out = handle(selecting(kMac1, kEleven), 1);
    EXPECT_EQ(type(out), MessageType::ack);
    EXPECT_TRUE(has(kMac1, kEleven));
    ASSERT_EQ(out.events.size(), 2U);
    EXPECT_EQ(out.events[0].kind, LeaseEventKind::released);
    EXPECT_EQ(type(handle(selecting(kMac2, kTen), 2)), MessageType::ack);  // free again
}

TEST_F(DhcpCorner, RequestWithOurServerIdForWhatAnotherHasIsRefused) {
    ASSERT_EQ(type(handle(selecting(kMac1, kTen))), MessageType::ack);
    EXPECT_EQ(type(handle(selecting(kMac2, kTen), 1)), MessageType::nak);
    EXPECT_TRUE(has(kMac1, kTen));
}

TEST_F(DhcpCorner, RequestWithAnotherServerIdIsRefusedAndTheOfferIsForOthersAgain) {
    const Ip offered = handle(discover(kMac1)).reply->yiaddr;
    EXPECT_EQ(type(handle(selecting(kMac1, offered, kElsewhere), 1)), MessageType::nak);
    EXPECT_EQ(type(handle(selecting(kMac2, offered), 2)), MessageType::ack);
}

TEST_F(DhcpCorner, InitRebootOfAnUnknownClientIsAllowedWhenOursAndFreeElseRefused) {
    EXPECT_EQ(type(handle(init_reboot(kMac1, kTen))), MessageType::ack);
    EXPECT_EQ(type(handle(init_reboot(kMac2, kTen), 1)), MessageType::nak);
    EXPECT_EQ(type(handle(init_reboot(kMac2, "192.168.122.200"_ip), 1)), MessageType::nak);  // in no range
}

TEST_F(DhcpCorner, InitRebootWithAWrongAddressOrNetworkIsRefusedByBroadcast) {
    ASSERT_TRUE(lease(server, kMac1, at(0)));
    for (const Ip& wrong :
         {"192.168.122.13"_ip == server.leases().by_port(kMac1)->lease.address ? kTen : "192.168.122.13"_ip,
          kElsewhere}) {
        const Outcome out = handle(init_reboot(kMac1, wrong), 1);
        EXPECT_EQ(type(out), MessageType::nak);
        EXPECT_EQ(out.destination, Destination::broadcast);
    }
}

TEST_F(DhcpCorner, RenewalWithoutALeaseIsRecreatedWhenFreeElseRefusedByBroadcast) {
    const Outcome healed = handle(renewing(kMac1, kTen), 0, true);
    EXPECT_EQ(type(healed), MessageType::ack);
    EXPECT_EQ(healed.destination, Destination::unicast);
    const Outcome refused = handle(renewing(kMac2, kTen), 1, true);
    EXPECT_EQ(type(refused), MessageType::nak);
    EXPECT_EQ(refused.destination, Destination::broadcast);
}

TEST_F(DhcpCorner, RebindOfWhatAnotherHasIsRefusedSinceNoOtherServerCouldKnowBetter) {
    ASSERT_EQ(type(handle(selecting(kMac1, kTen))), MessageType::ack);
    EXPECT_EQ(type(handle(renewing(kMac2, kTen), 1)), MessageType::nak);
    EXPECT_EQ(type(handle(renewing(kMac1, kTen), 2)), MessageType::ack);
}

TEST_F(DhcpCorner, NewReservationMovesItsClientAtRenewalOnlyWhenTheAddressIsSurelyFree) {
    ASSERT_EQ(type(handle(selecting(kMac1, kTen))), MessageType::ack);
    ASSERT_EQ(type(handle(selecting(kMac2, kEleven))), MessageType::ack);
    Spec spec = small_network();
    spec.subnets[0].hosts.push_back({.mac = kMac1, .address = kEleven});
    server.configure(spec);
    EXPECT_EQ(type(handle(renewing(kMac1, kTen), 1, true)), MessageType::ack);  // it would only loop
    handle(release(kMac2, kEleven), 2);
    EXPECT_EQ(type(handle(renewing(kMac1, kTen), 3, true)), MessageType::nak);
    EXPECT_EQ(lease(server, kMac1, at(4)), kEleven);
}

TEST_F(DhcpCorner, ReservationHeldByAStaleLeaseIsFreedWhenTheHoldersPortIsGoneOrOff) {
    Spec spec = small_network();
    spec.subnets[0].hosts.push_back({.mac = kMac3, .address = kTen});
    ASSERT_EQ(type(handle(selecting(kMac1, kTen))), MessageType::ack);
    server.configure(spec);
    EXPECT_NE(lease(server, kMac3, at(1)), kTen);  // its holder may be using it
    server.presence().know(kMac1, true);
    EXPECT_EQ(lease(server, kMac3, at(2)), kTen);  // it is off
    server.configure(small_network());
    ASSERT_EQ(type(handle(selecting(kMac2, kEleven), 3)), MessageType::ack);
    spec.subnets[0].hosts.back() = {.mac = kMac1, .address = kEleven};
    server.configure(spec);
    EXPECT_EQ(server.revoke(kMac2).size(), 1U);  // its NIC is gone
    EXPECT_EQ(lease(server, kMac1, at(4)), kEleven);
}

// ---- the others

TEST_F(DhcpCorner, DeclineNeedsAddressAndServerIdQuarantinesAndIsCappedPerPort) {
    ASSERT_EQ(type(handle(selecting(kMac1, kTen))), MessageType::ack);
    Message vague = from_client(MessageType::decline, kMac1);
    handle(vague, 1);
    EXPECT_TRUE(has(kMac1, kTen));
    handle(decline(kMac1, kTen), 2);
    EXPECT_FALSE(has(kMac1, kTen));
    EXPECT_NE(type(handle(selecting(kMac2, kTen), 3)), MessageType::ack);
    EXPECT_EQ(type(handle(selecting(kMac2, kTen), 3 + 601)), MessageType::ack);  // ten minutes
    for (int i = 0; i < 20; ++i) {
        if (const auto got = lease(server, kMac1, at(700 + i))) {
            handle(decline(kMac1, *got), 700 + i);
        }
    }
    EXPECT_TRUE(lease(server, kMac3, at(800)));  // one port has not burnt the pool
}

TEST_F(DhcpCorner, InformIsAcknowledgedWithoutAddressOrLeaseTimeToCiaddr) {
    Message m = from_client(MessageType::inform, kMac1);
    m.ciaddr = "192.168.122.77"_ip;
    const Outcome out = handle(m);
    ASSERT_EQ(type(out), MessageType::ack);
    EXPECT_TRUE(out.reply->yiaddr.is_unspecified());
    EXPECT_FALSE(out.reply->options.has(Opt::lease_time));
    EXPECT_FALSE(out.reply->options.has(Opt::renewal));
    EXPECT_EQ(out.destination, Destination::unicast);
    EXPECT_EQ(out.reply->ciaddr, m.ciaddr);
    EXPECT_EQ(server.leases().size(), 0U);
}

TEST_F(DhcpCorner, ReleaseFreesAndTheClientComesBackToTheSameAddress) {
    const Ip address = *lease(server, kMac1, at(0));
    handle(release(kMac1, address), 1);
    EXPECT_EQ(server.leases().active(), 0U);
    for (const MacAddr& other : {kMac2, kMac3}) {
        EXPECT_NE(lease(server, other, at(2)), address);
    }
    EXPECT_EQ(lease(server, kMac1, at(3)), address);
}

TEST_F(DhcpCorner, FirmwareThenOperatingSystemWithOtherIdentifiersKeepOneAddressPerPort) {
    const Outcome pxe = handle(identified(discover(kMac1), {0, 1, 2, 3}));
    const Ip address = pxe.reply->yiaddr;
    ASSERT_EQ(type(handle(identified(selecting(kMac1, address), {0, 1, 2, 3}), 1)), MessageType::ack);
    EXPECT_EQ(handle(identified(discover(kMac1), {255, 9, 9}), 2).reply->yiaddr, address);
    EXPECT_EQ(type(handle(identified(selecting(kMac1, address), {255, 9, 9}), 3)), MessageType::ack);
    EXPECT_EQ(handle(discover(kMac1), 4).reply->yiaddr, address);
    EXPECT_EQ(server.leases().active(), 1U);
}

// ---- where replies go

TEST_F(DhcpCorner, NakToARelayedClientGoesToGiaddrWithTheBroadcastBit) {
    add_relayed_subnet();
    const Outcome out = handle(relayed(init_reboot(kMac1, kElsewhere)));
    ASSERT_EQ(type(out), MessageType::nak);
    EXPECT_EQ(out.destination, Destination::relay);
    EXPECT_TRUE(out.reply->broadcast);
    EXPECT_EQ(out.reply->giaddr, "10.9.0.1"_ip);
}

TEST_F(DhcpCorner, ReplyToAClientWithoutAnAddressIsBroadcastWhenFlaggedElseAFrameToItsMac) {
    Message m = discover(kMac1);
    EXPECT_EQ(handle(m).destination, Destination::link);
    m.broadcast = true;
    EXPECT_EQ(handle(m).destination, Destination::broadcast);
}

// ---- clocks and sizes

TEST_F(DhcpCorner, LeasesRunByAClockThatDoesNotJumpAndAreShownByTheWallClock) {
    const Ip address = *lease(server, kMac1, at(0));
    Now later = at(1800);
    later.wall += std::chrono::days(400);  // somebody set the clock
    EXPECT_TRUE(server.tick(later).empty());
    EXPECT_EQ(as_of(*server.leases().by_address(address), later).expires, later.wall + std::chrono::seconds(1800));
    later.time += std::chrono::seconds(1800);  // asleep as well as awake
    EXPECT_EQ(server.tick(later).size(), 1U);
}

TEST_F(DhcpCorner, InfiniteIsInfiniteOnTheWireInTheTableAndInTheFile) {
    Spec spec = small_network();
    spec.subnets[0].lease = std::chrono::seconds(0);
    server.configure(spec);
    const Outcome out = handle(selecting(kMac1, kTen));
    EXPECT_EQ(out.reply->options.u32(Opt::lease_time), 0xffffffffU);
    EXPECT_EQ(out.events.back().lease.expires, kNever);
    EXPECT_TRUE(server.tick(at(1'000'000'000)).empty());
    const auto replay = journal::replay(kUuid, journal::header(kUuid) + journal::line_for(out.events.back()));
    ASSERT_TRUE(replay);
    Server again{spec};
    again.restore(replay->records, at(2'000'000'000));
    EXPECT_EQ(again.leases().active(), 1U);
    EXPECT_EQ(again.leases().by_port(kMac1)->lease.expires, kNever);
    EXPECT_TRUE(again.tick(at(3'000'000'000)).empty());
}

TEST(DhcpCornerBytes, LongOptionsAreSplitAndJoinedAndOverloadedFieldsAreRead) {  // RFC 3396
    Message m = discover(kMac1);
    Bytes value(600);
    for (std::size_t i = 0; i < value.size(); ++i) {
        value[i] = static_cast<std::byte>(i % 251);
    }
    m.options.put(Opt::vendor, value);
    const Bytes encoded = encode(m, kLargestSize);
    const auto decoded = decode(encoded);
    ASSERT_TRUE(decoded);
    EXPECT_TRUE(std::ranges::equal(decoded->options.bytes(Opt::vendor), value));
    // Overload 3: the host name is in `file`, the requested address in `sname`.
    ByteWriter out;
    out.bytes(ByteView(encode(discover(kMac1))).first(44));
    out.bytes(bytes({50, 4, 192, 168, 122, 12, 255}));
    out.fill(kSname - 7);
    out.bytes(bytes({12, 3, 'v', 'm', '1', 255}));
    out.fill(kFile - 6);
    out.bytes(bytes({0x63, 0x82, 0x53, 0x63, 53, 1, 1, 52, 1, 3, 255}));
    const auto overloaded = decode(out.view());
    ASSERT_TRUE(overloaded) << overloaded.error().message;
    EXPECT_EQ(overloaded->options.text(Opt::hostname), "vm1");
    EXPECT_EQ(overloaded->options.ip(Opt::requested_ip), "192.168.122.12"_ip);
}

TEST(DhcpCornerBytes, TheMaximumMessageSizeIsHonouredElse576AndOptionsGoInAFixedOrder) {
    Spec spec = small_network();
    for (std::uint8_t code = 200; code < 210; ++code) {
        spec.options.push_back({.code = code, .value = std::vector<std::uint8_t>(60, code), .force = true});
    }
    Server server{spec};
    const auto answer = [&](std::uint16_t most) {
        Message m = discover(kMac1);
        if (most != 0) {
            m.options.put_u16(Opt::max_size, most);
        }
        const Bytes bytes = encode(*server.handle(m, false, at(0)).reply, size_limit(m));
        return std::pair(bytes.size() + kHeaders, *decode(bytes));
    };
    const auto [usual, small] = answer(0);
    EXPECT_LE(usual, 576U);
    EXPECT_TRUE(small.options.has(Opt::server_id) && small.options.has(Opt::subnet_mask) &&
                small.options.has(Opt::router) && small.options.has(Opt::lease_time));
    EXPECT_TRUE(small.options.has(Opt(200)));
    EXPECT_FALSE(small.options.has(Opt(209)));  // the last goes first
    const auto [big, all] = answer(1400);
    EXPECT_LE(big, 1400U);
    EXPECT_TRUE(all.options.has(Opt(209)));
    EXPECT_LE(answer(300).first, 576U);  // less than everybody must take
}

TEST_F(DhcpCorner, SecsChangeNothing) {
    Message m = discover(kMac1);
    const Outcome first = handle(m);
    m.secs = 65535;
    const Outcome again = handle(m);
    ASSERT_TRUE(first.reply && again.reply);
    EXPECT_EQ(*first.reply, *again.reply);
}

// ---- leases kept by identifier (RFC 4361)

struct DhcpByIdentifier : DhcpCorner {
    DhcpByIdentifier() { server.configure(strict()); }
    static Spec strict() {
        Spec spec = small_network();
        spec.key_by_client_id = true;
        return spec;
    }
    std::optional<Ip> got(const MacAddr& mac, std::initializer_list<int> id, std::int64_t when) {
        const Outcome offer = handle(identified(discover(mac), id), when);
        if (!offer.reply) {
            return std::nullopt;
        }
        const Outcome ack = handle(identified(selecting(mac, offer.reply->yiaddr), id), when);
        return ack.reply && ack.reply->type == MessageType::ack ? std::optional(ack.reply->yiaddr) : std::nullopt;
    }
};

TEST_F(DhcpByIdentifier, ClientsBehindOnePortHaveAnAddressEach) {
    const auto one = got(kMac1, {255, 1}, 0), two = got(kMac1, {255, 2}, 0), none = lease(server, kMac1, at(0));
    ASSERT_TRUE(one && two && none);
    EXPECT_TRUE(*one != *two && *one != *none && *two != *none);
    EXPECT_EQ(server.leases().active(), 3U);
    EXPECT_EQ(type(handle(identified(renewing(kMac1, *two), {255, 2}), 1, true)), MessageType::ack);
    EXPECT_EQ(type(handle(identified(renewing(kMac1, *one), {255, 2}), 1, true)), MessageType::nak);
    handle(identified(release(kMac1, *one), {255, 1}), 2);
    EXPECT_EQ(server.leases().active(), 2U);
    EXPECT_EQ(server.revoke(kMac1).size(), 2U);  // the port is gone with all of them
}

TEST_F(DhcpByIdentifier, OneIdentifierIsOneClientWhereverItIsShown) {
    const auto here = got(kMac1, {255, 7}, 0);
    ASSERT_TRUE(here);
    const Outcome moved = handle(identified(selecting(kMac2, *here), {255, 7}), 1);
    ASSERT_EQ(type(moved), MessageType::ack);
    ASSERT_EQ(moved.events.size(), 2U);  // the port that had it loses it, the other has it
    EXPECT_EQ(moved.events[0].lease.port, kMac1);
    EXPECT_EQ(moved.events[1].lease.port, kMac2);
    EXPECT_EQ(server.leases().active(), 1U);
}

TEST_F(DhcpByIdentifier, TheFileBringsBackWhoseLeaseItIs) {
    const auto one = got(kMac1, {255, 1}, 0), two = got(kMac1, {255, 2}, 0);
    ASSERT_TRUE(one && two);
    std::string file = journal::snapshot(kUuid, server.leases(), at(0));
    for (const LeaseEvent& event : handle(identified(release(kMac1, *two), {255, 2}), 1).events) {
        file += journal::line_for(event);
    }
    const auto replay = journal::replay(kUuid, file);
    ASSERT_TRUE(replay && replay->clean());
    Server again{strict()};
    again.restore(replay->records, at(2));
    EXPECT_EQ(again.leases().active(), 1U);
    EXPECT_EQ(again.handle(identified(renewing(kMac1, *one), {255, 1}), true, at(3)).reply->type, MessageType::ack);
}

TEST_F(DhcpByIdentifier, SwitchingTheNetworkOverTakesNobodysAddress) {
    const auto one = got(kMac1, {255, 1}, 0), two = got(kMac1, {255, 2}, 0);
    ASSERT_TRUE(one && two);
    server.configure(small_network());
    EXPECT_EQ(server.leases().active(), 2U);  // one of them stays until it ends
    EXPECT_NE(lease(server, kMac2, at(1)), *one);
    EXPECT_NE(lease(server, kMac3, at(1)), *two);
    server.configure(strict());
    EXPECT_EQ(type(handle(identified(renewing(kMac1, *one), {255, 1}), 2, true)), MessageType::ack);
    EXPECT_EQ(type(handle(identified(renewing(kMac1, *two), {255, 2}), 2, true)), MessageType::ack);
}

// ---- option 82

struct DhcpLine : DhcpCorner {
    DhcpLine() {
        Spec spec = small_network();
        spec.subnets.push_back({.server = {"10.9.0.1"_ip, 24}, .ranges = {{"10.9.0.10"_ip, "10.9.0.20"_ip}}});
        spec.subnets.back().relayed = true;
        spec.subnets.back().hosts = {{.name = "web", .address = "10.9.0.50"_ip, .circuit_id = {'e', '0'}},
                                     {.address = "10.9.0.51"_ip, .circuit_id = {'e', '1'}, .remote_id = {7}}};
        server.configure(spec);
    }
    static Message from_line(Message m, std::initializer_list<int> info) {
        m = relayed(std::move(m));
        m.options.put(Opt::relay_info, bytes(info));
        return m;
    }
};

TEST_F(DhcpLine, AReservationForALineIsFoundByItsCircuitAndRemoteId) {
    EXPECT_EQ(handle(from_line(discover(kMac1), {1, 2, 'e', '0'})).reply->yiaddr, "10.9.0.50"_ip);
    EXPECT_EQ(handle(from_line(discover(kMac2), {1, 2, 'e', '1', 2, 1, 7})).reply->yiaddr, "10.9.0.51"_ip);
    EXPECT_NE(handle(from_line(discover(kMac3), {1, 2, 'e', '1', 2, 1, 8})).reply->yiaddr, "10.9.0.51"_ip);
    EXPECT_NE(handle(relayed(discover(kMac3))).reply->yiaddr, "10.9.0.50"_ip);
    Message forged = discover(kMac3);  // not through a relay
    forged.options.put(Opt::relay_info, bytes({1, 2, 'e', '0'}));
    EXPECT_NE(handle(forged).reply->yiaddr, "10.9.0.50"_ip);
}

TEST_F(DhcpLine, WhoHasItRenewsWithoutTheRelayAndTheOptionComesBackAsItWent) {
    const Outcome ack = handle(from_line(selecting(kMac1, "10.9.0.50"_ip), {1, 2, 'e', '0', 9, 1, 1}));
    ASSERT_EQ(type(ack), MessageType::ack) << ack.why;
    EXPECT_TRUE(std::ranges::equal(ack.reply->options.bytes(Opt::relay_info), bytes({1, 2, 'e', '0', 9, 1, 1})));
    EXPECT_EQ(ack.reply->options.all().back().code, Opt::relay_info);
    EXPECT_EQ(ack.reply->options.text(Opt::hostname), "web");
    const Outcome renewed = handle(renewing(kMac1, "10.9.0.50"_ip), 100, true);
    EXPECT_EQ(type(renewed), MessageType::ack) << renewed.why;
    EXPECT_FALSE(renewed.reply->options.has(Opt::relay_info));
    EXPECT_EQ(type(handle(renewing(kMac2, "10.9.0.50"_ip), 101, true)), MessageType::nak);
}

struct DhcpLinePool : DhcpLine {
    DhcpLinePool() {
        Spec spec = server.spec();
        spec.subnets.back().ranges = {
            {.first = "10.9.0.12"_ip, .last = "10.9.0.13"_ip, .lease = std::chrono::seconds(99), .circuit_id = {'a'}},
            {.first = "10.9.0.60"_ip, .last = "10.9.0.60"_ip, .circuit_id = {'b'}, .remote_id = {7}},
            {"10.9.0.10"_ip, "10.9.0.14"_ip}};
        server.configure(spec);
    }
    std::optional<Ip> take(const MacAddr& mac, std::initializer_list<int> info, int second = 0) {
        const Outcome offer = handle(from_line(discover(mac), info), second);
        if (!offer.reply) {
            return std::nullopt;
        }
        const Outcome ack = handle(from_line(selecting(mac, offer.reply->yiaddr), info), second);
        EXPECT_EQ(type(ack), MessageType::ack) << ack.why;
        return offer.reply->yiaddr;
    }
};

TEST_F(DhcpLinePool, WhoIsOnTheLineGetsItsAddressesAndNoOthers) {
    EXPECT_EQ(take(kMac1, {1, 1, 'b', 2, 1, 7}), "10.9.0.60"_ip);
    std::set<Ip> got;
    for (const MacAddr& mac : {kMac2, kMac3}) {
        got.insert(take(mac, {1, 1, 'a'}).value());
    }
    EXPECT_EQ(got, (std::set{"10.9.0.12"_ip, "10.9.0.13"_ip}));
    const MacAddr late{{2, 0, 0, 0, 0, 9}};
    EXPECT_EQ(take(late, {1, 1, 'a'}), std::nullopt);  // its line has no more
}

TEST_F(DhcpLinePool, OthersGetNoneOfThemThoughTheRangesOverlap) {
    std::set<Ip> got;
    for (std::uint8_t i = 0; i < 5; ++i) {
        if (const auto address = take(MacAddr{{2, 0, 0, 0, 1, i}}, {1, 1, 'b', 2, 1, 8})) {
            got.insert(*address);
        }
    }
    EXPECT_EQ(got, (std::set{"10.9.0.10"_ip, "10.9.0.11"_ip, "10.9.0.14"_ip}));
    EXPECT_EQ(type(handle(from_line(selecting(kMac1, "10.9.0.12"_ip), {1, 1, 'c'}))), MessageType::nak);
    EXPECT_NE(lease(server, kMac1, at(0)), std::nullopt);  // on the bridge: of its own subnet
}

TEST_F(DhcpLinePool, WhoHasOneRenewsWithoutTheRelayForItsTime) {
    const auto address = take(kMac1, {1, 1, 'a'});
    ASSERT_TRUE(address);
    const Outcome renewed = handle(renewing(kMac1, *address), 50, true);
    ASSERT_EQ(type(renewed), MessageType::ack) << renewed.why;
    EXPECT_EQ(renewed.reply->options.u32(Opt::lease_time), 99U);
    EXPECT_EQ(type(handle(from_line(selecting(kMac1, *address), {1, 1, 'c'}), 60)), MessageType::nak);  // it moved
}

// ---- reservations, live

TEST_F(DhcpCorner, ReservationsByIdentifierAndByNameComeAndGoWhileServing) {
    const Ip before = *lease(server, kMac1, at(0), "vm1");
    Spec spec = small_network();
    spec.subnets[0].hosts.push_back({.name = "vm1", .address = "192.168.122.60"_ip});
    spec.subnets[0].hosts.push_back({.address = "192.168.122.61"_ip, .client_id = {1, 2}});
    server.configure(spec);
    EXPECT_EQ(type(handle(named(renewing(kMac1, before), "vm1"), 1, true)), MessageType::nak);
    EXPECT_EQ(lease(server, kMac1, at(2), "vm1"), "192.168.122.60"_ip);
    EXPECT_EQ(handle(identified(discover(kMac2), {1, 2}), 3).reply->yiaddr, "192.168.122.61"_ip);
    server.configure(small_network());
    EXPECT_EQ(type(handle(named(renewing(kMac1, "192.168.122.60"_ip), "vm1"), 4, true)), MessageType::nak);
    EXPECT_EQ(lease(server, kMac1, at(5), "vm1"), before);
}

}  // namespace
}  // namespace bascule::dhcp
