// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/proxies.h"

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/attr.h>
#include <netlink/msg.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <fmt/format.h>

#include "kernel/linux/netlink.h"
#include "kernel/linux/rtnl.h"

namespace bascule::kernel::os {

namespace {

struct Entry {
    int index = 0;
    Ip address;
    auto operator<=>(const Entry&) const = default;
};

void needed(int error) {
    if (error < 0) {
        std::abort();  // libnl fails only for want of memory
    }
}

NlMsg message(int type, int flags, int family, int index) {
    ndmsg header{};
    header.ndm_family = static_cast<std::uint8_t>(family);
    header.ndm_ifindex = index;
    header.ndm_flags = NTF_PROXY;
    if (index != 0) {
        header.ndm_state = NUD_PERMANENT;  // stays when the link loses its carrier
    }
    NlMsg msg(nlmsg_alloc_simple(type, flags));
    if (!msg) {
        std::abort();
    }
    needed(nlmsg_append(msg.get(), &header, sizeof(header), NLMSG_ALIGNTO));
    return msg;
}

NlMsg change(int type, int flags, const Entry& entry) {
    NlMsg msg = message(type, flags, entry.address.is_v4() ? AF_INET : AF_INET6, entry.index);
    needed(nla_put(msg.get(), NDA_DST, static_cast<int>(entry.address.bits() / 8), entry.address.octets().data()));
    needed(nla_put_u8(msg.get(), NDA_PROTOCOL, kRouteProtocol));
    return msg;
}

std::optional<Entry> parse(const NlMsg& reply) {
    nlmsghdr* const header = nlmsg_hdr(reply.get());
    if (header->nlmsg_type != RTM_NEWNEIGH || !nlmsg_valid_hdr(header, sizeof(ndmsg))) {
        return std::nullopt;
    }
    const auto* const head = static_cast<const ndmsg*>(nlmsg_data(header));
    const nlattr* const whose = nlmsg_find_attr(header, sizeof(ndmsg), NDA_PROTOCOL);
    nlattr* const address = nlmsg_find_attr(header, sizeof(ndmsg), NDA_DST);
    if ((head->ndm_flags & NTF_PROXY) == 0 || whose == nullptr || nla_len(whose) != 1 ||
        nla_get_u8(whose) != kRouteProtocol || address == nullptr) {
        return std::nullopt;
    }
    const auto* const octets = static_cast<const std::uint8_t*>(nla_data(address));
    if (head->ndm_family == AF_INET && nla_len(address) == 4) {
        return Entry{head->ndm_ifindex, Ip::v4(std::uint32_t{octets[0]} << 24 | std::uint32_t{octets[1]} << 16 |
                                               std::uint32_t{octets[2]} << 8 | octets[3])};
    }
    if (head->ndm_family == AF_INET6 && nla_len(address) == 16) {
        std::array<std::uint8_t, 16> all{};
        std::memcpy(all.data(), octets, all.size());
        return Entry{head->ndm_ifindex, Ip::v6(all)};
    }
    return std::nullopt;
}

Result<std::set<Entry>> observe(Netlink& netlink) {
    TRY(const Answer answer, netlink.talk(message(RTM_GETNEIGH, NLM_F_DUMP, AF_UNSPEC, 0)));
    TRY_OK(check(answer, "listing proxied addresses"));
    std::set<Entry> out;
    for (const NlMsg& reply : answer.objects) {
        if (const auto entry = parse(reply)) {
            out.insert(*entry);
        }
    }
    return out;
}

}  // namespace

Result<std::set<IfName>> put_proxies(const std::set<ProxyEntry>& wanted) {
    std::set<IfName> missing;
    std::set<Entry> wish;
    for (const ProxyEntry& one : wanted) {
        const unsigned index = ::if_nametoindex(one.link.str().c_str());
        if (index == 0) {
            missing.insert(one.link);
        } else {
            wish.insert({static_cast<int>(index), one.address});
        }
    }
    TRY(Netlink netlink, Netlink::open());
    TRY(const std::set<Entry> there, observe(netlink));
    for (const Entry& entry : there) {
        if (!wish.contains(entry)) {
            TRY(const Answer gone, netlink.talk(change(RTM_DELNEIGH, 0, entry)));
            if (!gone.failed_with(ENOENT) && !gone.failed_with(ENODEV)) {
                TRY_OK(check(gone, "no longer answering for " + format(entry.address)));
            }
        }
    }
    for (const Entry& entry : wish) {
        if (!there.contains(entry)) {
            TRY_OK(netlink.command(change(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, entry),
                                   "answering for " + format(entry.address)));
        }
    }
    return missing;
}

}  // namespace bascule::kernel::os
