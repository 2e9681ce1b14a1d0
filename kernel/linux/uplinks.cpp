// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/uplinks.h"

#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/attr.h>
#include <netlink/msg.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "kernel/linux/facts.h"
#include "kernel/linux/netlink.h"
#include "kernel/linux/rtnl.h"
#include "kernel/linux/sysctl.h"
#include "kernel/state.h"

namespace bascule::kernel::os {

namespace {

std::optional<WayOut> parse_way(const NlMsg& reply) {
    const nlmsghdr* const header = nlmsg_hdr(reply.get());
    if (header->nlmsg_type != RTM_NEWROUTE || nlmsg_datalen(header) < static_cast<int>(sizeof(rtmsg))) {
        return std::nullopt;
    }
    const auto* const route = static_cast<const rtmsg*>(nlmsg_data(header));
    if (route->rtm_dst_len != 0 || route->rtm_table != RT_TABLE_MAIN || route->rtm_type != RTN_UNICAST) {
        return std::nullopt;
    }
    const nlattr* const out = nlmsg_find_attr(const_cast<nlmsghdr*>(header), sizeof(rtmsg), RTA_OIF);
    if (out == nullptr || nla_len(out) < static_cast<int>(sizeof(std::uint32_t))) {
        return std::nullopt;  // several next hops, or none
    }
    std::array<char, IF_NAMESIZE> name{};
    const auto device =
        ::if_indextoname(nla_get_u32(out), name.data()) != nullptr ? IfName::parse(name.data()) : std::nullopt;
    if (!device) {
        return std::nullopt;
    }
    std::optional<Ip> gateway;
    const nlattr* const by = nlmsg_find_attr(const_cast<nlmsghdr*>(header), sizeof(rtmsg), RTA_GATEWAY);
    if (by != nullptr && nla_len(by) == 4) {
        std::array<std::uint8_t, 4> octets{};
        std::memcpy(octets.data(), nla_data(by), octets.size());
        gateway = Ip::v4(octets);
    } else if (by != nullptr && nla_len(by) == 16) {
        std::array<std::uint8_t, 16> octets{};
        std::memcpy(octets.data(), nla_data(by), octets.size());
        gateway = Ip::v6(octets);
    }
    return WayOut{.family = route->rtm_family == AF_INET ? IpFamily::v4 : IpFamily::v6,
                  .device = *device,
                  .advertised = route->rtm_protocol == RTPROT_RA,
                  .gateway = gateway};
}

}  // namespace

Result<std::vector<WayOut>> ways_out() {
    TRY(Netlink netlink, Netlink::open());
    std::vector<WayOut> out;
    for (const IpFamily family : {IpFamily::v4, IpFamily::v6}) {
        TRY(const Answer answer, netlink.talk(route_dump(family, RTPROT_UNSPEC)));
        if (answer.error != 0) {
            continue;  // the host has not got the family
        }
        for (const NlMsg& reply : answer.objects) {
            if (auto way = parse_way(reply)) {
                out.push_back(*std::move(way));
            }
        }
    }
    return out;
}

Result<std::vector<AdvertisedLink>> advertised_links() {
    TRY(const auto links, link_names());
    TRY(const auto ways, ways_out());
    std::vector<AdvertisedLink> out;
    for (const IfName& link : links) {
        if (link.str() == "lo" || !read_text("/sys/class/net/" + link.str() + "/brport/port_no", 64).empty()) {
            continue;
        }
        TRY(const auto takes, read_sysctl(sysctl_key("ipv6", link, "accept_ra")));
        TRY(const auto forwards, read_sysctl(sysctl_key("ipv6", link, "forwarding")));
        TRY(const auto off, read_sysctl(sysctl_key("ipv6", link, "disable_ipv6")));
        if (takes == "1" && forwards == "0" && off == "0") {
            const bool has =
                std::ranges::any_of(ways, [&](const WayOut& way) { return way.advertised && way.device == link; });
            out.push_back({.name = link, .has_default_route = has});
        }
    }
    return out;
}

Result<std::vector<IpInterface>> addresses_of(const IfName& link) {
    std::vector<IpInterface> out;
    const unsigned index = ::if_nametoindex(link.str().c_str());
    if (index == 0) {
        return out;
    }
    TRY(Netlink netlink, Netlink::open());
    TRY(const Answer answer, netlink.talk(address_dump(static_cast<int>(index))));
    TRY_OK(check(answer, "listing the addresses of " + link.str()));
    for (const NlMsg& reply : answer.objects) {
        const auto seen = parse_address(reply);
        if (seen && !seen->address.address.is_link_local() && !seen->address.address.is_loopback()) {
            out.push_back(seen->address);
        }
    }
    return out;
}

Result<std::vector<Ip>> gateways_of(const IfName& link) {
    TRY(const auto ways, ways_out());
    std::vector<Ip> out;
    for (const WayOut& way : ways) {
        if (way.device == link && way.gateway && !way.advertised) {
            out.push_back(*way.gateway);
        }
    }
    return out;
}

}  // namespace bascule::kernel::os
