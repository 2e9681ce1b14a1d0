// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/leases.h"

namespace bascule::dhcp {

namespace {

template <class Map, class Key>
auto look_up(const Map& map, const Key& key) -> const typename Map::mapped_type* {
    const auto found = map.find(key);
    return found == map.end() ? nullptr : &found->second;
}

}  // namespace

const Binding* LeaseTable::by_port(const MacAddr& port) const {
    const Ip* const address = look_up(ports_, port);
    return address == nullptr ? nullptr : by_address(*address);
}

const Binding* LeaseTable::by_address(const Ip& address) const { return look_up(bindings_, address); }

const Binding* LeaseTable::by_name(const std::string& hostname) const {
    const Ip* const address = look_up(names_, hostname);
    return address == nullptr ? nullptr : by_address(*address);
}

void LeaseTable::activate(Binding& binding) {
    binding.active = true;
    ++active_;
    if (binding.ends != kEndOfTime) {
        ends_.insert({binding.ends, binding.lease.address});
    }
    if (std::string& name = binding.lease.hostname; !name.empty()) {
        const auto [holder, fresh] = names_.try_emplace(name, binding.lease.address);
        if (!fresh) {
            name.clear();
        }
    }
}

void LeaseTable::deactivate(Binding& binding) {
    if (!binding.active) {
        return;
    }
    binding.active = false;
    --active_;
    ends_.erase({binding.ends, binding.lease.address});
    if (!binding.lease.hostname.empty()) {
        names_.erase(binding.lease.hostname);
    }
}

void LeaseTable::forget(const MacAddr& port) {
    const auto found = ports_.find(port);
    if (found == ports_.end()) {
        return;
    }
    const auto binding = bindings_.find(found->second);
    deactivate(binding->second);
    bindings_.erase(binding);
    ports_.erase(found);
}

void LeaseTable::clear_name(const MacAddr& port) {
    const auto found = ports_.find(port);
    if (found == ports_.end()) {
        return;
    }
    Binding& binding = bindings_.at(found->second);
    if (binding.active) {
        names_.erase(binding.lease.hostname);
    }
    binding.lease.hostname.clear();
}

void LeaseTable::restore(Lease lease, Time ends, bool active) {
    forget(lease.port);
    if (const Binding* const other = by_address(lease.address)) {
        forget(MacAddr(other->lease.port));
    }
    ports_[lease.port] = lease.address;
    const Ip address = lease.address;
    Binding& binding = bindings_[address] = Binding{std::move(lease), ends, false};
    if (active) {
        activate(binding);
    }
}

const Binding& LeaseTable::bind(Lease lease, Time ends) {
    const Ip address = lease.address;
    restore(std::move(lease), ends, true);
    return bindings_.at(address);
}

std::optional<Lease> LeaseTable::end(const MacAddr& port) {
    const auto found = ports_.find(port);
    if (found == ports_.end()) {
        return std::nullopt;
    }
    Binding& binding = bindings_.at(found->second);
    if (!binding.active) {
        return std::nullopt;
    }
    deactivate(binding);
    return binding.lease;
}

std::vector<Lease> LeaseTable::expire(Time now) {
    std::vector<Lease> out;
    while (!ends_.empty() && next_end() <= now) {
        Binding& binding = bindings_.at(ends_.begin()->second);
        deactivate(binding);
        out.push_back(binding.lease);
    }
    return out;
}

Lease as_of(const Binding& binding, const Now& now) {
    Lease lease = binding.lease;
    if (binding.ends == kEndOfTime) {
        lease.expires = kNever;
    } else if (binding.active) {
        lease.expires = now.wall + std::chrono::ceil<std::chrono::seconds>(binding.ends - now.time);
    }
    return lease;
}

}  // namespace bascule::dhcp
