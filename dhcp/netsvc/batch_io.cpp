// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/netsvc/batch_io.h"

#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace bascule::netsvc {

namespace {

constexpr std::size_t kControl = CMSG_SPACE(sizeof(in_pktinfo));

template <class To, class From>
To copy_as(const From& from) {
    To to{};
    static_assert(std::is_trivially_copyable_v<To> && std::is_trivially_copyable_v<From>);
    std::memcpy(&to, &from, std::min(sizeof to, sizeof from));
    return to;
}

void read_packet_info(msghdr& header, Incoming& out) {
    for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO && c->cmsg_len >= CMSG_LEN(sizeof(in_pktinfo))) {
            in_pktinfo info{};
            std::memcpy(&info, CMSG_DATA(c), sizeof info);
            out.interface = info.ipi_ifindex;
            out.to = Ip::v4(ntohl(info.ipi_addr.s_addr));
        }
    }
}

void write_packet_info(msghdr& header, const Ip& from, int interface) {
    cmsghdr* const c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = IPPROTO_IP;
    c->cmsg_type = IP_PKTINFO;
    c->cmsg_len = CMSG_LEN(sizeof(in_pktinfo));
    in_pktinfo info{};
    info.ipi_ifindex = interface;
    info.ipi_spec_dst.s_addr = htonl(from.v4_value());
    std::memcpy(CMSG_DATA(c), &info, sizeof info);
}

// Over IPv6 a datagram must have a checksum (RFC 8200, 8.1), and towards a tap the kernel leaves it to a card that is
// not there; a guest's program that reads frames by itself finds it wrong. The kernel does it itself where more is said
// to follow (net/ipv6/ip6_output.c, __ip6_append_data): nothing does, and with that the datagram goes.
bool send_whole(int socket, const msghdr& header) {
    if (::sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE) < 0) {
        return false;
    }
    const msghdr nothing{};
    return ::sendmsg(socket, &nothing, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

}  // namespace

sockaddr_storage to_sockaddr(const Endpoint& endpoint, socklen_t& length) {
    if (endpoint.address.is_v4()) {
        sockaddr_in v4{};
        v4.sin_family = AF_INET;
        v4.sin_port = htons(endpoint.port);
        v4.sin_addr.s_addr = htonl(endpoint.address.v4_value());
        length = sizeof v4;
        return copy_as<sockaddr_storage>(v4);
    }
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(endpoint.port);
    std::memcpy(&v6.sin6_addr, endpoint.address.octets().data(), 16);
    length = sizeof v6;
    return copy_as<sockaddr_storage>(v6);
}

std::optional<Endpoint> from_sockaddr(const sockaddr_storage& address) {
    if (address.ss_family == AF_INET) {
        const auto v4 = copy_as<sockaddr_in>(address);
        return Endpoint{Ip::v4(ntohl(v4.sin_addr.s_addr)), ntohs(v4.sin_port)};
    }
    if (address.ss_family == AF_INET6) {
        const auto v6 = copy_as<sockaddr_in6>(address);
        std::array<std::uint8_t, 16> octets{};
        std::memcpy(octets.data(), &v6.sin6_addr, octets.size());
        return Endpoint{Ip::v6(octets), ntohs(v6.sin6_port)};
    }
    return std::nullopt;
}

Inbox::Inbox() : buffers_(kBatch * kLongest), controls_(kBatch * kControl) {
    for (std::size_t i = 0; i < kBatch; ++i) {
        vectors_[i] = {&buffers_[i * kLongest], kLongest};
    }
}

