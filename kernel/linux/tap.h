// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>

#include "kernel/io.h"

namespace bascule::kernel::os {

// Opens /dev/net/tun and attaches to the tap, making it when there is none: frames with a virtio header, no
// packet information. A tap made so goes with its last descriptor until keep_tap().
Result<UniqueFd> attach_tap(const IfName& name, bool multi_queue);
Result<void> keep_tap(const UniqueFd& tap);

// How many frames a tap may collect before the host looks at them (<coalesce>).
Result<void> set_rx_frames(const IfName& name, std::uint32_t frames);

// open_tap() fails with Code::invalid_state when there is no such link: it would be made, without owner and rules.
std::unique_ptr<Taps> make_taps();

}  // namespace bascule::kernel::os
