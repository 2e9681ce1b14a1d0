// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/sockets.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

#include <fmt/format.h>

namespace bascule::kernel::os {

namespace {

constexpr std::uint16_t kDhcpPort = 67;
constexpr std::size_t kMostDescriptors = 253;  // SCM_MAX_FD

std::unexpected<Error> would_wait(std::string_view what) { return fail_errno(what, EAGAIN); }

Result<UniqueFd> new_socket(int domain, int type, std::string_view what) {
    UniqueFd fd(::socket(domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) {
        return fail_errno(what);
    }
    return fd;
}

Result<void> set(const UniqueFd& fd, int level, int option, int value, std::string_view what) {
    if (::setsockopt(fd.get(), level, option, &value, sizeof(value)) < 0) {
        return fail_errno(what);
    }
    return {};
}

// ---- Unix ----

// sun_path holds 108 bytes with the closing NUL (unix(7)).
Result<sockaddr_un> unix_address(const std::string& path) {
    sockaddr_un out{};
    out.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof(out.sun_path)) {
        return fail(Code::invalid_argument, fmt::format("{}: a socket's path has 1 to {} bytes; choose a shorter root",
                                                        path, sizeof(out.sun_path) - 1));
    }
    std::memcpy(out.sun_path, path.data(), path.size());
    return out;
}

Result<UniqueFd> connect_to(const std::string& path, int type) {
    TRY(const sockaddr_un address, unix_address(path));
    TRY(UniqueFd fd, new_socket(AF_UNIX, type, path));
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) < 0) {
        const int error = errno;
        if (error == ECONNREFUSED || error == ENOENT) {
            return fail(Code::unreachable, fmt::format("{}: nobody listens there", path));
        }
        return fail_errno(fmt::format("connecting to {}", path), error);
    }
    return fd;
}

Result<UniqueFd> listen_at(const std::string& path, int type, unsigned mode, std::optional<std::uint32_t> group,
                           unsigned queue) {
    TRY(const sockaddr_un address, unix_address(path));
    for (std::size_t at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1)) {
        if (const std::string folder = path.substr(0, at); ::mkdir(folder.c_str(), 0755) < 0 && errno != EEXIST) {
            return fail_errno(fmt::format("{}: making the folder", folder));
        }
    }
    TRY(UniqueFd fd, new_socket(AF_UNIX, type, path));
    if (::unlink(path.c_str()) < 0 && errno != ENOENT) {
        return fail_errno(fmt::format("{}: removing the old socket", path));
    }
    // bind() gives the file the mode that the socket has: nobody gets in until it has its group, then its mode.
    const bool bound = ::fchmod(fd.get(), 0600) == 0 &&
                       ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
    if (!bound || (group && ::chown(path.c_str(), static_cast<uid_t>(-1), *group) < 0) ||
        ::chmod(path.c_str(), static_cast<mode_t>(mode)) < 0 || ::listen(fd.get(), static_cast<int>(queue)) < 0) {
        return fail_errno(fmt::format("listening on {}", path));
    }
    return fd;
}

// ---- messages with descriptors ----

// A control buffer for the most descriptors that the kernel passes at once.
struct Control {
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMostDescriptors)> bytes{};
};

Result<std::size_t> send_with(int socket, ByteView bytes, const std::vector<int>& fds) {
    if (fds.size() > kMostDescriptors) {
        return fail(Code::invalid_argument, fmt::format("{} descriptors in one message, at most {} are possible",
                                                        fds.size(), kMostDescriptors));
    }
    iovec data{.iov_base = const_cast<std::byte*>(bytes.data()), .iov_len = bytes.size()};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    Control control;
    if (!fds.empty()) {
        message.msg_control = control.bytes.data();
        message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
        std::memcpy(CMSG_DATA(header), fds.data(), sizeof(int) * fds.size());
    }
    ssize_t sent = 0;
    do {
        sent = ::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent >= 0) {
        return static_cast<std::size_t>(sent);
    }
    switch (const int error = errno) {
        case EPIPE:
        case ECONNRESET:
        case ENOTCONN: return fail(Code::unreachable, "the other side has closed the connection");
        default: return fail_errno("sending", error);
    }
}

