// SPDX-License-Identifier: GPL-2.0-or-later
// Devices of the host that come, go or change, told as it happens (netlink(7), NETLINK_KOBJECT_UEVENT). Hints, as those
// of kernel/monitor.h are: whoever hears of one looks at the devices anew. Network devices are told of in their own
// network namespace only.
#pragma once

#include <functional>
#include <memory>

#include "base/result.h"
#include "kernel/io.h"

namespace bascule::kernel::os {

// `on` is called for each event, or for many at once, of a device of one of the kinds that host_devices() lists, and
// when more happened than could be told.
Result<std::unique_ptr<Watch>> watch_devices(Loop& loop, std::function<void()> on);

}  // namespace bascule::kernel::os
