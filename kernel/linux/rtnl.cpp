// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/rtnl.h"

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/route.h>

#include <charconv>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>

#include "kernel/linux/bridge_port.h"

namespace bascule::kernel::os {

namespace {

template <class T, void (*put)(T*)>
struct Put {
    void operator()(T* object) const { put(object); }
};
using LinkObject = std::unique_ptr<rtnl_link, Put<rtnl_link, rtnl_link_put>>;
using AddrObject = std::unique_ptr<rtnl_addr, Put<rtnl_addr, rtnl_addr_put>>;
using RouteObject = std::unique_ptr<rtnl_route, Put<rtnl_route, rtnl_route_put>>;
using NlAddr = std::unique_ptr<nl_addr, Put<nl_addr, nl_addr_put>>;
using Object = std::unique_ptr<nl_object, Put<nl_object, nl_object_put>>;

// libnl fails only for want of memory in what follows.
template <class Pointer>
Pointer needed(Pointer pointer) {
    if (!pointer) {
        std::abort();
    }
    return pointer;
}
void needed(int error) {
    if (error < 0) {
        std::abort();
    }
}

NlMsg message(int type, int flags) { return needed(NlMsg(nlmsg_alloc_simple(type, flags))); }

template <class Header>
void append(const NlMsg& msg, const Header& header) {
    needed(nlmsg_append(msg.get(), const_cast<Header*>(&header), sizeof(header), NLMSG_ALIGNTO));
}

void put_text(const NlMsg& msg, int attribute, const std::string& text) {
    needed(nla_put_string(msg.get(), attribute, text.c_str()));
}

NlMsg link_message(int type, int flags, int index) {
    NlMsg msg = message(type, flags);
    ifinfomsg header{};
    header.ifi_family = AF_UNSPEC;
    header.ifi_index = index;
    append(msg, header);
    return msg;
}

// Statistics are most of a link's description and nothing we ask for.
NlMsg link_question(int flags, int index) {
    NlMsg msg = link_message(RTM_GETLINK, flags, index);
    needed(nla_put_u32(msg.get(), IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS));
    return msg;
}

void put_mac(const NlMsg& msg, const MacAddr& mac) {
    needed(nla_put(msg.get(), IFLA_ADDRESS, static_cast<int>(mac.octets.size()), mac.octets.data()));
}

// IFLA_LINKINFO of a bridge; fields not set are left out.
void put_bridge(const NlMsg& msg, std::optional<bool> stp, std::optional<std::uint32_t> forward_delay_cs) {
    nlattr* info = needed(nla_nest_start(msg.get(), IFLA_LINKINFO));
    put_text(msg, IFLA_INFO_KIND, "bridge");
    nlattr* data = needed(nla_nest_start(msg.get(), IFLA_INFO_DATA));
    if (forward_delay_cs) {
        needed(nla_put_u32(msg.get(), IFLA_BR_FORWARD_DELAY, *forward_delay_cs));
    }
    if (stp) {
        needed(nla_put_u32(msg.get(), IFLA_BR_STP_STATE, *stp ? 1 : 0));
    }
    nla_nest_end(msg.get(), data);
    nla_nest_end(msg.get(), info);
}

// IFLA_LINKINFO of a bond. One of the two monitors only: the kernel refuses both.
void put_bond(const NlMsg& msg, const BondSettings& bond, bool with_mode) {
    nlattr* info = needed(nla_nest_start(msg.get(), IFLA_LINKINFO));
    put_text(msg, IFLA_INFO_KIND, "bond");
    nlattr* data = needed(nla_nest_start(msg.get(), IFLA_INFO_DATA));
    if (with_mode) {
        needed(nla_put_u8(msg.get(), IFLA_BOND_MODE, bond.mode));
    }
    if (bond.arp_interval == 0) {
        needed(nla_put_u32(msg.get(), IFLA_BOND_MIIMON, bond.miimon));
        if (bond.miimon != 0) {
            needed(nla_put_u32(msg.get(), IFLA_BOND_UPDELAY, bond.updelay));
            needed(nla_put_u32(msg.get(), IFLA_BOND_DOWNDELAY, bond.downdelay));
        }
        if (!bond.use_carrier) {  // newer kernels know the other way only, and refuse to hear of it
            needed(nla_put_u8(msg.get(), IFLA_BOND_USE_CARRIER, 0));
        }
    } else {
        needed(nla_put_u32(msg.get(), IFLA_BOND_ARP_INTERVAL, bond.arp_interval));
        if (bond.arp_target) {
            nlattr* targets = needed(nla_nest_start(msg.get(), IFLA_BOND_ARP_IP_TARGET));
            needed(nla_put(msg.get(), 0, 4, bond.arp_target->octets().data()));
            nla_nest_end(msg.get(), targets);
        }
        needed(nla_put_u32(msg.get(), IFLA_BOND_ARP_VALIDATE, bond.arp_validate));
    }
    nla_nest_end(msg.get(), data);
    nla_nest_end(msg.get(), info);
}

// Whatever object libnl makes of a message; its reference is ours.
template <class Pointer>
Pointer parse_object(const NlMsg& reply, std::string_view type) {
    nl_object* found = nullptr;
    const auto take = [](nl_object* object, void* out) {
        nl_object_get(object);
        *static_cast<nl_object**>(out) = object;
    };
    if (nl_msg_parse(reply.get(), take, &found) < 0) {
        return nullptr;
    }
    Object object(found);
    if (!object || nl_object_get_type(object.get()) != type) {
        return nullptr;
    }
    return Pointer(reinterpret_cast<typename Pointer::pointer>(object.release()));
}

nlattr* nested_data(const NlMsg& reply) {
    nlattr* info = nlmsg_find_attr(nlmsg_hdr(reply.get()), sizeof(ifinfomsg), IFLA_LINKINFO);
    return info == nullptr ? nullptr : nla_find(static_cast<nlattr*>(nla_data(info)), nla_len(info), IFLA_INFO_DATA);
}

std::optional<std::uint32_t> number_in(nlattr* nest, int type) {
    const nlattr* found =
        nest == nullptr ? nullptr : nla_find(static_cast<nlattr*>(nla_data(nest)), nla_len(nest), type);
    if (found == nullptr) {
        return std::nullopt;
    }
    switch (nla_len(found)) {
        case 1: return nla_get_u8(found);
        case 2: return nla_get_u16(found);
        case 4: return nla_get_u32(found);
        default: return std::nullopt;
    }
}

NlAddr to_nl(const Ip& ip, unsigned length) {
    NlAddr out = needed(NlAddr(nl_addr_build(ip.is_v4() ? AF_INET : AF_INET6, ip.octets().data(), ip.bits() / 8)));
    nl_addr_set_prefixlen(out.get(), static_cast<int>(length));
    return out;
}

std::optional<Ip> from_nl(const nl_addr* address) {
    if (address == nullptr) {
        return std::nullopt;
    }
    const unsigned size = nl_addr_get_len(address);
    const void* octets = nl_addr_get_binary_addr(address);
    if (nl_addr_get_family(address) == AF_INET && (size == 4 || size == 0)) {
        std::array<std::uint8_t, 4> v4{};
        std::memcpy(v4.data(), octets, size);
        return Ip::v4(v4);
    }
    if (nl_addr_get_family(address) == AF_INET6 && (size == 16 || size == 0)) {
        std::array<std::uint8_t, 16> v6{};
        std::memcpy(v6.data(), octets, size);
        return Ip::v6(v6);
    }
    return std::nullopt;
}

// What our alias says. `kind` is the kernel's word for the device.
void read_alias(LinkSeen& seen, bool is_tap) {
    std::string_view rest = seen.alias;
    const LinkKind kind = is_tap                  ? LinkKind::tap
                          : seen.kind == "bridge" ? LinkKind::bridge
                          : seen.kind == "vlan"   ? LinkKind::vlan
                          : seen.kind == "bond"   ? LinkKind::bond
                                                  : LinkKind::foreign;
    if (!rest.starts_with(kAliasPrefix) || kind == LinkKind::foreign) {
        return;
    }
    rest.remove_prefix(kAliasPrefix.size());
    constexpr std::string_view kQueues = " queues=";
    if (const std::size_t at = rest.rfind(kQueues); is_tap && at != std::string_view::npos) {
        const std::string_view digits = rest.substr(at + kQueues.size());
        std::from_chars(digits.data(), digits.data() + digits.size(), seen.facts.queues);
        rest = rest.substr(0, at);
    }
    seen.facts.kind = kind;
    seen.facts.owner = rest;
}

RouteObject to_object(const Route& route, int index) {
    RouteObject out = needed(RouteObject(rtnl_route_alloc()));
    const bool v4 = route.destination.network.is_v4();
    rtnl_route_set_family(out.get(), v4 ? AF_INET : AF_INET6);
    needed(rtnl_route_set_dst(out.get(), to_nl(route.destination.network, route.destination.length).get()));
    rtnl_route_set_table(out.get(), RT_TABLE_MAIN);
    needed(rtnl_route_set_type(out.get(), RTN_UNICAST));
    rtnl_route_set_scope(out.get(), v4 && !route.gateway ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE);
    const bool no_metric = !v4 && route.metric == 0;
    rtnl_route_set_protocol(out.get(), static_cast<std::uint8_t>(kRouteProtocol + (route.link ? 0 : kRouteNoLink) +
                                                                 (no_metric ? kRouteNoMetric : 0)));
    if (!no_metric) {
        rtnl_route_set_priority(out.get(), route.metric);
    }
    rtnl_nexthop* hop = needed(rtnl_route_nh_alloc());
    if (index != 0) {
        rtnl_route_nh_set_ifindex(hop, index);
    }
    if (route.gateway) {
        rtnl_route_nh_set_gateway(hop, to_nl(*route.gateway, route.gateway->bits()).get());
    }
    rtnl_route_add_nexthop(out.get(), hop);  // takes it over
    return out;
}

AddrObject to_object(const IpInterface& address, int index, const std::optional<Ip>& peer) {
    AddrObject out = needed(AddrObject(rtnl_addr_alloc()));
    rtnl_addr_set_ifindex(out.get(), index);
    needed(rtnl_addr_set_local(out.get(), to_nl(address.address, address.length).get()));
    rtnl_addr_set_prefixlen(out.get(), static_cast<int>(address.length));
    if (peer) {
        needed(rtnl_addr_set_peer(out.get(), to_nl(*peer, address.length).get()));
        rtnl_addr_set_prefixlen(out.get(), static_cast<int>(address.length));
    } else if (address.address.is_v4() && address.length < 31) {  // RFC 3021: a /31 has no broadcast address
        needed(rtnl_addr_set_broadcast(out.get(), to_nl(address.prefix().last(), 32).get()));
    }
    return out;
}

}  // namespace

std::string link_alias(const Link& link) {
    return link.queues > 1 ? fmt::format("{}{} queues={}", kAliasPrefix, link.owner, link.queues)
                           : fmt::format("{}{}", kAliasPrefix, link.owner);
}

NlMsg link_query(const IfName& name) {
    NlMsg msg = link_question(0, 0);
    put_text(msg, IFLA_IFNAME, name.str());
    return msg;
}

NlMsg link_query(int index) { return link_question(0, index); }

NlMsg link_dump() { return link_question(NLM_F_DUMP, 0); }

BondSettings parse_bond(const nlattr* info_data) {
    auto* const data = const_cast<nlattr*>(info_data);
    BondSettings out;
    out.mode = static_cast<std::uint8_t>(number_in(data, IFLA_BOND_MODE).value_or(0));
    out.miimon = number_in(data, IFLA_BOND_MIIMON).value_or(0);
    out.updelay = number_in(data, IFLA_BOND_UPDELAY).value_or(0);
    out.downdelay = number_in(data, IFLA_BOND_DOWNDELAY).value_or(0);
    out.use_carrier = number_in(data, IFLA_BOND_USE_CARRIER).value_or(1) != 0;
    out.arp_interval = number_in(data, IFLA_BOND_ARP_INTERVAL).value_or(0);
    out.arp_validate = number_in(data, IFLA_BOND_ARP_VALIDATE).value_or(0);
    const nlattr* const targets =
        data == nullptr ? nullptr
                        : nla_find(static_cast<nlattr*>(nla_data(data)), nla_len(data), IFLA_BOND_ARP_IP_TARGET);
    // By number, the first is 0; a bond without has the attribute no less.
    const nlattr* const first =
        targets == nullptr
            ? nullptr
            : nla_find(static_cast<nlattr*>(nla_data(const_cast<nlattr*>(targets))), nla_len(targets), 0);
    if (first != nullptr && nla_len(first) == 4) {
        std::array<std::uint8_t, 4> octets{};
        std::memcpy(octets.data(), nla_data(const_cast<nlattr*>(first)), octets.size());
        out.arp_target = Ip::v4(octets);
    }
    return out;
}

std::optional<LinkSeen> parse_link(const NlMsg& reply) {
    const auto object = parse_object<LinkObject>(reply, "route/link");
    const char* text = object ? rtnl_link_get_name(object.get()) : nullptr;
    // A name that IfName refuses is of a link that nobody here can have asked for.
    const std::optional<IfName> name = text == nullptr ? std::nullopt : IfName::parse(text);
    if (!name) {
        return std::nullopt;
    }
    LinkSeen seen(*name);
    seen.index = rtnl_link_get_ifindex(object.get());
    seen.master = rtnl_link_get_master(object.get());
    if (const char* kind = rtnl_link_get_type(object.get())) {
        seen.kind = kind;
    }
    if (const char* alias = rtnl_link_get_ifalias(object.get())) {
        seen.alias = alias;
    }
    seen.facts.up = (rtnl_link_get_flags(object.get()) & IFF_UP) != 0;
    seen.facts.mtu = rtnl_link_get_mtu(object.get());
    if (const nl_addr* address = rtnl_link_get_addr(object.get());
        address != nullptr && nl_addr_get_len(address) == 6) {
        MacAddr mac;
        std::memcpy(mac.octets.data(), nl_addr_get_binary_addr(address), mac.octets.size());
        seen.facts.mac = mac;
    }
    nlattr* data = nested_data(reply);
    constexpr std::uint32_t kIffTap = 2;  // IFLA_TUN_TYPE has IFF_TUN (1) or IFF_TAP
    read_alias(seen, seen.kind == "tun" && number_in(data, IFLA_TUN_TYPE) == kIffTap);
    if (seen.facts.kind == LinkKind::tap) {
        seen.facts.port = parse_bridge_port(reply);
    }
    if (seen.facts.kind == LinkKind::bridge) {
        seen.facts.bridge = BridgeSettings{.stp = number_in(data, IFLA_BR_STP_STATE).value_or(0) != 0,
                                           .forward_delay_cs = number_in(data, IFLA_BR_FORWARD_DELAY).value_or(0)};
    }
    if (seen.facts.kind == LinkKind::vlan) {
        seen.tag = static_cast<std::uint16_t>(number_in(data, IFLA_VLAN_ID).value_or(0));
        seen.parent = rtnl_link_get_link(object.get());
    }
    if (seen.facts.kind == LinkKind::bond) {
        seen.facts.bond = parse_bond(data);
    }
    return seen;
}

NlMsg new_vlan(const IfName& name, std::uint16_t tag, int parent) {
    NlMsg msg = link_message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0);
    put_text(msg, IFLA_IFNAME, name.str());
    needed(nla_put_u32(msg.get(), IFLA_LINK, static_cast<std::uint32_t>(parent)));
    nlattr* info = needed(nla_nest_start(msg.get(), IFLA_LINKINFO));
    put_text(msg, IFLA_INFO_KIND, "vlan");
    nlattr* data = needed(nla_nest_start(msg.get(), IFLA_INFO_DATA));
    needed(nla_put_u16(msg.get(), IFLA_VLAN_ID, tag));
    nla_nest_end(msg.get(), data);
    nla_nest_end(msg.get(), info);
    return msg;
}

