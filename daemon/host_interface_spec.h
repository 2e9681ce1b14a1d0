// SPDX-License-Identifier: GPL-2.0-or-later
// A network device of the host as a client defines it (<interface type='ethernet' | 'bridge' | 'vlan' | 'bond'>): plain
// values, text to them and back, and what the kernel shall hold.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/names.h"
#include "base/net.h"
#include "base/result.h"
#include "base/xml.h"
#include "kernel/state.h"

namespace bascule::daemon {

struct HostInterface {
    struct Protocol {
        IpFamily family = IpFamily::v4;
        std::vector<IpInterface> addresses{};
        std::optional<Ip> gateway{};
        bool operator==(const Protocol&) const = default;
    };
    enum class Kind { ethernet, bridge, vlan, bond };  // of which the first is there, and the others are made
    struct Bond {
        kernel::BondSettings settings{};
        std::vector<IfName> members{};
        bool operator==(const Bond&) const = default;
    };
    // Of a bridge: a device that is there, or a VLAN or bond that comes and goes with the bridge.
    struct Port {
        IfName name;
        std::optional<kernel::VlanSettings> vlan{};
        std::optional<Bond> bond{};
        bool operator==(const Port&) const = default;
    };
    IfName name;
    Kind kind = Kind::ethernet;
    std::string start{};  // <start mode=>: onboot, none, hotplug; empty: unsaid
    std::optional<std::uint32_t> mtu{};
    std::optional<MacAddr> mac{};  // as written: a device has its own
    std::vector<Protocol> protocols{};
    std::optional<bool> stp{};
    std::string delay{};  // seconds, as written
    std::vector<Port> ports{};
    std::optional<kernel::VlanSettings> vlan{};
    std::optional<Bond> bond{};
    bool operator==(const HostInterface&) const = default;
};

// Refuses by name and line what is not realised: DHCP and router advertisements as a client.
Result<HostInterface> parse_host_interface(std::string_view text);
std::string format(const HostInterface& spec);

// The devices that it takes for itself: ports of a bridge, members of a bond. They must be there before.
std::vector<IfName> taken_by(const HostInterface& spec);
// Those that it puts VLANs on, and leaves as they are.
std::vector<IfName> parents_of(const HostInterface& spec);
// Those that come with it and go with it.
std::vector<IfName> made_by(const HostInterface& spec);

// "<bond mode='…'>" with its monitor, left open for the members.
void open_bond(xml::Writer& writer, const kernel::BondSettings& bond);

// "interface:br0"
std::string owner_of(const HostInterface& spec);
kernel::State compile(const HostInterface& spec);

}  // namespace bascule::daemon
