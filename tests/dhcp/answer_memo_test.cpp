// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/answer_memo.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "dhcp/zone.h"
#include "tests/dhcp/fixtures.h"

namespace bascule::dhcp {
namespace {

using namespace test;

const Bytes kReply{std::byte{0}, std::byte{7}, std::byte{0x81}, std::byte{0x80}, std::byte{42}};

Bytes found(AnswerMemo& memo, ByteView query, const AnswerMemo::Version& version) {
    const ByteView reply = memo.find(query, version);
    return {reply.begin(), reply.end()};
}

TEST(AnswerMemo, TheSameQuestionHasTheSameAnswerWithItsOwnId) {
    AnswerMemo memo;
    const AnswerMemo::Version now{kUuid, 3};
    EXPECT_TRUE(memo.find(dns_query("vm1.test", kTypeA, 7), now).empty()) << "before there is anything";
    memo.keep(dns_query("vm1.test", kTypeA, 7), kReply, now);
    Bytes expected = kReply;
    expected[0] = std::byte{0x12};
    expected[1] = std::byte{0x34};
    EXPECT_EQ(found(memo, dns_query("vm1.test", kTypeA, 0x1234), now), expected);
    EXPECT_EQ(found(memo, dns_query("vm1.test", kTypeA, 7), now), kReply);
}

TEST(AnswerMemo, WhateverDiffersIsAnotherQuestion) {
    AnswerMemo memo;
    const AnswerMemo::Version now{kUuid, 3};
    const Bytes query = dns_query("vm1.test", kTypeA, 7);
    memo.keep(query, kReply, now);
    EXPECT_TRUE(memo.find(dns_query("VM1.test", kTypeA, 7), now).empty()) << "its spelling comes back (0x20)";
    EXPECT_TRUE(memo.find(dns_query("vm1.test", kTypeAaaa, 7), now).empty());
    EXPECT_TRUE(memo.find(dns_query("vm1.test", kTypeA, 7, 1232), now).empty()) << "EDNS";
    EXPECT_TRUE(memo.find(query, {kUuid, 4}).empty()) << "something changed";
    EXPECT_TRUE(memo.find(query, {Uuid{}, 3}).empty()) << "another network";
    for (std::size_t size = 0; size < query.size(); ++size) {
        EXPECT_TRUE(memo.find(ByteView(query).first(size), now).empty()) << size;
    }
    memo.clear();
    EXPECT_TRUE(memo.find(query, now).empty());
}

TEST(AnswerMemo, AnAnswerMadeAgainTakesThePlaceOfTheStaleOne) {
    AnswerMemo memo;
    const Bytes query = dns_query("vm1.test", kTypeA, 0);
    Bytes reply = kReply;
    for (unsigned changes = 0; changes < 5; ++changes) {
        reply.back() = static_cast<std::byte>(changes);
        reply[0] = reply[1] = std::byte{0};
        memo.keep(query, reply, {kUuid, changes});
        EXPECT_EQ(found(memo, query, {kUuid, changes}), reply);
    }
}

TEST(AnswerMemo, ManyQuestionsPushEachOtherOutAndNeverGetEachOthersAnswers) {
    AnswerMemo memo;
    const AnswerMemo::Version now{kUuid, 1};
    constexpr unsigned kMany = 20000;
    unsigned known = 0;
    for (unsigned round = 0; round < 2; ++round) {
        for (unsigned i = 0; i < kMany; ++i) {
            const Bytes query = dns_query(fmt::format("host{}.test", i), kTypeA, 0);
            Bytes own = kReply;
            own[0] = own[1] = std::byte{0};
            own[4] = static_cast<std::byte>(i);
            own.push_back(static_cast<std::byte>(i >> 8U));
            const Bytes reply = found(memo, query, now);
            if (reply.empty()) {
                memo.keep(query, own, now);
            } else {
                ++known;
                ASSERT_EQ(reply, own) << i;
            }
        }
    }
    EXPECT_LT(known, kMany) << "it is bounded";
}

TEST(AnswerMemo, WhatIsLongIsNotKept) {
    AnswerMemo memo;
    const AnswerMemo::Version now{kUuid, 1};
    const Bytes query = dns_query("vm1.test", kTypeA, 7), long_query(600, std::byte{1});
    memo.keep(query, Bytes(512), now);
    memo.keep(long_query, kReply, now);
    memo.keep({}, kReply, now);
    EXPECT_TRUE(memo.find(query, now).empty());
    EXPECT_TRUE(memo.find(long_query, now).empty());
    EXPECT_TRUE(memo.find({}, now).empty());
}

// ---- whether a version tells of every change

// A network of few names and addresses, where everything happens to everything.
struct Churn {
    std::mt19937 random{4711};
    LeaseTable leases;
    LeaseTable6 leases6;
    Zone zone{small_network()};
    std::uint64_t zone_changes = 0;

