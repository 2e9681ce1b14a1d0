// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/names.h"
#include "base/net.h"

namespace bascule::dhcp {

// What bascule-netsvc serves on one network. Pushed whole over the helper channel (wire.h) whenever
// it changes; plain values, comparable.

// <host mac= name= ip=>: what a client that shows this MAC gets.
struct Reservation {
    std::optional<MacAddr> mac{};
    std::string name{};  // host name, may be empty
    std::optional<Ip> address{};
    bool operator==(const Reservation&) const = default;
};

// One subnet of the network and what is handed out in it. IPv6 subnets carry no ranges here: they
// serve DNS only until DHCPv6 comes.
struct Subnet {
    IpInterface server;             // our own address on the bridge; identifies us (option 54)
    std::vector<IpRange> ranges{};  // dynamic pool; empty with reservations: static-only pool
    std::vector<Reservation> hosts{};
    std::chrono::seconds lease{3600};  // 0: infinite
    bool serves_dhcp() const { return !ranges.empty() || !hosts.empty(); }
    bool operator==(const Subnet&) const = default;
};

struct DnsHost {
    Ip address;
    std::vector<std::string> names{};
    bool operator==(const DnsHost&) const = default;
};

struct Spec {
    Uuid uuid;            // of the network; the key of everything that is stored
    std::string network;  // its name, for the log
    IfName bridge;
    std::vector<Subnet> subnets{};
    std::string domain{};                // empty: none
    bool domain_local = false;           // localOnly='yes': never ask upstream for it
    std::optional<std::uint32_t> mtu{};  // bytes: option 26
    bool gateway = true;                 // false on isolated networks: no router option (3) is sent
    bool forward_dns = true;             // false on isolated networks: names we do not know are refused
    bool serve_dns = true;               // <dns enable='no'> clears it; option 6 is then not sent
    std::vector<DnsHost> dns_hosts{};
    bool operator==(const Spec&) const = default;
};

// A lease as it is stored, reported and shown.
struct Lease {
    Uuid network;
    MacAddr port;  // the MAC of the port: the lease's key within the network
    Ip address;
    unsigned prefix_length = 0;
    std::chrono::sys_seconds expires{};     // wall clock; kNever: infinite
    std::string hostname{};                 // as the client or the reservation says; a DNS label or empty
    std::vector<std::uint8_t> client_id{};  // option 61 as sent, may be empty; at most 255
    bool operator==(const Lease&) const = default;
};
inline constexpr std::chrono::sys_seconds kNever = std::chrono::sys_seconds::max();

// What happened to a lease. A moved client is two events: released (the old address), added (the new one).
enum class LeaseEventKind : std::uint8_t { added = 1, renewed = 2, released = 3, expired = 4 };
struct LeaseEvent {
    LeaseEventKind kind = LeaseEventKind::added;
    Lease lease{};
    bool operator==(const LeaseEvent&) const = default;
};

}  // namespace bascule::dhcp
