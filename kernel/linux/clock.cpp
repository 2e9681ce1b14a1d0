// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/clock.h"

#include <ctime>

namespace bascule::kernel::os {

Time boot_now() {
    timespec now{};
    ::clock_gettime(CLOCK_BOOTTIME, &now);
    return Time(std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec));
}

}  // namespace bascule::kernel::os