    unsigned below(unsigned n) { return static_cast<unsigned>(random() % n); }
    MacAddr mac() { return MacAddr{{0x52, 0x54, 0, 0, 0, static_cast<std::uint8_t>(below(4))}}; }
    std::string name() { return below(4) == 0 ? std::string() : fmt::format("vm{}", below(4)); }
    Ip address() { return Ip::v4(0xc0a87a0aU + below(4)); }
    Ip address6() {
        return Ip::v6({0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, static_cast<std::uint8_t>(below(4))});
    }
    Time time() { return Time() + std::chrono::seconds(below(50)); }

    void happen() {
        const MacAddr port = mac();
        switch (below(10)) {
            case 0:
            case 1:
                leases.bind({.network = kUuid, .port = port, .address = address(), .hostname = name()}, time());
                return;
            case 2: leases.end({port, {}}); return;
            case 3: leases.forget({port, {}}); return;
            case 4: leases.clear_name(address()); return;
            case 5:
                leases.expire(time());
                leases6.expire(time());
                return;
            case 6:
                leases6.bind(
                    {.network = kUuid, .port = port, .address = address6(), .hostname = name(), .iaid = below(2)},
                    time());
                return;
            case 7:
                below(2) == 0 ? leases6.forget({port, below(2), false}) : (void)leases6.end({port, below(2), false});
                return;
            case 8: leases.rekey(below(2) == 0); return;
            default:
                zone.set_guest(port, name());
                ++zone_changes;
                return;
        }
    }
    std::uint64_t version() const { return zone_changes + leases.changes() + leases6.changes(); }
    std::vector<Bytes> answers() const {
        std::vector<Bytes> out;
        const auto ask = [&](const std::string& what, std::uint16_t type) {
            const auto reaction = react(dns_query(what, type), zone, {leases, &leases6}, false);
            const auto* const reply = std::get_if<Bytes>(&reaction);
            out.push_back(reply == nullptr ? Bytes() : *reply);
        };
        for (unsigned i = 0; i < 4; ++i) {
            ask(fmt::format("vm{}.example.test", i), kTypeAny);
            ask(fmt::format("{}.122.168.192.in-addr.arpa", 10 + i), kTypePtr);
        }
        return out;
    }
};

TEST(AnswerMemo, NoAnswerChangesWithoutAnotherVersion) {
    Churn churn;
    std::vector<Bytes> before = churn.answers();
    unsigned changes = 0;
    for (int step = 0; step < 3000; ++step) {
        const std::uint64_t version = churn.version();
        churn.happen();
        ASSERT_GE(churn.version(), version);
        std::vector<Bytes> now = churn.answers();
        if (now != before) {
            ++changes;
            ASSERT_GT(churn.version(), version) << "step " << step;
        }
        before = std::move(now);
    }
    EXPECT_GT(changes, 300U);
}

}  // namespace
}  // namespace bascule::dhcp
