// SPDX-License-Identifier: GPL-2.0-or-later
// The fakes of io.h keep io.h's promises: what is tested with them can rely on that.
#include "tests/support/fake_io.h"

#include <gtest/gtest.h>

#include <csignal>

namespace bascule::test {
namespace {

using namespace kernel;
using std::chrono::seconds;

TEST(FakeLoop, TimersRunInOrderOnceAndOnlyWhenTimeMoves) {
    FakeLoop loop;
    std::string order;
    const auto late = loop.at(loop.time.now() + seconds(2), [&] { order += "b"; });
    const auto soon = loop.at(loop.time.now() + seconds(1), [&] { order += "a"; });
    auto never = loop.at(loop.time.now() + seconds(1), [&] { order += "x"; });
    never.reset();
    EXPECT_FALSE(loop.turn());
    loop.advance(seconds(1));
    EXPECT_EQ(order, "a");
    loop.advance(seconds(5));
    EXPECT_EQ(order, "ab");
    EXPECT_EQ(loop.timers(), 0U);
}

TEST(FakeLoop, ATimerMayArmTheNextWhileTimeMoves) {
    FakeLoop loop;
    int ticks = 0;
    std::unique_ptr<Watch> timer;
    std::function<void()> tick = [&] {
        ++ticks;
        timer = loop.at(loop.time.now() + seconds(1), [&] { tick(); });
    };
    tick();
    loop.advance(seconds(10));
    EXPECT_EQ(ticks, 11);
}

TEST(FakeLoop, AWatchMayBeDestroyedInItsOwnCallback) {
    FakeLoop loop;
    std::unique_ptr<Watch> watch;
    int calls = 0;
    watch = loop.watch(100, true, false, [&](Ready ready) {
        EXPECT_TRUE(ready.readable);
        ++calls;
        watch.reset();
    });
    EXPECT_TRUE(loop.fire(100, {.readable = true}));
    EXPECT_FALSE(loop.fire(100, {.readable = true}));
    EXPECT_EQ(calls, 1);
    EXPECT_EQ(loop.watches(), 0U);
}

TEST(FakeLoop, DeferredCallsRunInOrderAndStopEndsRun) {
    FakeLoop loop;
    std::string order;
    loop.defer([&] {
        order += "a";
        loop.defer([&] { order += "c"; });
    });
    loop.defer([&] { order += "b"; });
    ASSERT_TRUE(loop.run());
    EXPECT_EQ(order, "abc");
    const auto term = loop.on_signal(SIGTERM, [&] { order += "t"; });
    EXPECT_TRUE(loop.raise(SIGTERM));
    EXPECT_FALSE(loop.raise(SIGHUP));
    EXPECT_EQ(order, "abct");
}

TEST(FakeSpawner, ProcessesRunUntilTheyEndAndThenTheirPidfdIsReadable) {
    FakeLoop loop;
    FakeSpawner spawner;
    Command command;
    command.program = "/usr/bin/qemu";
    const auto process = spawner.spawn(command);
    ASSERT_TRUE(process);
    bool ended = false;
    const auto watch = loop.watch((*process)->pidfd(), true, false, [&](Ready) { ended = true; });
    loop.turn();
    EXPECT_FALSE(ended);
    EXPECT_TRUE(spawner.adopt((*process)->pid(), "/usr/bin/qemu"));
    EXPECT_EQ(spawner.adopt((*process)->pid(), "/bin/sh").error().code, Code::unreachable);
    ASSERT_TRUE((*process)->signal(SIGTERM));
    loop.turn();
    EXPECT_TRUE(ended);
    EXPECT_FALSE((*process)->running());
    EXPECT_FALSE((*process)->signal(SIGKILL));
    spawner.missing.insert("/usr/bin/qemu");
    EXPECT_EQ(spawner.spawn(command).error().sys_errno, ENOENT);
}

TEST(FakeFiles, ListNamesSortedAndFoldersByWhatIsInThem) {
    FakeFiles files;
    ASSERT_TRUE(files.write("/etc/bascule/networks/b.xml", "b", 0600));
    ASSERT_TRUE(files.write("/etc/bascule/networks/a.xml", "a", 0600));
    ASSERT_TRUE(files.symlink("/etc/bascule/networks/a.xml", "/etc/bascule/networks/autostart/a.xml"));
    EXPECT_EQ(files.list("/etc/bascule/networks").value(), (std::vector<std::string>{"a.xml", "autostart", "b.xml"}));
    EXPECT_EQ(files.list("/nowhere").value(), std::vector<std::string>());
    EXPECT_TRUE(files.exists("/etc/bascule"));
    EXPECT_EQ(files.read("/etc/bascule/networks/autostart/a.xml", 10).value(), "a");
    EXPECT_EQ(files.read("/etc/bascule/networks/b.xml", 0).error().sys_errno, EFBIG);
    EXPECT_EQ(files.read("/nowhere", 10).error().sys_errno, ENOENT);
    files.write_errno = ENOSPC;
    EXPECT_EQ(files.write("/x", "", 0600).error().sys_errno, ENOSPC);
    EXPECT_FALSE(files.exists("/x"));
}

TEST(FakeStream, CarriesBytesBothWays) {
    FakeStream stream;
    EXPECT_TRUE(stream.read(10).value().empty());
    stream.incoming = "hello";
    EXPECT_EQ(as_text(stream.read(2).value()), "he");
    stream.closed = true;
    EXPECT_EQ(as_text(stream.read(10).value()), "llo");
    EXPECT_EQ(stream.read(10).error().code, Code::unreachable);
    FakeStream full;
    full.room = 3;
    EXPECT_EQ(full.write(as_bytes("abcd")).value(), 3U);
    EXPECT_EQ(full.write(as_bytes("d")).value(), 0U);
    EXPECT_EQ(full.outgoing, "abc");
}

}  // namespace
}  // namespace bascule::test
