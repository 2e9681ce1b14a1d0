// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>

#include <fmt/format.h>

#include "cli/commands.h"
#include "rpc/proto_bascule.h"

namespace bascule::cli {

namespace proto = rpc::proto;

namespace {

std::string joined(const std::vector<std::string>& lines) {
    std::string out;
    for (const std::string& line : lines) {
        out += (out.empty() ? "" : "; ") + line;
    }
    return out;
}

// "lab: 3 malformed DHCP, 12 DNS beyond a guest's rate; default: …"
std::string text_of(const proto::daemon_get_drops_ret& drops) {
    std::string out;
    const std::size_t count = std::min({drops.networks.size(), drops.reasons.size(), drops.counts.size()});
    for (std::size_t i = 0; i < count; ++i) {
        const bool same = i > 0 && drops.networks[i] == drops.networks[i - 1];
        out += same ? ", " : fmt::format("{}{}: ", i > 0 ? "; " : "", drops.networks[i]);
        out += fmt::format("{} {}", drops.counts[i], drops.reasons[i]);
    }
    return out.empty() ? "none" : out;
}

Result<void> status(Context& context) {
    TRY(const auto now, context.client.call<proto::daemon_get_status>());
    TRY(const auto drops, context.client.call<proto::daemon_get_drops>());
    Facts facts{{{"version", "Version", now.version},
                 {"networks", "Networks", fmt::format("{}", now.networks)},
                 {"networks-active", "Networks active", fmt::format("{}", now.active_networks)},
                 {"guests", "Guests", fmt::format("{}", now.guests)},
                 {"guests-running", "Guests running", fmt::format("{}", now.running_guests)},
                 {"ports", "Ports", fmt::format("{}", now.ports)},
                 {"leases", "Leases", fmt::format("{}", now.leases)},
                 {"netsvc", "DHCP and DNS",
                  now.netsvc_pid != 0 ? fmt::format("process {}", now.netsvc_pid) : std::string("not running")},
                 {"dropped", "Messages dropped", text_of(drops)},
                 {"problems", "Problems", now.problems.empty() ? std::string("none") : joined(now.problems)}}};
    context.out = render(facts, context.format);
    return {};
}

Result<void> reload(Context& context) {
    TRY(const auto done, context.client.call<proto::daemon_reload>());
    if (!done.problems.empty()) {
        std::string text = "reloaded, but:";
        for (const std::string& problem : done.problems) {
            text += "\n  " + problem;
        }
        return fail(Code::invalid_xml, std::move(text));
    }
    context.out =
        context.format == Format::table ? "reloaded\n" : render(Facts{{{"result", "", "reloaded"}}}, context.format);
    return {};
}

}  // namespace

void add_daemon_commands(std::vector<Command>& table) {
    table.push_back({"", "status", {}, {}, "Show what the daemon is doing, and what is wrong", true, status});
    table.push_back({"", "reload", {}, {}, "Read the definitions below /etc/bascule again", false, reload});
}

}  // namespace bascule::cli
