// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/socket.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include <fmt/format.h>

namespace bascule::cli {

Result<SocketTransport> SocketTransport::connect(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) {
        return fail(Code::invalid_argument, fmt::format("the socket's path is too long: {}", path));
    }
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd) {
        return fail_errno("socket");
    }
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        const bool denied = errno == EACCES || errno == EPERM;
        return fail(denied ? Code::denied : Code::unreachable,
                    fmt::format("cannot connect to the daemon at {}: {}{}", path, errno_text(errno),
                                denied ? "" : "; is basculed running?"));
    }
    return SocketTransport(std::move(fd));
}

Result<void> SocketTransport::write(ByteView all) {
    while (!all.empty()) {
        const ssize_t sent = ::send(fd_.get(), all.data(), all.size(), MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR) {
            return fail(Code::unreachable, fmt::format("the daemon ended the connection: {}", errno_text(errno)));
        }
        all = all.subspan(sent < 0 ? 0 : static_cast<std::size_t>(sent));
    }
    return {};
}

Result<std::size_t> SocketTransport::read(std::span<std::byte> into) {
    for (;;) {
        const ssize_t got = ::recv(fd_.get(), into.data(), into.size(), 0);
        if (got >= 0) {
            return static_cast<std::size_t>(got);
        }
        if (errno != EINTR) {
            return fail(Code::unreachable, fmt::format("the daemon ended the connection: {}", errno_text(errno)));
        }
    }
}

}  // namespace bascule::cli
