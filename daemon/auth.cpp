// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/auth.h"

#include "rpc/session.h"

namespace bascule::daemon {

kernel::LocalProcess process_of(const rpc::Call& call) {
    const rpc::Peer& peer = call.session.peer();
    return {.pid = peer.pid, .start_time = peer.process_start, .uid = peer.uid};
}

void use_polkit(rpc::Handlers& handlers, kernel::Authority& authority) {
    handlers.set_polkit([&authority](rpc::Call& call, rpc::Handlers::Verdict verdict) {
        authority.ask({.action = call.session.peer().read_only ? "org.libvirt.unix.monitor" : "org.libvirt.unix.manage",
                       .details = {},
                       .who = process_of(call),
                       .may_ask_user = true},
                      [verdict = std::move(verdict)](Result<void> said) mutable {
                          if (!said && said.error().code == Code::unreachable) {
                              said.error().code = Code::auth_unavailable;
                          }
                          verdict(std::move(said));
                      });
    });
}

}  // namespace bascule::daemon
