// SPDX-License-Identifier: GPL-2.0-or-later
// Lines for dnsmasq that are about DHCP.
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/names.h"
#include "base/xml_read.h"
#include "dhcp/told.h"
#include "network/dnsmasq_parts.h"

namespace bascule::network {

std::string_view trimmed(std::string_view text) {
    constexpr std::string_view kBlanks = " \t";
    const auto first = text.find_first_not_of(kBlanks);
    return first == std::string_view::npos ? std::string_view()
                                           : text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

std::vector<std::string_view> split(std::string_view text) {
    std::vector<std::string_view> out;
    for (std::size_t at = 0; at <= text.size();) {
        const std::size_t comma = std::min(text.find(',', at), text.size());
        out.push_back(trimmed(text.substr(at, comma - at)));
        at = comma + 1;
    }
    return out;
}

std::unexpected<Error> refuse(std::string_view line, std::string_view why) {
    return fail(Code::unsupported_config, fmt::format("<dnsmasq:option value='{}'>: {}", line, why));
}

namespace {

using Octets = std::vector<std::uint8_t>;
constexpr unsigned kLeastMtu = 68;  // RFC 2132 section 5.1

// What an option is known to hold. text: whatever the value looks like; a width: numbers of so many bytes.
enum class Holds { any, text, names, routes, mtu, one = 1 + 8, two = 2 + 8, four = 4 + 8 };

// RFC 2132 and dnsmasq's names for it.
struct Known {
    std::string_view name;
    std::uint8_t code;
    Holds holds = Holds::any;
};
constexpr std::array kOptions{Known{"netmask", 1},
                              Known{"time-offset", 2, Holds::four},
                              Known{"router", 3},
                              Known{"dns-server", 6},
                              Known{"log-server", 7},
                              Known{"lpr-server", 9},
                              Known{"hostname", 12, Holds::text},
                              Known{"boot-file-size", 13, Holds::two},
                              Known{"domain-name", 15, Holds::text},
                              Known{"swap-server", 16},
                              Known{"root-path", 17, Holds::text},
                              Known{"extension-path", 18, Holds::text},
                              Known{"ip-forward-enable", 19, Holds::one},
                              Known{"non-local-source-routing", 20, Holds::one},
                              Known{"policy-filter", 21},
                              Known{"max-datagram-reassembly", 22, Holds::two},
                              Known{"default-ttl", 23, Holds::one},
                              Known{"mtu", 26, Holds::mtu},
                              Known{"all-subnets-local", 27, Holds::one},
                              Known{"broadcast", 28},
                              Known{"router-discovery", 31, Holds::one},
                              Known{"router-solicitation", 32},
                              Known{"static-route", 33},
                              Known{"trailer-encapsulation", 34, Holds::one},
                              Known{"arp-timeout", 35, Holds::four},
                              Known{"ethernet-encap", 36, Holds::one},
                              Known{"tcp-ttl", 37, Holds::one},
                              Known{"tcp-keepalive", 38, Holds::four},
                              Known{"nis-domain", 40, Holds::text},
                              Known{"nis-server", 41},
                              Known{"ntp-server", 42},
                              Known{"netbios-ns", 44},
                              Known{"netbios-dd", 45},
                              Known{"netbios-nodetype", 46, Holds::one},
                              Known{"netbios-scope", 47, Holds::text},
                              Known{"x-windows-fs", 48},
                              Known{"x-windows-dm", 49},
                              Known{"vendor-class", 60, Holds::text},
                              Known{"nis+-domain", 64, Holds::text},
                              Known{"nis+-server", 65},
                              Known{"tftp-server", 66, Holds::text},
                              Known{"bootfile-name", 67, Holds::text},
                              Known{"mobile-ip-home", 68},
                              Known{"smtp-server", 69},
                              Known{"pop3-server", 70},
                              Known{"nntp-server", 71},
                              Known{"irc-server", 74},
                              Known{"posix-timezone", 100, Holds::text},
                              Known{"tzdb-timezone", 101, Holds::text},
                              Known{"captive-portal", 114, Holds::text},
                              Known{"domain-search", 119, Holds::names},
                              Known{"classless-static-route", 121, Holds::routes},
                              Known{"server-ip-address", 150},
                              Known{"tftp-server-address", 150},
                              Known{"microsoft-static-route", 249, Holds::routes}};

// What belongs to the protocol itself, and is not to be written by hand.
constexpr std::array<std::uint8_t, 13> kOurs{50, 51, 52, 53, 54, 55, 57, 58, 59, 61, 80, 82, 81};

std::optional<std::uint8_t> option_code(std::string_view text) {
    constexpr std::string_view kNamed = "option:";
    if (!text.starts_with(kNamed)) {
        return xml::parse_number<std::uint8_t, 1, 254>(text);
    }
    const auto found = std::ranges::find(kOptions, text.substr(kNamed.size()), &Known::name);
    return found == kOptions.end() ? std::nullopt : std::optional(found->code);
}

Holds held_by(std::uint8_t code) {
    const auto found = std::ranges::find(kOptions, code, &Known::code);
    return found == kOptions.end() ? Holds::any : found->holds;
}

Octets octets(const Bytes& bytes) {
    Octets out(bytes.size());
    std::ranges::transform(bytes, out.begin(), [](std::byte b) { return std::to_integer<std::uint8_t>(b); });
    return out;
}

void append_number(Octets& to, std::uint32_t number, std::size_t width) {
    while (width-- > 0) {
        to.push_back(static_cast<std::uint8_t>(number >> (8 * width)));
    }
}

std::optional<Octets> addresses(const std::vector<std::string_view>& values, const Ip& us) {
    Octets out;
    for (const std::string_view value : values) {
        const auto address = parse_ipv4(value);
        if (!address) {
            return std::nullopt;
        }
        append_number(out, (address->is_unspecified() ? us : *address).v4_value(), 4);  // 0.0.0.0: who serves
    }
    return out;
}

std::optional<Octets> routes(const std::vector<std::string_view>& values) {
    std::vector<dhcp::Route> out;
    for (std::size_t i = 0; i + 1 < values.size(); i += 2) {
        const auto to = values[i].contains('/')  ? parse_prefix(values[i])
                        : values[i] == "0.0.0.0" ? std::optional(Prefix{})
                                                 : std::nullopt;
        const auto via = parse_ipv4(values[i + 1]);
        if (!to || !to->network.is_v4() || !via) {
            return std::nullopt;
        }
        out.push_back({*to, *via});
    }
    return values.size() % 2 == 0 ? std::optional(octets(dhcp::encode_routes(out))) : std::nullopt;
}

// "19", "8b", "8s", "8i": the width is said, or known of the option, or the least that all of them fit into.
std::optional<Octets> numbers(const std::vector<std::string_view>& values, std::size_t width) {
    std::vector<std::uint32_t> all;
    for (std::string_view value : values) {
        constexpr std::string_view kWidths = "bsi";
        if (const auto said = value.empty() ? std::string_view::npos : kWidths.find(value.back());
            said != std::string_view::npos) {
            width = std::size_t{1} << said;
            value.remove_suffix(1);
        }
        const auto number = xml::parse_number<std::uint32_t>(value);
        if (!number) {
            return std::nullopt;
        }
        all.push_back(*number);
    }
    const std::uint32_t most = *std::ranges::max_element(all);
    const std::size_t least = most > 65535 ? 4 : most > 255 ? 2 : 1;
    if (width != 0 && least > width) {
        return std::nullopt;
    }
    Octets out;
    for (const std::uint32_t number : all) {
        append_number(out, number, width != 0 ? width : least);
    }
    return out;
}

// "e4:45:74:68": at least two octets.
std::optional<Octets> hex(std::string_view text) {
    Octets out;
    for (std::size_t at = 0; at <= text.size();) {
        const std::size_t colon = std::min(text.find(':', at), text.size());
        unsigned octet = 0;
        for (const char c : text.substr(at, colon - at)) {
            const char low = static_cast<char>(c | 0x20);
            const bool digit = c >= '0' && c <= '9';
            if ((!digit && (low < 'a' || low > 'f')) || colon - at > 2) {
                return std::nullopt;
            }
            octet = octet * 16 + static_cast<unsigned>(digit ? c - '0' : low - 'a' + 10);
        }
        if (colon == at) {
            return std::nullopt;
        }
        out.push_back(static_cast<std::uint8_t>(octet));
        at = colon + 1;
    }
    return out.size() > 1 ? std::optional(out) : std::nullopt;
}

// The values of an option, by what it is known to hold, else by what they look like.
std::optional<Octets> option_value(Holds holds, const std::vector<std::string_view>& values, std::string_view text,
                                   const Ip& us) {
    const bool quoted = text.size() >= 2 && text.starts_with('"') && text.ends_with('"');
    const std::string_view bare = quoted ? text.substr(1, text.size() - 2) : text;
    const auto as_text = [&] { return std::optional(Octets(bare.begin(), bare.end())); };
    switch (holds) {
        case Holds::one: return numbers(values, 1);
        case Holds::two: return numbers(values, 2);
        case Holds::mtu: {
            auto mtu = values.size() == 1 ? numbers(values, 2) : std::nullopt;
            return mtu && (*mtu)[0] * 256U + (*mtu)[1] >= kLeastMtu ? mtu : std::nullopt;
        }
        case Holds::four: return numbers(values, 4);
        case Holds::routes: return routes(values);
        case Holds::text: return as_text();
        case Holds::names: {
            const std::vector<std::string> names(values.begin(), values.end());
            return std::ranges::all_of(names, is_dns_name) ? std::optional(octets(dhcp::encode_names(names)))
                                                           : std::nullopt;
        }
        case Holds::any: break;
    }
    if (quoted) {
        return as_text();
    }
    if (auto ips = addresses(values, us)) {
        return ips;
    }
    if (auto some = numbers(values, 0)) {
        return some;
    }
    if (auto some = values.size() == 1 ? hex(text) : std::nullopt) {
        return some;
    }
    return values.size() == 1 ? as_text() : std::nullopt;
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

// What of "vendor:CLASS,", "encap:CODE," and "vi-encap:ENTERPRISE," the option goes into; taken off the front.
Result<std::optional<SubOption>> take_outer(std::string_view line, std::vector<std::string_view>& parts,
                                            const dhcp::ClientMatch& when, bool force) {
    const auto rest = [&](std::string_view prefix) { return trimmed(parts[0].substr(prefix.size())); };
    SubOption out{.force = force, .when = when};
    if (parts.empty()) {
        return std::optional<SubOption>();
    }
    if (parts[0].starts_with("vendor:")) {
        out.when.vendor_class = rest("vendor:");
    } else if (parts[0].starts_with("encap:")) {
        const auto code = xml::parse_number<std::uint8_t, 1, 254>(rest("encap:"));
        if (!code) {
            return refuse(line, "expected encap: and an option's number from 1 to 254");
        }
        out.code = *code;
    } else if (parts[0].starts_with("vi-encap:")) {
        constexpr std::uint8_t kVendorIdentifying = 125;
        out.code = kVendorIdentifying;
        out.enterprise = xml::parse_number<std::uint32_t>(rest("vi-encap:"));
        if (!out.enterprise) {
            return refuse(line, "expected vi-encap: and an enterprise's number");
        }
    } else {
        return std::optional<SubOption>();
    }
    parts.erase(parts.begin());
    return std::optional(std::move(out));
}

const dhcp::Subnet* subnet_of(const dhcp::Spec& service, const Ip& address) {
    const auto found = std::ranges::find_if(
        service.subnets, [&](const dhcp::Subnet& subnet) { return subnet.server.prefix().contains(address); });
    return found == service.subnets.end() ? nullptr : &*found;
}

// "10m", "3h", "2d", "1w", "3600", "infinite"; none: is no time. `fits`: it is 2 minutes or more, and not for ever.
struct LeaseTime {
    std::chrono::seconds length{0};
    bool fits = true;
};
std::optional<LeaseTime> lease_time(std::string_view text) {
    constexpr std::string_view kUnits = "smhdw";
    constexpr std::array<std::uint32_t, 6> kSeconds{1, 60, 3600, 86400, 604800, 1};
    if (text == "infinite") {
        return LeaseTime{};
    }
    const std::size_t unit = text.empty() ? kUnits.size() : std::min(kUnits.find(text.back()), kUnits.size());
    const auto number = xml::parse_number<std::uint32_t>(text.substr(0, text.size() - (unit < kUnits.size() ? 1 : 0)));
    if (!number) {
        return std::nullopt;
    }
    const std::uint64_t seconds = std::uint64_t{*number} * kSeconds[unit];
    return LeaseTime{std::chrono::seconds(seconds), seconds >= 120 && seconds < 0xffffffff};
}

}  // namespace

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
    } else if (key == "dhcp-match" && (what == "option:vendor-class" || what == "60") && parts.size() == 3) {
        match.vendor_class = parts[2];
    } else if (key == "dhcp-match" && (what == "option:user-class" || what == "77") && parts.size() == 3) {
        match.user_class = parts[2];
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

// dhcp-option=[tag:TAG,…][vendor:CLASS,|encap:CODE,|vi-encap:ENTERPRISE,]CODE[,VALUE…]
Result<void> add_option(const OptionLine& given, const Tags& tags, dhcp::Spec& service, std::vector<SubOption>& inner) {
    auto parts = split(given.value);
    TRY(const dhcp::ClientMatch when, take_tags(given.line, parts, tags));
    TRY(std::optional<SubOption> outer, take_outer(given.line, parts, when, given.force));
    const auto code = parts.empty() ? std::nullopt : option_code(parts[0]);
    if (!code) {
        return refuse(given.line,
                      "expected an option's number from 1 to 254 (or option:NAME) and its value; options of IPv6 are "
                      "written in the namespace urn:bascule:1");
    }
    if (!outer && std::ranges::find(kOurs, *code) != kOurs.end()) {
        return refuse(given.line, fmt::format("option {} belongs to the protocol itself", *code));
    }
    Octets value;
    if (parts.size() > 1 && !parts[1].empty()) {  // without a value: it is not sent
        const std::string_view text =
            trimmed(given.value.substr(static_cast<std::size_t>(parts[1].data() - given.value.data())));
        parts.erase(parts.begin());
        const auto own = std::ranges::find_if(service.subnets,
                                              [](const dhcp::Subnet& subnet) { return subnet.server.address.is_v4(); });
        const Ip us = own == service.subnets.end() ? Ip::v4(0) : own->server.address;
        const auto bytes = option_value(outer ? Holds::any : held_by(*code), parts, text, us);
        if (!bytes) {
            return refuse(given.line,
                          "expected IPv4 addresses, numbers, octets with colons between them, or one text (in quotes "
                          "when there are commas in it), as the option has them");
        }
        value = *bytes;
    }
    if (value.size() > 255) {
        return refuse(given.line, "a value has at most 255 bytes");
    }
    if (!outer) {
        service.options.push_back({.code = *code, .value = value, .force = given.force, .when = when});
        return {};
    }
    outer->number = *code;
    outer->value = value;
    if (const std::string why = what_is_wrong(*outer); !why.empty()) {
        return refuse(given.line, why);
    }
    inner.push_back(*std::move(outer));
    return {};
}

// dhcp-host=[MAC,][id:CLIENT ID,][ADDRESS,][NAME,][LEASE TIME], in any order
Result<void> add_host(std::string_view line, std::string_view value, dhcp::Spec& service) {
    dhcp::Reservation host;
    for (const std::string_view part : split(value)) {
        const auto mac = parse_mac(part);
        const auto address =
            parse_ip(part.starts_with('[') && part.ends_with(']') ? part.substr(1, part.size() - 2) : part);
        if (mac && !host.mac && !mac->is_multicast()) {
            host.mac = mac;
        } else if (address && !host.address) {
            host.address = address;
        } else if (part.starts_with("id:") && host.client_id.empty() && part.size() > 3 && part != "id:*") {
            const std::string_view id = part.substr(3);
            host.client_id = hex(id).value_or(Octets(id.begin(), id.end()));
        } else if (const auto lease = lease_time(part); lease && lease->fits && !host.lease) {
            host.lease = lease->length;
        } else if (is_dns_name(part) && host.name.empty() && !lease) {
            host.name = part;
        } else {
            return refuse(line,
                          fmt::format("'{}' is not understood: expected a MAC address, id:, an IP address, a name "
                                      "and a lease time of 2 minutes or more, each once",
                                      part));
        }
    }
    const dhcp::Subnet* const subnet = host.address ? subnet_of(service, *host.address) : nullptr;
    if (subnet == nullptr || (!host.mac && host.client_id.empty() && host.name.empty())) {
        return refuse(line, host.address ? subnet == nullptr ? "the address is in no subnet of this network"
                                                             : "expected a MAC address, id: or a name"
                                         : "expected an address");
    }
    for (const dhcp::Subnet& other : service.subnets) {
        for (const dhcp::Reservation& before : other.hosts) {
            if (before.address == host.address || (host.mac && before.mac == host.mac && &other == subnet)) {
                return refuse(line, "there is a host with this address or MAC address already");
            }
        }
    }
    service.subnets[static_cast<std::size_t>(subnet - service.subnets.data())].hosts.push_back(std::move(host));
    return {};
}

}  // namespace bascule::network
