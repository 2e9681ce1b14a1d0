// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>

#include "kernel/io.h"

namespace bascule::kernel::os {

// NetworkManager and systemd-networkd as those who manage a host's links.
class LinkManagers {
public:
    virtual ~LinkManagers() = default;
    // They read their configuration again. Nothing happens where neither runs, or one knows no such call.
    virtual void reload() = 0;
};
std::unique_ptr<LinkManagers> make_link_managers(Loop& loop);

}  // namespace bascule::kernel::os
