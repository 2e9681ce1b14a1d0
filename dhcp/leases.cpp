// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/leases.h"

#include <algorithm>

namespace bascule::dhcp {

namespace {

// The index's binding under that key.
template <class Index, class Key>
auto look_up(const Index& index, const Key& key) -> typename Index::value_type {
    const auto found = index.find(key);
    return found == index.end() ? nullptr : *found;
}

// Takes out the one with that key.
template <class Index, class Key>
void remove(Index& index, const Key& key) {
    if (const auto found = index.find(key); found != index.end()) {
        index.erase(found);
    }
}

}  // namespace

ClientKey key_of(const MacAddr& port, std::string_view client_id, bool by_id) {
    return by_id && !client_id.empty() ? ClientKey{{}, std::string(client_id)} : ClientKey{port, {}};
}

ClientKey client_of(const Lease& lease) {
    const auto* const id = reinterpret_cast<const char*>(lease.client_id.data());
    return key_of(lease.port, std::string_view(id, lease.client_id.size()), lease.by_id);
}

std::pair<MacAddr, std::string_view> LeaseTable::ClientIndex::of(const Binding* binding) {
    const Lease& lease = binding->lease;
    if (lease.by_id && !lease.client_id.empty()) {
        return {{}, {reinterpret_cast<const char*>(lease.client_id.data()), lease.client_id.size()}};
    }
    return {lease.port, {}};
}

const Binding* LeaseTable::by_client(const ClientKey& client) const { return look_up(clients_, client); }

const Binding* LeaseTable::by_port(const MacAddr& port) const {
    const Binding* found = by_client({port, {}});
    if ((found == nullptr || !found->active) && !behind_.empty()) {
        const auto [first, last] = behind_.equal_range(port);
        for (auto one = first; one != last && (found == nullptr || !found->active); ++one) {
            found = by_address(one->second);
        }
    }
    return found;
}

const Binding* LeaseTable::by_address(const Ip& address) const { return look_up(by_address_, address); }

const Binding* LeaseTable::by_name(const std::string& hostname) const { return look_up(names_, hostname); }

void LeaseTable::activate(Binding& binding) {
    ++changes_;
    binding.active = true;
    ++active_;
    if (binding.ends != kEndOfTime) {
        ends_.insert(&binding);
    }
    if (std::string& name = binding.lease.hostname; !name.empty()) {
        if (!names_.insert(&binding).second) {
            name.clear();
        }
    }
}

void LeaseTable::deactivate(Binding& binding) {
    if (!binding.active) {
        return;
    }
    ++changes_;
    binding.active = false;
    --active_;
    ends_.erase(&binding);
    if (!binding.lease.hostname.empty()) {
        remove(names_, binding.lease.hostname);
    }
}

void LeaseTable::forget(const ClientKey& client) {
    const auto found = clients_.find(client);
    if (found == clients_.end()) {
        return;
    }
    Binding& binding = **found;
    const Ip address = binding.lease.address;
    deactivate(binding);
    const auto [first, last] = behind_.equal_range(binding.lease.port);
    for (auto one = first; one != last; ++one) {
        if (one->second == address) {
            behind_.erase(one);
            break;
        }
    }
    clients_.erase(found);
    remove(by_address_, address);
    bindings_.erase(address);
}

void LeaseTable::clear_name(const Ip& address) {
    const auto found = bindings_.find(address);
    if (found == bindings_.end()) {
        return;
    }
    ++changes_;
    if (found->second.active) {
        remove(names_, found->second.lease.hostname);
    }
    found->second.lease.hostname.clear();
}

void LeaseTable::rekey(bool by_id) {
    std::vector<Binding> all;
    all.reserve(bindings_.size());
    for (auto& [address, binding] : bindings_) {
        all.push_back(std::move(binding));
    }
    const std::uint64_t changes = changes_ + 1;
    *this = LeaseTable();
    changes_ = changes;
    // Those whose key stays come first, so that none of the others can be left without one.
    const auto wished = [by_id](const Lease& lease) { return by_id && !lease.client_id.empty(); };
    std::ranges::stable_partition(all, [&](const Binding& one) { return one.lease.by_id == wished(one.lease); });
    for (Binding& one : all) {
        const bool before = std::exchange(one.lease.by_id, wished(one.lease));
        if (by_client(client_of(one.lease)) != nullptr) {
            one.lease.by_id = before;
        }
        restore(std::move(one.lease), one.ends, one.active);
    }
}

void LeaseTable::restore(Lease lease, Time ends, bool active) {
    forget(client_of(lease));
    if (const Binding* const other = by_address(lease.address)) {
        forget(client_of(other->lease));
    }
    const Ip address = lease.address;
    if (lease.by_id) {
        behind_.insert({lease.port, address});
    }
    Binding& binding = bindings_[address] = Binding{std::move(lease), ends, false};
    clients_.insert(&binding);
    by_address_.insert(&binding);
    if (active) {
        activate(binding);
    }
}

const Binding& LeaseTable::bind(Lease lease, Time ends) {
    const Ip address = lease.address;
    restore(std::move(lease), ends, true);
    return *by_address(address);
}

std::optional<Lease> LeaseTable::end(const ClientKey& client) {
    Binding* const binding = look_up(clients_, client);
    if (binding == nullptr || !binding->active) {
        return std::nullopt;
    }
    deactivate(*binding);
    return binding->lease;
}

std::vector<Lease> LeaseTable::expire(Time now) {
    std::vector<Lease> out;
    while (!ends_.empty() && next_end() <= now) {
        Binding& binding = **ends_.begin();
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
