// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/netsvc/copies.h"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <linux/netfilter_bridge.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <optional>

#include "base/log.h"

namespace bascule::netsvc {

namespace {

constexpr std::size_t kBuffer = 64U * 1024;
constexpr int kMostDatagrams = 64;  // of a turn of the loop

// Netlink's own numbers are in the host's order.
template <class T>
std::optional<T> host_number(ByteView bytes, std::size_t at) {
    T out{};
    if (bytes.size() < at + sizeof out) {
        return std::nullopt;
    }
    std::memcpy(&out, bytes.data() + at, sizeof out);
    return out;
}

std::size_t aligned(std::size_t length) { return (length + 3U) & ~std::size_t{3}; }

struct Attributes {
    std::optional<std::uint8_t> hook;
    std::uint16_t type = 0;
    std::uint32_t in = 0, out = 0, port_in = 0, port_out = 0;
    ByteView packet, prefix;
};

void read_attribute(std::uint16_t kind, ByteView value, Attributes& out) {
    ByteReader in(value);
    switch (kind) {
        case NFULA_PACKET_HDR:
            out.type = in.u16();
            out.hook = in.u8();
            break;
        case NFULA_IFINDEX_INDEV: out.in = in.u32(); break;
        case NFULA_IFINDEX_OUTDEV: out.out = in.u32(); break;
        case NFULA_IFINDEX_PHYSINDEV: out.port_in = in.u32(); break;
        case NFULA_IFINDEX_PHYSOUTDEV: out.port_out = in.u32(); break;
        case NFULA_PAYLOAD: out.packet = value; break;
        case NFULA_PREFIX: out.prefix = value; break;
        default: break;
    }
}

std::optional<LoggedFrame> parse_message(ByteView body) {
    Attributes all;
    while (body.size() >= sizeof(nlattr)) {
        const std::size_t length = host_number<std::uint16_t>(body, 0).value_or(0);
        const auto kind = static_cast<std::uint16_t>(host_number<std::uint16_t>(body, 2).value_or(0) & NLA_TYPE_MASK);
        if (length < sizeof(nlattr) || length > body.size()) {
            return std::nullopt;
        }
        read_attribute(kind, body.subspan(sizeof(nlattr), length - sizeof(nlattr)), all);
        body = body.subspan(std::min(aligned(length), body.size()));
    }
    if (!all.hook || (*all.hook != NF_BR_PRE_ROUTING && *all.hook != NF_BR_POST_ROUTING)) {
        return std::nullopt;
    }
    // Where bridges call iptables, the kernel names the bridge as the device and the port beside it.
    const bool from_guest = *all.hook == NF_BR_PRE_ROUTING;
    const std::uint32_t port =
        from_guest ? (all.port_in != 0 ? all.port_in : all.in) : (all.port_out != 0 ? all.port_out : all.out);
    return LoggedFrame{{.port = port, .from_guest = from_guest, .type = all.type, .packet = all.packet},
                       as_text(all.prefix).starts_with("too many")};
}

}  // namespace

std::vector<LoggedFrame> parse_log(ByteView datagram) {
    constexpr std::uint16_t kPacket = (NFNL_SUBSYS_ULOG << 8) | NFULNL_MSG_PACKET;
    constexpr std::size_t kHeader = sizeof(nlmsghdr) + sizeof(nfgenmsg);
    std::vector<LoggedFrame> out;
    while (datagram.size() >= sizeof(nlmsghdr)) {
        const std::size_t length = host_number<std::uint32_t>(datagram, 0).value_or(0);
        if (length < sizeof(nlmsghdr) || length > datagram.size()) {
            break;
        }
        if (length >= kHeader && host_number<std::uint16_t>(datagram, 4) == kPacket) {
            if (auto frame = parse_message(datagram.subspan(kHeader, length - kHeader))) {
                out.push_back(*frame);
            }
        }
        datagram = datagram.subspan(std::min(aligned(length), datagram.size()));
    }
    return out;
}

void Copies::receive(dhcp::Learner& learner, dhcp::Time now) {
    buffer_.resize(kBuffer);
    for (int i = 0; i < kMostDatagrams; ++i) {
        sockaddr_nl from{};
        iovec vector{buffer_.data(), buffer_.size()};
        msghdr header{};
        header.msg_name = &from;
        header.msg_namelen = sizeof from;
        header.msg_iov = &vector;
        header.msg_iovlen = 1;
        const ssize_t got = ::recvmsg(socket_.get(), &header, MSG_DONTWAIT);
        if (got < 0 && errno == ENOBUFS) {
            if (std::has_single_bit(++lost_)) {  // the 1st, 2nd, 4th, 8th time
                log::warning("copies of guests' frames came faster than they could be read, {} times so far", lost_);
            }
            continue;
        }
        if (got < 0) {
            return;
        }
        // Any process may write to a netlink socket; only the kernel has number 0.
        if (from.nl_pid != 0 || (header.msg_flags & MSG_TRUNC) != 0) {
            continue;
        }
        for (const LoggedFrame& frame : parse_log(ByteView(buffer_.data(), static_cast<std::size_t>(got)))) {
            const IfName* const name = learner.name_of(frame.copy.port);
            if (frame.too_many && name != nullptr) {
                log::warning(
                    "port {}: {} more than 10 packets a second that could teach its addresses; the rest is "
                    "not looked at",
                    name->str(), frame.copy.from_guest ? "its guest sends" : "it gets");
            } else if (!frame.too_many) {
                learner.hear(frame.copy, now);
            }
        }
    }
}

}  // namespace bascule::netsvc
