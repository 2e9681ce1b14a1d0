// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/process.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "kernel/linux/confine.h"

namespace bascule::kernel::os {

namespace {

// glibc 2.36 declares its wrappers of these two without C linkage.
int open_pidfd(int pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }
// Of this thread only; the C library's own would change all threads of the process, and wait for each of them.
bool set_thread_groups(std::size_t count, const gid_t* groups) { return ::syscall(SYS_setgroups, count, groups) == 0; }
long signal_pidfd(int pidfd, int number) { return ::syscall(SYS_pidfd_send_signal, pidfd, number, nullptr, 0); }

bool has_ended(const UniqueFd& pidfd) {
    pollfd one{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
    return ::poll(&one, 1, 0) == 1;
}

// Takes the exit status of a child that has ended; nothing for a process that is no child of ours, or was reaped.
std::optional<int> reap(const UniqueFd& pidfd) {
    siginfo_t info{};
    if (::waitid(P_PIDFD, static_cast<id_t>(pidfd.get()), &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0) {
        return std::nullopt;
    }
    return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

// Children whose Process is gone.
class Orphans {
public:
    void add(UniqueFd pidfd) { left_.push_back(std::move(pidfd)); }
    void reap_ended() {
        std::erase_if(left_, [](const UniqueFd& pidfd) {
            const bool ended = has_ended(pidfd);
            if (ended) {
                reap(pidfd);
            }
            return ended;
        });
    }

private:
    std::vector<UniqueFd> left_;
};

class LinuxProcess : public Process {
public:
    LinuxProcess(int pid, UniqueFd pidfd, std::shared_ptr<Orphans> orphans)
        : pid_(pid), pidfd_(std::move(pidfd)), orphans_(std::move(orphans)) {}
    ~LinuxProcess() override {
        if (LinuxProcess::running() && orphans_) {
            orphans_->add(std::move(pidfd_));
        }
    }

    int pid() const override { return pid_; }
    int pidfd() const override { return pidfd_.get(); }
    bool running() const override {
        if (!has_ended(pidfd_)) {
            return true;
        }
        if (const auto status = reap(pidfd_)) {
            status_ = status;
        }
        return false;
    }
    std::optional<int> exit_status() const override {
        (void)running();
        return status_;
    }
    Result<void> signal(int number) override {
        if (signal_pidfd(pidfd_.get(), number) < 0) {
            const int error = errno;
            return error == ESRCH ? fail(Code::unreachable, fmt::format("process {} has ended", pid_))
                                  : fail_errno(fmt::format("sending signal {} to process {}", number, pid_), error);
        }
        return {};
    }

private:
    int pid_;
    UniqueFd pidfd_;
    std::shared_ptr<Orphans> orphans_;  // null: not our child
    mutable std::optional<int> status_;
};

// The part of a start that failed, in the words of the error.
enum class Step : int { descriptors, groups, gid, uid, session, confinement, exec };
constexpr std::array<const char*, 7> kSteps = {
    "passing its descriptors", "setting its groups", "setting its group", "setting its user",
    "making its session",      "confining it",       "executing it"};
struct Failure {
    Step step = Step::exec;
    int error = 0;
};

// Everything the child needs, laid out before the fork: between fork and exec it must not allocate.
struct Prepared {
    std::string program;
    std::vector<std::string> arguments, environment;  // what the next two point to
    std::vector<char*> argv, envp;
    std::vector<gid_t> groups;
    std::vector<int> sources;  // of descriptors 0, 1, 2, …
    bool identity = false;
    UniqueFd null;
    std::optional<Fence> fence;
};

std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> out;
    std::ranges::transform(texts, std::back_inserter(out), [](std::string& text) { return text.data(); });
    out.push_back(nullptr);
    return out;
}

Result<std::string> find_program(const std::string& program) {
    if (program.contains('/')) {
        return program;
    }
    for (const char* folder : {"/usr/local/sbin/", "/usr/local/bin/", "/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"}) {
        if (std::string path = folder + program; ::access(path.c_str(), X_OK) == 0) {
            return path;
        }
    }
    return std::unexpected(
        Error{Code::system, fmt::format("{}: no such program in the standard folders", program), ENOENT});
}

Result<Prepared> prepare(const Command& command) {
    Prepared out;
    TRY(out.program, find_program(command.program));
    out.arguments = command.args;
    out.arguments.insert(out.arguments.begin(), command.program);
    out.environment = command.environment;
    out.argv = pointers(out.arguments);
    out.envp = pointers(out.environment);
    out.groups.assign(command.groups.begin(), command.groups.end());
    out.identity = command.uid || command.gid || !command.groups.empty();
    out.null = UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC));
    if (!out.null) {
        return fail_errno("opening /dev/null");
    }
    if (command.confine) {
        TRY(out.fence, make_fence(*command.confine));
    }
    const auto or_null = [&](int fd) { return fd < 0 ? out.null.get() : fd; };
    out.sources = {out.null.get(), or_null(command.stdout_fd), or_null(command.stderr_fd)};
    out.sources.insert(out.sources.end(), command.fds.begin(), command.fds.end());
    return out;
}

// Puts the descriptors at 0, 1, 2, … and marks all others to be closed by exec. First everything is moved out of
// the way, since a source may be where another one has to go.
bool place_descriptors(std::vector<int>& sources, int& report) {
    const int count = static_cast<int>(sources.size());
    for (int& fd : sources) {
        fd = ::fcntl(fd, F_DUPFD_CLOEXEC, count);
        if (fd < 0) {
            return false;
        }
    }
    if (report < count) {
        report = ::fcntl(report, F_DUPFD_CLOEXEC, count);
        if (report < 0) {
            return false;
        }
    }
    for (int target = 0; target < count; ++target) {
        if (::dup2(sources[static_cast<std::size_t>(target)], target) < 0) {
            return false;
        }
    }
    return ::close_range(static_cast<unsigned>(count), UINT_MAX, CLOSE_RANGE_CLOEXEC) == 0;
}

void reset_signals() {
    struct sigaction defaults{};
    defaults.sa_handler = SIG_DFL;
    for (int number = 1; number < NSIG; ++number) {
        ::sigaction(number, &defaults, nullptr);  // fails for the two that cannot be changed
    }
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

// Runs in the child. Returns only when something failed; `report` is where to say so.
Failure become(const Command& command, Prepared& prepared, int& report) {
    const auto failed = [](Step step) { return Failure{step, errno}; };
    if (prepared.fence && !close_fence(*prepared.fence)) {
        return failed(Step::confinement);
    }
    if (!place_descriptors(prepared.sources, report)) {
        return failed(Step::descriptors);
    }
    if (command.new_session && ::setsid() < 0) {
        return failed(Step::session);
    }
    if (prepared.identity && !set_thread_groups(prepared.groups.size(), prepared.groups.data())) {
        return failed(Step::groups);
    }
    if (command.gid && ::setresgid(*command.gid, *command.gid, *command.gid) < 0) {
        return failed(Step::gid);
    }
    if (command.uid && ::setresuid(*command.uid, *command.uid, *command.uid) < 0) {
        return failed(Step::uid);
    }
    if (::chdir("/") < 0) {
        return failed(Step::session);
    }
    if (prepared.fence && !drop_powers()) {
        return failed(Step::confinement);
    }
    reset_signals();
    ::execve(prepared.program.c_str(), prepared.argv.data(), prepared.envp.data());
    return failed(Step::exec);
}

class LinuxSpawner : public Spawner {
public:
    Result<std::unique_ptr<Process>> spawn(const Command& command) override;
    Result<std::unique_ptr<Process>> adopt(int pid, const std::string& executable) override;

private:
    std::shared_ptr<Orphans> orphans_ = std::make_shared<Orphans>();
};

Result<std::unique_ptr<Process>> LinuxSpawner::spawn(const Command& command) {
    orphans_->reap_ended();
    TRY(Prepared prepared, prepare(command));
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) < 0) {
        return fail_errno(fmt::format("starting {}", command.program));
    }
    UniqueFd reading(ends[0]), writing(ends[1]);
    // No handler of ours may run in the child.
    sigset_t all, before;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    const pid_t pid = ::fork();
    if (pid == 0) {
        int report = writing.get();
        const Failure failure = become(command, prepared, report);
        [[maybe_unused]] const ssize_t written = ::write(report, &failure, sizeof(failure));
        ::_exit(127);
    }
    const int fork_error = errno;
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (pid < 0) {
        return fail_errno(fmt::format("starting {}", command.program), fork_error);
    }
    // Not reaped before this, so the number is still the child's.
    UniqueFd pidfd(open_pidfd(pid));
    const int pidfd_error = errno;
    writing.reset();
    Failure failure;
    ssize_t size = 0;
    do {
        size = ::read(reading.get(), &failure, sizeof(failure));  // the end comes with exec
    } while (size < 0 && errno == EINTR);
    if (size != 0 || !pidfd) {
        ::kill(pid, SIGKILL);
        ::waitpid(pid, nullptr, 0);
        if (size != static_cast<ssize_t>(sizeof(failure))) {
            return fail_errno(fmt::format("starting {}", command.program), pidfd_error);
        }
        return fail_errno(
            fmt::format("starting {}: {}", command.program, kSteps.at(static_cast<std::size_t>(failure.step))),
            failure.error);
    }
    return std::make_unique<LinuxProcess>(pid, std::move(pidfd), orphans_);
}

Result<std::unique_ptr<Process>> LinuxSpawner::adopt(int pid, const std::string& executable) {
    const auto gone = [&](std::string_view why) {
        return fail(Code::unreachable, fmt::format("process {} ({}): {}", pid, executable, why));
    };
    if (pid <= 0) {
        return gone("no process has this number");
    }
    UniqueFd pidfd(open_pidfd(pid));
    if (!pidfd) {
        return gone(errno == ESRCH ? "has ended" : errno_text(errno));
    }
    std::array<char, PATH_MAX> target{};
    const ssize_t size = ::readlink(fmt::format("/proc/{}/exe", pid).c_str(), target.data(), target.size());
    if (size < 0) {
        return gone(errno == ENOENT ? "has ended" : errno_text(errno));
    }
    std::string_view shown(target.data(), static_cast<std::size_t>(size));
    // What was replaced by an upgrade still runs.
    if (constexpr std::string_view kReplaced = " (deleted)"; shown.ends_with(kReplaced)) {
        shown.remove_suffix(kReplaced.size());
    }
    if (shown != executable) {
        return gone(fmt::format("the number now belongs to {}", shown));
    }
    // Still running now: so what /proc showed was the process that the descriptor holds, not a later one.
    if (has_ended(pidfd)) {
        return gone("has ended");
    }
    return std::make_unique<LinuxProcess>(pid, std::move(pidfd), nullptr);
}

// File accesses of this thread as somebody else. The kernel drops our powers over files with the user id and gives them
// back with it (capabilities(7), "effect of user ID changes").
class FileIdentity {
public:
    FileIdentity(std::uint32_t uid, std::uint32_t gid)
        : groups_(current_groups()),
          changed_(set_only_group(gid)),
          gid_(static_cast<gid_t>(::setfsgid(gid))),
          uid_(static_cast<uid_t>(::setfsuid(uid))),
          // They report nothing but the former id.
          complete_(changed_ && static_cast<std::uint32_t>(::setfsgid(gid)) == gid &&
                    static_cast<std::uint32_t>(::setfsuid(uid)) == uid) {}
    FileIdentity(const FileIdentity&) = delete;
    FileIdentity& operator=(const FileIdentity&) = delete;
    ~FileIdentity() {
        ::setfsuid(uid_);
        ::setfsgid(gid_);
        if (changed_ && !set_thread_groups(groups_.size(), groups_.data())) {
            std::abort();  // going on as somebody else would be worse
        }
    }
    bool complete() const { return complete_; }

private:
    static std::vector<gid_t> current_groups() {
        std::vector<gid_t> out(static_cast<std::size_t>(std::max(::getgroups(0, nullptr), 0)));
        ::getgroups(static_cast<int>(out.size()), out.data());
        return out;
    }
    static bool set_only_group(gid_t gid) { return set_thread_groups(1, &gid); }

