// SPDX-License-Identifier: GPL-2.0-or-later
// How much passes a link, in the kernel's traffic control.
//
//   out   an HTB queueing discipline, handle ba5c:, with class ba5c:1 for all; where guarantees are possible, below
//         that ba5c:2 for those who have none and ba5c:3 on for those who have one, found by destination MAC
//   in    the ingress hook with one filter, preference 47708 (0xba5c), that polices everything
//
// By that handle and that preference what is ours is known. Rates and bursts are read back from there, not remembered.
#pragma once

#include <map>
#include <optional>

#include "base/result.h"
#include "kernel/linux/netlink.h"
#include "kernel/state.h"

namespace bascule::kernel::os {

// None: nothing of ours is there.
struct ShapingSeen {
    Shaping shaping;
    std::map<MacAddr, std::uint64_t> floors;
};
Result<std::optional<ShapingSeen>> read_shaping(Netlink& netlink, int index);
// The links that have something of ours, by index: one question for all.
Result<std::set<int>> shaped_links(Netlink& netlink);
Result<void> put_shaping(Netlink& netlink, int index, const Shaping& shaping, const Floors& floors,
                         std::string_view what);
Result<void> drop_shaping(Netlink& netlink, int index, std::string_view what);

// Whether this kernel has what limits incoming traffic (NET_ACT_POLICE).
bool can_police(Netlink& netlink);
bool can_police();

}  // namespace bascule::kernel::os
