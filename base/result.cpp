// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/result.h"

#include <system_error>

namespace bascule {

std::string errno_text(int error) { return std::generic_category().message(error); }

std::unexpected<Error> fail_errno(std::string_view what, int error) {
    return std::unexpected(Error{Code::system, std::string(what) + ": " + errno_text(error), error});
}

}  // namespace bascule
