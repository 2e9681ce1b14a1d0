// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "daemon/config.h"
#include "daemon/connection.h"
#include "daemon/crowd.h"
#include "daemon/host.h"
#include "daemon/listeners.h"
#include "rpc/budget.h"
#include "rpc/handlers.h"

namespace bascule::daemon {

// The listening sockets, and who is connected (daemon/connection.h).
class Server {
public:
    Server(Host& host, rpc::Handlers& handlers, const Config& config);
    ~Server();

    // Opens all sockets, or none. Refused while another daemon serves there.
    Result<void> listen();
    void accept();  // from now on
    // Removes the sockets' names: nobody new comes.
    void close();

    // For the calls that look after clients. Connections are in the order in which they came.
    const std::map<std::uint64_t, std::shared_ptr<Connection>>& clients() const { return clients_; }
    Result<void> disconnect(std::uint64_t id);
    const Crowd& crowd() const { return crowd_; }
    const rpc::Limits& limits() const { return limits_; }
    // For those who come from now on; who is in stays. Until the daemon ends: the configuration is not written.
    Result<void> set_limits(const Crowd::Limits& crowd, const rpc::Limits& limits);

private:
    void accept_from(Listener& listener);
    bool accept_one(Listener& listener);
    void welcome(Listener& listener, Connection::Setup setup);
    void pause(Listener& listener);
    void complain(const std::string& line);
    std::shared_ptr<rpc::Budget> budget_of(const Origin& origin);
    std::shared_ptr<rpc::Pace> pace_of(const Origin& origin);

    Host& host_;
    rpc::Handlers& handlers_;
    const Config& config_;
    Crowd crowd_;  // outlives the connections' places
    rpc::Limits limits_;
    std::shared_ptr<TlsServer> tls_;
    std::shared_ptr<rpc::Budget> local_budget_;
    std::map<Ip, std::weak_ptr<rpc::Budget>> remote_budgets_;
    std::map<Crowd::Key, std::weak_ptr<rpc::Pace>> paces_;
    std::vector<Listener> listeners_;
    std::map<std::uint64_t, std::shared_ptr<Connection>> clients_;
    std::uint64_t next_id_ = 1;
    std::unique_ptr<kernel::Watch> resume_;
    kernel::Time complained_{};
    unsigned complaints_ = 0, left_out_ = 0;
};

}  // namespace bascule::daemon
