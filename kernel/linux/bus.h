// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include <systemd/sd-bus.h>

#include "kernel/io.h"

namespace bascule::kernel::os {

struct BusUnref {
    void operator()(sd_bus* bus) const { sd_bus_close_unref(bus); }
    void operator()(sd_bus_message* message) const { sd_bus_message_unref(message); }
};
using BusMessage = std::unique_ptr<sd_bus_message, BusUnref>;

// The system bus on our loop: connected when it is wanted, and again after it was lost.
class Bus {
public:
    // `lost` is told why; replies that were waited for will not come.
    Bus(Loop& loop, std::function<void(std::string_view why)> lost)
        : loop_(loop), lost_(std::move(lost)), alive_(std::make_shared<bool>(true)) {}
    ~Bus() { *alive_ = false; }
    Bus(const Bus&) = delete;
    Bus& operator=(const Bus&) = delete;

    Result<sd_bus*> connect();
    // After every call on it: waits for what sd-bus has come to wait for.
    void arm();

private:
    void disconnect(std::string_view why);
    void process();

    Loop& loop_;
    std::function<void(std::string_view)> lost_;
    std::shared_ptr<bool> alive_;
    std::unique_ptr<sd_bus, BusUnref> bus_;
    std::unique_ptr<Watch> watch_, timer_;
};

}  // namespace bascule::kernel::os
