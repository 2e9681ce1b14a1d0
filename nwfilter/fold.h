// SPDX-License-Identifier: GPL-2.0-or-later
// Makes a policy cheaper without changing what it means:
//
//  - a short chain that always goes on behind itself is written where it was entered;
//  - what of a layer holds one port's values goes into sections of its own, so that the layer is the same for all;
//  - conditions that others imply are left out, and decisions that contradict themselves;
//  - when every frame that has the port's own source MAC and IPv4 address is accepted, whatever else is in it,
//    that is asked first, as one look-up of both (`ifname . ether_addr . ipv4_addr`). Proved by running the
//    policy with those facts known and all else unknown: no path may reach a drop. The table is one for all classes:
//    nwfilter/render asks it before it asks for the port's class, so that most frames meet one look-up.
#pragma once

#include <string_view>

#include "nwfilter/compile.h"

namespace bascule::nwfilter {

inline constexpr std::string_view kOwnAddress = "nwf_own_address", kOwnAddressReason = "own MAC and IPv4 address";
bool is_own_address(const kernel::policy::Decision& decision);

void fold(Compiled& compiled);
// That table's rows of a port, from those of the tables that it is made up of.
void fill_own_address(const std::pair<std::string, std::string>& from, kernel::policy::Tables& rows,
                      std::map<std::string, std::set<AwaitingRow>>& awaiting);

}  // namespace bascule::nwfilter
