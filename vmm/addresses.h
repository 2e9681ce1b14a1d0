// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>

#include "base/result.h"
#include "vmm/spec.h"

namespace bascule::vmm {

// Gives every device that needs one a PCI address: what stands in the document stays, the rest gets the lowest free
// place, in the order of pci_devices(); the same spec always gets the same addresses.
//
// * A device goes to a port or bridge of its kind when the document has one free, else to bus 0. Ports share a slot
//   by eights. Buses are never added.
// * The chipset's own places and those that the peer keeps for a display (slot 1, or 2 on i440fx) and USB 2 (0x1d)
//   are given to nothing else.
//
// Fails on a place used twice or taken by the chipset, a bus that is not there, a slot that the bus has not got, a
// function without function 0, and when nothing is left.
Result<void> assign_addresses(Spec& spec);

std::string format(const PciAddress& address);  // "0000:00:02.0"

}  // namespace bascule::vmm
