// SPDX-License-Identifier: GPL-2.0-or-later
// Theory of operation of switch/
//
// The kernel's bridge is the switch: one bridge a network, one tap a guest's NIC. This folder says what
// such a bridge or port is (Bridge, Port) and compiles it to the links that the kernel shall hold. It
// knows nothing of addresses, rules or guests; network/ and the daemon put those together.
//
// A port is a wish of its own owner, so plugging a guest touches one link: the State of a port names its
// bridge as master and does not repeat the bridge itself, which belongs to the network, or to somebody
// else when the guest asked for a bridge of the host's.
//
// Worked example: Bridge{virbr0, stp, delay 0 s} is {virbr0: bridge, stp on, forward delay 200}: with
// spanning tree on, the kernel raises a delay below 2 s to 2 s. Asking for 0 would find a difference
// on every look, so the compiler asks for what will be there.
//
// Rates are in shaping.h: what <bandwidth> says, as the kernel shall have it.
//
// Deliberately not here: what a guest's definition, its network and its portgroup say together of a port (VLANs,
// isolation, Open vSwitch): the daemon puts that together (daemon/plug.h).
#pragma once

#include <cstdint>
#include <optional>

#include "base/names.h"
#include "base/net.h"

namespace bascule::vswitch {

struct Bridge {
    IfName name;
    bool stp = true;
    std::uint32_t delay_seconds = 0;   // as <bridge delay=> has it
    std::optional<MacAddr> mac;        // none: the kernel takes that of a port, and it changes with the ports
    std::optional<std::uint32_t> mtu;  // bytes
    bool operator==(const Bridge&) const = default;
};

struct Port {
    IfName name;    // of the tap
    IfName bridge;  // ours or the host's own
    MacAddr guest_mac;
    std::optional<std::uint32_t> mtu;  // bytes
    std::uint16_t queues = 1;
    bool up = true;  // <link state='down'/>: the tap is there and in the bridge, but down
    bool operator==(const Port&) const = default;
};

}  // namespace bascule::vswitch
