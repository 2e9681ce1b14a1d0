// SPDX-License-Identifier: GPL-2.0-or-later
#include "network/dnsmasq.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/names.h"
#include "base/xml_read.h"
#include "network/dnsmasq_parts.h"

namespace bascule::network {

namespace {

// A name, or *.NAME for all below it.
bool is_alias_name(std::string_view text) { return is_dns_name(text.starts_with("*.") ? text.substr(2) : text); }

Result<void> add_cname(std::string_view line, std::string_view value, dhcp::Spec& service) {
    const auto names = split(value);
    if (names.size() < 2 || !is_dns_name(names.back()) || !std::ranges::all_of(names, is_alias_name)) {
        return refuse(line, "expected cname=ALIAS,TARGET with DNS names (no time to live)");
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

// "/a.example/b.example/VALUE": the domains, which are taken off `value`.
std::vector<std::string_view> take_domains(std::string_view& value) {
    std::vector<std::string_view> out;
    while (value.starts_with('/') && value.find('/', 1) != std::string_view::npos) {
        const std::size_t end = value.find('/', 1);
        std::string_view name = value.substr(1, end - 1);
        name.remove_prefix(name.starts_with('.') ? 1 : 0);
        out.push_back(name);
        value.remove_prefix(end);
    }
    value.remove_prefix(!out.empty() && value.starts_with('/') ? 1 : 0);
    return out;
}

// address=/DOMAIN[/DOMAIN…]/ADDRESS: the domains and all below them.
Result<void> add_address(std::string_view line, std::string_view value, dhcp::Spec& service) {
    const auto domains = take_domains(value);
    const auto address = parse_ip(value);
    if (domains.empty() || !std::ranges::all_of(domains, is_dns_name) || !address) {
        return refuse(line, "expected address=/DOMAIN/ADDRESS with DNS names and an IP address");
    }
    dhcp::DnsHost host{*address, {}};
    for (const std::string_view domain : domains) {
        host.names.push_back(fmt::format("*.{}", domain));  // first: an address's own name is none of these
        host.names.emplace_back(domain);
    }
    service.dns_hosts.push_back(std::move(host));
    return {};
}

// host-record=NAME[,NAME…],ADDRESS[,ADDRESS]
Result<void> add_host_record(std::string_view line, std::string_view value, dhcp::Spec& service) {
    std::vector<std::string> names;
    std::vector<Ip> addresses;
    for (const std::string_view part : split(value)) {
        if (const auto address = parse_ip(part)) {
            addresses.push_back(*address);
        } else if (addresses.empty() && is_dns_name(part)) {
            names.emplace_back(part);
        } else {
            return refuse(line, "expected host-record=NAME[,NAME…],ADDRESS[,ADDRESS] (no time to live)");
        }
    }
    if (names.empty() || addresses.empty()) {
        return refuse(line, "expected host-record=NAME[,NAME…],ADDRESS[,ADDRESS] (no time to live)");
    }
    for (const Ip& address : addresses) {
        service.dns_hosts.push_back({address, names});
    }
    return {};
}

// server=[/DOMAIN[/DOMAIN…]/]ADDRESS[#PORT], server=/DOMAIN/#: by the way of all others.
Result<void> add_server(std::string_view line, std::string_view value, dhcp::Spec& service) {
    auto domains = take_domains(value);
    const auto hash = value.find('#');
    const auto port = hash == std::string_view::npos
                          ? std::optional<std::uint16_t>(53)
                          : xml::parse_number<std::uint16_t, 1, 65535>(value.substr(hash + 1));
    const bool usual = value == "#" && !domains.empty();
    const auto address = parse_ip(value.substr(0, hash));
    if (!std::ranges::all_of(domains, is_dns_name) || (!usual && (!address || !port))) {
        return refuse(line, "expected server=[/DOMAIN/]ADDRESS[#PORT] or server=/DOMAIN/# with an IP address");
    }
    if (domains.empty()) {
        domains.emplace_back();
    }
    for (const std::string_view domain : domains) {
        service.dns.forwarders.push_back(
            {std::string(domain), usual ? std::nullopt : address, usual ? std::uint16_t{53} : *port});
    }
    return {};
}

// srv-host=_SERVICE._PROTOCOL.DOMAIN[,TARGET[,PORT[,PRIORITY[,WEIGHT]]]]
Result<void> add_service(std::string_view line, std::string_view value, dhcp::Spec& service) {
    const auto parts = split(value);
    const std::string_view name = parts[0];
    const auto first = name.find('.'), second = name.find('.', first == std::string_view::npos ? first : first + 1);
    const auto number = [&](std::size_t at, std::uint16_t otherwise) {
        return parts.size() > at ? xml::parse_number<std::uint16_t>(parts[at]) : std::optional(otherwise);
    };
    const auto port = number(2, 1), priority = number(3, 0), weight = number(4, 0);
    const std::string_view target = parts.size() > 1 ? parts[1] : std::string_view();
    if (second == std::string_view::npos || !name.starts_with('_') || name[first + 1] != '_' || parts.size() > 5 ||
        !is_dns_name(name.substr(second + 1)) || (!target.empty() && !is_dns_name(target)) || !port || !priority ||
        !weight || !is_dns_name(name.substr(1, first - 1)) ||
        !is_dns_name(name.substr(first + 2, second - first - 2))) {
        return refuse(line, "expected srv-host=_SERVICE._PROTOCOL.DOMAIN[,TARGET[,PORT[,PRIORITY[,WEIGHT]]]]");
    }
    service.dns.services.push_back({.service = std::string(name.substr(1, first - 1)),
                                    .protocol = std::string(name.substr(first + 2, second - first - 2)),
                                    .domain = std::string(name.substr(second + 1)),
                                    .target = std::string(target),
                                    .port = *port,
                                    .priority = *priority,
                                    .weight = *weight});
    return {};
}

// local=/DOMAIN/: the network's own, which is answered here alone then.
Result<void> add_local(std::string_view line, std::string_view value, dhcp::Spec& service) {
    const auto domains = take_domains(value);
    if (!value.empty() || domains.size() != 1 || domains[0] != service.domain) {
        return refuse(line, "expected local=/DOMAIN/ with the network's own domain: others are not served here");
    }
    service.domain_local = true;
    return {};
}

// What only says how dnsmasq itself is to run, or what is so here anyway.
bool means_nothing(std::string_view key) {
    constexpr std::array<std::string_view, 29> kKeys{
        "log-dhcp",        "log-queries",      "log-facility",       "quiet-dhcp",
        "quiet-ra",        "quiet-dhcp6",      "dhcp-authoritative", "cache-size",
        "no-negcache",     "dhcp-no-override", "no-hosts",           "enable-ra",
        "bogus-priv",      "dhcp-ignore-clid", "stop-dns-rebind",    "expand-hosts",
        "domain-needed",   "localise-queries", "log-async",          "quiet-tftp",
        "strict-order",    "no-poll",          "bind-dynamic",       "bind-interfaces",
        "dns-forward-max", "dhcp-lease-max",   "no-daemon",          "keep-in-foreground",
        "bootp-dynamic"};
    return std::ranges::find(kKeys, key) != kKeys.end();
}

// Lines about names.
constexpr std::array<std::pair<std::string_view, Result<void> (*)(std::string_view, std::string_view, dhcp::Spec&)>, 7>
    kRecords{{{"cname", add_cname},
              {"txt-record", add_txt},
              {"address", add_address},
              {"host-record", add_host_record},
              {"srv-host", add_service},
              {"server", add_server},
              {"local", add_local}}};

bool sets_tag(std::string_view key) {
    return key == "dhcp-match" || key == "dhcp-userclass" || key == "dhcp-vendorclass";
}

}  // namespace

Result<void> add_dnsmasq(const std::vector<std::string>& lines, dhcp::Spec& service) {
    const auto key_of = [](std::string_view line) { return trimmed(line.substr(0, line.find('='))); };
    const auto value_of = [](std::string_view line) {
        return trimmed(line.substr(std::min(line.find('='), line.size() - 1) + 1));
    };
    Tags tags;
    for (const std::string& line : lines) {  // wherever they stand
        if (const auto key = key_of(line); sets_tag(key)) {
            TRY_OK(add_tag(line, key, value_of(line), tags));
        }
    }
    std::vector<SubOption> inner;
    for (const std::string& line : lines) {
        const std::string_view key = key_of(line), value = line.empty() ? std::string_view() : value_of(line);
        if (sets_tag(key) || means_nothing(key)) {
            continue;
        }
        if (key == "dhcp-boot") {
            TRY_OK(add_boot_file(line, value, tags, service));
        } else if (key == "dhcp-rapid-commit") {
            service.rapid_commit = true;
        } else if (const auto record = std::ranges::find(kRecords, key, [](const auto& r) { return r.first; });
                   record != kRecords.end()) {
            TRY_OK(record->second(line, value, service));
        } else if (key == "dhcp-option" || key == "dhcp-option-force") {
            TRY_OK(add_option({line, value, key != "dhcp-option"}, tags, service, inner));
        } else if (key == "dhcp-host") {
            TRY_OK(add_host(line, value, service));
        } else {
            return refuse(line,
                          "not known here (cname, txt-record, address, host-record, srv-host, server, local, "
                          "dhcp-option, dhcp-option-force, dhcp-host, dhcp-boot, dhcp-match, dhcp-userclass and "
                          "dhcp-vendorclass are): there is no dnsmasq");
        }
    }
    std::ranges::move(joined(inner), std::back_inserter(service.options));
    return {};
}

}  // namespace bascule::network
