// SPDX-License-Identifier: GPL-2.0-or-later
#include "network/services.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/enum_names.h"
#include "base/names.h"
#include "base/xml_read.h"
#include "dhcp/told.h"

namespace bascule::network {

namespace {

using xml::Fault;
using xml::Node;
using xml::Reader;

std::unexpected<Error> wrong(const Node& node, std::string_view attr, std::string what) {
    return std::unexpected(
        xml::to_error({Fault::Kind::inconsistent, node.line, node.name, std::string(attr), std::move(what), {}}));
}

std::vector<std::string_view> words(std::string_view text) {
    std::vector<std::string_view> out;
    while (!text.empty()) {
        const auto end = std::min(text.find(' '), text.size());
        if (end > 0) {
            out.push_back(text.substr(0, end));
        }
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return out;
}

// A list, each word of which `one` takes.
template <auto one>
auto list(std::string_view text) {
    using T = typename decltype(one(text))::value_type;
    std::vector<T> out;
    for (const std::string_view word : words(text)) {
        auto value = one(word);
        if (!value) {
            return std::optional<std::vector<T>>();
        }
        out.push_back(std::move(*value));
    }
    return out.empty() ? std::nullopt : std::optional(std::move(out));
}

std::optional<std::string> dns_name(std::string_view text) {
    return is_dns_name(text) ? std::optional(std::string(text)) : std::nullopt;
}

std::optional<std::string> short_text(std::string_view text) {
    const bool fit = !text.empty() && text.size() <= 255;
    return fit ? std::optional(std::string(text)) : std::nullopt;
}

constexpr xml::Value<std::string> kText{"a text of 1 to 255 bytes", short_text};
constexpr xml::Value<std::vector<Ip>> kIps{"IP addresses, with spaces between them", list<parse_ip>};
constexpr xml::Value<std::vector<std::string>> kNames{"DNS names, with spaces between them", list<dns_name>};
constexpr xml::Value<std::vector<Prefix>> kPrefixes{"prefixes, with spaces between them", list<parse_prefix>};
constexpr xml::Value<std::vector<std::uint16_t>> kArchs{"architecture numbers of RFC 4578, with spaces between them",
                                                        list<xml::parse_number<std::uint16_t, 0, 65535>>};
constexpr xml::Value<Prefix> kPrefix{"a prefix such as 2001:db8::/56", parse_prefix};
constexpr xml::Value<std::uint32_t> kSeconds{"seconds", xml::parse_number<std::uint32_t>};
constexpr EnumNames<int, 3> kPreferences{{{{"low", -1}, {"medium", 0}, {"high", 1}}}};
constexpr EnumNames<bool, 2> kKeys{{{{"port", false}, {"client-id", true}}}};
constexpr EnumNames<IpFamily, 2> kFamilies{{{{"ipv4", IpFamily::v4}, {"ipv6", IpFamily::v6}}}};

dhcp::ClientMatch read_match(Reader& r) {
    dhcp::ClientMatch match;
    match.archs = r.opt("arch", kArchs).value_or(std::vector<std::uint16_t>());
    match.ipxe = r.opt("ipxe", xml::kYesNo);
    match.vendor_class = r.opt("vendor", kText).value_or("");
    match.user_class = r.opt("user-class", kText).value_or("");
    return match;
}

Result<void> read_dhcp(const Node& node, ServiceExtras& out) {
    Reader r(node);
    out.rapid_commit = r.opt("rapid-commit", xml::kYesNo);
    out.probe = r.get("probe", xml::kYesNo, false);
    out.key_by_client_id = r.get("key", kKeys, false);
    out.v6_only = r.opt("ipv6-only", kSeconds);
    out.dns = r.opt("dns", kIps).value_or(std::vector<Ip>());
    out.ntp = r.opt("ntp", kIps).value_or(std::vector<Ip>());
    out.search = r.opt("search", kNames).value_or(std::vector<std::string>());
    out.portal = r.opt("portal", kText).value_or("");
    return r.finish();
}

Result<void> read_boot(const Node& node, ServiceExtras& out) {
    Reader r(node);
    dhcp::Boot boot;
    boot.file = r.req("file", kText).value_or("");
    boot.server = r.opt("server", xml::kIp);
    boot.server_name = r.opt("name", kText).value_or("");
    boot.when = read_match(r);
    TRY_OK(r.finish());
    out.boot.push_back(std::move(boot));
    return {};
}

std::optional<Bytes> hex(std::string_view text) {
    Bytes out;
    std::string digits(text);
    std::erase(digits, ':');
    for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
        const auto nibble = [](char c) {
            return c >= '0' && c <= '9'   ? c - '0'
                   : c >= 'a' && c <= 'f' ? c - 'a' + 10
                   : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                          : -1;
        };
        const int high = nibble(digits[i]), low = nibble(digits[i + 1]);
        if (high < 0 || low < 0) {
            return std::nullopt;
        }
        out.push_back(static_cast<std::byte>(high * 16 + low));
    }
    return digits.size() % 2 == 0 ? std::optional(out) : std::nullopt;
}

// "hex:0a0b" is those octets, anything else is text.
std::optional<std::vector<std::uint8_t>> identifier(std::string_view text) {
    constexpr std::string_view kHex = "hex:";
    const auto octets =
        text.starts_with(kHex) ? hex(text.substr(kHex.size())) : Bytes(as_bytes(text).begin(), as_bytes(text).end());
    if (!octets || octets->empty() || octets->size() > 255) {
        return std::nullopt;
    }
    std::vector<std::uint8_t> out(octets->size());
    std::ranges::transform(*octets, out.begin(), [](std::byte b) { return std::to_integer<std::uint8_t>(b); });
    return out;
}
constexpr xml::Value<std::vector<std::uint8_t>> kIdentifier{"1 to 255 bytes of text, or hex: and digits", identifier};

Result<void> read_reserve(const Node& node, ServiceExtras& out) {
    Reader r(node);
    dhcp::Reservation host;
    host.mac = r.opt("mac", xml::kMac);
    host.name = r.opt("name", xml::Value<std::string>{"a DNS name", dns_name}).value_or("");
    host.address = r.req("ip", xml::kIp);
    host.client_id = r.opt("id", kIdentifier).value_or(std::vector<std::uint8_t>());
    host.iaid = r.opt(
        "iaid", xml::Value<std::uint32_t>{"the number of an identity association", xml::parse_number<std::uint32_t>});
    host.circuit_id = r.opt("circuit-id", kIdentifier).value_or(std::vector<std::uint8_t>());
    host.remote_id = r.opt("remote-id", kIdentifier).value_or(std::vector<std::uint8_t>());
    if (const auto lease = r.opt("lease", kSeconds)) {
        host.lease = std::chrono::seconds(*lease);
    }
    TRY_OK(r.finish());
    if (!host.mac && host.client_id.empty() && host.circuit_id.empty() && host.remote_id.empty() && host.name.empty() &&
        !host.iaid) {
        return wrong(node, "ip", "says for whom it is reserved: mac, id, circuit-id, remote-id, name or iaid");
    }
    if (host.address->is_v4() && host.iaid) {
        return wrong(node, "iaid", "is of IPv6: identity associations are DHCPv6's");
    }
    if (host.address->is_v6() && !(host.circuit_id.empty() && host.remote_id.empty())) {
        return wrong(node, "circuit-id", "is of IPv4: IPv6 reservations have mac, id or name");
    }
    out.reserved.push_back(std::move(host));
    return {};
}

Result<void> read_pool(const Node& node, ServiceExtras& out) {
    Reader r(node);
    const auto start = r.req("start", xml::kIpv4);
    const auto end = r.req("end", xml::kIpv4);
    dhcp::Range range;
    range.circuit_id = r.opt("circuit-id", kIdentifier).value_or(std::vector<std::uint8_t>());
    range.remote_id = r.opt("remote-id", kIdentifier).value_or(std::vector<std::uint8_t>());
    if (const auto lease = r.opt("lease", kSeconds)) {
        range.lease = std::chrono::seconds(*lease);
    }
    TRY_OK(r.finish());
    if (!range.of_line()) {
        return wrong(node, "circuit-id", "says which line it is for: circuit-id, remote-id or both");
    }
    if (*end < *start) {
        return wrong(node, "end", "is not before start");
    }
    range.first = *start;
    range.last = *end;
    out.pools.push_back(std::move(range));
    return {};
}

template <class Number>
std::optional<Bytes> numbers(std::string_view text) {
    ByteWriter out;
    for (const std::string_view word : words(text)) {
        const auto number = xml::parse_number<Number>(word);
        if (!number) {
            return std::nullopt;
        }
        for (std::size_t shift = sizeof(Number); shift-- > 0;) {
            out.u8(static_cast<std::uint8_t>(*number >> (8 * shift)));
        }
    }
    return out.take();
}

template <IpFamily family>
std::optional<Bytes> addresses(std::string_view text) {
    ByteWriter out;
    for (const std::string_view word : words(text)) {
        const auto ip = parse_ip(word);
        if (!ip || ip->family() != family) {
            return std::nullopt;
        }
        out.bytes(std::as_bytes(std::span(ip->octets())).first(ip->bits() / 8));
    }
    return out.take();
}

std::optional<Bytes> names(std::string_view text) {
    const auto all = list<dns_name>(text);
    return all ? std::optional(dhcp::encode_names(*all, 1024)) : std::nullopt;
}

std::optional<Bytes> bare_text(std::string_view text) {
    const ByteView bytes = as_bytes(text);
    return Bytes(bytes.begin(), bytes.end());
}

struct OptionType {
    std::string_view name;
    std::optional<Bytes> (*encode)(std::string_view);
};
constexpr std::array kTypes{OptionType{"hex", hex},
                            OptionType{"text", bare_text},
                            OptionType{"ip", addresses<IpFamily::v4>},
                            OptionType{"u8", numbers<std::uint8_t>},
                            OptionType{"u16", numbers<std::uint16_t>},
                            OptionType{"u32", numbers<std::uint32_t>},
                            OptionType{"names", names}};

// What the protocol itself needs is not to be written by hand.
bool is_ours(IpFamily family, std::uint8_t code) {
    constexpr std::array<std::uint8_t, 14> kV4{0, 50, 51, 52, 53, 54, 55, 57, 58, 59, 61, 80, 82, 255};
    return family == IpFamily::v4 ? std::ranges::find(kV4, code) != kV4.end() : code <= 14 || code == 25 || code == 26;
}

constexpr OptionType kIpv6Addresses{"ip", addresses<IpFamily::v6>};

Result<void> read_option(const Node& node, ServiceExtras& out) {
    Reader r(node);
    const auto code = r.req("code", xml::Value<std::uint8_t>{"an option's number", xml::parse_number<std::uint8_t>});
    const auto type = r.req("type", kText);
    const auto value = r.req("value", xml::Value<std::string>{"a value", [](std::string_view text) {
                                                                  return std::optional(std::string(text));
                                                              }});
    const auto number = r.opt(
        "sub", xml::Value<std::uint16_t>{"the number of an option in this one", xml::parse_number<std::uint16_t>});
    const auto enterprise = r.opt(
        "enterprise", xml::Value<std::uint32_t>{"an enterprise's number (of IANA)", xml::parse_number<std::uint32_t>});
    const IpFamily family = r.get("family", kFamilies, IpFamily::v4);
    const bool force = r.get("force", xml::kYesNo, false);
    const dhcp::ClientMatch when = read_match(r);
    TRY_OK(r.finish());
    const auto known = std::ranges::find(kTypes, *type, &OptionType::name);
    if (known == kTypes.end()) {
        return wrong(node, "type", "is hex, text, ip, u8, u16, u32 or names");
    }
    const bool v6 = family == IpFamily::v6;
    const auto bytes = v6 && *type == kIpv6Addresses.name ? kIpv6Addresses.encode(*value) : known->encode(*value);
    if (!bytes || bytes->size() > 1024) {
        return wrong(node, "value", fmt::format("'{}' is no value of type {}", *value, *type));
    }
    if (is_ours(family, *code)) {
        return wrong(node, "code", fmt::format("option {} belongs to the protocol itself", *code));
    }
    std::vector<std::uint8_t> octets(bytes->size());
    std::ranges::transform(*bytes, octets.begin(), [](std::byte b) { return std::to_integer<std::uint8_t>(b); });
    if (!number && !enterprise) {
        (v6 ? out.options6 : out.options).push_back({.code = *code, .value = octets, .force = force, .when = when});
        return {};
    }
    SubOption inner{.code = *code,
                    .ipv6 = v6,
                    .enterprise = enterprise,
                    .number = number.value_or(0),
                    .value = octets,
                    .force = force,
                    .when = when};
    if (const std::string why = what_is_wrong(inner); !why.empty()) {
        return wrong(node, enterprise ? "enterprise" : "sub", why);
    }
    out.suboptions.push_back(std::move(inner));
    return {};
}

Result<void> read_route(const Node& node, ServiceExtras& out) {
    Reader r(node);
    const auto to = r.req("to", kPrefix);
    const auto via = r.req("via", xml::kIpv4);
    TRY_OK(r.finish());
    if (!to->network.is_v4()) {
        return wrong(node, "to", "is IPv4; IPv6 routes are advertised (<advertise routes=>)");
    }
    out.routes.push_back({*to, *via});
    return {};
}

Result<void> read_relayed(const Node& node, ServiceExtras& out) {
    Reader r(node);
    const auto router = r.req("router", xml::kIp);
    const auto prefix = r.req("prefix", xml::Value<unsigned>{"a prefix length", xml::parse_number<unsigned, 1, 128>});
    const auto start = r.req("start", xml::kIp);
    const auto end = r.req("end", xml::kIp);
    const auto lease = r.get("lease", kSeconds, 3600U);
    TRY_OK(r.finish());
    dhcp::Subnet subnet{.server = {*router, *prefix}, .relayed = true};
    subnet.lease = std::chrono::seconds(lease);
    subnet.ranges = {{*start, *end, std::nullopt}};
    const bool fit = *prefix <= router->bits() && subnet.server.prefix().contains(*start) &&
                     subnet.server.prefix().contains(*end) && !(*end < *start);
    if (!fit) {
        return wrong(node, "start", "start and end must be in the router's subnet, in this order");
    }
    out.relayed.push_back(std::move(subnet));
    return {};
}

Result<void> read_delegate(const Node& node, ServiceExtras& out) {
    Reader r(node);
    const auto from = r.req("from", kPrefix);
    const auto length =
        r.get("length", xml::Value<unsigned>{"a prefix length", xml::parse_number<unsigned, 1, 128>}, 64U);
    TRY_OK(r.finish());
    if (!from->network.is_v6() || length < from->length) {
        return wrong(node, "length", "prefixes are IPv6, and not longer than what they come from");
    }
    out.delegations.push_back({*from, length});
    return {};
}

Result<void> read_advertise(const Node& node, ServiceExtras& out) {
    Reader r(node);
    dhcp::Advertising a;
    a.enabled = r.get("enable", xml::kYesNo, true);
    a.managed = r.opt("managed", xml::kYesNo);
    a.other = r.opt("other", xml::kYesNo);
    const auto interval = r.get("interval", kSeconds, 600U);
    const auto lifetime = r.get("lifetime", kSeconds, 1800U);
    a.preference = r.get("preference", kPreferences, 0);
    a.routes = r.opt("routes", kPrefixes).value_or(std::vector<Prefix>());
    a.nat64 = r.opt("nat64", kPrefix);
    TRY_OK(r.finish());
    if (interval < 4 || interval > 1800 || lifetime > 9000) {
        return wrong(node, "interval", "interval is 4 to 1800 seconds, lifetime at most 9000 (RFC 4861)");
    }
    if (lifetime != 0 && lifetime < interval) {
        return wrong(node, "lifetime", "is 0, or no shorter than interval (RFC 4861)");
    }
    const auto v4 = [](const Prefix& prefix) { return prefix.network.is_v4(); };
    constexpr std::array<unsigned, 6> kNat64{96, 64, 56, 48, 40, 32};
    if (std::ranges::any_of(a.routes, v4) ||
        (a.nat64 && (v4(*a.nat64) || std::ranges::find(kNat64, a.nat64->length) == kNat64.end()))) {
        return wrong(node, "nat64", "routes and nat64 are IPv6; nat64 has a length of 32, 40, 48, 56, 64 or 96");
    }
    a.interval = std::chrono::seconds(interval);
    a.lifetime = std::chrono::seconds(lifetime);
    out.advertising = a;
    return {};
}

Result<void> read_prefix(const Node& node, ServiceExtras& out) {
    Reader r(node);
    PrefixExtra extra;
    extra.of = r.req("of", kPrefix).value_or(Prefix{});
    extra.autonomous = r.opt("autonomous", xml::kYesNo);
    extra.on_link = r.opt("on-link", xml::kYesNo);
    extra.preferred = std::chrono::seconds(r.get("preferred", kSeconds, 0U));
    extra.valid = std::chrono::seconds(r.get("valid", kSeconds, 0U));
    TRY_OK(r.finish());
    if (extra.valid < extra.preferred) {
        return wrong(node, "preferred", "is not longer than valid");
    }
    out.prefixes.push_back(extra);
    return {};
}

struct Element {
    std::string_view name;
    Result<void> (*read)(const Node&, ServiceExtras&);
};
constexpr xml::Value<std::string> kDnsName{"a DNS name", dns_name};
constexpr xml::Value<std::uint16_t> kPort{"a port of 1 to 65535", xml::parse_number<std::uint16_t, 1, 65535>};

// A name, or *.NAME for all below it.
std::optional<std::string> alias_name(std::string_view text) {
    return is_dns_name(text.starts_with("*.") ? text.substr(2) : text) ? std::optional(std::string(text))
                                                                       : std::nullopt;
}
constexpr xml::Value<std::string> kAliasName{"a DNS name, which may begin with *.", alias_name};

Result<void> read_alias(const Node& node, ServiceExtras& out) {
    Reader r(node);
    const auto name = r.req("name", kAliasName);
    const auto target = r.req("target", kDnsName);
    TRY_OK(r.finish());
    if (*name == *target) {
        return wrong(node, "target", "is another name than 'name'");
    }
    out.aliases.push_back({*name, *target});
    return {};
}

Result<void> read_forwarder(const Node& node, ServiceExtras& out) {
    Reader r(node);
    const dhcp::DnsForwarder forwarder{.domain = r.opt("domain", kDnsName).value_or(""),
                                       .address = r.req("addr", xml::kIp),
                                       .port = r.opt("port", kPort).value_or(53)};
    TRY_OK(r.finish());
    if (forwarder.address->is_unspecified() || forwarder.address->is_multicast()) {
        return wrong(node, "addr", "is the address of a name server");
    }
    out.forwarders.push_back(forwarder);
    return {};
}

Result<void> read_names(const Node& node, ServiceExtras& out) {
    Reader r(node);
    out.private_answers = r.get("private-answers", xml::kYesNo, false);
    return r.finish();
}

constexpr std::array kElements{Element{"dhcp", read_dhcp},
                               Element{"boot", read_boot},
                               Element{"option", read_option},
                               Element{"route", read_route},
                               Element{"relayed", read_relayed},
                               Element{"delegate", read_delegate},
                               Element{"advertise", read_advertise},
                               Element{"prefix", read_prefix},
                               Element{"alias", read_alias},
                               Element{"forwarder", read_forwarder},
                               Element{"names", read_names},
                               Element{"reserve", read_reserve},
                               Element{"pool", read_pool}};

template <class T>
void prepend(std::vector<T>& to, const std::vector<T>& more) {
    to.insert(to.begin(), more.begin(), more.end());
}

dhcp::Subnet* subnet_with(dhcp::Spec& service, const Ip& address) {
    const auto found = std::ranges::find_if(service.subnets, [&](const dhcp::Subnet& s) {
        return s.server.address.is_v4() == address.is_v4() && s.server.prefix().contains(address);
    });
    return found == service.subnets.end() ? nullptr : &*found;
}

// A reservation belongs to the subnet that its address is in, and a pool likewise.
void add_reserved(const ServiceExtras& extras, dhcp::Spec& service) {
    for (const dhcp::Reservation& host : extras.reserved) {
        if (dhcp::Subnet* const subnet = subnet_with(service, *host.address)) {
            subnet->hosts.push_back(host);
        }
    }
    for (const dhcp::Range& pool : extras.pools) {
        if (dhcp::Subnet* const subnet = subnet_with(service, pool.first)) {
            subnet->ranges.insert(subnet->ranges.begin(), pool);  // its time of leases comes before that of others
        }
    }
}

}  // namespace

std::string misplaced(const ServiceExtras& extras, const std::vector<IpInterface>& subnets) {
    const auto elsewhere = [&](const Ip& first, const Ip& last) {
        const auto holds = [&](const IpInterface& subnet) {
            return subnet.prefix().contains(first) && subnet.prefix().contains(last);
        };
        return std::ranges::none_of(subnets, holds) &&
               std::ranges::none_of(extras.relayed, holds, [](const dhcp::Subnet& s) { return s.server; });
    };
    for (const dhcp::Reservation& host : extras.reserved) {
        if (elsewhere(*host.address, *host.address)) {
            return fmt::format("<reserve ip='{}'>", format(*host.address));
        }
    }
    for (const dhcp::Range& pool : extras.pools) {
        if (elsewhere(pool.first, pool.last)) {
            return fmt::format("<pool start='{}'>", format(pool.first));
        }
    }
    for (const PrefixExtra& extra : extras.prefixes) {
        if (std::ranges::find(subnets, extra.of, &IpInterface::prefix) == subnets.end()) {
            return fmt::format("<prefix of='{}'>", format(extra.of));
        }
    }
    const auto v6 = [](const IpInterface& subnet) { return subnet.address.is_v6(); };
    if (!extras.delegations.empty() && std::ranges::none_of(subnets, v6)) {
        return fmt::format("<delegate from='{}'>", format(extras.delegations[0].from));
    }
    return {};
}

Result<bool> read_service(const Node& node, ServiceExtras& out) {
    const auto known = std::ranges::find(kElements, node.name, &Element::name);
    if (known == kElements.end()) {
        return false;
    }
    TRY_OK(known->read(node, out));
    return true;
}

void apply(const ServiceExtras& extras, dhcp::Spec& service) {
    prepend(service.boot, extras.boot);
    prepend(service.options, extras.options);
    prepend(service.options6, extras.options6);
    for (const bool v6 : {false, true}) {
        std::vector<SubOption> family;
        std::ranges::copy_if(extras.suboptions, std::back_inserter(family),
                             [&](const SubOption& one) { return one.ipv6 == v6; });
        auto& options = v6 ? service.options6 : service.options;
        std::ranges::copy(joined(family), std::back_inserter(options));
    }
    prepend(service.routes, extras.routes);
    service.subnets.insert(service.subnets.end(), extras.relayed.begin(), extras.relayed.end());
    prepend(service.dns.aliases, extras.aliases);
    prepend(service.dns.forwarders, extras.forwarders);
    service.dns.private_answers = extras.private_answers;
    service.dns_servers = extras.dns;
    service.ntp_servers = extras.ntp;
    service.search = extras.search;
    service.captive_portal = extras.portal;
    service.v6_only = extras.v6_only;
    service.rapid_commit = extras.rapid_commit.value_or(true);
    service.probe_addresses = extras.probe;
    service.key_by_client_id = extras.key_by_client_id;
    add_reserved(extras, service);
    service.advertising = extras.advertising.value_or(service.advertising);
    for (dhcp::Subnet& subnet : service.subnets) {
        for (const PrefixExtra& extra : extras.prefixes) {
            if (extra.of == subnet.server.prefix()) {
                subnet.autonomous = extra.autonomous;
                subnet.on_link = extra.on_link.value_or(true);
                subnet.preferred = extra.preferred;
                subnet.valid = extra.valid;
            }
        }
    }
    const auto own = std::ranges::find_if(
        service.subnets, [](const dhcp::Subnet& subnet) { return subnet.server.address.is_v6() && !subnet.relayed; });
    if (own != service.subnets.end()) {
        own->delegations = extras.delegations;
    }
}

}  // namespace bascule::network
