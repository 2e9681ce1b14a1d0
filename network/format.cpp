// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include "base/xml.h"
#include "network/extras.h"
#include "network/xml.h"

namespace bascule::network {

namespace {

using xml::Writer;

std::string yes_no(bool value) { return value ? "yes" : "no"; }

std::string pci_part(unsigned value, unsigned digits) { return fmt::format("0x{:0{}x}", value, digits); }

void write_nat(Writer& w, const Spec& spec) {
    if (!spec.nat_ipv6 && !spec.nat_addresses && !spec.nat_ports) {
        return;
    }
    const Writer::Attrs attrs = spec.nat_ipv6 ? Writer::Attrs{{"ipv6", "yes"}} : Writer::Attrs{};
    if (!spec.nat_addresses && !spec.nat_ports) {
        w.empty("nat", attrs);
        return;
    }
    w.open("nat", attrs);
    if (spec.nat_addresses) {
        w.empty("address", {{"start", format(spec.nat_addresses->first)}, {"end", format(spec.nat_addresses->last)}});
    }
    if (spec.nat_ports) {
        w.empty("port",
                {{"start", std::to_string(spec.nat_ports->first)}, {"end", std::to_string(spec.nat_ports->last)}});
    }
    w.close();
}

void write_pool(Writer& w, const Spec& spec) {
    if (!spec.driver_name.empty() || !spec.driver_model.empty()) {
        Writer::Attrs attrs;
        if (!spec.driver_name.empty()) {
            attrs.emplace_back("name", spec.driver_name);
        }
        if (!spec.driver_model.empty()) {
            attrs.emplace_back("model", spec.driver_model);
        }
        w.empty("driver", attrs);
    }
    if (spec.forward_pf) {
        w.empty("pf", {{"dev", spec.forward_pf->str()}});
    }
    for (const IfName& device : spec.forward_devices) {
        w.empty("interface", {{"dev", device.str()}});
    }
    for (const PciAddress& a : spec.forward_pci) {
        w.empty("address", {{"type", "pci"},
                            {"domain", pci_part(a.domain, 4)},
                            {"bus", pci_part(a.bus, 2)},
                            {"slot", pci_part(a.slot, 2)},
                            {"function", pci_part(a.function, 1)}});
    }
}

void write_forward(Writer& w, const Spec& spec) {
    if (spec.mode == Mode::isolated) {
        return;
    }
    Writer::Attrs attrs;
    if (!spec.forward_devices.empty()) {
        attrs.emplace_back("dev", spec.forward_devices[0].str());
    }
    attrs.emplace_back("mode", name_of(spec.mode));
    if (spec.managed) {
        attrs.emplace_back("managed", "yes");
    }
    const bool bare = spec.forward_devices.empty() && spec.forward_pci.empty() && !spec.forward_pf &&
                      spec.driver_name.empty() && spec.driver_model.empty() && !spec.nat_ipv6 && !spec.nat_addresses &&
                      !spec.nat_ports;
    if (bare) {
        w.empty("forward", attrs);
        return;
    }
    w.open("forward", attrs);
    write_nat(w, spec);
    write_pool(w, spec);
    w.close();
}

void write_link(Writer& w, const Spec& spec) {
    if (spec.has_own_bridge() || spec.bridge || spec.mac_table) {
        Writer::Attrs attrs;
        if (spec.bridge) {
            attrs.emplace_back("name", spec.bridge->str());
        }
        if (!spec.zone.empty()) {
            attrs.emplace_back("zone", spec.zone);
        }
        if (spec.has_own_bridge()) {
            attrs.emplace_back("stp", spec.stp ? "on" : "off");
            attrs.emplace_back("delay", std::to_string(spec.delay_seconds));
        }
        if (spec.mac_table) {
            attrs.emplace_back("macTableManager", spec.mac_table == MacTable::libvirt ? "libvirt" : "kernel");
        }
        w.empty("bridge", attrs);
    }
    if (spec.mtu) {
        w.empty("mtu", {{"size", std::to_string(*spec.mtu)}});
    }
    if (spec.mac) {
        w.empty("mac", {{"address", format(*spec.mac)}});
    }
}

void write_domain(Writer& w, const Spec& spec) {
    if (spec.domain.empty()) {
        return;
    }
    Writer::Attrs attrs{{"name", spec.domain}};
    if (spec.domain_local) {
        attrs.emplace_back("localOnly", yes_no(*spec.domain_local));
    }
    if (spec.domain_register) {
        attrs.emplace_back("register", yes_no(*spec.domain_register));
    }
    w.empty("domain", attrs);
}

void write_srv(Writer& w, const DnsSrv& srv) {
    Writer::Attrs attrs{{"service", srv.service}, {"protocol", srv.protocol}};
    if (!srv.domain.empty()) {
        attrs.emplace_back("domain", srv.domain);
    }
    if (!srv.target.empty()) {
        attrs.emplace_back("target", srv.target);
    }
    for (const auto& [name, value] :
         {std::pair{"port", srv.port}, std::pair{"priority", srv.priority}, std::pair{"weight", srv.weight}}) {
        if (value) {
            attrs.emplace_back(name, std::to_string(*value));
        }
    }
    w.empty("srv", attrs);
}

void write_records(Writer& w, const Spec& spec) {
    for (const DnsForwarder& forwarder : spec.dns_forwarders) {
        Writer::Attrs attrs;
        if (!forwarder.domain.empty()) {
            attrs.emplace_back("domain", forwarder.domain);
        }
        if (forwarder.address) {
            attrs.emplace_back("addr", format(*forwarder.address));
        }
        w.empty("forwarder", attrs);
    }
    for (const DnsTxt& txt : spec.dns_texts) {
        w.empty("txt", {{"name", txt.name}, {"value", txt.value.value_or("")}});
    }
    for (const DnsSrv& srv : spec.dns_services) {
        write_srv(w, srv);
    }
    for (const DnsNames& host : spec.dns_hosts) {
        w.open("host", {{"ip", format(*host.address)}});
        for (const std::string& name : host.names) {
            w.leaf("hostname", name);
        }
        w.close();
    }
}

void write_dns(Writer& w, const Spec& spec) {
    Writer::Attrs attrs;
    if (spec.dns_enable) {
        attrs.emplace_back("enable", yes_no(*spec.dns_enable));
    }
    if (spec.forward_plain_names) {
        attrs.emplace_back("forwardPlainNames", yes_no(*spec.forward_plain_names));
    }
    const bool records = !spec.dns_forwarders.empty() || !spec.dns_texts.empty() || !spec.dns_services.empty() ||
                         !spec.dns_hosts.empty();
    if (records) {
        w.open("dns", attrs);
        write_records(w, spec);
        w.close();
    } else if (!attrs.empty()) {
        w.empty("dns", attrs);
    }
}

std::string_view unit_name(LeaseTime::Unit unit) {
    switch (unit) {
        case LeaseTime::Unit::seconds: return "seconds";
        case LeaseTime::Unit::minutes: return "minutes";
        case LeaseTime::Unit::hours: return "hours";
    }
    return {};
}

// An element that has a <lease>, what makes it one association's, or nothing, in it.
void write_leased(Writer& w, std::string_view name, const Writer::Attrs& attrs, const std::optional<LeaseTime>& time,
                  const std::optional<std::uint32_t>& iaid = {}) {
    if (!time && !iaid) {
        w.empty(name, attrs);
        return;
    }
    w.open(name, attrs);
    if (time) {
        Writer::Attrs lease{{"expiry", std::to_string(time->expiry)}};
        if (time->expiry != 0) {
            lease.emplace_back("unit", unit_name(time->unit));
        }
        w.empty("lease", lease);
    }
    if (iaid) {
        w.empty("bascule:association",
                {{"xmlns:bascule", std::string(kOwnNamespace)}, {"iaid", std::to_string(*iaid)}});
    }
    w.close();
}

void write_dhcp(Writer& w, const IpAddress& ip) {
    w.open("dhcp");
    for (const DhcpRange& range : ip.ranges) {
        write_leased(w, "range", {{"start", format(range.addresses.first)}, {"end", format(range.addresses.last)}},
                     range.lease);
    }
    for (const DhcpHost& host : ip.hosts) {
        Writer::Attrs attrs;
        if (host.mac) {
            attrs.emplace_back("mac", format(*host.mac));
        }
        if (!host.id.empty()) {
            attrs.emplace_back("id", host.id);
        }
        if (!host.name.empty()) {
            attrs.emplace_back("name", host.name);
        }
        if (host.address) {
            attrs.emplace_back("ip", format(*host.address));
        }
        write_leased(w, "host", attrs, host.lease, host.iaid);
    }
    if (ip.bootp) {
        Writer::Attrs attrs{{"file", ip.bootp->file}};
        if (!ip.bootp->server.empty()) {
            attrs.emplace_back("server", ip.bootp->server);
        }
        w.empty("bootp", attrs);
    }
    w.close();
}

void add_length(Writer::Attrs& attrs, PrefixWritten written, unsigned length) {
    switch (written) {
        case PrefixWritten::unsaid: break;
        case PrefixWritten::netmask: attrs.emplace_back("netmask", format(netmask(length))); break;
        case PrefixWritten::prefix: attrs.emplace_back("prefix", std::to_string(length)); break;
    }
}

std::string family_name(const Ip& address) { return address.is_v4() ? "ipv4" : "ipv6"; }

void write_address(Writer& w, const IpAddress& ip) {
    Writer::Attrs attrs;
    if (ip.family_written) {
        attrs.emplace_back("family", family_name(ip.address.address));
    }
    attrs.emplace_back("address", format(ip.address.address));
    add_length(attrs, ip.length_written, ip.address.length);
    if (ip.local_ptr) {
        attrs.emplace_back("localPtr", yes_no(*ip.local_ptr));
    }
    w.open("ip", attrs);
    if (!ip.tftp_root.empty()) {
        w.empty("tftp", {{"root", ip.tftp_root}});
    }
    if (ip.serves_dhcp() || ip.bootp) {
        write_dhcp(w, ip);
    }
    w.close();
}

void write_route(Writer& w, const StaticRoute& route) {
    Writer::Attrs attrs;
    if (route.family_written) {
        attrs.emplace_back("family", family_name(route.gateway));
    }
    attrs.emplace_back("address", format(route.destination.network));
    add_length(attrs, route.length_written, route.destination.length);
    attrs.emplace_back("gateway", format(route.gateway));
    if (route.metric) {
        attrs.emplace_back("metric", std::to_string(*route.metric));
    }
    w.empty("route", attrs);
}

void write_texts(Writer& w, const Spec& spec) {
    w.leaf("name", spec.name.str());
    if (!spec.uuid.is_nil()) {
        w.leaf("uuid", format(spec.uuid));
    }
    if (!spec.title.empty()) {
        w.leaf("title", spec.title);
    }
    if (!spec.description.empty()) {
        w.leaf("description", spec.description);
    }
    if (!spec.metadata.empty()) {
        w.open("metadata");
        for (const std::string& element : spec.metadata) {
            w.raw(element);
        }
        w.close();
    }
}

void write_settings(Writer& w, const Spec& spec) {
    if (spec.vlan) {
        write_vlan(w, *spec.vlan);
    }
    write_bandwidth(w, spec.bandwidth);
    if (spec.isolated_ports) {
        w.empty("port", {{"isolated", yes_no(*spec.isolated_ports)}});
    }
}

void write_portgroup(Writer& w, const PortGroup& group) {
    Writer::Attrs attrs{{"name", group.name}};
    if (group.is_default) {
        attrs.emplace_back("default", "yes");
    }
    if (group.trust_rx_filters) {
        attrs.emplace_back("trustGuestRxFilters", yes_no(*group.trust_rx_filters));
    }
    w.open("portgroup", attrs);
    if (group.vlan) {
        write_vlan(w, *group.vlan);
    }
    if (group.virtual_port) {
        write_virtual_port(w, *group.virtual_port);
    }
    write_bandwidth(w, group.bandwidth);
    w.close();
}

void write_dnsmasq(Writer& w, const std::vector<std::string>& options) {
    if (options.empty()) {
        return;
    }
    w.open("dnsmasq:options");
    for (const std::string& option : options) {
        w.empty("dnsmasq:option", {{"value", option}});
    }
    w.close();
}

}  // namespace

std::string format(const Spec& spec, const FormatOptions& options) {
    Writer w;
    Writer::Attrs attrs;
    if (!spec.dnsmasq_options.empty()) {
        attrs.emplace_back("xmlns:dnsmasq", "http://libvirt.org/schemas/network/dnsmasq/1.0");
    }
    if (!options.inactive && options.connections > 0) {
        attrs.emplace_back("connections", std::to_string(options.connections));
    }
    if (spec.guest_ipv6) {
        attrs.emplace_back("ipv6", "yes");
    }
    if (spec.trust_rx_filters) {
        attrs.emplace_back("trustGuestRxFilters", yes_no(*spec.trust_rx_filters));
    }
    w.open("network", attrs);
    write_texts(w, spec);
    write_forward(w, spec);
    write_link(w, spec);
    write_domain(w, spec);
    write_dns(w, spec);
    write_settings(w, spec);
    for (const IpAddress& ip : spec.addresses) {
        write_address(w, ip);
    }
    for (const StaticRoute& route : spec.routes) {
        write_route(w, route);
    }
    if (spec.virtual_port) {
        write_virtual_port(w, *spec.virtual_port);
    }
    for (const PortGroup& group : spec.portgroups) {
        write_portgroup(w, group);
    }
    write_dnsmasq(w, spec.dnsmasq_options);
    return w.take();
}

}  // namespace bascule::network
