// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string>

#include "daemon/host.h"
#include "rpc/handlers.h"
#include "rpc/session.h"

namespace bascule::daemon {

// The listening sockets and the connections: moves bytes between sockets and sessions (rpc/session.h), and knows
// nothing of what they mean.
class Server {
public:
    struct Settings {
        std::uint32_t rw_perms = 0700, ro_perms = 0777;
        std::string group;  // of the read-write socket; empty: ours
        std::size_t max_clients = 5000;
    };
    Server(Host& host, rpc::Handlers& handlers);
    ~Server();

    // Sockets at /run/bascule/libvirt-sock and -ro. Refused while another daemon serves there.
    Result<void> listen(const Settings& settings);
    void accept();  // from now on
    // Removes the sockets' names: nobody new comes.
    void close();
    std::size_t clients() const { return clients_.size(); }

private:
    struct Client;
    struct Listener {
        UniqueFd fd;
        std::string path;
        bool read_only = false;
        std::unique_ptr<kernel::Watch> watch;
    };
    void accept_from(Listener& listener);
    void service(Client& client);
    void on_ready(Client& client, kernel::Ready ready);
    void drop(Client& client);

    Host& host_;
    rpc::Handlers& handlers_;
    std::size_t max_clients_ = 0;
    std::list<Listener> listeners_;
    std::list<Client> clients_;
};

}  // namespace bascule::daemon
