// SPDX-License-Identifier: GPL-2.0-or-later
// One regression for each class of vulnerability that servers of this kind have had, by the CVE that stands for it.
// Those that other tests prove are listed with these in docs/threat-model.md.
#include <gtest/gtest.h>

#include <algorithm>

#include "dhcp/dns_reply.h"
#include "dhcp/forwarder.h"
#include "dhcp/journal.h"
#include "dhcp/server.h"
#include "dhcp/zone.h"
#include "tests/dhcp/fixtures.h"

namespace bascule::dhcp {
namespace {

using namespace test;

// A reply to `query` with these records behind its question.
Bytes reply_to(const Bytes& query, std::initializer_list<int> counts, ByteView records) {
    ByteWriter out;
    out.bytes(ByteView(query).first(2));
    out.bytes(bytes({0x81, 0x80}));
    out.bytes(bytes(counts));
    out.bytes(ByteView(query).subspan(12));
    out.bytes(records);
    return out.take();
}

ByteView question_of(const Bytes& query) { return ByteView(query).subspan(12); }

// ---- names in replies: CVE-2026-2291, CVE-2026-44390, RFC 9267

TEST(CveNames, PointersThatLoopOrLeadForwardRefuseTheReply) {
    const Bytes query = dns_query("a.example", kTypeA);
    const auto at = static_cast<int>(query.size());
    const Bytes rest = bytes({0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 1, 2, 3, 4});
    for (const auto& name : {bytes({0xc0, at}), bytes({0xc0, at + 2}), bytes({0xc0, 3}), bytes({1, 'x', 0xc0, at}),
                             bytes({0xff, 0xff}), bytes({0x40, 'x'}), bytes({0x80, 0})}) {
        Bytes record = name;
        record.insert(record.end(), rest.begin(), rest.end());
        EXPECT_FALSE(decode_reply(reply_to(query, {0, 1, 0, 1, 0, 0, 0, 0}, record), question_of(query)));
    }
}

TEST(CveNames, AChainOfPointersIsBoundedByTheNamesLength) {
    const Bytes query = dns_query("a.example", kTypeA);
    ByteWriter records;  // each record's name is one label and a pointer to the record before
    std::size_t before = 12;
    for (int i = 0; i < 200; ++i) {
        const std::size_t here = query.size() + records.size();
        records.bytes(bytes({1, 'x'}));
        records.u16(static_cast<std::uint16_t>(0xc000 | before));
        records.bytes(bytes({0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 1, 2, 3, 4}));
        before = here;
    }
    EXPECT_FALSE(decode_reply(reply_to(query, {0, 1, 0, 200, 0, 0, 0, 0}, records.view()), question_of(query)));
}

// ---- lengths that are trusted: CVE-2026-4891, CVE-2026-5172, CVE-2015-3294

TEST(CveLengths, DataLongerThanTheMessageRefusesIt) {
    const Bytes query = dns_query("a.example", kTypeA);
    for (const int length : {5, 255}) {
        const Bytes record = bytes({0xc0, 12, 0, 46, 0, 1, 0, 0, 0, 1, length, length, 1, 2, 3, 4});
        EXPECT_FALSE(decode_reply(reply_to(query, {0, 1, 0, 1, 0, 0, 0, 0}, record), question_of(query)));
    }
    // More records announced than there are.
    const Bytes one = bytes({0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 1, 2, 3, 4});
    EXPECT_FALSE(decode_reply(reply_to(query, {0, 1, 0xff, 0xff, 0, 0, 0, 0}, one), question_of(query)));
}

TEST(CveLengths, AnAddressOfTheWrongLengthIsNoAddress) {
    const Bytes query = dns_query("a.example", kTypeA);
    for (const int length : {0, 3, 5}) {
        Bytes record = bytes({0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, length});
        record.resize(record.size() + static_cast<std::size_t>(length), std::byte{10});
        const auto reply = decode_reply(reply_to(query, {0, 1, 0, 1, 0, 0, 0, 0}, record), question_of(query));
        ASSERT_TRUE(reply);
        EXPECT_FALSE(reply->is_private());
    }
}

TEST(CveLengths, TheLongestIdentifierAndNameGoIntoTheFileAndBack) {  // CVE-2026-4892, CVE-2019-6472, CVE-2021-25217
    Server server(small_network());
    Message m = selecting(kMac1, "192.168.122.10"_ip);
    m.options.put(Opt::client_id, Bytes(255, std::byte{0xff}));
    m.options.put(Opt::hostname, Bytes(255, std::byte{'A'}));
    const Outcome out = server.handle(m, false, at(0));
    ASSERT_EQ(out.reply->type, MessageType::ack);
    const std::string line = journal::line_for(out.events.back());
    EXPECT_LE(line.size(), journal::kLongestLine);
    const auto replay = journal::replay(kUuid, journal::header(kUuid) + line);
    ASSERT_TRUE(replay && replay->clean());
    EXPECT_EQ(replay->records[0].lease, out.events.back().lease);
    EXPECT_EQ(replay->records[0].lease.hostname, std::string(63, 'a'));
    Message longer = discover(kMac2);  // RFC 3396 pieces make more than one option holds
    longer.options.put(Opt::client_id, Bytes(600, std::byte{1}));
    EXPECT_FALSE(server.handle(longer, false, at(1)).reply);
}

// ---- DNSSEC data: CVE-2017-15908, CVE-2026-4890, CVE-2023-50387

TEST(CveDnssec, RecordsPassUnreadHoweverOddTheirInsides) {
    const Bytes query = dns_query("a.example", kTypeA, 1, 1232);
    // NSEC with a bitmap of length 0 and one that goes on for ever, an RRSIG of nothing, an NSEC3 of 0xff.
    const Bytes records =
        bytes({0xc0, 12, 0, 47, 0, 1, 0, 0,    0,  9, 0,  5, 0, 0, 0, 0, 0, 0xc0, 12, 0,    46,   0,
               1,    0,  0, 0,  9, 0, 0, 0xc0, 12, 0, 50, 0, 1, 0, 0, 0, 9, 0,    3,  0xff, 0xff, 0xff});
    Bytes message = reply_to(query, {0, 1, 0, 0, 0, 3, 0, 0}, {});
    message.resize(12 + 15);  // without the query's OPT
    message.insert(message.end(), records.begin(), records.end());
    auto reply = decode_reply(message, ByteView(message).subspan(12, 15));
    ASSERT_TRUE(reply);
    ASSERT_TRUE(tidy(*reply, dns_name("a.example")));
    const Bytes out = render(*reply, *decode_query(query), 0);
    EXPECT_EQ(decode_header(out)->authorities, 3);
    const Bytes odd = bytes({0, 50, 0, 1, 0, 0, 0, 9, 0, 3, 0xff, 0xff, 0xff});
    EXPECT_NE(std::search(out.begin(), out.end(), odd.begin(), odd.end()), out.end());
}

// ---- EDNS: CVE-2017-14495, CVE-2017-14496, CVE-2026-42944, CVE-2026-42004

TEST(CveEdns, ManyOptionsTwoOptRecordsAndZeroSizesAreNoHarm) {
    const Server server(small_network());
    const Zone zone(small_network());
    const auto ask = [&](const Bytes& query) { return react(query, zone, {server.leases()}, false); };
    Bytes query = dns_query("host.example.test", kTypeA, 1, 1232);
    const std::size_t length_at = query.size() - 2;
    for (int i = 0; i < 200; ++i) {  // cookie, NSID, padding, client subnet, each empty
        const Bytes option = bytes({0, i % 4 == 0 ? 10 : i % 4 == 1 ? 3 : i % 4 == 2 ? 12 : 8, 0, 0});
        query.insert(query.end(), option.begin(), option.end());
    }
    query[length_at] = std::byte{800 >> 8};
    query[length_at + 1] = std::byte{800 & 0xff};
    const Reaction many = ask(query);
    EXPECT_EQ(decode_header(std::get<Bytes>(many))->rcode, Rcode::no_error);
    EXPECT_LE(std::get<Bytes>(many).size(), 512U);  // nothing of it comes back
    Bytes twice = dns_query("host.example.test", kTypeA, 1, 1232);
    const Bytes opt = bytes({0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0});
    twice.insert(twice.end(), opt.begin(), opt.end());
    twice[11] = std::byte{2};
    EXPECT_EQ(decode_header(std::get<Bytes>(ask(twice)))->rcode, Rcode::form_err);
    EXPECT_EQ(decode_header(std::get<Bytes>(ask(dns_query("host.example.test", kTypeA, 1, 1))))->rcode,
              Rcode::no_error);
}

// ---- questions: CVE-2017-9217 (none), CVE-2017-13704 (too long)

TEST(CveQuestions, NoneSeveralOrEndlessOnesAreRefused) {
    const Server server(small_network());
    const Zone zone(small_network());
    Bytes none = dns_query("a.example", kTypeA);
    none[5] = std::byte{0};
    EXPECT_EQ(decode_header(std::get<Bytes>(react(none, zone, {server.leases()}, false)))->rcode, Rcode::form_err);
    Bytes two = dns_query("a.example", kTypeA);
    two[5] = std::byte{2};
    EXPECT_EQ(decode_header(std::get<Bytes>(react(two, zone, {server.leases()}, false)))->rcode, Rcode::form_err);
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{11}}) {
        EXPECT_TRUE(std::holds_alternative<Ignore>(react(Bytes(size), zone, {server.leases()}, false)));
    }
}

