// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/commands.h"

#include <algorithm>
#include <fstream>
#include <iostream>
#include <iterator>

#include <fmt/format.h>

namespace bascule::cli {

namespace {

std::string synopsis(const Command& command) {
    std::string out =
        command.noun.empty() ? std::string(command.verb) : fmt::format("{} {}", command.noun, command.verb);
    for (const Switch& one : command.switches) {
        out += fmt::format(" [--{}]", one.name);
    }
    for (const std::string_view argument : command.arguments) {
        out += fmt::format(" {}", argument);
    }
    return out;
}

}  // namespace

std::span<const Command> commands() {
    static const std::vector<Command> table = [] {
        std::vector<Command> rows;
        add_daemon_commands(rows);
        add_client_commands(rows);
        add_net_commands(rows);
        add_nwfilter_commands(rows);
        add_guest_commands(rows);
        return rows;
    }();
    return table;
}

ExitCode exit_code(const Error& error) {
    switch (error.code) {
        case Code::no_domain:
        case Code::no_network:
        case Code::no_nwfilter:
        case Code::no_nwfilter_binding:
        case Code::no_domain_metadata:
        case Code::no_network_metadata:
        case Code::no_network_port:
        case Code::no_domain_snapshot:
        case Code::no_domain_checkpoint:
        case Code::no_storage_pool:
        case Code::no_storage_vol:
        case Code::no_node_device:
        case Code::no_interface:
        case Code::no_secret: return ExitCode::not_found;
        case Code::exists:
        case Code::storage_vol_exists:
        case Code::conflict:
        case Code::in_use:
        case Code::invalid_state: return ExitCode::conflict;
        case Code::denied:
        case Code::auth_failed:
        case Code::auth_cancelled:
        case Code::auth_unavailable:
        case Code::read_only: return ExitCode::not_permitted;
        case Code::unreachable: return ExitCode::unreachable;
        default: return ExitCode::failed;
    }
}

std::string help() {
    std::size_t widest = 0;
    for (const Command& command : commands()) {
        widest = std::max(widest, synopsis(command).size());
    }
    std::string out = "Usage: bascule [OPTIONS] COMMAND\n\nManages the Bascule virtualization daemon.\n\nCommands:\n";
    for (const Command& command : commands()) {
        const std::string line = synopsis(command);
        out += fmt::format("  {}{}  {}\n", line, std::string(widest - line.size(), ' '), command.help);
    }
    return out;
}

std::string help(const Command& command) {
    std::string out = fmt::format("Usage: bascule [OPTIONS] {}\n\n{}.\n", synopsis(command), command.help);
    for (const Switch& one : command.switches) {
        out += fmt::format("\n  --{}  {}\n", one.name, one.help);
    }
    return out;
}

Result<std::string> read_input(const std::string& file) {
    if (file == "-") {
        return std::string(std::istreambuf_iterator<char>(std::cin), {});
    }
    std::ifstream in(file, std::ios::binary);
    if (!in) {
        return fail_errno(fmt::format("cannot read '{}'", file));
    }
    return std::string(std::istreambuf_iterator<char>(in), {});
}

}  // namespace bascule::cli
