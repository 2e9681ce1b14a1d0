// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/claims.h"

namespace bascule::daemon {

void Claims::add(const network::Spec& spec) {
    if (spec.bridge) {
        bridges_.emplace(*spec.bridge, spec.uuid);
    }
    for (const network::IpAddress& ip : spec.addresses) {
        subnets_.emplace(ip.address.prefix(), spec.uuid);
    }
}

void Claims::remove(const network::Spec& spec) {
    if (spec.bridge) {
        bridges_.erase({*spec.bridge, spec.uuid});
    }
    for (const network::IpAddress& ip : spec.addresses) {
        subnets_.erase({ip.address.prefix(), spec.uuid});
    }
}

std::set<Uuid> Claims::meeting(const network::Spec& spec) const {
    std::set<Uuid> out;
    if (spec.bridge) {
        for (auto it = bridges_.lower_bound({*spec.bridge, Uuid{}}); it != bridges_.end() && it->first == *spec.bridge;
             ++it) {
            out.insert(it->second);
        }
    }
    for (const network::IpAddress& ip : spec.addresses) {
        out.merge(meeting(ip.address.prefix()));
    }
    return out;
}

// Of two subnets that overlap one holds the other: those that hold it have each a length of their own, those that it
// holds follow it.
std::set<Uuid> Claims::meeting(const Prefix& subnet) const {
    std::set<Uuid> out;
    for (unsigned length = 0; length < subnet.length; ++length) {
        const Prefix larger = Prefix::of(subnet.network, length);
        for (auto it = subnets_.lower_bound({larger, Uuid{}}); it != subnets_.end() && it->first == larger; ++it) {
            out.insert(it->second);
        }
    }
    for (auto it = subnets_.lower_bound({subnet, Uuid{}}); it != subnets_.end() && subnet.contains(it->first.network);
         ++it) {
        out.insert(it->second);
    }
    return out;
}

}  // namespace bascule::daemon
