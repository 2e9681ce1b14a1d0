// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "network/spec.h"

namespace bascule::network {

// What a definition says that contradicts itself, or does not go with its forward mode.
struct Complaint {
    std::string element, attribute;  // attribute empty: the element itself
    std::string what;
};

// The first of them, if any. parse() asks, and adds the line; so must whoever changes a Spec.
std::optional<Complaint> find_contradiction(const Spec& spec);
Result<void> check(const Spec& spec);

// Refuses by name (Code::unsupported_config) what parses, but what no guest of the network would get: asked before a
// definition is kept or started.
Result<void> check_realisable(const Spec& spec);

// Refuses, with the reason, what a running network cannot become without being taken down, or not while `plugged`
// guests' interfaces are on it.
Result<void> check_live(const Spec& running, const Spec& next, unsigned plugged);

}  // namespace bascule::network
