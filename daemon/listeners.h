// SPDX-License-Identifier: GPL-2.0-or-later
// Where clients find us.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/net.h"
#include "base/result.h"
#include "daemon/config.h"
#include "kernel/io.h"

namespace bascule::daemon {

enum class Transport { local, tcp, tls };

struct Listener {
    UniqueFd fd;
    std::string place;  // the socket's path, or "ADDRESS port NUMBER"
    Transport transport = Transport::local;
    bool read_only = false;
    Auth auth = Auth::none;
    std::unique_ptr<kernel::Watch> watch{};
};

// Opens all sockets that the configuration asks for, or none. A path where somebody answers is not taken from him.
Result<std::vector<Listener>> open_listeners(const kernel::FileTree& files, const Config& config);
// Removes the sockets' names: nobody new comes.
void close_listeners(std::vector<Listener>& listeners);

}  // namespace bascule::daemon
