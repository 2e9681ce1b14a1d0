// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/netsvc/sandbox.h"

#include <cap-ng.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <span>

#include <fmt/format.h>

#include "base/log.h"

namespace bascule::netsvc {

namespace {

// Ten networks need about fifty descriptors, a thousand six thousand.
constexpr rlim_t kDescriptors = 16384;
constexpr rlim_t kFileBytes = 256U << 20;
// A process of 64 thousand leases has 30 MiB.
constexpr rlim_t kMemoryBytes = 1U << 30;

// Why each call is needed stands beside it. Descriptors are made by accept4, openat and recvmsg only.
constexpr int kAllowed[] = {
    SCMP_SYS(epoll_wait),       // the loop
    SCMP_SYS(epoll_pwait),      // the same, as some C libraries and machines make it
    SCMP_SYS(epoll_ctl),        // sockets come and go with the daemon's pushes
    SCMP_SYS(recvmmsg),         // guests' datagrams
    SCMP_SYS(sendmmsg),         // answers
    SCMP_SYS(recvmsg),          // the daemon's messages, with descriptors
    SCMP_SYS(sendmsg),          // reports to the daemon
    SCMP_SYS(accept4),          // a new daemon connects; DNS by TCP, HTTP
    SCMP_SYS(connect),          // an upstream by TCP, on sockets that we were handed; AF_UNSPEC ends it
    SCMP_SYS(shutdown),         // the end of a reply by HTTP
    SCMP_SYS(getsockopt),       // who it is (SO_PEERCRED); whether a connection came about (SO_ERROR); what was lost
    SCMP_SYS(setsockopt),       // filters on our sockets (gate.h), see below
    SCMP_SYS(getsockname),      // interface and MAC of the bridge, from the packet socket
    SCMP_SYS(read),             // a lease file; connections
    SCMP_SYS(pread64),          // a file that TFTP or HTTP serves
    SCMP_SYS(write),            // a lease file; connections; the log on standard error
    SCMP_SYS(ftruncate),        // cuts a torn end off
    SCMP_SYS(fdatasync),        // before the ACK leaves
    SCMP_SYS(fsync),            // a fresh lease file and its folder
    SCMP_SYS(renameat),         // the fresh file over the old one
    SCMP_SYS(close),            //
    SCMP_SYS(fcntl),            // UniqueFd sees to close-on-exec
    SCMP_SYS(clock_gettime),    // where the vDSO does not answer
    SCMP_SYS(getrandom),        // ids of forwarded queries; hash seeds of the C++ library
    SCMP_SYS(geteuid),          // whose connection is accepted
    SCMP_SYS(getpid),           // Hello; abort()
    SCMP_SYS(brk),              // malloc
    SCMP_SYS(mmap),             // malloc (never executable, see below)
    SCMP_SYS(munmap),           // malloc
    SCMP_SYS(mremap),           // malloc
    SCMP_SYS(madvise),          // malloc
    SCMP_SYS(futex),            // the C library's locks
    SCMP_SYS(rt_sigreturn),     // return from a handler; none is ours, but SIGCONT restarts calls
    SCMP_SYS(restart_syscall),  // after SIGSTOP and SIGCONT
    SCMP_SYS(rt_sigprocmask),   // abort()
    SCMP_SYS(gettid),           // abort()
    SCMP_SYS(tgkill),           // abort()
    SCMP_SYS(exit_group),       //
    SCMP_SYS(exit),             //
};

// Of the process that opens files for it. Descriptors are made by openat2 and recvmsg only.
constexpr int kAllowedToOpener[] = {
    SCMP_SYS(recvmsg),          // a root and a path
    SCMP_SYS(sendmsg),          // the file
    SCMP_SYS(openat2),          // below the root
    SCMP_SYS(fstat),            // whether it is a regular file, and its size
    SCMP_SYS(newfstatat),       // the same, as newer C libraries make it
    SCMP_SYS(fadvise64),        // has it read ahead
    SCMP_SYS(fcntl),            // UniqueFd sees to close-on-exec
    SCMP_SYS(close),            //
    SCMP_SYS(rt_sigreturn),     // SIGCONT restarts calls
    SCMP_SYS(restart_syscall),  // after SIGSTOP and SIGCONT
    SCMP_SYS(exit_group),       //
};

// What the sanitizers' own reports need; not part of a release.
constexpr int kForSanitizers[] = {
    SCMP_SYS(sigaltstack),  SCMP_SYS(readlink), SCMP_SYS(newfstatat), SCMP_SYS(openat),    SCMP_SYS(sched_yield),
    SCMP_SYS(rt_sigaction), SCMP_SYS(mprotect), SCMP_SYS(getrlimit),  SCMP_SYS(prlimit64), SCMP_SYS(sched_getaffinity),
    SCMP_SYS(prctl),        SCMP_SYS(clone),    SCMP_SYS(wait4),      SCMP_SYS(lseek),     SCMP_SYS(ioctl),
    SCMP_SYS(mmap),         SCMP_SYS(pipe2),
};

Result<void> limit(decltype(RLIMIT_CORE) what, rlim_t most, const char* name) {
    rlimit now{};
    if (::getrlimit(what, &now) != 0) {
        return fail_errno(fmt::format("cannot read the limit {}", name));
    }
    const rlim_t value = std::min(most, now.rlim_max);
    const rlimit wanted{value, value};
    return ::setrlimit(what, &wanted) == 0 ? Result<void>() : fail_errno(fmt::format("cannot set the limit {}", name));
}

Result<void> set_limits() {
    TRY_OK(limit(RLIMIT_CORE, 0, "core"));
    TRY_OK(limit(RLIMIT_NPROC, 0, "nproc"));
    TRY_OK(limit(RLIMIT_NOFILE, kDescriptors, "nofile"));
    TRY_OK(limit(RLIMIT_FSIZE, kFileBytes, "fsize"));
    if (!kSanitized) {  // they map terabytes, however little they use
        TRY_OK(limit(RLIMIT_AS, kMemoryBytes, "as"));
    }
    // A write beyond the limit, or to a log that nobody reads any more, is an error like others.
    ::signal(SIGXFSZ, SIG_IGN);
    ::signal(SIGPIPE, SIG_IGN);
    return {};
}

Result<void> drop_capabilities() {
    ::capng_clear(CAPNG_SELECT_ALL);
    // The bounding and ambient sets can only be changed with CAP_SETPCAP; who lacks it has nothing in them to use.
    const bool may = ::prctl(PR_CAPBSET_DROP, 0) == 0;
    if (::capng_apply(may ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS) != 0) {
        return fail(Code::denied, "cannot drop the capabilities");
    }
    return {};
}

// Landlock (Linux 5.13) has no library. A kernel without it leaves the user's own permissions and seccomp.
Result<void> restrict_files(int folder) {
    landlock_ruleset_attr rules{};
    rules.handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1U) - 1;  // every right of the first version
    const auto ruleset = static_cast<int>(::syscall(SYS_landlock_create_ruleset, &rules, sizeof rules, 0));
    if (ruleset < 0) {
        log::info("the kernel has no Landlock ({}); files are guarded by permissions and seccomp only",
                  errno_text(errno));
        return {};
    }
    landlock_path_beneath_attr lease_folder{};
    lease_folder.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |
                                  LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE;
    lease_folder.parent_fd = folder;
    const bool done = ::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &lease_folder, 0) == 0 &&
                      ::syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
    const int error = errno;
    ::close(ruleset);
    return done ? Result<void>() : fail_errno("cannot restrict files with Landlock", error);
}

