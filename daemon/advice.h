// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "daemon/host.h"
#include "daemon/host_routes.h"
#include "daemon/networks.h"
#include "kernel/monitor.h"

namespace bascule::daemon {

// What the host's own set-up does to running networks, in words for the log and `bascule status`:
//
//   * another program's rule, or a chain's policy, that drops what we let pass, with the rule itself;
//   * a route of the host's that came to lead into a network's subnet (a VPN), with a subnet that is free;
//   * the route that the LAN's router needs to reach a routed network.
//
// Looked at a moment after something changed, never while a call waits.
class Advice {
public:
    using Told = std::function<void(const std::vector<std::string>&)>;
    // `overlap` is called once for each new overlap, with the words for it.
    using Overlap = std::function<void(const network::Spec&, const std::string&)>;
    Advice(Host& host, const Networks& networks, HostRoutes& routes, Told told, Overlap overlap)
        : host_(host),
          networks_(networks),
          host_routes_(routes),
          told_(std::move(told)),
          overlap_(std::move(overlap)) {}

    void soon();
    void routes(const std::set<kernel::NewRoute>& routes);
    // Whether another program filters what this host forwards.
    static bool others_forward();

private:
    void look();
    void look_at_firewalls(std::vector<std::string>& out) const;
    void look_at_routes(std::vector<std::string>& out);
    void look_at_uplinks(std::vector<std::string>& out) const;

    Host& host_;
    const Networks& networks_;
    HostRoutes& host_routes_;
    Told told_;
    Overlap overlap_;
    std::unique_ptr<kernel::Watch> timer_;
    std::set<std::string> said_, overlaps_;
};

}  // namespace bascule::daemon
