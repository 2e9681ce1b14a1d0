// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "kernel/io.h"

namespace bascule::kernel::os {

// CLOCK_BOOTTIME: counts through suspend, is the same for every process and starts anew with the machine. All
// of our Times are of this clock, expiries of nftables elements included.
Time boot_now();

class BootClock : public Clock {
public:
    Time now() const override { return boot_now(); }
    WallTime wall() const override { return std::chrono::system_clock::now(); }
};

}  // namespace bascule::kernel::os
