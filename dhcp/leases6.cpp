// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/leases6.h"

#include <algorithm>

namespace bascule::dhcp {

Key6 key_of(const Lease& lease) { return {lease.port, lease.iaid.value_or(0), lease.delegated}; }

const Binding* LeaseTable6::by_key(const Key6& key) const {
    const auto found = keys_.find(key);
    return found == keys_.end() ? nullptr : by_address(found->second);
}

const Binding* LeaseTable6::by_address(const Ip& address) const {
    const auto found = bindings_.find(address);
    return found == bindings_.end() ? nullptr : &found->second;
}

const Binding* LeaseTable6::by_name(const std::string& hostname) const {
    const auto found = names_.find(hostname);
    return found == names_.end() ? nullptr : by_address(found->second);
}

std::vector<Key6> LeaseTable6::of_port(const MacAddr& port) const {
    std::vector<Key6> out;
    for (auto at = keys_.lower_bound(Key6{port, 0, false}); at != keys_.end() && at->first.port == port; ++at) {
        out.push_back(at->first);
    }
    return out;
}

std::size_t LeaseTable6::active_of(const MacAddr& port) const {
    std::size_t count = 0;
    for (const Key6& key : of_port(port)) {
        count += by_key(key)->active ? 1 : 0;
    }
    return count;
}

void LeaseTable6::deactivate(Binding& binding) {
    if (!binding.active) {
        over_.erase({binding.ends, binding.lease.address});
        return;
    }
    ++changes_;
    binding.active = false;
    --active_;
    ends_.erase({binding.ends, binding.lease.address});
    const auto [first, last] = names_.equal_range(binding.lease.hostname);
    const auto mine = std::find_if(first, last, [&](const auto& n) { return n.second == binding.lease.address; });
    if (mine != last) {
        names_.erase(mine);
    }
}

void LeaseTable6::forget(const Key6& key) {
    const auto found = keys_.find(key);
    if (found == keys_.end()) {
        return;
    }
    const auto binding = bindings_.find(found->second);
    deactivate(binding->second);
    bindings_.erase(binding);
    keys_.erase(found);
}

const Binding& LeaseTable6::restore(Lease lease, Time ends, bool active) {
    const Key6 key = key_of(lease);
    forget(key);
    if (const Binding* const other = by_address(lease.address)) {
        forget(key_of(Lease(other->lease)));
    }
    const Ip address = lease.address;
    keys_[key] = address;
    Binding& binding = bindings_[address] = Binding{std::move(lease), ends, active};
    if (!active) {
        over_.insert({ends, address});
        return binding;
    }
    ++active_;
    ++changes_;
    if (ends != kEndOfTime) {
        ends_.insert({ends, address});
    }
    if (!binding.lease.hostname.empty() && !binding.lease.delegated) {
        names_.insert({binding.lease.hostname, address});
    }
    return binding;
}

std::optional<Lease> LeaseTable6::end(const Key6& key) {
    const auto found = keys_.find(key);
    if (found == keys_.end() || !bindings_.at(found->second).active) {
        return std::nullopt;
    }
    Binding& binding = bindings_.at(found->second);
    deactivate(binding);
    over_.insert({binding.ends, binding.lease.address});
    return binding.lease;
}

std::vector<Lease> LeaseTable6::expire(Time now) {
    std::vector<Lease> out;
    while (!ends_.empty() && next_end() <= now) {
        Binding& binding = bindings_.at(ends_.begin()->second);
        deactivate(binding);
        over_.insert({binding.ends, binding.lease.address});
        out.push_back(binding.lease);
    }
    return out;
}

void LeaseTable6::trim(std::size_t most_remembered) {
    while (over_.size() > most_remembered) {
        forget(key_of(Lease(bindings_.at(over_.begin()->second).lease)));
    }
}

}  // namespace bascule::dhcp
