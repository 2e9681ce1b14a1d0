// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/monitor.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>

#include <fmt/format.h>

#include "base/log.h"
#include "kernel/linux/mnl_text.h"
#include "kernel/linux/rtnl.h"

namespace bascule::kernel::os {

namespace {

constexpr std::size_t kKeptGenerations = 4096;
// How long news of links are gathered: a repair must be done within 50 ms.
constexpr std::chrono::milliseconds kGather{5};
constexpr std::size_t kDatagram = std::size_t{1} << 17;
constexpr int kQueue = 8 << 20;  // bytes; a large transaction is announced in one go

// Calls `take` for each whole message in the datagram.
template <class Take>
void each_message(ByteView datagram, Take take) {
    const auto* header = reinterpret_cast<const nlmsghdr*>(datagram.data());
    int left = static_cast<int>(datagram.size());
    for (; mnl_nlmsg_ok(header, left); header = mnl_nlmsg_next(header, &left)) {
        take(header);
    }
}

// The attribute of that type behind a fixed header, or null.
const nlattr* find(const nlmsghdr* header, std::size_t fixed, std::uint16_t type) {
    if (header->nlmsg_len < NLMSG_HDRLEN + MNL_ALIGN(fixed)) {
        return nullptr;
    }
    const auto* at = static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(header, fixed));
    const auto* const end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(header));
    for (; mnl_attr_ok(at, static_cast<int>(end - reinterpret_cast<const char*>(at))); at = mnl_attr_next(at)) {
        if (mnl_attr_get_type(at) == type) {
            return at;
        }
    }
    return nullptr;
}

std::optional<std::uint32_t> number_of(const nlattr* attribute) {
    return attribute != nullptr && mnl_attr_get_payload_len(attribute) == 4 ? std::optional(mnl_attr_get_u32(attribute))
                                                                            : std::nullopt;
}

std::string process_of(const nlmsghdr* header) {
    const std::string name = text_of(find(header, sizeof(nfgenmsg), NFTA_GEN_PROC_NAME));
    const auto pid = number_of(find(header, sizeof(nfgenmsg), NFTA_GEN_PROC_PID));
    return name.empty() ? std::string() : pid ? fmt::format("{} (process {})", name, ntohl(*pid)) : name;
}

std::optional<IfName> name_of_index(std::uint32_t index) {
    std::array<char, IF_NAMESIZE> name{};
    return ::if_indextoname(index, name.data()) != nullptr ? IfName::parse(name.data()) : std::nullopt;
}

template <class Fixed>
const Fixed* fixed_part(const nlmsghdr* header) {
    return header->nlmsg_len >= NLMSG_LENGTH(sizeof(Fixed)) ? static_cast<const Fixed*>(mnl_nlmsg_get_payload(header))
                                                            : nullptr;
}

void note_index(std::uint32_t index, Change& out) {
    if (auto name = name_of_index(index)) {
        out.links.insert(*std::move(name));
    }
}

std::optional<Prefix> destination_of(const nlmsghdr* header, const rtmsg& route) {
    const nlattr* const to = find(header, sizeof(rtmsg), RTA_DST);
    const bool v4 = route.rtm_family == AF_INET;
    if (to == nullptr || mnl_attr_get_payload_len(to) != (v4 ? 4U : 16U) || route.rtm_dst_len > (v4 ? 32 : 128)) {
        return std::nullopt;
    }
    if (v4) {
        std::array<std::uint8_t, 4> octets{};
        std::memcpy(octets.data(), mnl_attr_get_payload(to), octets.size());
        return Prefix::of(Ip::v4(octets), route.rtm_dst_len);
    }
    std::array<std::uint8_t, 16> octets{};
    std::memcpy(octets.data(), mnl_attr_get_payload(to), octets.size());
    return Prefix::of(Ip::v6(octets), route.rtm_dst_len);
}

void read_route(const nlmsghdr* header, Change& out) {
    const auto* const route = fixed_part<rtmsg>(header);
    if (route == nullptr || (route->rtm_flags & RTM_F_CLONED) != 0 || route->rtm_table != RT_TABLE_MAIN ||
        route->rtm_type != RTN_UNICAST || (route->rtm_family != AF_INET && route->rtm_family != AF_INET6)) {
        return;
    }
    const auto index = number_of(find(header, sizeof(rtmsg), RTA_OIF));
    const bool ours = (route->rtm_protocol & ~(kRouteNoLink | kRouteNoMetric)) == kRouteProtocol;
    if (ours) {
        if (header->nlmsg_type == RTM_DELROUTE && index) {
            note_index(*index, out);
        }
        return;
    }
    const auto destination = destination_of(header, *route);
    if (destination && !destination->network.is_link_local()) {
        const auto name = index ? name_of_index(*index) : std::nullopt;
        if (header->nlmsg_type == RTM_NEWROUTE && index && !name) {
            return;  // its link is gone, and it with it
        }
        auto& to = header->nlmsg_type == RTM_NEWROUTE ? out.routes : out.routes_gone;
        to.insert({*destination, name ? name->str() : std::string()});
    }
}

// Both sockets' plumbing.
class HostMonitor : public Monitor {
public:
    HostMonitor(Loop& loop, const Generations& generations, OnChange on)
        : loop_(loop), generations_(generations), on_(std::move(on)) {}
    Result<void> open();

private:
    struct Close {
        void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
    };
    using Socket = std::unique_ptr<mnl_socket, Close>;
    static Result<Socket> subscribe(int protocol, std::initializer_list<int> groups);
    template <class Take>
    void drain(const Socket& socket, Change& change, Take take);
    void rules_readable();
    void links_readable();
    void tell_links();

