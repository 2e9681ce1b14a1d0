// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/defaults.h"

#include <set>
#include <tuple>

#include <fmt/format.h>

#include "vmm/addresses.h"
#include "vmm/buses.h"

namespace bascule::vmm {

namespace {

// A display shows something, and what it shows has memory.
void complete_display(Spec& spec) {
    if (!spec.graphics.empty() && spec.videos.empty() && !spec.video_none) {
        spec.videos.push_back({.model = Video::Model::vga});
    }
    for (Video& video : spec.videos) {
        constexpr unsigned kUsual = 16384;  // the peer's
        if (video.model == Video::Model::virtio) {
            video.vram_kib.reset();
        } else if (!video.vram_kib) {
            video.vram_kib = kUsual;
        }
    }
}

}  // namespace

Result<void> complete(Spec& spec, const Fresh& fresh) {
    if (spec.uuid.is_nil()) {
        spec.uuid = fresh.uuid();
    }
    // Two NICs on one wire cannot share a station address; on two wires (a bond, a standby) they may.
    // QEMU's own networks are a wire each.
    std::set<std::tuple<Interface::Type, std::string, MacAddr>> stations;
    std::set<MacAddr> taken;
    for (const Interface& nic : spec.interfaces) {
        const bool own_wire = nic.type == Interface::Type::user || nic.type == Interface::Type::ethernet;
        if (nic.mac && !own_wire && !stations.emplace(nic.type, nic.source, *nic.mac).second) {
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
    for (Interface& nic : spec.interfaces) {
        if (nic.virtual_port) {
            TRY_OK(bascule::complete(*nic.virtual_port, true, fresh.uuid));
        }
    }
    complete_display(spec);
    TRY_OK(complete_buses(spec));
    return assign_addresses(spec);
}

}  // namespace bascule::vmm
