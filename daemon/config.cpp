// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/config.h"

#include <algorithm>
#include <array>
#include <boost/program_options.hpp>
#include <charconv>
#include <sstream>
#include <type_traits>

#include <fmt/format.h>

#include "base/enum_names.h"
#include "base/names.h"
#include "daemon/config_text.h"

namespace bascule::daemon {

namespace po = boost::program_options;

namespace {

using Kind = ConfigValue::Kind;

constexpr EnumNames<log::Level, 4> kLevels{{{{"error", log::Level::error},
                                             {"warning", log::Level::warning},
                                             {"info", log::Level::info},
                                             {"debug", log::Level::debug}}}};

std::unexpected<Error> expected(std::string_view what, const ConfigValue& got) {
    return fail(Code::invalid_argument,
                fmt::format("expected {}, got {}", what, got.kind == Kind::list ? "a list" : "'" + got.text + "'"));
}

// Numbers may be quoted, as the peer has them here and there (ports, modes).
template <class T>
Result<T> number(const ConfigValue& value, T least, T most, int base = 10) {
    T out{};
    const char* const end = value.text.data() + value.text.size();
    const auto [stop, ec] = std::from_chars(value.text.data(), end, out, base);
    if (value.kind == Kind::list || value.text.empty() || ec != std::errc() || stop != end || out < least ||
        out > most) {
        return expected(base == 8    ? fmt::format("an octal number up to {:o}", most)
                        : least != 0 ? fmt::format("a number from {} to {}", least, most)
                                     : fmt::format("a number up to {}", most),
                        value);
    }
    return out;
}

// One row a key: its name and how its value is put into Config.
struct Key {
    std::string_view name;
    Result<void> (*set)(Config&, const ConfigValue&);
};

template <auto Member>
Result<void> set_text(Config& config, const ConfigValue& value) {
    if (value.kind == Kind::list) {
        return expected("one quoted text", value);
    }
    config.*Member = value.text;
    return {};
}

template <auto Member>
Result<void> set_path(Config& config, const ConfigValue& value) {
    if (value.kind == Kind::list || !value.text.starts_with('/')) {
        return expected("an absolute path", value);
    }
    config.*Member = value.text;
    return {};
}

template <auto Member>
Result<void> set_mode(Config& config, const ConfigValue& value) {
    TRY(config.*Member, number<std::uint32_t>(value, 0, 0777, 8));
    return {};
}

template <auto Member, auto Least, auto Most>
Result<void> set_number(Config& config, const ConfigValue& value) {
    using T = std::remove_cvref_t<decltype(config.*Member)>;
    TRY(config.*Member, number<T>(value, Least, Most));
    return {};
}
constexpr std::uint32_t kManyClients = 1'000'000, kManyRequests = 1000;
constexpr std::int32_t kLongest = 86'400;

// The peer writes 1 and 0.
template <auto Member>
Result<void> set_switch(Config& config, const ConfigValue& value) {
    const bool on = value.text == "1" || value.text == "true";
    if (value.kind != Kind::word || (!on && value.text != "0" && value.text != "false")) {
        return expected("1 or 0", value);
    }
    config.*Member = on;
    return {};
}

std::unexpected<Error> no_sasl() {
    return fail(Code::unsupported_config,
                "SASL is not supported; from other hosts let clients come by ssh or with TLS certificates");
}

template <auto Member>
Result<void> set_unix_auth(Config& config, const ConfigValue& value) {
    if (value.kind == Kind::text && value.text == "sasl") {
        return no_sasl();
    }
    if (value.kind != Kind::text || (value.text != "none" && value.text != "polkit")) {
        return expected("\"none\" or \"polkit\"", value);
    }
    config.*Member = value.text == "polkit" ? Auth::polkit : Auth::none;
    return {};
}

// polkit knows processes of this host, which no remote client is.
Result<void> set_remote_auth(Config&, const ConfigValue& value) {
    if (value.kind == Kind::text && value.text == "sasl") {
        return no_sasl();
    }
    return value.kind == Kind::text && value.text == "none" ? Result<void>() : expected("\"none\"", value);
}

Result<void> set_access_drivers(Config& config, const ConfigValue& value) {
    if (value.kind != Kind::list) {
        return expected("a list such as [ \"polkit\" ]", value);
    }
    bool polkit = false;
    for (const std::string& driver : value.list) {
        if (driver != "none" && driver != "polkit") {
            return fail(Code::invalid_argument, fmt::format("expected \"none\" or \"polkit\", got '{}'", driver));
        }
        polkit = polkit || driver == "polkit";
    }
    config.access_polkit = polkit;
    return {};
}

Result<void> set_listen_addr(Config& config, const ConfigValue& value) {
    if (value.kind == Kind::text && value.text == "localhost") {
        config.listen_addr = {*parse_ip("127.0.0.1"), *parse_ip("::1")};
        return {};
    }
    const auto address = value.kind == Kind::text ? parse_ip(value.text) : std::nullopt;
    if (!address) {
        return expected("an IP address or \"localhost\"", value);
    }
    config.listen_addr = {*address};
    return {};
}

Result<void> set_allowed_names(Config& config, const ConfigValue& value) {
    if (value.kind != Kind::list) {
        return expected("a list of names such as [ \"O=Example,CN=client\" ]", value);
    }
    config.tls_allowed_dn_list = value.list;
    return {};
}

Result<void> set_host_uuid(Config& config, const ConfigValue& value) {
    const auto uuid = value.kind == Kind::text ? Uuid::parse(value.text) : std::nullopt;
    // Boards whose maker forgot it have all digits the same; two such hosts would take each other for one.
    const bool alike = uuid && std::ranges::count(uuid->octets, uuid->octets[0]) == 16 &&
                       (uuid->octets[0] >> 4) == (uuid->octets[0] & 15);
    if (!uuid || alike) {
        return expected("a UUID whose digits are not all the same", value);
    }
    config.host_uuid = uuid;
    return {};
}

Result<void> set_host_uuid_source(Config& config, const ConfigValue& value) {
    if (value.kind != Kind::text || (value.text != "smbios" && value.text != "machine-id")) {
        return expected("\"smbios\" or \"machine-id\"", value);
    }
    config.host_uuid_from_machine_id = value.text == "machine-id";
    return {};
}

Result<void> set_log_level(Config& config, const ConfigValue& value) {
    // The peer counts from 1, debug, to 4, error.
    constexpr std::array kNumbers{log::Level::debug, log::Level::info, log::Level::warning, log::Level::error};
    if (value.kind == Kind::word && value.text.size() == 1 && value.text[0] >= '1' && value.text[0] <= '4') {
        config.log_level = kNumbers[static_cast<std::size_t>(value.text[0] - '1')];
        return {};
    }
    const auto level = kLevels.parse(value.text);
    if (!level) {
        return expected(kLevels.choices(), value);
    }
    config.log_level = *level;
    return {};
}

constexpr std::array kKeys{
    Key{"unix_sock_group", set_text<&Config::unix_sock_group>},
    Key{"unix_sock_rw_perms", set_mode<&Config::unix_sock_rw_perms>},
    Key{"unix_sock_ro_perms", set_mode<&Config::unix_sock_ro_perms>},
    Key{"auth_unix_ro", set_unix_auth<&Config::auth_unix_ro>},
    Key{"auth_unix_rw", set_unix_auth<&Config::auth_unix_rw>},
    Key{"auth_tcp", set_remote_auth},
    Key{"auth_tls", set_remote_auth},
    Key{"compat_sockets", set_switch<&Config::compat_sockets>},
    Key{"compat-sockets", set_switch<&Config::compat_sockets>},
    Key{"access_drivers", set_access_drivers},
    Key{"max_clients", set_number<&Config::max_clients, 1U, kManyClients>},
    Key{"max_queued_clients", set_number<&Config::max_queued_clients, 1U, kManyClients>},
    Key{"max_anonymous_clients", set_number<&Config::max_anonymous_clients, 1U, kManyClients>},
    Key{"max_client_requests", set_number<&Config::max_client_requests, 1U, kManyRequests>},
    Key{"keepalive_interval", set_number<&Config::keepalive_interval, -1, kLongest>},
    Key{"keepalive_count", set_number<&Config::keepalive_count, 0U, 1000U>},
    Key{"listen_tls", set_switch<&Config::listen_tls>},
    Key{"listen_tcp", set_switch<&Config::listen_tcp>},
    Key{"tls_port", set_number<&Config::tls_port, std::uint16_t{1}, std::uint16_t{65535}>},
    Key{"tcp_port", set_number<&Config::tcp_port, std::uint16_t{1}, std::uint16_t{65535}>},
    Key{"listen_addr", set_listen_addr},
    Key{"key_file", set_path<&Config::key_file>},
    Key{"cert_file", set_path<&Config::cert_file>},
    Key{"ca_file", set_path<&Config::ca_file>},
    Key{"crl_file", set_path<&Config::crl_file>},
    Key{"tls_priority", set_text<&Config::tls_priority>},
    Key{"tls_no_verify_certificate", set_switch<&Config::tls_no_verify_certificate>},
    Key{"tls_no_sanity_certificate", set_switch<&Config::tls_no_sanity_certificate>},
    Key{"tls_allowed_dn_list", set_allowed_names},
    Key{"host_uuid", set_host_uuid},
    Key{"host_uuid_source", set_host_uuid_source},
    Key{"netsvc_user", set_text<&Config::netsvc_user>},
    Key{"qemu_user", set_text<&Config::qemu_user>},
    Key{"emulator", set_path<&Config::emulator>},
    Key{"log_level", set_log_level},
};

// What a file written for the peer may hold and what has no counterpart here: one thread serves everybody, the log goes
// to standard error, the calls of its administration socket are on the ordinary ones.
constexpr std::array<std::string_view, 22> kMeaningless{"min_workers",
                                                        "max_workers",
                                                        "prio_workers",
                                                        "admin_min_workers",
                                                        "admin_max_workers",
                                                        "admin_max_clients",
                                                        "admin_max_queued_clients",
                                                        "admin_max_client_requests",
                                                        "admin_keepalive_interval",
                                                        "admin_keepalive_count",
                                                        "unix_sock_admin_perms",
                                                        "unix_sock_dir",
                                                        "log_filters",
                                                        "log_outputs",
                                                        "log_buffer_size",
                                                        "audit_level",
                                                        "audit_logging",
                                                        "ovs_timeout",
                                                        "tcp_min_ssf",
                                                        "sasl_allowed_username_list",
                                                        "mdns_adv",
                                                        "mdns_name"};

Result<void> set_key(Config& config, const std::string& name, const ConfigValue& value) {
    const auto key = std::ranges::find(kKeys, name, &Key::name);
    if (key != kKeys.end()) {
        return key->set(config, value);
    }
    if (std::ranges::find(kMeaningless, name) != kMeaningless.end()) {
        config.notes.push_back(fmt::format("{} has no meaning here", name));
        return {};
    }
    const auto near =
        std::ranges::min_element(kKeys, {}, [&](const Key& candidate) { return edit_distance(name, candidate.name); });
    return fail(Code::invalid_argument, edit_distance(name, near->name) <= 3
                                            ? fmt::format("unknown key, did you mean '{}'?", near->name)
                                            : std::string("unknown key"));
}

po::options_description options() {
    po::options_description description("Options");
    description.add_options()("help,h", "show this text")("version,V", "show the version")(
        "verbose,v", "log what is done, not only what changed")(
        "root", po::value<std::string>()->value_name("DIR"),
        "keep configuration, state and sockets below DIR instead of /")(
        "netsvc", po::value<std::string>()->value_name("PROGRAM"),
        "the DHCP and DNS helper (default: bascule-netsvc beside this program)");
    return description;
}

}  // namespace

Result<void> read_config(std::string_view text, const std::string& file, Config& config) {
    TRY(const auto entries, read_entries(text, file));
    Config next = config;  // all of the file or nothing of it
    for (const ConfigEntry& entry : entries) {
        const std::size_t notes = next.notes.size();
        const std::string where = fmt::format("{}:{}", file, entry.line);
        if (auto done = set_key(next, entry.key, entry.value); !done) {
            return std::unexpected(std::move(done.error()).in(fmt::format("{}: {}", where, entry.key)));
        }
        if (next.notes.size() > notes) {
            next.notes.back().insert(0, where + ": ");
        }
    }
    config = std::move(next);
    return {};
}

Result<void> check_config(const Config& config) {
    if (config.listen_tcp &&
        (config.listen_addr.empty() || !std::ranges::all_of(config.listen_addr, &Ip::is_loopback))) {
        return fail(Code::unsupported_config,
                    fmt::format("listen_tcp = 1 at {} would let everybody in who reaches port {}, since TCP has no "
                                "authentication here: set listen_addr = \"127.0.0.1\", or listen_tls = 1 instead",
                                config.listen_addr.empty() ? "all addresses" : format(config.listen_addr.front()),
                                config.tcp_port));
    }
    if (config.listen_tcp && config.listen_tls && config.tcp_port == config.tls_port) {
        return fail(Code::unsupported_config,
                    fmt::format("tcp_port and tls_port are both {}: choose two", config.tls_port));
    }
    return {};
}

Result<CommandLine> parse_command_line(const std::vector<std::string>& args) {
    CommandLine line;
    po::variables_map values;
    try {  // Boost's way of reporting; nothing of it leaves this function
        po::store(po::command_line_parser(args).options(options()).positional({}).run(), values);
        po::notify(values);
    } catch (const po::error& error) {
        return fail(Code::invalid_argument, error.what());
    }
    line.help = values.contains("help");
    line.version = values.contains("version");
    line.verbose = values.contains("verbose");
    if (values.contains("root")) {
        line.root = values["root"].as<std::string>();
    }
    line.netsvc = values.contains("netsvc") ? values["netsvc"].as<std::string>() : std::string();
    return line;
}

std::string usage() {
    std::ostringstream out;
    out << "Usage: basculed [OPTIONS]\nThe Bascule virtualization daemon; runs in the foreground.\n\n" << options();
    return out.str();
}

}  // namespace bascule::daemon
