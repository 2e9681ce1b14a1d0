// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/plug.h"

#include <algorithm>

#include <fmt/format.h>

#include "kernel/linux/facts.h"
#include "switch/compile.h"
#include "switch/shaping.h"

namespace bascule::daemon {

namespace {

using vmm::Interface;

Result<void> take_network(const Interface& nic, const Networks& networks, Plug& plug) {
    TRY(const Network* const found, networks.by_name(nic.source));
    if (!found->active()) {
        return fail(Code::invalid_state, fmt::format("network '{}' is not active", nic.source));
    }
    const network::Spec& network = *found->live;
    const network::PortGroup* const group = network.portgroup(nic.portgroup);
    if (!nic.portgroup.empty() && group == nullptr) {
        return fail(Code::invalid_argument,
                    fmt::format("network '{}' has no portgroup '{}'", nic.source, nic.portgroup));
    }
    if (!network.bridge) {
        return fail(Code::unsupported_config,
                    fmt::format("network '{}' is of mode '{}', a pool of devices of the host, which no guest can be "
                                "plugged into here; use one with a bridge",
                                nic.source, network::name_of(network.mode)));
    }
    plug.network = network.uuid;
    plug.bridge = network.bridge;
    plug.own_bridge = network.has_own_bridge() ? network.bridge : std::nullopt;
    plug.mtu = plug.mtu ? plug.mtu : network.mtu;
    TRY(plug.virtual_port, merge(nic.virtual_port, network.virtual_port, group ? group->virtual_port : std::nullopt));
    if (!plug.vlan) {
        plug.vlan = group != nullptr && group->vlan ? group->vlan : network.vlan;
    }
    if (!nic.bandwidth && group != nullptr) {
        plug.bandwidth = group->bandwidth;
    }
    plug.isolated = nic.isolated.value_or(network.isolated_ports.value_or(false));
    plug.mac_table = network.mac_table == network::MacTable::libvirt;
    return {};
}

// The peer's promise is kept by the bridge's owner there; here it is looked at, so that no tag is lost in silence.
Result<void> check_vlan(const Plug& plug) {
    if (!plug.vlan || plug.open_vswitch()) {
        return {};
    }
    for (const VlanTag& tag : plug.vlan->tags) {
        if (tag.id == 0 || tag.id == 4095) {
            return fail(Code::unsupported_config,
                        fmt::format("a bridge has no VLAN {} (IEEE 802.1Q keeps it); use 1 to 4094", tag.id));
        }
    }
    const std::string path = fmt::format("/sys/class/net/{}/bridge/vlan_filtering", plug.bridge->str());
    if (kernel::os::read_text(path, 8).starts_with('1')) {
        return {};
    }
    return fail(
        Code::unsupported_config,
        fmt::format("the bridge {} is not VLAN-aware, so <vlan> would have no effect: make it so (ip link set {} "
                    "type bridge vlan_filtering 1), or use an Open vSwitch bridge and <virtualport "
                    "type='openvswitch'/>",
                    plug.bridge->str(), plug.bridge->str()));
}

kernel::BridgePort bridge_port(const Plug& plug) {
    kernel::BridgePort port{
        .isolated = plug.isolated, .learning = !plug.mac_table, .flood = !plug.mac_table, .untagged = 0, .tagged = {}};
    if (!plug.vlan) {
        return port;
    }
    for (const VlanTag& tag : plug.vlan->tags) {
        const bool native = tag.native != VlanTag::Native::no;
        if (!plug.vlan->trunk || native) {
            port.untagged = tag.id;
        }
        if (plug.vlan->trunk && tag.native != VlanTag::Native::untagged) {
            port.tagged.insert(tag.id);
        }
    }
    return port;
}

void add_addresses(const Interface& nic, const IfName& tap, kernel::State& state) {
    bool v6 = false;
    for (const vmm::NicIp& ip : nic.host_ips) {
        const unsigned length = ip.prefix.value_or(ip.address.bits());
        state.addresses.insert({.link = tap, .address = {ip.address, length}, .peer = ip.peer});
        v6 = v6 || ip.address.is_v6();
    }
    for (const vmm::NicRoute& route : nic.host_routes) {
        state.routes.insert(
            {.destination = route.destination, .gateway = route.gateway, .link = tap, .metric = route.metric});
    }
    if (v6) {  // a tap has no IPv6 of its own otherwise
        state.sysctls[kernel::sysctl_key("ipv6", tap, "disable_ipv6")] = "0";
    }
}

}  // namespace

Result<Plug> plug_of(const Interface& nic, const Networks& networks) {
    Plug plug{.mtu = nic.mtu,
              .vlan = nic.vlan,
              .virtual_port = nic.virtual_port,
              .bandwidth = nic.bandwidth.value_or(Bandwidth{}),
              .isolated = nic.isolated.value_or(false)};
    if (nic.type == Interface::Type::network) {
        TRY_OK(take_network(nic, networks, plug));
    } else if (nic.type == Interface::Type::bridge) {
        plug.bridge = IfName::parse(nic.source);
        if (!plug.bridge) {
            return fail(Code::invalid_argument, fmt::format("'{}' is not a device name", nic.source));
        }
        plug.network = networks.of_bridge(*plug.bridge);
    }
    if (plug.virtual_port && plug.virtual_port->type == VirtualPort::Type::unsaid) {
        plug.virtual_port.reset();
    }
    if (plug.virtual_port) {
        TRY_OK(complete(*plug.virtual_port, true));
        if (!plug.open_vswitch()) {
            return fail(Code::unsupported_config,
                        fmt::format("<virtualport type='{}'> is not realised here: use 'openvswitch', or none for the "
                                    "kernel's bridge",
                                    kVirtualPortTypes.name(plug.virtual_port->type)));
        }
        if (plug.isolated) {
            return fail(Code::unsupported_config,
                        "<port isolated='yes'> is the kernel bridge's: Open vSwitch has none");
        }
    }
    TRY_OK(check_vlan(plug));
    return plug;
}

kernel::State compile(const Plug& plug, const Interface& nic, const IfName& tap) {
    kernel::State state;
    if (nic.managed) {
        state = vswitch::compile_port({.name = tap,
                                       .bridge = plug.bridge.value_or(tap),
                                       .guest_mac = *nic.mac,
                                       .mtu = plug.mtu,
                                       .queues = static_cast<std::uint16_t>(nic.queue_count()),
                                       .up = true},
                                      "port:" + tap.str());
        kernel::Link& link = state.links.at(tap);
        if (!plug.bridge || plug.open_vswitch()) {
            link.master.reset();
        } else {
            link.port = bridge_port(plug);
            link.station = plug.mac_table ? nic.mac : std::nullopt;
        }
        add_addresses(nic, tap, state);
    }
    if (auto shaping = vswitch::shaping_of(plug.bandwidth, false)) {
        state.shapings.emplace(tap, *shaping);
    }
    if (plug.own_bridge && plug.bandwidth.inbound && plug.bandwidth.inbound->floor != 0) {
        state.floors[{*plug.own_bridge, *nic.mac}] = vswitch::bytes_a_second(plug.bandwidth.inbound->floor);
    }
    return state;
}

Result<void> check_floor(const Network& network, const std::string& nic, std::uint64_t floor, std::uint64_t others) {
    const Bandwidth& has = network.live->bandwidth;
    if (!has.inbound || has.inbound->average == 0) {
        return fail(Code::unsupported_config,
                    fmt::format("{}: <inbound floor> is a share of what the network '{}' has, and that has no "
                                "<bandwidth><inbound average=…/>",
                                nic, network.live->name.str()));
    }
    const std::uint64_t most = std::max(has.inbound->average, has.inbound->peak);
    if (floor + others > most) {
        return fail(Code::conflict,
                    fmt::format("{}: a floor of {} kB/s is more than the network '{}' has left: {} of {} are promised",
                                nic, floor, network.live->name.str(), others, most));
    }
    return {};
}

}  // namespace bascule::daemon
