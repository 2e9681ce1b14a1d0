// SPDX-License-Identifier: GPL-2.0-or-later
// net-update of <host> and <range> below <dhcp>.
#include <fmt/format.h>

#include "network/update_parts.h"
#include "network/xml_parts.h"

namespace bascule::network {

namespace {

using xml::Node;

std::optional<Ip> address_in(const Node& node) {
    for (const std::string_view attr : {"ip", "start"}) {
        if (const std::string* const text = node.attr(attr)) {
            return parse_ip(*text);
        }
    }
    return std::nullopt;
}

// By its number; else the one whose subnet the entry's address is in, else the one that has <dhcp>, else the first.
Result<IpAddress*> parent_of(Spec& spec, const Update& update, const Node& node) {
    auto& list = spec.addresses;
    if (update.parent >= 0) {
        if (static_cast<std::size_t>(update.parent) >= list.size()) {
            return refuse(
                fmt::format("couldn't update dhcp host entry - no <ip> element found at index {} in network "
                            "'{}'",
                            update.parent, spec.name.str()));
        }
        return &list[static_cast<std::size_t>(update.parent)];
    }
    const auto address = address_in(node);
    const auto possible = [&](const IpAddress& ip) { return !address || ip.address.prefix().contains(*address); };
    IpAddress* best = nullptr;
    for (IpAddress& ip : list) {
        if (possible(ip) && (best == nullptr || (ip.serves_dhcp() && !best->serves_dhcp()))) {
            best = &ip;
        }
    }
    if (best == nullptr && address) {
        for (IpAddress& ip : list) {  // of the family at least: the error will name the subnet
            const bool family = ip.address.address.family() == address->family();
            best = family && (best == nullptr || (ip.serves_dhcp() && !best->serves_dhcp())) ? &ip : best;
        }
    }
    if (best == nullptr) {
        return refuse(
            fmt::format("couldn't update dhcp host entry - no <ip> element found in network '{}'", spec.name.str()));
    }
    return best;
}

std::string shown(const DhcpHost& host) {
    std::string out = "<host";
    const auto add = [&out](std::string_view attr, const std::string& value) {
        out += value.empty() ? "" : fmt::format(" {}='{}'", attr, value);
    };
    add("mac", host.mac ? format(*host.mac) : "");
    add("id", host.id);
    add("name", host.name);
    add("ip", host.address ? format(*host.address) : "");
    return out + "/>";
}

bool same_id(const DhcpHost& a, const DhcpHost& b) { return !a.id.empty() && a.id_octets() == b.id_octets(); }
bool same_client(const DhcpHost& a, const DhcpHost& b) {
    return a.iaid == b.iaid && ((a.mac && a.mac == b.mac) || same_id(a, b) || (!a.name.empty() && a.name == b.name));
}

// Everything that the pattern says is so.
bool fits(const DhcpHost& pattern, const DhcpHost& host) {
    return (!pattern.mac || pattern.mac == host.mac) && (pattern.id.empty() || same_id(pattern, host)) &&
           (pattern.name.empty() || pattern.name == host.name) && (!pattern.iaid || pattern.iaid == host.iaid) &&
           (!pattern.address || pattern.address == host.address) && (!pattern.lease || pattern.lease == host.lease);
}

Result<void> modify_host(const Spec& spec, IpAddress& parent, DhcpHost host) {
    auto& hosts = parent.hosts;
    // The address alone names no client, and may be what changes.
    const auto found = std::ranges::find_if(hosts, [&](const DhcpHost& other) { return same_client(host, other); });
    if (found == hosts.end()) {
        return refuse(fmt::format("couldn't locate an existing dhcp host entry with \"{}\" in network '{}'",
                                  host.mac           ? fmt::format("mac='{}'", format(*host.mac))
                                  : !host.id.empty() ? fmt::format("id='{}'", host.id)
                                                     : fmt::format("name='{}'", host.name),
                                  spec.name.str()));
    }
    TRY_OK(check_unlike(spec, parent.address.address.family(), host, &*found));
    *found = std::move(host);
    return {};
}

// From that subnet, or from whichever has it.
Result<void> remove_host(Spec& spec, const IpAddress* parent, const DhcpHost& pattern) {
    for (IpAddress& ip : spec.addresses) {
        const auto found = std::ranges::find_if(ip.hosts, [&](const DhcpHost& other) { return fits(pattern, other); });
        if ((parent == nullptr || parent == &ip) && found != ip.hosts.end()) {
            ip.hosts.erase(found);
            return {};
        }
    }
    return refuse(fmt::format("couldn't locate a matching dhcp host entry in network '{}'", spec.name.str()));
}

}  // namespace

Result<void> check_unlike(const Spec& spec, IpFamily family, const DhcpHost& host, const DhcpHost* replaced) {
    for (const IpAddress& ip : spec.addresses) {
        for (const DhcpHost& other : ip.hosts) {
            if (ip.address.address.family() == family && &other != replaced &&
                (same_client(host, other) || host.address == other.address)) {
                return refuse(fmt::format("there is an existing dhcp host entry in network '{}' that matches \"{}\"",
                                          spec.name.str(), shown(host)));
            }
        }
    }
    return {};
}

Result<void> update_dhcp_host(Spec& spec, const Update& update, const Node& node) {
    TRY(IpAddress* const parent, parent_of(spec, update, node));
    if (update.command == Command::remove) {
        TRY(const DhcpHost host, parse_dhcp_host(node, parent->address, Entry::partial));
        return remove_host(spec, update.parent < 0 && !host.address ? nullptr : parent, host);
    }
    TRY(DhcpHost host, parse_dhcp_host(node, parent->address, Entry::whole));
    auto& hosts = parent->hosts;
    if (update.command == Command::modify) {
        return modify_host(spec, *parent, std::move(host));
    }
    TRY_OK(check_unlike(spec, parent->address.address.family(), host, nullptr));
    insert(hosts, update.command, std::move(host));
    return {};
}

Result<void> update_dhcp_range(Spec& spec, const Update& update, const Node& node) {
    if (update.command == Command::modify) {
        return fail(Code::unsupported, "dhcp ranges cannot be modified, only added or deleted");
    }
    TRY(IpAddress* const parent, parent_of(spec, update, node));
    TRY(DhcpRange range, parse_range(node, parent->address.prefix()));
    auto& ranges = parent->ranges;
    const auto found = std::ranges::find(ranges, range.addresses, &DhcpRange::addresses);
    if (update.command == Command::remove) {
        if (found == ranges.end()) {
            return refuse(fmt::format("couldn't locate a matching dhcp range entry in network '{}'", spec.name.str()));
        }
        ranges.erase(found);
        return {};
    }
    if (found != ranges.end()) {
        return refuse(
            fmt::format("there is an existing dhcp range entry in network '{}' that matches \"<range "
                        "start='{}' end='{}'/>\"",
                        spec.name.str(), format(range.addresses.first), format(range.addresses.last)));
    }
    insert(ranges, update.command, range);
    return {};
}

}  // namespace bascule::network
