// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/stream.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

namespace bascule::kernel::os {
namespace {

class StreamTest : public testing::Test {
protected:
    void SetUp() override {
        char name[] = "/tmp/bascule-stream-XXXXXX";
        ASSERT_NE(::mkdtemp(name), nullptr);
        folder = name;
    }
    void TearDown() override { std::filesystem::remove_all(folder); }

    std::filesystem::path folder;
};

TEST_F(StreamTest, BytesGoBothWaysAndNothingBlocks) {
    const std::string path = folder / "s";
    auto listener = listen_unix(path, 0600);
    ASSERT_TRUE(listener) << listener.error().message;
    auto one = connect_unix(path);
    ASSERT_TRUE(one) << one.error().message;
    auto other = stream_over(UniqueFd(::accept4(listener->get(), nullptr, nullptr, SOCK_CLOEXEC)));

    EXPECT_TRUE((*one)->read(100)->empty());
    EXPECT_EQ(*(*one)->write(as_bytes("hello")), 5U);
    EXPECT_EQ(as_text(*other->read(3)), "hel");
    EXPECT_EQ(as_text(*other->read(100)), "lo");

    const std::string much(1 << 20, 'x');
    std::size_t taken = 0;
    for (std::size_t n = 1; n != 0; taken += n) {
        n = *(*one)->write(as_bytes(much));
    }
    EXPECT_GT(taken, 0U);
}

TEST_F(StreamTest, AClosedPeerIsUnreachable) {
    const std::string path = folder / "s";
    auto listener = listen_unix(path);
    ASSERT_TRUE(listener);
    auto one = connect_unix(path);
    ASSERT_TRUE(one);
    listener->reset();  // with our connection still waiting in it
    const auto read = (*one)->read(10);
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code, Code::unreachable);
    EXPECT_EQ((*one)->write(as_bytes("x")).error().code, Code::unreachable);
}

TEST_F(StreamTest, ASocketIsOnlyItsOwnersAndReplacesADeadOne) {
    const std::string path = folder / "s";
    const mode_t before = ::umask(0);
    {
        ASSERT_TRUE(listen_unix(path, 0600));
    }
    auto again = listen_unix(path, 0600);
    ::umask(before);
    ASSERT_TRUE(again) << again.error().message;
    struct stat info{};
    ASSERT_EQ(::stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0600U);
    EXPECT_NE(::fcntl(again->get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(StreamTest, NobodyThereAndTooLongAreTold) {
    const auto nobody = connect_unix(folder / "none");
    ASSERT_FALSE(nobody);
    EXPECT_EQ(nobody.error().code, Code::unreachable);
    {
        ASSERT_TRUE(listen_unix(folder / "dead"));
    }
    EXPECT_EQ(connect_unix(folder / "dead").error().code, Code::unreachable);
    const auto long_one = listen_unix(folder / std::string(120, 'x'));
    ASSERT_FALSE(long_one);
    EXPECT_EQ(long_one.error().code, Code::invalid_argument);
}

TEST_F(StreamTest, ARunLogTellsOnlyWhatCameSinceItWasOpened) {
    const std::string path = folder / "log";
    {
        auto old = open_run_log(path);
        ASSERT_TRUE(old);
        ASSERT_EQ(::write(old->fd.get(), "old\n", 4), 4);
    }
    auto log = open_run_log(path);
    ASSERT_TRUE(log) << log.error().message;
    EXPECT_EQ(log->since_opened(), "");
    ASSERT_EQ(::write(log->fd.get(), "first line\nsecond line\n", 23), 23);
    EXPECT_EQ(log->since_opened(), "first line\nsecond line\n");
    EXPECT_EQ(log->since_opened(15), "second line\n");
    ::symlink("/etc/passwd", (folder / "link").c_str());
    EXPECT_FALSE(open_run_log(folder / "link")) << "whoever owns the folder must not choose the file";
}

}  // namespace
}  // namespace bascule::kernel::os
