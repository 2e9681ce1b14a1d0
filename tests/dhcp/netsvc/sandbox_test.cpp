// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/netsvc/sandbox.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <string>
#include <utility>

#include "base/fd.h"

namespace bascule::netsvc {
namespace {

// Runs something in a child in the sandbox of a release: what runs there makes no sanitizer report.
// Its exit status, or minus the signal that killed it.
int in_sandbox(const std::function<int(int folder)>& what) {
    const pid_t pid = ::fork();
    if (pid == 0) {
        const int folder = ::open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        // Not _exit(): the sanitizer does something of its own there.
        ::syscall(SYS_exit_group, enter_sandbox(folder, false) ? what(folder) : 99);
    }
    int status = 0;
    ::waitpid(pid, &status, 0);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

TEST(Sandbox, CanBeEntered) {
    EXPECT_EQ(in_sandbox([](int) { return 7; }), 7);
}

TEST(Sandbox, ForbiddenCallsKill) {
    EXPECT_EQ(in_sandbox([](int) { return ::socket(AF_INET, SOCK_DGRAM, 0); }), -SIGSYS);
    EXPECT_EQ(in_sandbox([](int) { return ::execl("/bin/true", "true", nullptr); }), -SIGSYS);
    EXPECT_EQ(in_sandbox([](int) { return ::kill(1, 0); }), -SIGSYS);
    EXPECT_EQ(in_sandbox([](int) { return ::chdir("/"); }), -SIGSYS);
    EXPECT_EQ(in_sandbox([](int folder) { return ::unlinkat(folder, "x", 0); }), -SIGSYS);
}

TEST(Sandbox, FilesAreOpenedInTheFolderOnly) {
    EXPECT_EQ(in_sandbox([](int folder) { return ::openat(folder, "sandbox-test-absent", O_RDONLY) == -1 ? 0 : 1; }),
              0);
    EXPECT_EQ(in_sandbox([](int) { return ::open("/etc/passwd", O_RDONLY); }), -SIGSYS);
    // An absolute path ignores the folder; Landlock does not, where the kernel has it.
    const int absolute = in_sandbox([](int folder) { return ::openat(folder, "/etc/passwd", O_RDONLY) == -1 ? 0 : 1; });
    EXPECT_TRUE(absolute == 0 || ::access("/sys/kernel/security/landlock", F_OK) != 0);
}

TEST(Sandbox, NothingMappedIsExecutable) {
    EXPECT_EQ(
        in_sandbox([](int) {
            return ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == nullptr ? 1 : 2;
        }),
        -SIGSYS);
}

TEST(Sandbox, NoCapabilityIsLeft) {
    int ready[2], done[2];
    ASSERT_EQ(::pipe2(ready, O_CLOEXEC), 0);
    ASSERT_EQ(::pipe2(done, O_CLOEXEC), 0);
    const pid_t pid = ::fork();
    if (pid == 0) {
        char byte = enter_sandbox(::open("/tmp", O_RDONLY | O_DIRECTORY), false) ? 'y' : 'n';
        [[maybe_unused]] auto written = ::write(ready[1], &byte, 1);
        [[maybe_unused]] auto got = ::read(done[0], &byte, 1);
        ::_exit(0);
    }
    ::close(std::exchange(ready[1], -1));  // so that the read below ends when the child dies
    char byte = 0;
    ASSERT_EQ(::read(ready[0], &byte, 1), 1);
    EXPECT_EQ(byte, 'y');
    std::ifstream in("/proc/" + std::to_string(pid) + "/status");
    const std::string status{std::istreambuf_iterator<char>(in), {}};
    EXPECT_TRUE(status.contains("NoNewPrivs:\t1"));
    EXPECT_TRUE(status.contains("Seccomp:\t2"));
    for (const char* set : {"CapEff", "CapPrm", "CapInh", "CapAmb"}) {
        EXPECT_TRUE(status.contains(std::string(set) + ":\t0000000000000000")) << set;
    }
    if (::geteuid() == 0) {
        EXPECT_TRUE(status.contains("CapBnd:\t0000000000000000"));
    }
    ASSERT_EQ(::write(done[1], &byte, 1), 1);
    ::waitpid(pid, nullptr, 0);
    for (const int fd : {ready[0], ready[1], done[0], done[1]}) {
        ::close(fd);
    }
}

}  // namespace
}  // namespace bascule::netsvc
