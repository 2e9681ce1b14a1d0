// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "base/result.h"
#include "vmm/spec.h"

namespace bascule::vmm {

// Settles the models of controllers, adds those that a device needs and the document left out, and gives disks, USB
// devices and channels their places on them: by the disks' names as the peer does, else the lowest that is free.
// Fails on a place used twice or that the controller has not got.
Result<void> complete_buses(Spec& spec);

}  // namespace bascule::vmm
