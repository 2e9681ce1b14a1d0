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
constexpr EnumNames<HostInterface::Kind, 4> kKinds{{{{"ethernet", HostInterface::Kind::ethernet},
                                                     {"bridge", HostInterface::Kind::bridge},
                                                     {"vlan", HostInterface::Kind::vlan},
                                                     {"bond", HostInterface::Kind::bond}}}};
// By the kernel's numbers (linux/if_bonding.h).
constexpr EnumNames<std::uint8_t, 7> kBondModes{{{{"balance-rr", 0},
                                                  {"active-backup", 1},
                                                  {"balance-xor", 2},
                                                  {"broadcast", 3},
                                                  {"802.3ad", 4},
                                                  {"balance-tlb", 5},
                                                  {"balance-alb", 6}}}};
constexpr std::uint8_t kFirstModeWithoutArp = 4;
constexpr EnumNames<std::uint32_t, 4> kValidates{{{{"none", 0}, {"active", 1}, {"backup", 2}, {"all", 3}}}};
constexpr EnumNames<bool, 2> kCarriers{{{{"netif", true}, {"ioctl", false}}}};
constexpr Value<std::uint16_t> kTag{"a VLAN's number, 1 to 4094", xml::parse_number<std::uint16_t, 1, 4094>};
constexpr Value<std::uint32_t> kInterval{"milliseconds, 1 to 2147483647",
                                         xml::parse_number<std::uint32_t, 1, 2147483647>};
constexpr Value<std::uint32_t> kDelayMs{"milliseconds, 0 to 2147483647",
                                        xml::parse_number<std::uint32_t, 0, 2147483647>};
// A bond that nothing watches would go on sending into a cable that is out.
constexpr std::uint32_t kUsualMiimon = 100;

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

// A device by its name. What a description of it adds besides is a fact, not a wish.
Result<IfName> read_device(const Node& node) {
    Reader r(node);
    const auto* const type = node.attr("type");
    if (type != nullptr && *type != "ethernet") {
        r.report(Fault::Kind::not_supported, "type", "'" + *type + "' here; use 'ethernet'", *type);
    }
    r.ignore_attr("type");
    const auto name = r.req("name", kDevice);
    r.ignore_child("mac");
    r.ignore_child("link");
    TRY_OK(r.finish());
    return *name;
}

Result<kernel::VlanSettings> read_vlan(const Node& node) {
    Reader r(node);
    const auto tag = r.req("tag", kTag);
    r.req_child("interface");
    const auto parent = r.parse_child("interface", read_device);
    TRY_OK(r.finish());
    return kernel::VlanSettings{*parent, *tag};
}

Result<kernel::BondSettings> read_miimon(const Node& node) {
    Reader r(node);
    kernel::BondSettings out;
    out.miimon = r.req("freq", kInterval).value_or(0);
    out.updelay = r.opt("updelay", kDelayMs).value_or(0);
    out.downdelay = r.opt("downdelay", kDelayMs).value_or(0);
    out.use_carrier = r.get("carrier", kCarriers, true);
    TRY_OK(r.finish());
    return out;
}

Result<kernel::BondSettings> read_arpmon(const Node& node) {
    Reader r(node);
    kernel::BondSettings out;
    out.arp_interval = r.req("interval", kInterval).value_or(0);
    out.arp_target = r.req("target", xml::kIpv4);
    out.arp_validate = r.get("validate", kValidates, 0);
    TRY_OK(r.finish());
    return out;
}

Result<HostInterface::Bond> read_bond(const Node& node) {
    Reader r(node);
    HostInterface::Bond out;
    const std::uint8_t mode = r.get("mode", kBondModes, 0);
    const auto by_carrier = r.parse_child("miimon", read_miimon);
    const auto by_arp = r.parse_child("arpmon", read_arpmon);
    if (by_carrier && by_arp) {
        r.report(Fault::Kind::inconsistent, {}, "<miimon> or <arpmon>, not both", {});
    }
    if (by_arp && mode >= kFirstModeWithoutArp) {  // bond_options.c, BOND_OPT_ARP_INTERVAL
        r.report(Fault::Kind::inconsistent, "mode", "a mode that <arpmon> works with; use <miimon>",
                 kBondModes.name(mode));
    }
    out.settings = by_carrier ? *by_carrier : by_arp.value_or(kernel::BondSettings{});
    out.settings.mode = mode;
    out.members = r.parse_children("interface", read_device);
    TRY_OK(r.finish());
    return out;
}

template <class F>
auto required(Reader& r, std::string_view name, F parse) {
    r.req_child(name);
    return r.parse_child(name, parse);
}

