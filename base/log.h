// SPDX-License-Identifier: GPL-2.0-or-later
// One line an event, to standard error with the journal's priority prefix ("<4>…", sd-daemon(3)) when
// it is not a terminal. Only daemon/ and the programs' mains call this: libraries return errors.
#pragma once

#include <string_view>

#include <fmt/format.h>

namespace bascule::log {

enum class Level { error = 3, warning = 4, notice = 5, info = 6, debug = 7 };

void set_level(Level most_verbose);
void write(Level level, std::string_view line);

template <class... Args>
void error(fmt::format_string<Args...> f, Args&&... args) {
    write(Level::error, fmt::format(f, std::forward<Args>(args)...));
}
template <class... Args>
void warning(fmt::format_string<Args...> f, Args&&... args) {
    write(Level::warning, fmt::format(f, std::forward<Args>(args)...));
}
template <class... Args>
void info(fmt::format_string<Args...> f, Args&&... args) {
    write(Level::info, fmt::format(f, std::forward<Args>(args)...));
}
template <class... Args>
void debug(fmt::format_string<Args...> f, Args&&... args) {
    write(Level::debug, fmt::format(f, std::forward<Args>(args)...));
}

}  // namespace bascule::log
