// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/netsvc/files.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include <fmt/format.h>

#include "dhcp/netsvc/sandbox.h"

namespace bascule::netsvc {

namespace {

constexpr std::size_t kLongestPath = 1024;

struct Answer {
    std::uint32_t sequence = 0;
    std::int32_t error = 0;
    std::uint64_t size = 0;
};

// One message with at most one descriptor. False when the connection is over, or nothing is there (MSG_DONTWAIT).
struct Packet {
    std::array<char, sizeof(std::uint32_t) + kLongestPath> bytes{};
    std::size_t size = 0;
    UniqueFd fd;
};

bool receive(int socket, Packet& out, int flags = 0) {
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    iovec data{out.bytes.data(), out.bytes.size()};
    msghdr header{};
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    ssize_t got = 0;
    do {
        got = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC | flags);
    } while (got < 0 && errno == EINTR);
    if (got <= 0) {
        return false;
    }
    out.size = static_cast<std::size_t>(got);
    out.fd.reset();
    const cmsghdr* const c = CMSG_FIRSTHDR(&header);
    if (c != nullptr && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(c), sizeof fd);
        out.fd = UniqueFd(fd);
    }
    return true;
}

bool transmit(int socket, std::string_view bytes, int fd, int flags = 0) {
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    iovec data{const_cast<char*>(bytes.data()), bytes.size()};
    msghdr header{};
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    if (fd >= 0) {
        header.msg_control = control.data();
        header.msg_controllen = control.size();
        cmsghdr* const c = CMSG_FIRSTHDR(&header);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof fd);
        std::memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    ssize_t sent = 0;
    do {
        sent = ::sendmsg(socket, &header, MSG_NOSIGNAL | flags);
    } while (sent < 0 && errno == EINTR);
    return sent >= 0;
}

template <class T>
std::string_view raw(const T& value) {
    return {reinterpret_cast<const char*>(&value), sizeof value};
}

// A regular file below the root, or an error number. O_NONBLOCK: a FIFO or a device is not waited for.
UniqueFd open_below(int root, const char* path, Answer& answer) {
    open_how how{};
    how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
    long fd = -1;
    do {  // EAGAIN: something in the path was renamed meanwhile
        fd = ::syscall(SYS_openat2, root, path, &how, sizeof how);
    } while (fd < 0 && (errno == EINTR || errno == EAGAIN));
    if (fd < 0) {
        answer.error = errno;
        return {};
    }
    UniqueFd out(static_cast<int>(fd));
    struct stat status{};
    if (::fstat(out.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
        answer.error = S_ISDIR(status.st_mode) ? EISDIR : EACCES;
        return {};
    }
    answer.size = static_cast<std::uint64_t>(status.st_size);
    // Who reads it has others to serve: its beginning is fetched while the answer is on its way, the rest far ahead.
    constexpr off_t kBeginning = 4 << 20;
    (void)::posix_fadvise(out.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
    (void)::posix_fadvise(out.get(), 0, kBeginning, POSIX_FADV_WILLNEED);
    return out;
}

}  // namespace

Result<void> Files::open(int root, const std::string& path, dhcp::Time now, Done done) {
    if (!opener_ || root < 0 || path.size() >= kLongestPath || path.contains('\0')) {
        return fail_errno("no such file", ENOENT);
    }
    std::string request(raw(++sequence_));
    request += path;
    if (waiting_.size() >= kMostWaiting || !transmit(opener_.get(), request, root, MSG_DONTWAIT)) {
        return fail(Code::system, "files cannot be opened now");
    }
    waiting_.push_back({sequence_, now + kPatience, std::move(done)});
    return {};
}

// None: the answer came too late, nobody waits for it any more.
std::optional<Files::Done> Files::take(std::uint32_t sequence) {
    const auto found = std::ranges::find(waiting_, sequence, &Waiting::sequence);
    if (found == waiting_.end()) {
        return std::nullopt;
    }
    Done done = std::move(found->done);
    waiting_.erase(found);
    return done;
}

void Files::hear(const dhcp::Now& now) {
    Packet packet;
    Answer answer;
    while (receive(opener_.get(), packet, MSG_DONTWAIT)) {
        if (packet.size != sizeof answer) {
            continue;
        }
        std::memcpy(&answer, packet.bytes.data(), sizeof answer);
        const auto done = take(answer.sequence);
        if (!done) {
            continue;
        }
        if (answer.error == 0 && packet.fd) {
            (*done)(File{std::move(packet.fd), answer.size}, now);
            continue;
        }
        const bool absent =
            answer.error == ENOENT || answer.error == ENOTDIR || answer.error == ENAMETOOLONG || answer.error == EISDIR;
        (*done)(absent ? fail_errno("no such file", ENOENT) : fail(Code::denied, "not for reading"), now);
    }
}

void Files::tick(const dhcp::Now& now) {
    while (!waiting_.empty() && waiting_.front().deadline <= now.time) {
        const Done done = std::move(waiting_.front().done);
        waiting_.pop_front();
        done(fail(Code::system, "the file could not be opened in time"), now);
    }
}

Result<Bytes> read_at(const File& file, std::uint64_t at, std::size_t most) {
    Bytes out(most);
    std::size_t have = 0;
    while (have < most) {
        const ssize_t got = ::pread(file.fd.get(), out.data() + have, most - have, static_cast<off_t>(at + have));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return fail_errno("cannot read the file");
        }
        if (got == 0) {
            break;
        }
        have += static_cast<std::size_t>(got);
    }
    out.resize(have);
    return out;
}

void serve_files(int socket) {
    for (Packet packet; receive(socket, packet);) {
        Answer answer;
        UniqueFd file;
        std::array<char, kLongestPath + 1> path{};
        if (packet.fd && packet.size > sizeof answer.sequence) {
            std::memcpy(&answer.sequence, packet.bytes.data(), sizeof answer.sequence);
            std::memcpy(path.data(), packet.bytes.data() + sizeof answer.sequence,
                        packet.size - sizeof answer.sequence);
            file = open_below(packet.fd.get(), path.data(), answer);
        } else {
            answer.error = EINVAL;
        }
        if (!transmit(socket, raw(answer), file.get())) {
            break;
        }
    }
    ::_exit(0);
}

Result<UniqueFd> start_opener() {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
        return fail_errno("cannot make a pair of sockets");
    }
    UniqueFd ours(ends[0]), its(ends[1]);
    const pid_t parent = ::getpid();
    const pid_t child = ::fork();
    if (child < 0) {
        return fail_errno("cannot start the process that opens files");
    }
    if (child > 0) {
        return ours;
    }
    ::prctl(PR_SET_NAME, "netsvc-files");
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    constexpr int kSocket = 3;
    const bool ready = (its.get() == kSocket || ::dup2(its.get(), kSocket) == kSocket) &&
                       ::close_range(kSocket + 1, ~0U, 0) == 0 && ::getppid() == parent &&
                       enter_opener_sandbox().has_value();
    (void)its.release();
    if (!ready) {
        ::_exit(1);
    }
    serve_files(kSocket);
}

}  // namespace bascule::netsvc
