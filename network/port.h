// SPDX-License-Identifier: GPL-2.0-or-later
// The document of a network's port: one place where something is, or may be, plugged in.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/port_settings.h"
#include "base/result.h"
#include "network/spec.h"

namespace bascule::network {

// What a port is, behind: <plug>. none: not decided yet.
struct PortPlug {
    enum class Type { none, network, bridge, direct, hostdev_pci };
    enum class DirectMode { vepa, priv, bridge, passthrough };

    Type type = Type::none;
    std::string device{};  // the bridge, or the device of `direct`
    std::optional<MacTable> mac_table{};
    DirectMode mode = DirectMode::vepa;
    PciAddress pci{};
    bool managed = false;
    bool operator==(const PortPlug&) const = default;
};

struct Port {
    Uuid uuid{};  // nil: to be made up
    std::string owner_name{};
    Uuid owner{};
    std::optional<MacAddr> mac{};
    std::string group{};
    Bandwidth bandwidth{};
    unsigned class_id = 0;
    std::optional<Vlan> vlan{};
    std::optional<bool> isolated{};
    std::optional<VirtualPort> virtual_port{};
    std::optional<bool> trust_rx_filters{};
    PortPlug plug{};
    bool operator==(const Port&) const = default;
};

// A <networkport> document; errors name line and element.
Result<Port> parse_port(std::string_view text);
std::string format(const Port& port);

// What the network adds to a port that somebody asks for: the group's settings, the merged virtualport, and the place.
// Of a pool, `users` says how many ports each device (by name or PCI address) has: a mode that shares them takes the
// one with the fewest, one that does not the first that nobody has; Code::conflict when there is none.
Result<void> allocate(Port& port, const Spec& network, const std::function<unsigned(const std::string&)>& users);

}  // namespace bascule::network
