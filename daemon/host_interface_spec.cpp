// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/host_interface_spec.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/xml.h"
#include "base/xml_read.h"
#include "switch/compile.h"

namespace bascule::daemon {

namespace {

using xml::Fault;
using xml::Node;
using xml::Reader;
using xml::Value;

constexpr Value<IfName> kDevice{"a network device's name of 1 to 15 characters", IfName::parse};
constexpr Value<std::uint32_t> kMtu{"an MTU, 68 to 65521", xml::parse_number<std::uint32_t, 68, 65521>};
constexpr Value<unsigned> kPrefix{"a prefix length", xml::parse_number<unsigned, 0, 128>};
constexpr EnumNames<IpFamily, 2> kFamilies{{{{"ipv4", IpFamily::v4}, {"ipv6", IpFamily::v6}}}};
constexpr EnumNames<int, 3> kStarts{{{{"onboot", 1}, {"none", 2}, {"hotplug", 3}}}};
// Seconds, perhaps with a fraction.
constexpr Value<std::string> kDelay{
    "seconds, 0 to 30", [](std::string_view t) -> std::optional<std::string> {
        const auto dot = t.find('.');
        const auto whole = xml::parse_number<unsigned, 0, 30>(t.substr(0, dot));
        const std::string_view rest = dot == std::string_view::npos ? "0" : t.substr(dot + 1);
        const bool digits =
            !rest.empty() && rest.size() <= 2 && std::ranges::all_of(rest, [](char c) { return c >= '0' && c <= '9'; });
        return whole && digits ? std::optional(std::string(t)) : std::nullopt;
    }};

Result<IpInterface> read_ip(const Node& node) {
    Reader r(node);
    const auto address = r.req("address", xml::kIp);
    const auto prefix = r.opt("prefix", kPrefix);
    if (address && prefix && *prefix > address->bits()) {
        r.report(Fault::Kind::inconsistent, "prefix", "longer than the address", std::to_string(*prefix));
    }
    TRY_OK(r.finish());
    return IpInterface{*address, prefix.value_or(address->bits())};
}

Result<Ip> read_gateway(const Node& node) {
    Reader r(node);
    const auto gateway = r.req("gateway", xml::kIp);
    TRY_OK(r.finish());
    return *gateway;
}

Result<HostInterface::Protocol> read_protocol(const Node& node) {
    Reader r(node);
    HostInterface::Protocol out;
    const auto family = r.opt("family", kFamilies);
    if (!family) {
        r.report(Fault::Kind::missing, "family", kFamilies.choices(), {});
    }
    out.family = family.value_or(IpFamily::v4);
    r.not_supported_child("dhcp", "the host as a DHCP client; give it an address with <ip>");
    r.not_supported_child("autoconf", "addresses from router advertisements; give it one with <ip>");
    out.addresses = r.parse_children("ip", read_ip);
    out.gateway = r.parse_child("route", read_gateway);
    const auto other = [&](const Ip& ip) { return ip.family() != out.family; };
    if (std::ranges::any_of(out.addresses, [&](const IpInterface& ip) { return other(ip.address); }) ||
        (out.gateway && other(*out.gateway))) {
        r.report(Fault::Kind::inconsistent, "family", "an address in it is of the other family", {});
    }
    TRY_OK(r.finish());
    return out;
}

template <class T>
auto attribute(std::string_view name, const Value<T>& value) {
    return [name, &value](const Node& node) -> Result<T> {
        Reader r(node);
        auto got = r.req(name, value);
        TRY_OK(r.finish());
        return *std::move(got);
    };
}

Result<IfName> read_port(const Node& node) {
    Reader r(node);
    const auto* const type = node.attr("type");
    if (type != nullptr && *type != "ethernet") {
        r.report(Fault::Kind::not_supported, "type", "'" + *type + "' as a port; use 'ethernet'", *type);
    }
    r.ignore_attr("type");
    const auto name = r.req("name", kDevice);
    r.ignore_child("mac");  // what a description of it adds
    r.ignore_child("link");
    TRY_OK(r.finish());
    return *name;
}

Result<void> read_bridge(const Node& node, HostInterface& out) {
    Reader r(node);
    out.stp = r.opt("stp", xml::kOnOff);
    out.delay = r.opt("delay", kDelay).value_or("");
    out.ports = r.parse_children("interface", read_port);
    for (std::size_t i = 0; i < out.ports.size(); ++i) {
        if (out.ports[i] == out.name || std::find(out.ports.begin(), out.ports.begin() + static_cast<std::ptrdiff_t>(i),
                                                  out.ports[i]) != out.ports.begin() + static_cast<std::ptrdiff_t>(i)) {
            r.report(Fault::Kind::inconsistent, {}, "a port twice, or the bridge itself", out.ports[i].str());
        }
    }
    return r.finish();
}

unsigned centis(const std::string& delay) {
    const auto dot = delay.find('.');
    const unsigned whole = xml::parse_number<unsigned>(delay.substr(0, dot)).value_or(0);
    std::string rest = dot == std::string::npos ? "0" : delay.substr(dot + 1);
    rest.resize(2, '0');
    return whole * 100 + xml::parse_number<unsigned>(rest).value_or(0);
}

}  // namespace

Result<HostInterface> parse_host_interface(std::string_view text) {
    TRY(const Node root, xml::parse(text));
    if (root.name != "interface" || !root.ns.empty()) {
        return fail(Code::invalid_xml,
                    fmt::format("line {}: <{}>: expected the root element <interface>", root.line, root.name));
    }
    Reader r(root);
    const auto type = r.req("type", xml::kText);
    const auto name = r.req("name", kDevice);
    if (type && *type != "ethernet" && *type != "bridge") {
        r.report(Fault::Kind::not_supported, "type", "'" + *type + "'; use 'ethernet' or 'bridge'", *type);
    }
    if (!name || !r.ok()) {
        TRY_OK(r.finish());
        return fail(Code::invalid_xml, "<interface> has no name");
    }
    HostInterface out{.name = *name, .bridge = *type == "bridge"};
    if (const auto start = r.parse_child("start", [](const Node& node) -> Result<int> {
            Reader s(node);
            const auto mode = s.opt("mode", kStarts);
            if (!mode) {
                s.report(Fault::Kind::missing, "mode", kStarts.choices(), {});
            }
            TRY_OK(s.finish());
            return *mode;
        })) {
        out.start = kStarts.name(*start);
    }
    out.mtu = r.parse_child("mtu", attribute("size", kMtu));
    out.mac = r.parse_child("mac", attribute("address", xml::kMac));
    out.protocols = r.parse_children("protocol", read_protocol);
    r.ignore_child("link");  // a fact, not a wish
    if (out.bridge) {
        r.req_child("bridge");
        r.parse_child("bridge", [&out](const Node& node) -> Result<bool> {
            TRY_OK(read_bridge(node, out));
            return true;
        });
    }
    if (!out.bridge) {
        r.ignore_child("bridge");  // virsh iface-unbridge leaves it there
    }
    TRY_OK(r.finish());
    return out;
}

std::string format(const HostInterface& spec) {
    xml::Writer w;
    w.open("interface", {{"type", spec.bridge ? "bridge" : "ethernet"}, {"name", spec.name.str()}});
    if (!spec.start.empty()) {
        w.empty("start", {{"mode", spec.start}});
    }
    if (spec.mac) {
        w.empty("mac", {{"address", format(*spec.mac)}});
    }
    if (spec.mtu) {
        w.empty("mtu", {{"size", std::to_string(*spec.mtu)}});
    }
    for (const HostInterface::Protocol& protocol : spec.protocols) {
        w.open("protocol", {{"family", std::string(kFamilies.name(protocol.family))}});
        for (const IpInterface& ip : protocol.addresses) {
            w.empty("ip", {{"address", format(ip.address)}, {"prefix", std::to_string(ip.length)}});
        }
        if (protocol.gateway) {
            w.empty("route", {{"gateway", format(*protocol.gateway)}});
        }
        w.close();
    }
    if (spec.bridge) {
        xml::Writer::Attrs attrs;
        if (spec.stp) {
            attrs.emplace_back("stp", *spec.stp ? "on" : "off");
        }
        if (!spec.delay.empty()) {
            attrs.emplace_back("delay", spec.delay);
        }
        w.open("bridge", attrs);
        for (const IfName& port : spec.ports) {
            w.empty("interface", {{"type", "ethernet"}, {"name", port.str()}});
        }
        w.close();
    }
    w.close();
    return w.take();
}

std::string owner_of(const HostInterface& spec) { return "interface:" + spec.name.str(); }

kernel::State compile(const HostInterface& spec) {
    kernel::State state;
    kernel::Link& link = state.links[spec.name];
    if (spec.bridge) {
        const bool stp = spec.stp.value_or(false);
        link.kind = kernel::LinkKind::bridge;
        link.owner = owner_of(spec);
        link.mtu = spec.mtu;
        link.mac = spec.mac;
        link.bridge = kernel::BridgeSettings{
            .stp = stp, .forward_delay_cs = stp ? std::clamp(centis(spec.delay), 200U, 3000U) : centis(spec.delay)};
        for (const IfName& port : spec.ports) {
            state.links[port].master = spec.name;
        }
    }
    for (const HostInterface::Protocol& protocol : spec.protocols) {
        for (const IpInterface& ip : protocol.addresses) {
            state.addresses.insert({.link = spec.name, .address = ip});
        }
        if (protocol.gateway) {
            const Ip any = protocol.family == IpFamily::v4 ? Ip() : Ip::v6({});
            state.routes.insert(
                {.destination = Prefix::of(any, 0), .gateway = protocol.gateway, .link = spec.name, .metric = 0});
        }
    }
    return state;
}

}  // namespace bascule::daemon
