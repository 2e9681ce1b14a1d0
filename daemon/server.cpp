// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/server.h"

#include <malloc.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include <fmt/format.h>

#include "base/log.h"
#include "kernel/linux/sockets.h"
#include "rpc/constants.h"

namespace bascule::daemon {

namespace os = kernel::os;

namespace {

// How many come in at once before others are served again.
constexpr int kAcceptAtOnce = 16;
// Of a process that has a password to ask for; of all others.
constexpr std::chrono::seconds kPersonLogin{150}, kLogin{30};
// What all connections of one user, or one address, may hold in memory together.
constexpr std::size_t kBudget = 256U << 20;
// What all of them may have taken in one turn of the loop; four connections' worth (rpc::Limits::turn).
constexpr std::size_t kPacketsATurn = 64;
constexpr std::uint32_t kNobody = std::numeric_limits<std::uint32_t>::max();
// Beside those of clients: files, guests' monitors and consoles, which one connection may have several of.
constexpr std::size_t kOwnDescriptors = 4096;
constexpr unsigned kLinesASecond = 10;

// The files of TLS, of which the private key must not be readable for anybody else.
Result<TlsSettings> tls_settings(const kernel::FileTree& files, const Config& config) {
    constexpr std::size_t kMost = 1U << 20;
    TlsSettings out{.ca_file = files.real(config.ca_file),
                    .certificate_file = files.real(config.cert_file),
                    .key_file = files.real(config.key_file),
                    .priority = config.tls_priority,
                    .verify_client = !config.tls_no_verify_certificate,
                    .check_own = !config.tls_no_sanity_certificate,
                    .allowed = config.tls_allowed_dn_list};
    TRY(out.ca, files.read(config.ca_file, kMost));
    TRY(out.certificate, files.read(config.cert_file, kMost));
    TRY(out.key, files.read(config.key_file, kMost));
    const std::string crl = config.crl_file.empty() ? "/etc/pki/CA/crl.pem" : config.crl_file;
    if (!config.crl_file.empty() || files.exists(crl)) {
        out.crl_file = files.real(crl);
        TRY(out.crl, files.read(crl, kMost));
    }
    return out;
}

}  // namespace

Server::Server(Host& host, rpc::Handlers& handlers, const Config& config)
    : host_(host),
      handlers_(handlers),
      config_(config),
      crowd_({.clients = config.max_clients, .anonymous = config.max_anonymous_clients}),
      local_budget_(std::make_shared<rpc::Budget>(kBudget)) {
    limits_.in_flight = config.max_client_requests;
    limits_.keepalive_interval = std::chrono::seconds(std::max(config.keepalive_interval, 0));
    limits_.keepalive_count = config.keepalive_count;
}

Server::~Server() = default;

Result<void> Server::listen() {
    const std::size_t wanted = config_.max_clients + Crowd::kForRoot + kOwnDescriptors;
    if (const std::size_t can = os::allow_descriptors(wanted); can < wanted) {
        const std::size_t clients = std::max<std::size_t>(can / 2, can - std::min(can, kOwnDescriptors));
        log::warning("max_clients is {}, since this process may have {} descriptors (LimitNOFILE=)", clients, can);
        crowd_.set_limits({.clients = clients, .anonymous = config_.max_anonymous_clients});
    }
    if (config_.listen_tls) {
        auto settings = tls_settings(host_.files, config_);
        if (!settings) {
            return std::unexpected(std::move(settings.error()).in("listen_tls = 1"));
        }
        auto made = TlsServer::make(*std::move(settings));
        if (!made) {
            return std::unexpected(std::move(made.error()).in("listen_tls = 1"));
        }
        tls_ = *std::move(made);
        if (config_.tls_no_verify_certificate) {
            log::warning("tls_no_verify_certificate = 1: whoever reaches port {} is let in", config_.tls_port);
        }
    }
    TRY(listeners_, open_listeners(host_.files, config_));
    return {};
}

void Server::accept() {
    for (Listener& listener : listeners_) {
        listener.watch = host_.loop.watch(listener.fd.get(), true, false,
                                          [this, &listener](kernel::Ready) { accept_from(listener); });
    }
}

void Server::close() { close_listeners(listeners_); }

void Server::accept_from(Listener& listener) {
    for (int i = 0; i < kAcceptAtOnce && accept_one(listener); ++i) {
    }
}

// False: nobody is waiting (or cannot be let in now).
bool Server::accept_one(Listener& listener) {
    Connection::Setup setup;
    setup.transport = listener.transport;
    setup.peer.read_only = listener.read_only;
    std::optional<Error> problem;
    if (listener.transport == Transport::local) {
        auto accepted = os::accept_client(listener.fd.get());
        if (accepted) {
            setup.fd = std::move(accepted->fd);
            setup.origin = LocalOrigin{accepted->uid, accepted->pid};
            setup.peer.uid = accepted->uid;
            setup.peer.gid = accepted->gid;
            setup.peer.pid = accepted->pid;
            setup.peer.fd_passing = true;
        } else {
            problem = std::move(accepted).error();
        }
    } else {
        auto accepted = os::accept_remote(listener.fd.get());
        if (accepted) {
            setup.fd = std::move(accepted->fd);
            setup.origin = accepted->address;
            setup.port = accepted->port;
            setup.peer.uid = setup.peer.gid = kNobody;
            setup.peer.secure = listener.transport == Transport::tls;
        } else {
            problem = std::move(accepted).error();
        }
    }
    if (!problem) {
        welcome(listener, std::move(setup));
        return true;
    }
    if (problem->sys_errno == EMFILE || problem->sys_errno == ENFILE || problem->sys_errno == ENOMEM ||
        problem->sys_errno == ENOBUFS) {
        complain(fmt::format("{}: {}", listener.place, problem->message));
        pause(listener);
        return false;
    }
    // Others are one client's matter, who has gone already (accept(2)).
    return problem->sys_errno != EAGAIN;
}

void Server::welcome(Listener& listener, Connection::Setup setup) {
    const bool asks_polkit = listener.auth == Auth::polkit && !is_root(setup.origin);
    auto place = crowd_.enter(setup.origin, asks_polkit || setup.transport == Transport::tls);
    if (!place) {
        complain(fmt::format("a client of {} was turned away: {}", format(setup.origin), place.error().message));
        return;
    }
    if (const auto* const local = std::get_if<LocalOrigin>(&setup.origin)) {
        setup.peer.process_start = os::process_start_time(local->pid);  // only now: turning away must cost little
    }
    setup.id = next_id_++;
    setup.place = *std::move(place);
    setup.tls = tls_;
    setup.login_limit = asks_polkit ? kPersonLogin : kLogin;
    setup.limits = limits_;
    setup.limits.budget = budget_of(setup.origin);
    setup.limits.pace = pace_of(setup.origin);
    if (asks_polkit) {
        setup.peer.auth = {rpc::auth_type::polkit};
    }
    const std::uint64_t id = setup.id;
    const auto client = std::make_shared<Connection>(
        host_.loop, handlers_, std::move(setup),
        Connection::Callbacks{.gone =
                                  [this](Connection& gone) {
                                      clients_.erase(gone.setup().id);
                                      if (clients_.size() % 64 == 0) {  // the last of all, or some of a crowd
                                          ::malloc_trim(0);  // what a burst of work took goes back to the host's guests
                                      }
                                  },
                              .complain = [this](const std::string& line) { complain(line); }});
    clients_.emplace(id, client);
    if (auto started = client->start(); !started) {
        client->end(started.error().message);
    }
}

// Until descriptors are free again: who waits, waits in the socket's queue.
void Server::pause(Listener& listener) {
    listener.watch.reset();
    if (!resume_) {
        resume_ = host_.loop.at(host_.loop.clock().now() + std::chrono::seconds(1), [this] {
            resume_.reset();
            accept();
        });
    }
}

std::shared_ptr<rpc::Budget> Server::budget_of(const Origin& origin) {
    const Ip* const address = std::get_if<Ip>(&origin);
    if (address == nullptr) {
        return local_budget_;  // which tells users apart
    }
    std::erase_if(remote_budgets_, [](const auto& entry) { return entry.second.expired(); });
    auto& known = remote_budgets_[*address];
    auto budget = known.lock();
    if (!budget) {
        budget = std::make_shared<rpc::Budget>(kBudget);
        known = budget;
    }
    return budget;
}

std::shared_ptr<rpc::Pace> Server::pace_of(const Origin& origin) {
    std::erase_if(paces_, [](const auto& entry) { return entry.second.expired(); });
    auto& known = paces_[Crowd::source(origin)];
    auto pace = known.lock();
    if (!pace) {
        pace = std::make_shared<rpc::Pace>(kPacketsATurn, [this](auto reset) { host_.loop.defer(std::move(reset)); });
        known = pace;
    }
    return pace;
}

Result<void> Server::set_limits(const Crowd::Limits& crowd, const rpc::Limits& limits) {
    const std::size_t wanted = crowd.clients + Crowd::kForRoot + kOwnDescriptors;
    if (const std::size_t can = os::allow_descriptors(wanted); can < wanted) {
        return fail(Code::unsupported_config,
                    fmt::format("max_clients = {} needs {} descriptors, and this process may have {} (LimitNOFILE=)",
                                crowd.clients, wanted, can));
    }
    crowd_.set_limits(crowd);
    limits_ = limits;
    return {};
}

Result<void> Server::disconnect(std::uint64_t id) {
    const auto found = clients_.find(id);
    if (found == clients_.end()) {
        return fail(Code::invalid_argument, fmt::format("there is no client {}", id));
    }
    const auto client = found->second;
    client->end("disconnected on request");
    return {};
}

// Whoever makes us complain must not fill the disk with it.
void Server::complain(const std::string& line) {
    const kernel::Time now = host_.loop.clock().now();
    if (now - complained_ >= std::chrono::seconds(1)) {
        if (left_out_ > 0) {
            log::warning("{} more lines about clients were left out", left_out_);
        }
        complained_ = now;
        complaints_ = left_out_ = 0;
    }
    if (++complaints_ > kLinesASecond) {
        ++left_out_;
        return;
    }
    log::warning("{}", line);
}

}  // namespace bascule::daemon
