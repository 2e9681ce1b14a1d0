// SPDX-License-Identifier: GPL-2.0-or-later
#include "network/dnsmasq.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/names.h"
#include "base/xml_read.h"

namespace bascule::network {

namespace {

std::vector<std::string_view> split(std::string_view text) {
    std::vector<std::string_view> out;
    for (std::size_t at = 0; at <= text.size();) {
        const std::size_t comma = std::min(text.find(',', at), text.size());
        out.push_back(text.substr(at, comma - at));
        at = comma + 1;
    }
    return out;
}

std::unexpected<Error> refuse(std::string_view line, std::string_view why) {
    return fail(Code::unsupported_config, fmt::format("<dnsmasq:option value='{}'>: {}", line, why));
}

Result<void> add_cname(std::string_view line, std::string_view value, dhcp::Spec& service) {
    const auto names = split(value);
    if (names.size() < 2 || !std::ranges::all_of(names, is_dns_name)) {
        return refuse(line, "expected cname=ALIAS,TARGET with DNS names (no wildcards, no time to live)");
    }
    for (std::size_t i = 0; i + 1 < names.size(); ++i) {
        service.dns.aliases.push_back({std::string(names[i]), std::string(names.back())});
    }
    return {};
}

Result<void> add_txt(std::string_view line, std::string_view value, dhcp::Spec& service) {
    const auto comma = value.find(',');
    const std::string_view name = value.substr(0, comma);
    std::string_view text = comma == std::string_view::npos ? std::string_view() : value.substr(comma + 1);
    if (text.size() >= 2 && text.starts_with('"') && text.ends_with('"')) {
        text = text.substr(1, text.size() - 2);
    }
    if (!is_dns_name(name) || text.size() > 255) {
        return refuse(line, "expected txt-record=NAME,TEXT with a DNS name and at most 255 bytes");
    }
    service.dns.texts.push_back({std::string(name), std::string(text)});
    return {};
}

// RFC 2132 and dnsmasq's names for it.
constexpr std::array<std::pair<std::string_view, std::uint8_t>, 11> kOptions{{{"router", 3},
                                                                              {"dns-server", 6},
                                                                              {"domain-name", 15},
                                                                              {"mtu", 26},
                                                                              {"broadcast", 28},
                                                                              {"ntp-server", 42},
                                                                              {"tftp-server", 66},
                                                                              {"bootfile-name", 67},
                                                                              {"domain-search", 119},
                                                                              {"netmask", 1},
                                                                              {"hostname", 12}}};

std::optional<std::uint8_t> option_code(std::string_view text) {
    constexpr std::string_view kNamed = "option:";
    if (!text.starts_with(kNamed)) {
        return xml::parse_number<std::uint8_t, 1, 254>(text);
    }
    const auto found = std::ranges::find(kOptions, text.substr(kNamed.size()), [](const auto& o) { return o.first; });
    return found == kOptions.end() ? std::nullopt : std::optional(found->second);
}

Result<void> add_option(std::string_view line, std::string_view value, bool force, dhcp::Spec& service) {
    const auto parts = split(value);
    const auto code = option_code(parts[0]);
    constexpr std::uint8_t kSearch = 119, kMtu = 26;  // these have forms of their own
    if (!code || *code == kSearch || *code == kMtu || parts.size() < 2) {
        return refuse(line,
                      "expected an option's number from 1 to 254 (or option:NAME) and its value; tags, encapsulated "
                      "options, search lists and numbers have no meaning here");
    }
    dhcp::ExtraOption option{.code = *code, .value = {}, .force = force, .when = {}};
    const bool addresses =
        std::all_of(parts.begin() + 1, parts.end(), [](std::string_view part) { return parse_ipv4(part).has_value(); });
    for (std::size_t i = 1; i < parts.size() && addresses; ++i) {
        const Ip ip = *parse_ipv4(parts[i]);
        option.value.insert(option.value.end(), ip.octets().begin(), ip.octets().begin() + 4);
    }
    if (!addresses) {
        std::string_view text = value.substr(parts[0].size() + 1);
        if (text.size() >= 2 && text.starts_with('"') && text.ends_with('"')) {
            text = text.substr(1, text.size() - 2);
        } else if (parts.size() > 2 || xml::parse_number<std::uint64_t>(text)) {
            return refuse(line, "expected IPv4 addresses, or one text");
        }
        option.value.assign(text.begin(), text.end());
    }
    if (option.value.size() > 255) {
        return refuse(line, "a value has at most 255 bytes");
    }
    service.options.push_back(std::move(option));
    return {};
}

}  // namespace

Result<void> add_dnsmasq(const std::vector<std::string>& lines, dhcp::Spec& service) {
    for (const std::string& line : lines) {
        const auto equals = line.find('=');
        const std::string_view key = std::string_view(line).substr(0, equals);
        const std::string_view value =
            equals == std::string::npos ? std::string_view() : std::string_view(line).substr(equals + 1);
        if (key == "cname") {
            TRY_OK(add_cname(line, value, service));
        } else if (key == "txt-record") {
            TRY_OK(add_txt(line, value, service));
        } else if (key == "dhcp-option" || key == "dhcp-option-force") {
            TRY_OK(add_option(line, value, key != "dhcp-option", service));
        } else {
            return refuse(line,
                          "not known here (cname, txt-record, dhcp-option and dhcp-option-force are): there is no "
                          "dnsmasq");
        }
    }
    return {};
}

}  // namespace bascule::network