NlMsg new_bond(const IfName& name, const Link& wanted) {
    NlMsg msg = link_message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0);
    put_text(msg, IFLA_IFNAME, name.str());
    put_bond(msg, wanted.bond.value_or(BondSettings{}), true);
    return msg;
}

NlMsg new_bridge(const IfName& name, const Link& wanted) {
    NlMsg msg = link_message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0);
    put_text(msg, IFLA_IFNAME, name.str());
    if (wanted.mac) {
        put_mac(msg, *wanted.mac);
    }
    const BridgeSettings bridge = wanted.bridge.value_or(BridgeSettings{});
    put_bridge(msg, bridge.stp, bridge.forward_delay_cs);
    return msg;
}

NlMsg change_link(int index, const LinkChange& change) {
    NlMsg msg = link_message(RTM_NEWLINK, 0, index);
    if (change.up) {
        auto* header = static_cast<ifinfomsg*>(nlmsg_data(nlmsg_hdr(msg.get())));
        header->ifi_change = IFF_UP;
        header->ifi_flags = *change.up ? IFF_UP : 0;
    }
    if (change.alias) {
        put_text(msg, IFLA_IFALIAS, *change.alias);
    }
    if (change.mac) {
        put_mac(msg, *change.mac);
    }
    if (change.mtu) {
        needed(nla_put_u32(msg.get(), IFLA_MTU, *change.mtu));
    }
    if (change.master) {
        needed(nla_put_u32(msg.get(), IFLA_MASTER, static_cast<std::uint32_t>(*change.master)));
    }
    if (change.stp || change.forward_delay_cs) {
        put_bridge(msg, change.stp, change.forward_delay_cs);
    }
    if (change.bond) {
        put_bond(msg, *change.bond, false);
    }
    return msg;
}

