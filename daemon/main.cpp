// SPDX-License-Identifier: GPL-2.0-or-later
#include <malloc.h>

#include <csignal>
#include <cstdio>

#include <fmt/format.h>

#include "base/version.h"
#include "daemon/config.h"
#include "daemon/daemon.h"

using namespace bascule;

// Exit status: 0 after a signal asked it to end, 1 when it could not start, 2 for a wrong command line.
int main(int argc, char** argv) {
    const auto line = daemon::parse_command_line({argv + 1, argv + argc});
    if (!line) {
        fmt::print(stderr, "basculed: {}\n{}", line.error().message, daemon::usage());
        return 2;
    }
    if (line->help) {
        fmt::print("{}", daemon::usage());
        return 0;
    }
    if (line->version) {
        fmt::print("basculed {}\n", kVersion);
        return 0;
    }
    // Packets of megabytes are mapped and given back on their own. Left alone, the C library raises this limit with the
    // first of them, and what clients once held stays ours for good.
    ::mallopt(M_MMAP_THRESHOLD, 128 * 1024);
    if (auto done = daemon::run(*line); !done) {
        log::error("{}", done.error().message);
        return 1;
    }
    return 0;
}
