// SPDX-License-Identifier: GPL-2.0-or-later
// <ip> and <dns>.
#include <algorithm>

#include <fmt/format.h>

#include "base/enum_names.h"
#include "network/xml_parts.h"

namespace bascule::network {

namespace {

using xml::Fault;
using xml::Node;
using xml::Reader;

constexpr EnumNames<IpFamily, 2> kFamilies{{{{"ipv4", IpFamily::v4}, {"ipv6", IpFamily::v6}}}};
constexpr EnumNames<LeaseTime::Unit, 3> kUnits{{{{"seconds", LeaseTime::Unit::seconds},
                                                 {"minutes", LeaseTime::Unit::minutes},
                                                 {"hours", LeaseTime::Unit::hours}}}};

constexpr std::uint64_t kLargestRange = 65535;
constexpr std::chrono::seconds kShortestLease{120};
constexpr std::chrono::seconds kLongestLease{0xfffffffe};  // 0xffffffff means for ever (RFC 2131 3.3)

std::unexpected<Error> inconsistent(const Node& node, std::string_view attr, std::string what) {
    return std::unexpected(
        xml::to_error({Fault::Kind::inconsistent, node.line, node.name, std::string(attr), std::move(what), {}}));
}

// The prefix length that an address without netmask and prefix has: its class, as the peer does it.
unsigned natural_length(const Ip& address) {
    if (address.is_v6()) {
        return 64;
    }
    const unsigned first = address.octets()[0];
    return first < 128 ? 8 : first < 192 ? 16 : 24;
}

// Network and broadcast address: of IPv4 only, and not of point-to-point prefixes (RFC 3021).
bool is_edge(const Prefix& subnet, const Ip& address) {
    return address.is_v4() && subnet.length <= 30 && (address == subnet.first() || address == subnet.last());
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

Result<DhcpRange> parse_range(const Node& node, const Prefix& subnet) {
    Reader r(node);
    const auto start = r.req("start", xml::kIpv4);
    const auto end = r.req("end", xml::kIpv4);
    const auto lease = r.parse_child("lease", parse_lease);
    TRY_OK(r.finish());
    for (const auto& [attr, address] : {std::pair{"start", *start}, std::pair{"end", *end}}) {
        if (!subnet.contains(address)) {
            return inconsistent(node, attr, fmt::format("{} is not in the subnet {}", format(address), format(subnet)));
        }
        if (is_edge(subnet, address)) {
            return inconsistent(node, attr,
                                fmt::format("{} is the {} address of {}", format(address),
                                            address == subnet.first() ? "network" : "broadcast", format(subnet)));
        }
    }
    if (*end < *start) {
        return inconsistent(node, "end", fmt::format("{} comes before start {}", format(*end), format(*start)));
    }
    if (end->v4_value() - start->v4_value() > kLargestRange) {
        return inconsistent(node, "end", fmt::format("a range may have at most {} addresses", kLargestRange));
    }
    return DhcpRange{{*start, *end}, lease};
}

Result<dhcp::Reservation> parse_host(const Node& node, const IpInterface& server) {
    Reader r(node);
    const auto mac = r.opt("mac", kUnicastMac);
    const auto name = r.opt("name", kDnsName);
    const auto ip = r.req("ip", xml::kIpv4);
    if (node.attr("id") != nullptr) {
        r.report(Fault::Kind::not_supported, "id", "a client id; use mac or name", {});
    }
    r.not_supported_child("lease", "a lease time for one host; write it in <range>");
    TRY_OK(r.finish());
    if (!mac && !name) {
        return inconsistent(node, {}, "needs a mac or a name to know the client by");
    }
    const Prefix subnet = server.prefix();
    if (!subnet.contains(*ip)) {
        return inconsistent(node, "ip", fmt::format("{} is not in the subnet {}", format(*ip), format(subnet)));
    }
    if (is_edge(subnet, *ip)) {
        return inconsistent(node, "ip",
                            fmt::format("{} is the {} address of {}", format(*ip),
                                        *ip == subnet.first() ? "network" : "broadcast", format(subnet)));
    }
    if (*ip == server.address) {
        return inconsistent(node, "ip", fmt::format("{} is the address of the bridge itself", format(*ip)));
    }
    return dhcp::Reservation{.mac = mac, .name = name.value_or(""), .address = ip};
}

// Two hosts with one MAC, name or address: no client could be told which one is meant.
Result<void> check_hosts(const std::vector<dhcp::Reservation>& hosts, const std::vector<const Node*>& nodes) {
    for (std::size_t i = 0; i < hosts.size(); ++i) {
        for (std::size_t k = 0; k < i; ++k) {
            const auto again = [&](std::string_view attr, const std::string& value) {
                return inconsistent(
                    *nodes[i], attr,
                    fmt::format("'{}' is already the {} of the host in line {}", value, attr, nodes[k]->line));
            };
            if (hosts[i].mac && hosts[i].mac == hosts[k].mac) {
                return again("mac", format(*hosts[i].mac));
            }
            if (!hosts[i].name.empty() && hosts[i].name == hosts[k].name) {
                return again("name", hosts[i].name);
            }
            if (hosts[i].address == hosts[k].address) {
                return again("ip", format(*hosts[i].address));
            }
        }
    }
    return {};
}

Result<void> parse_dhcp(const Node& node, IpAddress& ip) {
    Reader r(node);
    ip.ranges = r.parse_children("range", [&](const Node& n) { return parse_range(n, ip.address.prefix()); });
    ip.hosts = r.parse_children("host", [&](const Node& n) { return parse_host(n, ip.address); });
    r.not_supported_child("bootp", "network boot");
    TRY_OK(r.finish());
    TRY_OK(check_hosts(ip.hosts, r.children("host")));
    for (std::size_t i = 1; i < ip.ranges.size(); ++i) {
        if (ip.ranges[i].lease != ip.ranges[0].lease) {
            return std::unexpected(xml::to_error({Fault::Kind::not_supported,
                                                  r.children("range")[i]->line,
                                                  "range",
                                                  {},
                                                  "a lease time that differs from the other ranges of the subnet",
                                                  {}}));
        }
    }
    return {};
}

// address, netmask, prefix and family.
Result<IpAddress> parse_interface(Reader& r) {
    const auto family = r.opt("family", kFamilies);
    const bool v6 = family == IpFamily::v6;
    const auto address =
        r.req("address", v6 ? xml::Value<Ip>{"an IPv6 address", parse_ipv6}
                            : xml::Value<Ip>{"an IPv4 address (IPv6 needs family='ipv6')", parse_ipv4});
    const auto mask = r.opt("netmask", xml::Value<unsigned>{"a netmask such as 255.255.255.0", [](std::string_view t) {
                                                                const auto ip = parse_ipv4(t);
                                                                return ip ? netmask_length(*ip) : std::nullopt;
                                                            }});
    const auto prefix =
        r.opt("prefix", v6 ? xml::Value<unsigned>{"a prefix length from 1 to 128", xml::parse_number<unsigned, 1, 128>}
                           : xml::Value<unsigned>{"a prefix length from 1 to 32", xml::parse_number<unsigned, 1, 32>});
    if (v6 && r.node().attr("netmask") != nullptr) {
        r.report(Fault::Kind::inconsistent, "netmask", "IPv6 has no netmask; write prefix='64'", {});
    }
    if (mask && prefix) {
        r.report(Fault::Kind::inconsistent, "prefix", "netmask and prefix say the same; write one of them", {});
    }
    if (mask == 0U) {
        r.report(Fault::Kind::inconsistent, "netmask", "the whole internet is no subnet", {});
    }
    if (!r.ok() || !address) {
        return std::unexpected(r.finish().error());
    }
    IpAddress out;
    out.family_written = family.has_value();
    out.length_written = mask     ? IpAddress::Length::netmask
                         : prefix ? IpAddress::Length::prefix
                                  : IpAddress::Length::unsaid;
    out.address = {*address, mask ? *mask : prefix ? *prefix : natural_length(*address)};
    return out;
}

// What an interface of ours cannot have as its address.
Result<void> check_interface(const Node& node, const IpInterface& ip) {
    const Ip& address = ip.address;
    const bool reserved = address.is_v4() && (address.octets()[0] == 0 || address.octets()[0] >= 240);
    if (address.is_multicast() || address.is_loopback() || address.is_unspecified() || reserved) {
        return inconsistent(node, "address", fmt::format("{} cannot be the address of a bridge", format(address)));
    }
    if (address.is_v6() && address.is_link_local()) {
        return inconsistent(
            node, "address",
            fmt::format("{} is link-local: the bridge has such an address of its own", format(address)));
    }
    if (is_edge(ip.prefix(), address)) {
        return inconsistent(node, "address",
                            fmt::format("{} is the {} address of {}; the bridge needs one between, "
                                        "such as {}",
                                        format(address), address == ip.prefix().first() ? "network" : "broadcast",
                                        format(ip.prefix()), format(ip.prefix().first().plus(1))));
    }
    return {};
}

Result<IpAddress> parse_ip_element(const Node& node) {
    Reader r(node);
    TRY(IpAddress ip, parse_interface(r));
    r.not_supported_attr("localPtr", "reverse zones");
    r.not_supported_child("tftp", "network boot");
    TRY_OK(check_interface(node, ip.address));
    if (const Node* const dhcp = r.child("dhcp")) {
        if (ip.address.address.is_v6()) {
            r.report_error(
                xml::to_error({Fault::Kind::not_supported, dhcp->line, "dhcp", {}, "DHCPv6, in an IPv6 <ip>", {}}));
        } else if (auto done = parse_dhcp(*dhcp, ip); !done) {
            r.report_error(std::move(done).error());
        }
    }
    TRY_OK(r.finish());
    return ip;
}

Result<dhcp::DnsHost> parse_dns_host(const Node& node) {
    Reader r(node);
    const auto ip = r.req("ip", xml::kIp);
    const auto names = r.parse_children("hostname", [](const Node& n) -> Result<std::string> {
        Reader text(n);
        auto name = text.text(kDnsName);
        TRY_OK(text.finish());
        return *name;
    });
    TRY_OK(r.finish());
    if (names.empty()) {
        return inconsistent(node, {}, "needs at least one <hostname>");
    }
    return dhcp::DnsHost{*ip, names};
}

}  // namespace

Result<std::vector<IpAddress>> parse_addresses(const std::vector<const Node*>& nodes) {
    std::vector<IpAddress> out;
    int dhcp_line = 0;
    for (const Node* const node : nodes) {
        TRY(IpAddress ip, parse_ip_element(*node));
        for (std::size_t i = 0; i < out.size(); ++i) {
            if (out[i].address.address == ip.address.address) {
                return inconsistent(
                    *node, "address",
                    fmt::format("{} is already the address in line {}", format(ip.address.address), nodes[i]->line));
            }
        }
        if (ip.serves_dhcp()) {
            const Node& dhcp = *node->child("dhcp");
            if (dhcp_line != 0) {
                return inconsistent(dhcp, {},
                                    fmt::format("only one IPv4 <ip> may have <dhcp>; line {} has one", dhcp_line));
            }
            dhcp_line = dhcp.line;
        }
        out.push_back(std::move(ip));
    }
    return out;
}

Result<Dns> parse_dns(const Node& node) {
    Reader r(node);
    const auto enable = r.opt("enable", xml::kYesNo);
    r.not_supported_attr("forwardPlainNames");
    if (enable == false && !node.children.empty()) {
        return inconsistent(node, "enable", fmt::format("'no' leaves nothing for <{}>", node.children[0].name));
    }
    r.not_supported_child("forwarder");
    r.not_supported_child("txt");
    r.not_supported_child("srv");
    auto hosts = r.parse_children("host", parse_dns_host);
    TRY_OK(r.finish());
    return Dns{enable, std::move(hosts)};
}

}  // namespace bascule::network
