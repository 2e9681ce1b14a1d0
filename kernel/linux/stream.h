// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "kernel/io.h"

namespace bascule::kernel::os {

// A stream over a connected socket, which is made non-blocking.
std::unique_ptr<Stream> stream_over(UniqueFd socket);

// Code::unreachable when nobody listens there.
Result<std::unique_ptr<Stream>> connect_unix(const std::string& path);
Result<UniqueFd> connect_socket(const std::string& path);  // the same, bare

// A listening stream socket; replaces a socket that a dead process left at `path`, but nothing else.
// Close-on-exec: a child gets it by Command::fds.
Result<UniqueFd> listen_unix(const std::string& path, unsigned mode = 0600);
// Removes the socket there; not being there is fine, being anything else is an error.
Result<void> unlink_socket(const std::string& path);

// A log file that a child writes: opened for appending (0600), remembering where this run begins.
struct RunLog {
    UniqueFd fd;
    // The last `limit` bytes written since it was opened, from a whole line on; empty when there are none.
    std::string since_opened(std::size_t limit = 4096) const;
    long long begin = 0;
};
Result<RunLog> open_run_log(const std::string& path);

}  // namespace bascule::kernel::os