void take_descriptors(msghdr& message, std::vector<UniqueFd>& out) {
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
            out.emplace_back(fd);
        }
    }
}

// `flags` comes back as recvmsg left them.
Result<Received> receive_with(int socket, std::size_t limit, int& flags) {
    // Into a buffer that stays, since most of what comes is much smaller than what may: to make, clear and give back
    // so much memory for each packet would cost more than all the rest.
    thread_local std::vector<std::byte> scratch;
    if (scratch.size() < limit) {
        scratch.resize(limit);
    }
    Received out;
    iovec data{.iov_base = scratch.data(), .iov_len = limit};
    Control control;
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.bytes.data();
    message.msg_controllen = control.bytes.size();
    ssize_t got = 0;
    do {
        got = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got < 0 && errno == ECONNRESET) {
        got = 0;  // gone with something of ours unread
    } else if (got < 0) {
        return errno == EWOULDBLOCK ? would_wait("receiving") : fail_errno("receiving");
    }
    take_descriptors(message, out.fds);
    out.bytes.assign(scratch.begin(), scratch.begin() + got);
    flags = message.msg_flags;
    return out;
}

// ---- UDP ----

struct Address {
    sockaddr_storage storage{};
    socklen_t size = 0;
    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

Address socket_address(const Ip& ip, std::uint16_t port) {
    Address out;
    if (ip.is_v4()) {
        auto* v4 = reinterpret_cast<sockaddr_in*>(&out.storage);
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        std::memcpy(&v4->sin_addr, ip.octets().data(), sizeof(v4->sin_addr));
        out.size = sizeof(*v4);
    } else {
        auto* v6 = reinterpret_cast<sockaddr_in6*>(&out.storage);
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        std::memcpy(&v6->sin6_addr, ip.octets().data(), sizeof(v6->sin6_addr));
        out.size = sizeof(*v6);
    }
    return out;
}

// At one address of a bridge and for what comes in by it, but not bound yet.
Result<Address> prepare_server(const UniqueFd& fd, const Ip& address, std::uint16_t port, const IfName& bridge,
                               std::string_view what) {
    // Other networks have servers on the same port, and one that ends may still hold its socket.
    TRY_OK(set(fd, SOL_SOCKET, SO_REUSEADDR, 1, what));
    if (::setsockopt(fd.get(), SOL_SOCKET, SO_BINDTODEVICE, bridge.str().c_str(),
                     static_cast<socklen_t>(bridge.str().size() + 1)) < 0) {
        return fail_errno(what);
    }
    Address bound = socket_address(address, port);
    if (!address.is_v4()) {
        TRY_OK(set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1, what));
        if (address.is_link_local()) {
            reinterpret_cast<sockaddr_in6*>(&bound.storage)->sin6_scope_id = ::if_nametoindex(bridge.str().c_str());
        }
    }
    return bound;
}

Result<void> bind_server(const UniqueFd& fd, const Address& bound, const IfName& bridge, std::string_view what,
                         std::string_view tool) {
    if (::bind(fd.get(), bound.get(), bound.size) < 0) {
        const int error = errno;
        if (error == EADDRINUSE) {
            return std::unexpected(
                Error{Code::conflict,
                      fmt::format("{}: another program serves there (see {}); stop it or let it leave out {}", what,
                                  tool, bridge.str()),
                      error});
        }
        return fail_errno(what, error);
    }
    return {};
}

Result<UniqueFd> udp_server(const Ip& address, std::uint16_t port, const IfName& bridge) {
    const std::string what = fmt::format("UDP port {} at {} on {}", port, format(address), bridge.str());
    TRY(UniqueFd fd, new_socket(address.is_v4() ? AF_INET : AF_INET6, SOCK_DGRAM, what));
    TRY(const Address bound, prepare_server(fd, address, port, bridge, what));
    if (address.is_v4()) {
        TRY_OK(set(fd, IPPROTO_IP, IP_PKTINFO, 1, what));
        // Towards a tap the kernel leaves checksums to a card that is not there; a guest's program that reads frames by
        // itself finds them wrong. None at all is right (RFC 768), and nothing on the way to a guest can damage it.
        TRY_OK(set(fd, SOL_SOCKET, SO_NO_CHECK, 1, what));
    } else {
        TRY_OK(set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1, what));
    }
    // Room for a burst of a guest's, so that others' datagrams behind it are not lost before they are looked at.
    constexpr int kReceiveBuffer = 1 << 20;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBuffer, sizeof(kReceiveBuffer));
    TRY_OK(bind_server(fd, bound, bridge, what, "ss -lnup"));
    return fd;
}

}  // namespace

