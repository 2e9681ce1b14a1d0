// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <fstream>

namespace bascule::kernel::os {

namespace {

// Waits for the end of a process, ten seconds at most.
bool ends(const Process& process) {
    pollfd one{.fd = process.pidfd(), .events = POLLIN, .revents = 0};
    return ::poll(&one, 1, 10'000) == 1 && !process.running();
}

Command shell(const std::string& script, int out = -1) {
    Command command;
    command.program = "/bin/sh";
    command.args = {"-c", script};
    command.environment = {"PATH=/usr/bin:/bin", "GREETING=hello"};
    command.stdout_fd = out;
    return command;
}

UniqueFd memory() { return UniqueFd(::memfd_create("out", MFD_CLOEXEC)); }

std::string content(const UniqueFd& fd) {
    std::array<char, 4096> buffer{};
    const ssize_t size = ::pread(fd.get(), buffer.data(), buffer.size(), 0);
    return {buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0))};
}

std::string output_of(Command command) {
    const UniqueFd out = memory();
    command.stdout_fd = command.stderr_fd = out.get();
    const auto process = make_spawner()->spawn(command);
    EXPECT_TRUE(process) << process.error().message;
    EXPECT_TRUE(process && ends(**process));
    return content(out);
}

#define NEEDS_ROOT()                                         \
    if (::geteuid() != 0) {                                  \
        GTEST_SKIP() << "needs root to become another user"; \
    }

}  // namespace

TEST(Spawner, AChildHasItsArgumentsItsEnvironmentAndNothingElse) {
    ::setenv("SECRET", "x", 1);
    EXPECT_EQ(output_of(shell("echo $0 $GREETING $SECRET; pwd")), "/bin/sh hello\n/\n");
}

TEST(Spawner, AProgramWithoutASlashIsLookedUp) {
    Command command;
    command.program = "echo";
    command.args = {"found"};
    EXPECT_EQ(output_of(command), "found\n");
}

TEST(Spawner, AChildGetsItsDescriptorsInOrderAndNoOthers) {
    const UniqueFd a = memory(), b = memory();
    ASSERT_EQ(::write(a.get(), "a", 1), 1);
    ASSERT_EQ(::write(b.get(), "b", 1), 1);
    const int leaked = ::dup(a.get());  // inheritable, by mistake
    Command command = shell("ls /proc/self/fd | tr '\\n' ' '; cat /proc/self/fd/3 /proc/self/fd/4 /proc/self/fd/5");
    command.fds = {b.get(), a.get(), b.get()};
    // ls has one more, of the folder that it reads.
    EXPECT_EQ(output_of(command), "0 1 2 3 4 5 6 bab");
    ::close(leaked);
}

TEST(Spawner, DescriptorsMayLieWhereOthersHaveToGo) {
    std::array<UniqueFd, 4> low;
    std::vector<int> numbers;
    for (std::size_t i = 0; i < low.size(); ++i) {
        low[i] = memory();
        const char c = static_cast<char>('a' + i);
        ASSERT_EQ(::write(low[i].get(), &c, 1), 1);
    }
    Command command = shell("cat /proc/self/fd/3 /proc/self/fd/4 /proc/self/fd/5 /proc/self/fd/6");
    for (std::size_t i = low.size(); i-- > 0;) {
        command.fds.push_back(low[i].get());
    }
    EXPECT_EQ(output_of(command), "dcba");
}

TEST(Spawner, AChildReadsNothingAndItsOutputGoesNowhereUnlessTold) {
    const UniqueFd out = memory();
    Command command = shell("readlink /proc/self/fd/0 /proc/self/fd/2", out.get());
    const auto process = make_spawner()->spawn(command);
    ASSERT_TRUE(process);
    ASSERT_TRUE(ends(**process));
    EXPECT_EQ(content(out), "/dev/null\n/dev/null\n");
}

TEST(Spawner, SignalsAreAsIfFresh) {
    sigset_t blocked, before;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    ::sigprocmask(SIG_BLOCK, &blocked, &before);
    const auto old = ::signal(SIGPIPE, SIG_IGN);
    EXPECT_EQ(output_of(shell("grep -E 'Sig(Blk|Ign)' /proc/self/status")),
              "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
    ::signal(SIGPIPE, old);
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
}

TEST(Spawner, AChildLeadsItsOwnSession) {
    const std::string text = output_of(shell("cut -d' ' -f1,6 /proc/$$/stat"));
    EXPECT_EQ(text.substr(0, text.find(' ')), text.substr(text.find(' ') + 1, text.size() - text.find(' ') - 2))
        << text;
}

TEST(Spawner, AProgramThatCannotRunIsAnErrorWithItsReason) {
    Command command;
    command.program = "/nonexistent/program";
    auto refused = make_spawner()->spawn(command);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().sys_errno, ENOENT);
    EXPECT_EQ(refused.error().message, "starting /nonexistent/program: executing it: No such file or directory");
    command.program = "/etc/passwd";
    refused = make_spawner()->spawn(command);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().sys_errno, EACCES);
    command.program = "no-such-program-anywhere";
    refused = make_spawner()->spawn(command);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().sys_errno, ENOENT);
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "no child is left behind";
}

TEST(Spawner, ADescriptorThatIsNotOpenIsAnError) {
    Command command = shell("true");
    command.fds = {987};
    const auto refused = make_spawner()->spawn(command);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().sys_errno, EBADF);
    EXPECT_TRUE(refused.error().message.contains("descriptors")) << refused.error().message;
}

