// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <ctime>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "cli/commands.h"
#include "rpc/proto_bascule.h"

namespace bascule::cli {

namespace proto = rpc::proto;

namespace {

Result<void> list(Context& context) {
    TRY(const auto now, context.client.call<proto::daemon_client_list>());
    Table table{{{"id", "ID"},
                 {"transport", "TRANSPORT"},
                 {"since", "SINCE"},
                 {"access", "ACCESS"},
                 {"calls", "CALLS"},
                 {"client", "CLIENT"}},
                {}};
    const std::size_t count = std::min({now.ids.size(), now.transports.size(), now.identities.size(), now.since.size(),
                                        now.access.size(), now.calls.size()});
    for (std::size_t i = 0; i < count; ++i) {
        table.rows.push_back({fmt::format("{}", now.ids[i]), now.transports[i],
                              fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(static_cast<std::time_t>(now.since[i]))),
                              now.access[i], fmt::format("{}", now.calls[i]), now.identities[i]});
    }
    context.out = render(table, context.format);
    return {};
}

template <class T>
Result<T> number(const std::string& what, const std::string& text) {
    T value{};
    const auto [stop, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (ec != std::errc() || stop != text.data() + text.size()) {
        return fail(Code::invalid_argument, fmt::format("{}: expected a number, got '{}'", what, text));
    }
    return value;
}

Result<void> disconnect(Context& context) {
    proto::daemon_client_disconnect_args args;
    TRY(args.id, number<std::uint64_t>("ID", context.arguments[0]));
    TRY_OK(context.client.call<proto::daemon_client_disconnect>(args));
    return {};
}

Result<void> limits(Context& context) {
    TRY(const auto now, context.client.call<proto::daemon_get_limits>());
    const auto text = [](auto value) { return fmt::format("{}", value); };
    context.out = render(Facts{{{"clients", "Clients", text(now.clients)},
                                {"anonymous_clients", "Not logged in", text(now.anonymous_clients)},
                                {"max_clients", "max_clients", text(now.max_clients)},
                                {"max_anonymous_clients", "max_anonymous_clients", text(now.max_anonymous_clients)},
                                {"max_client_requests", "max_client_requests", text(now.max_client_requests)},
                                {"keepalive_interval", "keepalive_interval", text(now.keepalive_interval)},
                                {"keepalive_count", "keepalive_count", text(now.keepalive_count)}}},
                         context.format);
    return {};
}

Result<void> set_limit(Context& context) {
    const std::string &key = context.arguments[0], &text = context.arguments[1];
    proto::daemon_set_limits_args args;
    using Member = std::optional<std::uint32_t> proto::daemon_set_limits_args::*;
    constexpr std::array<std::pair<std::string_view, Member>, 4> kKeys{
        {{"max_clients", &proto::daemon_set_limits_args::max_clients},
         {"max_anonymous_clients", &proto::daemon_set_limits_args::max_anonymous_clients},
         {"max_client_requests", &proto::daemon_set_limits_args::max_client_requests},
         {"keepalive_count", &proto::daemon_set_limits_args::keepalive_count}}};
    if (key == "keepalive_interval") {
        TRY(args.keepalive_interval, number<std::int32_t>(key, text));
        TRY_OK(context.client.call<proto::daemon_set_limits>(args));
        return {};
    }
    for (const auto& [name, member] : kKeys) {
        if (name == key) {
            TRY(args.*member, number<std::uint32_t>(key, text));
            TRY_OK(context.client.call<proto::daemon_set_limits>(args));
            return {};
        }
    }
    return fail(Code::invalid_argument, fmt::format("there is no limit '{}': see bascule limits", key));
}

}  // namespace

void add_client_commands(std::vector<Command>& table) {
    table.push_back({"client", "list", {}, {}, "Who is connected, by which way and since when", false, list});
    table.push_back({"client", "disconnect", {"ID"}, {}, "End a client's connection", false, disconnect});
    table.push_back({"", "limits", {}, {}, "How many clients there may be, and are", true, limits});
    table.push_back({"client", "limit", {"KEY", "VALUE"}, {}, "Set a limit until the daemon ends", false, set_limit});
}

}  // namespace bascule::cli
