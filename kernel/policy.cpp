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
    {Field::vlan_id, "vlan.id", 12, Kind::number},
    {Field::vlan_type, "vlan.type", 16, Kind::number},
    {Field::stp_type, "stp.type", 8, Kind::number},
    {Field::stp_flags, "stp.flags", 8, Kind::number},
    {Field::stp_root_priority, "stp.root_priority", 16, Kind::number},
    {Field::stp_root_address, "stp.root_address", 48, Kind::mac},
    {Field::stp_root_cost, "stp.root_cost", 32, Kind::number},
    {Field::stp_sender_priority, "stp.sender_priority", 16, Kind::number},
    {Field::stp_sender_address, "stp.sender_address", 48, Kind::mac},
    {Field::stp_port, "stp.port", 16, Kind::number},
    {Field::stp_age, "stp.age", 16, Kind::number},
    {Field::stp_max_age, "stp.max_age", 16, Kind::number},
    {Field::stp_hello_time, "stp.hello_time", 16, Kind::number},
    {Field::stp_forward_delay, "stp.forward_delay", 16, Kind::number},
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
    {Field::icmp4_type, "icmp4.type", 8, Kind::number},
    {Field::icmp4_code, "icmp4.code", 8, Kind::number},
    {Field::ip6_src, "ip6.src", 128, Kind::ip6},
    {Field::ip6_dst, "ip6.dst", 128, Kind::ip6},
    {Field::ip6_protocol, "ip6.protocol", 8, Kind::number},
    {Field::ip6_dscp, "ip6.dscp", 6, Kind::number},
    {Field::icmp6_type, "icmp6.type", 8, Kind::number},
    {Field::icmp6_code, "icmp6.code", 8, Kind::number},
    {Field::nd_target, "nd.target", 128, Kind::ip6},
    {Field::src_port, "src_port", 16, Kind::number},
    {Field::dst_port, "dst_port", 16, Kind::number},
    {Field::tcp_flags, "tcp.flags", 8, Kind::number},
    {Field::ct_state, "ct.state", 8, Kind::number},
    {Field::ct_direction, "ct.direction", 8, Kind::number},
    {Field::ct_count, "ct.count", 32, Kind::number},
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
    if (const auto* const option = std::get_if<TcpOption>(&condition.test)) {
        return fmt::format("tcp.option {} {}", is, option->kind);
    }
    const auto& same = std::get<Same>(condition.test);
    return fmt::format("{} {} {}", name_of(same.first), is, name_of(same.second));
}

constexpr std::array<std::string_view, 6> kActions{"accept", "drop", "reject", "leave", "next", "enter"};

enum class End { accept, drop, leave, none };

struct Run {
    const Policy& policy;
    const Packet& packet;
    const Tables& tables;
    Outcome outcome{};

    End section(std::size_t index) {
        for (const Decision& decision : policy.sections[index].decisions) {
            const bool met = std::ranges::all_of(
                decision.when, [&](const Condition& condition) { return holds(condition, packet, tables); });
            if (!met) {
                continue;
            }
            outcome.path.push_back(&decision);
            switch (decision.action) {
                case Action::accept: outcome.by = &decision; return End::accept;
                case Action::drop:
                case Action::reject: outcome.by = &decision; return End::drop;
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
    if (bits % 8 != 0) {
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

std::string describe(const Decision& decision, const Policy& policy) {
    std::string when;
    for (const Condition& condition : decision.when) {
        when += (when.empty() ? "if " : " and ") + format(condition);
    }
    std::string line = when + (when.empty() ? "" : ": ");
    line += kActions[static_cast<std::size_t>(decision.action)];
    if (decision.action == Action::enter) {
        line += " " + policy.sections[decision.section].name;
    }
    return line + (decision.origin.empty() ? "" : "  # " + decision.origin);
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
            out += "  " + describe(decision, policy) + "\n";
        }
    }
    return out;
}

bool holds(const Condition& condition, const Packet& packet, const Tables& tables) {
    if (const auto* const option = std::get_if<TcpOption>(&condition.test)) {
        return packet.tcp_options() && packet.tcp_options()->test(option->kind) != condition.negated;
    }
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
            run.outcome.pass = false;
            break;
        }
    }
    return std::move(run.outcome);
}

}  // namespace bascule::kernel::policy
