// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/host.h"

namespace bascule::daemon {

Error located(const std::string& file, Error error) {
    constexpr std::string_view kLine = "line ";
    if (error.message.starts_with(kLine)) {
        error.message = file + ":" + error.message.substr(kLine.size());
        return error;
    }
    return std::move(error).in(file);
}

}  // namespace bascule::daemon
