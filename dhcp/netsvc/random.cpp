// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/netsvc/random.h"

#include <sys/random.h>

#include <array>
#include <cstddef>
#include <cstdlib>

namespace bascule::netsvc {

std::uint32_t unguessable_bits() {
    static std::array<std::uint32_t, 64> pool;
    static std::size_t left = 0;
    if (left == 0) {
        if (::getrandom(pool.data(), sizeof pool, 0) != static_cast<ssize_t>(sizeof pool)) {
            std::abort();  // guessable ids would be worse than no service
        }
        left = pool.size();
    }
    return pool[--left];
}

}  // namespace bascule::netsvc
