// SPDX-License-Identifier: GPL-2.0-or-later
#include "network/spec.h"

#include <algorithm>

#include <fmt/format.h>

namespace bascule::network {

std::chrono::seconds LeaseTime::length() const {
    switch (unit) {
        case Unit::seconds: return std::chrono::seconds(expiry);
        case Unit::minutes: return std::chrono::minutes(expiry);
        case Unit::hours: return std::chrono::hours(expiry);
    }
    return {};
}

// "0:4:7e": octets of one or two digits; parse() has seen to the form.
std::vector<std::uint8_t> DhcpHost::id_octets() const {
    std::vector<std::uint8_t> out;
    unsigned value = 0;
    for (const char c : id + ":") {
        if (c == ':') {
            out.push_back(static_cast<std::uint8_t>(value));
            value = 0;
        } else {
            value = value * 16 + static_cast<unsigned>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
        }
    }
    return id.empty() ? std::vector<std::uint8_t>{} : out;
}

std::string format(const PciAddress& a) {
    return fmt::format("{:04x}:{:02x}:{:02x}.{:x}", a.domain, a.bus, a.slot, a.function);
}

std::string_view name_of(Mode mode) {
    switch (mode) {
        case Mode::isolated: return "none";
        case Mode::nat: return "nat";
        case Mode::route: return "route";
        case Mode::open: return "open";
        case Mode::bridge: return "bridge";
        case Mode::priv: return "private";
        case Mode::vepa: return "vepa";
        case Mode::passthrough: return "passthrough";
        case Mode::hostdev: return "hostdev";
    }
    return {};
}

bool Spec::has_family(IpFamily family) const {
    return std::ranges::any_of(addresses, [&](const IpAddress& ip) { return ip.address.address.family() == family; });
}

std::optional<IfName> Spec::forward_device() const {
    const bool routed = mode == Mode::nat || mode == Mode::route;
    return routed && !forward_devices.empty() ? std::optional(forward_devices.front()) : std::nullopt;
}

const PortGroup* Spec::portgroup(std::string_view wanted) const {
    const auto found = std::ranges::find_if(
        portgroups, [&](const PortGroup& group) { return wanted.empty() ? group.is_default : group.name == wanted; });
    return found == portgroups.end() ? nullptr : &*found;
}

}  // namespace bascule::network
