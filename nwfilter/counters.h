// SPDX-License-Identifier: GPL-2.0-or-later
// What the kernel counts of packets that filters drop or reject. A class's chains are of many ports, so their rules'
// counters are of all of these; by port they are counted in sets that packets themselves add to, keyed by the port and
// a mark that stands for the reason. Only packets that end there cost that look-up.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "nwfilter/port.h"

namespace bascule::nwfilter {

// Such a set, and how it knows the port: by its link, whose number no later link of that name has, or, of what is
// dropped where it comes into the bridge, by bridge and MAC address.
struct CounterSet {
    std::string_view name, direction, type, expression;
};
inline constexpr CounterSet kDropsFrom{"nwf_drops_from", "from", "iface_index", "iif"};
inline constexpr CounterSet kDropsTo{"nwf_drops_to", "to", "iface_index", "oif"};
inline constexpr CounterSet kDropsAhead{"nwf_drops_ahead", "ahead", "ifname . ether_addr",
                                        "meta ibrname . ether daddr"};

kernel::SetDef definition_of(const CounterSet& set);

// What stands for a decision's origin.
std::uint32_t mark_of(std::string_view origin);
// Everything that may end a packet at that port, by its mark.
Result<std::map<std::uint32_t, std::string>> reasons(const Port& port, const Lookup& lookup);

}  // namespace bascule::nwfilter
