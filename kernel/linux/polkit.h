// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>

#include "kernel/authority.h"
#include "kernel/io.h"

namespace bascule::kernel::os {

// polkit on the system bus, asked without waiting. The bus is connected at the first question and again after it was
// lost; while it is not there every question is answered with why. Must not outlive the loop.
std::unique_ptr<Authority> make_polkit(Loop& loop);

}  // namespace bascule::kernel::os
