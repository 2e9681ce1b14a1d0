// SPDX-License-Identifier: GPL-2.0-or-later
// The parts of parse() that fill files of their own, and the single elements that update() is given; nobody else
// includes this.
#pragma once

#include <vector>

#include "base/result.h"
#include "base/xml_read.h"
#include "network/spec.h"

namespace bascule::network {

inline constexpr xml::Value<MacAddr> kUnicastMac{
    "a unicast MAC address", [](std::string_view text) {
        const auto mac = parse_mac(text);
        return mac && !mac->is_multicast() && !mac->is_zero() ? mac : std::nullopt;
    }};
inline constexpr xml::Value<std::string> kDnsName{
    "a DNS name",
    [](std::string_view text) { return is_dns_name(text) ? std::optional(std::string(text)) : std::nullopt; }};
inline constexpr xml::Value<IfName> kDevice{"a device name of 1 to 15 characters", IfName::parse};
inline constexpr EnumNames<IpFamily, 2> kFamilies{{{{"ipv4", IpFamily::v4}, {"ipv6", IpFamily::v6}}}};

std::unexpected<Error> inconsistent(const xml::Node& node, std::string_view attr, std::string what);

// An entry of a list is either a whole one, or names as much of one as is needed to find it (net-update's delete).
enum class Entry { whole, partial };

// xml_forward.cpp. <forward> fills the mode and the pool; the others are the entries of net-update.
Result<void> parse_forward(const xml::Node& node, Spec& spec);
Result<IfName> parse_forward_interface(const xml::Node& node);
Result<PciAddress> parse_pci(const xml::Node& node);
Result<void> parse_bridge(const xml::Node& node, Spec& spec);
Result<PortGroup> parse_portgroup(const xml::Node& node);

// xml_ip.cpp.
struct PrefixElement {
    Ip address;
    unsigned length = 0;
    PrefixWritten written = PrefixWritten::unsaid;
    bool family_written = false;
};
Result<PrefixElement> read_prefix(xml::Reader& r, unsigned shortest);
Result<std::vector<IpAddress>> parse_addresses(const std::vector<const xml::Node*>& nodes);
Result<StaticRoute> parse_route(const xml::Node& node);

// xml_dhcp.cpp. Of the subnet that `ip` makes.
// Two hosts with one MAC, id, name or address, on whichever subnets of a family: no client could be told which one is
// meant. `nodes`: one a host.
Result<void> check_hosts(const std::vector<DhcpHost>& hosts, const std::vector<const xml::Node*>& nodes);
Result<void> parse_dhcp(const xml::Node& node, IpAddress& ip);
Result<DhcpRange> parse_range(const xml::Node& node, const Prefix& subnet);
Result<DhcpHost> parse_dhcp_host(const xml::Node& node, const IpInterface& server, Entry entry);
bool is_edge(const Prefix& subnet, const Ip& address);  // IPv4: its network and its broadcast address

// xml_dns.cpp.
Result<void> parse_dns(const xml::Node& node, Spec& spec);
Result<void> parse_domain(const xml::Node& node, Spec& spec);
Result<DnsTxt> parse_txt(const xml::Node& node, Entry entry);
Result<DnsSrv> parse_srv(const xml::Node& node, Entry entry);
Result<DnsNames> parse_dns_host(const xml::Node& node, Entry entry);

}  // namespace bascule::network
