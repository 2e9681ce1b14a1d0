// SPDX-License-Identifier: GPL-2.0-or-later
#include "network/dnsmasq.h"

#include <algorithm>
#include <array>
#include <map>

#include <fmt/format.h>

#include "base/names.h"
#include "base/xml_read.h"
#include "dhcp/told.h"

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

// RFC 2132 and dnsmasq's names for it.
constexpr std::array<std::pair<std::string_view, std::uint8_t>, 13> kOptions{{{"router", 3},
                                                                              {"dns-server", 6},
                                                                              {"domain-name", 15},
                                                                              {"mtu", 26},
                                                                              {"broadcast", 28},
                                                                              {"ntp-server", 42},
                                                                              {"tftp-server", 66},
                                                                              {"bootfile-name", 67},
                                                                              {"domain-search", 119},
                                                                              {"netmask", 1},
                                                                              {"hostname", 12},
                                                                              {"classless-static-route", 121},
                                                                              {"server-ip-address", 150}}};

std::optional<std::uint8_t> option_code(std::string_view text) {
    constexpr std::string_view kNamed = "option:";
    if (!text.starts_with(kNamed)) {
        return xml::parse_number<std::uint8_t, 1, 254>(text);
    }
    const auto found = std::ranges::find(kOptions, text.substr(kNamed.size()), [](const auto& o) { return o.first; });
    return found == kOptions.end() ? std::nullopt : std::optional(found->second);
}

// What tags stand for: each is set by lines that look at what a client says of itself.
using Tags = std::map<std::string, dhcp::ClientMatch, std::less<>>;

// dhcp-match=set:TAG,option:client-arch,7   dhcp-match=set:TAG,175   dhcp-userclass=set:TAG,iPXE
// dhcp-vendorclass=set:TAG,PXEClient
Result<void> add_tag(std::string_view line, std::string_view key, std::string_view value, Tags& tags) {
    const auto parts = split(value);
    std::string_view tag = parts[0];
    for (const std::string_view prefix : {"set:", "net:"}) {
        tag.remove_prefix(tag.starts_with(prefix) ? prefix.size() : 0);
    }
    const std::string_view what = parts.size() > 1 ? parts[1] : std::string_view();
    dhcp::ClientMatch& match = tags[std::string(tag)];
    const bool arch = what == "option:client-arch" || what == "93";
    if (tag.empty() || what.empty()) {
        return refuse(line, "expected set:TAG and what it is set by");
    }
    if (key == "dhcp-userclass" && parts.size() == 2) {
        if (what == "iPXE") {
            match.ipxe = true;
        } else {
            match.user_class = what;
        }
    } else if (key == "dhcp-vendorclass" && parts.size() == 2) {
        match.vendor_class = what;
    } else if (key == "dhcp-match" && what == "175" && parts.size() == 2) {
        match.ipxe = true;
    } else if (const auto number =
                   arch && parts.size() == 3 ? xml::parse_number<std::uint16_t>(parts[2]) : std::nullopt) {
        match.archs.push_back(*number);
    } else {
        return refuse(line,
                      "a tag can be set by option:client-arch and its number, by 175 (iPXE), by a user class or a "
                      "vendor class");
    }
    return {};
}

// Takes "tag:NAME" and "tag:!NAME" off the front.
Result<dhcp::ClientMatch> take_tags(std::string_view line, std::vector<std::string_view>& parts, const Tags& tags) {
    dhcp::ClientMatch out;
    while (!parts.empty() && (parts[0].starts_with("tag:") || parts[0].starts_with("net:"))) {
        std::string_view name = parts[0].substr(4);
        const bool inverted = name.starts_with('!') || name.starts_with('#');
        name.remove_prefix(inverted ? 1 : 0);
        const auto tag = tags.find(name);
        if (tag == tags.end()) {
            return refuse(line, fmt::format("no line sets the tag '{}'", name));
        }
        const dhcp::ClientMatch& m = tag->second;
        if (inverted && (!m.ipxe || !m.archs.empty() || !m.vendor_class.empty() || !m.user_class.empty())) {
            return refuse(line, "only the tag of iPXE can be inverted here");
        }
        out.archs = m.archs.empty() ? out.archs : m.archs;
        out.ipxe = m.ipxe ? std::optional(!inverted) : out.ipxe;
        out.vendor_class = m.vendor_class.empty() ? out.vendor_class : m.vendor_class;
        out.user_class = m.user_class.empty() ? out.user_class : m.user_class;
        parts.erase(parts.begin());
    }
    return out;
}

// dhcp-boot=[tag:TAG,]FILE[,SERVER NAME[,SERVER ADDRESS]]
Result<void> add_boot_file(std::string_view line, std::string_view value, const Tags& tags, dhcp::Spec& service) {
    auto parts = split(value);
    TRY(dhcp::ClientMatch when, take_tags(line, parts, tags));
    const auto server = parts.size() > 2 ? parse_ip(parts[2]) : std::nullopt;
    if (parts.empty() || parts.size() > 3 || parts[0].empty() || (parts.size() == 3 && !server)) {
        return refuse(line, "expected dhcp-boot=[tag:TAG,]FILE[,SERVER NAME[,SERVER ADDRESS]]");
    }
    dhcp::Boot boot{.file = std::string(parts[0]),
                    .server = server,
                    .server_name = std::string(parts.size() > 1 ? parts[1] : std::string_view()),
                    .when = std::move(when)};
    // What is for some clients only goes before what is for all, wherever the line stands.
    const auto place = boot.when == dhcp::ClientMatch{}
                           ? service.boot.end()
                           : std::ranges::find(service.boot, dhcp::ClientMatch{}, &dhcp::Boot::when);
    service.boot.insert(place, std::move(boot));
    return {};
}

