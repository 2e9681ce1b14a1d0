// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>

#include "kernel/io.h"

namespace bascule::kernel::os {

// At most `threads` at a time, which end when there has been nothing to do for a while: a process at rest has one
// thread. Work that waits is done in order. What is under way when the Worker goes is finished and its `done` dropped.
std::unique_ptr<Worker> make_worker(Loop& loop, std::size_t threads);

}  // namespace bascule::kernel::os
