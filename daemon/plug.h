// SPDX-License-Identifier: GPL-2.0-or-later
// Where a guest's NIC is plugged in, and how: what its own definition, its network and its portgroup say together. An
// interface's word is before the portgroup's, that before the network's; <virtualport>s are put together.
#pragma once

#include <optional>
#include <string>

#include "base/names.h"
#include "base/port_settings.h"
#include "base/result.h"
#include "daemon/networks.h"
#include "kernel/state.h"
#include "vmm/interface.h"

namespace bascule::daemon {

struct Plug {
    std::optional<Uuid> network{};
    std::optional<IfName> bridge{};      // none: type 'ethernet', a tap by itself
    std::optional<IfName> own_bridge{};  // the same, where it is the network's own
    std::optional<std::uint32_t> mtu{};
    std::optional<Vlan> vlan{};
    std::optional<VirtualPort> virtual_port{};
    Bandwidth bandwidth{};
    bool isolated = false;
    bool mac_table = false;  // the bridge learns nothing: we tell it who is where

    bool open_vswitch() const { return virtual_port && virtual_port->type == VirtualPort::Type::openvswitch; }
};

// Errors say what is missing and where it belongs. Asks the host whether a bridge that shall tag is VLAN-aware.
Result<Plug> plug_of(const vmm::Interface& nic, const Networks& networks);

// A tap's link, its addresses and what passes it, as the kernel shall have them.
kernel::State compile(const Plug& plug, const vmm::Interface& nic, const IfName& tap);

// A floor is a share of what its network has: whether there is room for one more (kilobytes a second).
Result<void> check_floor(const Network& network, const std::string& nic, std::uint64_t floor, std::uint64_t others);

}  // namespace bascule::daemon