    Loop& loop_;
    const Generations& generations_;
    OnChange on_;
    Socket rules_, links_;
    std::unique_ptr<Watch> rules_watch_, links_watch_, timer_;
    RuleNews news_;
    Change gathered_;
    std::vector<std::byte> buffer_ = std::vector<std::byte>(kDatagram);
};

Result<HostMonitor::Socket> HostMonitor::subscribe(int protocol, std::initializer_list<int> groups) {
    Socket socket(mnl_socket_open2(protocol, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0) {
        return fail_errno("netlink: opening a socket for notifications");
    }
    const int fd = mnl_socket_get_fd(socket.get());
    if (::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &kQueue, sizeof kQueue) < 0) {
        (void)::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &kQueue, sizeof kQueue);  // as much as we may
    }
    for (const int group : groups) {
        if (mnl_socket_setsockopt(socket.get(), NETLINK_ADD_MEMBERSHIP, const_cast<int*>(&group), sizeof group) < 0) {
            return fail_errno("netlink: asking for notifications");
        }
    }
    return socket;
}

Result<void> HostMonitor::open() {
    TRY(rules_, subscribe(NETLINK_NETFILTER, {NFNLGRP_NFTABLES}));
    TRY(links_, subscribe(NETLINK_ROUTE, {RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE,
                                          RTNLGRP_IPV6_ROUTE}));
    rules_watch_ = loop_.watch(mnl_socket_get_fd(rules_.get()), true, false, [this](Ready) { rules_readable(); });
    links_watch_ = loop_.watch(mnl_socket_get_fd(links_.get()), true, false, [this](Ready) { links_readable(); });
    return {};
}

template <class Take>
void HostMonitor::drain(const Socket& socket, Change& change, Take take) {
    constexpr int kMostAtOnce = 4096;
    for (int i = 0; i < kMostAtOnce; ++i) {
        const ssize_t size = mnl_socket_recvfrom(socket.get(), buffer_.data(), buffer_.size());
        if (size >= 0) {
            take(ByteView(buffer_.data(), static_cast<std::size_t>(size)));
        } else if (errno == ENOBUFS || errno == ENOSPC) {
            change.lost = true;
        } else if (errno != EINTR) {
            return;
        }
    }
}

void HostMonitor::rules_readable() {
    Change change;
    drain(rules_, change, [&](ByteView datagram) { read_rule_news(datagram, generations_, news_, change); });
    if (!change.empty()) {
        on_(change);
    }
}

void HostMonitor::links_readable() {
    drain(links_, gathered_, [this](ByteView datagram) { read_link_news(datagram, gathered_); });
    if (!gathered_.empty() && !timer_) {
        timer_ = loop_.at(loop_.clock().now() + kGather, [this] { tell_links(); });
    }
}

void HostMonitor::tell_links() {
    timer_.reset();
    const Change change = std::exchange(gathered_, {});
    on_(change);
}

}  // namespace

void Generations::note_own(std::uint32_t id) {
    own_.push_back(id);
    if (own_.size() > kKeptGenerations) {
        own_.pop_front();
    }
}

bool Generations::is_own(std::uint32_t id) const { return std::find(own_.rbegin(), own_.rend(), id) != own_.rend(); }

void read_rule_news(ByteView datagram, const Generations& generations, RuleNews& news, Change& out) {
    each_message(datagram, [&](const nlmsghdr* header) {
        if ((header->nlmsg_type >> 8) != NFNL_SUBSYS_NFTABLES) {
            return;
        }
        if ((header->nlmsg_type & 0xff) != NFT_MSG_NEWGEN) {
            // NFTA_TABLE_NAME and the table's name in every other kind of message have the same number.
            news.touched = news.touched || text_of(find(header, sizeof(nfgenmsg), NFTA_TABLE_NAME)) == "bascule";
            return;
        }
        const auto id = number_of(find(header, sizeof(nfgenmsg), NFTA_GEN_ID));
        const bool touched = std::exchange(news.touched, false);
        if (id && generations.is_own(ntohl(*id))) {
            return;
        }
        (touched ? out.our_rules : out.other_rules) = true;
        if (touched || out.by.empty()) {
            out.by = process_of(header);
        }
    });
}

void read_link_news(ByteView datagram, Change& out) {
    each_message(datagram, [&](const nlmsghdr* header) {
        switch (header->nlmsg_type) {
            case RTM_NEWLINK:
            case RTM_DELLINK:
                if (auto name = IfName::parse(text_of(find(header, sizeof(ifinfomsg), IFLA_IFNAME)))) {
                    out.links.insert(*std::move(name));
                }
                break;
            case RTM_NEWADDR:
            case RTM_DELADDR:
                if (const auto* const address = fixed_part<ifaddrmsg>(header)) {
                    note_index(address->ifa_index, out);
                }
                break;
            case RTM_NEWROUTE:
            case RTM_DELROUTE: read_route(header, out); break;
            default: break;
        }
    });
}

Result<std::unique_ptr<Monitor>> make_monitor(Loop& loop, const Generations& generations, OnChange on) {
    auto out = std::make_unique<HostMonitor>(loop, generations, std::move(on));
    TRY_OK(out->open());
    return out;
}

}  // namespace bascule::kernel::os
