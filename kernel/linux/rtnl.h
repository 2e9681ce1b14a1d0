// SPDX-License-Identifier: GPL-2.0-or-later
// Our values to rtnetlink messages and back. Pure: no sockets; tested on replies recorded from a kernel.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/names.h"
#include "base/net.h"
#include "kernel/linux/netlink.h"
#include "kernel/state.h"

struct nlattr;

namespace bascule::kernel::os {

inline constexpr std::string_view kAliasPrefix = "bascule:";

// rtm_protocol numbers (8 bits, registered nowhere; iproute2's rt_protos leaves them free) by which our
// routes are known. The wish is told apart too: the kernel fills in a device where none was named, and
// metric 1024 where an IPv6 route had none, so what was left open could not be read back otherwise.
inline constexpr std::uint8_t kRouteProtocol = 180;
inline constexpr std::uint8_t kRouteNoLink = 1;    // added: Route::link was empty
inline constexpr std::uint8_t kRouteNoMetric = 2;  // added: IPv6 and metric 0
inline constexpr std::uint8_t kLastRouteProtocol = kRouteProtocol + kRouteNoLink + kRouteNoMetric;

// A link as the kernel shows it.
struct LinkSeen {
    int index = 0;
    IfName name;
    int master = 0;         // index; 0: none
    int parent = 0;         // what it is on top of (a VLAN's link), index; 0: nothing, or elsewhere
    std::string kind;       // "bridge", "tun", "veth", "" for hardware
    std::string alias;      // whole
    std::uint16_t tag = 0;  // of a VLAN
    // facts.kind and owner are set when the alias is ours, else foreign; facts.master and facts.vlan are left to the
    // caller, who knows names.
    Link facts;

    explicit LinkSeen(IfName n) : name(std::move(n)) {}
    bool ours() const { return facts.kind != LinkKind::foreign; }
};

// "bascule:OWNER", and " queues=N" for a tap of more than one: the kernel does not tell how many a
// multi-queue tap without users is meant to have.
std::string link_alias(const Link& link);

NlMsg link_query(const IfName& name);
NlMsg link_query(int index);
NlMsg link_dump();
std::optional<LinkSeen> parse_link(const NlMsg& reply);

// A bridge with everything but its alias, which the kernel takes only for links that exist, and its MTU, which follows
// that of the ports unless it is changed after the bridge was made (net/bridge/br_device.c, br_change_mtu). Down.
NlMsg new_bridge(const IfName& name, const Link& wanted);
// Likewise.
NlMsg new_vlan(const IfName& name, std::uint16_t tag, int parent);
NlMsg new_bond(const IfName& name, const Link& wanted);

// What is to change about a link; fields not set stay.
struct LinkChange {
    std::optional<std::string> alias;
    std::optional<MacAddr> mac;
    std::optional<std::uint32_t> mtu;
    std::optional<int> master;  // 0: none
    std::optional<bool> up;
    std::optional<bool> stp;
    std::optional<std::uint32_t> forward_delay_cs;
    std::optional<BondSettings> bond;  // but its mode

    bool empty() const { return *this == LinkChange{}; }
    bool operator==(const LinkChange&) const = default;
};
// IFLA_INFO_DATA of a bond; null: all as the kernel has it at first.
BondSettings parse_bond(const nlattr* data);
NlMsg change_link(int index, const LinkChange& change);
NlMsg delete_link(int index);

struct AddressSeen {
    int index = 0;
    IpInterface address;
    std::optional<Ip> peer{};
    bool by_kernel = false;  // link-local, from router advertisements, loopback: nobody's wish
};
NlMsg address_dump(int index);  // 0: of all links
NlMsg put_address(const IpInterface& address, int index, const std::optional<Ip>& peer = {});
NlMsg drop_address(const IpInterface& address, int index, const std::optional<Ip>& peer = {});
std::optional<AddressSeen> parse_address(const NlMsg& reply);

struct RouteSeen {
    int index = 0;
    Route route;  // link is left to the caller when named
    bool link_named = true;
};
NlMsg route_dump(IpFamily family, std::uint8_t protocol);
NlMsg put_route(const Route& route, int index);
NlMsg drop_route(const Route& route, int index);
std::optional<RouteSeen> parse_route(const NlMsg& reply);

}  // namespace bascule::kernel::os
