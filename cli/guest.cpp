// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "cli/commands.h"
#include "rpc/proto_bascule.h"
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

std::string age_of(std::int64_t seconds) { return seconds < 0 ? "unknown" : fmt::format("{} s", seconds); }

Result<void> addresses(Context& context) {
    TRY(const auto found, context.client.call<proto::domain_lookup_by_name>({.name = context.arguments[0]}));
    TRY(const auto all, context.client.call<proto::domain_get_addresses>({.dom = found.dom, .flags = 0}));
    Table table{
        {{"interface", "INTERFACE"}, {"mac", "MAC"}, {"address", "ADDRESS"}, {"sources", "SOURCES"}, {"age", "AGE"}},
        {}};
    const std::size_t count = std::min({all.interfaces.size(), all.macs.size(), all.addresses.size(),
                                        all.prefixes.size(), all.sources.size(), all.ages.size()});
    for (std::size_t i = 0; i < count; ++i) {
        const std::string length = all.prefixes[i] == 0 ? "" : fmt::format("/{}", all.prefixes[i]);
        table.rows.push_back({all.interfaces[i], all.macs[i], all.addresses[i] + length, all.sources[i],
                              context.format == Format::json ? fmt::format("{}", all.ages[i]) : age_of(all.ages[i])});
    }
    context.out = render(table, context.format);
    return {};
}

}  // namespace

void add_guest_commands(std::vector<Command>& table) {
    table.push_back({"guest", "list", {}, {}, "List all guests, running or not", true, list});
    table.push_back({"guest",
                     "addresses",
                     {"NAME"},
                     {},
                     "List a running guest's addresses, who knows them (lease, arp, agent) and since when",
                     true,
                     addresses});
}

}  // namespace bascule::cli
