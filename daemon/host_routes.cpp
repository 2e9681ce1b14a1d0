// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/host_routes.h"

#include <algorithm>

namespace bascule::daemon {

namespace os = kernel::os;

bool HostRoutes::is_ours(const std::string& device) const {
    const auto name = IfName::parse(device);
    const auto link = name ? ledger_.wanted().links.find(*name) : ledger_.wanted().links.end();
    return link != ledger_.wanted().links.end() && link->second.kind == kernel::LinkKind::bridge;
}

Result<std::vector<os::RouteTo>> HostRoutes::others() {
    if (known_) {
        return *known_;
    }
    TRY(auto routes, os::route_destinations());
    std::erase_if(routes, [this](const os::RouteTo& route) { return is_ours(route.device); });
    if (watched_) {
        known_ = routes;
    }
    return routes;
}

void HostRoutes::on_change(const kernel::Change& change) {
    if (!known_) {
        return;
    }
    const auto is_known = [&](const kernel::NewRoute& gone) {
        return std::ranges::find(*known_, gone.destination, &os::RouteTo::destination) != known_->end();
    };
    // One by a bridge of ours that came and went since ended with it.
    const auto is_new = [&](const kernel::NewRoute& route) {
        const auto device = IfName::parse(route.device);
        return !is_ours(route.device) && (!device || os::link_exists(*device));
    };
    const auto leads_by = [&](const IfName& link) {
        return std::ranges::find(*known_, link.str(), &os::RouteTo::device) != known_->end();
    };
    if (change.lost || std::ranges::any_of(change.routes, is_new) ||
        std::ranges::any_of(change.routes_gone, is_known) || std::ranges::any_of(change.links, leads_by)) {
        known_.reset();
    }
}

}  // namespace bascule::daemon