Result<HostInterface::Port> read_port(const Node& node) {
    Reader r(node);
    const auto kind = r.get("type", kKinds, HostInterface::Kind::ethernet);
    const auto name = r.req("name", kDevice);
    r.ignore_child("mac");  // what a description of it adds
    r.ignore_child("link");
    if (kind == HostInterface::Kind::bridge) {
        r.report(Fault::Kind::not_supported, "type", "'bridge' as a port", "bridge");
    }
    std::optional<kernel::VlanSettings> vlan;
    std::optional<HostInterface::Bond> bond;
    if (kind == HostInterface::Kind::vlan) {
        vlan = required(r, "vlan", read_vlan);
    } else if (kind == HostInterface::Kind::bond) {
        bond = required(r, "bond", read_bond);
    }
    TRY_OK(r.finish());
    return HostInterface::Port{*name, std::move(vlan), std::move(bond)};
}

Result<void> read_bridge(const Node& node, HostInterface& out) {
    Reader r(node);
    out.stp = r.opt("stp", xml::kOnOff);
    out.delay = r.opt("delay", kDelay).value_or("");
    out.ports = r.parse_children("interface", read_port);
    return r.finish();
}

// No device has two places, and none is on top of itself.
Result<void> check_places(const HostInterface& spec, int line) {
    std::vector<IfName> devices = made_by(spec);
    for (IfName& name : taken_by(spec)) {
        devices.push_back(std::move(name));
    }
    const auto parents = parents_of(spec);
    std::ranges::sort(devices);
    const auto twice = std::ranges::adjacent_find(devices);
    const bool own_parent = std::ranges::find(parents, spec.name) != parents.end();
    if (twice == devices.end() && !own_parent) {
        return {};
    }
    return fail(Code::invalid_xml,
                fmt::format("line {}: <interface name='{}'>: {} has two places in it, or is on top of itself", line,
                            spec.name.str(), own_parent ? spec.name.str() : twice->str()));
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
    const auto type = r.opt("type", kKinds);
    if (!type) {
        r.report(Fault::Kind::missing, "type", kKinds.choices(), {});
    }
    const auto name = r.req("name", kDevice);
    if (!name || !r.ok()) {
        TRY_OK(r.finish());
        return fail(Code::invalid_xml, "<interface> has no name");
    }
    HostInterface out{.name = *name, .kind = *type};
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
    switch (out.kind) {
        case HostInterface::Kind::ethernet:
            for (const char* const left : {"bridge", "vlan", "bond"}) {
                r.ignore_child(left);  // virsh iface-unbridge leaves <bridge> there
            }
            break;
        case HostInterface::Kind::bridge:
            required(r, "bridge", [&out](const Node& node) -> Result<bool> {
                TRY_OK(read_bridge(node, out));
                return true;
            });
            break;
        case HostInterface::Kind::vlan:
            out.vlan = required(r, "vlan", read_vlan);
            r.ignore_child("bridge");
            break;
        case HostInterface::Kind::bond:
            out.bond = required(r, "bond", read_bond);
            r.ignore_child("bridge");
            break;
    }
    TRY_OK(r.finish());
    TRY_OK(check_places(out, root.line));
    return out;
}

std::vector<IfName> taken_by(const HostInterface& spec) {
    std::vector<IfName> out;
    for (const HostInterface::Port& port : spec.ports) {
        if (!port.vlan && !port.bond) {
            out.push_back(port.name);
        }
    }
    const auto add = [&out](const std::optional<HostInterface::Bond>& bond) {
        if (bond) {
            out.insert(out.end(), bond->members.begin(), bond->members.end());
        }
    };
    add(spec.bond);
    for (const HostInterface::Port& port : spec.ports) {
        add(port.bond);
    }
    return out;
}

std::vector<IfName> parents_of(const HostInterface& spec) {
    std::vector<IfName> out;
    const auto add = [&out](const std::optional<kernel::VlanSettings>& vlan) {
        if (vlan) {
            out.push_back(vlan->parent);
        }
    };
    add(spec.vlan);
    for (const HostInterface::Port& port : spec.ports) {
        add(port.vlan);
    }
    return out;
}

std::vector<IfName> made_by(const HostInterface& spec) {
    std::vector<IfName> out;
    if (spec.kind != HostInterface::Kind::ethernet) {
        out.push_back(spec.name);
    }
    for (const HostInterface::Port& port : spec.ports) {
        if (port.vlan || port.bond) {
            out.push_back(port.name);
        }
    }
    return out;
}

