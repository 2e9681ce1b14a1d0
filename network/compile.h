// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "dhcp/spec.h"
#include "kernel/state.h"
#include "nat/spec.h"
#include "network/spec.h"

namespace bascule::network {

struct Compiled {
    kernel::State state;
    std::optional<dhcp::Spec> service;  // for bascule-netsvc; none when there is nothing to serve
};

// Of a completed definition. `admits`: the networks that its <bascule:admit> elements name, those of them that run.
Compiled compile(const Spec& spec, std::vector<nat::Admitted> admits = {});

// What it lets pass, for comparison with what it let pass before.
nat::Spec rules_of(const Spec& spec, std::vector<nat::Admitted> admits = {});

// Who wants the network's state: "network:<uuid>".
std::string owner_of(const Spec& spec);

}  // namespace bascule::network
