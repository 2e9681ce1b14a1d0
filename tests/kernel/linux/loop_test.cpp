// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/loop.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <string>

namespace bascule::kernel::os {

namespace {

using std::chrono::milliseconds;

class LoopTest : public testing::Test {
protected:
    LoopTest() : loop_(*make_loop()) {
        std::array<int, 2> ends{};
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()), 0);
        here_ = UniqueFd(ends[0]);
        there_ = UniqueFd(ends[1]);
    }
    // Runs until stop(), or for a second.
    void run() {
        bool late = false;
        const auto limit = loop_->at(loop_->clock().now() + std::chrono::seconds(10), [&] {
            late = true;
            loop_->stop();
        });
        const auto done = loop_->run();
        EXPECT_TRUE(done) << done.error().message;
        EXPECT_FALSE(late) << "what was waited for never came";
    }
    void say(char c) { EXPECT_EQ(::write(there_.get(), &c, 1), 1); }
    char hear() {
        char c = 0;
        EXPECT_EQ(::read(here_.get(), &c, 1), 1);
        return c;
    }

    std::unique_ptr<Loop> loop_;
    UniqueFd here_, there_;
};

}  // namespace

TEST_F(LoopTest, AReadableDescriptorIsCalledUntilItIsRead) {
    int calls = 0;
    say('a');
    const auto watch = loop_->watch(here_.get(), true, false, [&](Ready ready) {
        EXPECT_TRUE(ready.readable);
        EXPECT_FALSE(ready.writable);
        EXPECT_FALSE(ready.hangup);
        if (++calls == 3) {
            hear();
            loop_->defer([&] { loop_->defer([&] { loop_->stop(); }); });
        }
    });
    run();
    EXPECT_EQ(calls, 3) << "level-triggered";
}

TEST_F(LoopTest, WritableAndHangupAreTold) {
    Ready last;
    const auto watch = loop_->watch(here_.get(), false, true, [&](Ready ready) {
        last = ready;
        if (ready.hangup) {
            loop_->stop();
        } else {
            there_.reset();
        }
    });
    run();
    EXPECT_TRUE(last.writable);
    EXPECT_TRUE(last.hangup);
}

TEST_F(LoopTest, TwoMayWatchOneDescriptor) {
    std::string order;
    say('a');
    std::unique_ptr<Watch> first, second;
    first = loop_->watch(here_.get(), true, false, [&](Ready) {
        order += '1';
        first.reset();
    });
    second = loop_->watch(here_.get(), true, false, [&](Ready) {
        order += '2';
        second.reset();
    });
    const auto check = loop_->at(loop_->clock().now() + milliseconds(20), [&] { loop_->stop(); });
    run();
    EXPECT_EQ(order.size(), 2U);
}

TEST_F(LoopTest, AWatchMayDestroyItselfAndOthersInItsCallback) {
    say('a');
    std::unique_ptr<Watch> self, other;
    int calls = 0;
    const std::string kept = "a text that is too long for the object itself";
    self = loop_->watch(here_.get(), true, false, [&, kept](Ready) {
        ++calls;
        other.reset();
        self.reset();
        EXPECT_EQ(kept.size(), 45U) << "the closure outlives its watch";
        loop_->defer([&] { loop_->stop(); });
    });
    other = loop_->at(loop_->clock().now() + milliseconds(5), [&] { ADD_FAILURE() << "was disarmed"; });
    run();
    EXPECT_EQ(calls, 1);
}

TEST_F(LoopTest, TimersFireOnceInOrderAndNeverEarly) {
    std::string order;
    const Time start = loop_->clock().now();
    const auto late = loop_->at(start + milliseconds(30), [&] {
        EXPECT_GE(loop_->clock().now(), start + milliseconds(30));
        order += 'c';
        loop_->stop();
    });
    const auto early = loop_->at(start + milliseconds(10), [&] {
        EXPECT_GE(loop_->clock().now(), start + milliseconds(10));
        order += 'b';
    });
    const auto past = loop_->at(start - std::chrono::hours(1), [&] { order += 'a'; });
    const auto gone = loop_->at(start + milliseconds(15), [&] { order += 'x'; });
    (void)loop_->at(start + milliseconds(15), [&] { order += 'y'; });  // its watch is gone at once
    const_cast<std::unique_ptr<Watch>&>(gone).reset();
    run();
    EXPECT_EQ(order, "abc");
}

TEST_F(LoopTest, DeferredCallsKeepTheirOrderAndTheirsComeLater) {
    std::string order;
    loop_->defer([&] {
        order += '1';
        loop_->defer([&] {
            order += '3';
            loop_->stop();
        });
    });
    loop_->defer([&] { order += '2'; });
    run();
    EXPECT_EQ(order, "123");
}

TEST_F(LoopTest, DeferredCallsDoNotStarveDescriptors) {
    bool heard = false;
    std::move_only_function<void()> again = [&] {
        if (!heard) {
            loop_->defer([&] { again(); });
        }
    };
    again();
    say('a');
    const auto watch = loop_->watch(here_.get(), true, false, [&](Ready) {
        heard = true;
        hear();
        loop_->stop();
    });
    run();
    EXPECT_TRUE(heard);
}

TEST_F(LoopTest, ASignalReachesEverybodyWhoWaitsForIt) {
    std::string order;
    const auto one = loop_->on_signal(SIGUSR1, [&] { order += '1'; });
    auto gone = loop_->on_signal(SIGUSR1, [&] { order += 'x'; });
    const auto two = loop_->on_signal(SIGUSR1, [&] {
        order += '2';
        loop_->stop();
    });
    gone.reset();
    ASSERT_EQ(::kill(::getpid(), SIGUSR1), 0);
    run();
    EXPECT_EQ(order, "12");
}

TEST_F(LoopTest, ItRunsAgainAfterStop) {
    for (int i = 0; i < 2; ++i) {
        bool ran = false;
        loop_->defer([&] {
            ran = true;
            loop_->stop();
        });
        run();
        EXPECT_TRUE(ran);
    }
}

}  // namespace bascule::kernel::os
