// SPDX-License-Identifier: GPL-2.0-or-later
// Where a NIC's frames go: <source>, and what QEMU's own network is told (<ip>, <portForward>).
#include <algorithm>

#include <fmt/format.h>

#include "vmm/xml_interface_parts.h"

namespace bascule::vmm::parts {

namespace {

using xml::Value;
using Type = Interface::Type;

constexpr Value<ObjectName> kNetworkName{"a network's name", ObjectName::parse};
constexpr Value<std::string> kPortgroup{
    "a portgroup's name",
    [](std::string_view t) { return t.empty() || t.size() > 200 ? std::nullopt : std::optional(std::string(t)); }};
constexpr Value<std::uint16_t> kPort{"a port, 1 to 65535", xml::parse_number<std::uint16_t, 1, 65535>};
constexpr Value<unsigned> kPrefix{"a prefix length", xml::parse_number<unsigned, 0, 128>};
constexpr Value<std::uint32_t> kMetric{"a metric, 1 or more", xml::parse_number<std::uint32_t, 1>};
constexpr EnumNames<IpFamily, 2> kFamilies{{{{"ipv4", IpFamily::v4}, {"ipv6", IpFamily::v6}}}};
constexpr EnumNames<bool, 2> kProtocols{{{{"tcp", true}, {"udp", false}}}};
// QEMU's sockets take "HOST:PORT", which leaves no room for IPv6.
constexpr Value<std::string> kHost{"an IPv4 address or a host's name", [](std::string_view t) {
                                       return is_dns_name(t) ? std::optional(std::string(t)) : std::nullopt;
                                   }};
constexpr std::size_t kMostIps = 16, kMostForwards = 64, kMostRanges = 256;

void check_family(Reader& r, const std::optional<IpFamily>& said, const std::optional<Ip>& ip) {
    if (said && ip && *said != ip->family()) {
        r.report(Fault::Kind::inconsistent, "family", "the address is of the other family", format(*ip));
    }
}

Result<NicIp> read_ip(const Node& node) {
    Reader r(node);
    const auto address = r.req("address", xml::kIp);
    check_family(r, r.opt("family", kFamilies), address);
    NicIp out{.address = address.value_or(Ip()), .prefix = r.opt("prefix", kPrefix), .peer = r.opt("peer", xml::kIp)};
    if (out.prefix && *out.prefix > out.address.bits()) {
        r.report(Fault::Kind::inconsistent, "prefix", "longer than the address", std::to_string(*out.prefix));
    }
    if (out.peer && out.peer->family() != out.address.family()) {
        r.report(Fault::Kind::inconsistent, "peer", "an address of the other family", format(*out.peer));
    }
    TRY_OK(r.finish());
    return out;
}

Result<NicRoute> read_route(const Node& node) {
    Reader r(node);
    const auto address = r.req("address", xml::kIp), gateway = r.req("gateway", xml::kIp);
    check_family(r, r.opt("family", kFamilies), address);
    const auto prefix = r.opt("prefix", kPrefix);
    const auto mask = r.opt("netmask", xml::kIpv4);
    const auto metric = r.opt("metric", kMetric);
    const auto mask_length = mask ? netmask_length(*mask) : std::nullopt;
    if (address && gateway) {
        const unsigned length = prefix.value_or(mask_length.value_or(address->bits()));
        if (gateway->family() != address->family()) {
            r.report(Fault::Kind::inconsistent, "gateway", "an address of the other family", format(*gateway));
        } else if ((mask && !mask_length) || (mask && prefix) || (mask && address->is_v6())) {
            r.report(Fault::Kind::inconsistent, "netmask", "use prefix", format(*mask));
        } else if (length > address->bits()) {
            r.report(Fault::Kind::inconsistent, "prefix", "longer than the address", std::to_string(length));
        } else if (Prefix::of(*address, length).network != *address) {
            r.report(Fault::Kind::inconsistent, "address",
                     fmt::format("with that prefix the network is {}", format(Prefix::of(*address, length))),
                     format(*address));
        }
        TRY_OK(r.finish());
        return NicRoute{Prefix::of(*address, length), *gateway, metric.value_or(0)};
    }
    TRY_OK(r.finish());
    return NicRoute{};
}

Result<PortForward::Range> read_range(const Node& node) {
    Reader r(node);
    PortForward::Range out{.start = r.req("start", kPort).value_or(0),
                           .end = r.get("end", kPort, 0),
                           .to = r.get("to", kPort, 0),
                           .exclude = r.get("exclude", xml::kYesNo, false)};
    if (out.end != 0 && out.end < out.start) {
        r.report(Fault::Kind::inconsistent, "end", "it is before the start", std::to_string(out.end));
    }
    if (out.exclude && out.to != 0) {
        r.report(Fault::Kind::inconsistent, "to", "what is excluded goes nowhere", std::to_string(out.to));
    }
    TRY_OK(r.finish());
    return out;
}

Result<PortForward> read_forward(const Node& node) {
    Reader r(node);
    PortForward out;
    const auto proto = r.opt("proto", kProtocols);
    if (!proto) {
        r.report(Fault::Kind::missing, "proto", kProtocols.choices(), {});
    }
    out.tcp = proto.value_or(true);
    out.address = r.opt("address", xml::kIp);
    out.device = r.opt("dev", kNicDevice);
    out.ranges = r.parse_children("range", read_range);
    if (out.ranges.size() > kMostRanges) {
        r.report(Fault::Kind::not_supported, {}, fmt::format("more than {} ranges", kMostRanges), {});
    }
    TRY_OK(r.finish());
    return out;
}

Result<void> read_socket(Reader& s, Interface& out) {
    if (out.type != Type::server) {
        out.remote.address = s.req("address", kHost).value_or("");
    } else {
        out.remote.address = s.opt("address", kHost).value_or("");
    }
    out.remote.port = s.req("port", kPort).value_or(0);
    if (out.type == Type::udp) {
        s.req_child("local");
        const auto local = s.parse_child("local", [](const Node& node) -> Result<NicEndpoint> {
            Reader l(node);
            NicEndpoint end{l.opt("address", kHost).value_or(""), l.req("port", kPort).value_or(0)};
            TRY_OK(l.finish());
            return end;
        });
        out.local = local.value_or(NicEndpoint{});
    }
    return s.finish();
}

// What there is to read of a <source> depends on the type.
Result<void> read_source(const Node& node, Interface& out) {
    Reader s(node);
    switch (out.type) {
        case Type::network:
            if (const auto name = s.req("network", kNetworkName)) {
                out.source = name->str();
            }
            out.portgroup = s.opt("portgroup", kPortgroup).value_or("");
            s.ignore_attr("portid");  // what a running guest's description adds
            s.ignore_attr("bridge");
            return s.finish();
        case Type::bridge:
            if (const auto name = s.req("bridge", kNicDevice)) {
                out.source = name->str();
            }
            return s.finish();
        case Type::ethernet:
            out.host_ips = s.parse_children("ip", read_ip);
            out.host_routes = s.parse_children("route", read_route);
            if (std::max(out.host_ips.size(), out.host_routes.size()) > kMostIps) {
                s.report(Fault::Kind::not_supported, {}, fmt::format("more than {} addresses or routes", kMostIps), {});
            }
            return s.finish();
        case Type::user: s.not_supported_attr("dev", "the device that passt goes out by"); return s.finish();
        case Type::mcast:
        case Type::server:
        case Type::client:
        case Type::udp: return read_socket(s, out);
    }
    return s.finish();
}

}  // namespace

Result<void> read_nic_source(Reader& r, Interface& out) {
    if (out.type != Type::ethernet && out.type != Type::user) {
        r.req_child("source");
    }
    if (const Node* const source = r.child("source"); source != nullptr && r.ok()) {
        TRY_OK(read_source(*source, out));
    }
    out.guest_ips = r.parse_children("ip", read_ip);
    out.forwards = r.parse_children("portForward", read_forward);
    // The peer refuses these too: QEMU gives a guest no routes.
    r.not_supported_child("route", "routes on the guest's side");
    if (out.forwards.size() > kMostForwards) {
        r.report(Fault::Kind::not_supported, {}, fmt::format("more than {} <portForward>", kMostForwards), {});
    }
    const auto more_than_one = [&](IpFamily family) {
        return std::ranges::count_if(out.guest_ips,
                                     [family](const NicIp& ip) { return ip.address.family() == family; }) > 1;
    };
    if (more_than_one(IpFamily::v4) || more_than_one(IpFamily::v6)) {
        r.report(Fault::Kind::not_supported, {}, "more than one <ip> of a family", {});
    }
    return {};
}

}  // namespace bascule::vmm::parts
