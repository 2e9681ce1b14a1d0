// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/wire.h"

#include <gtest/gtest.h>

#include "kernel/helper_channel.h"
#include "tests/dhcp/fixtures.h"

namespace bascule::dhcp::wire {
namespace {

using namespace dhcp::test;

Network full_network() {
    Spec spec = small_network();
    spec.subnets.push_back({.server = {"fd00::1"_ip, 64}, .lease = std::chrono::seconds(0)});
    spec.domain_local = true;
    spec.mtu = 9000;
    spec.gateway = false;
    spec.forward_dns = false;
    spec.serve_dns = false;
    spec.dns.texts = {{"_dmarc.example.test", "v=DMARC1"}};
    spec.dns.services = {{.service = "ldap", .protocol = "tcp", .target = "db", .port = 389}};
    spec.dns.aliases = {{"ftp", "db"}};
    spec.dns.forwarders = {{"lan.test", "10.0.0.1"_ip, 5353}, {"out.lan.test", std::nullopt, 53}};
    spec.dns.guests = {{kMac1, "vm 1"}};
    spec.dns.forward_plain_names = false;
    spec.dns.private_answers = true;
    spec.file_root = "/srv/tftp";
    return {spec, {.dhcp = true, .raw = true, .dns = {0, 1}, .dns_tcp = {0}, .tftp = {1}, .http = {0}, .root = true}};
}

Lease full_lease() {
    return {.network = kUuid,
            .port = kMac1,
            .address = "192.168.122.10"_ip,
            .prefix_length = 24,
            .expires = at(5).wall,
            .hostname = std::string(63, 'h'),
            .client_id = std::vector<std::uint8_t>(255, 7)};
}

TEST(HelperWire, EveryMessageToTheServiceComesBack) {
    const std::vector<ToService> messages{
        Begin{7},
        full_network(),
        NetworkPart{kUuid, 1, {{kMac1, "", std::nullopt}}, {{kServer, {"a", "b.c"}}}, {}},
        Upstreams{{{"9.9.9.9"_ip, 53}, {"2620:fe::fe"_ip, 5353}}, {8, 4, 2, 1}, {"corp.example"}},
        Upstreams{},
        Guests{kUuid, {{kMac1, "vm1"}, {kMac2, ""}}},
        Commit{~0ULL},
        RevokeLease{kUuid, kMac2},
        Listen{},
        Watch{{.index = 7,
               .name = *IfName::parse("vnet0"),
               .mac = kMac1,
               .any = true,
               .v4 = true,
               .known = {{kServer, Time(std::chrono::milliseconds(12345)), true}, {"fe80::1"_ip, kEndOfTime, false}}}},
        Unwatch{7, true},
        Begin{8, 7, {kUuid, Uuid{}}},
        Begin{1, 0},
    };
    for (const ToService& message : messages) {
        const auto bytes = encode(message);
        ASSERT_TRUE(bytes);
        const auto again = decode_to_service(*bytes);
        ASSERT_TRUE(again) << again.error().message;
        EXPECT_TRUE(*again == message) << message.index();
        EXPECT_FALSE(decode_to_daemon(*bytes)) << "the wrong direction";
    }
    EXPECT_EQ(descriptors(messages[1]), 9U);
    EXPECT_EQ(descriptors(messages[3]), 15U);
    EXPECT_EQ(descriptors(messages[8]), 1U);
}

TEST(HelperWire, EveryMessageToTheDaemonComesBack) {
    Lease endless = full_lease();
    endless.expires = kNever;
    endless.hostname.clear();
    endless.client_id.clear();
    const std::vector<ToDaemon> messages{
        Hello{1234, 9, true},
        Held{kUuid, *IfName::parse("virbr0"), {true, false, {1}}},
        HeldUpstreams{{8, 0, 0, 0}},
        Leases{true, {{LeaseEventKind::added, full_lease()}, {LeaseEventKind::expired, endless}}},
        Leases{},
        Leases{false, {}, {{kUuid, {1, 2, 3, 4, 5, 6, ~0ULL}}, {Uuid{}, {}}}},
        Synced{3, {{kUuid, "no DHCP: disk full"}}},
        Synced{3, {}, true, true},
        Learned{7, {{kServer, Time(std::chrono::milliseconds(12345)), true}}},
        Learned{8, {}},
    };
    for (const ToDaemon& message : messages) {
        const auto bytes = encode(message);
        ASSERT_TRUE(bytes);
        const auto again = decode_to_daemon(*bytes);
        ASSERT_TRUE(again) << again.error().message;
        EXPECT_TRUE(*again == message) << message.index();
    }
    EXPECT_EQ(descriptors(messages[1]), 2U);
    EXPECT_EQ(descriptors(messages[2]), 8U);
}

TEST(HelperWire, AsManyLeasesAsAMessageMayHoldFit) {
    EXPECT_TRUE(encode(
        ToDaemon(Leases{true, std::vector<LeaseEvent>(kMaxLeasesPerMessage, {LeaseEventKind::added, full_lease()})})));
}

TEST(HelperWire, ANetworkOfManyHostsIsSentInPartsAndPutTogetherInOrder) {
    Network network = full_network();
    for (unsigned i = 0; i < 3000; ++i) {
        network.spec.subnets[0].hosts.push_back(
            {MacAddr{{2, 0, 0, 0, static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i)}},
             "host-" + std::to_string(i), Ip::v4(0x0a000000U + i)});
        network.spec.dns_hosts.push_back({Ip::v4(0x0b000000U + i), {"name-" + std::to_string(i)}});
    }
    EXPECT_FALSE(encode(ToService(network))) << "too long for one message";
    const auto parts = encode_network(network);
    ASSERT_TRUE(parts) << parts.error().message;
    EXPECT_GT(parts->size(), 2U);
    auto head = decode_to_service(parts->front());
    ASSERT_TRUE(head);
    Network again = std::get<Network>(*head);
    for (std::size_t i = 1; i < parts->size(); ++i) {
        const auto message = decode_to_service((*parts)[i]);
        ASSERT_TRUE(message);
        const auto& part = std::get<NetworkPart>(*message);
        auto& hosts = again.spec.subnets[part.subnet].hosts;
        hosts.insert(hosts.end(), part.hosts.begin(), part.hosts.end());
        again.spec.dns_hosts.insert(again.spec.dns_hosts.end(), part.dns_hosts.begin(), part.dns_hosts.end());
        const auto add = [](auto& to, const auto& more) { to.insert(to.end(), more.begin(), more.end()); };
        add(again.spec.dns.texts, part.dns.texts);
        add(again.spec.dns.services, part.dns.services);
        add(again.spec.dns.aliases, part.dns.aliases);
        add(again.spec.dns.guests, part.dns.guests);
    }
    EXPECT_EQ(again, network);
}

TEST(HelperWire, ValuesOutOfBoundsAreRefused) {
    Network no_subnet = full_network();
    no_subnet.sockets.dns = {7};
    Network bad_range = full_network();
    bad_range.spec.subnets[0].ranges = {{"192.168.122.9"_ip, "192.168.122.2"_ip}};
    Network bad_length = full_network();
    bad_length.spec.subnets[0].server.length = 33;
    Network bad_name = full_network();
    bad_name.spec.subnets[0].hosts[0].name = "a b";
    Network bad_domain = full_network();
    bad_domain.spec.domain = "..";
    Network bad_lease_time = full_network();
    bad_lease_time.spec.subnets[0].lease = std::chrono::seconds(1LL << 33);
    for (const Network& network : {no_subnet, bad_range, bad_length, bad_name, bad_domain, bad_lease_time}) {
        const auto bytes = encode(ToService(network));
        ASSERT_TRUE(bytes);
        EXPECT_EQ(decode_to_service(*bytes).error().code, Code::malformed);
    }
    Lease long_id = full_lease();
    long_id.client_id.resize(256);
    Lease bad_host = full_lease();
    bad_host.hostname = "\n";
    for (const Lease& lease : {long_id, bad_host}) {
        EXPECT_FALSE(decode_to_daemon(*encode(ToDaemon(Leases{false, {{LeaseEventKind::added, lease}}}))));
    }
    EXPECT_FALSE(decode_to_service(*encode(ToService(Upstreams{{{Ip(), 53}}, {1, 0, 0, 0}, {}}))));
    EXPECT_FALSE(decode_to_service(*encode(ToService(Upstreams{{}, {200, 200, 0, 0}, {}}))));
}

TEST(HelperWire, EveryTruncationIsRefused) {
    const auto bytes = encode(ToService(full_network()));
    for (std::size_t size = 0; size < bytes->size(); ++size) {
        const auto decoded = decode_to_service(ByteView(*bytes).first(size));
        EXPECT_FALSE(decoded) << size;
    }
}

TEST(HelperWire, AnUnknownFieldIsPassedOver) {
    auto message = kernel::channel::decode(*encode(ToService(Commit{5})));
    message->fields.text(999, "from a newer daemon");
    EXPECT_TRUE(*decode_to_service(*kernel::channel::encode(*message)) == ToService(Commit{5}));
}

}  // namespace
}  // namespace bascule::dhcp::wire
