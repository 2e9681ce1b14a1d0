// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/fd.h"
#include "daemon/crowd.h"
#include "daemon/listeners.h"
#include "daemon/tls.h"
#include "kernel/io.h"
#include "rpc/session.h"

namespace bascule::daemon {

// One client: moves bytes between a socket and a session (rpc/session.h), through TLS where that is, and knows nothing
// of what they mean. Who does not log in in time is dropped.
class Connection : public std::enable_shared_from_this<Connection> {
public:
    struct Setup {
        std::uint64_t id = 0;
        UniqueFd fd;
        Transport transport = Transport::local;
        Origin origin{};
        std::uint16_t port = 0;  // the client's, of a remote one
        Crowd::Place place{};
        std::shared_ptr<TlsServer> tls{};  // of Transport::tls
        rpc::Peer peer{};
        rpc::Limits limits{};
        std::chrono::seconds login_limit{30};
    };
    struct Callbacks {
        std::function<void(Connection&)> gone;      // to be let go of, now or later
        std::function<void(std::string)> complain;  // for the log
    };

    Connection(kernel::Loop& loop, rpc::Handlers& handlers, Setup setup, Callbacks callbacks);
    Result<void> start();
    // Closes it, with what is queued written as far as the socket takes it now. `why` empty: no complaint.
    void end(std::string why);

    const Setup& setup() const { return setup_; }
    rpc::Session* session() const { return session_.get(); }  // null while TLS is being agreed upon
    kernel::WallTime since() const { return since_; }
    std::string who() const;

private:
    void open_session();
    void wake();
    void service();
    void on_ready(kernel::Ready ready);
    void read();
    void progress();  // TLS
    bool flush();
    void after_login();
    void arm();
    void close();

    kernel::Loop& loop_;
    rpc::Handlers& handlers_;
    Setup setup_;
    Callbacks callbacks_;
    const kernel::WallTime since_;
    std::unique_ptr<TlsChannel> tls_;
    std::shared_ptr<rpc::Session> session_;
    std::unique_ptr<kernel::Watch> watch_, login_, check_;
    bool reading_ = false, writing_ = false;  // what the watch is armed for
    bool scheduled_ = false;                  // service() is on its way
    bool ending_ = false, closed_ = false;
};

}  // namespace bascule::daemon
