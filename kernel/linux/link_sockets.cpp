// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/link_sockets.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <span>

#include <fmt/format.h>

namespace bascule::kernel::os {

namespace {

constexpr std::uint16_t kDhcp6Port = 547;
constexpr std::uint32_t kUdp = 17, kIcmp6 = 58, kSolicitation = 133, kEverything = 0xffffffff;

// Offsets into a frame: Ethernet has 14 bytes, IPv6 40.
constexpr std::uint32_t kNextHeader = 20, kIcmpType = 54, kUdpTo = 56;

constexpr sock_filter load_half(std::uint32_t at) { return {BPF_LD | BPF_H | BPF_ABS, 0, 0, at}; }
constexpr sock_filter load_byte(std::uint32_t at) { return {BPF_LD | BPF_B | BPF_ABS, 0, 0, at}; }
constexpr sock_filter equals(std::uint32_t value, std::uint8_t yes, std::uint8_t no) {
    return {BPF_JMP | BPF_JEQ | BPF_K, yes, no, value};
}
constexpr sock_filter take(std::uint32_t bytes) { return {BPF_RET | BPF_K, 0, 0, bytes}; }

constexpr std::array kServerFrames{
    load_byte(kNextHeader), equals(kUdp, 0, 2),   load_half(kUdpTo),           equals(kDhcp6Port, 4, 3),
    equals(kIcmp6, 0, 2),   load_byte(kIcmpType), equals(kSolicitation, 1, 0), take(0),
    take(kEverything),
};
constexpr std::array kNothing{take(0)};

Result<UniqueFd> new_socket(int domain, int type, int protocol, std::string_view what) {
    UniqueFd fd(::socket(domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
    return fd ? Result<UniqueFd>(std::move(fd)) : fail_errno(what);
}

Result<void> set(const UniqueFd& fd, int level, int option, int value, std::string_view what) {
    return ::setsockopt(fd.get(), level, option, &value, sizeof(value)) == 0 ? Result<void>() : fail_errno(what);
}

Result<void> attach_filter(const UniqueFd& fd, std::span<const sock_filter> program, std::string_view what) {
    const sock_fprog filter{.len = static_cast<unsigned short>(program.size()),
                            .filter = const_cast<sock_filter*>(program.data())};
    return ::setsockopt(fd.get(), SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) == 0 ? Result<void>()
                                                                                              : fail_errno(what);
}

Result<void> bind_to_device(const UniqueFd& fd, const IfName& bridge, std::string_view what) {
    const auto size = static_cast<socklen_t>(bridge.str().size() + 1);
    return ::setsockopt(fd.get(), SOL_SOCKET, SO_BINDTODEVICE, bridge.str().c_str(), size) == 0 ? Result<void>()
                                                                                                : fail_errno(what);
}

Result<void> join(const UniqueFd& fd, const char* group, const IfName& bridge, std::string_view what) {
    ipv6_mreq request{};
    ::inet_pton(AF_INET6, group, &request.ipv6mr_multiaddr);
    request.ipv6mr_interface = ::if_nametoindex(bridge.str().c_str());
    const int done = ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &request, sizeof(request));
    return done == 0 ? Result<void>() : fail_errno(what);
}

// Made with protocol 0, so that nothing is delivered before the filter stands; bind() gives it the protocol.
Result<UniqueFd> packet_socket(const IfName& bridge, std::uint16_t protocol, std::span<const sock_filter> program,
                               std::string_view what) {
    TRY(UniqueFd fd, new_socket(AF_PACKET, SOCK_RAW, 0, what));
    if (!program.empty()) {
        TRY_OK(attach_filter(fd, program, what));
    }
    // What a flood of one guest fills must have room for the others' next frame, too.
    constexpr int kBuffer = 4 << 20;
    (void)set(fd, SOL_SOCKET, SO_RCVBUFFORCE, kBuffer, what).has_value();  // where we may
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(protocol);
    address.sll_ifindex = static_cast<int>(::if_nametoindex(bridge.str().c_str()));
    if (address.sll_ifindex == 0 ||
        ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) < 0) {
        return fail_errno(what);
    }
    return fd;
}

}  // namespace

Result<UniqueFd> open_frames6_socket(const IfName& bridge) {
    return packet_socket(bridge, ETHERTYPE_IPV6, kServerFrames, fmt::format("IPv6 frames on {}", bridge.str()));
}

Result<UniqueFd> open_arp_socket(const IfName& bridge) {
    return packet_socket(bridge, ETHERTYPE_ARP, {}, fmt::format("ARP on {}", bridge.str()));
}

Result<UniqueFd> open_dhcp6_socket(const IfName& bridge) {
    const std::string what = fmt::format("UDP port {} on {}", kDhcp6Port, bridge.str());
    TRY(UniqueFd fd, new_socket(AF_INET6, SOCK_DGRAM, 0, what));
    TRY_OK(set(fd, SOL_SOCKET, SO_REUSEADDR, 1, what));
    TRY_OK(set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1, what));
    TRY_OK(bind_to_device(fd, bridge, what));
    TRY_OK(attach_filter(fd, kNothing, what));
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(kDhcp6Port);
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) < 0) {
        const int error = errno;
        if (error == EADDRINUSE) {
            return std::unexpected(
                Error{Code::conflict,
                      fmt::format("{}: another program serves there (see ss -lnup); stop it or let it leave out {}",
                                  what, bridge.str()),
                      error});
        }
        return fail_errno(what, error);
    }
    TRY_OK(join(fd, "ff02::1:2", bridge, what));
    return fd;
}

Result<UniqueFd> open_advert_socket(const IfName& bridge) {
    const std::string what = fmt::format("router advertisements on {}", bridge.str());
    TRY(UniqueFd fd, new_socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6, what));
    icmp6_filter none{};
    ICMP6_FILTER_SETBLOCKALL(&none);
    if (::setsockopt(fd.get(), IPPROTO_ICMPV6, ICMP6_FILTER, &none, sizeof(none)) < 0) {
        return fail_errno(what);
    }
    TRY_OK(bind_to_device(fd, bridge, what));
    TRY_OK(set(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 255, what));
    TRY_OK(set(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 255, what));
    TRY_OK(set(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 0, what));
    TRY_OK(set(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, static_cast<int>(::if_nametoindex(bridge.str().c_str())), what));
    TRY_OK(join(fd, "ff02::2", bridge, what));
    return fd;
}

Result<void> send_advertisement(int advert_socket, ByteView icmp) {
    sockaddr_in6 everybody{};
    everybody.sin6_family = AF_INET6;
    ::inet_pton(AF_INET6, "ff02::1", &everybody.sin6_addr);
    const ssize_t sent = ::sendto(advert_socket, icmp.data(), icmp.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                                  reinterpret_cast<const sockaddr*>(&everybody), sizeof(everybody));
    return sent >= 0 ? Result<void>() : fail_errno("sending a router advertisement");
}

}  // namespace bascule::kernel::os