void open_bond(xml::Writer& w, const kernel::BondSettings& bond) {
    w.open("bond", {{"mode", std::string(kBondModes.name(bond.mode))}});
    if (bond.miimon != 0) {
        xml::Writer::Attrs attrs{{"freq", std::to_string(bond.miimon)}};
        if (bond.updelay != 0) {
            attrs.emplace_back("updelay", std::to_string(bond.updelay));
        }
        if (bond.downdelay != 0) {
            attrs.emplace_back("downdelay", std::to_string(bond.downdelay));
        }
        attrs.emplace_back("carrier", std::string(kCarriers.name(bond.use_carrier)));
        w.empty("miimon", attrs);
    } else if (bond.arp_interval != 0 && bond.arp_target) {
        w.empty("arpmon", {{"interval", std::to_string(bond.arp_interval)},
                           {"target", format(*bond.arp_target)},
                           {"validate", std::string(kValidates.name(bond.arp_validate))}});
    }
}

namespace {

void write_device(xml::Writer& w, const IfName& name) {
    w.empty("interface", {{"type", "ethernet"}, {"name", name.str()}});
}

void write(xml::Writer& w, const kernel::VlanSettings& vlan) {
    w.open("vlan", {{"tag", std::to_string(vlan.tag)}});
    w.empty("interface", {{"name", vlan.parent.str()}});
    w.close();
}

void write(xml::Writer& w, const HostInterface::Bond& bond) {
    open_bond(w, bond.settings);
    for (const IfName& member : bond.members) {
        write_device(w, member);
    }
    w.close();
}

void write(xml::Writer& w, const HostInterface::Port& port) {
    if (!port.vlan && !port.bond) {
        write_device(w, port.name);
        return;
    }
    w.open("interface", {{"type", port.vlan ? "vlan" : "bond"}, {"name", port.name.str()}});
    if (port.vlan) {
        write(w, *port.vlan);
    } else {
        write(w, *port.bond);
    }
    w.close();
}

void write_bridge(xml::Writer& w, const HostInterface& spec) {
    xml::Writer::Attrs attrs;
    if (spec.stp) {
        attrs.emplace_back("stp", *spec.stp ? "on" : "off");
    }
    if (!spec.delay.empty()) {
        attrs.emplace_back("delay", spec.delay);
    }
    w.open("bridge", attrs);
    for (const HostInterface::Port& port : spec.ports) {
        write(w, port);
    }
    w.close();
}

}  // namespace

std::string format(const HostInterface& spec) {
    xml::Writer w;
    w.open("interface", {{"type", std::string(kKinds.name(spec.kind))}, {"name", spec.name.str()}});
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
    if (spec.kind == HostInterface::Kind::bridge) {
        write_bridge(w, spec);
    }
    if (spec.vlan) {
        write(w, *spec.vlan);
    }
    if (spec.bond) {
        write(w, *spec.bond);
    }
    w.close();
    return w.take();
}

std::string owner_of(const HostInterface& spec) { return "interface:" + spec.name.str(); }

namespace {

// What the kernel makes of it: delays are multiples of the interval.
kernel::BondSettings as_kept(kernel::BondSettings bond) {
    if (bond.miimon == 0 && bond.arp_interval == 0) {
        bond.miimon = kUsualMiimon;
    }
    if (bond.miimon != 0) {
        bond.updelay -= bond.updelay % bond.miimon;
        bond.downdelay -= bond.downdelay % bond.miimon;
    }
    return bond;
}

void add_bond(kernel::State& state, const IfName& name, const HostInterface::Bond& bond) {
    state.links[name].kind = kernel::LinkKind::bond;
    state.links[name].bond = as_kept(bond.settings);
    for (const IfName& member : bond.members) {
        state.links[member].master = name;
    }
}

void add_vlan(kernel::State& state, const IfName& name, const kernel::VlanSettings& vlan) {
    state.links[name].kind = kernel::LinkKind::vlan;
    state.links[name].vlan = vlan;
}

}  // namespace

kernel::State compile(const HostInterface& spec) {
    kernel::State state;
    if (spec.kind == HostInterface::Kind::bridge) {
        const bool stp = spec.stp.value_or(false);
        state.links[spec.name].kind = kernel::LinkKind::bridge;
        state.links[spec.name].bridge = kernel::BridgeSettings{
            .stp = stp, .forward_delay_cs = stp ? std::clamp(centis(spec.delay), 200U, 3000U) : centis(spec.delay)};
    }
    for (const HostInterface::Port& port : spec.ports) {
        if (port.vlan) {
            add_vlan(state, port.name, *port.vlan);
        } else if (port.bond) {
            add_bond(state, port.name, *port.bond);
        }
        state.links[port.name].master = spec.name;
    }
    if (spec.vlan) {
        add_vlan(state, spec.name, *spec.vlan);
    }
    if (spec.bond) {
        add_bond(state, spec.name, *spec.bond);
    }
    if (spec.kind == HostInterface::Kind::ethernet) {
        state.links[spec.name];
    } else {
        state.links[spec.name].mtu = spec.mtu;
        state.links[spec.name].mac = spec.mac;
    }
    for (const IfName& name : made_by(spec)) {
        state.links[name].owner = owner_of(spec);
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