NlMsg delete_link(int index) { return link_message(RTM_DELLINK, 0, index); }

NlMsg address_dump(int index) {
    NlMsg msg = message(RTM_GETADDR, NLM_F_DUMP);
    ifaddrmsg header{};
    header.ifa_family = AF_UNSPEC;
    header.ifa_index = static_cast<std::uint32_t>(index);
    append(msg, header);
    return msg;
}

NlMsg put_address(const IpInterface& address, int index, const std::optional<Ip>& peer) {
    const AddrObject object = to_object(address, index, peer);
    if (address.address.is_v6()) {
        // Without duplicate address detection, which would keep servers from binding to it for a second.
        rtnl_addr_set_flags(object.get(), IFA_F_NODAD);
    }
    nl_msg* msg = nullptr;
    needed(rtnl_addr_build_add_request(object.get(), NLM_F_REPLACE, &msg));
    return NlMsg(msg);
}

NlMsg drop_address(const IpInterface& address, int index, const std::optional<Ip>& peer) {
    nl_msg* msg = nullptr;
    needed(rtnl_addr_build_delete_request(to_object(address, index, peer).get(), 0, &msg));
    return NlMsg(msg);
}

std::optional<AddressSeen> parse_address(const NlMsg& reply) {
    const auto object = parse_object<AddrObject>(reply, "route/addr");
    const std::optional<Ip> ip = object ? from_nl(rtnl_addr_get_local(object.get())) : std::nullopt;
    if (!ip) {
        return std::nullopt;
    }
    AddressSeen seen;
    seen.index = rtnl_addr_get_ifindex(object.get());
    seen.address = {.address = *ip, .length = static_cast<unsigned>(rtnl_addr_get_prefixlen(object.get()))};
    seen.peer = from_nl(rtnl_addr_get_peer(object.get()));
    if (seen.peer == ip) {
        seen.peer.reset();
    }
    // Since Linux 5.18 the kernel says which addresses it made itself.
    const nlattr* origin = nlmsg_find_attr(nlmsg_hdr(reply.get()), sizeof(ifaddrmsg), IFA_PROTO);
    const int protocol = origin != nullptr && nla_len(origin) == 1 ? nla_get_u8(origin) : IFAPROT_UNSPEC;
    seen.by_kernel = protocol == IFAPROT_KERNEL_LO || protocol == IFAPROT_KERNEL_RA || protocol == IFAPROT_KERNEL_LL;
    return seen;
}

