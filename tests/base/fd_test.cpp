// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace bascule {
namespace {

bool open_now(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

int fresh() {
    const int fd = ::open("/dev/null", O_RDONLY);  // not close-on-exec, on purpose
    EXPECT_GE(fd, 0);
    return fd;
}

TEST(UniqueFd, ClosesWhatItOwns) {
    const int fd = fresh();
    {
        const UniqueFd owner(fd);
        EXPECT_TRUE(owner);
        EXPECT_EQ(owner.get(), fd);
        EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0) << "nothing is inherited by accident";
    }
    EXPECT_FALSE(open_now(fd));
}

TEST(UniqueFd, MovesAndResets) {
    UniqueFd a(fresh());
    const int fd = a.get();
    UniqueFd b(std::move(a));
    EXPECT_FALSE(a);  // NOLINT(bugprone-use-after-move): moved-from is empty, that is the promise
    EXPECT_EQ(b.get(), fd);
    const int other = fresh();
    UniqueFd c(other);
    c = std::move(b);
    EXPECT_EQ(c.get(), fd);
    EXPECT_FALSE(open_now(other));
    c.reset();
    EXPECT_FALSE(c);
    EXPECT_FALSE(open_now(fd));
    UniqueFd self(fresh());
    UniqueFd& alias = self;
    self = std::move(alias);
    EXPECT_TRUE(self);
}

TEST(UniqueFd, ReleasesWithoutClosing) {
    UniqueFd a(fresh());
    const int fd = a.release();
    EXPECT_FALSE(a);
    EXPECT_TRUE(open_now(fd));
    ::close(fd);
}

TEST(UniqueFd, DuplicatesAreOwnDescriptors) {
    const UniqueFd a(fresh());
    const UniqueFd b = a.duplicate();
    EXPECT_NE(a.get(), b.get());
    EXPECT_NE(::fcntl(b.get(), F_GETFD) & FD_CLOEXEC, 0);
    EXPECT_FALSE(UniqueFd().duplicate());
    EXPECT_EQ(UniqueFd(-5).get(), -1);
}

}  // namespace
}  // namespace bascule