// `folder`: below which files may be opened, if any.
Result<void> restrict_calls(std::span<const int> allowed, std::optional<int> folder, bool room_for_sanitizers) {
    const std::unique_ptr<void, decltype(&::seccomp_release)> filter(::seccomp_init(SCMP_ACT_KILL_PROCESS),
                                                                     ::seccomp_release);
    if (!filter) {
        return fail(Code::system, "cannot make a seccomp filter");
    }
    const auto check = [](int error, const char* what) {
        return error == 0 ? Result<void>() : fail_errno(fmt::format("seccomp: {}", what), -error);
    };
    for (const int call : allowed) {
        if (call == SCMP_SYS(setsockopt)) {
            for (const int option : {SO_ATTACH_FILTER, SO_DETACH_FILTER}) {
                const scmp_arg_cmp what[] = {
                    {.arg = 1, .op = SCMP_CMP_EQ, .datum_a = SOL_SOCKET, .datum_b = 0},
                    {.arg = 2, .op = SCMP_CMP_EQ, .datum_a = static_cast<scmp_datum_t>(option), .datum_b = 0}};
                TRY_OK(check(::seccomp_rule_add_array(filter.get(), SCMP_ACT_ALLOW, call, 2, what), "setsockopt"));
            }
        } else if (call == SCMP_SYS(mmap)) {
            // argument 2: protection. Nothing we map may be executed.
            const scmp_arg_cmp not_executable{.arg = 2, .op = SCMP_CMP_MASKED_EQ, .datum_a = PROT_EXEC, .datum_b = 0};
            TRY_OK(check(::seccomp_rule_add_array(filter.get(), SCMP_ACT_ALLOW, call, 1, &not_executable), "mmap"));
        } else {
            TRY_OK(check(::seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 0), "cannot allow a call"));
        }
    }
    // Lease files: below the folder, and nowhere else.
    if (folder) {
        const scmp_arg_cmp below{
            .arg = 0, .op = SCMP_CMP_EQ, .datum_a = static_cast<scmp_datum_t>(*folder), .datum_b = 0};
        TRY_OK(check(::seccomp_rule_add_array(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(openat), 1, &below), "openat"));
    }
    if (room_for_sanitizers) {
        for (const int call : kForSanitizers) {
            TRY_OK(check(::seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 0), "cannot allow a sanitizer's call"));
        }
    }
    return check(::seccomp_load(filter.get()), "cannot load the filter");
}

}  // namespace

Result<void> enter_sandbox(int folder, bool room_for_sanitizers) {
    TRY_OK(set_limits());
    TRY_OK(drop_capabilities());
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return fail_errno("cannot set no_new_privs");
    }
    if (!room_for_sanitizers) {
        TRY_OK(restrict_files(folder));
    }
    return restrict_calls(kAllowed, folder, room_for_sanitizers);
}

Result<void> enter_opener_sandbox(bool room_for_sanitizers) {
    TRY_OK(set_limits());
    TRY_OK(drop_capabilities());
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return fail_errno("cannot set no_new_privs");
    }
    return restrict_calls(kAllowedToOpener, std::nullopt, room_for_sanitizers);
}

}  // namespace bascule::netsvc
