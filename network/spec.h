// SPDX-License-Identifier: GPL-2.0-or-later
// Theory of operation of network/
//
// A virtual network is a bridge of ours with addresses, rules about who reaches whom, DHCP and DNS. This
// folder is where switch/, nat/ and dhcp/ meet:
//
//   parse(text) ──▶ Spec ──complete──▶ Spec ──check_clashes──▶ ok ──compile──▶ {kernel::State, dhcp::Spec}
//                     └──format──▶ text
//
// Spec is what the user wrote, and no less: format(parse(text)) is the same definition as libvirt would
// print it, with what was not written still absent (a netmask stays a netmask, an address without
// either stays so). complete() fills in what must not change from one start to the next: uuid, bridge
// name, MAC. The completed definition is what is stored.
//
// What this version cannot do is refused by name with its line, never dropped, so that a stored definition is
// always one that is realised in full.
//
// Worked example: default_definition() is the network `default`; completed it has a uuid and a MAC; compiled
// it is a bridge virbr0 (spanning tree on), the address 192.168.122.1/24, the rules of nat/spec.h, and
// a DHCP range for bascule-netsvc.
//
// Clashes are found by prefix arithmetic in both families, against the host's routes and the other definitions:
// 10.0.0.0/8 and 10.1.2.0/24 overlap, whichever of them is ours.
//
// Deliberately not here: the forward modes without a bridge of ours, live updates, ports, port groups.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/names.h"
#include "base/net.h"
#include "dhcp/spec.h"
#include "nat/spec.h"

namespace bascule::network {

// <lease expiry= unit=>, as written. 0: infinite.
struct LeaseTime {
    enum class Unit { seconds, minutes, hours };
    std::uint32_t expiry = 0;
    Unit unit = Unit::minutes;

    std::chrono::seconds length() const;
    bool operator==(const LeaseTime&) const = default;
};

struct DhcpRange {
    IpRange addresses;
    std::optional<LeaseTime> lease;
    bool operator==(const DhcpRange&) const = default;
};

// <ip>: an address of the host on the bridge, and what is handed out of its subnet.
struct IpAddress {
    // How the definition says how long the prefix is. unsaid: the classes of old for IPv4, 64 for IPv6.
    enum class Length { unsaid, netmask, prefix };

    IpInterface address;
    Length length_written = Length::unsaid;
    bool family_written = false;
    std::vector<DhcpRange> ranges;
    std::vector<dhcp::Reservation> hosts;

    bool serves_dhcp() const { return !ranges.empty() || !hosts.empty(); }
    bool operator==(const IpAddress&) const = default;
};

struct Spec {
    ObjectName name;
    Uuid uuid{};  // nil until completed
    std::string title{}, description{};
    std::vector<std::string> metadata{};  // the elements below <metadata>, verbatim
    bool guest_ipv6 = false;              // <network ipv6='yes'>; bridged IPv6 between guests always passes here

    nat::Mode mode = nat::Mode::isolated;
    std::optional<IfName> forward_device{};
    std::optional<PortRange> nat_ports{};

    std::optional<IfName> bridge{};  // none, or with one "%d" in it, until completed
    bool stp = true;
    std::uint32_t delay_seconds = 0;
    std::optional<std::uint32_t> mtu{};
    std::optional<MacAddr> mac{};  // of the bridge; none until completed

    std::string domain{};                // empty: none
    std::optional<bool> domain_local{};  // localOnly, when written
    std::optional<bool> dns_enable{};    // when written
    std::vector<dhcp::DnsHost> dns_hosts{};

    std::vector<IpAddress> addresses{};

    bool has_family(IpFamily family) const;
    bool operator==(const Spec&) const = default;
};

}  // namespace bascule::network
