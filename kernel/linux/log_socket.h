// SPDX-License-Identifier: GPL-2.0-or-later
// The socket on which nftables' `log group` copies packets to user space (NFLOG). Whom it copies them to is settled
// here, with the daemon's privileges; reading them is left to a process without any.
#pragma once

#include <cstdint>

#include "base/fd.h"
#include "base/result.h"

namespace bascule::kernel::os {

// The group belongs to whoever bound it first until all copies of that socket are closed: Code::conflict. Code::
// unsupported where the kernel has no nfnetlink_log.
Result<UniqueFd> open_log_socket(std::uint16_t group);

// The number of that interface; 0: there is none.
std::uint32_t interface_index(const std::string& name);

}  // namespace bascule::kernel::os