std::span<const Incoming> Inbox::receive(int socket) {
    received_.clear();
    for (std::size_t i = 0; i < kBatch; ++i) {
        msghdr& h = headers_[i].msg_hdr;
        h = {};
        h.msg_name = &addresses_[i];
        h.msg_namelen = sizeof addresses_[i];
        h.msg_iov = &vectors_[i];
        h.msg_iovlen = 1;
        h.msg_control = &controls_[i * kControl];
        h.msg_controllen = kControl;
    }
    const int count = ::recvmmsg(socket, headers_.data(), kBatch, MSG_DONTWAIT, nullptr);
    for (int i = 0; i < count; ++i) {
        mmsghdr& header = headers_[static_cast<std::size_t>(i)];
        const auto from = from_sockaddr(addresses_[static_cast<std::size_t>(i)]);
        // A packet socket gives whole frames, which say themselves where they come from.
        const bool frame = addresses_[static_cast<std::size_t>(i)].ss_family == AF_PACKET;
        if (!from && !frame) {
            continue;
        }
        Incoming in;
        const bool whole = (header.msg_hdr.msg_flags & MSG_TRUNC) == 0;
        in.bytes = ByteView(&buffers_[static_cast<std::size_t>(i) * kLongest], whole ? header.msg_len : 0);
        in.from = from.value_or(Endpoint());
        read_packet_info(header.msg_hdr, in);
        received_.push_back(in);
    }
    return received_;
}

void Outbox::add(int socket, const Endpoint& to, ByteView bytes, std::optional<Ip> from, int interface) {
    Outgoing out;
    out.socket = socket;
    out.address = copy_as<decltype(out.address)>(to_sockaddr(to, out.address_length));
    out.from = from;
    out.interface = interface;
    put(std::move(out), bytes);
}

void Outbox::add_frame(int socket, int interface, const MacAddr& to, ByteView frame) {
    sockaddr_ll link{};
    link.sll_family = AF_PACKET;
    link.sll_protocol = htons(ETHERTYPE_IP);
    link.sll_ifindex = interface;
    link.sll_halen = 6;
    std::ranges::copy(to.octets, link.sll_addr);
    Outgoing out;
    out.socket = socket;
    static_assert(sizeof link <= sizeof out.address && sizeof(sockaddr_in6) <= sizeof out.address);
    out.address = copy_as<decltype(out.address)>(link);
    out.address_length = sizeof link;
    put(std::move(out), frame);
}

void Outbox::put(Outgoing out, ByteView bytes) {
    out.at = bytes_.size();
    out.size = bytes.size();
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    queue_.push_back(std::move(out));
}

// One socket's datagrams. sendmmsg stops at the first that fails; that one is given up and the rest goes on.
std::size_t Outbox::send_run(std::span<Outgoing> run) {
    controls_.resize(headers_.size() * kControl);
    for (std::size_t i = 0; i < run.size(); ++i) {
        vectors_[i] = {bytes_.data() + run[i].at, run[i].size};
        msghdr& h = headers_[i].msg_hdr;
        h = {};
        h.msg_name = run[i].address.data();
        h.msg_namelen = run[i].address_length;
        h.msg_iov = &vectors_[i];
        h.msg_iovlen = 1;
        if (run[i].from) {
            h.msg_control = &controls_[i * kControl];
            h.msg_controllen = kControl;
            write_packet_info(h, *run[i].from, run[i].interface);
        }
    }
    std::size_t failed = 0;
    for (std::size_t at = 0; at < run.size();) {
        const auto to = copy_as<sockaddr_in6>(run[at].address);
        if (to.sin6_family == AF_INET6 && to.sin6_port != 0) {  // advertisements have no port and always a checksum
            if (send_whole(run[at].socket, headers_[at].msg_hdr)) {
                ++at;
            } else if (errno != EINTR) {
                ++failed;
                ++at;
            }
            continue;
        }
        const int sent = ::sendmmsg(run[at].socket, &headers_[at], static_cast<unsigned>(run.size() - at),
                                    MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0) {
            at += static_cast<std::size_t>(sent);
        } else if (errno != EINTR) {
            ++failed;
            ++at;
        }
    }
    return failed;
}

std::size_t Outbox::flush() {
    if (!std::ranges::is_sorted(queue_, {}, &Outgoing::socket)) {
        std::ranges::stable_sort(queue_, {}, &Outgoing::socket);
    }
    std::size_t failed = 0;
    for (std::size_t at = 0; at < queue_.size();) {
        std::size_t end = at + 1;
        while (end < queue_.size() && queue_[end].socket == queue_[at].socket && end - at < Inbox::kBatch) {
            ++end;
        }
        failed += send_run(std::span(queue_).subspan(at, end - at));
        at = end;
    }
    queue_.clear();
    bytes_.clear();
    if (bytes_.capacity() > kMostKept) {
        bytes_.shrink_to_fit();
    }
    return failed;
}

}  // namespace bascule::netsvc
