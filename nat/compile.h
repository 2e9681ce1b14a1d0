// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <vector>

#include "kernel/flows.h"
#include "kernel/state.h"
#include "nat/spec.h"

namespace bascule::nat {

// The network's part of `table inet bascule`, and the forwarding sysctls it needs.
kernel::State compile(const Spec& spec);

// The flows that `before` let be made and `after` would not; all that it forwarded when `after` is none. What stays
// allowed is not in it, so that an uninvolved guest loses no packet.
std::vector<kernel::FlowFilter> revoked(const Spec& before, const Spec* after);

}  // namespace bascule::nat
