// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/confine.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

#include <fmt/format.h>

namespace bascule::kernel::os {

namespace {

// Newer than Debian 12's headers: the third version of the interface (Linux 6.2).
constexpr std::uint64_t kTruncate = std::uint64_t{1} << 14;
constexpr int kVersionWithTruncate = 3;

constexpr std::uint64_t kRead = LANDLOCK_ACCESS_FS_READ_FILE;
constexpr std::uint64_t kWrite = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE;
constexpr std::uint64_t kReadTree =
    LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_EXECUTE;
constexpr std::uint64_t kFirstVersion = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;

int version() {
    static const int known =
        static_cast<int>(::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION));
    return known;
}

// Absent is fine for what only some systems have.
bool allow(const UniqueFd& rules, const std::string& path, std::uint64_t access) {
    const UniqueFd fd(::open(path.c_str(), O_PATH | O_CLOEXEC));
    struct stat info{};
    if (!fd || ::fstat(fd.get(), &info) < 0) {
        return false;
    }
    if (!S_ISDIR(info.st_mode)) {
        access &= ~static_cast<std::uint64_t>(LANDLOCK_ACCESS_FS_READ_DIR);  // refused for what is no folder
    }
    const landlock_path_beneath_attr rule{.allowed_access = access, .parent_fd = fd.get()};
    return ::syscall(SYS_landlock_add_rule, rules.get(), LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
}

bool limit(int what, std::uint64_t most) {
    const rlimit both{.rlim_cur = most, .rlim_max = most};
    return ::setrlimit(static_cast<__rlimit_resource>(what), &both) == 0;
}

}  // namespace

bool can_confine_files() { return version() > 0; }

Result<Fence> make_fence(const Confinement& confinement) {
    Fence out{.rules = {},
              .memory = confinement.memory,
              .processor = static_cast<std::uint64_t>(confinement.processor.count())};
    if (!can_confine_files()) {
        return out;
    }
    const std::uint64_t truncate = version() >= kVersionWithTruncate ? kTruncate : 0;
    const landlock_ruleset_attr handled{.handled_access_fs = kFirstVersion | truncate};
    out.rules = UniqueFd(static_cast<int>(::syscall(SYS_landlock_create_ruleset, &handled, sizeof(handled), 0)));
    if (!out.rules) {
        return fail_errno("confining a program");
    }
    // To be executed at all.
    for (const char* const path : {"/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache"}) {
        allow(out.rules, path, kReadTree);
    }
    for (const char* const path : {"/dev/null", "/dev/zero", "/dev/urandom"}) {
        allow(out.rules, path, kWrite);
    }
    for (const std::string& path : confinement.reads) {
        if (!allow(out.rules, path, kRead)) {
            return fail_errno(path);
        }
    }
    for (const std::string& path : confinement.writes) {
        if (!allow(out.rules, path, kWrite | truncate)) {
            return fail_errno(path);
        }
    }
    return out;
}

bool close_fence(const Fence& fence) {
    constexpr std::uint64_t kDescriptors = 256;
    if (!limit(RLIMIT_AS, fence.memory) || !limit(RLIMIT_CPU, fence.processor) || !limit(RLIMIT_CORE, 0) ||
        !limit(RLIMIT_NOFILE, kDescriptors)) {
        return false;
    }
    // A network of its own has no links, so there is nobody to talk to.
    if (::unshare(CLONE_NEWNET) < 0 || ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        return false;
    }
    return !fence.rules || ::syscall(SYS_landlock_restrict_self, fence.rules.get(), 0) == 0;
}

bool drop_powers() {
    // Out of the bounding set, so that exec does not give them back to root (capabilities(7)).
    for (int power = 0; power < 64; ++power) {
        if (power != CAP_DAC_OVERRIDE && ::prctl(PR_CAPBSET_DROP, power, 0, 0, 0) < 0) {
            if (errno == EINVAL) {
                break;  // there are no more
            }
            return false;
        }
    }
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    std::array<__user_cap_data_struct, 2> powers{};
    const std::uint32_t kept = std::uint32_t{1} << CAP_DAC_OVERRIDE;
    powers[0] = {.effective = kept, .permitted = kept, .inheritable = 0};
    return ::syscall(SYS_capset, &header, powers.data()) == 0;
}

}  // namespace bascule::kernel::os
