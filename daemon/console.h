// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <deque>
#include <map>
#include <memory>

#include "daemon/host.h"
#include "rpc/stream.h"

namespace bascule::daemon {

// The consoles and channels that are open: at most one client a device, as the peer has it. A client that wants it
// nonetheless (force) takes it over, and the first one's stream ends with an error.
class Consoles {
public:
    enum class Kind { terminal, socket };  // what is at the path: a pseudo-terminal, a socket that QEMU listens on
    // One device of a guest.
    struct Device {
        Uuid guest{};
        std::string path;
        auto operator<=>(const Device&) const = default;
    };
    explicit Consoles(kernel::Loop& loop) : loop_(loop) {}

    // Code::exists when another client has the device and `force` is not set.
    Result<std::unique_ptr<rpc::StreamHandler>> open(const Device& device, Kind kind, bool force);
    // The stream that belongs to what open() returned, once the reply has opened it.
    void attach(const Device& device, rpc::Stream stream);

private:
    class Console;
    kernel::Loop& loop_;
    std::map<Device, Console*> open_;
};

}  // namespace bascule::daemon