NlMsg route_dump(IpFamily family, std::uint8_t protocol) {
    NlMsg msg = message(RTM_GETROUTE, NLM_F_DUMP);
    rtmsg header{};
    header.rtm_family = family == IpFamily::v4 ? AF_INET : AF_INET6;
    header.rtm_table = RT_TABLE_MAIN;
    header.rtm_protocol = protocol;
    append(msg, header);
    return msg;
}

NlMsg put_route(const Route& route, int index) {
    nl_msg* msg = nullptr;
    needed(rtnl_route_build_add_request(to_object(route, index).get(), NLM_F_CREATE | NLM_F_EXCL, &msg));
    return NlMsg(msg);
}

NlMsg drop_route(const Route& route, int index) {
    nl_msg* msg = nullptr;
    needed(rtnl_route_build_del_request(to_object(route, index).get(), 0, &msg));
    return NlMsg(msg);
}

std::optional<RouteSeen> parse_route(const NlMsg& reply) {
    const auto object = parse_object<RouteObject>(reply, "route/route");
    if (!object || rtnl_route_get_nnexthops(object.get()) != 1) {
        return std::nullopt;
    }
    const int flags = rtnl_route_get_protocol(object.get()) - kRouteProtocol;
    const nl_addr* destination = rtnl_route_get_dst(object.get());
    const std::optional<Ip> network = from_nl(destination);
    if (flags < 0 || flags > (kRouteNoLink | kRouteNoMetric) || !network) {
        return std::nullopt;
    }
    rtnl_nexthop* hop = rtnl_route_nexthop_n(object.get(), 0);
    RouteSeen seen;
    seen.index = rtnl_route_nh_get_ifindex(hop);
    seen.link_named = (flags & kRouteNoLink) == 0;
    seen.route.destination = Prefix::of(*network, nl_addr_get_prefixlen(destination));
    if (const nl_addr* gateway = rtnl_route_nh_get_gateway(hop)) {
        seen.route.gateway = from_nl(gateway);
    }
    seen.route.metric = (flags & kRouteNoMetric) != 0 ? 0 : rtnl_route_get_priority(object.get());
    return seen;
}

}  // namespace bascule::kernel::os
