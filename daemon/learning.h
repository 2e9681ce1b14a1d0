// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "daemon/netsvc.h"
#include "daemon/ports.h"

namespace bascule::daemon {

// Between the ports whose filters wait for addresses and bascule-netsvc, which learns them from copies of frames
// (nwfilter/learning.h, dhcp/learner.h). There, ports are interfaces' numbers: a name may soon be another device's.
//
// The service knows what was learned and outlives the daemon; the daemon knows it, too, and tells a service that had to
// be started anew. Only when both end at once all ports have to learn again, and pass nothing until then.
class Learning {
public:
    Learning(Ports& ports, Netsvc& netsvc);

    // From here on what is heard goes to the kernel at once.
    void go_live() { live_ = true; }
    // The service is there, perhaps a new one.
    void attached();
    void heard(const dhcp::wire::Learned& learned);
    // Interfaces may have been replaced by others of their names.
    void refresh();
    // What the port's own frames taught is forgotten.
    void forget_seen(const IfName& port);

private:
    void port_changed(const IfName& port);

    Ports& ports_;
    Netsvc& netsvc_;
    std::map<IfName, std::uint32_t> indices_;  // of watched ports
    std::map<std::uint32_t, IfName> names_;
    std::set<std::uint32_t> unknown_;  // that a former daemon had watched
    bool live_ = false;
};

}  // namespace bascule::daemon
