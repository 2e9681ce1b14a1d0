// SPDX-License-Identifier: GPL-2.0-or-later
#include "switch/compile.h"

#include <algorithm>

namespace bascule::vswitch {

kernel::State compile_bridge(const Bridge& bridge, std::string_view owner) {
    kernel::Link link;
    link.kind = kernel::LinkKind::bridge;
    link.owner = owner;
    link.mac = bridge.mac;
    link.mtu = bridge.mtu;
    link.bridge = kernel::BridgeSettings{
        .stp = bridge.stp, .forward_delay_cs = effective_forward_delay_cs(bridge.stp, bridge.delay_seconds)};
    kernel::State state;
    state.links.emplace(bridge.name, std::move(link));
    return state;
}

kernel::State compile_port(const Port& port, std::string_view owner) {
    kernel::Link link;
    link.kind = kernel::LinkKind::tap;
    link.owner = owner;
    link.up = port.up;
    link.mac = host_side_mac(port.guest_mac);
    link.mtu = port.mtu;
    link.master = port.bridge;
    link.queues = port.queues;
    kernel::State state;
    state.links.emplace(port.name, std::move(link));
    return state;
}

MacAddr host_side_mac(const MacAddr& guest_mac) {
    MacAddr mac = guest_mac;
    mac.octets[0] = 0xfe;
    return mac;
}

std::uint32_t effective_forward_delay_cs(bool stp, std::uint32_t delay_seconds) {
    // net/bridge/br_private_stp.h: BR_MIN_FORWARD_DELAY 2 s, BR_MAX_FORWARD_DELAY 30 s. Without spanning
    // tree the kernel takes any value; more than an hour of it is beyond all use and would overflow.
    constexpr std::uint32_t kMinimum = 200;
    constexpr std::uint32_t kMaximum = 3000;
    const std::uint32_t delay_cs = std::min(delay_seconds, std::uint32_t{3600}) * 100;
    return stp ? std::clamp(delay_cs, kMinimum, kMaximum) : delay_cs;
}

}  // namespace bascule::vswitch
