// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/result.h"

namespace bascule::daemon {

// /etc/bascule/bascule.conf, then bascule.conf.d/*.conf in the order of their names; later values win. The
// syntax is the peer's: `key = "text"`, `key = 7`, `key = true`, `key = [ "a", "b" ]`, '#' comments.
struct Config {
    std::string unix_sock_group;              // empty: root's
    std::uint32_t unix_sock_rw_perms = 0700;  // the peer's default where polkit is not asked
    std::uint32_t unix_sock_ro_perms = 0777;
    // Accounts of the processes that handle guests' bytes. Where an account does not exist the number beside
    // it is used, from the range that systemd keeps for dynamic users (61184..65519).
    std::string netsvc_user = "bascule-netsvc";
    std::string qemu_user = "bascule-qemu";
    std::uint32_t netsvc_fallback_uid = 61200;
    std::uint32_t qemu_fallback_uid = 61201;
    std::string emulator = "/usr/bin/qemu-system-x86_64";
    log::Level log_level = log::Level::info;
    std::uint32_t max_clients = 5000;
};

// Reads one file's text over `config`. Errors name file:line and what would be right.
Result<void> read_config(std::string_view text, const std::string& file, Config& config);

// basculed's command line.
struct CommandLine {
    std::string root = "/";  // prefix of every path
    std::string netsvc;      // the helper program; empty: beside basculed
    bool help = false, version = false, verbose = false;
};
Result<CommandLine> parse_command_line(const std::vector<std::string>& args);
std::string usage();

}  // namespace bascule::daemon
