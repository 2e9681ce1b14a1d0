// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "kernel/authority.h"
#include "rpc/handlers.h"

namespace bascule::daemon {

// Lets polkit decide who of those that were offered it is let in: org.libvirt.unix.manage, or .monitor on the
// read-only socket, the peer's own actions, so that a site's rules for them hold. `authority` must outlive `handlers`.
void use_polkit(rpc::Handlers& handlers, kernel::Authority& authority);

// Whose call it is, as polkit is told.
kernel::LocalProcess process_of(const rpc::Call& call);

}  // namespace bascule::daemon
