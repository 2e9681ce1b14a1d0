// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/inventory.h"

namespace bascule::daemon {

Inventory::Names Inventory::names_of(const Uuid& guest) const {
    Names out;
    const auto found = guests_.by_uuid(guest);
    if (!found) {
        return out;
    }
    const Domain& domain = **found;
    const auto add = [&](const vmm::Spec& spec) {
        for (const vmm::Interface& nic : spec.interfaces) {
            if (nic.type != vmm::Interface::Type::network || !nic.mac) {
                continue;
            }
            if (const auto network = networks_.by_name(nic.source)) {
                out.insert({{(*network)->shown().uuid, *nic.mac}, {domain.name, !domain.active()}});
            }
        }
    };
    if (domain.definition) {
        add(*domain.definition);
    }
    if (domain.guest) {
        add(domain.guest->spec());
    }
    return out;
}

// One message for each network. A name that goes comes before the one that comes: two guests may have changed places.
void Inventory::tell(const Names& before, const Names& after) {
    std::map<Uuid, std::vector<dhcp::DnsGuest>> changes;
    for (const auto& [nic, owner] : before) {
        if (!after.contains(nic)) {
            changes[nic.first].push_back({nic.second, {}});
        }
    }
    for (const auto& [nic, owner] : after) {
        const auto had = before.find(nic);
        if (had == before.end() || had->second != owner) {
            changes[nic.first].push_back({nic.second, owner.name, owner.off});
        }
    }
    for (const auto& [network, guests] : changes) {
        netsvc_.set_guests(network, guests);
    }
}

void Inventory::changed(const Uuid& guest) {
    Names now = names_of(guest);
    const auto known = known_.find(guest);
    tell(known == known_.end() ? Names() : known->second, now);
    if (now.empty()) {
        known_.erase(guest);
    } else {
        known_.insert_or_assign(guest, std::move(now));
    }
}

void Inventory::all_changed() {
    std::vector<Uuid> guests;
    for (const Domain* const domain : guests_.all()) {
        guests.push_back(domain->shown().uuid);
    }
    for (const auto& [guest, names] : known_) {
        guests.push_back(guest);
    }
    for (const Uuid& guest : guests) {
        changed(guest);
    }
}

}  // namespace bascule::daemon
