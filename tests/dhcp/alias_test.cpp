// SPDX-License-Identifier: GPL-2.0-or-later
// Aliases of a definition that lead out of the network.
#include <gtest/gtest.h>

#include "dhcp/dns_reply.h"
#include "dhcp/forwarder.h"
#include "dhcp/zone.h"
#include "tests/dhcp/fixtures.h"

namespace bascule::dhcp {
namespace {

using namespace test;

Spec with_aliases() {
    Spec spec = small_network();
    spec.dns.aliases = {{"ftp.example.test", "cdn.elsewhere.example"},
                        {"up.example.test", "ftp.example.test"},
                        {"here.example.test", "host.example.test"},
                        {"gone.example.test", "nobody.example.test"}};
    spec.domain_local = true;
    return spec;
}

Reaction ask(const Spec& spec, std::string_view name, std::uint16_t type, std::uint16_t edns = 0) {
    const Server server{Spec(spec)};
    return react(dns_query(name, type, 0x1234, edns), Zone(spec), {server.leases()}, false);
}

// The question for cdn.elsewhere.example, answered with another alias and an address, names compressed.
Bytes reply_of(ByteView question) {
    ByteWriter out;
    out.bytes(question.first(2));
    out.bytes(bytes({0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0}));
    out.bytes(question.subspan(12, 27));
    out.bytes(bytes({0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 4, 1, 'x', 0xc0, 16}));  // x.elsewhere.example
    out.bytes(bytes({0xc0, 51, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 203, 0, 113, 7}));
    return out.take();
}

TEST(DnsAlias, OneThatLeadsElsewhereIsFollowedThroughTheForwarder) {
    const Reaction reaction = ask(with_aliases(), "Up.Example.test", kTypeA);
    const auto* const forward = std::get_if<Forward>(&reaction);
    ASSERT_NE(forward, nullptr);
    EXPECT_EQ(forward->query.name, dns_name("cdn.elsewhere.example"));
    EXPECT_EQ(forward->query.aliases.size(), 2U);

    Forwarder forwarder([] { return 7U; });
    forwarder.configure({{"192.0.2.53"_ip, 53}}, 1, 0);
    const Forwarder::Client client{.network = kUuid, .socket = 0, .address = "192.168.122.10"_ip, .port = 4000};
    const auto asked = forwarder.ask(client, forward->query, at(0).time);
    ASSERT_EQ(asked.send.size(), 1U);
    const auto got = forwarder.reply(0, asked.send[0].to, reply_of(asked.send[0].datagram), at(0).time);
    ASSERT_EQ(got.deliver.size(), 1U);

    const ByteView answer = got.deliver[0].datagram;
    const auto header = decode_header(answer);
    EXPECT_EQ(header->id, 0x1234);
    EXPECT_EQ(header->rcode, Rcode::no_error);
    EXPECT_EQ(header->answers, 4);
    const auto decoded = decode_reply(answer, forward->query.question);
    ASSERT_TRUE(decoded);
    EXPECT_EQ(decoded->answers[0].owner, dns_name("up.example.test"));
    EXPECT_EQ(decoded->answers[1].owner, dns_name("ftp.example.test"));
    EXPECT_EQ(decoded->answers[2].owner, dns_name("cdn.elsewhere.example"));
    EXPECT_EQ(decoded->answers[3].owner, dns_name("x.elsewhere.example"));
    Reply whole = *decoded;
    EXPECT_TRUE(tidy(whole, dns_name("up.example.test")));  // one unbroken chain
    // From the cache the same, with its own id.
    const auto again = forwarder.ask(client, forward->query, at(30).time);
    ASSERT_EQ(again.deliver.size(), 1U);
    EXPECT_EQ(decode_reply(again.deliver[0].datagram, forward->query.question)->answers[3].ttl, 30U);
}

TEST(DnsAlias, WhatCannotBeFollowedIsAnsweredWithTheAliasAlone) {
    Spec isolated = with_aliases();
    isolated.forward_dns = false;
    const Reaction no_way = ask(isolated, "ftp.example.test", kTypeA);
    EXPECT_EQ(decode_header(std::get<Bytes>(no_way))->answers, 1);
    const Reaction itself = ask(with_aliases(), "ftp.example.test", kTypeCname);
    EXPECT_EQ(decode_header(std::get<Bytes>(itself))->answers, 1);
    const Reaction local = ask(with_aliases(), "gone.example.test", kTypeA);
    ASSERT_NE(std::get_if<Bytes>(&local), nullptr);
    const Reaction inside = ask(with_aliases(), "here.example.test", kTypeA);
    EXPECT_EQ(decode_header(std::get<Bytes>(inside))->answers, 2);
}

TEST(DnsAlias, ARefusalAndAServersFailureKeepTheClientsQuestion) {
    const Reaction reaction = ask(with_aliases(), "ftp.example.test", kTypeA, 1232);
    const auto& query = std::get<Forward>(reaction).query;
    Forwarder forwarder([] { return 7U; });  // without a server
    const auto refused =
        forwarder.ask({.network = kUuid, .address = "192.168.122.10"_ip, .port = 1}, query, at(0).time);
    ASSERT_EQ(refused.deliver.size(), 1U);
    const auto decoded = decode_reply(refused.deliver[0].datagram, query.question);
    ASSERT_TRUE(decoded);
    EXPECT_EQ(decoded->rcode, Rcode::refused);
}

}  // namespace
}  // namespace bascule::dhcp
