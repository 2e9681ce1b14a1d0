// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>

#include "base/result.h"
#include "vmm/spec.h"

namespace bascule::vmm {

// Gives every device without one the lowest free slot of bus 0 (NICs, then controllers, balloon, then random number
// generators, in document order); the same spec always gets the same addresses. Slots of the chipset's own
// devices and slot 1 or 2, where libvirt puts the first display, are never given out, and a function other than
// 0 never. Fails on a slot used twice, one that the chipset has taken, or a bus that is not there.
Result<void> assign_addresses(Spec& spec);

std::string format(const PciAddress& address);  // "0000:00:02.0"

}  // namespace bascule::vmm
