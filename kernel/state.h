// SPDX-License-Identifier: GPL-2.0-or-later
// Theory of operation of kernel/
//
// Everything that Bascule wants of a host's kernel is one value, State: links, addresses, routes,
// sysctls and rules. Compilers in the other folders turn what a user asked for (a Spec) into a State;
// the kernel's actual state is observed (Kernel::observe); plan(actual, wanted) is the difference as a
// list of Ops; Kernel::apply does one Op. There is no other way to change the host, and no undo: to take
// something back, its owner's wish is withdrawn and the difference is planned again. That one mechanism
// serves starting, stopping, failing half-way, crashing, restarting and upgrading.
//
// Several owners wish at the same time: a network ("network:<uuid>"), a guest's port
// ("port:<name>"). The Ledger (ledger.h) keeps each owner's State and their union. One operation touches
// one owner, and costs what that owner has: its Scope (the keys it had and will have) is observed and
// planned, nothing else. A full pass, Scope::everything, happens at start and after foreign changes.
//
// What is ours is recognised on the host itself: links carry the alias "bascule:OWNER", rules live in
// tables called "bascule". Nothing else is ever dropped. The exceptions are wishes about things that exist
// without us (a foreign bridge that gets our tap, a sysctl): they are set, never removed.
//
// Worked example: `net-start default` puts {link virbr0 (bridge, stp), address 192.168.122.1/24, sysctl
// ip_forward=1, chains forward and postrouting, elements virbr0 -> chain} under "network:1f…". The plan
// on a bare host: PutLink, PutAddress, SetSysctl, RuleBatch, LinkUp. On a host that already has all of it
// (the daemon was restarted): empty.
//
// Deliberately not here: bytes, sockets, threads, guests, XML. kernel/linux has the effects.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "base/names.h"
#include "base/net.h"
#include "kernel/ruleset.h"

