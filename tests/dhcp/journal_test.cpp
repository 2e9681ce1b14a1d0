// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/journal.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/dhcp/fixtures.h"

namespace bascule::dhcp::journal {
namespace {

using namespace dhcp::test;

Lease some_lease(int n, std::string name = "vm") {
    return {.network = kUuid,
            .port = MacAddr{{0x52, 0x54, 0, 0, 0, static_cast<std::uint8_t>(n)}},
            .address = Ip::v4(0xc0a87a00U + static_cast<unsigned>(n)),
            .prefix_length = 24,
            .expires = at(n).wall,
            .hostname = name.empty() ? name : name + std::to_string(n),
            .client_id = {1, static_cast<std::uint8_t>(n)}};
}

TEST(Journal, TheChecksumIsCrc32c) {
    EXPECT_EQ(crc32c("123456789"), 0xe3069283U);  // RFC 3720 appendix B.4 and every other catalogue
    EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aaU);
}

TEST(Journal, LinesAreReadableText) {
    EXPECT_EQ(granted(some_lease(7)).substr(9), "+ 52:54:00:00:00:07 192.168.122.7/24 1700000007 vm7 0107\n");
    Lease bare = some_lease(8, "");
    bare.client_id.clear();
    bare.expires = kNever;
    EXPECT_EQ(granted(bare).substr(9), "+ 52:54:00:00:00:08 192.168.122.8/24 never - -\n");
    EXPECT_EQ(ended(ClientKey{kMac1, {}}).substr(9), "- 52:54:00:00:00:01\n");
}

TEST(Journal, WhatWasWrittenComesBack) {
    Lease longest = some_lease(3, std::string(62, 'x'));
    longest.client_id.assign(255, 0xff);
    longest.expires = kNever;
    const std::string file = header(kUuid) + granted(some_lease(1)) + granted(longest) + granted(some_lease(2)) +
                             ended(ClientKey{kMac2, {}});
    ASSERT_LT(granted(longest).size(), kLongestLine);
    const auto replay = journal::replay(kUuid, file);
    ASSERT_TRUE(replay) << replay.error().message;
    EXPECT_TRUE(replay->clean());
    EXPECT_EQ(replay->records, (std::vector<Record>{{some_lease(1), true}, {some_lease(2), false}, {longest, true}}));
}

TEST(Journal, Ipv6LeasesComeBackBesideIpv4Ones) {
    const Lease v4{
        .network = kUuid, .port = kMac1, .address = "192.168.122.10"_ip, .prefix_length = 24, .expires = kNever};
    Lease na{.network = kUuid,
             .port = kMac1,
             .address = "2001:db8::10"_ip,
             .prefix_length = 64,
             .expires = kNever,
             .hostname = "vm1",
             .client_id = {0, 4, 1},
             .iaid = 7};
    Lease pd = na;
    pd.address = "2001:db8:5::"_ip;
    pd.delegated = true;
    pd.hostname.clear();
    const std::string file = journal::header(kUuid) + journal::granted(v4) + journal::granted(na) +
                             journal::granted(pd) + journal::ended(key_of(pd));
    const auto replay = journal::replay(kUuid, file);
    ASSERT_TRUE(replay);
    ASSERT_EQ(replay->records.size(), 3U);
    EXPECT_EQ(replay->records[0], (journal::Record{v4, true}));
    EXPECT_EQ(replay->records[1], (journal::Record{na, true}));
    EXPECT_EQ(replay->records[2], (journal::Record{pd, false}));
    EXPECT_TRUE(replay->clean());
}

TEST(Journal, LaterLinesWin) {
    Lease moved = some_lease(1);
    moved.address = "192.168.122.50"_ip;
    Lease taken_over = some_lease(2);
    taken_over.address = moved.address;
    const auto replay =
        journal::replay(kUuid, header(kUuid) + granted(some_lease(1)) + granted(moved) + granted(taken_over));
    EXPECT_EQ(replay->records, (std::vector<Record>{{taken_over, true}}));
}

TEST(Journal, ASnapshotHoldsTheTable) {
    LeaseTable table;
    table.bind(some_lease(1), at(100).time);
    table.bind(some_lease(2), at(100).time);
    table.end({kMac2, {}});
    const auto replay = journal::replay(kUuid, snapshot(kUuid, table, at(40)));
    ASSERT_TRUE(replay && replay->clean());
    ASSERT_EQ(replay->records.size(), 2U);
    EXPECT_TRUE(replay->records[0].active);
    EXPECT_EQ(replay->records[0].lease.expires, at(100).wall);
    EXPECT_FALSE(replay->records[1].active);
}

std::string long_file() {
    std::string file = header(kUuid);
    for (int i = 1; i <= 12; ++i) {
        file += granted(some_lease(i));
        file += i % 4 == 0 ? ended(client_of(some_lease(i))) : "";
    }
    return file;
}

TEST(Journal, CutAtEveryByteItGivesEveryWholeLine) {
    const std::string file = long_file();
    for (std::size_t size = 0; size <= file.size(); ++size) {
        const std::string cut = file.substr(0, size);
        const auto replay = journal::replay(kUuid, cut);
        ASSERT_TRUE(replay) << size;
        const auto whole = static_cast<std::size_t>(std::ranges::count(cut, '\n'));
        ASSERT_EQ(replay->lines, whole) << size;
        ASSERT_EQ(replay->damaged, 0U) << size;
        ASSERT_EQ(replay->torn, !cut.empty() && cut.back() != '\n') << size;
        ASSERT_EQ(replay->good_bytes, whole == 0 ? 0 : cut.rfind('\n') + 1) << size;
    }
}

TEST(Journal, AFlippedBitCostsOnlyItsLine) {
    const std::string file = long_file();
    const auto good = journal::replay(kUuid, file);
    for (std::size_t bit = 0; bit < file.size() * 8; ++bit) {
        std::string bad = file;
        bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
        const auto replay = journal::replay(kUuid, bad);
        ASSERT_TRUE(replay) << bit;
        ASSERT_FALSE(replay->clean() && replay->records != good->records) << bit;
        ASSERT_GE(replay->lines + 2, good->lines) << bit;  // a flipped line end spoils two
    }
}

TEST(Journal, GarbageIsPassedOverAndReported) {
    std::string file = header(kUuid) + granted(some_lease(1));
    const std::size_t before = file.size();
    file += std::string("\0\0\0\n garbage\n", 13) + granted(some_lease(2));
    const auto middle = journal::replay(kUuid, file);
    EXPECT_EQ(middle->damaged, 2U);
    EXPECT_FALSE(middle->torn);
    EXPECT_EQ(middle->records.size(), 2U);
    const auto tail = journal::replay(kUuid, file.substr(0, before) + std::string(5000, 'x'));
    EXPECT_TRUE(tail->torn);
    EXPECT_EQ(tail->good_bytes, before);
}

TEST(Journal, WellSealedNonsenseIsNotBelieved) {
    const auto sealed = [](const std::string& body) {
        char crc[16];
        std::snprintf(crc, sizeof crc, "%08x ", crc32c(body));
        return crc + body + "\n";
    };
    for (const char* body :
         {"", "+", "-", "? 52:54:00:00:00:01", "+ 52:54:00:00:00:01", "+ 52:54:00:00:00:01 1.2.3.4/24 5 a.b -",
          "+ 52:54:00:00:00:01 1.2.3.4/33 5 - -", "+ 52:54:00:00:00:01 1.2.3.4/24 99999999999999 - -",
          "+ 52:54:00:00:00:01 1.2.3.4/24 5 - 0", "+ 52:54:00:00:00:01 1.2.3.4/24 5 - zz",
          "+ 52:54:00:00:00:01 1.2.3.4/24 -5 - -", "+ 52:54:00:00:00:01 1.2.3.4/24 5 - 01 more",
          "+ 52:54:00:00:00:01 1.2.3.4/24 5  -", "- 52:54:00:00:00", "-  52:54:00:00:00:01"}) {
        const auto replay = journal::replay(kUuid, header(kUuid) + sealed(body) + granted(some_lease(1)));
        ASSERT_TRUE(replay);
        EXPECT_EQ(replay->damaged, 1U) << body;
        EXPECT_EQ(replay->records.size(), 1U) << body;
    }
    const auto long_id = journal::replay(kUuid, sealed("+ 52:54:00:00:00:01 1.2.3.4/24 5 - " + std::string(512, '0')));
    EXPECT_TRUE(long_id->records.empty());
}

TEST(Journal, AFileOfAnotherNetworkOrFormatIsLeftAlone) {
    const auto other = journal::replay(Uuid::random(), long_file());
    ASSERT_FALSE(other);
    EXPECT_EQ(other.error().code, Code::conflict);
    const std::string body = "bascule-leases 2 " + format(kUuid);
    char crc[16];
    std::snprintf(crc, sizeof crc, "%08x ", crc32c(body));
    const auto newer = journal::replay(kUuid, crc + body + "\n");
    ASSERT_FALSE(newer);
    EXPECT_EQ(newer.error().code, Code::unsupported_config);
    EXPECT_EQ(newer.error().message, "lease file of format 2, this program knows 1");
}

TEST(Journal, RandomBytesNeverMakeReplayFail) {
    std::mt19937 random(7);
    const std::string file = long_file();
    for (int round = 0; round < 2000; ++round) {
        std::string bad = file;
        for (unsigned i = random() % 20; i > 0; --i) {
            bad[random() % bad.size()] = static_cast<char>(random());
        }
        EXPECT_TRUE(journal::replay(kUuid, bad));
    }
}

}  // namespace
}  // namespace bascule::dhcp::journal
