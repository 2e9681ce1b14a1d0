// SPDX-License-Identifier: GPL-2.0-or-later
#include "network/compile.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "nat/compile.h"
#include "network/dnsmasq.h"
#include "network/extras.h"
#include "switch/compile.h"
#include "switch/shaping.h"

namespace bascule::network {

namespace {

// The bridge is a router's interface: it must not learn addresses or routes from what guests advertise,
// and has no IPv6 at all where the network has none (a link-local address would be reachable from guests).
void add_bridge_sysctls(const Spec& spec, kernel::State& state) {
    const auto set = [&](std::string_view name, std::string_view value) {
        state.sysctls[fmt::format("net/ipv6/conf/{}/{}", spec.bridge->str(), name)] = value;
    };
    set("accept_ra", "0");
    set("autoconf", "0");
    set("disable_ipv6", spec.has_family(IpFamily::v6) ? "0" : "1");
}

dhcp::Subnet subnet_of(const IpAddress& ip) {
    dhcp::Subnet subnet{.server = ip.address};
    for (const DhcpRange& range : ip.ranges) {
        const auto lease = range.lease ? std::optional(range.lease->length()) : std::nullopt;
        subnet.lease = subnet.ranges.empty() && lease ? *lease : subnet.lease;  // hosts have that of the first
        subnet.ranges.push_back({range.addresses.first, range.addresses.last, lease});
    }
    for (const DhcpHost& host : ip.hosts) {
        subnet.hosts.push_back({.mac = host.mac,
                                .name = host.name,
                                .address = host.address,
                                .client_id = host.id_octets(),
                                .iaid = host.iaid,
                                .lease = host.lease ? std::optional(host.lease->length()) : std::nullopt});
    }
    return subnet;
}

void add_boot(const IpAddress& ip, dhcp::Spec& service) {
    if (!ip.tftp_root.empty()) {
        service.file_root = ip.tftp_root;
    }
    if (ip.bootp) {
        const auto server = parse_ip(ip.bootp->server);
        service.boot.push_back(
            {.file = ip.bootp->file, .server = server, .server_name = server ? std::string() : ip.bootp->server});
    }
}

dhcp::DnsSettings names_of(const Spec& spec) {
    dhcp::DnsSettings names{.forward_plain_names = spec.forward_plain_names};
    for (const DnsTxt& txt : spec.dns_texts) {
        names.texts.push_back({txt.name, txt.value.value_or("")});
    }
    for (const DnsSrv& srv : spec.dns_services) {
        names.services.push_back({.service = srv.service,
                                  .protocol = srv.protocol,
                                  .domain = srv.domain,
                                  .target = srv.target == "." ? std::string() : srv.target,
                                  .port = srv.port.value_or(1),
                                  .priority = srv.priority.value_or(0),
                                  .weight = srv.weight.value_or(0)});
    }
    for (const DnsForwarder& forwarder : spec.dns_forwarders) {
        names.forwarders.push_back({.domain = forwarder.domain, .address = forwarder.address});
    }
    return names;
}

std::optional<dhcp::Spec> service_of(const Spec& spec) {
    const bool serve_dns = spec.dns_enable.value_or(true);
    const bool serve_dhcp = std::ranges::any_of(spec.addresses, &IpAddress::serves_dhcp);
    const bool serve_files = std::ranges::any_of(spec.addresses, [](const auto& ip) { return !ip.tftp_root.empty(); });
    const bool advertises = spec.has_family(IpFamily::v6);
    if (spec.addresses.empty() || (!serve_dns && !serve_dhcp && !serve_files && !advertises)) {
        return std::nullopt;
    }
    const bool isolated = spec.mode == Mode::isolated;
    dhcp::Spec service{.uuid = spec.uuid,
                       .network = spec.name.str(),
                       .bridge = *spec.bridge,
                       .subnets = {},
                       .domain = spec.domain,
                       .domain_local = spec.domain_local.value_or(false),
                       .mtu = spec.mtu,
                       .gateway = !isolated,
                       .forward_dns = !isolated,
                       .serve_dns = serve_dns,
                       .dns = names_of(spec)};
    for (const DnsNames& host : spec.dns_hosts) {
        service.dns_hosts.push_back({*host.address, host.names});
    }
    for (const IpAddress& ip : spec.addresses) {
        service.subnets.push_back(subnet_of(ip));
        add_boot(ip, service);
    }
    apply(extras_of(spec.metadata).services, service);
    // check_realisable() has seen to it that all of them are understood; if one is not, the others are served.
    (void)add_dnsmasq(spec.dnsmasq_options, service).has_value();
    return service;
}

// The modes that have a bridge of ours.
nat::Mode rules_mode(Mode mode) {
    switch (mode) {
        case Mode::nat: return nat::Mode::nat;
        case Mode::route: return nat::Mode::route;
        case Mode::open: return nat::Mode::open;
        default: return nat::Mode::isolated;
    }
}

void add_routes(const Spec& spec, kernel::State& state) {
    for (const StaticRoute& route : spec.routes) {
        // 1: what the peer gives a route that says nothing.
        state.routes.insert({.destination = route.destination,
                             .gateway = route.gateway,
                             .link = *spec.bridge,
                             .metric = route.metric.value_or(1)});
    }
}

}  // namespace

nat::Spec rules_of(const Spec& spec, std::vector<nat::Admitted> admits) {
    const Extras extras = extras_of(spec.metadata);
    nat::Spec rules{
        .bridge = *spec.bridge, .mode = rules_mode(spec.mode), .subnets = {}, .device = spec.forward_device()};
    const auto add_subnet = [&rules](const Prefix& subnet) {
        if (std::ranges::find(rules.subnets, subnet) == rules.subnets.end()) {
            rules.subnets.push_back(subnet);
        }
    };
    for (const IpAddress& ip : spec.addresses) {
        add_subnet(ip.address.prefix());
        rules.gateways.push_back(ip.address.address);
        if (ip.serves_dhcp()) {
            (ip.address.address.is_v4() ? rules.host.dhcp4 : rules.host.dhcp6) = true;
        }
    }
    for (const GuestAddress& guest : extras.guest_addresses) {
        add_subnet(Prefix::of(guest.ip, guest.ip.bits()));
    }
    if (spec.nat_ports) {
        rules.ports = *spec.nat_ports;
    }
    rules.nat66 = spec.nat_ipv6;
    rules.source = spec.nat_addresses;
    rules.host.tftp = std::ranges::any_of(spec.addresses, [](const auto& ip) { return !ip.tftp_root.empty(); });
    rules.host.dns = spec.dns_enable.value_or(true);
    rules.host.all = extras.host_all;
    rules.host.more = extras.host;
    rules.admits = std::move(admits);
    return rules;
}

std::string owner_of(const Spec& spec) { return "network:" + format(spec.uuid); }

Compiled compile(const Spec& spec, std::vector<nat::Admitted> admits) {
    Compiled out;
    if (const auto shaping = vswitch::shaping_of(spec.bandwidth, true); shaping && spec.bridge) {
        out.state.shapings.emplace(*spec.bridge, *shaping);
    }
    if (!spec.has_own_bridge()) {
        return out;  // somebody else's bridge, or a list of devices: nothing else of it is ours to make
    }
    const vswitch::Bridge bridge{
        .name = *spec.bridge, .stp = spec.stp, .delay_seconds = spec.delay_seconds, .mac = spec.mac, .mtu = spec.mtu};
    out.state.links = vswitch::compile_bridge(bridge, owner_of(spec)).links;
    for (const IpAddress& ip : spec.addresses) {
        out.state.addresses.insert(kernel::Address{.link = *spec.bridge, .address = ip.address});
    }
    for (const GuestAddress& guest : extras_of(spec.metadata).guest_addresses) {
        out.state.routes.insert(
            {.destination = Prefix::of(guest.ip, guest.ip.bits()), .gateway = {}, .link = *spec.bridge});
        if (const auto device = spec.forward_device(); guest.proxy && guest.ip.is_v6() && device) {
            out.state.sysctls[kernel::sysctl_key("ipv6", *device, "proxy_ndp")] = "1";  // ARP asks for none such
        }
    }
    add_routes(spec, out.state);
    kernel::State forwarding = nat::compile(rules_of(spec, std::move(admits)));
    out.state.sysctls.merge(forwarding.sysctls);
    out.state.rules = std::move(forwarding.rules);
    add_bridge_sysctls(spec, out.state);
    out.service = service_of(spec);
    return out;
}

}  // namespace bascule::network
