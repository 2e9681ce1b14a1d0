// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/netsvc/lease_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/dhcp/fixtures.h"

namespace bascule::netsvc {
namespace {

using namespace dhcp::test;

struct LeaseFileTest : testing::Test {
    std::filesystem::path path = std::filesystem::temp_directory_path() / ("lease-file-" + std::to_string(::getpid()));
    std::filesystem::path file = path / (format(kUuid) + ".leases");
    UniqueFd folder;

    void SetUp() override {
        std::filesystem::remove_all(path);
        std::filesystem::create_directories(path);
        folder = UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY));
    }
    void TearDown() override { std::filesystem::remove_all(path); }

    static dhcp::Lease some_lease(int n) {
        return {.network = kUuid,
                .port = MacAddr{{2, 0, 0, 0, static_cast<std::uint8_t>(n >> 8), static_cast<std::uint8_t>(n)}},
                .address = Ip::v4(0x0a000000U + static_cast<unsigned>(n)),
                .prefix_length = 8,
                .expires = at(n).wall};
    }
    LeaseFile::Opened open() {
        auto opened = LeaseFile::open(folder.get(), kUuid);
        EXPECT_TRUE(opened) << opened.error().message;
        return *std::move(opened);
    }
};

TEST_F(LeaseFileTest, WhatWasCommittedIsThereWhenOpenedAgain) {
    {
        LeaseFile leases = open().file;
        leases.append(dhcp::journal::granted(some_lease(1)));
        leases.append(dhcp::journal::granted(some_lease(2)));
        EXPECT_TRUE(leases.has_pending());
        ASSERT_TRUE(leases.commit());
        leases.append(dhcp::journal::granted(some_lease(3)));  // never committed
    }
    const auto again = open();
    EXPECT_TRUE(again.replay.clean());
    EXPECT_EQ(again.replay.records.size(), 2U);
}

TEST_F(LeaseFileTest, ATornEndIsCutOffAndWritingGoesOnBehindTheLastGoodLine) {
    {
        LeaseFile leases = open().file;
        leases.append(dhcp::journal::granted(some_lease(1)));
        ASSERT_TRUE(leases.commit());
    }
    std::ofstream(file, std::ios::app) << "1234abcd + 52:54:00";
    {
        auto torn = open();
        EXPECT_TRUE(torn.replay.torn);
        torn.file.append(dhcp::journal::granted(some_lease(2)));
        ASSERT_TRUE(torn.file.commit());
    }
    const auto again = open();
    EXPECT_TRUE(again.replay.clean());
    EXPECT_EQ(again.replay.records.size(), 2U);
}

TEST_F(LeaseFileTest, RewritingReplacesTheFileWholeAndAppendsGoToTheNewOne) {
    LeaseFile leases = open().file;
    for (int i = 0; i < 5000; ++i) {
        leases.append(dhcp::journal::granted(some_lease(1)));
    }
    ASSERT_TRUE(leases.commit());
    EXPECT_TRUE(leases.is_bloated(1));
    EXPECT_FALSE(leases.is_bloated(5000));
    ASSERT_TRUE(leases.rewrite(dhcp::journal::header(kUuid) + dhcp::journal::granted(some_lease(1))));
    EXPECT_FALSE(leases.is_bloated(1));
    leases.append(dhcp::journal::granted(some_lease(2)));
    ASSERT_TRUE(leases.commit());
    EXPECT_EQ(open().replay.records.size(), 2U);
    EXPECT_FALSE(std::filesystem::exists(file.string() + ".new"));
}

TEST_F(LeaseFileTest, ACrashWhileRewritingLeavesTheOldFile) {
    {
        LeaseFile leases = open().file;
        leases.append(dhcp::journal::granted(some_lease(1)));
        ASSERT_TRUE(leases.commit());
    }
    std::ofstream(file.string() + ".new") << "half of a snap";
    auto again = open();
    EXPECT_EQ(again.replay.records.size(), 1U);
    EXPECT_TRUE(again.file.rewrite(dhcp::journal::header(kUuid)));
}

TEST_F(LeaseFileTest, AnEmptyFileIsAFreshOne) {
    std::ofstream(file).close();
    EXPECT_TRUE(open().replay.records.empty());
    EXPECT_EQ(std::filesystem::file_size(file), dhcp::journal::header(kUuid).size());
}

TEST_F(LeaseFileTest, AFileOfAnotherNetworkIsNotTouched) {
    std::ofstream(file) << dhcp::journal::header(Uuid::random());
    const auto before = std::filesystem::file_size(file);
    const auto opened = LeaseFile::open(folder.get(), kUuid);
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, Code::conflict);
    EXPECT_EQ(std::filesystem::file_size(file), before);
}

TEST_F(LeaseFileTest, ASymbolicLinkIsNotFollowed) {
    std::ofstream(path / "elsewhere") << "precious";
    std::filesystem::create_symlink(path / "elsewhere", file);
    EXPECT_FALSE(LeaseFile::open(folder.get(), kUuid));
    EXPECT_EQ(std::filesystem::file_size(path / "elsewhere"), 8U);
}

TEST_F(LeaseFileTest, TheFolderIsLockedOnce) {
    const auto first = lock_folder(folder.get());
    ASSERT_TRUE(first);
    const auto second = lock_folder(folder.get());
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, Code::conflict);
}

}  // namespace
}  // namespace bascule::netsvc
