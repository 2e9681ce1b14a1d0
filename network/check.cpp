// SPDX-License-Identifier: GPL-2.0-or-later
#include "network/check.h"

#include <algorithm>

#include <fmt/format.h>

#include "network/dnsmasq.h"
#include "network/extras.h"

namespace bascule::network {

namespace {

using Maybe = std::optional<Complaint>;

constexpr std::uint32_t kLeastIpv6Mtu = 1280;  // RFC 8200, 5; the kernel turns IPv6 off below it

std::string worded_mode(const Spec& spec) {
    return spec.mode == Mode::isolated ? "an isolated network" : fmt::format("mode '{}'", name_of(spec.mode));
}

template <class T>
const T* first_repeated(const std::vector<T>& values) {
    for (auto it = values.begin(); it != values.end(); ++it) {
        if (std::find(values.begin(), it, *it) != it) {
            return &*it;
        }
    }
    return nullptr;
}

Maybe check_pool(const Spec& spec) {
    const bool routed = spec.mode == Mode::nat || spec.mode == Mode::route;
    const auto kinds =
        (spec.forward_devices.empty() ? 0 : 1) + (spec.forward_pci.empty() ? 0 : 1) + (spec.forward_pf ? 1 : 0);
    if (kinds > 1) {
        return Complaint{"forward", {}, "has either <interface> (or dev), <address> or <pf>, not several of them"};
    }
    if (routed && spec.forward_devices.size() > 1) {
        return Complaint{"forward", "mode",
                         fmt::format("'{}' goes by one <interface> only; {} are given", name_of(spec.mode),
                                     spec.forward_devices.size())};
    }
    if (spec.mode == Mode::open && !spec.forward_devices.empty()) {
        return Complaint{"forward", "dev", "mode 'open' has no rules of ours that could hold traffic to a device"};
    }
    if ((!spec.forward_pci.empty() || spec.forward_pf) && spec.has_own_bridge()) {
        return Complaint{"forward", "mode",
                         fmt::format("<address> and <pf> are pools of devices; '{}' has none", name_of(spec.mode))};
    }
    if (const IfName* const twice = first_repeated(spec.forward_devices)) {
        return Complaint{"forward", {}, fmt::format("the interface '{}' is there twice", twice->str())};
    }
    if (const PciAddress* const twice = first_repeated(spec.forward_pci)) {
        return Complaint{"forward", {}, fmt::format("the address {} is there twice", format(*twice))};
    }
    if (spec.mode != Mode::nat && (spec.nat_ipv6 || spec.nat_addresses || spec.nat_ports)) {
        return Complaint{"forward", "mode", "<nat> goes with mode 'nat' only"};
    }
    return std::nullopt;
}

// What only a bridge of ours can have.
Maybe check_foreign(const Spec& spec) {
    const auto no = [&](std::string element) {
        return Complaint{
            std::move(element), {}, fmt::format("does not go with {}: the link is not ours", worded_mode(spec))};
    };
    if (!spec.addresses.empty()) {
        return no("ip");
    }
    if (spec.mac) {
        return no("mac");
    }
    if (spec.mtu) {
        return no("mtu");
    }
    if (!spec.domain.empty()) {
        return no("domain");
    }
    if (spec.forward_plain_names || !spec.dns_forwarders.empty() || !spec.dns_texts.empty() ||
        !spec.dns_services.empty() || !spec.dns_hosts.empty()) {
        return no("dns");
    }
    if (!spec.dnsmasq_options.empty()) {
        return no("options");
    }
    const bool bridged = spec.mode == Mode::bridge;
    if (spec.bridge && !bridged) {
        return no("bridge");
    }
    if (spec.bridge && (!spec.forward_devices.empty() || !spec.forward_pci.empty() || spec.forward_pf)) {
        return Complaint{"forward", {}, "mode 'bridge' is by a bridge's name or by a device (macvtap), not both"};
    }
    if (spec.isolated_ports && (!bridged || !spec.forward_devices.empty())) {
        return no("port");
    }
    if (!spec.bandwidth.empty() && !(bridged && spec.bridge)) {
        return no("bandwidth");
    }
    return std::nullopt;
}

Maybe check_own(const Spec& spec) {
    if (spec.mtu && *spec.mtu < kLeastIpv6Mtu && spec.has_family(IpFamily::v6)) {
        return Complaint{"mtu", "size", fmt::format("IPv6 needs an mtu of at least {}", kLeastIpv6Mtu)};
    }
    if (spec.domain_register == true && spec.domain_local != true) {
        return Complaint{"domain", "register", "needs localOnly='yes': only names that are ours can be registered"};
    }
    return std::nullopt;
}

Maybe check_routes(const Spec& spec) {
    for (const StaticRoute& route : spec.routes) {
        const auto inside = [&](const IpAddress& ip) { return ip.address.prefix().contains(route.gateway); };
        if (std::ranges::none_of(spec.addresses, inside)) {
            return Complaint{"route", "gateway",
                             fmt::format("{} is in no subnet of this network", format(route.gateway))};
        }
        const auto ours = [&](const IpAddress& ip) { return ip.address.address == route.gateway; };
        if (std::ranges::any_of(spec.addresses, ours)) {
            return Complaint{"route", "gateway",
                             fmt::format("{} is the address of the bridge itself", format(route.gateway))};
        }
    }
    return std::nullopt;
}

// <bascule:reserve>, <bascule:pool> and others: what nobody would ever be offered is a mistake.
Maybe check_reserved(const Spec& spec) {
    std::vector<IpInterface> subnets;
    for (const IpAddress& ip : spec.addresses) {
        subnets.push_back(ip.address);
    }
    if (const auto what = misplaced(extras_of(spec.metadata).services, subnets); !what.empty()) {
        return Complaint{
            "metadata", {}, fmt::format("{} is in no subnet of this network, nor of a <relayed> one", what)};
    }
    return std::nullopt;
}

Maybe check_groups(const Spec& spec) {
    const PortGroup* standard = nullptr;
    for (auto it = spec.portgroups.begin(); it != spec.portgroups.end(); ++it) {
        if (std::any_of(spec.portgroups.begin(), it, [&](const PortGroup& g) { return g.name == it->name; })) {
            return Complaint{"portgroup", "name", fmt::format("'{}' is there twice", it->name)};
        }
        if (it->is_default && standard != nullptr) {
            return Complaint{"portgroup", "default",
                             fmt::format("both '{}' and '{}' are the default", standard->name, it->name)};
        }
        standard = it->is_default ? &*it : standard;
    }
    return std::nullopt;
}

// Where VLAN tags of guests end up: on a bridge of somebody else's or on virtual functions, never on our own routed
// bridge, whose addresses belong to no VLAN.
bool takes_vlans(const Spec& spec) {
    return spec.mode == Mode::hostdev || spec.mode == Mode::passthrough ||
           (spec.mode == Mode::bridge && spec.forward_devices.empty());
}

Result<void> not_here(const Spec& spec, std::string_view element, std::string_view why) {
    return fail(Code::unsupported_config, fmt::format("network '{}': <{}> does not go with {}: {}", spec.name.str(),
                                                      element, worded_mode(spec), why));
}

Result<void> check_vlan(const Spec& spec) {
    const auto has = [](const PortGroup& group) { return group.vlan.has_value(); };
    if (takes_vlans(spec) || (!spec.vlan && std::ranges::none_of(spec.portgroups, has))) {
        return {};
    }
    return not_here(spec, "vlan", "VLAN tags need mode 'bridge' with a bridge's name, 'passthrough' or 'hostdev'");
}

Result<void> check_virtual_port(const Spec& spec, const std::optional<VirtualPort>& port) {
    using Type = VirtualPort::Type;
    if (!port || port->type == Type::unsaid) {
        return {};
    }
    const bool on_switch = port->type == Type::openvswitch || port->type == Type::midonet;
    const bool bridge = spec.mode == Mode::bridge && spec.forward_devices.empty();
    if (on_switch ? bridge : !spec.has_own_bridge() && !bridge) {
        return {};
    }
    return not_here(
        spec, fmt::format("virtualport type='{}'", kVirtualPortTypes.name(port->type)),
        on_switch ? "it needs mode 'bridge' with a bridge's name" : "it needs a mode that hands out devices");
}

// Who is to be answered for, on the link where neighbours ask for it.
Result<void> check_proxies(const Spec& spec) {
    const auto guests = extras_of(spec.metadata).guest_addresses;
    const auto proxied = std::ranges::find_if(guests, &GuestAddress::proxy);
    if (proxied != guests.end() && !spec.forward_device()) {
        return fail(
            Code::unsupported_config,
            fmt::format("network '{}': <guest-address ip='{}' proxy='yes'> needs <forward mode='route' dev=…/>: "
                        "the device on which the host answers for it",
                        spec.name.str(), format(proxied->ip)));
    }
    return {};
}

}  // namespace

std::optional<Complaint> find_contradiction(const Spec& spec) {
    for (const auto find : {check_pool, check_groups}) {
        if (auto found = find(spec)) {
            return found;
        }
    }
    if (auto found = spec.has_own_bridge() ? check_own(spec) : check_foreign(spec)) {
        return found;
    }
    if (auto reserved = check_reserved(spec)) {
        return reserved;
    }
    return check_routes(spec);
}

Result<void> check(const Spec& spec) {
    if (const auto found = find_contradiction(spec)) {
        return fail(Code::invalid_xml, fmt::format("network '{}': <{}{}{}>: {}", spec.name.str(), found->element,
                                                   found->attribute.empty() ? "" : " ", found->attribute, found->what));
    }
    return {};
}

Result<void> check_realisable(const Spec& spec) {
    TRY_OK(check_vlan(spec));
    TRY_OK(check_virtual_port(spec, spec.virtual_port));
    for (const PortGroup& group : spec.portgroups) {
        TRY_OK(check_virtual_port(spec, group.virtual_port));
    }
    if (spec.bandwidth.inbound && spec.bandwidth.inbound->floor != 0) {
        return fail(
            Code::unsupported_config,
            fmt::format("network '{}': <inbound floor>: a network has no floor; it is what a guest's interface, or "
                        "a <portgroup>, is sure of among the network's average",
                        spec.name.str()));
    }
    dhcp::Spec scratch{.uuid = spec.uuid, .network = {}, .bridge = *IfName::parse("none")};
    scratch.domain = spec.domain;
    for (const IpAddress& ip : spec.addresses) {
        dhcp::Subnet& subnet = scratch.subnets.emplace_back(dhcp::Subnet{.server = ip.address});
        for (const DhcpHost& host : ip.hosts) {
            subnet.hosts.push_back({.mac = host.mac, .address = host.address});
        }
    }
    apply(extras_of(spec.metadata).services, scratch);
    TRY_OK(add_dnsmasq(spec.dnsmasq_options, scratch));
    return check_proxies(spec);
}

Result<void> check_live(const Spec& running, const Spec& next, unsigned plugged) {
    const auto refuse = [&](std::string_view element, std::string_view why) -> Result<void> {
        return fail(Code::invalid_state, fmt::format("network '{}': <{}> cannot change while the network runs: {}",
                                                     running.name.str(), element, why));
    };
    const bool same_kind =
        running.has_own_bridge() == next.has_own_bridge() && (running.has_own_bridge() || running.mode == next.mode);
    if (!same_kind) {
        return refuse("forward mode", "its guests are attached in another way; it takes effect at the next start");
    }
    if (running.bridge != next.bridge) {
        return refuse("bridge name", "its guests are on the bridge of the old name; it takes effect at the next start");
    }
    if (plugged == 0) {
        return {};
    }
    constexpr std::string_view kPlugged = "guests that are plugged in keep theirs; it takes effect at the next start";
    if (running.mac != next.mac) {
        return refuse("mac", "guests that are plugged in know their gateway by it; it takes effect at the next start");
    }
    if (running.mtu != next.mtu) {
        return refuse("mtu", kPlugged);
    }
    if (running.mac_table != next.mac_table) {
        return refuse("bridge macTableManager", kPlugged);
    }
    if (running.isolated_ports.value_or(false) != next.isolated_ports.value_or(false)) {
        return refuse("port isolated", kPlugged);
    }
    if (running.vlan != next.vlan) {
        return refuse("vlan", kPlugged);
    }
    if (running.virtual_port != next.virtual_port) {
        return refuse("virtualport", kPlugged);
    }
    return {};
}

}  // namespace bascule::network
