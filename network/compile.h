// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <optional>
#include <string>

#include "dhcp/spec.h"
#include "kernel/state.h"
#include "network/spec.h"

namespace bascule::network {

struct Compiled {
    kernel::State state;
    std::optional<dhcp::Spec> service;  // for bascule-netsvc; none when there is nothing to serve
};

// Of a completed definition.
Compiled compile(const Spec& spec);

// Who wants the network's state: "network:<uuid>".
std::string owner_of(const Spec& spec);

}  // namespace bascule::network
