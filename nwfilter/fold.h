// SPDX-License-Identifier: GPL-2.0-or-later
// Makes a policy cheaper without changing what it means:
//
//  - a short chain that always goes on behind itself is written where it was entered;
//  - conditions that others imply are left out, and decisions that contradict themselves;
//  - when every frame that has the port's own source MAC and IPv4 address is accepted, whatever else is in it,
//    that is asked first, as one look-up of both (`ifname . ether_addr . ipv4_addr`). Proved by running the
//    policy with those facts known and all else unknown: no path may reach a drop.
#pragma once

#include "nwfilter/compile.h"

namespace bascule::nwfilter {

void fold(Compiled& compiled);

}  // namespace bascule::nwfilter
