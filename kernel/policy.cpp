// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/policy.h"

#include <algorithm>

#include <fmt/format.h>

namespace bascule::kernel::policy {

namespace {

enum class Kind { number, mac, ip4, ip6 };

struct FieldInfo {
    Field field;
    std::string_view name;
    unsigned bits;
    Kind kind;
};

constexpr std::array<FieldInfo, kFields> kInfo{{
    {Field::eth_src, "eth.src", 48, Kind::mac},
    {Field::eth_dst, "eth.dst", 48, Kind::mac},
    {Field::eth_type, "eth.type", 16, Kind::number},
    {Field::protocol, "protocol", 16, Kind::number},
    {Field::arp_hardware, "arp.hardware", 16, Kind::number},
    {Field::arp_protocol, "arp.protocol", 16, Kind::number},
    {Field::arp_operation, "arp.operation", 16, Kind::number},
    {Field::arp_src_mac, "arp.src_mac", 48, Kind::mac},
    {Field::arp_src_ip, "arp.src_ip", 32, Kind::ip4},
    {Field::arp_dst_mac, "arp.dst_mac", 48, Kind::mac},
    {Field::arp_dst_ip, "arp.dst_ip", 32, Kind::ip4},
    {Field::ip4_src, "ip4.src", 32, Kind::ip4},
    {Field::ip4_dst, "ip4.dst", 32, Kind::ip4},
    {Field::ip4_protocol, "ip4.protocol", 8, Kind::number},
    {Field::ip4_dscp, "ip4.dscp", 6, Kind::number},
    {Field::ip6_src, "ip6.src", 128, Kind::ip6},
    {Field::ip6_dst, "ip6.dst", 128, Kind::ip6},
    {Field::ip6_protocol, "ip6.protocol", 8, Kind::number},
    {Field::icmp6_type, "icmp6.type", 8, Kind::number},
    {Field::icmp6_code, "icmp6.code", 8, Kind::number},
    {Field::src_port, "src_port", 16, Kind::number},
    {Field::dst_port, "dst_port", 16, Kind::number},
}};
static_assert([] {
    for (std::size_t i = 0; i < kFields; ++i) {
        if (static_cast<std::size_t>(kInfo[i].field) != i) {
            return false;
        }
    }
    return true;
}());

const FieldInfo& info(Field field) { return kInfo[static_cast<std::size_t>(field)]; }

constexpr std::uint16_t kTypeIp4 = 0x0800, kTypeArp = 0x0806, kTypeRarp = 0x8035, kTypeIp6 = 0x86dd;
constexpr std::uint16_t kTypeVlan = 0x8100, kTypeServiceVlan = 0x88a8;
constexpr std::uint16_t kSmallestType = 0x600;  // below: a length (IEEE 802.3)

std::string format(Field field, const Value& mask, const Interval& interval) {
    std::string out = format(field, interval.first);
    if (interval.last != interval.first) {
        out += "-" + format(field, interval.last);
    }
    if (mask != Value::ones(field)) {
        out += "&" + format(field, mask);
    }
    return out;
}

std::string format(const Condition& condition) {
    const std::string_view is = condition.negated ? "!=" : "=";
    if (const auto* const among = std::get_if<Among>(&condition.test)) {
        std::string values;
        for (const Interval& interval : among->values) {
            values += (values.empty() ? "" : ", ") + format(among->field, among->mask, interval);
        }
        return fmt::format("{} {} {}", name_of(among->field), is,
                           among->values.size() == 1 ? values : "{" + values + "}");
    }
    if (const auto* const listed = std::get_if<Listed>(&condition.test)) {
        std::string fields;
        for (const Field field : listed->fields) {
            fields += (fields.empty() ? "" : " . ") + std::string(name_of(field));
        }
        return fmt::format("{} {} @{}", fields, is, listed->table);
    }
    const auto& same = std::get<Same>(condition.test);
    return fmt::format("{} {} {}", name_of(same.first), is, name_of(same.second));
}

constexpr std::array<std::string_view, 5> kActions{"accept", "drop", "leave", "next", "enter"};

enum class End { accept, drop, leave, none };

struct Run {
    const Policy& policy;
    const Packet& packet;
    const Tables& tables;
    const Decision* by = nullptr;

