// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/defaults.h"

#include <set>
#include <tuple>

#include <fmt/format.h>

#include "vmm/addresses.h"

namespace bascule::vmm {

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
    return assign_addresses(spec);
}

}  // namespace bascule::vmm
