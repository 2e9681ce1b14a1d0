// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/config.h"

#include <algorithm>
#include <array>
#include <boost/program_options.hpp>
#include <charconv>
#include <limits>
#include <sstream>

#include <fmt/format.h>

#include "base/enum_names.h"
#include "base/names.h"

namespace bascule::daemon {

namespace po = boost::program_options;

namespace {

constexpr EnumNames<log::Level, 4> kLevels{{{{"error", log::Level::error},
                                             {"warning", log::Level::warning},
                                             {"info", log::Level::info},
                                             {"debug", log::Level::debug}}}};

std::string_view trim(std::string_view text) {
    const auto first = text.find_first_not_of(" \t\r");
    return first == std::string_view::npos ? std::string_view()
                                           : text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

// Takes the value of `key = value # comment`: the text between quotes, or a bare word.
Result<std::string> value_of(std::string_view text) {
    if (text.starts_with('"')) {
        const auto end = text.find('"', 1);
        const std::string_view after = end == std::string_view::npos ? "?" : trim(text.substr(end + 1));
        if (end == std::string_view::npos || (!after.empty() && !after.starts_with('#'))) {
            return fail(Code::invalid_argument, "expected one quoted text");
        }
        return std::string(text.substr(1, end - 1));
    }
    const std::string_view word = trim(text.substr(0, text.find('#')));
    if (word.empty() || word.contains(' ') || word.starts_with('[')) {
        return fail(Code::invalid_argument, "expected a \"quoted text\", a number or true/false");
    }
    return std::string(word);
}

Result<std::uint32_t> number(const std::string& text, int base, std::uint32_t most) {
    std::uint32_t value = 0;
    const auto [stop, ec] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (ec != std::errc() || stop != text.data() + text.size() || value > most) {
        return fail(Code::invalid_argument,
                    base == 8 ? fmt::format("expected an octal number up to {:o}, got '{}'", most, text)
                              : fmt::format("expected a number up to {}, got '{}'", most, text));
    }
    return value;
}

// One row a key: its name and how its text is put into Config.
struct Key {
    std::string_view name;
    Result<void> (*set)(Config&, const std::string&);
};

template <auto Member>
Result<void> set_text(Config& config, const std::string& text) {
    config.*Member = text;
    return {};
}

template <auto Member>
Result<void> set_mode(Config& config, const std::string& text) {
    TRY(config.*Member, number(text, 8, 0777));
    return {};
}

constexpr std::array kKeys{
    Key{"unix_sock_group", set_text<&Config::unix_sock_group>},
    Key{"unix_sock_rw_perms", set_mode<&Config::unix_sock_rw_perms>},
    Key{"unix_sock_ro_perms", set_mode<&Config::unix_sock_ro_perms>},
    Key{"netsvc_user", set_text<&Config::netsvc_user>},
    Key{"qemu_user", set_text<&Config::qemu_user>},
    Key{"emulator", set_text<&Config::emulator>},
    Key{"max_clients",
        [](Config& config, const std::string& text) -> Result<void> {
            TRY(config.max_clients, number(text, 10, std::numeric_limits<std::uint32_t>::max()));
            return {};
        }},
    Key{"log_level",
        [](Config& config, const std::string& text) -> Result<void> {
            const auto level = kLevels.parse(text);
            if (!level) {
                return fail(Code::invalid_argument, fmt::format("expected {}, got '{}'", kLevels.choices(), text));
            }
            config.log_level = *level;
            return {};
        }},
};

Result<void> set_key(Config& config, std::string_view name, const std::string& text) {
    const auto key = std::ranges::find(kKeys, name, &Key::name);
    if (key != kKeys.end()) {
        return key->set(config, text);
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
    Config next = config;  // all of the file or nothing of it
    int line_number = 0;
    while (!text.empty()) {
        ++line_number;
        const auto end = text.find('\n');
        const std::string_view line = trim(text.substr(0, end));
        text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
        if (line.empty() || line.starts_with('#')) {
            continue;
        }
        const auto equals = line.find('=');
        const std::string_view name = trim(line.substr(0, equals));
        if (equals == std::string_view::npos || name.empty()) {
            return fail(Code::invalid_argument, fmt::format("{}:{}: expected 'key = value'", file, line_number));
        }
        auto value = value_of(trim(line.substr(equals + 1)));
        auto done = value ? set_key(next, name, *value) : Result<void>(std::unexpected(value.error()));
        if (!done) {
            return std::unexpected(std::move(done.error()).in(fmt::format("{}:{}: {}", file, line_number, name)));
        }
    }
    config = next;
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
