// SPDX-License-Identifier: GPL-2.0-or-later
// Which addresses the guests behind filtered ports have, learned from copies of their frames (nwfilter/learning.h says
// which frames are copied). The copies were written by guests: each is decoded whole or not at all, and all that is
// kept is bounded.
//
//   DHCPv4   an ACK to the port's MAC gives an address for its lease time, which may be shorter than before; RELEASE
//            and DECLINE by the port, and a NAK to its latest request, take it. INFORM teaches nothing.
//   DHCPv6   a REPLY gives and, with a valid lifetime of nothing, takes; so do RELEASE and DECLINE by the port.
//   any      As long as a port has no IPv4 address, the sender of its first ARP or IPv4 frame is its address, for as
//            long as the port is there: it is learned once. A lease stands above it. In IPv6 an address that the port
//            asks or tells about in neighbour discovery, when it lies in a prefix that a router advertised to it for
//            that use, or is link-local: for as long as the advertisements say.
//
// First come, first served (RFC 6620): what one port has, no other learns from its own frames. Who handed it out by
// DHCP knows better.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/names.h"
#include "base/net.h"
#include "dhcp/leases.h"
#include "dhcp/message.h"

namespace bascule::dhcp {

struct LearnedAddress {
    Ip address;
    Time ends = kEndOfTime;
    bool leased = false;  // else seen in the port's own frames
    bool operator==(const LearnedAddress&) const = default;
};

struct WatchedPort {
    std::uint32_t index = 0;  // of the interface: a name may belong to another one tomorrow
    IfName name;              // for the log
    MacAddr mac;
    bool any = false, v4 = false, v6 = false;
    std::vector<LearnedAddress> known{};  // of a port that is new here: what it had learned before
    bool operator==(const WatchedPort&) const = default;
};

// A frame that was copied, without its Ethernet header.
struct Copy {
    std::uint32_t port = 0;
    bool from_guest = true;
    std::uint16_t type = 0;  // of Ethernet
    ByteView packet;
};

class Learner {
public:
    static constexpr std::size_t kMostPorts = 16384, kMostAddresses = 16, kMostPrefixes = 8, kMostRouters = 8;

    void watch(WatchedPort port);
    void unwatch(std::uint32_t index);
    // What the port's own frames taught is forgotten: the next one teaches again.
    void forget_seen(std::uint32_t index);
    bool watches(std::uint32_t index) const { return ports_.contains(index); }
    const IfName* name_of(std::uint32_t index) const;

    void hear(const Copy& copy, Time now);
    // Forgets what has ended.
    void tick(Time now);
    Time next_tick() const { return ends_.empty() ? kEndOfTime : ends_.begin()->first; }

    std::vector<LearnedAddress> addresses(std::uint32_t index) const;
    std::vector<std::uint32_t> ports() const;
    // The ports whose addresses changed since the last time.
    std::set<std::uint32_t> take_changed();

private:
    struct Prefixed {
        Prefix prefix;
        Time ends = kEndOfTime;
    };
    struct Port {
        WatchedPort watched;
        std::map<Ip, LearnedAddress> addresses{};
        std::vector<Prefixed> prefixes{};
        std::set<Ip> routers{};                               // those that advertised: not the guest
        std::optional<std::pair<std::uint32_t, Ip>> asked{};  // the latest DHCP request: its id and address
        bool taught = false;                                  // some IPv4 address was learned once
    };
    void hear_arp(Port& port, ByteView packet);
    void hear_ip4(Port& port, const Copy& copy, Time now);
    void hear_ip6(Port& port, const Copy& copy, Time now);
    void hear_dhcp(Port& port, ByteView datagram, bool from_guest, Time now);
    void hear_dhcp6(Port& port, ByteView datagram, bool from_guest, Time now);
    void hear_neighbour(Port& port, const Ip& from, ByteView icmp, Time now);
    void hear_router(Port& port, const Ip& from, ByteView icmp, Time now);
    void see(Port& port, const Ip& address);
    void learn(Port& port, const LearnedAddress& what);
    void lose(Port& port, const Ip& address);
    void set_end(const Port& port, const Ip& address, Time from, Time to);

    std::map<std::uint32_t, Port> ports_;
    std::set<std::pair<Time, std::pair<std::uint32_t, Ip>>> ends_;
    std::map<Ip, std::set<std::uint32_t>> owners_;
    std::set<std::uint32_t> changed_;
};

}  // namespace bascule::dhcp
