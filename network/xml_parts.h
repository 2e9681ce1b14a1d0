// SPDX-License-Identifier: GPL-2.0-or-later
// The parts of parse() that fill files of their own; nobody else includes this.
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

// All <ip> elements of a network.
Result<std::vector<IpAddress>> parse_addresses(const std::vector<const xml::Node*>& nodes);

struct Dns {
    std::optional<bool> enable;
    std::vector<dhcp::DnsHost> hosts;
};
Result<Dns> parse_dns(const xml::Node& node);

}  // namespace bascule::network