    End section(std::size_t index) {
        for (const Decision& decision : policy.sections[index].decisions) {
            const bool met = std::ranges::all_of(
                decision.when, [&](const Condition& condition) { return holds(condition, packet, tables); });
            if (!met) {
                continue;
            }
            switch (decision.action) {
                case Action::accept: by = &decision; return End::accept;
                case Action::drop: by = &decision; return End::drop;
                case Action::leave: return End::leave;
                case Action::next: break;
                case Action::enter:
                    if (const End end = section(decision.section); end == End::accept || end == End::drop) {
                        return end;
                    }
                    break;
            }
        }
        return End::none;
    }
};

bool is_port_protocol(std::uint8_t protocol) {
    constexpr std::array<std::uint8_t, 5> kWithPorts{6, 17, 33, 132, 136};
    return std::ranges::find(kWithPorts, protocol) != kWithPorts.end();
}

// RFC 8200 4: headers that may stand between IPv6 and the transport; as the kernel's ipv6_ext_hdr().
bool is_extension(std::uint8_t header) {
    constexpr std::array<std::uint8_t, 6> kExtensions{0, 43, 44, 51, 59, 60};
    return std::ranges::find(kExtensions, header) != kExtensions.end();
}

}  // namespace

std::string_view name_of(Field field) { return info(field).name; }
unsigned bits_of(Field field) { return info(field).bits; }

Value Value::of(const MacAddr& mac) {
    Value value;
    std::ranges::copy(mac.octets, value.octets.begin());
    return value;
}

Value Value::of(const Ip& ip) {
    Value value;
    std::copy_n(ip.octets().begin(), ip.bits() / 8, value.octets.begin());
    return value;
}

Value Value::of(Field field, std::uint32_t number) {
    Value value;
    for (unsigned i = (bits_of(field) + 7) / 8; i-- > 0;) {
        value.octets[i] = static_cast<std::uint8_t>(number);
        number >>= 8;
    }
    return value;
}

Value Value::ones(Field field) {
    const unsigned bits = bits_of(field);
    if (bits < 8) {
        return of(field, (1U << bits) - 1);
    }
    Value value;
    std::fill_n(value.octets.begin(), bits / 8, std::uint8_t{0xff});
    return value;
}

std::uint32_t Value::number(Field field) const {
    std::uint32_t out = 0;
    for (unsigned i = 0; i < (bits_of(field) + 7) / 8; ++i) {
        out = out << 8 | octets[i];
    }
    return out;
}

Value Value::masked(const Value& mask) const {
    Value out;
    for (std::size_t i = 0; i < octets.size(); ++i) {
        out.octets[i] = octets[i] & mask.octets[i];
    }
    return out;
}

std::string format(Field field, const Value& value) {
    switch (info(field).kind) {
        case Kind::mac: {
            MacAddr mac;
            std::copy_n(value.octets.begin(), 6, mac.octets.begin());
            return bascule::format(mac);
        }
        case Kind::ip4: return bascule::format(Ip::v4(value.number(field)));
        case Kind::ip6: return bascule::format(Ip::v6(value.octets));
        case Kind::number: break;
    }
    const bool type = field == Field::eth_type || field == Field::protocol || field == Field::arp_protocol;
    return type ? fmt::format("{:#06x}", value.number(field)) : std::to_string(value.number(field));
}

Condition equals(Field field, const Value& value) {
    return {Among{field, Value::ones(field), {{value, value}}}, false};
}

std::string dump(const Policy& policy) {
    std::string out;
    for (std::size_t i = 0; i < policy.sections.size(); ++i) {
        const Section& section = policy.sections[i];
        const auto layer = std::ranges::find(policy.layers, i);
        if (layer == policy.layers.end() && section.decisions.empty()) {
            continue;  // says nothing
        }
        out += layer == policy.layers.end() ? fmt::format("{}:\n", section.name)
                                            : fmt::format("layer {}:\n", section.name);
        for (const Decision& decision : section.decisions) {
            std::string when;
            for (const Condition& condition : decision.when) {
                when += (when.empty() ? "if " : " and ") + format(condition);
            }
            std::string line = when + (when.empty() ? "" : ": ");
            line += kActions[static_cast<std::size_t>(decision.action)];
            if (decision.action == Action::enter) {
                line += " " + policy.sections[decision.section].name;
            }
            out += fmt::format("  {}{}\n", line, decision.origin.empty() ? "" : "  # " + decision.origin);
        }
    }
    return out;
}

Packet Packet::decode(ByteView frame) {
    Packet packet;
    ByteReader in(frame);
    MacAddr dst, src;
    dst.octets = in.array<6>();
    src.octets = in.array<6>();
    const std::uint16_t type = in.u16();
    if (!in.ok()) {
        return packet;
    }
    packet.set(Field::eth_dst, Value::of(dst));
    packet.set(Field::eth_src, Value::of(src));
    packet.put(Field::eth_type, type);
    std::uint16_t protocol = type;
    if (type == kTypeVlan || type == kTypeServiceVlan) {
        in.skip(2);
        protocol = in.u16();
        if (!in.ok()) {
            return packet;
        }
    }
    if (protocol < kSmallestType) {
        // What the kernel calls such frames (eth_type_trans): raw 802.3 or with an LLC header.
        ByteReader peek(in);
        protocol = peek.u16() == 0xffff ? 1 : 4;
    }
    packet.put(Field::protocol, protocol);
    switch (protocol) {
        case kTypeArp:
        case kTypeRarp: packet.decode_arp(in); break;
        case kTypeIp4: packet.decode_ip4(in); break;
        case kTypeIp6: packet.decode_ip6(in); break;
        default: break;
    }
    return packet;
}

void Packet::decode_arp(ByteReader in) {
    const std::uint16_t hardware = in.u16(), protocol = in.u16();
    const std::uint8_t hardware_size = in.u8(), protocol_size = in.u8();
    const std::uint16_t operation = in.u16();
    if (!in.ok()) {
        return;
    }
    put(Field::arp_hardware, hardware);
    put(Field::arp_protocol, protocol);
    put(Field::arp_operation, operation);
    if (hardware != 1 || protocol != kTypeIp4 || hardware_size != 6 || protocol_size != 4) {
        return;
    }
    MacAddr src, dst;
    src.octets = in.array<6>();
    const Ip src_ip = Ip::v4(in.u32());
    dst.octets = in.array<6>();
    const Ip dst_ip = Ip::v4(in.u32());
    if (!in.ok()) {
        return;
    }
    set(Field::arp_src_mac, Value::of(src));
    set(Field::arp_src_ip, Value::of(src_ip));
    set(Field::arp_dst_mac, Value::of(dst));
    set(Field::arp_dst_ip, Value::of(dst_ip));
}

void Packet::decode_ip4(ByteReader in) {
    const std::size_t room = in.left();
    const std::uint8_t version_length = in.u8(), service = in.u8();
    const std::uint16_t total = in.u16();
    in.skip(2);
    const std::uint16_t fragment = in.u16();
    in.skip(1);
    const std::uint8_t protocol = in.u8();
    in.skip(2);
    const Ip src = Ip::v4(in.u32()), dst = Ip::v4(in.u32());
    if (!in.ok()) {
        return;
    }
    put(Field::ip4_dscp, service >> 2);
    put(Field::ip4_protocol, protocol);
    set(Field::ip4_src, Value::of(src));
    set(Field::ip4_dst, Value::of(dst));
    const std::size_t header = static_cast<std::size_t>(version_length & 0x0f) * 4;
    if (version_length >> 4 != 4 || header < 20 || total < header || total > room || (fragment & 0x1fff) != 0) {
        return;
    }
    in.skip(header - 20);
    decode_transport(protocol, in);
}

void Packet::decode_ip6(ByteReader in) {
    const std::uint32_t first = in.u32();
    const std::uint16_t length = in.u16();
    std::uint8_t header = in.u8();
    in.skip(1);
    const Ip src = Ip::v6(in.array<16>()), dst = Ip::v6(in.array<16>());
    if (!in.ok()) {
        return;
    }
    set(Field::ip6_src, Value::of(src));
    set(Field::ip6_dst, Value::of(dst));
    if (first >> 28 != 6 || length > in.left()) {
        return;
    }
    while (is_extension(header) && header != 59) {
        const std::uint8_t next = in.u8(), size = in.u8();
        if (header == 44) {
            const std::uint16_t fragment = in.u16();
            in.skip(4);
            if (in.ok() && fragment >> 3 != 0) {
                if (!is_extension(next)) {
                    put(Field::ip6_protocol, next);
                }
                return;
            }
        } else {
            in.skip(header == 51 ? (size + 2U) * 4 - 2 : (size + 1U) * 8 - 2);
        }
        if (!in.ok()) {
            return;
        }
        header = next;
    }
    put(Field::ip6_protocol, header);
    decode_transport(header, in);
}

void Packet::decode_transport(std::uint8_t protocol, ByteReader in) {
    const std::uint16_t first = in.u16();
    if (!in.ok()) {
        return;
    }
    if (protocol == 58 && get(Field::ip6_protocol)) {
        put(Field::icmp6_type, first >> 8);
        put(Field::icmp6_code, first & 0xff);
    }
    if (is_port_protocol(protocol)) {
        put(Field::src_port, first);
        if (const std::uint16_t second = in.u16(); in.ok()) {
            put(Field::dst_port, second);
        }
    }
}

bool holds(const Condition& condition, const Packet& packet, const Tables& tables) {
    if (const auto* const among = std::get_if<Among>(&condition.test)) {
        const std::optional<Value>& value = packet.get(among->field);
        if (!value) {
            return false;
        }
        const Value masked = value->masked(among->mask);
        const bool found = std::ranges::any_of(
            among->values, [&](const Interval& i) { return i.first <= masked && masked <= i.last; });
        return found != condition.negated;
    }
    if (const auto* const listed = std::get_if<Listed>(&condition.test)) {
        Row row;
        for (const Field field : listed->fields) {
            if (!packet.get(field)) {
                return false;
            }
            row.push_back(*packet.get(field));
        }
        const auto table = tables.find(listed->table);
        return (table != tables.end() && table->second.contains(row)) != condition.negated;
    }
    const auto& same = std::get<Same>(condition.test);
    const auto &first = packet.get(same.first), &second = packet.get(same.second);
    return first && second && (*first == *second) != condition.negated;
}

Outcome evaluate(const Policy& policy, const Packet& packet, const Tables& tables) {
    Run run{policy, packet, tables};
    for (const std::size_t layer : policy.layers) {
        if (run.section(layer) == End::drop) {
            return {false, run.by};
        }
    }
    return {true, run.by};
}

}  // namespace bascule::kernel::policy
