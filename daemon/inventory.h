// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "daemon/guests.h"
#include "daemon/netsvc.h"
#include "daemon/networks.h"

namespace bascule::daemon {

// Which NIC on which network belongs to which guest: what the network's DNS calls it by, from the moment the guest is
// defined, renamed in the same step, gone with it. A NIC counts while the guest's definition or what runs has it.
class Inventory {
public:
    Inventory(const Guests& guests, const Networks& networks, Netsvc& netsvc)
        : guests_(guests), networks_(networks), netsvc_(netsvc) {}

    // The guest changed, came or went.
    void changed(const Uuid& guest);
    // A network came or went, or everything is new.
    void all_changed();

private:
    using Nic = std::pair<Uuid, MacAddr>;  // network, MAC
    struct Owner {
        std::string name;
        bool off = false;
        bool operator==(const Owner&) const = default;
    };
    using Names = std::map<Nic, Owner>;

    Names names_of(const Uuid& guest) const;
    void tell(const Names& before, const Names& after);

    const Guests& guests_;
    const Networks& networks_;
    Netsvc& netsvc_;
    std::map<Uuid, Names> known_;  // by guest
};

}  // namespace bascule::daemon
