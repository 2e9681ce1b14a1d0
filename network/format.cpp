// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include "base/xml.h"
#include "network/xml.h"

namespace bascule::network {

namespace {

using xml::Writer;

std::string yes_no(bool value) { return value ? "yes" : "no"; }

void write_forward(Writer& w, const Spec& spec) {
    if (spec.mode == nat::Mode::isolated) {
        return;
    }
    Writer::Attrs attrs;
    if (spec.forward_device) {
        attrs.emplace_back("dev", spec.forward_device->str());
    }
    attrs.emplace_back("mode", spec.mode == nat::Mode::nat ? "nat" : "route");
    if (!spec.forward_device && !spec.nat_ports) {
        w.empty("forward", attrs);
        return;
    }
    w.open("forward", attrs);
    if (spec.nat_ports) {
        w.open("nat");
        w.empty("port",
                {{"start", std::to_string(spec.nat_ports->first)}, {"end", std::to_string(spec.nat_ports->last)}});
        w.close();
    }
    if (spec.forward_device) {
        w.empty("interface", {{"dev", spec.forward_device->str()}});
    }
    w.close();
}

void write_link(Writer& w, const Spec& spec) {
    Writer::Attrs attrs;
    if (spec.bridge) {
        attrs.emplace_back("name", spec.bridge->str());
    }
    attrs.emplace_back("stp", spec.stp ? "on" : "off");
    attrs.emplace_back("delay", std::to_string(spec.delay_seconds));
    w.empty("bridge", attrs);
    if (spec.mtu) {
        w.empty("mtu", {{"size", std::to_string(*spec.mtu)}});
    }
    if (spec.mac) {
        w.empty("mac", {{"address", format(*spec.mac)}});
    }
}

void write_names(Writer& w, const Spec& spec) {
    if (!spec.domain.empty()) {
        Writer::Attrs attrs{{"name", spec.domain}};
        if (spec.domain_local) {
            attrs.emplace_back("localOnly", yes_no(*spec.domain_local));
        }
        w.empty("domain", attrs);
    }
    if (!spec.dns_enable && spec.dns_hosts.empty()) {
        return;
    }
    Writer::Attrs attrs;
    if (spec.dns_enable) {
        attrs.emplace_back("enable", yes_no(*spec.dns_enable));
    }
    if (spec.dns_hosts.empty()) {
        w.empty("dns", attrs);
        return;
    }
    w.open("dns", attrs);
    for (const dhcp::DnsHost& host : spec.dns_hosts) {
        w.open("host", {{"ip", format(host.address)}});
        for (const std::string& name : host.names) {
            w.leaf("hostname", name);
        }
        w.close();
    }
    w.close();
}

std::string_view unit_name(LeaseTime::Unit unit) {
    switch (unit) {
        case LeaseTime::Unit::seconds: return "seconds";
        case LeaseTime::Unit::minutes: return "minutes";
        case LeaseTime::Unit::hours: return "hours";
    }
    return {};
}

void write_range(Writer& w, const DhcpRange& range) {
    const Writer::Attrs attrs{{"start", format(range.addresses.first)}, {"end", format(range.addresses.last)}};
    if (!range.lease) {
        w.empty("range", attrs);
        return;
    }
    w.open("range", attrs);
    Writer::Attrs lease{{"expiry", std::to_string(range.lease->expiry)}};
    if (range.lease->expiry != 0) {
        lease.emplace_back("unit", unit_name(range.lease->unit));
    }
    w.empty("lease", lease);
    w.close();
}

void write_dhcp(Writer& w, const IpAddress& ip) {
    w.open("dhcp");
    for (const DhcpRange& range : ip.ranges) {
        write_range(w, range);
    }
    for (const dhcp::Reservation& host : ip.hosts) {
        Writer::Attrs attrs;
        if (host.mac) {
            attrs.emplace_back("mac", format(*host.mac));
        }
        if (!host.name.empty()) {
            attrs.emplace_back("name", host.name);
        }
        if (host.address) {
            attrs.emplace_back("ip", format(*host.address));
        }
        w.empty("host", attrs);
    }
    w.close();
}

void write_address(Writer& w, const IpAddress& ip) {
    Writer::Attrs attrs;
    if (ip.family_written) {
        attrs.emplace_back("family", ip.address.address.is_v4() ? "ipv4" : "ipv6");
    }
    attrs.emplace_back("address", format(ip.address.address));
    switch (ip.length_written) {
        case IpAddress::Length::unsaid: break;
        case IpAddress::Length::netmask: attrs.emplace_back("netmask", format(netmask(ip.address.length))); break;
        case IpAddress::Length::prefix: attrs.emplace_back("prefix", std::to_string(ip.address.length)); break;
    }
    w.open("ip", attrs);
    if (ip.serves_dhcp()) {
        write_dhcp(w, ip);
    }
    w.close();
}

}  // namespace

std::string format(const Spec& spec, const FormatOptions& options) {
    Writer w;
    Writer::Attrs attrs;
    if (!options.inactive && options.connections > 0) {
        attrs.emplace_back("connections", std::to_string(options.connections));
    }
    if (spec.guest_ipv6) {
        attrs.emplace_back("ipv6", "yes");
    }
    w.open("network", attrs);
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
    write_forward(w, spec);
    write_link(w, spec);
    write_names(w, spec);
    for (const IpAddress& ip : spec.addresses) {
        write_address(w, ip);
    }
    return w.take();
}

}  // namespace bascule::network
