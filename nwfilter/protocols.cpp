// SPDX-License-Identifier: GPL-2.0-or-later
#include "nwfilter/protocols.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/enum_names.h"
#include "base/xml_read.h"

namespace bascule::nwfilter {

namespace {

using kernel::policy::Field;

constexpr unsigned bit(Protocol protocol) { return 1U << static_cast<unsigned>(protocol); }
constexpr unsigned kArps = bit(Protocol::arp) | bit(Protocol::rarp);
constexpr unsigned kIps = bit(Protocol::ip) | bit(Protocol::ipv6);
constexpr unsigned kIp4 = bit(Protocol::ip), kIp6 = bit(Protocol::ipv6);
constexpr unsigned kEvery = bit(Protocol::mac) | kArps | kIps;

constexpr std::array<NumberName, 5> kEthertypes{
    {{"arp", 0x806}, {"rarp", 0x8035}, {"ipv4", 0x800}, {"ipv6", 0x86dd}, {"vlan", 0x8100}}};
constexpr std::array<NumberName, 9> kOperations{{{"Request", 1},
                                                 {"Reply", 2},
                                                 {"Request_Reverse", 3},
                                                 {"Reply_Reverse", 4},
                                                 {"DRARP_Request", 5},
                                                 {"DRARP_Reply", 6},
                                                 {"DRARP_Error", 7},
                                                 {"InARP_Request", 8},
                                                 {"ARP_NAK", 9}}};
constexpr std::array<NumberName, 9> kTransports{{{"tcp", 6},
                                                 {"udp", 17},
                                                 {"udplite", 136},
                                                 {"esp", 50},
                                                 {"ah", 51},
                                                 {"icmp", 1},
                                                 {"igmp", 2},
                                                 {"sctp", 132},
                                                 {"icmpv6", 58}}};

constexpr std::array kRows{
    AttributeRow{"srcmacaddr", kEvery, Type::mac, Role::value, Field::eth_src, Field::eth_dst},
    AttributeRow{"srcmacmask", kEvery, Type::mac_mask, Role::mask},
    AttributeRow{"dstmacaddr", kEvery, Type::mac, Role::value, Field::eth_dst, Field::eth_src},
    AttributeRow{"dstmacmask", kEvery, Type::mac_mask, Role::mask},

    AttributeRow{"protocolid", bit(Protocol::mac), Type::number, Role::value, Field::protocol, Field::protocol, 0x600,
                 0xffff, kEthertypes},

    AttributeRow{"hwtype", kArps, Type::number, Role::value, Field::arp_hardware, Field::arp_hardware, 0, 0xffff},
    AttributeRow{"protocoltype", kArps, Type::number, Role::value, Field::arp_protocol, Field::arp_protocol, 0, 0xffff},
    AttributeRow{"opcode", kArps, Type::number, Role::value, Field::arp_operation, Field::arp_operation, 0, 0xffff,
                 kOperations},
    AttributeRow{"arpsrcmacaddr", kArps, Type::mac, Role::value, Field::arp_src_mac, Field::arp_dst_mac},
    AttributeRow{"arpdstmacaddr", kArps, Type::mac, Role::value, Field::arp_dst_mac, Field::arp_src_mac},
    AttributeRow{"arpsrcipaddr", kArps, Type::ipv4, Role::value, Field::arp_src_ip, Field::arp_dst_ip},
    AttributeRow{"arpsrcipmask", kArps, Type::ipv4_mask, Role::mask},
    AttributeRow{"arpdstipaddr", kArps, Type::ipv4, Role::value, Field::arp_dst_ip, Field::arp_src_ip},
    AttributeRow{"arpdstipmask", kArps, Type::ipv4_mask, Role::mask},
    AttributeRow{"gratuitous", kArps, Type::boolean, Role::same_ip, Field::arp_src_ip, Field::arp_dst_ip},

    AttributeRow{"srcipaddr", kIp4, Type::ipv4, Role::value, Field::ip4_src, Field::ip4_dst},
    AttributeRow{"srcipmask", kIp4, Type::ipv4_mask, Role::mask},
    AttributeRow{"dstipaddr", kIp4, Type::ipv4, Role::value, Field::ip4_dst, Field::ip4_src},
    AttributeRow{"dstipmask", kIp4, Type::ipv4_mask, Role::mask},
    AttributeRow{"protocol", kIp4, Type::number, Role::value, Field::ip4_protocol, Field::ip4_protocol, 0, 255,
                 kTransports},

    AttributeRow{"srcipaddr", kIp6, Type::ipv6, Role::value, Field::ip6_src, Field::ip6_dst},
    AttributeRow{"srcipmask", kIp6, Type::ipv6_mask, Role::mask},
    AttributeRow{"dstipaddr", kIp6, Type::ipv6, Role::value, Field::ip6_dst, Field::ip6_src},
    AttributeRow{"dstipmask", kIp6, Type::ipv6_mask, Role::mask},
    AttributeRow{"protocol", kIp6, Type::number, Role::value, Field::ip6_protocol, Field::ip6_protocol, 0, 255,
                 kTransports},

    AttributeRow{"srcportstart", kIps, Type::number, Role::value, Field::src_port, Field::dst_port, 0, 65535},
    AttributeRow{"srcportend", kIps, Type::number, Role::range_end, Field::src_port, Field::dst_port, 0, 65535},
    AttributeRow{"dstportstart", kIps, Type::number, Role::value, Field::dst_port, Field::src_port, 0, 65535},
    AttributeRow{"dstportend", kIps, Type::number, Role::range_end, Field::dst_port, Field::src_port, 0, 65535},
    AttributeRow{"dscp", kIp4, Type::number, Role::value, Field::ip4_dscp, Field::ip4_dscp, 0, 63},
    AttributeRow{"type", kIp6, Type::number, Role::value, Field::icmp6_type, Field::icmp6_type, 0, 255},
    AttributeRow{"typeend", kIp6, Type::number, Role::range_end, Field::icmp6_type, Field::icmp6_type, 0, 255},
    AttributeRow{"code", kIp6, Type::number, Role::value, Field::icmp6_code, Field::icmp6_code, 0, 255},
    AttributeRow{"codeend", kIp6, Type::number, Role::range_end, Field::icmp6_code, Field::icmp6_code, 0, 255},
    AttributeRow{"comment", kEvery, Type::comment, Role::comment},
};

constexpr EnumNames<Protocol, 5> kProtocols{{{{"mac", Protocol::mac},
                                              {"arp", Protocol::arp},
                                              {"rarp", Protocol::rarp},
                                              {"ip", Protocol::ip},
                                              {"ipv6", Protocol::ipv6}}}};

constexpr std::array<std::string_view, 19> kUnsupported{
    "vlan", "stp",      "tcp",      "udp",       "udplite",      "esp",      "ah",      "sctp",     "icmp", "icmpv6",
    "igmp", "tcp-ipv6", "udp-ipv6", "sctp-ipv6", "udplite-ipv6", "esp-ipv6", "ah-ipv6", "all-ipv6", "all"};

// Decimal or, with 0x, hexadecimal, as the peer reads numbers.
std::optional<Number> parse_number(std::string_view text, std::uint32_t min, std::uint32_t max) {
    Number number;
    number.hex = text.starts_with("0x") || text.starts_with("0X");
    if (number.hex) {
        text.remove_prefix(2);
    }
    const auto [stop, ec] = std::from_chars(text.data(), text.data() + text.size(), number.value, number.hex ? 16 : 10);
    const bool whole = ec == std::errc() && stop == text.data() + text.size();
    return whole && number.value >= min && number.value <= max ? std::optional(number) : std::nullopt;
}

std::optional<Number> parse_named(const AttributeRow& row, std::string_view text) {
    for (const auto& [name, number] : row.names) {
        if (name == text) {
            return Number{number, false};
        }
    }
    return parse_number(text, row.min, row.max);
}

// "24", "255.255.255.0" or "ffff::": always kept as the number of leading ones.
std::optional<Number> parse_ip_mask(std::string_view text, IpFamily family) {
    const unsigned bits = family == IpFamily::v4 ? 32 : 128;
    if (text.find_first_of(".:") == std::string_view::npos) {
        return parse_number(text, 0, bits);
    }
    const auto mask = family == IpFamily::v4 ? parse_ipv4(text) : parse_ipv6(text);
    const auto length = mask ? netmask_length(*mask) : std::nullopt;
    return length ? std::optional(Number{*length, false}) : std::nullopt;
}

bool is_mac_mask(const MacAddr& mask) {
    bool ended = false;
    for (unsigned i = 0; i < 48; ++i) {
        const bool one = (mask.octets[i / 8] & (0x80U >> (i % 8))) != 0;
        if (one && ended) {
            return false;
        }
        ended = ended || !one;
    }
    return true;
}

std::optional<bool> parse_boolean(std::string_view text) {
    constexpr EnumNames<bool, 6> kBooleans{
        {{{"true", true}, {"false", false}, {"yes", true}, {"no", false}, {"1", true}, {"0", false}}}};
    return kBooleans.parse(text);
}

template <class T>
std::optional<Value> as_value(const std::optional<T>& value) {
    return value ? std::optional<Value>(*value) : std::nullopt;
}

}  // namespace

std::span<const AttributeRow> attribute_rows() { return kRows; }
const AttributeRow& row(std::uint8_t index) { return kRows[index]; }

std::uint8_t find_row(Protocol protocol, std::string_view name) {
    for (std::size_t i = 0; i < kRows.size(); ++i) {
        if ((kRows[i].protocols & bit(protocol)) != 0 && kRows[i].name == name) {
            return static_cast<std::uint8_t>(i);
        }
    }
    return 0xff;
}

std::string expected(const AttributeRow& r) {
    switch (r.type) {
        case Type::mac: return "a MAC address";
        case Type::mac_mask: return "a MAC mask of leading ones, such as ff:ff:ff:00:00:00";
        case Type::ipv4: return "an IPv4 address";
        case Type::ipv4_mask: return "an IPv4 mask, such as 24 or 255.255.255.0";
        case Type::ipv6: return "an IPv6 address";
        case Type::ipv6_mask: return "an IPv6 mask, such as 64 or ffff:ffff:ffff:ffff::";
        case Type::boolean: return "'true' or 'false'";
        case Type::comment: return "at most 256 characters";
        case Type::number: break;
    }
    std::string out = fmt::format("a number from {} to {}", r.min, r.max);
    for (const NumberName& name : r.names) {
        out += fmt::format("{}'{}'", &name == r.names.data() ? " or one of " : ", ", name.name);
    }
    return out;
}

std::optional<Value> parse_value(const AttributeRow& r, std::string_view text) {
    switch (r.type) {
        case Type::mac: return as_value(parse_mac(text));
        case Type::mac_mask: {
            const auto mask = parse_mac(text);
            return mask && is_mac_mask(*mask) ? std::optional<Value>(*mask) : std::nullopt;
        }
        case Type::ipv4: return as_value(parse_ipv4(text));
        case Type::ipv4_mask: return as_value(parse_ip_mask(text, IpFamily::v4));
        case Type::ipv6: return as_value(parse_ipv6(text));
        case Type::ipv6_mask: return as_value(parse_ip_mask(text, IpFamily::v6));
        case Type::number: return as_value(parse_named(r, text));
        case Type::boolean: return as_value(parse_boolean(text));
        case Type::comment: return text.size() <= 256 ? std::optional<Value>(Text{std::string(text)}) : std::nullopt;
    }
    return std::nullopt;
}

std::string format_value(const AttributeRow& r, const Value& value) {
    struct Formatter {
        const AttributeRow& r;
        std::string operator()(const MacAddr& mac) const { return format(mac); }
        std::string operator()(const Ip& ip) const { return format(ip); }
        std::string operator()(bool flag) const { return flag ? "true" : "false"; }
        std::string operator()(const Text& text) const { return text.text; }
        std::string operator()(const Variable& variable) const { return "$" + variable.name; }
        std::string operator()(const Number& number) const {
            for (const NumberName& name : r.names) {
                if (name.number == number.value) {
                    return std::string(name.name);
                }
            }
            return number.hex ? fmt::format("{:#x}", number.value) : std::to_string(number.value);
        }
    };
    return std::visit(Formatter{r}, value);
}

std::string_view name_of(Protocol protocol) { return kProtocols.name(protocol); }
std::optional<Protocol> protocol_of(std::string_view element) { return kProtocols.parse(element); }

std::uint16_t ethertype_of(Protocol protocol) {
    switch (protocol) {
        case Protocol::arp: return 0x0806;
        case Protocol::rarp: return 0x8035;
        case Protocol::ip: return 0x0800;
        case Protocol::ipv6: return 0x86dd;
        case Protocol::any:
        case Protocol::mac: break;
    }
    return 0;
}

bool is_unsupported_protocol(std::string_view element) {
    return !element.empty() && std::ranges::find(kUnsupported, element) != kUnsupported.end();
}

std::optional<Protocol> chain_protocol(std::string_view chain, bool* unsupported) {
    // A longer prefix stands before a shorter one that it begins with.
    constexpr EnumNames<Protocol, 7> kChains{{{{"mac", Protocol::mac},
                                               {"arp", Protocol::arp},
                                               {"rarp", Protocol::rarp},
                                               {"ipv4", Protocol::ip},
                                               {"ipv6", Protocol::ipv6},
                                               {"vlan", Protocol::any},
                                               {"stp", Protocol::any}}}};
    if (unsupported != nullptr) {
        *unsupported = false;
    }
    if (chain == "root") {
        return Protocol::any;
    }
    for (const auto& [prefix, protocol] : kChains.entries) {
        if (chain.starts_with(prefix)) {
            if (unsupported != nullptr) {
                *unsupported = protocol == Protocol::any;
            }
            return protocol;
        }
    }
    return std::nullopt;
}

int default_priority(Protocol chain) {
    switch (chain) {
        case Protocol::mac: return -800;
        case Protocol::ip: return -700;
        case Protocol::ipv6: return -600;
        case Protocol::arp: return -500;
        case Protocol::rarp: return -400;
        case Protocol::any: break;
    }
    return 0;
}

}  // namespace bascule::nwfilter
