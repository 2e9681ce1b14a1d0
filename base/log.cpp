// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/log.h"

#include <unistd.h>

#include <string>

namespace bascule::log {

namespace {
Level g_most_verbose = Level::info;
}

void set_level(Level most_verbose) { g_most_verbose = most_verbose; }

void write(Level level, std::string_view line) {
    if (level > g_most_verbose) {
        return;
    }
    static const bool terminal = ::isatty(STDERR_FILENO) == 1;
    std::string out = terminal ? std::string() : fmt::format("<{}>", static_cast<int>(level));
    // Text from guests and clients ends up here: control bytes must not forge lines or drive terminals.
    for (const char c : line) {
        if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) {
            out += c == '\n' ? std::string(" | ") : fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
        } else {
            out += c;
        }
    }
    out += '\n';
    // One write a line, so that processes sharing the stream do not mix; nothing to do when it fails.
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, out.data(), out.size());
}

}  // namespace bascule::log
