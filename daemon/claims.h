// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <map>
#include <set>

#include "base/names.h"
#include "base/net.h"
#include "network/spec.h"

namespace bascule::daemon {

// The bridges' names and subnets of running networks, so that whom a network may clash with is found without a look at
// all of them. What is in it may overlap: a former configuration may have let it.
class Claims {
public:
    void add(const network::Spec& spec);
    // As it was added.
    void remove(const network::Spec& spec);
    // Those with its bridge's name, or a subnet that overlaps one of its own; itself among them.
    std::set<Uuid> meeting(const network::Spec& spec) const;
    std::set<Uuid> meeting(const Prefix& subnet) const;

private:
    std::set<std::pair<IfName, Uuid>> bridges_;
    std::set<std::pair<Prefix, Uuid>> subnets_;
};

}  // namespace bascule::daemon