namespace bascule::kernel {

enum class LinkKind {
    bridge,
    tap,      // persistent: lives until dropped, whoever has it open
    vlan,     // one VLAN of another link
    bond,     // several links as one
    foreign,  // made by somebody else: attached to a bridge or read, never made or dropped by us
};

struct BridgeSettings {
    bool stp = false;
    // Hundredths of a second, as the kernel has it. With STP the kernel keeps it within 200..3000
    // (net/bridge/br_stp_if.c, br_stp_start), so compilers ask for that.
    std::uint32_t forward_delay_cs = 0;
    auto operator<=>(const BridgeSettings&) const = default;
};

// What a bridge does for one of its ports.
struct BridgePort {
    bool isolated = false;  // it reaches no other isolated port
    // Unicast for stations that nobody has seen, and seeing them: off where the MAC table is ours.
    bool learning = true, flood = true;
    // Where the bridge is VLAN-aware. The VLAN of frames without a tag (0: such frames are dropped), and those that
    // pass with theirs. Both nothing: as the bridge has it.
    std::uint16_t untagged = 0;
    std::set<std::uint16_t> tagged{};
    bool has_vlans() const { return untagged != 0 || !tagged.empty(); }
    bool operator==(const BridgePort&) const = default;
};

// Which frames of which link (IEEE 802.1Q). Fixed once made; goes with that link.
struct VlanSettings {
    IfName parent;
    std::uint16_t tag = 0;
    bool operator==(const VlanSettings&) const = default;
};

// How a bond's members work together. They are foreign links whose master it is.
struct BondSettings {
    std::uint8_t mode = 0;  // BOND_MODE_…, linux/if_bonding.h; fixed once made
    // Milliseconds. How often the members' carriers are looked at, and how long a change has to last before it counts:
    // what the kernel keeps are multiples of the first.
    std::uint32_t miimon = 0, updelay = 0, downdelay = 0;
    bool use_carrier = true;  // ask the driver for the carrier (netif), not the chip (MII ioctl)
    // Or: how often that address is asked for by ARP, and whose answers are looked at (0 nobody's, 1 the active
    // member's, 2 the others', 3 all).
    std::uint32_t arp_interval = 0, arp_validate = 0;
    std::optional<Ip> arp_target{};
    bool operator==(const BondSettings&) const = default;
};

struct Link {
    LinkKind kind = LinkKind::foreign;
    std::string owner;                     // the alias after "bascule:"; empty for foreign links
    bool up = true;                        // administratively
    std::optional<MacAddr> mac;            // none: as the kernel chose
    std::optional<std::uint32_t> mtu;      // bytes; none: as it is
    std::optional<IfName> master;          // the bridge or bond it is a port of; none in a wish: as it is
    std::optional<BridgeSettings> bridge;  // kind bridge only; none: as they are
    // kind tap only; 1 is a single-queue device, more need IFF_MULTI_QUEUE. Fixed once made.
    std::uint16_t queues = 1;
    std::optional<BridgePort> port;      // kind tap only; none in a wish: as it is
    std::optional<MacAddr> station;      // who is behind it, where the bridge does not learn; none: nobody is named
    std::optional<VlanSettings> vlan{};  // kind vlan only
    std::optional<BondSettings> bond{};  // kind bond only
    bool operator==(const Link&) const = default;
};

struct Address {
    IfName link;
    IpInterface address;
    std::optional<Ip> peer{};  // a point-to-point link: the other end, whose prefix it then is
    auto operator<=>(const Address&) const = default;
};

struct Route {
    Prefix destination;
    std::optional<Ip> gateway;
    std::optional<IfName> link;
    std::uint32_t metric = 0;
    auto operator<=>(const Route&) const = default;
};

// How much passes a link. Rates in bytes a second, bursts in bytes.
struct Shaping {
    struct Out {  // what we send to it: the guest's inbound
        std::uint64_t rate = 0, ceil = 0, burst = 0;
        bool operator==(const Out&) const = default;
    };
    struct In {  // what comes from it: more is dropped
        std::uint64_t rate = 0, burst = 0;
        std::uint64_t peak = 0;  // how fast the burst may come; 0: at once
        bool operator==(const In&) const = default;
    };
    std::optional<Out> out;
    std::optional<In> in;
    bool shared = false;  // many stations are behind the link (a bridge): each may have a floor
    bool operator==(const Shaping&) const = default;
};

// What may come at once at the peak: a twentieth of a second of it, and at least what a guest sends in one piece (GSO).
std::uint64_t at_once(const Shaping::In& in);

// What of a link's `out` one station is sure of; who has none shares the rest. Bytes a second.
struct FloorKey {
    IfName link;
    MacAddr station;
    auto operator<=>(const FloorKey&) const = default;
};
using Floors = std::map<FloorKey, std::uint64_t>;
// Those of one link.
Floors floors_of(const Floors& floors, const IfName& link);

struct State {
    std::map<IfName, Link> links;
    std::map<IfName, Shaping> shapings{};
    Floors floors{};  // on links that are shaped and shared
    std::set<Address> addresses;
    std::set<Route> routes;                      // static routes we add; the kernel's own are not listed
    std::map<std::string, std::string> sysctls;  // "net/ipv4/ip_forward" -> "1", see sysctl_key()
    Ruleset rules;
    bool operator==(const State&) const = default;
};

// Stable text, one fact a line; the rules as nft text. Golden files hold it.
std::string dump(const State& state);
std::string_view name_of(LinkKind kind);     // "bridge"
std::string format(const Address& address);  // "192.168.122.1/24 on virbr0"
std::string format(const Route& route);      // "10.0.0.0/8 via 192.168.122.2 on virbr0 metric 5"

// "net/ipv4/conf/virbr0/forwarding" below /proc/sys. State::sysctls are keyed by it: with '/' between the parts,
// since device names may hold dots.
std::string sysctl_key(std::string_view family_part, const IfName& link, std::string_view name);

// The keys one operation is about. Observing a scope returns exactly those of its things that exist;
// for foreign links only the facts that State can express.
struct Scope {
    bool everything = false;      // all that is ours; the other fields then add foreign things
    std::set<IfName> links;       // with their addresses and routes
    std::set<IfName> shapings{};  // with their floors
    std::set<Route> routes;       // those that name no link
    std::set<std::string> sysctls;
    struct Rules {
        std::set<std::string> chains, sets;
        std::map<std::string, std::set<std::string>> elements;
    };
    std::map<Family, Rules> rules;

    // All that the state names, and the masters of its foreign links: whether one is to be taken out of its
    // bridge depends on whose the bridge is.
    static Scope of(const State& state);
    void add(const State& state);
    void add(const Scope& other);
};
// The part of a state that a scope names.
State restrict(const State& state, const Scope& scope);

}  // namespace bascule::kernel