void append_number(std::vector<std::uint8_t>& to, std::uint32_t number, std::size_t width) {
    while (width-- > 0) {
        to.push_back(static_cast<std::uint8_t>(number >> (8 * width)));
    }
}

// The values of an option, by what it is known to hold, else by what they look like.
std::optional<std::vector<std::uint8_t>> option_value(std::uint8_t code, const std::vector<std::string_view>& values,
                                                      std::string_view text) {
    constexpr std::uint8_t kMtu = 26, kSearch = 119, kRoutes = 121, kRoutesMicrosoft = 249;
    std::vector<std::uint8_t> out;
    const auto take = [&](const Bytes& bytes) {
        std::ranges::transform(bytes, std::back_inserter(out),
                               [](std::byte b) { return std::to_integer<std::uint8_t>(b); });
        return out;
    };
    if (code == kMtu) {
        const auto mtu = xml::parse_number<std::uint16_t, 68, 65535>(text);
        append_number(out, mtu.value_or(0), 2);
        return mtu ? std::optional(out) : std::nullopt;
    }
    if (code == kSearch) {
        const std::vector<std::string> names(values.begin(), values.end());
        return std::ranges::all_of(names, is_dns_name) ? std::optional(take(dhcp::encode_names(names))) : std::nullopt;
    }
    if (code == kRoutes || code == kRoutesMicrosoft) {
        std::vector<dhcp::Route> routes;
        for (std::size_t i = 0; i + 1 < values.size(); i += 2) {
            const auto to = parse_prefix(values[i]);
            const auto via = parse_ipv4(values[i + 1]);
            if (!to || !to->network.is_v4() || !via) {
                return std::nullopt;
            }
            routes.push_back({*to, *via});
        }
        return values.size() % 2 == 0 ? std::optional(take(dhcp::encode_routes(routes))) : std::nullopt;
    }
    if (std::ranges::all_of(values, [](std::string_view v) { return parse_ipv4(v).has_value(); })) {
        for (const std::string_view value : values) {
            append_number(out, parse_ipv4(value)->v4_value(), 4);
        }
        return out;
    }
    if (text.size() >= 2 && text.starts_with('"') && text.ends_with('"')) {
        text = text.substr(1, text.size() - 2);
    } else if (values.size() > 1 || xml::parse_number<std::uint64_t>(text)) {
        return std::nullopt;
    }
    out.assign(text.begin(), text.end());
    return out;
}

Result<void> add_option(std::string_view line, std::string_view value, bool force, const Tags& tags,
                        dhcp::Spec& service) {
    auto parts = split(value);
    TRY(dhcp::ClientMatch when, take_tags(line, parts, tags));
    const auto code = parts.empty() ? std::nullopt : option_code(parts[0]);
    if (!code) {
        return refuse(line,
                      "expected an option's number from 1 to 254 (or option:NAME) and its value; encapsulated and "
                      "IPv6 options have no meaning here");
    }
    dhcp::ExtraOption option{.code = *code, .value = {}, .force = force, .when = std::move(when)};
    if (parts.size() > 1 && !parts[1].empty()) {  // without a value: it is not sent
        const std::string_view text = value.substr(static_cast<std::size_t>(parts[1].data() - value.data()));
        parts.erase(parts.begin());
        const auto bytes = option_value(*code, parts, text);
        if (!bytes) {
            return refuse(line, "expected IPv4 addresses, or one text; a number has no width here but for the MTU");
        }
        option.value = *bytes;
    }
    if (option.value.size() > 255) {
        return refuse(line, "a value has at most 255 bytes");
    }
    service.options.push_back(std::move(option));
    return {};
}

// What only says how dnsmasq itself is to run, or what is so here anyway.
bool means_nothing(std::string_view key) {
    constexpr std::array<std::string_view, 18> kKeys{
        "log-dhcp",     "log-queries",        "log-facility",    "quiet-dhcp",       "quiet-ra",
        "quiet-dhcp6",  "dhcp-authoritative", "cache-size",      "no-negcache",      "dhcp-no-override",
        "no-hosts",     "enable-ra",          "bogus-priv",      "dhcp-ignore-clid", "stop-dns-rebind",
        "expand-hosts", "domain-needed",      "localise-queries"};
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
    const auto key_of = [](std::string_view line) { return line.substr(0, line.find('=')); };
    const auto value_of = [](std::string_view line) {
        return line.substr(std::min(line.find('='), line.size() - 1) + 1);
    };
    Tags tags;
    for (const std::string& line : lines) {  // wherever they stand
        if (const auto key = key_of(line); sets_tag(key)) {
            TRY_OK(add_tag(line, key, value_of(line), tags));
        }
    }
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
            TRY_OK(add_option(line, value, key != "dhcp-option", tags, service));
        } else {
            return refuse(line,
                          "not known here (cname, txt-record, address, host-record, srv-host, server, local, "
                          "dhcp-option, dhcp-option-force, dhcp-boot, dhcp-match, dhcp-userclass and dhcp-vendorclass "
                          "are): there is no dnsmasq");
        }
    }
    return {};
}

}  // namespace bascule::network
