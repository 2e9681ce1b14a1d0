// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>

#include "base/names.h"
#include "kernel/host_devices.h"

namespace bascule::daemon {

// <device>. `host` is the machine's own identity, which the computer's document shows.
std::string device_xml(const kernel::HostDevice& device, const Uuid& host);

}  // namespace bascule::daemon
