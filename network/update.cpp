// SPDX-License-Identifier: GPL-2.0-or-later
#include "network/update.h"

#include <array>

#include <fmt/format.h>

#include "network/update_parts.h"
#include "network/xml_parts.h"

namespace bascule::network {

namespace {

using xml::Node;

// What element a section's entry is.
constexpr std::array<std::string_view, 12> kElements{"bridge",    "domain", "ip",        "host", "range", "forward",
                                                     "interface", "pf",     "portgroup", "host", "txt",   "srv"};
constexpr std::uint32_t kSections = kElements.size(), kCommands = 4;

std::string_view element_of(Section section) { return kElements[static_cast<std::size_t>(section) - 1]; }

std::unexpected<Error> only(const Spec& spec, std::string_view what, std::string_view commands) {
    return fail(Code::unsupported, fmt::format("network '{}': {} can only be {}", spec.name.str(), what, commands));
}

Result<void> update_forward_interface(Spec& spec, const Update& update, const Node& node) {
    TRY(const IfName device, parse_forward_interface(node));
    auto& list = spec.forward_devices;
    const auto found = std::ranges::find(list, device);
    if (update.command == Command::modify) {
        return fail(Code::unsupported, "forward interface entries cannot be modified, only added or deleted");
    }
    if (update.command == Command::remove) {
        if (found == list.end()) {
            return refuse(fmt::format("couldn't find an interface entry in network '{}' matching <interface dev='{}'>",
                                      spec.name.str(), device.str()));
        }
        list.erase(found);
        return {};
    }
    if (found != list.end()) {
        return refuse(
            fmt::format("there is an existing interface entry in network '{}' that matches \"<interface dev='{}'>\"",
                        spec.name.str(), device.str()));
    }
    if (spec.mode == Mode::isolated) {
        return refuse(
            fmt::format("network '{}' has no <forward>, so there is nothing to go by an interface", spec.name.str()));
    }
    insert(list, update.command, device);
    return {};
}

Result<void> update_forward_pf(Spec& spec, const Update& update, const Node& node) {
    TRY(const IfName device, parse_forward_interface(node));
    if (update.command == Command::remove) {
        if (spec.forward_pf != device) {
            return refuse(fmt::format("couldn't find a pf entry in network '{}' matching <pf dev='{}'>",
                                      spec.name.str(), device.str()));
        }
        spec.forward_pf.reset();
        return {};
    }
    const bool there = spec.forward_pf.has_value();
    if (update.command == Command::modify && !there) {
        return refuse(fmt::format("there is no <pf> in network '{}' to modify", spec.name.str()));
    }
    if (update.command != Command::modify && there) {
        return refuse(fmt::format("there is already <pf dev='{}'> in network '{}', and only one can be",
                                  spec.forward_pf->str(), spec.name.str()));
    }
    spec.forward_pf = device;
    return {};
}

Result<void> update_portgroup(Spec& spec, const Update& update, const Node& node) {
    TRY(PortGroup group, parse_portgroup(node));
    auto& list = spec.portgroups;
    const auto found = std::ranges::find(list, group.name, &PortGroup::name);
    const auto standard = std::ranges::find(list, true, &PortGroup::is_default);
    const bool missing = found == list.end();
    const bool adds = update.command == Command::add_first || update.command == Command::add_last;
    if (missing && !adds) {
        return refuse(fmt::format("couldn't find a portgroup entry in network '{}' matching <portgroup name='{}'>",
                                  spec.name.str(), group.name));
    }
    if (!missing && adds) {
        return refuse(
            fmt::format("there is an existing portgroup entry in network '{}' that matches \"<portgroup name='{}'>\"",
                        spec.name.str(), group.name));
    }
    if (update.command != Command::remove && group.is_default && standard != list.end() && standard != found) {
        return refuse(
            fmt::format("a different portgroup entry in network '{}' is already set as the default. Only "
                        "one default is allowed.",
                        spec.name.str()));
    }
    if (adds) {
        insert(list, update.command, std::move(group));
    } else if (update.command == Command::modify) {
        *found = std::move(group);
    } else {
        list.erase(found);
    }
    return {};
}

// Whole elements, which the peer does not update at all.

Result<void> update_bridge(Spec& spec, const Update& update, const Node& node) {
    if (update.command != Command::modify) {
        return only(spec, "<bridge>", "modified");
    }
    const auto former = spec.bridge;
    TRY_OK(parse_bridge(node, spec));
    spec.bridge = spec.bridge ? spec.bridge : former;
    return {};
}

Result<void> update_domain(Spec& spec, const Update& update, const Node& node) {
    const bool adds = update.command == Command::add_first || update.command == Command::add_last;
    const std::string former = spec.domain;
    if (adds && !former.empty()) {
        return refuse(fmt::format("network '{}' already has the domain '{}'; modify it", spec.name.str(), former));
    }
    TRY_OK(parse_domain(node, spec));
    if (!adds && (former.empty() || (update.command == Command::remove && former != spec.domain))) {
        return refuse(fmt::format("couldn't find a matching domain entry in network '{}'", spec.name.str()));
    }
    if (update.command == Command::remove) {
        spec.domain.clear();
        spec.domain_local.reset();
        spec.domain_register.reset();
    }
    return {};
}

Result<void> update_forward(Spec& spec, const Update& update, const Node& node) {
    if (update.command != Command::modify) {
        return only(spec, "<forward>", "modified");
    }
    spec.driver_name.clear();
    spec.driver_model.clear();
    spec.nat_ipv6 = false;
    spec.nat_addresses.reset();
    spec.nat_ports.reset();
    return parse_forward(node, spec);
}

// By the address on the bridge.
Result<void> update_ip(Spec& spec, const Update& update, const Node& node) {
    TRY(std::vector<IpAddress> read, parse_addresses({&node}));
    IpAddress& ip = read.front();
    auto& list = spec.addresses;
    const auto found =
        std::ranges::find_if(list, [&](const IpAddress& other) { return other.address.address == ip.address.address; });
    const bool adds = update.command == Command::add_first || update.command == Command::add_last;
    if (adds == (found != list.end())) {
        return refuse(fmt::format("{} in network '{}' that matches \"<ip address='{}'>\"",
                                  adds ? "there is an existing ip entry" : "couldn't find an ip entry", spec.name.str(),
                                  format(ip.address.address)));
    }
    if (update.command == Command::remove) {
        list.erase(found);
        return {};
    }
    if (!adds) {
        found->hosts.clear();  // they are replaced
    }
    for (const DhcpHost& host : ip.hosts) {
        TRY_OK(check_unlike(spec, ip.address.address.family(), host, nullptr));
    }
    if (adds) {
        insert(list, update.command, std::move(ip));
    } else {
        *found = std::move(ip);
    }
    return {};
}

Result<void> dispatch(Spec& spec, const Update& update, const Node& node) {
    switch (update.section) {
        case Section::bridge: return update_bridge(spec, update, node);
        case Section::domain: return update_domain(spec, update, node);
        case Section::ip: return update_ip(spec, update, node);
        case Section::ip_dhcp_host: return update_dhcp_host(spec, update, node);
        case Section::ip_dhcp_range: return update_dhcp_range(spec, update, node);
        case Section::forward: return update_forward(spec, update, node);
        case Section::forward_interface: return update_forward_interface(spec, update, node);
        case Section::forward_pf: return update_forward_pf(spec, update, node);
        case Section::portgroup: return update_portgroup(spec, update, node);
        case Section::dns_host: return update_dns_host(spec, update, node);
        case Section::dns_txt: return update_dns_txt(spec, update, node);
        case Section::dns_srv: return update_dns_srv(spec, update, node);
    }
    return fail(Code::not_implemented, fmt::format("can't update unrecognized section {} of network '{}'",
                                                   static_cast<int>(update.section), spec.name.str()));
}

}  // namespace

Result<Order> order_of(std::uint32_t section, std::uint32_t command, std::string_view xml) {
    const auto known = [](std::uint32_t s, std::uint32_t c) {
        return s >= 1 && s <= kSections && c >= 1 && c <= kCommands;
    };
    const auto made = [](std::uint32_t s, std::uint32_t c) {
        return Order{static_cast<Section>(s), static_cast<Command>(c)};
    };
    const auto fits = [&](std::uint32_t s, std::uint32_t c) {
        const auto root = xml::parse(xml);
        return known(s, c) && root && root->name == element_of(static_cast<Section>(s));
    };
    if (known(section, command) && (!known(command, section) || fits(section, command))) {
        return made(section, command);
    }
    if (known(command, section) && (!known(section, command) || fits(command, section))) {
        return made(command, section);
    }
    if (known(section, command)) {
        return made(section, command);  // fits neither: update() says what it expects
    }
    return fail(Code::invalid_argument, fmt::format("section {} and command {}: sections are 1 to {}, commands 1 to {}",
                                                    section, command, kSections, kCommands));
}

Result<void> update(Spec& spec, const Update& change) {
    TRY(const Node node, xml::parse(change.xml));
    const std::string_view wanted = element_of(change.section);
    if (node.name != wanted || !node.ns.empty()) {
        return fail(Code::invalid_xml,
                    fmt::format("line {}: expected <{}> for this section, got <{}>", node.line, wanted, node.name));
    }
    Spec next = spec;
    TRY_OK(dispatch(next, change, node));
    spec = std::move(next);
    return {};
}

}  // namespace bascule::network
