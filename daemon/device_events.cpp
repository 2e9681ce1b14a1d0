// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/device_events.h"

#include <algorithm>
#include <array>
#include <utility>

#include "daemon/subscriptions.h"
#include "rpc/proto_node_device.h"

namespace bascule::daemon {

namespace proto = rpc::proto;
using kernel::HostDevice;

namespace {

// virNodeDeviceEventLifecycleType
constexpr std::int32_t kCreated = 0, kDeleted = 1;

// Gone and made again between two looks: of a network device the kernel's number tells, of one on USB its address.
bool is_another(const HostDevice& before, const HostDevice& now) {
    return std::ranges::any_of(std::array{"ifindex", "devnum"}, [&](const char* fact) {
        const auto old = before.facts.find(fact), current = now.facts.find(fact);
        return old != before.facts.end() && current != now.facts.end() && old->second != current->second;
    });
}

}  // namespace

Result<void> DeviceEvents::begin() {
    if (watch_) {
        return {};
    }
    // First the ear, then the look: what happens between them is heard and found to be known already.
    TRY(watch_, listen_([this] {
            if (!settle_) {
                settle_ = loop_.at(loop_.clock().now() + kSettle, [this] { compare(); });
            }
        }));
    known_ = list_();
    return {};
}

void DeviceEvents::tell(const std::string& name, std::int32_t event) {
    subscriptions_.publish<proto::node_device_event_lifecycle>({.dev = {.name = name}, .event = event, .detail = 0});
}

void DeviceEvents::compare() {
    settle_.reset();
    if (!subscriptions_.any(Subscriptions::Class::node_device)) {
        watch_.reset();
        known_ = {};
        return;
    }
    std::vector<HostDevice> now = list_();
    auto before = known_.begin();
    for (const HostDevice& device : now) {
        for (; before != known_.end() && before->name < device.name; ++before) {
            tell(before->name, kDeleted);
        }
        if (before == known_.end() || before->name != device.name) {
            tell(device.name, kCreated);
            continue;
        }
        if (is_another(*before, device)) {
            tell(device.name, kDeleted);
            tell(device.name, kCreated);
        } else if (*before != device) {
            subscriptions_.publish<proto::node_device_event_update>({.dev = {.name = device.name}});
        }
        ++before;
    }
    for (; before != known_.end(); ++before) {
        tell(before->name, kDeleted);
    }
    known_ = std::move(now);
}

}  // namespace bascule::daemon