    // In the order in which they are changed.
    std::vector<gid_t> groups_;
    bool changed_;
    gid_t gid_;
    uid_t uid_;
    bool complete_;
};

}  // namespace

std::unique_ptr<Spawner> make_spawner() { return std::make_unique<LinuxSpawner>(); }

Result<UniqueFd> open_as(const std::string& path, int flags, std::uint32_t uid, std::uint32_t gid) {
    const bool other = uid != ::geteuid() || gid != ::getegid();
    int fd = -1;
    int error = 0;
    {
        const auto identity = other ? std::make_unique<FileIdentity>(uid, gid) : nullptr;
        if (identity && !identity->complete()) {
            error = EPERM;
        } else {
            fd = ::open(path.c_str(), flags | O_CLOEXEC | O_NOCTTY);
            error = errno;
        }
    }
    if (fd < 0) {
        return fail_errno(fmt::format("{}: opening it as user {}", path, uid), error);
    }
    return UniqueFd(fd);
}

bool readable_as(const std::string& path, std::uint32_t uid, std::uint32_t gid) {
    return open_as(path, O_RDONLY | O_NONBLOCK, uid, gid).has_value();
}

Result<MemoryFile> memory_file(const std::string& name) {
    MemoryFile out;
    out.file = UniqueFd(::memfd_create(name.c_str(), MFD_CLOEXEC));
    if (!out.file) {
        return fail_errno("making a file in memory");
    }
    out.written = UniqueFd(::open(fmt::format("/proc/self/fd/{}", out.file.get()).c_str(), O_WRONLY | O_CLOEXEC));
    if (!out.written) {
        return fail_errno("opening a file in memory");
    }
    return out;
}

