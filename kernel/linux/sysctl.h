// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace bascule::kernel::os {

// Kernel settings below /proc/sys, of the network namespace that the calling thread is in. Keys are those of
// State::sysctls ("net/ipv4/ip_forward").
Result<std::optional<std::string>> read_sysctl(const std::string& key);  // none: this kernel has no such setting
Result<void> write_sysctl(const std::string& key, std::string_view value);

}  // namespace bascule::kernel::os
