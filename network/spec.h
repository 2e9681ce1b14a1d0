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
// Nothing that is written is dropped: what is wrong in itself is refused by parse() with its line, what goes not
// with the forward mode as well, and what this version cannot realise by check_realisable() (realise.h) when the
// definition is to be kept or started. So a stored definition is always one that is realised in full.
//
// Three kinds of modes: those with a bridge of ours (isolated, nat, route, open), whose every element is ours to
// realise; `bridge` with a name, somebody else's bridge; and the pools of devices (bridge, private, vepa,
// passthrough, hostdev), where a running network is only a list that guests' interfaces choose from.
//
// update() (update.h) changes one section of a Spec, as net-update does; it is as pure as the rest. Whether the
// change can be made on the running network is the daemon's plan to say.
//
// Worked example: default_definition() is the network `default`; completed it has a uuid and a MAC; compiled
// it is a bridge virbr0 (spanning tree on), the address 192.168.122.1/24, the rules of nat/spec.h, and
// a DHCP range for bascule-netsvc.
//
// Clashes are found by prefix arithmetic in both families, against the host's routes and the other definitions:
// 10.0.0.0/8 and 10.1.2.0/24 overlap, whichever of them is ours.
//
// Deliberately not here: the ports of a network (port.h has their documents; who is plugged in, the daemon knows).
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/names.h"
#include "base/net.h"
#include "base/port_settings.h"

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

// <host>: a client that is known, and what it gets. `id` is IPv4's client identifier or IPv6's DUID, in
// hexadecimal as written. IPv6: `mac` is that of the client's port, and a child <association iaid='…'/> of our own
// namespace makes it one of the client's identity associations only. The peer has neither.
struct DhcpHost {
    std::optional<MacAddr> mac{};
    std::string id{}, name{};
    std::optional<std::uint32_t> iaid{};
    std::optional<Ip> address{};  // always there, but in what update() is given to find a host by
    std::optional<LeaseTime> lease{};

    std::vector<std::uint8_t> id_octets() const;
    bool operator==(const DhcpHost&) const = default;
};

// <bootp>: what clients without a disk load, and from whom; no server: from the bridge's own address.
struct Bootp {
    std::string file{};
    std::string server{};
    bool operator==(const Bootp&) const = default;
};

// How a definition says how long a prefix is. unsaid: the classes of old for IPv4, 64 for IPv6.
enum class PrefixWritten { unsaid, netmask, prefix };

// <ip>: an address of the host on the bridge, and what is handed out of its subnet.
struct IpAddress {
    using Length = PrefixWritten;

    IpInterface address;
    Length length_written = Length::unsaid;
    bool family_written = false;
    std::optional<bool> local_ptr{};  // localPtr, when written
    std::string tftp_root{};
    std::vector<DhcpRange> ranges{};
    std::vector<DhcpHost> hosts{};
    std::optional<Bootp> bootp{};

    bool serves_dhcp() const { return !ranges.empty() || !hosts.empty(); }
    bool operator==(const IpAddress&) const = default;
};

// <route>: a route of the host by way of a machine on the bridge.
struct StaticRoute {
    Prefix destination;
    PrefixWritten length_written = PrefixWritten::unsaid;
    bool family_written = false;
    Ip gateway;
    std::optional<std::uint32_t> metric{};
    bool operator==(const StaticRoute&) const = default;
};

struct DnsForwarder {
    std::string domain{};         // empty: all of them
    std::optional<Ip> address{};  // none: the domain goes the usual way
    bool operator==(const DnsForwarder&) const = default;
};

struct DnsTxt {
    std::string name{};
    std::optional<std::string> value{};
    bool operator==(const DnsTxt&) const = default;
};

struct DnsSrv {
    std::string service{}, protocol{}, domain{}, target{};
    std::optional<std::uint16_t> port{}, priority{}, weight{};
    bool operator==(const DnsSrv&) const = default;
};

struct DnsNames {
    std::optional<Ip> address{};  // always there, but in what update() is given to find an entry by
    std::vector<std::string> names{};
    bool operator==(const DnsNames&) const = default;
};

struct PortGroup {
    std::string name;
    bool is_default = false;
    std::optional<bool> trust_rx_filters{};
    std::optional<VirtualPort> virtual_port{};
    Bandwidth bandwidth{};
    std::optional<Vlan> vlan{};
    bool operator==(const PortGroup&) const = default;
};

struct PciAddress {
    std::uint32_t domain = 0;
    std::uint8_t bus = 0, slot = 0, function = 0;
    auto operator<=>(const PciAddress&) const = default;
};
std::string format(const PciAddress& address);  // "0000:03:00.1", as sysfs has it

enum class Mode { isolated, nat, route, open, bridge, priv, vepa, passthrough, hostdev };
std::string_view name_of(Mode mode);  // as <forward mode=> has it

enum class MacTable { kernel, libvirt };

struct Spec {
    ObjectName name;
    Uuid uuid{};  // nil until completed
    std::string title{}, description{};
    std::vector<std::string> metadata{};  // the elements below <metadata>, verbatim
    bool guest_ipv6 = false;              // <network ipv6='yes'>; bridged IPv6 between guests always passes here
    std::optional<bool> trust_rx_filters{};

    Mode mode = Mode::isolated;
    std::vector<IfName> forward_devices{};  // at most one in nat and route; the pool of the others
    std::vector<PciAddress> forward_pci{};  // the pool of virtual functions
    std::optional<IfName> forward_pf{};     // or all virtual functions of this device
    bool managed = false;                   // hostdev: the host's driver is taken off and put back
    std::string driver_name{}, driver_model{};
    bool nat_ipv6 = false;  // IPv6 is translated too, not routed
    std::optional<IpRange> nat_addresses{};
    std::optional<PortRange> nat_ports{};

    std::optional<IfName> bridge{};  // none, or with one "%d" in it, until completed
    bool stp = true;
    std::uint32_t delay_seconds = 0;
    std::string zone{};  // of firewalld; empty: none
    std::optional<MacTable> mac_table{};
    std::optional<std::uint32_t> mtu{};
    std::optional<MacAddr> mac{};  // of the bridge; none until completed

    std::string domain{};                   // empty: none
    std::optional<bool> domain_local{};     // localOnly, when written
    std::optional<bool> domain_register{};  // register, when written
    std::optional<bool> dns_enable{};       // when written
    std::optional<bool> forward_plain_names{};
    std::vector<DnsForwarder> dns_forwarders{};
    std::vector<DnsTxt> dns_texts{};
    std::vector<DnsSrv> dns_services{};
    std::vector<DnsNames> dns_hosts{};

    std::vector<IpAddress> addresses{};
    std::vector<StaticRoute> routes{};

    std::optional<Vlan> vlan{};
    Bandwidth bandwidth{};
    std::optional<bool> isolated_ports{};
    std::optional<VirtualPort> virtual_port{};
    std::vector<PortGroup> portgroups{};
    std::vector<std::string> dnsmasq_options{};  // verbatim lines for the peer's own server

    bool has_family(IpFamily family) const;
    // Its bridge, addresses and services are ours to make.
    bool has_own_bridge() const { return mode <= Mode::open; }
    // The device that traffic of nat and route is held to.
    std::optional<IfName> forward_device() const;
    // The group of that name; of an empty name the default group, if there is one.
    const PortGroup* portgroup(std::string_view wanted) const;
    bool operator==(const Spec&) const = default;
};

}  // namespace bascule::network
