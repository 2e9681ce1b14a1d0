// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/names.h"
#include "base/net.h"
#include "base/result.h"

namespace bascule::daemon {

// How a client that came by some socket proves who it is.
enum class Auth { none, polkit };

// /etc/bascule/bascule.conf, then bascule.conf.d/*.conf in the order of their names; later values win. Keys that the
// peer has, have its names, values and defaults; docs/configuration.md lists all of them.
struct Config {
    std::string unix_sock_group;  // empty: root's
    // Where polkit decides, everybody may knock; else only root (the peer's defaults).
    std::optional<std::uint32_t> unix_sock_rw_perms;
    std::uint32_t unix_sock_ro_perms = 0777;
    Auth auth_unix_ro = Auth::none, auth_unix_rw = Auth::none;
    bool compat_sockets = false;  // also at libvirt's own paths
    bool access_polkit = false;   // access_drivers = [ "polkit" ]: every call is asked about

    std::uint32_t max_clients = 5000;
    std::uint32_t max_queued_clients = 1000;  // that wait to be accepted
    std::uint32_t max_anonymous_clients = 20;
    std::uint32_t max_client_requests = 5;
    std::int32_t keepalive_interval = 5;  // seconds; 0 or less: no pings of ours
    std::uint32_t keepalive_count = 5;

    bool listen_tls = false, listen_tcp = false;
    std::uint16_t tls_port = 16514, tcp_port = 16509;
    std::vector<Ip> listen_addr;  // empty: all
    std::string key_file = "/etc/pki/libvirt/private/serverkey.pem";
    std::string cert_file = "/etc/pki/libvirt/servercert.pem";
    std::string ca_file = "/etc/pki/CA/cacert.pem";
    std::string crl_file;  // empty: /etc/pki/CA/crl.pem where that is
    std::string tls_priority = "NORMAL";
    bool tls_no_verify_certificate = false, tls_no_sanity_certificate = false;
    std::optional<std::vector<std::string>> tls_allowed_dn_list;  // none: whoever has a certificate of the CA

    std::optional<Uuid> host_uuid;
    bool host_uuid_from_machine_id = false;

    // Accounts of the processes that handle guests' bytes. Where an account does not exist the number beside
    // it is used, from the range that systemd keeps for dynamic users (61184..65519).
    std::string netsvc_user = "bascule-netsvc";
    std::string qemu_user = "bascule-qemu";
    std::uint32_t netsvc_fallback_uid = 61200;
    std::uint32_t qemu_fallback_uid = 61201;
    std::string emulator = "/usr/bin/qemu-system-x86_64";
    log::Level log_level = log::Level::info;

    std::vector<std::string> notes;  // keys of the peer's that were read and mean nothing here
};

// Reads one file's text over `config`. Errors name file:line and what would be right.
Result<void> read_config(std::string_view text, const std::string& file, Config& config);
// What no single key shows, once all files are read: combinations that let in whom nobody asked for.
Result<void> check_config(const Config& config);

inline std::uint32_t rw_perms(const Config& config) {
    return config.unix_sock_rw_perms.value_or(config.auth_unix_rw == Auth::polkit ? 0777 : 0700);
}

// basculed's command line.
struct CommandLine {
    std::string root = "/";  // prefix of every path
    std::string netsvc;      // the helper program; empty: beside basculed
    bool help = false, version = false, verbose = false;
};
Result<CommandLine> parse_command_line(const std::vector<std::string>& args);
std::string usage();

}  // namespace bascule::daemon
