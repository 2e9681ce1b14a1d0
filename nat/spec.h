// SPDX-License-Identifier: GPL-2.0-or-later
// Theory of operation of nat/
//
// What may pass between a network's bridge and the rest of the world, what its guests may reach on the host, and
// under which address. One Spec a network; compile() gives its rules in `table inet bascule` and the sysctls it
// needs.
//
// The table has three base chains, the same for every network (content-named, so all networks share them). Networks
// that are alike form a class: one from-, to-, host- and masquerade-chain for all of them. What belongs to one
// network alone are elements, keyed by its bridge:
//
//   forward:      iifname vmap @net_from      what guests send       (only where a network has rules)
//                 oifname vmap @net_to        what guests are sent
//   input:        iifname vmap @net_host      what guests say to the host
//   postrouting:  oifname @net_bridges return
//                 iifname vmap @net_masq      whose address it gets
//
//   net_own4_24   its subnets of that family and length, looked up as `iifname . ip saddr & 255.255.255.0`
//   net_gate4/6   the host's addresses in it     net_self   the bridge and itself
//
// So a packet costs the same few look-ups, however many networks there are, and a network more costs ten elements, in
// one transaction that reads nothing. A from-chain says `return` for what it lets out, never `accept`: the packet still
// has to pass the to-chain of the network it goes to, if it goes to one. Only traffic within one network is
// accepted at once (a route between two of its subnets, or br_netfilter showing us bridged frames).
// Nothing is translated on its way into a network of ours: guests of two networks see each other's
// true addresses where their rules let them talk at all.
//
//   mode      from the network                  into the network
//   isolated  nothing                           nothing
//   nat       its subnets' addresses            answers only where the family is translated, else as route
//   route     its subnets' addresses            anything for its subnets
//   open      no rule of ours: all of it, the host included, is up to somebody else's firewall
//
// and with a device named, only by way of that device. The rest is really rejected, not dropped: the sender
// learns at once. IPv6 of a nat network is routed unless NAT66 is asked for, as the peer does.
//
// Networks are closed to each other: what goes from one bridge of ours to another passes chain net_cross, which
// lets through the pairs in the set net_admits (one element an exception, owned by the network that admits) and
// answers to them. Both networks' chains ask it, so a network without rules (open) cannot talk a closed one into it.
//
// To the host, guests may speak DHCP, DNS and TFTP where their network serves it (DNS at the network's own
// addresses), ping it and do what IPv6 cannot do without (neighbour discovery, router solicitation, multicast
// listeners), and what the definition allows besides. Everything else is rejected; what the host began is answered.
//
// Worked example: virbr0, nat, 192.168.122.0/24, a guest pings 192.0.2.1: net_from sends the packet to
// from_nat_…, since virbr0 with its source's subnet is in net_own4_24 it returns; net_to knows nothing of eth0; in
// postrouting masq_… masquerades it. The answer, its address restored before the forward hook, passes to_nat_… as
// established. A guest of another network pinging 192.168.122.5 is rejected by net_cross out of its own from-chain.
//
// TCP and UDP are masqueraded to ports 1024-65535 unless the network says otherwise, since services may
// trust low source ports. With one device, forwarding is turned on for the bridge and that device; without, and for
// IPv6, whose forwarding Linux knows for the host only, for all. Whoever applies it puts back what was before.
//
// revoked() says which flows a change takes the right away from: conntrack entries outlive the rules that
// let them be made, and `established` would go on letting them pass.
//
// Deliberately not here: port forwards. They add chains and elements.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/names.h"
#include "base/net.h"

namespace bascule::nat {

enum class Mode { isolated, nat, route, open };

// Something on the host that guests may talk to beside what the network serves.
struct HostService {
    std::string protocol;  // "tcp" or "udp"
    PortRange ports;
    auto operator<=>(const HostService&) const = default;
};

// What of the host a network's guests may reach.
struct HostAccess {
    bool all = false;  // no rule about the host
    bool dhcp4 = false, dhcp6 = false, dns = false, tftp = false;
    std::vector<HostService> more{};
    bool operator==(const HostAccess&) const = default;
};

// A network whose guests may open connections to this one's.
struct Admitted {
    IfName bridge;
    std::vector<Prefix> subnets{};
    bool operator==(const Admitted&) const = default;
};

struct Spec {
    IfName bridge;
    Mode mode = Mode::nat;
    std::vector<Prefix> subnets;      // both families, as in the definition, and single addresses routed to it
    std::vector<Ip> gateways{};       // the host's own addresses on the bridge
    std::optional<IfName> device{};   // the only way in and out; none: any
    std::optional<IpRange> source{};  // mode nat, IPv4: what sources become; none: the address of the way out
    PortRange ports{1024, 65535};     // mode nat: source ports of translated TCP and UDP
    bool nat66 = false;               // mode nat: IPv6 is translated too
    std::vector<Admitted> admits{};
    HostAccess host{};
    bool operator==(const Spec&) const = default;
};

}  // namespace bascule::nat
