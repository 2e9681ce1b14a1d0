// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "daemon/secrets.h"
#include "daemon/storage.h"
#include "rpc/handlers.h"
#include "rpc/proto_types.h"

namespace bascule::daemon {

void add_pool_handlers(rpc::Handlers& handlers, Storage& storage);
void add_volume_handlers(rpc::Handlers& handlers, Storage& storage);
void add_secret_handlers(rpc::Handlers& handlers, Secrets& secrets);

rpc::proto::Secret to_wire(const SecretSpec& spec);

// A call that wants to know volumes waits for the first look at the pools after a start.
template <class P, class F>
void add_settled(rpc::Handlers& handlers, Storage& storage, F answer) {
    handlers.add<P>([&storage, answer](rpc::Call&, const typename P::Args& args, rpc::Responder<P> responder) {
        storage.settled([answer, args, r = std::move(responder)]() mutable { r.answer(answer(args)); });
    });
}

}  // namespace bascule::daemon