// ---- what is cleaned until nothing is left: CVE-2025-11232, CVE-2019-6473

TEST(CveEmptied, ANameOfNothingUsableIsNoName) {
    Server server(small_network());
    for (const std::string& name : std::vector<std::string>{"", ".", "---", "...", {'\0'}, "-.-", "\xff\xfe"}) {
        EXPECT_EQ(lease(server, kMac1, at(0), name).has_value(), true);
        EXPECT_EQ(server.leases().by_port(kMac1)->lease.hostname, "") << name;
    }
    Message fqdn = discover(kMac2);
    fqdn.options.put(Opt::fqdn, bytes({4, 0, 0, 63, 'a'}));  // a label longer than the option
    EXPECT_TRUE(server.handle(fqdn, false, at(0)).reply);
}

// ---- messages without a subnet: CVE-2025-40779

TEST(CveNoSubnet, WithoutAnyNothingIsAnsweredAndNothingBreaks) {
    Spec spec = small_network();
    spec.subnets.clear();
    Server server(spec);
    for (const bool unicast : {false, true}) {
        for (int type = 1; type <= 8; ++type) {
            Message m = from_client(static_cast<MessageType>(type), kMac1);
            m.ciaddr = "10.0.0.9"_ip;
            m.options.put_ip(Opt::requested_ip, "10.0.0.9"_ip);
            EXPECT_FALSE(server.handle(m, unicast, at(0)).reply) << type;
            m.giaddr = "10.0.0.1"_ip;
            EXPECT_FALSE(server.handle(m, unicast, at(0)).reply) << type;
        }
    }
}

// ---- options twice, empty, huge: CVE-2017-14493, CVE-2022-2928

TEST(CveOptions, ARelaysOptionOfAnySizeComesBackOrTheReplyGoesWithout) {
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{255}, std::size_t{600}}) {
        Server server(small_network());
        Message m = discover(kMac1);
        m.giaddr = "192.168.122.5"_ip;
        m.options.put(Opt::relay_info, Bytes(size, std::byte{1}));
        const Outcome out = server.handle(m, false, at(0));
        ASSERT_TRUE(out.reply);
        EXPECT_LE(encode(*out.reply, size_limit(m)).size(), kDefaultSize + 0U);
    }
}

}  // namespace
}  // namespace bascule::dhcp
