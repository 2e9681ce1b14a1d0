// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/stream.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "kernel/linux/sockets.h"

namespace bascule::kernel::os {

namespace {

class SocketStream : public Stream {
public:
    explicit SocketStream(UniqueFd socket) : socket_(std::move(socket)) {}

    int fd() const override { return socket_.get(); }

    Result<Bytes> read(std::size_t limit) override {
        Bytes out(limit);
        const ssize_t got = ::recv(socket_.get(), out.data(), out.size(), MSG_DONTWAIT);
        if (got == 0 && limit > 0) {
            return fail(Code::unreachable, "the other side has closed the connection");
        }
        if (got < 0) {
            if (errno == EAGAIN || errno == EINTR) {
                return Bytes();
            }
            if (errno == ECONNRESET) {
                return fail(Code::unreachable, "the other side has closed the connection");
            }
            return fail_errno("reading from a socket");
        }
        out.resize(static_cast<std::size_t>(got));
        return out;
    }

    Result<std::size_t> write(ByteView bytes) override {
        const ssize_t put = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (put < 0) {
            if (errno == EAGAIN || errno == EINTR) {
                return std::size_t{0};
            }
            if (errno == EPIPE || errno == ECONNRESET) {
                return fail(Code::unreachable, "the other side has closed the connection");
            }
            return fail_errno("writing to a socket");
        }
        return static_cast<std::size_t>(put);
    }

    Result<std::size_t> write_with(ByteView bytes, int fd) override {
        auto put = send_stream(socket_.get(), bytes, fd);
        if (!put && (put.error().sys_errno == EAGAIN || put.error().sys_errno == EINTR)) {
            return std::size_t{0};
        }
        return put;
    }

private:
    UniqueFd socket_;
};

// sun_path holds 108 bytes with the closing NUL (unix(7)).
Result<sockaddr_un> unix_address(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof(address.sun_path)) {
        return fail(Code::invalid_argument, fmt::format("{}: a socket's path has 1 to {} bytes; choose a shorter root",
                                                        path, sizeof(address.sun_path) - 1));
    }
    std::memcpy(address.sun_path, path.data(), path.size());
    return address;
}

Result<UniqueFd> unix_socket() {
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) {
        return fail_errno("socket(AF_UNIX)");
    }
    return fd;
}

}  // namespace

std::unique_ptr<Stream> stream_over(UniqueFd socket) { return std::make_unique<SocketStream>(std::move(socket)); }

Result<UniqueFd> connect_socket(const std::string& path) {
    TRY(const sockaddr_un address, unix_address(path));
    TRY(UniqueFd fd, unix_socket());
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
        if (errno == ECONNREFUSED || errno == ENOENT) {
            return fail(Code::unreachable, fmt::format("{}: nobody listens there", path));
        }
        return fail_errno(fmt::format("connecting to {}", path));
    }
    return fd;
}

Result<std::unique_ptr<Stream>> connect_unix(const std::string& path) {
    TRY(UniqueFd fd, connect_socket(path));
    return stream_over(std::move(fd));
}

Result<void> unlink_socket(const std::string& path) {
    struct stat info{};
    if (::lstat(path.c_str(), &info) != 0) {
        return errno == ENOENT ? Result<void>() : Result<void>(fail_errno(path));
    }
    if (!S_ISSOCK(info.st_mode)) {
        return fail(Code::conflict, fmt::format("{} is there already and is not a socket", path));
    }
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
        return fail_errno(fmt::format("removing the old socket {}", path));
    }
    return {};
}

Result<UniqueFd> listen_unix(const std::string& path, unsigned mode) {
    TRY(const sockaddr_un address, unix_address(path));
    TRY(UniqueFd fd, unix_socket());
    TRY_OK(unlink_socket(path));
    // bind() gives the new file the mode of the socket itself, so it is never open wider than this.
    if (::fchmod(fd.get(), static_cast<mode_t>(mode)) != 0 ||
        ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
        ::listen(fd.get(), 8) != 0) {
        return fail_errno(fmt::format("listening on {}", path));
    }
    return fd;
}

Result<RunLog> open_run_log(const std::string& path) {
    RunLog log;
    log.fd = UniqueFd(::open(path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!log.fd) {
        return fail_errno(path);
    }
    log.begin = ::lseek(log.fd.get(), 0, SEEK_END);
    if (log.begin < 0) {
        return fail_errno(path);
    }
    return log;
}

std::string RunLog::since_opened(std::size_t limit) const {
    struct stat info{};
    if (::fstat(fd.get(), &info) != 0 || info.st_size <= begin) {
        return {};
    }
    const auto size = static_cast<std::size_t>(info.st_size - begin);
    const bool clipped = size > limit;
    std::string text(std::min(size, limit), '\0');
    const ssize_t got = ::pread(fd.get(), text.data(), text.size(), info.st_size - static_cast<off_t>(text.size()));
    text.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
    if (const auto line = text.find('\n'); clipped && line != std::string::npos) {
        text.erase(0, line + 1);
    }
    return text;
}

}  // namespace bascule::kernel::os
