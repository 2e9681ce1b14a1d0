// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include "vmm/names.h"
#include "vmm/xml_format_parts.h"

namespace bascule::vmm::parts {

namespace {

using Type = Interface::Type;

void write_filter(Writer& w, const FilterRef& filter) {
    if (filter.parameters.empty()) {
        w.empty("filterref", {{"filter", filter.filter}});
        return;
    }
    w.open("filterref", {{"filter", filter.filter}});
    for (const auto& [name, value] : filter.parameters) {
        w.empty("parameter", {{"name", name}, {"value", value}});
    }
    w.close();
}

std::string family(const Ip& ip) { return ip.is_v4() ? "ipv4" : "ipv6"; }

void write_ips(Writer& w, const std::vector<NicIp>& ips) {
    for (const NicIp& ip : ips) {
        w.empty("ip", present({{"address", format(ip.address)},
                               {"family", family(ip.address)},
                               {"prefix", number(ip.prefix)},
                               {"peer", ip.peer ? format(*ip.peer) : ""}}));
    }
}

void write_ethernet_source(Writer& w, const Interface& nic) {
    if (nic.host_ips.empty() && nic.host_routes.empty()) {
        return;
    }
    w.open("source");
    write_ips(w, nic.host_ips);
    for (const NicRoute& route : nic.host_routes) {
        w.empty("route", present({{"family", family(route.gateway)},
                                  {"address", format(route.destination.network)},
                                  {"prefix", std::to_string(route.destination.length)},
                                  {"gateway", format(route.gateway)},
                                  {"metric", route.metric == 0 ? "" : std::to_string(route.metric)}}));
    }
    w.close();
}

void write_source(Writer& w, const Interface& nic, bool running) {
    const auto end = [](const NicEndpoint& at) {
        return present({{"address", at.address}, {"port", std::to_string(at.port)}});
    };
    switch (nic.type) {
        case Type::network:
            w.empty("source", present({{"network", nic.source},
                                       {"portgroup", nic.portgroup},
                                       {"bridge", running && nic.live ? nic.live->bridge : std::string()}}));
            break;
        case Type::bridge: w.empty("source", {{"bridge", nic.source}}); break;
        case Type::ethernet: write_ethernet_source(w, nic); break;
        case Type::user: break;
        case Type::mcast:
        case Type::server:
        case Type::client: w.empty("source", end(nic.remote)); break;
        case Type::udp:
            w.open("source", end(nic.remote));
            w.empty("local", end(nic.local));
            w.close();
            break;
    }
}

void write_target(Writer& w, const Interface& nic, bool running) {
    const std::string name = running && nic.live ? nic.live->target.str() : nic.target ? nic.target->str() : "";
    if (!name.empty() || nic.managed_written) {
        w.empty("target", present({{"dev", name}, {"managed", yes_no(nic.managed_written)}}));
    }
}

void write_forwards(Writer& w, const Interface& nic) {
    for (const PortForward& forward : nic.forwards) {
        const auto attrs = present({{"proto", forward.tcp ? "tcp" : "udp"},
                                    {"address", forward.address ? format(*forward.address) : ""},
                                    {"dev", forward.device ? forward.device->str() : ""}});
        if (forward.ranges.empty()) {
            w.empty("portForward", attrs);
            continue;
        }
        w.open("portForward", attrs);
        for (const PortForward::Range& range : forward.ranges) {
            const auto port = [](std::uint16_t n) { return n == 0 ? std::string() : std::to_string(n); };
            w.empty("range", present({{"start", port(range.start)},
                                      {"end", port(range.end)},
                                      {"to", port(range.to)},
                                      {"exclude", range.exclude ? "yes" : ""}}));
        }
        w.close();
    }
}

Writer::Attrs switches(const NicSwitches& from) {
    Writer::Attrs out;
    for (const auto& [name, value] : from) {
        out.emplace_back(name, value ? "on" : "off");
    }
    return out;
}

void write_driver(Writer& w, const Interface& nic) {
    Writer::Attrs attrs = present({{"name", std::string(kNicBackends.name(nic.backend))},
                                   {"txmode", std::string(kNicTransmits.name(nic.transmit))}});
    for (auto& one : switches(nic.driver)) {
        attrs.push_back(std::move(one));
    }
    for (auto& one : present({{"queues", number(nic.queues)},
                              {"rx_queue_size", number(nic.rx_queue_size)},
                              {"tx_queue_size", number(nic.tx_queue_size)}})) {
        attrs.push_back(std::move(one));
    }
    if (nic.host_offloads.empty() && nic.guest_offloads.empty()) {
        if (!attrs.empty()) {
            w.empty("driver", attrs);
        }
        return;
    }
    w.open("driver", attrs);
    if (!nic.host_offloads.empty()) {
        w.empty("host", switches(nic.host_offloads));
    }
    if (!nic.guest_offloads.empty()) {
        w.empty("guest", switches(nic.guest_offloads));
    }
    w.close();
}

void write_path(Writer& w, std::string_view element, const std::string& path) {
    if (!path.empty()) {
        w.empty(element, {{"path", path}});
    }
}

void write_switch(Writer& w, const Interface& nic) {
    if (nic.vlan) {
        write_vlan(w, *nic.vlan);
    }
    if (nic.virtual_port) {
        write_virtual_port(w, *nic.virtual_port);
    }
    if (nic.bandwidth) {
        write_bandwidth(w, *nic.bandwidth);
    }
    if (nic.isolated) {
        w.empty("port", {{"isolated", yes_no(nic.isolated)}});
    }
}

void write_tuning(Writer& w, const Interface& nic) {
    if (nic.teaming) {
        w.empty("teaming", {{"type", "persistent"}});
    }
    if (nic.filter) {
        write_filter(w, *nic.filter);
    }
    if (nic.link_state) {
        w.empty("link", {{"state", std::string(kLinkStates.name(nic.link_up))}});
    }
    if (nic.send_buffer) {
        w.open("tune");
        w.leaf("sndbuf", std::to_string(*nic.send_buffer));
        w.close();
    }
    if (nic.mtu) {
        w.empty("mtu", {{"size", std::to_string(*nic.mtu)}});
    }
    if (nic.rx_frames) {
        w.open("coalesce");
        w.open("rx");
        w.empty("frames", {{"max", number(nic.rx_frames)}});
        w.close();
        w.close();
    }
}

}  // namespace

void write_interface(Writer& w, const Spec& spec, std::size_t index, bool running) {
    const Interface& nic = spec.interfaces[index];
    w.open("interface", present({{"type", std::string(kInterfaceTypes.name(nic.type))},
                                 {"trustGuestRxFilters", yes_no(nic.trust_rx_filters)}}));
    if (nic.mac) {
        w.empty("mac", present({{"address", format(*nic.mac)}, {"type", nic.mac_type}, {"check", nic.mac_check}}));
    }
    write_source(w, nic, running);
    write_switch(w, nic);
    write_ips(w, nic.guest_ips);
    write_forwards(w, nic);
    write_path(w, "script", nic.script);
    write_path(w, "downscript", nic.downscript);
    write_target(w, nic, running);
    if (nic.guest_device) {
        w.empty("guest", {{"dev", nic.guest_device->str()}});
    }
    w.empty("model", {{"type", std::string(kNicModels.name(nic.model))}});
    write_driver(w, nic);
    if (nic.passt) {
        w.empty("backend", present({{"type", "passt"}, {"logFile", nic.passt_log}}));
    }
    write_tuning(w, nic);
    if (nic.boot_order) {
        w.empty("boot", {{"order", std::to_string(*nic.boot_order)}});
    }
    write_alias(w, nic.alias, nic_alias(spec, index), running);
    if (!nic.rom) {
        w.empty("rom", {{"enabled", "no"}});
    } else if (nic.rom_bar || !nic.rom_file.empty()) {
        w.empty("rom", present({{"bar", on_off(nic.rom_bar)}, {"file", nic.rom_file}}));
    }
    if (nic.acpi_index) {
        w.empty("acpi", {{"index", number(nic.acpi_index)}});
    }
    write_address(w, nic.address);
    w.close();
}

}  // namespace bascule::vmm::parts
