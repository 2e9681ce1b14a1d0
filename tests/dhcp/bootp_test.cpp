// SPDX-License-Identifier: GPL-2.0-or-later
// Clients of RFC 951, as RFC 1534 has a DHCP server serve them.
#include <gtest/gtest.h>

#include "dhcp/server.h"
#include "tests/dhcp/fixtures.h"

namespace bascule::dhcp {
namespace {

using namespace test;

struct DhcpBootp : testing::Test {
    Outcome ask(Message m, std::int64_t when = 0) { return server.handle(m, false, at(when)); }
    static Message request(const MacAddr& mac) { return from_client(MessageType::bootp, mac); }

    Server server{small_network()};
};

TEST_F(DhcpBootp, AReservationIsGivenInOneAnswerAndForEver) {
    Spec spec = small_network();
    spec.subnets[0].hosts[0].lease = std::chrono::seconds(600);
    spec.boot = {{.file = "pxelinux.0", .server = "192.168.122.5"_ip}};
    server.configure(spec);
    const Outcome out = ask(request(kReserved));
    ASSERT_TRUE(out.reply) << out.why;
    EXPECT_EQ(out.branch, "BOOTP");
    EXPECT_EQ(out.reply->type, MessageType::bootp);
    EXPECT_EQ(out.reply->yiaddr, kReservedIp);
    EXPECT_EQ(out.reply->siaddr, "192.168.122.5"_ip);
    EXPECT_EQ(out.reply->file, "pxelinux.0");
    EXPECT_EQ(out.destination, Destination::link);
    EXPECT_EQ(out.reply->options.ip(Opt::subnet_mask), "255.255.255.0"_ip);
    EXPECT_EQ(out.reply->options.ip(Opt::router), kServer);
    for (const Opt dhcp : {Opt::server_id, Opt::lease_time, Opt::renewal, Opt::rebinding}) {
        EXPECT_FALSE(out.reply->options.has(dhcp)) << option_name(dhcp);
    }
    ASSERT_EQ(out.events.size(), 1U);
    EXPECT_EQ(out.events[0].kind, LeaseEventKind::added);
    EXPECT_EQ(out.events[0].lease.expires, kNever);
    EXPECT_EQ(out.events[0].lease.hostname, "db");
    EXPECT_EQ(ask(request(kReserved), 100'000'000).reply->yiaddr, kReservedIp);
}

TEST_F(DhcpBootp, WithoutABootFileWeAreTheNextServer) { EXPECT_EQ(ask(request(kReserved)).reply->siaddr, kServer); }

TEST_F(DhcpBootp, WhoIsNobodysNicGetsNothingWithoutAReservation) {
    EXPECT_FALSE(ask(request(kMac1)).reply);
    EXPECT_FALSE(ask(named(request(kMac1), "byname")).reply);  // a name can be said by anybody
    EXPECT_EQ(server.leases().size(), 0U);
}

TEST_F(DhcpBootp, ANicOfADefinedGuestGetsOneAddressOfThePoolUntilItGoes) {
    server.presence().know(kMac1);
    const Ip address = ask(request(kMac1)).reply->yiaddr;
    EXPECT_EQ(ask(request(kMac1), 1'000'000).reply->yiaddr, address);
    EXPECT_EQ(server.leases().active(), 1U);
    EXPECT_EQ(server.revoke(kMac1).size(), 1U);
    EXPECT_EQ(server.leases().active(), 0U);
}

TEST_F(DhcpBootp, AnOperatingSystemThatSpeaksDhcpLaterHasALeaseAsAnyOther) {
    server.presence().know(kMac1);
    const Ip address = ask(request(kMac1)).reply->yiaddr;
    EXPECT_EQ(lease(server, kMac1, at(10)), address);
    EXPECT_NE(server.leases().by_port(kMac1)->lease.expires, kNever);
    EXPECT_EQ(server.tick(at(4000)).size(), 1U);
}

TEST_F(DhcpBootp, ARelayGetsTheAnswerForItsSubnet) {
    Spec spec = small_network();
    spec.subnets.push_back({.server = {"10.9.0.1"_ip, 24}});
    spec.subnets.back().relayed = true;
    spec.subnets.back().hosts = {{.mac = kMac2, .address = "10.9.0.9"_ip}};
    server.configure(spec);
    Message m = request(kMac2);
    m.giaddr = "10.9.0.1"_ip;
    m.hops = 1;
    const Outcome out = ask(m);
    ASSERT_TRUE(out.reply) << out.why;
    EXPECT_EQ(out.destination, Destination::relay);
    EXPECT_EQ(out.reply->yiaddr, "10.9.0.9"_ip);
    EXPECT_EQ(out.reply->giaddr, "10.9.0.1"_ip);
}

TEST_F(DhcpBootp, AReplyIsNotAnswered) {
    Message m = request(kReserved);
    m.reply = true;
    EXPECT_FALSE(ask(m).reply);
}

}  // namespace
}  // namespace bascule::dhcp