bool answers(const std::string& path) {
    const auto connected = connect_to(path, SOCK_STREAM);
    // A full backlog is an answer, too.
    return connected || connected.error().sys_errno == EAGAIN;
}

Result<UniqueFd> listen_clients(const std::string& path, unsigned mode, std::optional<std::uint32_t> group,
                                unsigned queue) {
    return listen_at(path, SOCK_STREAM, mode, group, queue);
}

void remove_socket(const std::string& path) { ::unlink(path.c_str()); }

Result<AcceptedClient> accept_client(int listener) {
    AcceptedClient out;
    out.fd = UniqueFd(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    ucred peer{};
    socklen_t size = sizeof(peer);
    if (!out.fd || ::getsockopt(out.fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) {
        return fail_errno("accepting a connection");
    }
    out.uid = peer.uid;
    out.gid = peer.gid;
    out.pid = peer.pid;
    return out;
}

// Field 22 of /proc/PID/stat, counted from behind the name, which may hold anything.
std::uint64_t process_start_time(int pid) {
    constexpr int kFieldsBetween = 19;  // from the third on
    const UniqueFd fd(::open(fmt::format("/proc/{}/stat", pid).c_str(), O_RDONLY | O_CLOEXEC));
    std::array<char, 1024> text{};
    const ssize_t got = fd ? ::read(fd.get(), text.data(), text.size()) : -1;
    std::string_view rest(text.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
    const auto name_end = rest.rfind(')');
    rest.remove_prefix(name_end == std::string_view::npos ? rest.size() : name_end + 1);
    for (int i = 0; i < kFieldsBetween && !rest.empty(); ++i) {
        const auto space = rest.find(' ', 1);
        rest.remove_prefix(space == std::string_view::npos ? rest.size() : space);
    }
    std::uint64_t ticks = 0;
    rest.remove_prefix(rest.empty() ? 0 : 1);
    std::from_chars(rest.data(), rest.data() + rest.size(), ticks);
    return ticks;
}

std::size_t allow_descriptors(std::size_t wanted) {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) < 0) {
        return wanted;
    }
    if (limit.rlim_cur < wanted) {
        rlimit more{.rlim_cur = wanted, .rlim_max = std::max<rlim_t>(limit.rlim_max, wanted)};
        if (::setrlimit(RLIMIT_NOFILE, &more) < 0) {  // beyond the hard limit only with CAP_SYS_RESOURCE
            more = {.rlim_cur = std::min<rlim_t>(limit.rlim_max, wanted), .rlim_max = limit.rlim_max};
            ::setrlimit(RLIMIT_NOFILE, &more);
        }
        ::getrlimit(RLIMIT_NOFILE, &limit);
    }
    return static_cast<std::size_t>(limit.rlim_cur);
}

Result<UniqueFd> listen_tcp(const Ip& address, std::uint16_t port, unsigned queue) {
    const std::string what = fmt::format("listening at {} port {}", format(address), port);
    TRY(UniqueFd fd, new_socket(address.is_v4() ? AF_INET : AF_INET6, SOCK_STREAM, what));
    // Connections of a former daemon may still be closing.
    TRY_OK(set(fd, SOL_SOCKET, SO_REUSEADDR, 1, what));
    if (!address.is_v4()) {
        TRY_OK(set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1, what));
    }
    const Address bound = socket_address(address, port);
    if (::bind(fd.get(), bound.get(), bound.size) < 0 || ::listen(fd.get(), static_cast<int>(queue)) < 0) {
        return fail_errno(what);
    }
    return fd;
}

