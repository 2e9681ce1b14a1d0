// SPDX-License-Identifier: GPL-2.0-or-later
// <bandwidth> as the kernel shall have it.
#pragma once

#include <optional>

#include "base/port_settings.h"
#include "kernel/state.h"

namespace bascule::vswitch {

// `shared`: of a bridge, whose stations may have floors. None: nothing is limited.
std::optional<kernel::Shaping> shaping_of(const Bandwidth& bandwidth, bool shared);

// Kilobytes a second as bytes.
std::uint64_t bytes_a_second(std::uint64_t kilobytes);

// For a kernel without a policer: what limits incoming traffic becomes a rule at the link's ingress hook, which drops
// what is above the rate.
void limit_by_rules(kernel::State& wish);

}  // namespace bascule::vswitch
