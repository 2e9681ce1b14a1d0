// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/defaults.h"

#include <algorithm>
#include <set>
#include <tuple>

#include <fmt/format.h>

#include "vmm/addresses.h"

namespace bascule::vmm {

namespace {

constexpr unsigned kLastPort = 30;  // of a controller that does not say how many it has

Controller* find_controller(Spec& spec, Controller::Type type, unsigned index) {
    const auto it =
        std::ranges::find_if(spec.controllers, [&](const Controller& c) { return c.type == type && c.index == index; });
    return it == spec.controllers.end() ? nullptr : &*it;
}

// Every channel gets a port of its own, and every port a controller.
Result<void> complete_channels(Spec& spec) {
    const auto controller_of = [&spec](unsigned index) -> Controller& {
        if (Controller* const known = find_controller(spec, Controller::Type::virtio_serial, index)) {
            return *known;
        }
        return spec.controllers.emplace_back(Controller{.type = Controller::Type::virtio_serial, .index = index});
    };
    const auto last_port = [&](unsigned index) {
        const auto ports = controller_of(index).ports;
        return ports ? *ports - 1 : kLastPort;
    };
    std::set<std::pair<unsigned, unsigned>> taken;
    for (std::size_t i = 0; i < spec.channels.size(); ++i) {
        const auto& address = spec.channels[i].address;
        if (!address || address->port == 0) {
            continue;
        }
        if (address->port > last_port(address->controller)) {
            return fail(Code::invalid_xml, fmt::format("{}: virtio-serial controller {} has no port {}",
                                                       channel_alias(spec, i), address->controller, address->port));
        }
        if (!taken.emplace(address->controller, address->port).second) {
            return fail(Code::invalid_xml, fmt::format("two channels want port {} of virtio-serial controller {}",
                                                       address->port, address->controller));
        }
    }
    for (std::size_t i = 0; i < spec.channels.size(); ++i) {
        auto& address = spec.channels[i].address;
        if (address && address->port != 0) {
            continue;
        }
        const unsigned controller = address ? address->controller : 0;
        unsigned port = 1;
        while (port <= last_port(controller) && !taken.emplace(controller, port).second) {
            ++port;
        }
        if (port > last_port(controller)) {
            return fail(Code::invalid_xml, fmt::format("{}: virtio-serial controller {} has no port left for it",
                                                       channel_alias(spec, i), controller));
        }
        address = VirtioSerialAddress{controller, port};
    }
    std::ranges::stable_sort(spec.controllers, {}, [](const Controller& c) { return std::pair(c.type, c.index); });
    return {};
}

}  // namespace

Result<void> complete(Spec& spec, const Fresh& fresh) {
    if (spec.uuid.is_nil()) {
        spec.uuid = fresh.uuid();
    }
    // Two NICs on one wire cannot share a station address; on two wires (a bond, a standby) they may.
    std::set<std::tuple<Interface::Type, std::string, MacAddr>> stations;
    std::set<MacAddr> taken;
    for (const Interface& nic : spec.interfaces) {
        if (nic.mac && !stations.emplace(nic.type, nic.source, *nic.mac).second) {
            return fail(Code::invalid_xml,
                        fmt::format("two <interface> of '{}' have the MAC address {}", nic.source, format(*nic.mac)));
        }
        if (nic.mac) {
            taken.insert(*nic.mac);
        }
    }
    for (Interface& nic : spec.interfaces) {
        while (!nic.mac) {
            const MacAddr mac = fresh.mac();
            if (taken.insert(mac).second) {
                nic.mac = mac;
            }
        }
    }
    TRY_OK(complete_channels(spec));
    return assign_addresses(spec);
}

}  // namespace bascule::vmm
