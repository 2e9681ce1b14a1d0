// SPDX-License-Identifier: GPL-2.0-or-later
// Tells clients what becomes of leases: given, renewed, given back, run out.
//
// Libvirt has no event for leases, so there are two ways:
//
//   * our own program's (connect-lease-event-register): of one network or of all, whoever holds the lease;
//   * for clients as they are, QEMU's own events (virsh qemu-monitor-event): BASCULE_LEASE, of the guest whose NIC
//     holds the lease. QEMU has no such name, and whoever asks for it by name or for all gets it.
//
// Guests decide how often there is something to tell. In a second at most kOfNetwork events of a network are told and
// kOfAll of all of them; at its end one event for each network that had more says how many are missing. Who keeps a
// list of leases asks for it again then.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "daemon/host.h"
#include "daemon/subscriptions.h"
#include "dhcp/spec.h"

namespace bascule::daemon {

class LeaseNews {
public:
    // The field `event` of network-event-lease.
    enum Event : std::int32_t { added = 0, renewed = 1, released = 2, expired = 3, missed = 4 };
    static constexpr std::uint64_t kOfNetwork = 100, kOfAll = 1000;

    struct Lookups {
        // None: it has gone.
        std::function<std::optional<rpc::proto::Network>(const Uuid&)> network;
        // The running guest with that NIC on that network.
        std::function<std::optional<rpc::proto::Domain>(const Uuid& network, const MacAddr&)> guest;
    };
    LeaseNews(kernel::Loop& loop, Subscriptions& subscriptions, Lookups lookups)
        : loop_(loop), subscriptions_(subscriptions), lookups_(std::move(lookups)) {}

    void tell(const dhcp::LeaseEvent& event);

private:
    struct Window {
        std::uint64_t told = 0, missed = 0;
    };
    void end_window();
    void tell_monitors(const dhcp::LeaseEvent& event, const rpc::proto::Network& network);

    kernel::Loop& loop_;
    Subscriptions& subscriptions_;
    Lookups lookups_;
    std::map<Uuid, Window> windows_;  // of this second
    std::uint64_t told_ = 0;          // in this second
    std::unique_ptr<kernel::Watch> end_;
};

}  // namespace bascule::daemon