Result<AcceptedRemote> accept_remote(int listener) {
    AcceptedRemote out;
    Address from;
    from.size = sizeof(from.storage);
    out.fd = UniqueFd(
        ::accept4(listener, reinterpret_cast<sockaddr*>(&from.storage), &from.size, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!out.fd) {
        return fail_errno("accepting a connection");
    }
    TRY_OK(set(out.fd, SOL_SOCKET, SO_KEEPALIVE, 1, "accepting a connection"));
    TRY_OK(set(out.fd, IPPROTO_TCP, TCP_NODELAY, 1, "accepting a connection"));  // answers are small and awaited
    if (from.storage.ss_family == AF_INET) {
        const auto* v4 = reinterpret_cast<const sockaddr_in*>(&from.storage);
        out.address = Ip::v4(ntohl(v4->sin_addr.s_addr));
        out.port = ntohs(v4->sin_port);
    } else {
        const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&from.storage);
        std::array<std::uint8_t, 16> octets{};
        std::memcpy(octets.data(), &v6->sin6_addr, octets.size());
        out.address = Ip::v6(octets);
        out.port = ntohs(v6->sin6_port);
    }
    return out;
}

Result<std::size_t> send_stream(int socket, ByteView bytes, int fd) {
    return send_with(socket, bytes, fd < 0 ? std::vector<int>() : std::vector<int>{fd});
}

Result<Received> receive_stream(int socket, std::size_t limit) {
    int flags = 0;
    TRY(Received out, receive_with(socket, limit, flags));
    if ((flags & MSG_CTRUNC) != 0) {
        return fail(Code::malformed, "too many descriptors at once");
    }
    return out;
}

bool is_stream_socket(const UniqueFd& fd) {
    int type = 0;
    socklen_t length = sizeof(type);
    return ::getsockopt(fd.get(), SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_STREAM;
}

Result<UniqueFd> listen_seqpacket(const std::string& path, unsigned mode) {
    constexpr unsigned kQueue = 128;
    return listen_at(path, SOCK_SEQPACKET, mode, std::nullopt, kQueue);
}

Result<UniqueFd> connect_seqpacket(const std::string& path) { return connect_to(path, SOCK_SEQPACKET); }

Result<std::pair<UniqueFd, UniqueFd>> seqpacket_pair() {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) < 0) {
        return fail_errno("making a pair of sockets");
    }
    return std::pair(UniqueFd(ends[0]), UniqueFd(ends[1]));
}

Result<std::pair<UniqueFd, UniqueFd>> stream_pair() {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) < 0) {
        return fail_errno("making a pair of sockets");
    }
    return std::pair(UniqueFd(ends[0]), UniqueFd(ends[1]));
}

Result<void> send_packet(int socket, ByteView bytes, const std::vector<UniqueFd>& fds) {
    std::vector<int> numbers;
    std::ranges::transform(fds, std::back_inserter(numbers), &UniqueFd::get);
    TRY_OK(send_with(socket, bytes, numbers));  // a packet goes whole or not at all
    return {};
}

Result<Received> receive_packet(int socket, std::size_t limit, std::size_t max_fds) {
    int flags = 0;
    TRY(Received out, receive_with(socket, limit, flags));
    if ((flags & MSG_TRUNC) != 0) {
        return fail(Code::malformed, fmt::format("a packet of more than {} bytes", limit));
    }
    if ((flags & MSG_CTRUNC) != 0 || out.fds.size() > max_fds) {
        return fail(Code::malformed, fmt::format("a packet with more than {} descriptors", max_fds));
    }
    return out;
}

Result<UniqueFd> open_dhcp_socket(const IfName& bridge) {
    TRY(UniqueFd fd, udp_server(Ip(), kDhcpPort, bridge));
    TRY_OK(set(fd, SOL_SOCKET, SO_BROADCAST, 1, "allowing broadcasts"));
    // What a flood of one guest fills must have room for the others' next message, too.
    constexpr int kBuffer = 4 << 20;
    (void)set(fd, SOL_SOCKET, SO_RCVBUFFORCE, kBuffer, "making room for messages").has_value();  // where we may
    return fd;
}

Result<UniqueFd> open_raw_socket(const IfName& bridge) {
    const std::string what = fmt::format("a socket for frames on {}", bridge.str());
    // Protocol 0 in both places: nothing is delivered to it.
    TRY(UniqueFd fd, new_socket(AF_PACKET, SOCK_RAW, what));
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_ifindex = static_cast<int>(::if_nametoindex(bridge.str().c_str()));
    if (address.sll_ifindex == 0 ||
        ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) < 0) {
        return fail_errno(what);
    }
    return fd;
}

