// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/forwarder.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/dhcp/fixtures.h"

namespace bascule::dhcp {
namespace {

using namespace test;

const wire::Resolver kFirst{"198.51.100.1"_ip, 53}, kSecond{"198.51.100.2"_ip, 53};

struct ForwarderTest : testing::Test {
    std::mt19937 random{1};
    Forwarder forwarder{[this] { return static_cast<std::uint32_t>(random()); }};
    Forwarder::Client guest{kUuid, 0, "192.168.122.10"_ip, 40000};

    void SetUp() override { forwarder.configure({kFirst, kSecond}, 8, 0); }
    Forwarder::Step ask(const Bytes& query, const Forwarder::Client& client, std::int64_t when = 0) {
        return forwarder.ask(client, *decode_query(query), query, at(when).time);
    }
    Forwarder::Step ask(const Bytes& query) { return ask(query, guest); }
};

Bytes reply_to(const Bytes& query, int rcode = 0, std::size_t extra = 0) {
    Bytes out = query;
    out[2] = std::byte{0x81};
    out[3] = static_cast<std::byte>(0x80 | rcode);
    out.resize(out.size() + extra);
    return out;
}

std::uint16_t id_of(ByteView datagram) { return decode_header(datagram)->id; }

TEST_F(ForwarderTest, AQueryGoesOutUnderAnotherIdAndItsReplyComesBackUnderTheClients) {
    const Bytes query = dns_query("example.org", kTypeA, 0x4242);
    const auto out = ask(query);
    ASSERT_EQ(out.send.size(), 1U);
    EXPECT_TRUE(out.send[0].to == kFirst);
    EXPECT_LT(out.send[0].socket, 8U);
    const auto back = forwarder.reply(out.send[0].socket, kFirst, reply_to(out.send[0].datagram), at(0).time);
    ASSERT_EQ(back.deliver.size(), 1U);
    EXPECT_EQ(id_of(back.deliver[0].datagram), 0x4242);
    EXPECT_TRUE(back.deliver[0].to == guest);
    EXPECT_EQ(forwarder.outstanding(), 0U);
}

TEST_F(ForwarderTest, OnlyTheReplyThatWasAskedForCounts) {
    const auto sent = ask(dns_query("example.org", kTypeA)).send.at(0);
    const Bytes good = reply_to(sent.datagram);
    Bytes other_id = good, query_again = sent.datagram;
    other_id[0] ^= std::byte{1};
    Bytes other_question = reply_to(dns_query("example.net", kTypeA));
    other_question[0] = good[0];
    other_question[1] = good[1];
    Bytes other_type = good;
    other_type[other_type.size() - 3] = std::byte{28};
    const auto dropped = [&](std::size_t socket, const wire::Resolver& from, ByteView datagram) {
        return forwarder.reply(socket, from, datagram, at(0).time).deliver.empty();
    };
    EXPECT_TRUE(dropped((sent.socket + 1) % 8, kFirst, good)) << "on another socket";
    EXPECT_TRUE(dropped(sent.socket, kSecond, good)) << "from another server";
    EXPECT_TRUE(dropped(sent.socket, {kFirst.address, 5353}, good)) << "from another port";
    EXPECT_TRUE(dropped(sent.socket, kFirst, other_id));
    EXPECT_TRUE(dropped(sent.socket, kFirst, other_question));
    EXPECT_TRUE(dropped(sent.socket, kFirst, other_type));
    EXPECT_TRUE(dropped(sent.socket, kFirst, query_again)) << "not a response";
    EXPECT_TRUE(dropped(sent.socket, kFirst, ByteView(good).first(11)));
    EXPECT_TRUE(dropped(sent.socket, kFirst, {}));
    EXPECT_EQ(forwarder.counters().unasked, 9U);
    EXPECT_FALSE(dropped(sent.socket, kFirst, good));
    EXPECT_TRUE(dropped(sent.socket, kFirst, good)) << "a second time";
}

TEST_F(ForwarderTest, IdsAndSocketsAreSpread) {
    std::set<std::uint16_t> ids;
    std::set<std::size_t> sockets;
    for (int i = 0; i < 200; ++i) {
        const auto out = ask(dns_query("n" + std::to_string(i) + ".org", kTypeA));
        ids.insert(id_of(out.send.at(0).datagram));
        sockets.insert(out.send[0].socket);
    }
    EXPECT_GT(ids.size(), 190U);
    EXPECT_EQ(sockets.size(), 8U);
}

TEST_F(ForwarderTest, EqualQuestionsWaitForOneQuery) {
    Forwarder::Client other = guest;
    other.port = 40001;
    const auto first = ask(dns_query("example.org", kTypeA, 1));
    EXPECT_TRUE(ask(dns_query("example.org", kTypeA, 2), other).send.empty());
    EXPECT_TRUE(ask(dns_query("example.org", kTypeA, 2), other).send.empty()) << "the same client once more";
    EXPECT_EQ(ask(dns_query("example.org", kTypeAaaa, 3)).send.size(), 1U);
    const auto back = forwarder.reply(first.send[0].socket, kFirst, reply_to(first.send[0].datagram), at(0).time);
    ASSERT_EQ(back.deliver.size(), 2U);
    EXPECT_EQ(id_of(back.deliver[0].datagram), 1);
    EXPECT_EQ(id_of(back.deliver[1].datagram), 2);
}

TEST_F(ForwarderTest, ASilentServerIsFollowedByTheNextAndInTheEndByServfail) {
    auto step = ask(dns_query("example.org", kTypeA, 9));
    std::set<std::uint32_t> draws;
    std::vector<wire::Resolver> asked;
    for (int i = 0; i < 4; ++i) {
        ASSERT_EQ(step.send.size(), 1U);
        asked.push_back(step.send[0].to);
        draws.insert(static_cast<std::uint32_t>(step.send[0].socket << 16) | id_of(step.send[0].datagram));
        const Time due = forwarder.next_tick();
        EXPECT_TRUE(forwarder.tick(due - std::chrono::milliseconds(1)).send.empty());
        step = forwarder.tick(due);
    }
    EXPECT_TRUE(asked[0] == kFirst && asked[1] == kSecond && asked[2] == kFirst && asked[3] == kSecond);
    EXPECT_EQ(draws.size(), 4U) << "each try draws anew";
    ASSERT_EQ(step.deliver.size(), 1U);
    EXPECT_EQ(decode_header(step.deliver[0].datagram)->rcode, Rcode::serv_fail);
    EXPECT_EQ(id_of(step.deliver[0].datagram), 9);
    EXPECT_EQ(forwarder.outstanding(), 0U);
    EXPECT_EQ(forwarder.next_tick(), kEndOfTime);
}

TEST_F(ForwarderTest, TheServerThatAnsweredIsAskedFirstFromThenOn) {
    const auto first = ask(dns_query("a.org", kTypeA));
    const auto second = forwarder.tick(forwarder.next_tick());
    forwarder.reply(second.send[0].socket, kSecond, reply_to(second.send[0].datagram), at(2).time);
    EXPECT_TRUE(ask(dns_query("b.org", kTypeA)).send[0].to == kSecond);
}

TEST_F(ForwarderTest, AServersOwnFailureGoesToTheNextServerOnce) {
    const auto first = ask(dns_query("a.org", kTypeA)).send[0];
    const auto second = forwarder.reply(first.socket, kFirst, reply_to(first.datagram, 2), at(0).time);
    ASSERT_EQ(second.send.size(), 1U);
    EXPECT_TRUE(second.send[0].to == kSecond);
    const auto end = forwarder.reply(second.send[0].socket, kSecond, reply_to(second.send[0].datagram, 5), at(0).time);
    ASSERT_EQ(end.deliver.size(), 1U);
    EXPECT_EQ(decode_header(end.deliver[0].datagram)->rcode, Rcode::refused);
    const auto third = ask(dns_query("b.org", kTypeA)).send[0];
    EXPECT_EQ(forwarder.reply(third.socket, third.to, reply_to(third.datagram, 3), at(0).time).deliver.size(), 1U)
        << "NXDOMAIN is an answer";
}

TEST_F(ForwarderTest, OneClientCannotUseUpWhatOthersNeed) {
    std::size_t refused = 0;
    for (std::size_t i = 0; i < Forwarder::kMostPerClient + 50; ++i) {
        const auto out = ask(dns_query("n" + std::to_string(i) + ".org", kTypeA));
        for (const auto& deliver : out.deliver) {
            EXPECT_EQ(decode_header(deliver.datagram)->rcode, Rcode::refused);
            ++refused;
        }
    }
    EXPECT_EQ(refused, 50U);
    Forwarder::Client other = guest;
    other.address = "192.168.122.11"_ip;
    EXPECT_EQ(ask(dns_query("m.org", kTypeA), other).send.size(), 1U);
}

TEST_F(ForwarderTest, ManyClientsAreBoundedPerNetworkAndInAll) {
    std::map<Uuid, std::size_t> sent;
    for (unsigned n = 0; n < 3; ++n) {
        Forwarder::Client client = guest;
        client.network.octets[0] = static_cast<std::uint8_t>(n);
        for (unsigned i = 0; i < Forwarder::kMostPerNetwork + 9; ++i) {
            client.address = Ip::v4(0x0a000000U + i);
            sent[client.network] +=
                ask(dns_query("n" + std::to_string(n * 10000 + i) + ".org", kTypeA), client).send.size();
        }
    }
    std::size_t all = 0;
    for (const auto& [network, count] : sent) {
        EXPECT_LE(count, Forwarder::kMostPerNetwork);
        all += count;
    }
    EXPECT_EQ(all, Forwarder::kMost);
    EXPECT_EQ(forwarder.outstanding(), Forwarder::kMost);
}

TEST_F(ForwarderTest, TheClientsEdnsPassesThroughButForItsSize) {
    const Bytes query = dns_query("example.org", kTypeA, 5, 4096);
    const auto out = ask(query);
    Bytes expected = query;
    expected[0] = out.send[0].datagram[0];
    expected[1] = out.send[0].datagram[1];
    const std::size_t at_size = decode_query(query)->edns->size_at;
    expected[at_size] = std::byte{1232 >> 8};
    expected[at_size + 1] = std::byte{1232 & 0xff};
    EXPECT_EQ(out.send[0].datagram, expected);
}

TEST_F(ForwarderTest, AReplyLongerThanTheClientTakesIsTruncated) {
    const auto out = ask(dns_query("example.org", kTypeA, 5));
    const auto back = forwarder.reply(out.send[0].socket, kFirst, reply_to(out.send[0].datagram, 0, 600), at(0).time);
    EXPECT_TRUE(decode_header(back.deliver[0].datagram)->truncated);
    EXPECT_LE(back.deliver[0].datagram.size(), 512U);
    const auto with_edns = ask(dns_query("example.org", kTypeA, 5, 1232));
    const auto whole =
        forwarder.reply(with_edns.send[0].socket, kFirst, reply_to(with_edns.send[0].datagram, 0, 600), at(0).time);
    EXPECT_FALSE(decode_header(whole.deliver[0].datagram)->truncated);
}

TEST_F(ForwarderTest, WithoutServersOrSocketsEverythingIsRefused) {
    forwarder.configure({}, 8, 0);
    EXPECT_EQ(ask(dns_query("a.org", kTypeA)).deliver.size(), 1U);
    forwarder.configure({kFirst}, 0, 8);  // sockets of the other family only
    EXPECT_EQ(ask(dns_query("a.org", kTypeA)).deliver.size(), 1U);
    forwarder.configure({{"2001:db8::1"_ip, 53}}, 8, 8);
    const auto out = ask(dns_query("a.org", kTypeA));
    ASSERT_EQ(out.send.size(), 1U);
    EXPECT_GE(out.send[0].socket, 8U);
}

TEST_F(ForwarderTest, ServersThatGoAwayWhileQueriesAreOutAreNotAskedAgain) {
    ask(dns_query("a.org", kTypeA));
    forwarder.configure({}, 8, 0);
    const auto step = forwarder.tick(forwarder.next_tick());
    EXPECT_TRUE(step.send.empty());
    EXPECT_EQ(step.deliver.size(), 1U);
}

TEST_F(ForwarderTest, ANetworkThatIsGoneIsNotAnswered) {
    const auto out = ask(dns_query("a.org", kTypeA));
    forwarder.forget(kUuid);
    EXPECT_TRUE(
        forwarder.reply(out.send[0].socket, kFirst, reply_to(out.send[0].datagram), at(0).time).deliver.empty());
}

}  // namespace
}  // namespace bascule::dhcp
