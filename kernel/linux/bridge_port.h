// SPDX-License-Identifier: GPL-2.0-or-later
// What a bridge does for its ports: flags, VLANs, who is behind them. Messages and their readers, pure, as rtnl.h.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "base/net.h"
#include "base/result.h"
#include "kernel/linux/netlink.h"
#include "kernel/state.h"

namespace bascule::kernel::os {

// Of an RTM_NEWLINK message; none: the link is no port of a bridge. Without its VLANs.
std::optional<BridgePort> parse_bridge_port(const NlMsg& reply);
NlMsg change_bridge_port(int index, const BridgePort& port);

// One VLAN of a port. `untagged`: its frames leave without a tag; `native`: frames without a tag belong to it.
struct PortVlan {
    std::uint16_t id = 0;
    bool native = false, untagged = false;
    auto operator<=>(const PortVlan&) const = default;
};
NlMsg vlan_dump(int index);  // 0: of all ports of all bridges
// By the port's index.
std::map<int, std::set<PortVlan>> parse_vlans(const NlMsg& reply);
NlMsg put_vlan(int index, const PortVlan& vlan);
NlMsg drop_vlan(int index, std::uint16_t id);

// What a wish says, spelt out: one without VLANs is a port as a bridge makes it, in VLAN 1.
std::set<PortVlan> vlans_of(const BridgePort& port);
// And back.
void set_vlans(BridgePort& port, const std::set<PortVlan>& vlans);

// Static entries of the bridge's table.
NlMsg station_dump(int index);
std::optional<MacAddr> parse_station(const NlMsg& reply, int index);
NlMsg put_station(int index, const MacAddr& station);
NlMsg drop_station(int index, const MacAddr& station);

// Of a tap that is a port: VLANs and, where the bridge does not learn, its station, into `facts`.
Result<void> read_port(Netlink& netlink, int index, Link& facts);
// Brings a port to what is wanted of it.
Result<void> put_port(Netlink& netlink, int index, const Link& wanted, std::string_view what);

}  // namespace bascule::kernel::os
