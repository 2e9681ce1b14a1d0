// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "kernel/host_facts.h"

namespace bascule::daemon {

// A network device of the host as clients know it: <interface type='ethernet'>, bridge, bond or vlan. `all` are the
// host's links, for what belongs to it; `speed` gives megabits a second, 0 where the device does not say.
std::string interface_xml(const kernel::HostLink& link, const std::vector<kernel::HostLink>& all,
                          const std::function<std::uint32_t(const kernel::HostLink&)>& speed);

}  // namespace bascule::daemon