TEST(Spawner, AChildBecomesAnotherUserWithExactlyTheseGroups) {
    NEEDS_ROOT();
    Command command = shell("id -u; id -g; id -G; grep CapEff /proc/self/status");
    command.uid = 4321;
    command.gid = 4322;
    command.groups = {4323};
    EXPECT_EQ(output_of(command), "4321\n4322\n4322 4323\nCapEff:\t0000000000000000\n");
    command.groups.clear();
    EXPECT_EQ(output_of(command), "4321\n4322\n4322\nCapEff:\t0000000000000000\n");
}

TEST(Spawner, AProcessEndsWhenItIsKilled) {
    const auto process = make_spawner()->spawn(shell("sleep 1000 & wait"));
    ASSERT_TRUE(process);
    EXPECT_TRUE((*process)->running());
    ASSERT_TRUE((*process)->signal(SIGKILL));
    EXPECT_TRUE(ends(**process));
    const auto late = (*process)->signal(SIGTERM);
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().code, Code::unreachable);
}

TEST(Spawner, AProcessOutlivesItsObjectAndIsReapedLater) {
    const auto spawner = make_spawner();
    int pid = 0;
    {
        auto process = spawner->spawn(shell("exec cat"));  // ends at once: its input is /dev/null
        ASSERT_TRUE(process);
        pid = (*process)->pid();
    }
    // Whatever happened first, it becomes a zombie at most until the next start.
    for (int i = 0; i < 1000; ++i) {
        const auto next = spawner->spawn(shell("true"));
        ASSERT_TRUE(next && ends(**next));
        if (::kill(pid, 0) < 0) {
            break;
        }
    }
    EXPECT_EQ(::kill(pid, 0), -1);
}

TEST(Spawner, ARunningProcessIsAdoptedByNumberAndProgram) {
    const auto spawner = make_spawner();
    Command command;
    command.program = "/usr/bin/sleep";
    command.args = {"1000"};
    const auto child = spawner->spawn(command);
    ASSERT_TRUE(child);
    const auto adopted = make_spawner()->adopt((*child)->pid(), "/usr/bin/sleep");
    ASSERT_TRUE(adopted) << adopted.error().message;
    EXPECT_TRUE((*adopted)->running());
    const auto wrong = make_spawner()->adopt((*child)->pid(), "/usr/bin/qemu");
    ASSERT_FALSE(wrong);
    EXPECT_EQ(wrong.error().code, Code::unreachable);
    ASSERT_TRUE((*adopted)->signal(SIGTERM));
    EXPECT_TRUE(ends(**child));
    EXPECT_FALSE((*adopted)->running());
    for (const int gone : {(*child)->pid(), 0, -1}) {
        const auto refused = spawner->adopt(gone, "/usr/bin/sleep");
        ASSERT_FALSE(refused);
        EXPECT_EQ(refused.error().code, Code::unreachable);
    }
}

class AsAnotherUser : public testing::Test {
protected:
    void SetUp() override {
        NEEDS_ROOT();
        std::string name = testing::TempDir() + "bascule-XXXXXX";
        folder_ = ::mkdtemp(name.data());
        ::chmod(folder_.c_str(), 0755);
        std::ofstream(folder_ + "/file") << "content";
        ::chmod((folder_ + "/file").c_str(), 0600);
    }
    void TearDown() override {
        if (!folder_.empty()) {
            ::unlink((folder_ + "/file").c_str());
            ::rmdir(folder_.c_str());
        }
    }
    std::string folder_;
};

TEST_F(AsAnotherUser, AFileIsReadableWhenThatUserMay) {
    const std::string file = folder_ + "/file";
    EXPECT_FALSE(readable_as(file, 4321, 4321));
    EXPECT_TRUE(readable_as(file, 0, 0));
    ::chmod(file.c_str(), 0640);
    ASSERT_EQ(::chown(file.c_str(), 0, 4321), 0);
    EXPECT_TRUE(readable_as(file, 4321, 4321));
    EXPECT_FALSE(readable_as(file, 4321, 4322));
    ::chmod(folder_.c_str(), 0700);
    EXPECT_FALSE(readable_as(file, 4321, 4321)) << "the folder counts, too";
    EXPECT_EQ(open_as(file, O_RDONLY, 4321, 4321).error().sys_errno, EACCES);
    EXPECT_TRUE(UniqueFd(::open(file.c_str(), O_RDONLY))) << "we are ourselves again";
}

TEST_F(AsAnotherUser, ACopyInMemoryIsReadByAnybodyAndChangedByNobody) {
    const std::string file = folder_ + "/file";
    const auto copy = memory_copy(file);
    ASSERT_TRUE(copy) << copy.error().message;
    Command command = shell("cat /proc/self/fd/3; echo x > /proc/self/fd/3 || echo refused");
    command.fds = {copy->get()};
    command.uid = command.gid = 4321;
    const std::string out = output_of(command);
    EXPECT_TRUE(out.starts_with("content")) << out;
    EXPECT_TRUE(out.ends_with("refused\n")) << out;
    EXPECT_EQ(::write(copy->get(), "x", 1), -1);
    EXPECT_FALSE(memory_copy(folder_));
    EXPECT_EQ(memory_copy(folder_ + "/absent").error().sys_errno, ENOENT);
}

}  // namespace bascule::kernel::os
