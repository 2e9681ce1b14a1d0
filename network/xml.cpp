// SPDX-License-Identifier: GPL-2.0-or-later
// <network> to Spec. What libvirt's schema knows and this version does not do is named here, element by
// element, so that the refusal can say so; whatever is not named at all is refused by Reader::finish().
#include "network/xml.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "network/xml_parts.h"

namespace bascule::network {

namespace {

using xml::Fault;
using xml::Node;
using xml::Reader;

constexpr xml::Value<ObjectName> kName{"a name without '/', at most 200 characters long", ObjectName::parse};
constexpr xml::Value<Uuid> kUuid{"a UUID", [](std::string_view text) {
                                     const auto uuid = Uuid::parse(text);
                                     return uuid && !uuid->is_nil() ? uuid : std::nullopt;
                                 }};
constexpr xml::Value<IfName> kDevice{"a device name of 1 to 15 characters", IfName::parse};
// The number in a template is filled in by complete().
constexpr xml::Value<IfName> kBridgeName{
    "a device name of 1 to 15 characters, or one with '%d' for a number", [](std::string_view text) {
        const auto percent = text.find('%');
        const bool fits =
            percent == std::string_view::npos || (text.substr(percent).starts_with("%d") && text.rfind('%') == percent);
        return fits ? IfName::parse(text) : std::nullopt;
    }};
constexpr xml::Value<std::uint16_t> kPort{"a port number", xml::parse_number<std::uint16_t, 1, 65535>};
constexpr xml::Value<std::uint32_t> kMtu{"a number of bytes from 68 to 65535",
                                         xml::parse_number<std::uint32_t, 68, 65535>};
constexpr xml::Value<std::string> kTitle{
    "one line of text", [](std::string_view text) {
        return text.contains('\n') || text.contains('\r') ? std::nullopt : std::optional(std::string(text));
    }};
constexpr std::uint32_t kLeastIpv6Mtu = 1280;  // RFC 8200, 5; the kernel turns IPv6 off below it

// The modes of the peer; those after route are not realised here.
enum class WrittenMode { nat, route, open, bridge, priv, vepa, passthrough, hostdev };
constexpr EnumNames<WrittenMode, 8> kModes{{{{"nat", WrittenMode::nat},
                                             {"route", WrittenMode::route},
                                             {"open", WrittenMode::open},
                                             {"bridge", WrittenMode::bridge},
                                             {"private", WrittenMode::priv},
                                             {"vepa", WrittenMode::vepa},
                                             {"passthrough", WrittenMode::passthrough},
                                             {"hostdev", WrittenMode::hostdev}}}};

constexpr xml::Value<WrittenMode> kMode{"'nat' or 'route'", [](std::string_view text) { return kModes.parse(text); }};

Error inconsistent(const Node& node, std::string_view attr, std::string what) {
    return xml::to_error({Fault::Kind::inconsistent, node.line, node.name, std::string(attr), std::move(what), {}});
}

// <metadata>'s own tag holds nothing.
Result<void> check_bare(const Node& node) {
    for (const auto& [name, value] : node.attrs) {
        return std::unexpected(xml::to_error({Fault::Kind::unknown_attribute, node.line, node.name, name, {}, value}));
    }
    return {};
}

// Text between elements, where only elements have a meaning, is a slip that would go unseen.
Result<void> check_text(const Node& node) {
    constexpr std::array<std::string_view, 5> kTexts{"name", "uuid", "title", "description", "hostname"};
    if (!node.text.empty() && std::ranges::find(kTexts, node.name) == kTexts.end()) {
        return std::unexpected(inconsistent(node, {}, fmt::format("the text '{}' has no meaning here", node.text)));
    }
    if (node.name != "metadata") {
        for (const Node& child : node.children) {
            TRY_OK(check_text(child));
        }
    }
    return {};
}

// An element that has nothing but text.
template <class T>
auto leaf(const xml::Value<T>& value) {
    return [&value](const Node& node) -> Result<T> {
        Reader r(node);
        auto parsed = r.text(value);
        TRY_OK(r.finish());
        return *std::move(parsed);
    };
}

struct Forward {
    nat::Mode mode = nat::Mode::nat;
    std::optional<IfName> device;
    std::optional<PortRange> ports;
};

Result<IfName> parse_forward_interface(const Node& node) {
    Reader r(node);
    auto device = r.req("dev", kDevice);
    r.ignore_attr("connections");  // a count that libvirt prints
    TRY_OK(r.finish());
    return *std::move(device);
}

Result<PortRange> parse_ports(const Node& node) {
    Reader r(node);
    const auto start = r.req("start", kPort);
    const auto end = r.req("end", kPort);
    TRY_OK(r.finish());
    if (*end < *start) {
        return std::unexpected(inconsistent(node, "end", fmt::format("{} comes before start {}", *end, *start)));
    }
    return PortRange{*start, *end};
}

Result<std::optional<PortRange>> parse_nat(const Node& node) {
    Reader r(node);
    if (r.get("ipv6", xml::kYesNo, false)) {
        r.not_supported_attr("ipv6", "NAT of IPv6; without it IPv6 is routed");
    }
    r.not_supported_child("address", "NAT to a range of addresses");
    const auto ports = r.parse_child("port", parse_ports);
    TRY_OK(r.finish());
    return ports;
}

Result<Forward> parse_forward(const Node& node) {
    Reader r(node);
    const auto mode = r.get("mode", kMode, WrittenMode::nat);
    if (mode != WrittenMode::nat && mode != WrittenMode::route) {
        r.report(Fault::Kind::not_supported, "mode", fmt::format("mode '{}'", kModes.name(mode)), {});
    }
    Forward forward{.mode = mode == WrittenMode::route ? nat::Mode::route : nat::Mode::nat,
                    .device = r.opt("dev", kDevice),
                    .ports = {}};
    r.not_supported_attr("managed");
    r.not_supported_child("pf");
    r.not_supported_child("address");
    r.not_supported_child("driver");
    const auto interfaces = r.parse_children("interface", parse_forward_interface);
    if (interfaces.size() > 1) {
        r.report(Fault::Kind::inconsistent, "mode",
                 fmt::format("'{}' goes by one <interface> only; {} are given", kModes.name(mode), interfaces.size()),
                 {});
    } else if (!interfaces.empty() && forward.device && *forward.device != interfaces[0]) {
        r.report(Fault::Kind::inconsistent, "dev",
                 fmt::format("'{}' is not the device '{}' of <interface>", forward.device->str(), interfaces[0].str()),
                 {});
    } else if (!interfaces.empty()) {
        forward.device = interfaces[0];
    }
    if (const auto ports = r.parse_child("nat", parse_nat)) {
        forward.ports = *ports;
        if (mode != WrittenMode::nat) {
            r.report(Fault::Kind::inconsistent, "mode", "<nat> goes with mode 'nat' only", {});
        }
    }
    TRY_OK(r.finish());
    return forward;
}

struct BridgeElement {
    std::optional<IfName> name;
    bool stp = true;
    std::uint32_t delay_seconds = 0;
};

Result<BridgeElement> parse_bridge(const Node& node) {
    Reader r(node);
    BridgeElement bridge{.name = r.opt("name", kBridgeName),
                         .stp = r.get("stp", xml::kOnOff, true),
                         .delay_seconds = r.get("delay", xml::kUnsigned, 0U)};
    r.not_supported_attr("zone", "firewalld zones");
    r.not_supported_attr("macTableManager");
    TRY_OK(r.finish());
    return bridge;
}

template <class T>
auto single_attribute(std::string_view name, const xml::Value<T>& value) {
    return [name, &value](const Node& node) -> Result<T> {
        Reader r(node);
        auto parsed = r.req(name, value);
        TRY_OK(r.finish());
        return *std::move(parsed);
    };
}

struct Domain {
    std::string name;
    std::optional<bool> local;
};

Result<Domain> parse_domain(const Node& node) {
    Reader r(node);
    const auto name = r.req("name", kDnsName);
    const auto local = r.opt("localOnly", xml::kYesNo);
    r.not_supported_attr("register", "registration with systemd-resolved");
    TRY_OK(r.finish());
    return Domain{*name, local};
}

// Foreign elements, one a namespace, kept as they are.
Result<std::vector<std::string>> parse_metadata(const Node& node) {
    TRY_OK(check_bare(node));
    std::vector<std::string> out;
    for (auto it = node.children.begin(); it != node.children.end(); ++it) {
        if (it->ns.empty()) {
            return std::unexpected(inconsistent(*it, {}, "an element of <metadata> needs a namespace (xmlns:…='…')"));
        }
        if (std::any_of(node.children.begin(), it, [&](const Node& before) { return before.ns == it->ns; })) {
            return std::unexpected(
                inconsistent(*it, {}, fmt::format("<metadata> already has an element of the namespace {}", it->ns)));
        }
        out.push_back(it->raw);
    }
    return out;
}

void read_texts(Reader& r, Spec& spec) {
    spec.uuid = r.parse_child("uuid", leaf(kUuid)).value_or(Uuid{});
    spec.title = r.parse_child("title", leaf(kTitle)).value_or("");
    spec.description = r.parse_child("description", leaf(xml::kText)).value_or("");
    spec.metadata = r.parse_child("metadata", parse_metadata).value_or(std::vector<std::string>{});
}

void read_link(Reader& r, Spec& spec) {
    if (auto forward = r.parse_child("forward", parse_forward)) {
        spec.mode = forward->mode;
        spec.forward_device = std::move(forward->device);
        spec.nat_ports = forward->ports;
    }
    if (auto bridge = r.parse_child("bridge", parse_bridge)) {
        spec.bridge = std::move(bridge->name);
        spec.stp = bridge->stp;
        spec.delay_seconds = bridge->delay_seconds;
    }
    spec.mtu = r.parse_child("mtu", single_attribute("size", kMtu));
    spec.mac = r.parse_child("mac", single_attribute("address", kUnicastMac));
}

void read_services(Reader& r, Spec& spec) {
    if (auto domain = r.parse_child("domain", parse_domain)) {
        spec.domain = std::move(domain->name);
        spec.domain_local = domain->local;
    }
    if (auto dns = r.parse_child("dns", parse_dns)) {
        spec.dns_enable = dns->enable;
        spec.dns_hosts = std::move(dns->hosts);
    }
    if (auto addresses = parse_addresses(r.children("ip"))) {
        spec.addresses = *std::move(addresses);
    } else {
        r.report_error(std::move(addresses).error());
    }
}

// What only the whole definition can be judged by.
Result<void> check_whole(const Node& root, const Spec& spec) {
    if (spec.mode != nat::Mode::isolated && spec.addresses.empty()) {
        return std::unexpected(inconsistent(
            *root.child("forward"), "mode",
            fmt::format("'{}' needs at least one <ip> element", spec.mode == nat::Mode::nat ? "nat" : "route")));
    }
    if (spec.mtu && *spec.mtu < kLeastIpv6Mtu && spec.has_family(IpFamily::v6)) {
        return std::unexpected(
            inconsistent(*root.child("mtu"), "size", fmt::format("IPv6 needs an mtu of at least {}", kLeastIpv6Mtu)));
    }
    return {};
}

}  // namespace

Result<Spec> parse(const Node& root) {
    if (root.name != "network" || !root.ns.empty()) {
        return fail(Code::invalid_xml, fmt::format("line {}: expected <network>, got <{}>", root.line, root.name));
    }
    Reader r(root);
    auto name = r.parse_child("name", leaf(kName));
    if (!name) {
        r.report_error(inconsistent(root, {}, "needs a <name> element"));
        return std::unexpected(r.finish().error());
    }
    Spec spec{.name = *std::move(name)};
    r.ignore_attr("connections");  // a count that libvirt prints
    spec.guest_ipv6 = r.get("ipv6", xml::kYesNo, false);
    r.not_supported_attr("trustGuestRxFilters");
    read_texts(r, spec);
    read_link(r, spec);
    for (const std::string_view element : {"virtualport", "portgroup", "bandwidth", "vlan", "port", "route"}) {
        r.not_supported_child(element);
    }
    read_services(r, spec);
    TRY_OK(r.finish());
    TRY_OK(check_text(root));
    TRY_OK(check_whole(root, spec));
    return spec;
}

Result<Spec> parse(std::string_view text) {
    TRY(const Node root, xml::parse(text));
    return parse(root);
}

}  // namespace bascule::network
