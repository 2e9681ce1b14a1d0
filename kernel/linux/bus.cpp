// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/bus.h"

#include <poll.h>

#include <chrono>

#include <fmt/format.h>

namespace bascule::kernel::os {

Result<sd_bus*> Bus::connect() {
    if (bus_ && sd_bus_is_open(bus_.get()) > 0) {
        return bus_.get();
    }
    disconnect("the system bus is gone");
    sd_bus* bus = nullptr;
    if (const int r = sd_bus_open_system(&bus); r < 0) {
        return fail_errno("the system bus", -r);
    }
    bus_.reset(bus);
    return bus;
}

void Bus::disconnect(std::string_view why) {
    watch_.reset();
    timer_.reset();
    if (bus_) {
        bus_.reset();
        lost_(why);
    }
}

void Bus::process() {
    const auto alive = alive_;
    for (int r = 1; r > 0 && *alive && bus_;) {
        r = sd_bus_process(bus_.get(), nullptr);
        if (r < 0 && *alive) {
            disconnect(errno_text(-r));
        }
    }
    if (*alive && bus_) {
        arm();
    }
}

void Bus::arm() {
    if (!bus_) {
        return;
    }
    const int events = sd_bus_get_events(bus_.get());
    std::uint64_t until = 0;
    if (events < 0 || sd_bus_get_timeout(bus_.get(), &until) < 0) {
        return;
    }
    watch_.reset();  // first, since epoll takes a descriptor once
    watch_ = loop_.watch(sd_bus_get_fd(bus_.get()), (events & POLLIN) != 0, (events & POLLOUT) != 0,
                         [this](Ready) { process(); });
    timer_.reset();
    if (until != UINT64_MAX) {  // of CLOCK_MONOTONIC, which stands still while the host sleeps; the loop's does not
        const auto left = std::chrono::microseconds(until) - std::chrono::steady_clock::now().time_since_epoch();
        timer_ = loop_.at(loop_.clock().now() + left, [this] { process(); });
    }
}

}  // namespace bascule::kernel::os
