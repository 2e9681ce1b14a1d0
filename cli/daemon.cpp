// SPDX-License-Identifier: GPL-2.0-or-later
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

Result<void> status(Context& context) {
    TRY(const auto now, context.client.call<proto::daemon_get_status>());
    Facts facts{{{"version", "Version", now.version},
                 {"networks", "Networks", fmt::format("{}", now.networks)},
                 {"networks-active", "Networks active", fmt::format("{}", now.active_networks)},
                 {"guests", "Guests", fmt::format("{}", now.guests)},
                 {"guests-running", "Guests running", fmt::format("{}", now.running_guests)},
                 {"ports", "Ports", fmt::format("{}", now.ports)},
                 {"leases", "Leases", fmt::format("{}", now.leases)},
                 {"netsvc", "DHCP and DNS",
                  now.netsvc_pid != 0 ? fmt::format("process {}", now.netsvc_pid) : std::string("not running")},
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
