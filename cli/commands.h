// SPDX-License-Identifier: GPL-2.0-or-later
// Theory of operation of cli/
//
// `bascule` is a client like any other: it speaks libvirt's protocol over the daemon's socket (rpc/client.h), and our
// own program on top where libvirt has no call. Everything it can do is a row of one table (commands()): the table is
// what is parsed against, what help is printed from, and what completion and man pages are made from.
//
//   bascule [OPTIONS] NOUN VERB [ARGUMENTS]        bascule -o json net list
//
// Exit status, a promise to scripts: see ExitCode. Output to people goes to standard output, errors to standard error
// as "bascule: what went wrong", never mixed.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/output.h"
#include "rpc/client.h"

namespace bascule::cli {

enum class ExitCode {
    done = 0,
    failed = 1,
    usage = 2,
    not_found = 3,
    conflict = 4,
    not_permitted = 5,
    unreachable = 6
};
ExitCode exit_code(const Error& error);

// What a command works with.
struct Context {
    rpc::Client& client;
    Format format = Format::table;
    std::vector<std::string> arguments;    // as many as the command takes
    std::map<std::string, bool> switches;  // by long name
    std::string out;                       // what is to be printed, when it succeeds

    bool is_set(const std::string& name) const {
        const auto it = switches.find(name);
        return it != switches.end() && it->second;
    }
};

struct Switch {
    std::string_view name, help;  // "inactive"
};

struct Command {
    std::string_view noun, verb;              // noun empty: a command of one word
    std::vector<std::string_view> arguments;  // their names; "[NAME]" may be left out
    std::vector<Switch> switches;
    std::string_view help;
    bool read_only = true;  // the read-only socket would do
    Result<void> (*run)(Context&);
};

std::span<const Command> commands();
// The noun's or the single word's rows, one file each.
void add_daemon_commands(std::vector<Command>& table);
void add_client_commands(std::vector<Command>& table);
void add_net_commands(std::vector<Command>& table);
void add_nwfilter_commands(std::vector<Command>& table);
void add_guest_commands(std::vector<Command>& table);

// The text of `bascule --help` and of `bascule NOUN VERB --help`.
std::string help();
std::string help(const Command& command);

// A file's whole text; "-" is standard input.
Result<std::string> read_input(const std::string& file);

}  // namespace bascule::cli
