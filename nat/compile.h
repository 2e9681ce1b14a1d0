// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "kernel/state.h"
#include "nat/spec.h"

namespace bascule::nat {

// The network's part of `table inet bascule`, and the forwarding sysctls it needs.
kernel::State compile(const Spec& spec);

}  // namespace bascule::nat
