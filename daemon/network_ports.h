// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/guests.h"
#include "daemon/networks.h"
#include "network/port.h"

namespace bascule::daemon {

// The ports of running networks: one for each NIC of a running guest, and those that clients made themselves
// (net-port-create) for something that they plug in. The first are seen, never stored; the second end with the network.
class NetworkPorts {
public:
    NetworkPorts(Host& host, Networks& networks, Guests& guests);

    // Those that clients made before we were started anew. Broken files are reported and left alone.
    std::vector<std::string> load();

    Result<std::vector<network::Port>> of(const Uuid& network) const;
    Result<network::Port> find(const Uuid& network, const Uuid& port) const;
    // `reclaim`: it was there before, and is as the document says. The administrator's hook may refuse; `done` is
    // called once.
    using Done = std::move_only_function<void(Result<Uuid>)>;
    void create(const Uuid& network, std::string_view xml, bool reclaim, Done done);
    Result<void> remove(const Uuid& network, const Uuid& port);
    // A guest's NIC has its new limits when this returns.
    Result<void> set_bandwidth(const Uuid& network, const Uuid& port, const Bandwidth& bandwidth);

    unsigned made_by_clients(const Uuid& network) const;
    void network_stopped(const Uuid& network);

private:
    using Key = std::pair<Uuid, Uuid>;                                                    // of the network, of the port
    std::vector<std::pair<network::Port, Uuid>> of_guests(const Network& network) const;  // with the guest's
    Result<void> save(const Key& key, const network::Port& port);
    Result<network::Port> allocate(const Uuid& network, std::string_view xml, bool reclaim) const;
    void run(std::vector<Errand> errands, std::move_only_function<void(Result<void>)> done);
    void tell_deleted(const Uuid& network, const network::Port& port);

    Host& host_;
    Networks& networks_;
    Guests& guests_;
    Store store_;
    std::map<Key, network::Port> made_;
    std::map<unsigned, std::unique_ptr<CommandChain>> hooks_;  // that run
    unsigned next_hook_ = 0;
};

// The port of a guest's NIC on that network, which runs; `bridge`: where it is plugged in.
network::Port port_of_nic(const vmm::Spec& guest, const vmm::Interface& nic, const network::Spec& network,
                          const std::optional<IfName>& bridge);

}  // namespace bascule::daemon
