// SPDX-License-Identifier: GPL-2.0-or-later
// Holding a child to a Confinement, in three steps: make_fence() in the parent, where memory may be allocated;
// close_fence() in the child, first of all; drop_powers() last, before exec.
#pragma once

#include <cstdint>

#include "base/fd.h"
#include "base/result.h"
#include "kernel/io.h"

namespace bascule::kernel::os {

// Whether this kernel can hold a process to a list of files (Landlock: CONFIG_SECURITY_LANDLOCK and its place in lsm=).
bool can_confine_files();

struct Fence {
    UniqueFd rules;  // none: the kernel cannot
    std::uint64_t memory = 0;
    std::uint64_t processor = 0;
};
// A file that is not there is an error: the program would only fail later, in its own words.
Result<Fence> make_fence(const Confinement& confinement);

// Both false with errno. Async-signal-safe.
bool close_fence(const Fence& fence);
bool drop_powers();

}  // namespace bascule::kernel::os
