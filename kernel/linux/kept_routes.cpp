// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/kept_routes.h"

#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/attr.h>
#include <netlink/msg.h>

#include <charconv>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>

#include "kernel/linux/netlink.h"
#include "kernel/linux/rtnl.h"

namespace bascule::kernel::os {

namespace {

// Far more than the kernel says of any route.
constexpr std::size_t kLargest = 4096;

bool is_lasting(const rtmsg& route) {
    const bool ours = route.rtm_protocol >= kRouteProtocol && route.rtm_protocol <= kLastRouteProtocol;
    return route.rtm_table != RT_TABLE_LOCAL && (route.rtm_flags & RTM_F_CLONED) == 0 &&
           route.rtm_protocol != RTPROT_KERNEL && route.rtm_protocol != RTPROT_RA &&
           route.rtm_protocol != RTPROT_REDIRECT && !ours;
}

nlattr* device_of(nlmsghdr* header) { return nlmsg_find_attr(header, sizeof(rtmsg), RTA_OIF); }

}  // namespace

Result<std::vector<std::string>> keep_routes(const IfName& link) {
    std::vector<std::string> out;
    const unsigned index = ::if_nametoindex(link.str().c_str());
    TRY(Netlink netlink, Netlink::open());
    for (const IpFamily family : {IpFamily::v4, IpFamily::v6}) {
        TRY(const Answer answer, netlink.talk(route_dump(family, RTPROT_UNSPEC)));
        if (answer.error != 0) {
            continue;  // the host has not got the family
        }
        for (const NlMsg& reply : answer.objects) {
            nlmsghdr* const header = nlmsg_hdr(reply.get());
            const auto size = static_cast<std::size_t>(std::max(nlmsg_datalen(header), 0));
            if (header->nlmsg_type != RTM_NEWROUTE || size < sizeof(rtmsg) || size > kLargest ||
                !is_lasting(*static_cast<const rtmsg*>(nlmsg_data(header)))) {
                continue;
            }
            const nlattr* const device = device_of(header);
            if (device == nullptr || nla_len(device) != 4 || nla_get_u32(device) != index) {
                continue;
            }
            std::string text;
            for (std::size_t i = 0; i < size; ++i) {
                text += fmt::format("{:02x}", static_cast<const std::uint8_t*>(nlmsg_data(header))[i]);
            }
            out.push_back(std::move(text));
        }
    }
    return out;
}

Result<void> put_back_route(const IfName& link, const std::string& kept) {
    const auto refuse = [&] {
        return fail(Code::malformed, "a route of " + link.str() + " that was kept is no route");
    };
    std::vector<std::uint8_t> bytes(kept.size() / 2);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        const char* const at = kept.data() + 2 * i;
        if (std::from_chars(at, at + 2, bytes[i], 16).ptr != at + 2) {
            return refuse();
        }
    }
    if (kept.size() % 2 != 0 || bytes.size() < sizeof(rtmsg) || bytes.size() > kLargest) {
        return refuse();
    }
    NlMsg msg(nlmsg_alloc_simple(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL));
    if (!msg || nlmsg_append(msg.get(), bytes.data(), bytes.size(), NLMSG_ALIGNTO) < 0) {
        std::abort();  // libnl fails only for want of memory
    }
    nlattr* const device = device_of(nlmsg_hdr(msg.get()));
    if (device == nullptr || nla_len(device) != 4) {
        return refuse();
    }
    const std::uint32_t index = ::if_nametoindex(link.str().c_str());  // it may have come anew since
    std::memcpy(nla_data(device), &index, sizeof(index));
    TRY(Netlink netlink, Netlink::open());
    TRY(const Answer answer, netlink.talk(msg));
    return answer.failed_with(EEXIST) ? Result<void>() : check(answer, "putting a route of " + link.str() + " back");
}

}  // namespace bascule::kernel::os