Result<UniqueFd> open_service_socket(const Ip& address, std::uint16_t port, const IfName& bridge) {
    return udp_server(address, port, bridge);
}

Result<UniqueFd> open_service_listener(const Ip& address, std::uint16_t port, const IfName& bridge) {
    constexpr int kQueue = 256;
    const std::string what = fmt::format("TCP port {} at {} on {}", port, format(address), bridge.str());
    TRY(UniqueFd fd, new_socket(address.is_v4() ? AF_INET : AF_INET6, SOCK_STREAM, what));
    TRY(const Address bound, prepare_server(fd, address, port, bridge, what));
    TRY_OK(set(fd, SOL_SOCKET, SO_REUSEPORT, 1, what));
    TRY_OK(set(fd, SOL_SOCKET, SO_KEEPALIVE, 1, what));
    TRY_OK(set(fd, IPPROTO_TCP, TCP_NODELAY, 1, what));  // both are handed on to what is accepted
    TRY_OK(bind_server(fd, bound, bridge, what, "ss -lntp"));
    if (::listen(fd.get(), kQueue) < 0) {
        return fail_errno(what);
    }
    return fd;
}

Result<std::vector<UniqueFd>> open_resolver_streams(std::size_t count, IpFamily family) {
    constexpr std::string_view kWhat = "a socket for asking name servers by TCP";
    std::vector<UniqueFd> out;
    while (out.size() < count) {
        auto fd = new_socket(family == IpFamily::v4 ? AF_INET : AF_INET6, SOCK_STREAM, kWhat);
        if (!fd && fd.error().sys_errno == EAFNOSUPPORT) {
            break;
        }
        if (!fd) {
            return std::unexpected(std::move(fd).error());
        }
        TRY_OK(set(*fd, IPPROTO_TCP, TCP_NODELAY, 1, kWhat));
        out.push_back(std::move(*fd));
    }
    return out;
}

Result<UniqueFd> open_place(const std::string& path) {
    UniqueFd fd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!fd) {
        return fail_errno(path);
    }
    return fd;
}

Result<std::vector<UniqueFd>> open_resolver_sockets(std::size_t count, IpFamily family) {
    const bool v4 = family == IpFamily::v4;
    constexpr std::string_view kWhat = "a socket for asking name servers";
    std::vector<UniqueFd> out;
    while (out.size() < count) {
        auto fd = new_socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM, kWhat);
        if (!fd && fd.error().sys_errno == EAFNOSUPPORT) {
            return out;
        }
        if (!fd) {
            return std::unexpected(std::move(fd).error());
        }
        if (!v4) {
            TRY_OK(set(*fd, IPPROTO_IPV6, IPV6_V6ONLY, 1, kWhat));
        }
        // The kernel draws the port, from those that the host keeps for this: never one that a service of its own,
        // started later, would miss (ip_local_port_range, ip_local_reserved_ports).
        const Address any = socket_address(v4 ? Ip() : Ip::v6({}), 0);
        if (::bind(fd->get(), any.get(), any.size) == 0) {
            out.push_back(std::move(*fd));
        } else if (errno == EADDRNOTAVAIL && !v4) {
            return out;  // IPv6 is switched off here
        } else if (errno == EADDRINUSE && !out.empty()) {
            return out;  // there are no more
        } else {
            return fail_errno(kWhat);
        }
    }
    return out;
}

bool is_bound_to(int socket, std::uint32_t index) {
    if (index == 0) {
        return false;
    }
    sockaddr_ll packet{};
    socklen_t size = sizeof(packet);
    if (::getsockname(socket, reinterpret_cast<sockaddr*>(&packet), &size) == 0 && packet.sll_family == AF_PACKET) {
        return packet.sll_ifindex == static_cast<int>(index);
    }
    int bound = 0;
    size = sizeof(bound);
    return ::getsockopt(socket, SOL_SOCKET, SO_BINDTOIFINDEX, &bound, &size) == 0 && bound == static_cast<int>(index);
}

}  // namespace bascule::kernel::os
