// SPDX-License-Identifier: GPL-2.0-or-later
// The routes of a device that is somebody else's, kept as the kernel tells them while the device is lent: they go with
// the addresses that they stand on, and come back with them, with everything that whoever made them gave them (metrics,
// preferred source, table).
#pragma once

#include <string>
#include <vector>

#include "base/names.h"
#include "base/result.h"

namespace bascule::kernel::os {

// One text each, of letters and digits. Not those that the kernel or an advertisement makes, nor ours.
Result<std::vector<std::string>> keep_routes(const IfName& link);
// One that is there again already is fine.
Result<void> put_back_route(const IfName& link, const std::string& kept);

}  // namespace bascule::kernel::os
