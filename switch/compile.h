// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string_view>

#include "kernel/state.h"
#include "switch/spec.h"

namespace bascule::vswitch {

// The link of a bridge, up, with `owner` in its alias ("network:<uuid>").
kernel::State compile_bridge(const Bridge& bridge, std::string_view owner);

// The tap of a port in its bridge. Owner by convention "port:<name>".
kernel::State compile_port(const Port& port, std::string_view owner);

// The MAC of the host's end of a guest's tap: the guest's with first octet fe, as libvirt has it. The
// highest there is, so that a bridge without a MAC of its own never takes a guest's for itself
// (net/bridge/br_stp_if.c, br_stp_recalculate_bridge_id: lowest wins).
MacAddr host_side_mac(const MacAddr& guest_mac);

// The forward delay in hundredths of a second that a bridge of these settings will have.
std::uint32_t effective_forward_delay_cs(bool stp, std::uint32_t delay_seconds);

}  // namespace bascule::vswitch
