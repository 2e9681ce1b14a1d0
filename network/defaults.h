// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <set>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "network/spec.h"

namespace bascule::network {

// Names that a new bridge may not have: every link of the host and every bridge of another definition.
struct Taken {
    std::set<IfName> links;
};

// Gives the definition what it lacks: uuid, bridge name (the first free virbr0…virbr256, or of its own
// template), MAC. What it has already stays. The result is to be stored.
Result<void> complete(Spec& spec, const Taken& taken);

struct HostRoute {
    Prefix destination;
    std::string device;  // for the error; routes by the network's own bridge are no clash
};

// Refuses a completed definition that cannot stand beside the others: Code::exists for its name or uuid,
// Code::conflict for its bridge or subnets, naming the other side. An entry of `others` with the same
// name and uuid is the definition that this one replaces, and is passed over. Default routes, halved ones
// included (0.0.0.0/1 and 128.0.0.0/1, as VPNs set them), are no clash.
Result<void> check_clashes(const Spec& spec, std::span<const Spec* const> others, std::span<const HostRoute> routes);

// The network that a fresh installation has: `default`, nat, virbr0, 192.168.122.0/24. Without uuid and
// MAC: each host makes its own.
std::string_view default_definition();

}  // namespace bascule::network
