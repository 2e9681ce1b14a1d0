// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/network_ports.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/log.h"

namespace bascule::daemon {

namespace {

ObjectName file_of(const Uuid& network, const Uuid& port) {
    return *ObjectName::parse(format(network) + "." + format(port));
}

// The same each time it is asked for, as long as the guest and its NIC's MAC are the same (RFC 9562, version 8).
Uuid uuid_of(const Uuid& guest, const MacAddr& mac) {
    Uuid out = guest;
    for (std::size_t i = 0; i < mac.octets.size(); ++i) {
        out.octets[10 + i] ^= mac.octets[i];
    }
    out.octets[6] = static_cast<std::uint8_t>((out.octets[6] & 0x0f) | 0x80);
    out.octets[8] = static_cast<std::uint8_t>((out.octets[8] & 0x3f) | 0x80);
    return out;
}

std::unexpected<Error> missing(const Uuid& port) {
    return fail(Code::no_network_port, fmt::format("Network port with UUID {} does not exist", format(port)));
}

std::string device_of(const network::PortPlug& plug) {
    return plug.type == network::PortPlug::Type::hostdev_pci ? network::format(plug.pci) : plug.device;
}

}  // namespace

network::Port port_of_nic(const vmm::Spec& guest, const vmm::Interface& nic, const network::Spec& network,
                          const std::optional<IfName>& bridge) {
    network::Port port{.uuid = uuid_of(guest.uuid, nic.mac.value_or(MacAddr{})),
                       .owner_name = guest.name.str(),
                       .owner = guest.uuid,
                       .mac = nic.mac,
                       .group = nic.portgroup,
                       .bandwidth = nic.bandwidth.value_or(Bandwidth{}),
                       .vlan = nic.vlan,
                       .isolated = nic.isolated,
                       .virtual_port = nic.virtual_port,
                       .trust_rx_filters = nic.trust_rx_filters};
    // It runs, so what is put together agrees; a group that was deleted since says nothing more.
    if (!network::allocate(port, network, [](const std::string&) { return 0U; })) {
        port.plug = {.type = network::PortPlug::Type::network, .device = bridge ? bridge->str() : std::string()};
    }
    return port;
}

NetworkPorts::NetworkPorts(Host& host, Networks& networks, Guests& guests)
    : host_(host), networks_(networks), guests_(guests), store_(host.files, "/run/bascule/network-ports") {}

std::vector<std::string> NetworkPorts::load() {
    std::vector<std::string> problems;
    const auto entries = store_.load();
    if (!entries) {
        return {entries.error().message};
    }
    for (const Store::Entry& entry : *entries) {
        const auto dot = entry.name.find('.');
        const auto network = Uuid::parse(std::string_view(entry.name).substr(0, dot));
        auto port = entry.text ? network::parse_port(*entry.text) : std::unexpected(entry.text.error());
        if (!network || !port) {
            problems.push_back(fmt::format("{}: {}", entry.path, port ? "no port's name" : port.error().message));
            continue;
        }
        const auto known = networks_.by_uuid(*network);
        if (known && (*known)->active()) {
            made_.insert_or_assign({*network, port->uuid}, *std::move(port));
        } else if (auto gone = store_.remove(file_of(*network, port->uuid)); !gone) {
            problems.push_back(gone.error().message);
        }
    }
    return problems;
}

std::vector<std::pair<network::Port, Uuid>> NetworkPorts::of_guests(const Network& network) const {
    std::vector<std::pair<network::Port, Uuid>> out;
    for (const Domain* const domain : guests_.all()) {
        if (!domain->guest) {
            continue;
        }
        const vmm::Spec& spec = domain->guest->spec();
        for (std::size_t i = 0; i < std::min(domain->nics.size(), spec.interfaces.size()); ++i) {
            const vmm::Interface& nic = spec.interfaces[i];
            if (domain->nics[i].network != network.live->uuid || !nic.mac) {
                continue;
            }
            out.emplace_back(port_of_nic(spec, nic, *network.live, domain->nics[i].bridge), spec.uuid);
        }
    }
    return out;
}

Result<std::vector<network::Port>> NetworkPorts::of(const Uuid& network) const {
    TRY(const Network* const found, networks_.by_uuid(network));
    std::vector<network::Port> out;
    if (!found->active()) {
        return out;
    }
    for (auto& [port, guest] : of_guests(*found)) {
        out.push_back(std::move(port));
    }
    for (const auto& [key, port] : made_) {
        if (key.first == network) {
            out.push_back(port);
        }
    }
    return out;
}

Result<network::Port> NetworkPorts::find(const Uuid& network, const Uuid& port) const {
    TRY(const auto all, of(network));
    const auto found = std::ranges::find(all, port, &network::Port::uuid);
    if (found == all.end()) {
        return missing(port);
    }
    return *found;
}

Result<void> NetworkPorts::save(const Key& key, const network::Port& port) {
    TRY_OK(store_.save(file_of(key.first, key.second), network::format(port)));
    made_.insert_or_assign(key, port);
    return {};
}

Result<network::Port> NetworkPorts::allocate(const Uuid& network, std::string_view xml, bool reclaim) const {
    TRY(network::Port port, network::parse_port(xml));
    TRY(const Network* const found, networks_.by_uuid(network));
    if (!found->active()) {
        return fail(Code::invalid_state, fmt::format("network '{}' is not active", found->shown().name.str()));
    }
    if (port.uuid.is_nil()) {
        port.uuid = Uuid::random();
    }
    TRY(const auto others, of(network));
    if (std::ranges::find(others, port.uuid, &network::Port::uuid) != others.end()) {
        return fail(Code::exists, fmt::format("Network port with UUID {} already exists", format(port.uuid)));
    }
    if (reclaim && port.plug.type == network::PortPlug::Type::none) {
        return fail(Code::invalid_argument, "a port that is reclaimed needs its <plug>");
    }
    if (!reclaim) {
        if (port.plug.type != network::PortPlug::Type::none) {
            return fail(Code::invalid_argument,
                        "<plug> of a new port is the network's to choose; leave it out, or reclaim the port");
        }
        const auto users = [&](const std::string& device) {
            return static_cast<unsigned>(std::ranges::count_if(
                others, [&](const network::Port& other) { return device_of(other.plug) == device; }));
        };
        TRY_OK(network::allocate(port, *found->live, users));
    }
    return port;
}

void NetworkPorts::create(const Uuid& network, std::string_view xml, bool reclaim, Done done) {
    auto port = allocate(network, xml, reclaim);
    if (!port) {
        return done(std::unexpected(std::move(port).error()));
    }
    auto errands = networks_.port_errands(network, "port-created", *port);
    run(std::move(errands), [this, network, wanted = *std::move(port),
                             call = std::move(done)](Result<void> asked) mutable {
        const auto made = [&]() -> Result<Uuid> {
            if (!asked) {
                return fail(Code::invalid_state, asked.error().message);
            }
            // Others may have changed things while the hook ran.
            TRY(const Network* const found, networks_.by_uuid(network));
            if (!found->active() || made_.contains({network, wanted.uuid})) {
                return fail(Code::invalid_state, "the network stopped, or has such a port, since the hook was asked");
            }
            TRY_OK(save({network, wanted.uuid}, wanted));
            return wanted.uuid;
        }();
        call(made);
    });
}

// `done` at once where there is no hook.
void NetworkPorts::run(std::vector<Errand> errands, std::move_only_function<void(Result<void>)> done) {
    const unsigned id = next_hook_++;
    auto chain = std::make_unique<CommandChain>(host_.spawner, host_.loop, std::move(errands), Hooks::kTime,
                                                [this, id, call = std::move(done)](Result<void> ran) mutable {
                                                    host_.loop.defer([this, id] { hooks_.erase(id); });
                                                    call(std::move(ran));
                                                });
    CommandChain& running = *chain;
    hooks_.emplace(id, std::move(chain));
    running.run();
}

void NetworkPorts::tell_deleted(const Uuid& network, const network::Port& port) {
    run(networks_.port_errands(network, "port-deleted", port), [](Result<void> told) {
        if (!told) {
            log::error("port-deleted: {}", told.error().message);
        }
    });
}

Result<void> NetworkPorts::remove(const Uuid& network, const Uuid& port) {
    TRY(const network::Port found, find(network, port));
    if (!made_.contains({network, port})) {
        return fail(Code::in_use, fmt::format("the port is of the running guest '{}': detach its interface {}",
                                              found.owner_name, found.mac ? format(*found.mac) : std::string()));
    }
    TRY_OK(store_.remove(file_of(network, port)));
    made_.erase({network, port});
    tell_deleted(network, found);
    return {};
}

Result<void> NetworkPorts::set_bandwidth(const Uuid& network, const Uuid& port, const Bandwidth& bandwidth) {
    if (const auto made = made_.find({network, port}); made != made_.end()) {
        network::Port next = made->second;
        next.bandwidth = bandwidth;
        return save({network, port}, next);
    }
    TRY(const Network* const found, networks_.by_uuid(network));
    for (const auto& [one, guest] : found->active() ? of_guests(*found) : decltype(of_guests(*found)){}) {
        if (one.uuid != port) {
            continue;
        }
        const MacAddr mac = *one.mac;
        const auto find_nic = [mac](const vmm::Spec& spec) -> Result<std::size_t> {
            const auto at = std::ranges::find(spec.interfaces, mac, &vmm::Interface::mac);
            if (at == spec.interfaces.end()) {
                return fail(Code::invalid_argument, fmt::format("no interface has the MAC {}", format(mac)));
            }
            return static_cast<std::size_t>(at - spec.interfaces.begin());
        };
        const auto apply = [bandwidth](vmm::Interface& nic) -> Result<void> {
            nic.bandwidth = bandwidth.empty() ? std::nullopt : std::optional(bandwidth);
            return {};
        };
        return guests_.update_nic(guest, Guests::Impact::live, {find_nic, apply});
    }
    return missing(port);
}

unsigned NetworkPorts::made_by_clients(const Uuid& network) const {
    return static_cast<unsigned>(
        std::ranges::count_if(made_, [&](const auto& entry) { return entry.first.first == network; }));
}

void NetworkPorts::network_stopped(const Uuid& network) {
    std::erase_if(made_, [&](const auto& entry) {
        if (entry.first.first != network) {
            return false;
        }
        if (auto gone = store_.remove(file_of(network, entry.first.second)); !gone) {
            log::error("{}", gone.error().message);
        }
        tell_deleted(network, entry.second);
        return true;
    });
}

}  // namespace bascule::daemon
