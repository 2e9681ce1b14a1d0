// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <vector>

#include "kernel/host_devices.h"

namespace bascule::kernel::os {

// The computer, its PCI and USB devices and network devices, by name, as /sys shows them. `sys` is "/sys" but for
// tests.
std::vector<HostDevice> host_devices(const std::string& sys);

}  // namespace bascule::kernel::os
