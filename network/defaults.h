// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "network/spec.h"

namespace bascule::network {

// What a new network may not have: names of every link of the host and every bridge of another definition, and
// subnets that the host or another definition has.
struct Taken {
    std::set<IfName> links;
    std::vector<Prefix> subnets{};
};

// Whether complete() will choose a subnet: a network of mode nat or route without any <ip>, which could reach
// nobody, or one that asks for it (<bascule:subnet>, extras.h). Without, an isolated network stays without.
bool needs_subnet(const Spec& spec);

// Gives the definition what it lacks: uuid, bridge name (the first free virbr0…virbr256, or of its own
// template), MAC, a free subnet with a DHCP range. What it has already stays. The result is to be stored.
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
