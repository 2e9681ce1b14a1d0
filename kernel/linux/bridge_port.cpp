// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/bridge_port.h"

#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>

namespace bascule::kernel::os {

namespace {

void needed(int error) {
    if (error < 0) {
        std::abort();  // libnl fails only for want of memory
    }
}

template <class Header>
NlMsg message(int type, int flags, const Header& header) {
    NlMsg msg(nlmsg_alloc_simple(type, flags));
    if (!msg) {
        std::abort();
    }
    needed(nlmsg_append(msg.get(), const_cast<Header*>(&header), sizeof(header), NLMSG_ALIGNTO));
    return msg;
}

ifinfomsg link_header(int family, int index) {
    ifinfomsg out{};
    out.ifi_family = static_cast<unsigned char>(family);
    out.ifi_index = index;
    return out;
}

nlattr* inside(nlattr* nest, int type) {
    return nest == nullptr ? nullptr : nla_find(static_cast<nlattr*>(nla_data(nest)), nla_len(nest), type);
}

bool flag(nlattr* nest, int type, bool otherwise) {
    const nlattr* const found = inside(nest, type);
    return found != nullptr && nla_len(found) == 1 ? nla_get_u8(found) != 0 : otherwise;
}

NlMsg vlan_message(int type, int index, const bridge_vlan_info& info) {
    NlMsg msg = message(type, 0, link_header(AF_BRIDGE, index));
    nlattr* const spec = nla_nest_start(msg.get(), IFLA_AF_SPEC);
    needed(nla_put(msg.get(), IFLA_BRIDGE_VLAN_INFO, sizeof(info), &info));
    nla_nest_end(msg.get(), spec);
    return msg;
}

NlMsg station_message(int type, int flags, int index, const MacAddr& station) {
    ndmsg header{};
    header.ndm_family = AF_BRIDGE;
    header.ndm_ifindex = index;
    header.ndm_flags = NTF_MASTER;
    header.ndm_state = NUD_NOARP;  // does not age; as `bridge fdb add … master static`
    NlMsg msg = message(type, flags, header);
    needed(nla_put(msg.get(), NDA_LLADDR, static_cast<int>(station.octets.size()), station.octets.data()));
    return msg;
}

}  // namespace

std::optional<BridgePort> parse_bridge_port(const NlMsg& reply) {
    nlattr* const info = nlmsg_find_attr(nlmsg_hdr(reply.get()), sizeof(ifinfomsg), IFLA_LINKINFO);
    nlattr* const kind = inside(info, IFLA_INFO_SLAVE_KIND);
    nlattr* const data = inside(info, IFLA_INFO_SLAVE_DATA);
    if (kind == nullptr || data == nullptr || std::string_view(nla_get_string(kind)) != "bridge") {
        return std::nullopt;
    }
    BridgePort out;
    out.isolated = flag(data, IFLA_BRPORT_ISOLATED, false);
    out.learning = flag(data, IFLA_BRPORT_LEARNING, true);
    out.flood = flag(data, IFLA_BRPORT_UNICAST_FLOOD, true);
    return out;
}

NlMsg change_bridge_port(int index, const BridgePort& port) {
    NlMsg msg = message(RTM_NEWLINK, 0, link_header(AF_UNSPEC, index));
    nlattr* const info = nla_nest_start(msg.get(), IFLA_LINKINFO);
    needed(nla_put_string(msg.get(), IFLA_INFO_SLAVE_KIND, "bridge"));
    nlattr* const data = nla_nest_start(msg.get(), IFLA_INFO_SLAVE_DATA);
    needed(nla_put_u8(msg.get(), IFLA_BRPORT_ISOLATED, port.isolated ? 1 : 0));
    needed(nla_put_u8(msg.get(), IFLA_BRPORT_LEARNING, port.learning ? 1 : 0));
    needed(nla_put_u8(msg.get(), IFLA_BRPORT_UNICAST_FLOOD, port.flood ? 1 : 0));
    nla_nest_end(msg.get(), data);
    nla_nest_end(msg.get(), info);
    return msg;
}

NlMsg vlan_dump(int index) {
    br_vlan_msg header{};
    header.family = AF_BRIDGE;
    header.ifindex = static_cast<std::uint32_t>(index);
    return message(RTM_GETVLAN, NLM_F_DUMP, header);
}

std::map<int, std::set<PortVlan>> parse_vlans(const NlMsg& reply) {
    std::map<int, std::set<PortVlan>> out;
    nlmsghdr* const header = nlmsg_hdr(reply.get());
    if (header->nlmsg_type != RTM_NEWVLAN || !nlmsg_valid_hdr(header, sizeof(br_vlan_msg))) {
        return out;
    }
    const auto* const head = static_cast<const br_vlan_msg*>(nlmsg_data(header));
    int left = nlmsg_attrlen(header, sizeof(br_vlan_msg));
    for (nlattr* entry = nlmsg_attrdata(header, sizeof(br_vlan_msg)); nla_ok(entry, left);
         entry = nla_next(entry, &left)) {
        nlattr* const info = inside(entry, BRIDGE_VLANDB_ENTRY_INFO);
        if (nla_type(entry) != BRIDGE_VLANDB_ENTRY || info == nullptr ||
            static_cast<std::size_t>(nla_len(info)) < sizeof(bridge_vlan_info)) {
            continue;
        }
        bridge_vlan_info vlan;
        std::memcpy(&vlan, nla_data(info), sizeof(vlan));
        const nlattr* const range = inside(entry, BRIDGE_VLANDB_ENTRY_RANGE);
        const std::uint16_t last = range != nullptr && nla_len(range) == 2 ? nla_get_u16(range) : vlan.vid;
        for (std::uint32_t id = vlan.vid; id <= last && id < 4096; ++id) {
            out[static_cast<int>(head->ifindex)].insert({.id = static_cast<std::uint16_t>(id),
                                                         .native = (vlan.flags & BRIDGE_VLAN_INFO_PVID) != 0,
                                                         .untagged = (vlan.flags & BRIDGE_VLAN_INFO_UNTAGGED) != 0});
        }
    }
    return out;
}

NlMsg put_vlan(int index, const PortVlan& vlan) {
    bridge_vlan_info info{};
    info.vid = vlan.id;
    info.flags = static_cast<std::uint16_t>((vlan.native ? BRIDGE_VLAN_INFO_PVID : 0) |
                                            (vlan.untagged ? BRIDGE_VLAN_INFO_UNTAGGED : 0));
    return vlan_message(RTM_SETLINK, index, info);
}

NlMsg drop_vlan(int index, std::uint16_t id) {
    bridge_vlan_info info{};
    info.vid = id;
    return vlan_message(RTM_DELLINK, index, info);
}

std::set<PortVlan> vlans_of(const BridgePort& port) {
    if (!port.has_vlans()) {
        return {{.id = 1, .native = true, .untagged = true}};
    }
    std::set<PortVlan> out;
    for (const std::uint16_t id : port.tagged) {
        out.insert({.id = id, .native = id == port.untagged, .untagged = false});
    }
    if (port.untagged != 0 && !port.tagged.contains(port.untagged)) {
        out.insert({.id = port.untagged, .native = true, .untagged = true});
    }
    return out;
}

void set_vlans(BridgePort& port, const std::set<PortVlan>& vlans) {
    port.untagged = 0;
    port.tagged.clear();
    if (vlans == vlans_of(BridgePort{})) {
        return;
    }
    for (const PortVlan& vlan : vlans) {
        if (vlan.native) {
            port.untagged = vlan.id;
        }
        if (!vlan.untagged) {
            port.tagged.insert(vlan.id);
        }
    }
}

NlMsg station_dump(int index) {
    ndmsg header{};
    header.ndm_family = AF_BRIDGE;
    header.ndm_ifindex = index;
    return message(RTM_GETNEIGH, NLM_F_DUMP, header);
}

std::optional<MacAddr> parse_station(const NlMsg& reply, int index) {
    nlmsghdr* const header = nlmsg_hdr(reply.get());
    if (header->nlmsg_type != RTM_NEWNEIGH || !nlmsg_valid_hdr(header, sizeof(ndmsg))) {
        return std::nullopt;
    }
    const auto* const head = static_cast<const ndmsg*>(nlmsg_data(header));
    const nlattr* const address = nlmsg_find_attr(header, sizeof(ndmsg), NDA_LLADDR);
    const bool by_bridge = nlmsg_find_attr(header, sizeof(ndmsg), NDA_MASTER) != nullptr;
    // NUD_PERMANENT is the port's own address.
    if (head->ndm_ifindex != index || head->ndm_state != NUD_NOARP || !by_bridge || address == nullptr ||
        nla_len(address) != 6) {
        return std::nullopt;
    }
    MacAddr out;
    std::memcpy(out.octets.data(), nla_data(const_cast<nlattr*>(address)), out.octets.size());
    return out;
}

NlMsg put_station(int index, const MacAddr& station) {
    return station_message(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, index, station);
}

NlMsg drop_station(int index, const MacAddr& station) { return station_message(RTM_DELNEIGH, 0, index, station); }

namespace {

// Empty where the kernel has no VLANs on bridges.
Result<std::set<PortVlan>> vlans_at(Netlink& netlink, int index) {
    TRY(const Answer answer, netlink.talk(vlan_dump(index)));
    std::set<PortVlan> out;
    if (answer.error != 0) {
        return out;
    }
    for (const NlMsg& reply : answer.objects) {
        auto seen = parse_vlans(reply);
        out.merge(seen[index]);
    }
    return out;
}

Result<std::set<MacAddr>> stations_at(Netlink& netlink, int index) {
    TRY(const Answer answer, netlink.talk(station_dump(index)));
    TRY_OK(check(answer, "listing the stations of a port"));
    std::set<MacAddr> out;
    for (const NlMsg& reply : answer.objects) {
        if (const auto station = parse_station(reply, index)) {
            out.insert(*station);
        }
    }
    return out;
}

Result<void> put_vlans(Netlink& netlink, int index, const BridgePort& port, std::string_view what) {
    TRY(const std::set<PortVlan> had, vlans_at(netlink, index));
    const std::set<PortVlan> wanted = vlans_of(port);
    if (had == wanted || (had.empty() && !port.has_vlans())) {
        return {};
    }
    for (const PortVlan& vlan : wanted) {
        if (!had.contains(vlan)) {
            TRY_OK(netlink.command(put_vlan(index, vlan), fmt::format("{}: VLAN {}", what, vlan.id)));
        }
    }
    for (const PortVlan& vlan : had) {
        if (std::ranges::none_of(wanted, [&](const PortVlan& other) { return other.id == vlan.id; })) {
            TRY_OK(netlink.command(drop_vlan(index, vlan.id), fmt::format("{}: leaving VLAN {}", what, vlan.id)));
        }
    }
    return {};
}

}  // namespace

Result<void> read_port(Netlink& netlink, int index, Link& facts) {
    if (!facts.port) {
        return {};
    }
    TRY(const std::set<PortVlan> vlans, vlans_at(netlink, index));
    if (!vlans.empty()) {
        set_vlans(*facts.port, vlans);
    }
    if (!facts.port->learning) {
        TRY(const std::set<MacAddr> stations, stations_at(netlink, index));
        if (stations.size() == 1) {
            facts.station = *stations.begin();
        }
    }
    return {};
}

Result<void> put_port(Netlink& netlink, int index, const Link& wanted, std::string_view what) {
    if (!wanted.port) {
        return {};
    }
    TRY_OK(netlink.command(change_bridge_port(index, *wanted.port), what));
    TRY_OK(put_vlans(netlink, index, *wanted.port, what));
    if (!wanted.station) {
        return {};
    }
    TRY(const std::set<MacAddr> had, stations_at(netlink, index));
    for (const MacAddr& station : had) {
        if (station != *wanted.station) {
            TRY_OK(netlink.command(drop_station(index, station), what));
        }
    }
    return had.contains(*wanted.station) ? Result<void>() : netlink.command(put_station(index, *wanted.station), what);
}

}  // namespace bascule::kernel::os
