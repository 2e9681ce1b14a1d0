// SPDX-License-Identifier: GPL-2.0-or-later
#include "network/port.h"

#include <fmt/format.h>

#include "network/xml_parts.h"

namespace bascule::network {

namespace {

using xml::Fault;
using xml::Node;
using xml::Reader;

constexpr EnumNames<PortPlug::Type, 4> kTypes{{{{"network", PortPlug::Type::network},
                                                {"bridge", PortPlug::Type::bridge},
                                                {"direct", PortPlug::Type::direct},
                                                {"hostdev-pci", PortPlug::Type::hostdev_pci}}}};
constexpr EnumNames<PortPlug::DirectMode, 4> kModes{{{{"vepa", PortPlug::DirectMode::vepa},
                                                      {"private", PortPlug::DirectMode::priv},
                                                      {"bridge", PortPlug::DirectMode::bridge},
                                                      {"passthrough", PortPlug::DirectMode::passthrough}}}};
constexpr EnumNames<MacTable, 2> kMacTables{{{{"kernel", MacTable::kernel}, {"libvirt", MacTable::libvirt}}}};
constexpr xml::Value<Uuid> kUuid{"a UUID", Uuid::parse};
constexpr xml::Value<std::string> kName{"a name", [](std::string_view text) {
                                            const bool fits = !text.empty() && text.size() <= 200;
                                            return fits ? std::optional(std::string(text)) : std::nullopt;
                                        }};

Result<bool> parse_owner(const Node& node, Port& port) {
    Reader r(node);
    const auto name = r.req_child("name") != nullptr ? r.child_text("name", kName) : std::nullopt;
    const auto uuid = r.req_child("uuid") != nullptr ? r.child_text("uuid", kUuid) : std::nullopt;
    TRY_OK(r.finish());
    port.owner_name = *name;
    port.owner = *uuid;
    return true;
}

template <class T, class V>
Result<T> attribute(const Node& node, std::string_view name, const V& value) {
    Reader r(node);
    const auto parsed = r.opt(name, value);
    if (!parsed && r.ok()) {
        r.report(Fault::Kind::missing, name, "a value", {});
    }
    TRY_OK(r.finish());
    return *parsed;
}

Result<PortPlug> parse_plug(const Node& node) {
    Reader r(node);
    const auto type = r.opt("type", kTypes);
    if (!type && r.ok()) {
        r.report(Fault::Kind::missing, "type", kTypes.choices(), {});
    }
    PortPlug plug{.type = type.value_or(PortPlug::Type::none)};
    switch (plug.type) {
        case PortPlug::Type::none: break;
        case PortPlug::Type::network:
        case PortPlug::Type::bridge: {
            const auto bridge = r.req("bridge", kDevice);
            plug.device = bridge ? bridge->str() : std::string();
            plug.mac_table = r.opt("macTableManager", kMacTables);
            break;
        }
        case PortPlug::Type::direct: {
            const auto device = r.req("dev", kDevice);
            plug.device = device ? device->str() : std::string();
            plug.mode = r.get("mode", kModes, PortPlug::DirectMode::vepa);
            break;
        }
        case PortPlug::Type::hostdev_pci:
            plug.managed = r.get("managed", xml::kYesNo, false);
            if (const Node* const address = r.req_child("address")) {
                if (auto pci = parse_pci(*address)) {
                    plug.pci = *pci;
                } else {
                    r.report_error(std::move(pci).error());
                }
            }
            break;
    }
    TRY_OK(r.finish());
    return plug;
}

void write_plug(xml::Writer& w, const PortPlug& plug) {
    xml::Writer::Attrs attrs{{"type", std::string(kTypes.name(plug.type))}};
    switch (plug.type) {
        case PortPlug::Type::none: return;
        case PortPlug::Type::network:
        case PortPlug::Type::bridge:
            attrs.emplace_back("bridge", plug.device);
            if (plug.mac_table) {
                attrs.emplace_back("macTableManager", kMacTables.name(*plug.mac_table));
            }
            w.empty("plug", attrs);
            return;
        case PortPlug::Type::direct:
            attrs.emplace_back("dev", plug.device);
            attrs.emplace_back("mode", kModes.name(plug.mode));
            w.empty("plug", attrs);
            return;
        case PortPlug::Type::hostdev_pci:
            attrs.emplace_back("managed", plug.managed ? "yes" : "no");
            w.open("plug", attrs);
            w.empty("address", {{"domain", fmt::format("{:#06x}", plug.pci.domain)},
                                {"bus", fmt::format("{:#04x}", plug.pci.bus)},
                                {"slot", fmt::format("{:#04x}", plug.pci.slot)},
                                {"function", fmt::format("{:#x}", plug.pci.function)}});
            w.close();
            return;
    }
}

// The device of a pool that a port gets.
template <class T, class Name>
Result<T> choose(const Spec& network, const std::vector<T>& pool, bool shared,
                 const std::function<unsigned(const std::string&)>& users, Name name) {
    const T* best = nullptr;
    unsigned least = 0;
    for (const T& device : pool) {
        const unsigned count = users(name(device));
        if ((best == nullptr || count < least) && (shared || count == 0)) {
            best = &device;
            least = count;
        }
    }
    if (best == nullptr) {
        return fail(Code::conflict, fmt::format("network '{}' requires exclusive access to interfaces, but none are "
                                                "available",
                                                network.name.str()));
    }
    return *best;
}

Result<void> place(Port& port, const Spec& network, const std::function<unsigned(const std::string&)>& users) {
    const bool by_name = network.mode == Mode::bridge && network.bridge;
    if (network.has_own_bridge() || by_name) {
        port.plug = {.type = by_name ? PortPlug::Type::bridge : PortPlug::Type::network,
                     .device = network.bridge ? network.bridge->str() : std::string(),
                     .mac_table = network.mac_table};
        return {};
    }
    if (network.mode == Mode::hostdev || !network.forward_pci.empty()) {
        TRY(const PciAddress pci,
            choose(network, network.forward_pci, false, users, [](const PciAddress& a) { return format(a); }));
        port.plug = {.type = PortPlug::Type::hostdev_pci, .pci = pci, .managed = network.managed};
        return {};
    }
    const bool qbh = port.virtual_port && port.virtual_port->type == VirtualPort::Type::qbh;
    const bool shared = network.mode != Mode::passthrough && !(network.mode == Mode::priv && qbh);
    TRY(const IfName device,
        choose(network, network.forward_devices, shared, users, [](const IfName& name) { return name.str(); }));
    const PortPlug::DirectMode mode = network.mode == Mode::vepa          ? PortPlug::DirectMode::vepa
                                      : network.mode == Mode::priv        ? PortPlug::DirectMode::priv
                                      : network.mode == Mode::passthrough ? PortPlug::DirectMode::passthrough
                                                                          : PortPlug::DirectMode::bridge;
    port.plug = {.type = PortPlug::Type::direct, .device = device.str(), .mode = mode};
    return {};
}

}  // namespace

Result<Port> parse_port(std::string_view text) {
    TRY(const Node root, xml::parse(text));
    if (root.name != "networkport" || !root.ns.empty()) {
        return fail(Code::invalid_xml, fmt::format("line {}: expected <networkport>, got <{}>", root.line, root.name));
    }
    Reader r(root);
    Port port{.uuid = r.child_text("uuid", kUuid).value_or(Uuid{})};
    if (r.req_child("owner") != nullptr) {
        r.parse_child("owner", [&port](const Node& n) { return parse_owner(n, port); });
    }
    port.group = r.child_text("group", kName).value_or("");
    port.mac = r.parse_child("mac", [](const Node& n) { return attribute<MacAddr>(n, "address", kUnicastMac); });
    port.trust_rx_filters =
        r.parse_child("rxfilters", [](const Node& n) { return attribute<bool>(n, "trustGuest", xml::kYesNo); });
    port.isolated = r.parse_child("port", [](const Node& n) { return attribute<bool>(n, "isolated", xml::kYesNo); });
    port.virtual_port = r.parse_child("virtualport", read_virtual_port);
    if (const Node* const bandwidth = r.child("bandwidth")) {
        const std::string* const id = bandwidth->attr("classID");
        const auto number = id == nullptr ? std::optional(0U) : xml::parse_number<unsigned>(*id);
        if (!number) {
            return inconsistent(*bandwidth, "classID", fmt::format("'{}' is not a number", *id));
        }
        port.class_id = *number;
    }
    port.bandwidth = r.parse_child("bandwidth", read_bandwidth).value_or(Bandwidth{});
    port.vlan = r.parse_child("vlan", read_vlan);
    port.plug = r.parse_child("plug", parse_plug).value_or(PortPlug{});
    TRY_OK(r.finish());
    return port;
}

std::string format(const Port& port) {
    xml::Writer w;
    w.open("networkport");
    w.leaf("uuid", format(port.uuid));
    w.open("owner");
    w.leaf("name", port.owner_name);
    w.leaf("uuid", format(port.owner));
    w.close();
    if (!port.group.empty()) {
        w.leaf("group", port.group);
    }
    if (port.mac) {
        w.empty("mac", {{"address", format(*port.mac)}});
    }
    if (port.virtual_port) {
        write_virtual_port(w, *port.virtual_port);
    }
    write_bandwidth(w, port.bandwidth, port.class_id);
    if (port.vlan) {
        write_vlan(w, *port.vlan);
    }
    if (port.isolated) {
        w.empty("port", {{"isolated", *port.isolated ? "yes" : "no"}});
    }
    if (port.trust_rx_filters) {
        w.empty("rxfilters", {{"trustGuest", *port.trust_rx_filters ? "yes" : "no"}});
    }
    write_plug(w, port.plug);
    return w.take();
}

Result<void> allocate(Port& port, const Spec& network, const std::function<unsigned(const std::string&)>& users) {
    const PortGroup* const group = network.portgroup(port.group);
    if (!port.group.empty() && group == nullptr) {
        return fail(Code::invalid_argument,
                    fmt::format("network '{}' has no portgroup '{}'", network.name.str(), port.group));
    }
    TRY(port.virtual_port,
        merge(port.virtual_port, network.virtual_port, group != nullptr ? group->virtual_port : std::nullopt));
    if (port.virtual_port) {
        TRY_OK(complete(*port.virtual_port, true));
    }
    if (group != nullptr) {
        port.bandwidth = port.bandwidth.empty() ? group->bandwidth : port.bandwidth;
        port.vlan = port.vlan ? port.vlan : group->vlan;
        port.trust_rx_filters = port.trust_rx_filters ? port.trust_rx_filters : group->trust_rx_filters;
    }
    port.vlan = port.vlan ? port.vlan : network.vlan;
    port.isolated = port.isolated ? port.isolated : network.isolated_ports;
    port.trust_rx_filters = port.trust_rx_filters ? port.trust_rx_filters : network.trust_rx_filters;
    return place(port, network, users);
}

}  // namespace bascule::network
