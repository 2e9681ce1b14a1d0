// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "kernel/io.h"

namespace bascule::kernel::os {

// Opens /dev/net/tun and attaches to the tap, making it when there is none: frames with a virtio header, no
// packet information. A tap made so goes with its last descriptor until keep_tap().
Result<UniqueFd> attach_tap(const IfName& name, bool multi_queue);
Result<void> keep_tap(const UniqueFd& tap);

class LinuxTaps : public Taps {
public:
    // Fails with Code::invalid_state when there is no such link: it would be made, without owner and rules.
    Result<UniqueFd> open_tap(const IfName& name, bool multi_queue) override;
    Result<UniqueFd> open_vhost_net() override;
};

}  // namespace bascule::kernel::os
