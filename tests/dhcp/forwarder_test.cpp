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
        return forwarder.ask(client, *decode_query(query), at(when).time);
    }
    Forwarder::Step ask(const Bytes& query) { return ask(query, guest); }
};

// What a server answers: the question as it came, an address where there is no error, a text to make it longer.
Bytes reply_to(const Bytes& query, int rcode = 0, std::size_t extra = 0, std::uint32_t ttl = 60,
               const Ip& address = "203.0.113.7"_ip) {
    const auto decoded = decode_query(query);
    ByteWriter out;
    out.u16(decoded->header.id);
    out.u16(static_cast<std::uint16_t>(0x8180 | rcode));
    out.u16(1);
    out.u16(rcode == 0 ? (extra > 0 ? 2 : 1) : 0);
    out.u16(0);
    out.u16(1);
    out.bytes(decoded->question);
    const auto record = [&](std::uint16_t type, ByteView data) {
        out.u16(0xc00c);
        out.u16(type);
        out.u16(1);
        out.u32(ttl);
        out.u16(static_cast<std::uint16_t>(data.size()));
        out.bytes(data);
    };
    if (rcode == 0) {
        record(address.is_v4() ? kTypeA : kTypeAaaa,
               std::as_bytes(std::span(address.octets()).first(address.bits() / 8)));
    }
    if (rcode == 0 && extra > 0) {
        record(kTypeTxt, Bytes(extra));
    }
    write_opt(out, {});
    return out.take();
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
    other_type[12 + 13 + 1] = std::byte{28};
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

TEST_F(ForwarderTest, NothingThatAClientPutBesideItsQuestionLeaves) {
    Bytes query = dns_query("example.org", kTypeA, 5, 4096);
    const Bytes subnet = bytes({0, 8, 0, 7, 0, 1, 24, 0, 10, 1, 2});  // RFC 7871, the client's network
    query.insert(query.end(), subnet.begin(), subnet.end());
    query[query.size() - subnet.size() - 1] = static_cast<std::byte>(subnet.size());
    ASSERT_TRUE(decode_query(query));
    const auto out = decode_query(ask(query).send.at(0).datagram);
    ASSERT_TRUE(out);
    EXPECT_EQ(out->edns, (Edns{.size = 1232, .version = 0, .dnssec_ok = true}));
    EXPECT_EQ(ask(query).send.size(), 0U);
    const auto plain = ask(dns_query("example.net", kTypeA)).send.at(0).datagram;
    EXPECT_EQ(plain.size(), 12 + 17 + kOptSize) << "nothing but our own EDNS";
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

TEST_F(ForwarderTest, ServersThatGoAwayGetNoNewQueries) {
    ask(dns_query("a.org", kTypeA));
    forwarder.configure({}, 8, 0);
    const auto step = forwarder.tick(forwarder.next_tick());
    EXPECT_EQ(step.send.size(), 1U) << "to those it was meant for";
    EXPECT_EQ(ask(dns_query("b.org", kTypeA)).deliver.size(), 1U);
}

TEST_F(ForwarderTest, ANetworkThatIsGoneIsNotAnswered) {
    const auto out = ask(dns_query("a.org", kTypeA));
    forwarder.forget(kUuid);
    EXPECT_TRUE(
        forwarder.reply(out.send[0].socket, kFirst, reply_to(out.send[0].datagram), at(0).time).deliver.empty());
}

// ---- what is kept

TEST_F(ForwarderTest, AnAnswerIsKeptForItsTime) {
    const auto sent = ask(dns_query("Example.org", kTypeA, 1)).send.at(0);
    forwarder.reply(sent.socket, kFirst, reply_to(sent.datagram), at(0).time);
    const Bytes again = dns_query("eXAMPLE.org", kTypeA, 77);
    const auto hit = ask(again, guest, 10);
    ASSERT_EQ(hit.deliver.size(), 1U);
    EXPECT_TRUE(hit.send.empty());
    const Bytes& reply = hit.deliver[0].datagram;
    EXPECT_EQ(id_of(reply), 77);
    EXPECT_EQ(as_text(ByteView(reply).subspan(12, 13)), as_text(ByteView(again).subspan(12, 13))) << "own spelling";
    EXPECT_EQ(reply[12 + 17 + 9], std::byte{50}) << "ten seconds less";
    EXPECT_EQ(ask(dns_query("example.org", kTypeA), guest, 60).send.size(), 1U) << "over";
    EXPECT_EQ(ask(dns_query("example.org", kTypeA, 1, 1232), guest, 10).send.size(), 1U) << "DO is another question";
}

TEST_F(ForwarderTest, NegativeAnswersAreKeptByTheirSoa) {
    const auto sent = ask(dns_query("no.example.org", kTypeA)).send.at(0);
    Bytes reply = reply_to(sent.datagram, 3);
    reply.resize(reply.size() - kOptSize);
    reply[11] = std::byte{0};
    Bytes without = reply;
    forwarder.reply(sent.socket, kFirst, without, at(0).time);
    const auto second = ask(dns_query("no.example.org", kTypeA)).send.at(0);  // was not kept
    reply[0] = second.datagram[0];
    reply[1] = second.datagram[1];
    std::copy_n(second.datagram.begin() + 12, 16, reply.begin() + 12);
    reply[9] = std::byte{1};
    ByteWriter soa;
    soa.bytes(reply);
    soa.u16(0xc00c + 3);  // example.org
    soa.u16(kTypeSoa);
    soa.u16(1);
    soa.u32(500);
    soa.u16(22);
    soa.u16(0);
    soa.fill(16);
    soa.u32(30);
    forwarder.reply(second.socket, second.to, soa.view(), at(0).time);
    const auto hit = ask(dns_query("no.example.org", kTypeA), guest, 29);
    ASSERT_EQ(hit.deliver.size(), 1U);
    EXPECT_EQ(decode_header(hit.deliver[0].datagram)->rcode, Rcode::nx_domain);
    EXPECT_EQ(ask(dns_query("no.example.org", kTypeA), guest, 31).send.size(), 1U);
}

TEST_F(ForwarderTest, TheCacheIsBounded) {
    for (int i = 0; i < 3000; ++i) {
        const auto sent = ask(dns_query("n" + std::to_string(i) + ".org", kTypeA)).send.at(0);
        forwarder.reply(sent.socket, sent.to, reply_to(sent.datagram, 0, 5000), at(0).time);
        EXPECT_LE(forwarder.cache().bytes(), Forwarder::kCacheBytes);
    }
    EXPECT_GT(forwarder.cache().size(), 1000U);
}

// ---- who can be fooled

TEST_F(ForwarderTest, TheQuestionsCaseIsDrawnAndMustComeBack) {
    const auto sent = ask(dns_query("abcdefghijklmnopqrstuvwxyz.example.org", kTypeA, 1)).send.at(0);
    Bytes lower = sent.datagram;
    for (std::byte& b : lower) {
        b = b >= std::byte{'A'} && b <= std::byte{'Z'} ? b | std::byte{0x20} : b;
    }
    EXPECT_NE(lower, sent.datagram);
    lower[0] = sent.datagram[0];
    lower[1] = sent.datagram[1];
    const auto retry = forwarder.reply(sent.socket, kFirst, reply_to(lower), at(0).time);
    EXPECT_TRUE(retry.deliver.empty());
    ASSERT_EQ(retry.send.size(), 1U) << "asked again where nobody can answer in its place";
    EXPECT_EQ(retry.send[0].socket, Forwarder::kStream);
    lower[0] = retry.send[0].datagram[0];
    lower[1] = retry.send[0].datagram[1];
    const auto done = forwarder.reply(Forwarder::kStream, kFirst, reply_to(lower), at(0).time);
    ASSERT_EQ(done.deliver.size(), 1U) << "the server has its own way of spelling";
    const auto next = ask(dns_query("ABCDEFGHIJKLMNOP.org", kTypeA)).send.at(0).datagram;
    EXPECT_EQ(as_text(ByteView(next).subspan(13, 16)), "abcdefghijklmnop") << "it is not asked to keep ours again";
}

TEST_F(ForwarderTest, ATruncatedReplyIsFetchedByTcp) {
    const auto sent = ask(dns_query("example.org", kTypeA, 3)).send.at(0);
    Bytes cut = reply_to(sent.datagram);
    cut[2] |= std::byte{2};
    const auto retry = forwarder.reply(sent.socket, kFirst, cut, at(0).time);
    ASSERT_EQ(retry.send.size(), 1U);
    EXPECT_EQ(retry.send[0].socket, Forwarder::kStream);
    const auto done =
        forwarder.reply(Forwarder::kStream, kFirst, reply_to(retry.send[0].datagram, 0, 3000), at(0).time);
    ASSERT_EQ(done.deliver.size(), 1U);
    EXPECT_TRUE(decode_header(done.deliver[0].datagram)->truncated) << "the client asked by UDP";
    Forwarder::Client stream = guest;
    stream.stream = 9;
    Query by_tcp = *decode_query(dns_query("example.org", kTypeA, 4));
    by_tcp.stream = true;
    const auto whole = forwarder.ask(stream, by_tcp, at(1).time);
    ASSERT_EQ(whole.deliver.size(), 1U);
    EXPECT_GT(whole.deliver[0].datagram.size(), 3000U);
}

TEST_F(ForwarderTest, AConnectionThatFailsLeadsToTheNextServer) {
    const auto sent = ask(dns_query("example.org", kTypeA, 3)).send.at(0);
    Bytes cut = reply_to(sent.datagram);
    cut[2] |= std::byte{2};
    const auto stream = forwarder.reply(sent.socket, kFirst, cut, at(0).time).send.at(0);
    const auto next = forwarder.stream_failed(id_of(stream.datagram), at(0).time);
    ASSERT_EQ(next.send.size(), 1U);
    EXPECT_TRUE(next.send[0].to == kSecond && next.send[0].socket != Forwarder::kStream);
}

// An answer section with a second record of another name behind the first.
Bytes with_stranger(Bytes reply, std::string_view owner, std::uint8_t section) {
    reply.resize(reply.size() - kOptSize);
    reply[11] = std::byte{0};
    reply[section] |= std::byte{static_cast<std::uint8_t>(std::to_integer<int>(reply[section]) + 1)};
    ByteWriter out;
    out.bytes(reply);
    out.text(dns_name(owner));
    out.u8(0);
    out.u16(section == 7 ? kTypeA : kTypeNs);
    out.u16(1);
    out.u32(60);
    out.u16(4);
    out.u32(section == 7 ? 0x06060606U : 0x01610000U);
    return out.take();
}

TEST_F(ForwarderTest, RecordsOfOtherNamesAreNotPassedOn) {
    const auto sent = ask(dns_query("example.org", kTypeA)).send.at(0);
    Bytes good = reply_to(sent.datagram, 3);
    good[3] = std::byte{0x80};
    const auto next = forwarder.reply(sent.socket, kFirst, with_stranger(good, "bank.test", 7), at(0).time);
    ASSERT_EQ(next.send.size(), 1U) << "a server that does so is as good as one that fails";
    EXPECT_TRUE(next.send[0].to == kSecond);
    const auto end = forwarder.reply(next.send[0].socket, kSecond,
                                     with_stranger(reply_to(next.send[0].datagram), "bank.test", 9), at(0).time);
    ASSERT_EQ(end.deliver.size(), 1U);
    const auto header = decode_header(end.deliver[0].datagram);
    EXPECT_EQ(header->answers, 1);
    EXPECT_EQ(header->authorities, 0) << "a stranger's zone is left out";
    EXPECT_EQ(ask(dns_query("bank.test", kTypeA)).send.size(), 1U) << "and nothing of it is kept";
}

TEST_F(ForwarderTest, PrivateAddressesOfPublicNamesAreRefused) {
    const auto answer = [&](const char* name, const Ip& address) {
        const auto sent = ask(dns_query(name, address.is_v4() ? kTypeA : kTypeAaaa)).send.at(0);
        const auto out =
            forwarder.reply(sent.socket, sent.to, reply_to(sent.datagram, 0, 0, 60, address), at(0).time).deliver.at(0);
        return decode_header(out.datagram)->rcode;
    };
    for (const char* inside : {"10.1.2.3", "127.0.0.1", "192.168.122.1", "172.31.0.1", "169.254.169.254", "0.0.0.0",
                               "::1", "fd00::1", "fe80::1", "::ffff:10.0.0.1"}) {
        EXPECT_EQ(answer((std::string("x") + std::to_string(std::hash<std::string>{}(inside)) + ".org").c_str(),
                         *parse_ip(inside)),
                  Rcode::refused)
            << inside;
    }
    EXPECT_EQ(answer("y.org", "172.32.0.1"_ip), Rcode::no_error);
    EXPECT_EQ(answer("z.org", "2001:db8::1"_ip), Rcode::no_error);
    EXPECT_EQ(decode_header(ask(dns_query("y.org", kTypeA)).deliver.at(0).datagram)->rcode, Rcode::no_error);
    forwarder.configure({kFirst, kSecond}, 8, 0, {"corp.example"});
    EXPECT_EQ(answer("intra.corp.example", "10.1.2.3"_ip), Rcode::no_error) << "the host searches this domain";
    forwarder.configure(kUuid, {.forwarders = {{"lan.test", "198.51.100.9"_ip, 5353}}});
    EXPECT_EQ(answer("nas.lan.test", "10.1.2.3"_ip), Rcode::no_error) << "its server was named";
    EXPECT_EQ(answer("evil.test", "10.1.2.3"_ip), Rcode::refused);
    forwarder.configure(kUuid, {.private_answers = true});
    EXPECT_EQ(answer("evil2.test", "10.1.2.3"_ip), Rcode::no_error);
}

TEST_F(ForwarderTest, DomainsHaveServersOfTheirOwn) {
    const wire::Resolver lan{"198.51.100.9"_ip, 5353}, all{"198.51.100.10"_ip, 53};
    forwarder.configure(
        kUuid, {.forwarders = {
                    {"lan.test", lan.address, lan.port}, {"out.lan.test", std::nullopt, 53}, {"", all.address, 53}}});
    const auto to = [&](const char* name) { return ask(dns_query(name, kTypeA)).send.at(0).to; };
    EXPECT_TRUE(to("a.lan.test") == lan);
    EXPECT_TRUE(to("lan.test") == lan);
    EXPECT_TRUE(to("b.out.lan.test") == kFirst) << "the host's own way";
    EXPECT_TRUE(to("xlan.test") == all);
    Forwarder::Client other = guest;
    other.network.octets[0] ^= 1;
    EXPECT_TRUE(ask(dns_query("a.lan.test", kTypeA), other).send.at(0).to == kFirst) << "another network";
}

TEST_F(ForwarderTest, AQuestionThatComesBackToUsIsALoop) {
    ask(dns_query("example.org", kTypeA, 1));
    Forwarder::Client host = guest;
    host.address = kServer;
    host.ours = true;
    const auto back = ask(dns_query("EXAMPLE.org", kTypeA, 2), host);
    ASSERT_EQ(back.deliver.size(), 1U);
    EXPECT_EQ(decode_header(back.deliver[0].datagram)->rcode, Rcode::refused);
    EXPECT_EQ(forwarder.counters().loops, 1U);
    EXPECT_TRUE(forwarder.take_loop() == kFirst);
    EXPECT_FALSE(forwarder.take_loop());
    Forwarder::Client server = guest;
    server.address = kFirst.address;  // a guest that is the name server
    EXPECT_EQ(ask(dns_query("example.org", kTypeA, 3), server).deliver.size(), 1U);
    EXPECT_EQ(ask(dns_query("other.org", kTypeA, 3), host).send.size(), 1U)
        << "what the host asks of itself is answered";
}

TEST_F(ForwarderTest, SecurityPassesThroughToThoseWhoAsk) {
    const auto flags = [&](const Bytes& query) {
        const auto sent = ask(query).send.at(0);
        Bytes reply = reply_to(sent.datagram);
        reply[3] |= std::byte{0x20};  // AD
        const auto out = forwarder.reply(sent.socket, sent.to, reply, at(0).time).deliver.at(0).datagram;
        return std::pair(*decode_query(sent.datagram), *decode_header(out));
    };
    EXPECT_FALSE(flags(dns_query("a.org", kTypeA)).second.authentic);
    const auto secure = flags(dns_query("b.org", kTypeA, 1, 1232));
    EXPECT_TRUE(secure.second.authentic);
    EXPECT_TRUE(secure.first.edns->dnssec_ok);
    Bytes unchecked = dns_query("c.org", kTypeA);
    unchecked[3] |= std::byte{0x30};  // AD and CD
    const auto passed = flags(unchecked);
    EXPECT_TRUE(passed.first.header.checking_disabled);
    EXPECT_TRUE(passed.second.authentic && passed.second.checking_disabled);
}

}  // namespace
}  // namespace bascule::dhcp
