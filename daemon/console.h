// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <deque>
#include <map>
#include <memory>

#include "daemon/host.h"
#include "rpc/stream.h"

namespace bascule::daemon {

// The consoles that are open: at most one client a guest, as the peer has it. A client that wants it nonetheless
// (force) takes it over, and the first one's stream ends with an error.
class Consoles {
public:
    explicit Consoles(kernel::Loop& loop) : loop_(loop) {}

    // Code::exists when another client has the guest's console and `force` is not set.
    Result<std::unique_ptr<rpc::StreamHandler>> open(const Uuid& guest, const std::string& terminal, bool force);
    // The stream that belongs to what open() returned, once the reply has opened it.
    void attach(const Uuid& guest, rpc::Stream stream);

private:
    class Console;
    kernel::Loop& loop_;
    std::map<Uuid, Console*> open_;
};

}  // namespace bascule::daemon