std::uint64_t position_of(const UniqueFd& fd) {
    const off_t at = ::lseek(fd.get(), 0, SEEK_CUR);
    return at < 0 ? 0 : static_cast<std::uint64_t>(at);
}

Result<UniqueFd> memory_copy(const std::string& path) {
    const UniqueFd from(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    struct stat info{};
    if (!from || ::fstat(from.get(), &info) < 0) {
        return fail_errno(path);
    }
    if (!S_ISREG(info.st_mode)) {
        return fail(Code::invalid_argument, fmt::format("{}: not a regular file", path));
    }
    UniqueFd to(
        ::memfd_create(path.substr(path.rfind('/') + 1).substr(0, 200).c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!to) {
        return fail_errno(fmt::format("{}: copying it to memory", path));
    }
    off_t at = 0;
    while (at < info.st_size) {
        const ssize_t sent = ::sendfile(to.get(), from.get(), &at, static_cast<std::size_t>(info.st_size - at));
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent < 0) {
            return fail_errno(fmt::format("{}: copying it to memory", path));
        }
        if (sent == 0) {
            break;  // it became shorter meanwhile
        }
    }
    if (::lseek(to.get(), 0, SEEK_SET) < 0 ||
        ::fcntl(to.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0) {
        return fail_errno(fmt::format("{}: copying it to memory", path));
    }
    return to;
}

}  // namespace bascule::kernel::os
