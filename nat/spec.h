// SPDX-License-Identifier: GPL-2.0-or-later
// Theory of operation of nat/
//
// What may pass between a network's bridge and the rest of the world, and under which address. One Spec a
// network; compile() gives its rules in `table inet bascule` and the sysctls it needs.
//
// The table has two base chains, the same for every network (content-named, so all networks share
// them), and what belongs to a network are a few chains and one element in each verdict map:
//
//   forward:      iifname vmap @net_from      what guests send       (only where a network has rules)
//                 oifname vmap @net_to        what guests are sent
//   postrouting:  oifname @net_bridges return
//                 iifname vmap @net_masq      whose address it gets
//
// So a packet costs two look-ups, however many networks there are, and a network more costs elements, not
// rules. A from-chain says `return` for what it lets out, never `accept`: the packet still has to
// pass the to-chain of the network it goes to, if it goes to one. Only traffic within one network is
// accepted at once (a route between two of its subnets, or br_netfilter showing us bridged frames).
// Nothing is translated on its way into a network of ours: guests of two networks see each other's
// true addresses where their rules let them talk at all.
//
//   mode      from the network                  into the network
//   isolated  nothing                           nothing
//   nat       its subnets' addresses            IPv4: answers only; IPv6: anything for its subnets
//   route     its subnets' addresses            anything for its subnets
//
// and with a device named, only by way of that device. The rest is really rejected, not dropped: the sender
// learns at once. IPv6 of a nat network is routed, as the peer does without <nat ipv6='yes'>.
//
// Worked example: virbr0, nat, 192.168.122.0/24, a guest pings 192.0.2.1: net_from sends the packet to
// from_…, which returns; net_to knows nothing of eth0; in postrouting masq_… masquerades it. The answer,
// its address restored before the forward hook, passes to_… as established. A guest of another network pinging
// 192.168.122.5 passes its own from-chain and is rejected here.
//
// TCP and UDP are masqueraded to ports 1024-65535 unless the network says otherwise, since services may
// trust low source ports. Forwarding is turned on for the families in use and never turned off: others on the
// host may need it as well.
//
// Deliberately not here: NAT to a range of addresses, NAT of IPv6, port forwards, rules about the host
// itself. They add chains and elements.
#pragma once

#include <optional>
#include <vector>

#include "base/names.h"
#include "base/net.h"

namespace bascule::nat {

enum class Mode { isolated, nat, route };

struct Spec {
    IfName bridge;
    Mode mode = Mode::nat;
    std::vector<Prefix> subnets;   // both families, as in the definition
    std::optional<IfName> device;  // the only way in and out; none: any
    PortRange ports{1024, 65535};  // mode nat: source ports of translated TCP and UDP
    bool operator==(const Spec&) const = default;
};

}  // namespace bascule::nat
