// SPDX-License-Identifier: GPL-2.0-or-later
// A network device of the host as a client defines it (<interface type='ethernet' | 'bridge'>): plain values, text to
// them and back, and what the kernel shall hold.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/names.h"
#include "base/net.h"
#include "base/result.h"
#include "kernel/state.h"

namespace bascule::daemon {

struct HostInterface {
    struct Protocol {
        IpFamily family = IpFamily::v4;
        std::vector<IpInterface> addresses{};
        std::optional<Ip> gateway{};
        bool operator==(const Protocol&) const = default;
    };
    IfName name;
    bool bridge = false;  // else an ethernet device, which exists
    std::string start{};  // <start mode=>: onboot, none, hotplug; empty: unsaid
    std::optional<std::uint32_t> mtu{};
    std::optional<MacAddr> mac{};  // as written: a device has its own
    std::vector<Protocol> protocols{};
    std::optional<bool> stp{};
    std::string delay{};  // seconds, as written
    std::vector<IfName> ports{};
    bool operator==(const HostInterface&) const = default;
};

// Refuses by name and line what is not realised: DHCP and router advertisements as a client, VLANs, bonds.
Result<HostInterface> parse_host_interface(std::string_view text);
std::string format(const HostInterface& spec);

// "interface:br0"
std::string owner_of(const HostInterface& spec);
kernel::State compile(const HostInterface& spec);

}  // namespace bascule::daemon
