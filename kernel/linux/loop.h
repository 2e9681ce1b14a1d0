// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>

#include "base/result.h"
#include "kernel/io.h"

namespace bascule::kernel::os {

// A loop over sd-event, with a BootClock. Any number of watches on one descriptor or signal. Watching a
// descriptor that cannot be waited for (a regular file, a closed one) ends the process: it is a mistake of ours.
// on_signal() blocks the signal for the process, and it stays blocked.
Result<std::unique_ptr<Loop>> make_loop();

}  // namespace bascule::kernel::os
