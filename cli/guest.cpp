// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>
#include <array>

#include "cli/commands.h"
#include "rpc/proto_domain.h"

namespace bascule::cli {

namespace proto = rpc::proto;

namespace {

std::string state_name(std::int32_t state) {
    constexpr std::array<std::string_view, 8> kNames{"no state",    "running",  "idle",    "paused",
                                                     "in shutdown", "shut off", "crashed", "suspended"};
    return state >= 0 && static_cast<std::size_t>(state) < kNames.size()
               ? std::string(kNames[static_cast<std::size_t>(state)])
               : std::to_string(state);
}

Result<void> list(Context& context) {
    TRY(const auto all, context.client.call<proto::connect_list_all_domains>({.need_results = 1, .flags = 0}));
    Table table{{{"id", "ID"}, {"name", "NAME"}, {"state", "STATE"}, {"uuid", "UUID"}}, {}};
    for (const proto::Domain& domain : all.domains) {
        TRY(const auto state, context.client.call<proto::domain_get_state>({.dom = domain, .flags = 0}));
        table.rows.push_back({domain.id < 0 ? "-" : std::to_string(domain.id), domain.name, state_name(state.state),
                              format(domain.uuid)});
    }
    context.out = render(table, context.format);
    return {};
}

}  // namespace

void add_guest_commands(std::vector<Command>& table) {
    table.push_back({"guest", "list", {}, {}, "List all guests, running or not", true, list});
}

}  // namespace bascule::cli
