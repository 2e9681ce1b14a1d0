// SPDX-License-Identifier: GPL-2.0-or-later
#include "nwfilter/protocols.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/enum_names.h"
#include "base/xml_read.h"

namespace bascule::nwfilter {

std::string_view trimmed(std::string_view text) {
    while (text.starts_with(' ')) {
        text.remove_prefix(1);
    }
    while (text.ends_with(' ')) {
        text.remove_suffix(1);
    }
    return text;
}

namespace {

using kernel::policy::Field;

constexpr unsigned bit(Protocol protocol) { return 1U << static_cast<unsigned>(protocol); }
constexpr unsigned bits(Protocol first, Protocol last) { return bit(last) * 2 - bit(first); }
constexpr unsigned kStp = bit(Protocol::stp), kVlan = bit(Protocol::vlan);
constexpr unsigned kArps = bit(Protocol::arp) | bit(Protocol::rarp);
constexpr unsigned kIps = bit(Protocol::ip) | bit(Protocol::ipv6);
constexpr unsigned kIp4 = bit(Protocol::ip), kIp6 = bit(Protocol::ipv6);
constexpr unsigned kEther = bits(Protocol::mac, Protocol::ipv6);
// Of the IP layer: of each family, of both, and those with ports.
constexpr unsigned kOver4 = bits(Protocol::tcp, Protocol::all), kOver6 = bits(Protocol::tcp_ipv6, Protocol::all_ipv6);
constexpr unsigned kOver = kOver4 | kOver6;
constexpr unsigned kTcp = bit(Protocol::tcp) | bit(Protocol::tcp_ipv6);
constexpr unsigned kPorts =
    kTcp | bit(Protocol::udp) | bit(Protocol::udp_ipv6) | bit(Protocol::sctp) | bit(Protocol::sctp_ipv6);
constexpr unsigned kIcmp4 = bit(Protocol::icmp), kIcmp6 = bit(Protocol::icmpv6);

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

constexpr AttributeRow number(std::string_view name, unsigned protocols, Field field, std::uint32_t max,
                              Role role = Role::value) {
    return {name, protocols, Type::number, role, field, field, 0, max};
}
constexpr AttributeRow number_end(std::string_view name, unsigned protocols, Field field, std::uint32_t max,
                                  std::string_view alias = {}) {
    AttributeRow row = number(name, protocols, field, max, Role::range_end);
    row.alias = alias;
    return row;
}

constexpr std::array kRows{
    AttributeRow{"comment", kOver, Type::comment, Role::comment},
    AttributeRow{"srcmacaddr", kEther | kOver, Type::mac, Role::value, Field::eth_src, Field::eth_dst},
    AttributeRow{"srcmacmask", kEther, Type::mac_mask, Role::mask},
    AttributeRow{"dstmacaddr", kEther & ~kStp, Type::mac, Role::value, Field::eth_dst, Field::eth_src},
    AttributeRow{"dstmacmask", kEther & ~kStp, Type::mac_mask, Role::mask},

    AttributeRow{"vlanid", kVlan, Type::number, Role::value, Field::vlan_id, Field::vlan_id, 0, 4095, {}, "vlan-id"},
    AttributeRow{"encap-protocol", kVlan, Type::number, Role::value, Field::vlan_type, Field::vlan_type, 0x3c, 0xffff,
                 kEthertypes},

    number("type", kStp, Field::stp_type, 255),
    number("flags", kStp, Field::stp_flags, 255),
    number("root-priority", kStp, Field::stp_root_priority, 65535),
    number_end("root-priority-hi", kStp, Field::stp_root_priority, 65535),
    AttributeRow{"root-address", kStp, Type::mac, Role::value, Field::stp_root_address, Field::stp_root_address},
    AttributeRow{"root-address-mask", kStp, Type::mac_mask, Role::mask},
    number("root-cost", kStp, Field::stp_root_cost, 0xffffffff),
    number_end("root-cost-hi", kStp, Field::stp_root_cost, 0xffffffff),
    number("sender-priority", kStp, Field::stp_sender_priority, 65535),
    number_end("sender-priority-hi", kStp, Field::stp_sender_priority, 65535),
    AttributeRow{"sender-address", kStp, Type::mac, Role::value, Field::stp_sender_address, Field::stp_sender_address},
    AttributeRow{"sender-address-mask", kStp, Type::mac_mask, Role::mask},
    number("port", kStp, Field::stp_port, 65535),
    number_end("port-hi", kStp, Field::stp_port, 65535, "port_hi"),
    AttributeRow{"age", kStp, Type::number, Role::value, Field::stp_age, Field::stp_age, 0, 65535, {}, "msg-age"},
    number_end("age-hi", kStp, Field::stp_age, 65535, "msg-age-hi"),
    number("max-age", kStp, Field::stp_max_age, 65535),
    number_end("max-age-hi", kStp, Field::stp_max_age, 65535),
    number("hello-time", kStp, Field::stp_hello_time, 65535),
    number_end("hello-time-hi", kStp, Field::stp_hello_time, 65535),
    number("forward-delay", kStp, Field::stp_forward_delay, 65535),
    number_end("forward-delay-hi", kStp, Field::stp_forward_delay, 65535),

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

    AttributeRow{"srcipaddr", kIp4 | kOver4, Type::ipv4, Role::value, Field::ip4_src, Field::ip4_dst},
    AttributeRow{"srcipmask", kIp4 | kOver4, Type::ipv4_mask, Role::mask},
    AttributeRow{"dstipaddr", kIp4 | kOver4, Type::ipv4, Role::value, Field::ip4_dst, Field::ip4_src},
    AttributeRow{"dstipmask", kIp4 | kOver4, Type::ipv4_mask, Role::mask},
    AttributeRow{"protocol", kIp4, Type::number, Role::value, Field::ip4_protocol, Field::ip4_protocol, 0, 255,
                 kTransports},

    AttributeRow{"srcipaddr", kIp6 | kOver6, Type::ipv6, Role::value, Field::ip6_src, Field::ip6_dst},
    AttributeRow{"srcipmask", kIp6 | kOver6, Type::ipv6_mask, Role::mask},
    AttributeRow{"dstipaddr", kIp6 | kOver6, Type::ipv6, Role::value, Field::ip6_dst, Field::ip6_src},
    AttributeRow{"dstipmask", kIp6 | kOver6, Type::ipv6_mask, Role::mask},
    AttributeRow{"protocol", kIp6, Type::number, Role::value, Field::ip6_protocol, Field::ip6_protocol, 0, 255,
                 kTransports},

    AttributeRow{"srcipfrom", kOver4, Type::ipv4, Role::value, Field::ip4_src, Field::ip4_dst},
    AttributeRow{"srcipto", kOver4, Type::ipv4, Role::range_end, Field::ip4_src, Field::ip4_dst},
    AttributeRow{"dstipfrom", kOver4, Type::ipv4, Role::value, Field::ip4_dst, Field::ip4_src},
    AttributeRow{"dstipto", kOver4, Type::ipv4, Role::range_end, Field::ip4_dst, Field::ip4_src},
    AttributeRow{"srcipfrom", kOver6, Type::ipv6, Role::value, Field::ip6_src, Field::ip6_dst},
    AttributeRow{"srcipto", kOver6, Type::ipv6, Role::range_end, Field::ip6_src, Field::ip6_dst},
    AttributeRow{"dstipfrom", kOver6, Type::ipv6, Role::value, Field::ip6_dst, Field::ip6_src},
    AttributeRow{"dstipto", kOver6, Type::ipv6, Role::range_end, Field::ip6_dst, Field::ip6_src},
    number("dscp", kOver4, Field::ip4_dscp, 63),
    number("dscp", kOver6, Field::ip6_dscp, 63),
    number("connlimit-above", kOver, Field::ct_count, 65535, Role::connections),

    AttributeRow{"srcportstart", kIps | kPorts, Type::number, Role::value, Field::src_port, Field::dst_port, 0, 65535},
    AttributeRow{"srcportend", kIps | kPorts, Type::number, Role::range_end, Field::src_port, Field::dst_port, 0,
                 65535},
    AttributeRow{"dstportstart", kIps | kPorts, Type::number, Role::value, Field::dst_port, Field::src_port, 0, 65535},
    AttributeRow{"dstportend", kIps | kPorts, Type::number, Role::range_end, Field::dst_port, Field::src_port, 0,
                 65535},
    AttributeRow{"dscp", kIp4, Type::number, Role::value, Field::ip4_dscp, Field::ip4_dscp, 0, 63},
    AttributeRow{"type", kIp6 | kIcmp6, Type::number, Role::value, Field::icmp6_type, Field::icmp6_type, 0, 255},
    AttributeRow{"typeend", kIp6, Type::number, Role::range_end, Field::icmp6_type, Field::icmp6_type, 0, 255},
    AttributeRow{"code", kIp6 | kIcmp6, Type::number, Role::value, Field::icmp6_code, Field::icmp6_code, 0, 255},
    AttributeRow{"codeend", kIp6, Type::number, Role::range_end, Field::icmp6_code, Field::icmp6_code, 0, 255},
    // Ours: the peer's language cannot say which address a neighbour advertisement is about.
    AttributeRow{"ndtargetaddr", kIp6 | kIcmp6, Type::ipv6, Role::value, Field::nd_target, Field::nd_target},
    AttributeRow{"ndtargetmask", kIp6 | kIcmp6, Type::ipv6_mask, Role::mask},
    number("type", kIcmp4, Field::icmp4_type, 255),
    number("code", kIcmp4, Field::icmp4_code, 255),
    AttributeRow{"state", kOver, Type::states, Role::state},
    AttributeRow{"flags", kTcp, Type::tcp_flags, Role::value, Field::tcp_flags, Field::tcp_flags},
    number("option", kTcp, Field::tcp_flags, 255, Role::tcp_option),
    AttributeRow{"ipset", kOver, Type::ipset, Role::ipset},
    AttributeRow{"ipsetflags", kOver, Type::ipset_flags, Role::ipset_flags},
    AttributeRow{"comment", kEther, Type::comment, Role::comment},
};

constexpr EnumNames<Protocol, 24> kProtocols{{{{"mac", Protocol::mac},
                                               {"vlan", Protocol::vlan},
                                               {"stp", Protocol::stp},
                                               {"arp", Protocol::arp},
                                               {"rarp", Protocol::rarp},
                                               {"ip", Protocol::ip},
                                               {"ipv6", Protocol::ipv6},
                                               {"tcp", Protocol::tcp},
                                               {"udp", Protocol::udp},
                                               {"udplite", Protocol::udplite},
                                               {"esp", Protocol::esp},
                                               {"ah", Protocol::ah},
                                               {"sctp", Protocol::sctp},
                                               {"icmp", Protocol::icmp},
                                               {"igmp", Protocol::igmp},
                                               {"all", Protocol::all},
                                               {"tcp-ipv6", Protocol::tcp_ipv6},
                                               {"udp-ipv6", Protocol::udp_ipv6},
                                               {"udplite-ipv6", Protocol::udplite_ipv6},
                                               {"esp-ipv6", Protocol::esp_ipv6},
                                               {"ah-ipv6", Protocol::ah_ipv6},
                                               {"sctp-ipv6", Protocol::sctp_ipv6},
                                               {"icmpv6", Protocol::icmpv6},
                                               {"all-ipv6", Protocol::all_ipv6}}}};

// In the peer's order, and as they stand in the TCP header.
constexpr std::array<NumberName, 6> kTcpFlags{
    {{"FIN", 0x01}, {"SYN", 0x02}, {"RST", 0x04}, {"PSH", 0x08}, {"ACK", 0x10}, {"URG", 0x20}}};
constexpr std::uint8_t kAllTcpFlags = 0x3f;
constexpr std::array<NumberName, 4> kStates{{{"NEW", kernel::policy::ct_state::kNew},
                                             {"ESTABLISHED", kernel::policy::ct_state::kEstablished},
                                             {"RELATED", kernel::policy::ct_state::kRelated},
                                             {"INVALID", kernel::policy::ct_state::kInvalid}}};

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

// The peer reads words in any case.
bool same_word(std::string_view a, std::string_view b) {
    return std::ranges::equal(a, b, [](char x, char y) { return lower(x) == lower(y); });
}

// "NEW,ESTABLISHED" as bits. NONE and nothing are none.
template <std::size_t N>
std::optional<std::uint8_t> parse_bits(std::string_view text, const std::array<NumberName, N>& names,
                                       std::uint8_t all) {
    std::uint32_t out = 0;
    while (!text.empty()) {
        const auto comma = text.find(',');
        const std::string_view word = trimmed(text.substr(0, comma));
        const auto found =
            std::ranges::find_if(names, [&](const NumberName& name) { return same_word(name.name, word); });
        const bool every = all != 0 && same_word(word, "ALL");
        if (found == names.end() && !same_word(word, "NONE") && !every) {
            return std::nullopt;
        }
        out |= found != names.end() ? found->number : every ? all : 0U;
        if (comma == std::string_view::npos) {
            break;
        }
        text.remove_prefix(comma + 1);
        if (text.empty()) {
            return std::nullopt;
        }
    }
    return static_cast<std::uint8_t>(out);
}

template <std::size_t N>
std::string format_bits(std::uint8_t bits, const std::array<NumberName, N>& names, std::uint8_t all) {
    if (bits == 0 || bits == all) {
        return bits == 0 ? "NONE" : "ALL";
    }
    std::string out;
    for (const NumberName& name : names) {
        if ((bits & name.number) != 0) {
            out += (out.empty() ? "" : ",") + std::string(name.name);
        }
    }
    return out;
}

std::optional<TcpFlags> parse_tcp_flags(std::string_view text) {
    const auto slash = text.find('/');
    if (slash == std::string_view::npos || slash == 0) {
        return std::nullopt;
    }
    const auto mask = parse_bits(text.substr(0, slash), kTcpFlags, kAllTcpFlags);
    const auto set = parse_bits(text.substr(slash + 1), kTcpFlags, kAllTcpFlags);
    return mask && set ? std::optional(TcpFlags{*mask, *set}) : std::nullopt;
}

bool names_none(std::string_view list) {
    for (;;) {
        const auto comma = list.find(',');
        if (same_word(trimmed(list.substr(0, comma)), "NONE")) {
            return true;
        }
        if (comma == std::string_view::npos) {
            return false;
        }
        list.remove_prefix(comma + 1);
    }
}

std::optional<States> parse_states(std::string_view text) {
    const auto bits = text.empty() ? std::nullopt : parse_bits(text, kStates, 0);
    // NONE stands alone.
    const bool mixed = bits && (*bits != 0 || text.find(',') != std::string_view::npos) && names_none(text);
    return bits && !mixed ? std::optional(States{*bits}) : std::nullopt;
}

std::optional<Text> parse_ipset(std::string_view text) {
    constexpr std::string_view kBytes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:+ -";
    const bool good = !text.empty() && text.size() <= 31 && text.find_first_not_of(kBytes) == std::string_view::npos;
    return good ? std::optional(Text{std::string(text)}) : std::nullopt;
}

// One to six of "src" and "dst", in any case.
std::optional<Text> parse_ipset_flags(std::string_view text) {
    constexpr unsigned kMost = 6;
    std::string out;
    for (unsigned count = 1; count <= kMost; ++count) {
        const auto comma = text.find(',');
        std::string word(text.substr(0, comma));
        std::ranges::transform(word, word.begin(), lower);
        if (word != "src" && word != "dst") {
            return std::nullopt;
        }
        out += (out.empty() ? "" : ",") + word;
        if (comma == std::string_view::npos) {
            return Text{out};
        }
        text.remove_prefix(comma + 1);
    }
    return std::nullopt;
}

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
        if (same_word(name, text)) {
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
        const bool named = kRows[i].name == name || (!kRows[i].alias.empty() && kRows[i].alias == name);
        if ((kRows[i].protocols & bit(protocol)) != 0 && named) {
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
        case Type::tcp_flags: return "MASK/FLAGS of SYN, ACK, URG, PSH, FIN, RST, ALL and NONE, such as SYN,ACK/SYN";
        case Type::states: return "a list of NEW, ESTABLISHED, RELATED and INVALID, or NONE";
        case Type::ipset: return "a set's name: at most 31 letters, digits and '_.:+ -'";
        case Type::ipset_flags: return "one to six of 'src' and 'dst', such as src,dst";
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
        case Type::tcp_flags: return as_value(parse_tcp_flags(text));
        case Type::states: return as_value(parse_states(text));
        case Type::ipset: return as_value(parse_ipset(text));
        case Type::ipset_flags: return as_value(parse_ipset_flags(text));
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
        std::string operator()(const TcpFlags& flags) const {
            return format_bits(flags.mask, kTcpFlags, kAllTcpFlags) + "/" +
                   format_bits(flags.set, kTcpFlags, kAllTcpFlags);
        }
        std::string operator()(const States& states) const { return format_bits(states.bits, kStates, 0xff); }
        std::string operator()(const Variable& variable) const {
            if (variable.element) {
                return fmt::format("${}[{}]", variable.name, *variable.element);
            }
            return variable.iterator == 0 ? "$" + variable.name
                                          : fmt::format("${}[@{}]", variable.name, variable.iterator);
        }
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
        case Protocol::vlan: return 0x8100;
        case Protocol::any:
        case Protocol::mac:
        case Protocol::stp: return 0;
        default: return is_ipv6_layer(protocol) ? 0x86dd : 0x0800;
    }
}

std::uint8_t transport_of(Protocol protocol) {
    switch (protocol) {
        case Protocol::tcp:
        case Protocol::tcp_ipv6: return 6;
        case Protocol::udp:
        case Protocol::udp_ipv6: return 17;
        case Protocol::udplite:
        case Protocol::udplite_ipv6: return 136;
        case Protocol::esp:
        case Protocol::esp_ipv6: return 50;
        case Protocol::ah:
        case Protocol::ah_ipv6: return 51;
        case Protocol::sctp:
        case Protocol::sctp_ipv6: return 132;
        case Protocol::icmp: return 1;
        case Protocol::igmp: return 2;
        case Protocol::icmpv6: return 58;
        default: return 0;
    }
}

std::optional<Protocol> chain_protocol(std::string_view chain) {
    // A longer prefix stands before a shorter one that it begins with.
    constexpr EnumNames<Protocol, 7> kChains{{{{"mac", Protocol::mac},
                                               {"arp", Protocol::arp},
                                               {"rarp", Protocol::rarp},
                                               {"ipv4", Protocol::ip},
                                               {"ipv6", Protocol::ipv6},
                                               {"vlan", Protocol::vlan},
                                               {"stp", Protocol::stp}}}};
    if (chain == "root") {
        return Protocol::any;
    }
    for (const auto& [prefix, protocol] : kChains.entries) {
        if (chain.starts_with(prefix)) {
            return protocol;
        }
    }
    return std::nullopt;
}

int default_priority(Protocol chain) {
    switch (chain) {
        case Protocol::stp: return -810;
        case Protocol::mac: return -800;
        case Protocol::vlan: return -750;
        case Protocol::ip: return -700;
        case Protocol::ipv6: return -600;
        case Protocol::arp: return -500;
        case Protocol::rarp: return -400;
        default: return 0;
    }
}

}  // namespace bascule::nwfilter
