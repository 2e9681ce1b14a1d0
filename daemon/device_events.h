// SPDX-License-Identifier: GPL-2.0-or-later
// Tells clients of devices of the host that appear, vanish or change. As long as nobody listens nothing is looked at.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "kernel/host_devices.h"
#include "kernel/io.h"

namespace bascule::daemon {

class Subscriptions;

class DeviceEvents {
public:
    // The devices as they are now.
    using List = std::function<std::vector<kernel::HostDevice>()>;
    using Listen = std::function<Result<std::unique_ptr<kernel::Watch>>(std::function<void()> on)>;
    // A device makes several events in a row, and is not whole at its first.
    static constexpr std::chrono::milliseconds kSettle{50};

    DeviceEvents(kernel::Loop& loop, Subscriptions& subscriptions, List list, Listen listen)
        : loop_(loop), subscriptions_(subscriptions), list_(std::move(list)), listen_(std::move(listen)) {}

    // Somebody registered. What happens from now on is told.
    Result<void> begin();

private:
    void compare();
    void tell(const std::string& name, std::int32_t event);

    kernel::Loop& loop_;
    Subscriptions& subscriptions_;
    List list_;
    Listen listen_;
    std::vector<kernel::HostDevice> known_;  // by name
    std::unique_ptr<kernel::Watch> watch_, settle_;
};

}  // namespace bascule::daemon
