// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>

namespace bascule::netsvc {

// 32 bits that nobody can guess; the kernel's generator, fetched in bulk.
std::uint32_t unguessable_bits();

}  // namespace bascule::netsvc
