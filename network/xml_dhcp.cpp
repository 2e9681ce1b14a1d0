// SPDX-License-Identifier: GPL-2.0-or-later
// <dhcp>, of both families.
#include <algorithm>

#include <fmt/format.h>

#include "network/extras.h"
#include "network/xml_parts.h"

namespace bascule::network {

namespace {

using xml::Fault;
using xml::Node;
using xml::Reader;

constexpr EnumNames<LeaseTime::Unit, 3> kUnits{{{{"seconds", LeaseTime::Unit::seconds},
                                                 {"minutes", LeaseTime::Unit::minutes},
                                                 {"hours", LeaseTime::Unit::hours}}}};
constexpr std::uint64_t kLargestRange = 65535;
constexpr std::chrono::seconds kShortestLease{120};
constexpr std::chrono::seconds kLongestLease{0xfffffffe};  // 0xffffffff means for ever (RFC 2131 3.3)

constexpr std::size_t kLongestId = 130;  // octets of a DUID (RFC 8415 11.1)
constexpr xml::Value<std::string> kId{
    "octets in hexadecimal, such as 00:03:00:01, at most 130", [](std::string_view text) -> std::optional<std::string> {
        std::size_t digits = 0, octets = 1;
        for (const char c : text) {
            const bool hex = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
            if (c == ':' ? digits == 0 : !hex || digits == 2) {
                return std::nullopt;
            }
            octets += c == ':' ? 1 : 0;
            digits = c == ':' ? 0 : digits + 1;
        }
        return digits != 0 && octets <= kLongestId ? std::optional(std::string(text)) : std::nullopt;
    }};
constexpr xml::Value<std::string> kFile{"a file's name", [](std::string_view text) {
                                            const bool fits = !text.empty() && text.size() < 1024;
                                            return fits ? std::optional(std::string(text)) : std::nullopt;
                                        }};
constexpr xml::Value<std::string> kBootServer{"an IP address or a host's name", [](std::string_view text) {
                                                  const bool fits = parse_ipv4(text) || is_dns_name(text);
                                                  return fits ? std::optional(std::string(text)) : std::nullopt;
                                              }};

xml::Value<Ip> address_of(const Prefix& subnet) {
    return subnet.network.is_v4() ? xml::kIpv4 : xml::Value<Ip>{"an IPv6 address", parse_ipv6};
}

// How many addresses lie between two of a subnet; more than 64 bits of it is `many`.
std::uint64_t distance(const Ip& first, const Ip& last) {
    constexpr std::uint64_t many = ~std::uint64_t{0};
    if (first.is_v4()) {
        return last.v4_value() - first.v4_value();
    }
    std::uint64_t parts[2][2]{};
    for (std::size_t i = 0; i < 16; ++i) {
        parts[0][i / 8] = parts[0][i / 8] << 8 | first.octets()[i];
        parts[1][i / 8] = parts[1][i / 8] << 8 | last.octets()[i];
    }
    return parts[0][0] == parts[1][0] ? parts[1][1] - parts[0][1] : many;
}

Result<LeaseTime> parse_lease(const Node& node) {
    Reader r(node);
    const auto expiry = r.req("expiry", xml::kUnsigned);
    const auto unit = r.get("unit", kUnits, LeaseTime::Unit::minutes);
    TRY_OK(r.finish());
    const LeaseTime lease{*expiry, *expiry == 0 ? LeaseTime::Unit::minutes : unit};
    if (lease.expiry != 0 && lease.length() < kShortestLease) {
        return inconsistent(node, "expiry", "a lease must last at least 2 minutes, or for ever (0)");
    }
    if (lease.length() > kLongestLease) {
        return inconsistent(node, "expiry", "too long; for ever is 0");
    }
    return lease;
}

// <association iaid='…'/> of our own namespace, if there is one.
Result<std::optional<std::uint32_t>> read_association(Reader& host) {
    const auto found = host.foreign(kOwnNamespace, "association");
    if (found.empty()) {
        return std::optional<std::uint32_t>();
    }
    if (found.size() > 1) {
        return inconsistent(*found[1], {}, "is there twice");
    }
    Reader r(*found[0]);
    const auto iaid = r.req("iaid", xml::kUnsigned);
    TRY_OK(r.finish());
    return iaid;
}

Result<void> check_inside(const Node& node, std::string_view attr, const Prefix& subnet, const Ip& address) {
    if (!subnet.contains(address)) {
        return inconsistent(node, attr, fmt::format("{} is not in the subnet {}", format(address), format(subnet)));
    }
    if (is_edge(subnet, address)) {
        return inconsistent(node, attr,
                            fmt::format("{} is the {} address of {}", format(address),
                                        address == subnet.first() ? "network" : "broadcast", format(subnet)));
    }
    return {};
}

Result<Bootp> parse_bootp(const Node& node) {
    Reader r(node);
    Bootp out{.file = r.req("file", kFile).value_or(""), .server = r.opt("server", kBootServer).value_or("")};
    TRY_OK(r.finish());
    return out;
}

}  // namespace

Result<void> check_hosts(const std::vector<DhcpHost>& hosts, const std::vector<const Node*>& nodes) {
    for (std::size_t i = 0; i < hosts.size(); ++i) {
        for (std::size_t k = 0; k < i; ++k) {
            const auto again = [&](std::string_view attr, const std::string& value) {
                return inconsistent(
                    *nodes[i], attr,
                    fmt::format("'{}' is already the {} of the host in line {}", value, attr, nodes[k]->line));
            };
            const bool same_ia = hosts[i].iaid == hosts[k].iaid;
            if (same_ia && hosts[i].mac && hosts[i].mac == hosts[k].mac) {
                return again("mac", format(*hosts[i].mac));
            }
            if (same_ia && !hosts[i].id.empty() && hosts[i].id_octets() == hosts[k].id_octets()) {
                return again("id", hosts[i].id);
            }
            if (same_ia && !hosts[i].name.empty() && hosts[i].name == hosts[k].name) {
                return again("name", hosts[i].name);
            }
            if (hosts[i].address == hosts[k].address) {
                return again("ip", format(*hosts[i].address));
            }
        }
    }
    return {};
}

// Not of point-to-point prefixes (RFC 3021).
bool is_edge(const Prefix& subnet, const Ip& address) {
    return address.is_v4() && subnet.length <= 30 && (address == subnet.first() || address == subnet.last());
}

Result<DhcpRange> parse_range(const Node& node, const Prefix& subnet) {
    Reader r(node);
    const auto start = r.req("start", address_of(subnet));
    const auto end = r.req("end", address_of(subnet));
    const auto lease = r.parse_child("lease", parse_lease);
    TRY_OK(r.finish());
    TRY_OK(check_inside(node, "start", subnet, *start));
    TRY_OK(check_inside(node, "end", subnet, *end));
    if (*end < *start) {
        return inconsistent(node, "end", fmt::format("{} comes before start {}", format(*end), format(*start)));
    }
    if (distance(*start, *end) > kLargestRange) {
        return inconsistent(node, "end", fmt::format("a range may have at most {} addresses", kLargestRange));
    }
    return DhcpRange{{*start, *end}, lease};
}

Result<DhcpHost> parse_dhcp_host(const Node& node, const IpInterface& server, Entry entry) {
    Reader r(node);
    const Prefix subnet = server.prefix();
    const bool v6 = server.address.is_v6(), whole = entry == Entry::whole;
    DhcpHost out{.mac = r.opt("mac", kUnicastMac),
                 .id = r.opt("id", kId).value_or(""),
                 .name = r.opt("name", kDnsName).value_or(""),
                 .address = whole ? r.req("ip", address_of(subnet)) : r.opt("ip", address_of(subnet)),
                 .lease = r.parse_child("lease", parse_lease)};
    TRY(out.iaid, read_association(r));
    TRY_OK(r.finish());
    if (!v6 && out.iaid && whole) {
        return inconsistent(node, {}, "identity associations are IPv6's: an IPv4 host has no <association>");
    }
    if (!out.mac && out.id.empty() && out.name.empty() && (whole || !out.address)) {
        return inconsistent(node, {}, "needs a mac, id or name to know the client by");
    }
    if (!out.address || !whole) {
        return out;
    }
    TRY_OK(check_inside(node, "ip", subnet, *out.address));
    if (*out.address == server.address) {
        return inconsistent(node, "ip", fmt::format("{} is the address of the bridge itself", format(*out.address)));
    }
    return out;
}

Result<void> parse_dhcp(const Node& node, IpAddress& ip) {
    Reader r(node);
    ip.ranges = r.parse_children("range", [&](const Node& n) { return parse_range(n, ip.address.prefix()); });
    ip.hosts = r.parse_children("host", [&](const Node& n) { return parse_dhcp_host(n, ip.address, Entry::whole); });
    if (ip.address.address.is_v4()) {
        ip.bootp = r.parse_child("bootp", parse_bootp);
    } else if (const Node* const bootp = r.child("bootp")) {
        return inconsistent(*bootp, {}, "goes with an IPv4 <ip> only");
    }
    return r.finish();
}

}  // namespace bascule::network
