// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/lease_news.h"

#include <array>
#include <chrono>
#include <utility>

#include "rpc/proto_bascule.h"
#include "vmm/qmp.h"

namespace bascule::daemon {

namespace proto = rpc::proto;

namespace {

constexpr std::chrono::seconds kWindow{1};

// Seconds since 1970; 0: never, as in the list of leases.
std::int64_t end_of(const dhcp::Lease& lease) {
    return lease.expires == dhcp::kNever ? 0 : lease.expires.time_since_epoch().count();
}

std::pair<LeaseNews::Event, const char*> event_of(dhcp::LeaseEventKind kind) {
    switch (kind) {
        case dhcp::LeaseEventKind::added: return {LeaseNews::added, "added"};
        case dhcp::LeaseEventKind::renewed: return {LeaseNews::renewed, "renewed"};
        case dhcp::LeaseEventKind::released: return {LeaseNews::released, "released"};
        case dhcp::LeaseEventKind::expired: break;
    }
    return {LeaseNews::expired, "expired"};
}

}  // namespace

void LeaseNews::tell(const dhcp::LeaseEvent& event) {
    const dhcp::Lease& lease = event.lease;
    const bool to_monitors = subscriptions_.any(Subscriptions::Class::monitor);
    if (!to_monitors && !subscriptions_.any_lease(lease.network)) {
        return;
    }
    Window& window = windows_[lease.network];
    if (!end_) {
        end_ = loop_.at(loop_.clock().now() + kWindow, [this] { end_window(); });
    }
    if (window.told >= kOfNetwork || told_ >= kOfAll) {
        ++window.missed;
        return;
    }
    const auto network = lookups_.network(lease.network);
    if (!network) {
        return;
    }
    ++window.told;
    ++told_;
    subscriptions_.publish<proto::network_event_lease>(
        {.callback_id = 0,
         .net = *network,
         .event = event_of(event.kind).first,
         .mac = format(lease.port),
         .address = format(lease.address),
         .prefix = lease.prefix_length,
         .hostname = lease.hostname.empty() ? std::nullopt : std::optional(lease.hostname),
         .expires = end_of(lease),
         .missed = 0});
    if (to_monitors) {
        tell_monitors(event, *network);
    }
}

void LeaseNews::tell_monitors(const dhcp::LeaseEvent& event, const proto::Network& network) {
    const dhcp::Lease& lease = event.lease;
    const auto guest = lookups_.guest(lease.network, lease.port);
    if (!guest) {
        return;
    }
    const auto since = loop_.clock().wall().time_since_epoch();
    const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
    const vmm::qmp::Json details{{"event", event_of(event.kind).second},
                                 {"network", network.name},
                                 {"mac", format(lease.port)},
                                 {"address", format(lease.address)},
                                 {"prefix", lease.prefix_length},
                                 {"hostname", lease.hostname},
                                 {"expires", end_of(lease)}};
    subscriptions_.publish_monitor(
        *guest, "BASCULE_LEASE", seconds.count(),
        static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::microseconds>(since - seconds).count()),
        details.dump(-1, ' ', /*ensure_ascii=*/true, vmm::qmp::Json::error_handler_t::replace));
}

void LeaseNews::end_window() {
    end_.reset();
    told_ = 0;
    for (const auto& [uuid, window] : std::exchange(windows_, {})) {
        const auto network = window.missed > 0 ? lookups_.network(uuid) : std::nullopt;
        if (network) {
            subscriptions_.publish<proto::network_event_lease>({.callback_id = 0,
                                                                .net = *network,
                                                                .event = missed,
                                                                .mac = {},
                                                                .address = {},
                                                                .prefix = 0,
                                                                .hostname = {},
                                                                .expires = 0,
                                                                .missed = window.missed});
        }
    }
}

}  // namespace bascule::daemon
