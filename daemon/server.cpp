// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/server.h"

#include <malloc.h>

#include <algorithm>

#include <fmt/format.h>

#include "base/log.h"
#include "kernel/linux/facts.h"
#include "kernel/linux/sockets.h"

namespace bascule::daemon {

namespace os = kernel::os;

namespace {
// What one connection may read in one turn, so that a busy one does not starve the others.
constexpr std::size_t kReadAtOnce = 64 * 1024;
}  // namespace

struct Server::Client {
    UniqueFd fd;
    std::shared_ptr<rpc::Session> session;
    std::unique_ptr<kernel::Watch> watch;
    bool reading = false, writing = false;  // what the watch is armed for
    bool scheduled = false;                 // service() is on its way
    bool gone = false;
};

Server::Server(Host& host, rpc::Handlers& handlers) : host_(host), handlers_(handlers) {}
Server::~Server() = default;

Result<void> Server::listen(const Settings& settings) {
    max_clients_ = settings.max_clients;
    std::optional<std::uint32_t> group;
    if (!settings.group.empty()) {
        TRY(group, os::group_id(settings.group));
    }
    for (const bool read_only : {false, true}) {
        const std::string path =
            host_.files.real(read_only ? "/run/bascule/libvirt-sock-ro" : "/run/bascule/libvirt-sock");
        if (os::answers(path)) {
            return fail(Code::conflict, fmt::format("{}: another daemon serves there; stop it first", path));
        }
        TRY(UniqueFd fd, os::listen_clients(path, read_only ? settings.ro_perms : settings.rw_perms,
                                            read_only ? std::nullopt : group));
        listeners_.push_back({std::move(fd), path, read_only, nullptr});
    }
    return {};
}

void Server::accept() {
    for (Listener& listener : listeners_) {
        listener.watch = host_.loop.watch(listener.fd.get(), true, false,
                                          [this, &listener](kernel::Ready) { accept_from(listener); });
    }
}

void Server::close() {
    for (const Listener& listener : listeners_) {
        os::remove_socket(listener.path);
    }
    listeners_.clear();
}

void Server::accept_from(Listener& listener) {
    auto accepted = os::accept_client(listener.fd.get());
    if (!accepted) {
        if (accepted.error().sys_errno != EAGAIN && accepted.error().sys_errno != ECONNABORTED) {
            log::error("{}: {}", listener.path, accepted.error().message);
        }
        return;
    }
    if (clients_.size() >= max_clients_) {
        log::warning("a client of user {} was turned away: {} are connected (max_clients)", accepted->uid,
                     clients_.size());
        return;
    }
    Client& client = clients_.emplace_back();
    client.fd = std::move(accepted->fd);
    client.session = rpc::Session::create(handlers_,
                                          {.uid = accepted->uid,
                                           .gid = accepted->gid,
                                           .pid = accepted->pid,
                                           .read_only = listener.read_only,
                                           .fd_passing = true},
                                          [this, &client] {
                                              if (!std::exchange(client.scheduled, true)) {
                                                  host_.loop.defer([this, &client] { service(client); });
                                              }
                                          });
    client.scheduled = true;
    host_.loop.defer([this, &client] { service(client); });
}

// Writes what there is, and arms the watch for what the session wants next.
void Server::service(Client& client) {
    client.scheduled = false;
    if (client.gone) {
        drop(client);
        return;
    }
    for (auto chunk = client.session->next_output(); !chunk.bytes.empty(); chunk = client.session->next_output()) {
        const auto sent = os::send_stream(client.fd.get(), chunk.bytes, chunk.fd);
        if (!sent) {
            client.gone = client.gone || sent.error().sys_errno != EAGAIN;
            break;
        }
        client.session->sent(*sent);
    }
    if (client.gone || client.session->finished()) {
        if (!client.session->why().empty()) {
            log::warning("a client of user {} was dropped: {}", client.session->peer().uid, client.session->why());
        }
        client.gone = true;
        drop(client);
        return;
    }
    const bool reading = client.session->wants_input(), writing = client.session->queued() > 0;
    if (!client.watch || reading != client.reading || writing != client.writing) {
        client.reading = reading;
        client.writing = writing;
        client.watch = host_.loop.watch(client.fd.get(), reading, writing,
                                        [this, &client](kernel::Ready ready) { on_ready(client, ready); });
    }
}

void Server::on_ready(Client& client, kernel::Ready ready) {
    if (ready.readable && client.session->wants_input()) {
        auto received = os::receive_stream(client.fd.get(), kReadAtOnce);
        if (received && !received->bytes.empty()) {
            client.session->receive(received->bytes, std::move(received->fds));
        } else if (received || received.error().sys_errno != EAGAIN) {
            client.gone = true;
        }
    } else if (ready.hangup && !ready.readable) {
        client.gone = true;
    }
    if (!std::exchange(client.scheduled, true)) {
        service(client);
    }
}

// Only when nothing else refers to it: a deferred service() comes here again.
void Server::drop(Client& client) {
    if (client.scheduled) {
        return;
    }
    client.watch.reset();
    std::erase_if(clients_, [&](const Client& other) { return &other == &client; });
    if (clients_.empty()) {
        ::malloc_trim(0);  // what a burst of work took goes back to the host's guests
    }
}

}  // namespace bascule::daemon
