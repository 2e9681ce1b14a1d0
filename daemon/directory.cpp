// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/directory.h"

#include <algorithm>

namespace bascule::daemon {

namespace {

using Named = Directory::Named;

// From a use case's own lookups, which answer Result<const T*>.
template <class Owner, class Name>
Directory::Kind kind(const Owner& owner, Name named) {
    Directory::Kind out;
    out.by_uuid = [&owner, named](const Uuid& uuid) -> std::optional<Named> {
        const auto found = owner.by_uuid(uuid);
        return found ? std::optional(named(**found)) : std::nullopt;
    };
    out.by_name = [&owner, named](const std::string& name) -> std::optional<Named> {
        const auto found = owner.by_name(name);
        return found ? std::optional(named(**found)) : std::nullopt;
    };
    return out;
}

Named named(const Domain& domain) { return {domain.name, domain.shown().uuid}; }

Named named(const Pool& pool) { return {pool.shown().name.str(), pool.shown().uuid}; }

std::optional<Directory::Volume> volume_at(const Storage& storage, const std::string& path_or_key) {
    for (const Pool* const pool : storage.all()) {
        for (const auto& [name, entry] : pool->volumes) {
            if (pool->active() && (entry.volume.key == path_or_key || entry.volume.path == path_or_key)) {
                return Directory::Volume{named(*pool), name, entry.volume.key};
            }
        }
    }
    // One that has come since the pool was looked at.
    const auto path = storage::tidy_path(path_or_key);
    if (!path) {
        return std::nullopt;
    }
    const auto home = storage.by_target(storage::folder_of(*path));
    return home ? std::optional(Directory::Volume{named(**home), path->substr(path->rfind('/') + 1), *path})
                : std::nullopt;
}

ObjectClass class_of(Subscriptions::Class what) {
    switch (what) {
        case Subscriptions::Class::network:
        case Subscriptions::Class::lease: return ObjectClass::network;
        case Subscriptions::Class::storage_pool: return ObjectClass::storage_pool;
        case Subscriptions::Class::node_device: return ObjectClass::node_device;
        case Subscriptions::Class::secret: return ObjectClass::secret;
        default: return ObjectClass::domain;
    }
}

}  // namespace

Directory make_directory(const Guests& guests, const Networks& networks, const Filters& filters, const Storage& storage,
                         const Secrets& secrets) {
    Directory out;
    out.domains = kind(guests, [](const Domain& domain) { return named(domain); });
    out.domain_by_id = [&guests](int id) -> std::optional<Named> {
        const auto found = guests.by_id(id);
        return found ? std::optional(named(**found)) : std::nullopt;
    };
    out.networks =
        kind(networks, [](const Network& network) { return Named{network.shown().name.str(), network.shown().uuid}; });
    out.filters = kind(filters, [](const nwfilter::Filter& filter) { return Named{filter.name, filter.uuid}; });
    out.pools = kind(storage, [](const Pool& pool) { return named(pool); });
    out.volume = [&storage](const Named& pool, const std::string& name) -> std::optional<Directory::Volume> {
        const auto found = storage.volume({.pool = pool.name, .name = name});
        return found ? std::optional(Directory::Volume{pool, name, found->key}) : std::nullopt;
    };
    out.volume_at = [&storage](const std::string& path_or_key) { return volume_at(storage, path_or_key); };
    out.pool_at = [&storage](const std::string& folder) -> std::optional<Named> {
        const auto found = storage.by_target(folder);
        return found ? std::optional(named(**found)) : std::nullopt;
    };
    out.secret_for = [&secrets](int usage, const std::string& id) -> std::optional<Uuid> {
        const auto found = secrets.by_usage(static_cast<SecretSpec::Usage>(usage), id);
        return found ? std::optional((*found)->spec.uuid) : std::nullopt;
    };
    out.filter_of_port = [&filters](const std::string& port) -> std::optional<std::string> {
        const auto found = filters.binding(port);
        return found ? std::optional((*found)->filter.filter) : std::nullopt;
    };
    return out;
}

LeaseNews::Lookups lease_lookups(const Networks& networks, const Guests& guests) {
    const auto network = [&networks](const Uuid& uuid) -> std::optional<rpc::proto::Network> {
        const auto found = networks.by_uuid(uuid);
        return found ? std::optional(rpc::proto::Network{.name = (*found)->shown().name.str(), .uuid = uuid})
                     : std::nullopt;
    };
    const auto guest = [&guests](const Uuid& uuid, const MacAddr& mac) -> std::optional<rpc::proto::Domain> {
        for (const Domain* const domain : guests.all()) {
            const auto& interfaces = domain->shown().interfaces;
            for (std::size_t i = 0; domain->active() && i < std::min(interfaces.size(), domain->nics.size()); ++i) {
                if (domain->nics[i].network == uuid && interfaces[i].mac == mac) {
                    return rpc::proto::Domain{.name = domain->name, .uuid = domain->shown().uuid, .id = domain->id};
                }
            }
        }
        return std::nullopt;
    };
    return {network, guest};
}

void gate_events(Subscriptions& subscriptions, Access& access) {
    subscriptions.set_gate([&access](rpc::Session& session, Subscriptions::Class what, const std::string& name,
                                     const std::string& key, Subscriptions::Deliver deliver) {
        Directory::Named object{name, {}};
        if (key.size() == object.uuid.octets.size()) {
            std::ranges::transform(key, object.uuid.octets.begin(),
                                   [](char c) { return static_cast<std::uint8_t>(c); });
        }
        access.gate(session, class_of(what), object, std::move(deliver));
    });
}

}  // namespace bascule::daemon
