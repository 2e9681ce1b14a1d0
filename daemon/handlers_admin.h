// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "daemon/server.h"
#include "rpc/handlers.h"

namespace bascule::daemon {

// Who is connected, ending a connection, and the limits of those who come from then on.
void add_admin_handlers(rpc::Handlers& handlers, Server& server);

}  // namespace bascule::daemon
