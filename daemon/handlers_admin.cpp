// SPDX-License-Identifier: GPL-2.0-or-later
// Calls of our own program that look after the clients themselves.
#include "daemon/handlers_admin.h"

#include <chrono>

#include <fmt/format.h>

#include "rpc/proto_bascule.h"
#include "rpc/session.h"

namespace bascule::daemon {

namespace proto = rpc::proto;
using rpc::Call;

namespace {

constexpr std::uint32_t kManyClients = 1'000'000, kManyRequests = 1000, kManyPings = 1000;
constexpr std::int32_t kDay = 86'400;

// One column each, all as long as there are clients.
void add_client(proto::daemon_client_list_ret& list, const Connection& client) {
    const Transport transport = client.setup().transport;
    const rpc::Session* const session = client.session();
    const bool logged_in = session != nullptr && session->authenticated();
    list.ids.push_back(client.setup().id);
    list.transports.emplace_back(transport == Transport::local ? "unix" : transport == Transport::tls ? "tls" : "tcp");
    list.identities.push_back(client.who());
    list.since.push_back(std::chrono::duration_cast<std::chrono::seconds>(client.since().time_since_epoch()).count());
    list.access.emplace_back(!logged_in ? "not logged in" : session->read_only() ? "read only" : "full");
    list.calls.push_back(session != nullptr ? static_cast<std::uint32_t>(session->calls_in_flight()) : 0);
}

Result<void> check(std::string_view name, std::int64_t value, std::int64_t least, std::int64_t most) {
    if (value < least || value > most) {
        return fail(Code::invalid_argument,
                    fmt::format("{}: expected a number from {} to {}, got '{}'", name, least, most, value));
    }
    return {};
}

// All of them or none.
Result<void> set_limits(Server& server, const proto::daemon_set_limits_args& args) {
    Crowd::Limits crowd = server.crowd().limits();
    crowd.clients = args.max_clients.value_or(static_cast<std::uint32_t>(crowd.clients));
    crowd.anonymous = args.max_anonymous_clients.value_or(static_cast<std::uint32_t>(crowd.anonymous));
    rpc::Limits limits = server.limits();
    limits.in_flight = args.max_client_requests.value_or(static_cast<std::uint32_t>(limits.in_flight));
    limits.keepalive_count = args.keepalive_count.value_or(limits.keepalive_count);
    if (args.keepalive_interval) {
        TRY_OK(check("keepalive_interval", *args.keepalive_interval, -1, kDay));
        limits.keepalive_interval = std::chrono::seconds(std::max(*args.keepalive_interval, 0));
    }
    TRY_OK(check("max_clients", static_cast<std::int64_t>(crowd.clients), 1, kManyClients));
    TRY_OK(check("max_anonymous_clients", static_cast<std::int64_t>(crowd.anonymous), 1, kManyClients));
    TRY_OK(check("max_client_requests", static_cast<std::int64_t>(limits.in_flight), 1, kManyRequests));
    TRY_OK(check("keepalive_count", limits.keepalive_count, 0, kManyPings));
    TRY_OK(server.set_limits(crowd, limits));
    return {};
}

}  // namespace

void add_admin_handlers(rpc::Handlers& h, Server& server) {
    h.add<proto::daemon_client_list>(
        [&server](Call&, const proto::daemon_client_list::Args&) -> Result<proto::daemon_client_list_ret> {
            proto::daemon_client_list_ret ret;
            for (const auto& [id, client] : server.clients()) {
                add_client(ret, *client);
            }
            return ret;
        });
    h.add<proto::daemon_client_disconnect>(
        [&server](Call&, const proto::daemon_client_disconnect_args& args) { return server.disconnect(args.id); });
    h.add<proto::daemon_get_limits>(
        [&server](Call&, const proto::daemon_get_limits::Args&) -> Result<proto::daemon_get_limits_ret> {
            const Crowd& crowd = server.crowd();
            const rpc::Limits& limits = server.limits();
            return proto::daemon_get_limits_ret{
                .clients = static_cast<std::uint32_t>(crowd.clients()),
                .anonymous_clients = static_cast<std::uint32_t>(crowd.anonymous()),
                .max_clients = static_cast<std::uint32_t>(crowd.limits().clients),
                .max_anonymous_clients = static_cast<std::uint32_t>(crowd.limits().anonymous),
                .max_client_requests = static_cast<std::uint32_t>(limits.in_flight),
                .keepalive_interval = static_cast<std::int32_t>(limits.keepalive_interval.count()),
                .keepalive_count = limits.keepalive_count};
        });
    h.add<proto::daemon_set_limits>(
        [&server](Call&, const proto::daemon_set_limits_args& args) { return set_limits(server, args); });
}

}  // namespace bascule::daemon
