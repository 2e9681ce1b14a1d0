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
#include "dhcp/dns_spec.h"

namespace bascule::dhcp {

// What bascule-netsvc serves on one network. Pushed whole over the helper channel (wire.h) whenever
// it changes; plain values, comparable.

// <host mac= id= name= ip=>: what a client that shows one of these gets. Looked for by MAC first, then by identifier,
// then by what its relay says of the line it is on, then by name.
struct Reservation {
    std::optional<MacAddr> mac{};
    std::string name{};  // host name, may be empty
    std::optional<Ip> address{};
    std::vector<std::uint8_t> client_id{};  // option 61 as sent; of an IPv6 subnet the DUID; empty: none
    std::optional<std::uint32_t> iaid{};    // IPv6: only this identity association
    std::optional<std::chrono::seconds> lease{};
    // RFC 3046, as the relay says them; empty: none. When both are given both must hold.
    std::vector<std::uint8_t> circuit_id{}, remote_id{};
    bool operator==(const Reservation&) const = default;
};

// A part of the dynamic pool.
struct Range {
    Ip first, last;
    std::optional<std::chrono::seconds> lease{};  // none: the subnet's
    // RFC 3046: only for clients whose relay says so; both must hold when both are given. IPv4.
    std::vector<std::uint8_t> circuit_id{}, remote_id{};
    bool of_line() const { return !circuit_id.empty() || !remote_id.empty(); }
    IpRange addresses() const { return {first, last}; }
    bool operator==(const Range&) const = default;
};

// What a client says of itself. All that is given must hold; nothing given: everybody.
struct ClientMatch {
    std::vector<std::uint16_t> archs{};  // option 93 names one of these (RFC 4578)
    std::optional<bool> ipxe{};          // is iPXE, or is not yet
    std::string vendor_class{};          // option 60 begins so
    std::string user_class{};            // option 77 holds exactly this
    bool operator==(const ClientMatch&) const = default;
};

// An option that was written down, encoded.
struct ExtraOption {
    std::uint8_t code = 0;
    std::vector<std::uint8_t> value{};
    bool force = false;  // sent even when the client does not ask for it
    ClientMatch when{};
    bool operator==(const ExtraOption&) const = default;
};

// What a client boots; the first that matches wins, so the special ones come before the general one.
struct Boot {
    std::string file{};          // a path on the TFTP server, or a URL
    std::optional<Ip> server{};  // next server; none: we are
    std::string server_name{};   // option 66
    ClientMatch when{};
    bool operator==(const Boot&) const = default;
};

struct Route {
    Prefix to;
    Ip gateway;  // ignored where the advertising router itself is the gateway (IPv6)
    bool operator==(const Route&) const = default;
};

// IA_PD: prefixes of `length` are delegated out of `from`.
struct DelegationPool {
    Prefix from;
    unsigned length = 64;
    bool operator==(const DelegationPool&) const = default;
};

// One subnet of the network and what is handed out in it.
struct Subnet {
    IpInterface server;           // our own address on the bridge; identifies us (option 54)
    std::vector<Range> ranges{};  // dynamic pool; empty with reservations: static-only pool
    std::vector<Reservation> hosts{};
    std::chrono::seconds lease{3600};  // 0: infinite
    // Not on the bridge but behind a relay: `server` is then the address of that subnet's router, not ours.
    bool relayed = false;
    std::vector<DelegationPool> delegations{};  // IPv6
    // IPv6, in router advertisements. autonomous: none: when no addresses are handed out by DHCPv6.
    bool on_link = true;
    std::optional<bool> autonomous{};
    std::chrono::seconds preferred{0}, valid{0};  // 0: the usual

    bool serves_dhcp() const { return !ranges.empty() || !hosts.empty() || !delegations.empty(); }
    bool slaac() const { return autonomous.value_or(ranges.empty() && hosts.empty()); }
    bool operator==(const Subnet&) const = default;
};

// Router advertisements (RFC 4861). Sent on every network with an IPv6 subnet, as the peer does.
struct Advertising {
    bool enabled = true;
    std::chrono::seconds interval{600};      // the longest between two of them
    std::chrono::seconds lifetime{1800};     // as a default router; none is announced when Spec::gateway is false
    std::optional<bool> managed{}, other{};  // M and O; none: as DHCPv6 is served
    int preference = 0;                      // RFC 4191: -1 low, 0 medium, 1 high
    std::vector<Prefix> routes{};            // RFC 4191: reachable through us though we are no default router
    std::optional<Prefix> nat64{};           // PREF64 (RFC 8781)
    bool operator==(const Advertising&) const = default;
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
    DnsSettings dns{};
    std::string file_root{};  // what TFTP and HTTP serve; empty: neither
    // What clients are told beyond their address.
    std::vector<Boot> boot{};
    std::vector<ExtraOption> options{};      // DHCPv4
    std::vector<ExtraOption> options6{};     // DHCPv6; codes above 255 are not needed by anybody yet
    std::vector<Route> routes{};             // options 121 and 249
    std::vector<Ip> dns_servers{};           // none: we are the name server
    std::vector<Ip> ntp_servers{};           // option 42
    std::vector<std::string> search{};       // option 119, DNSSL; none: the domain
    std::string captive_portal{};            // RFC 8910, a URL
    std::optional<std::uint32_t> v6_only{};  // option 108 (RFC 8925): seconds without IPv4
    bool rapid_commit = true;                // option 80 (RFC 4039), RFC 9915 section 21.14
    bool probe_addresses = false;            // ARP before an address is offered
    bool key_by_client_id = false;           // RFC 4361: the identifier, not the port, is the client (IPv4)
    Advertising advertising{};
    bool operator==(const Spec&) const = default;
};

// A lease as it is stored, reported and shown.
struct Lease {
    Uuid network;
    MacAddr port;  // the MAC of the port: the lease's key within the network, unless by_id says otherwise
    Ip address;    // or the delegated prefix
    unsigned prefix_length = 0;
    std::chrono::sys_seconds expires{};     // wall clock; kNever: infinite
    std::string hostname{};                 // as the client or the reservation says; a DNS label or empty
    std::vector<std::uint8_t> client_id{};  // option 61 as sent, may be empty; at most 255. IPv6: the DUID
    std::optional<std::uint32_t> iaid{};    // IPv6
    bool delegated = false;                 // IPv6: a prefix (IA_PD)
    bool by_id = false;                     // IPv4: client_id is the key, not port (Spec::key_by_client_id)
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
