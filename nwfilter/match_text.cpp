// SPDX-License-Identifier: GPL-2.0-or-later
#include "nwfilter/match_text.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

namespace bascule::nwfilter {

namespace {

namespace policy = kernel::policy;
using policy::Field;

// How nft says a field. It has no names for those of STP. RARP has ARP's layout, but nft names only ARP's fields: there
// it is bytes of the network header, as bit offset and length.
struct FieldText {
    Field field;
    std::string_view text;
    unsigned offset = 0, bits = 0;
};

constexpr std::array<FieldText, policy::kFields> kFieldTexts{{
    {Field::eth_src, "ether saddr"},
    {Field::eth_dst, "ether daddr"},
    {Field::eth_type, "ether type"},
    {Field::protocol, "meta protocol"},
    {Field::vlan_id, "vlan id"},
    {Field::vlan_type, "vlan type"},
    {Field::stp_type, {}, 48, 8},
    {Field::stp_flags, {}, 56, 8},
    {Field::stp_root_priority, {}, 64, 16},
    {Field::stp_root_address, {}, 80, 48},
    {Field::stp_root_cost, {}, 128, 32},
    {Field::stp_sender_priority, {}, 160, 16},
    {Field::stp_sender_address, {}, 176, 48},
    {Field::stp_port, {}, 224, 16},
    {Field::stp_age, {}, 240, 16},
    {Field::stp_max_age, {}, 256, 16},
    {Field::stp_hello_time, {}, 272, 16},
    {Field::stp_forward_delay, {}, 288, 16},
    {Field::arp_hardware, "arp htype", 0, 16},
    {Field::arp_protocol, "arp ptype", 16, 16},
    {Field::arp_operation, "arp operation", 48, 16},
    {Field::arp_src_mac, "arp saddr ether", 64, 48},
    {Field::arp_src_ip, "arp saddr ip", 112, 32},
    {Field::arp_dst_mac, "arp daddr ether", 144, 48},
    {Field::arp_dst_ip, "arp daddr ip", 192, 32},
    {Field::ip4_src, "ip saddr"},
    {Field::ip4_dst, "ip daddr"},
    {Field::ip4_protocol, "ip protocol"},
    {Field::ip4_dscp, "ip dscp"},
    {Field::icmp4_type, "icmp type"},
    {Field::icmp4_code, "icmp code"},
    {Field::ip6_src, "ip6 saddr"},
    {Field::ip6_dst, "ip6 daddr"},
    {Field::ip6_protocol, "meta l4proto"},
    {Field::ip6_dscp, "ip6 dscp"},
    {Field::icmp6_type, "icmpv6 type"},
    {Field::icmp6_code, "icmpv6 code"},
    {Field::nd_target, kNeighbourTarget},
    {Field::src_port, "th sport"},
    {Field::dst_port, "th dport"},
    {Field::tcp_flags, "tcp flags"},
    {Field::ct_state, "ct state"},
    {Field::ct_direction, "ct direction"},
    {Field::ct_count, "ct count"},
}};

constexpr std::uint32_t kRarp = 0x8035, kIp6 = 0x86dd, kLlc = 4;

bool is_address(Field field) {
    switch (field) {
        case Field::arp_src_ip:
        case Field::arp_dst_ip:
        case Field::ip4_src:
        case Field::ip4_dst:
        case Field::ip6_src:
        case Field::ip6_dst: return true;
        default: return false;
    }
}

bool is_transport(Field field) {
    return field == Field::icmp4_type || field == Field::icmp4_code ||
           (field >= Field::icmp6_type && field <= Field::tcp_flags);
}
bool is_stp(Field field) { return field >= Field::stp_type && field <= Field::stp_forward_delay; }
bool is_arp_address(Field field) { return field >= Field::arp_src_mac && field <= Field::arp_dst_ip; }

std::string type_text(std::uint32_t type) {
    switch (type) {
        case 0x0800: return "ip";
        case 0x0806: return "arp";
        case 0x86dd: return "ip6";
        case 0x8100: return "8021q";
        case 0x88a8: return "8021ad";
        default: return fmt::format("{:#06x}", type);
    }
}

// The last value that one masked or plain interval takes in.
policy::Value last_of(const policy::Among& among) {
    policy::Value last = among.values[0].last;
    const policy::Value ones = policy::Value::ones(among.field);
    for (std::size_t i = 0; i < last.octets.size(); ++i) {
        last.octets[i] = static_cast<std::uint8_t>(last.octets[i] | (ones.octets[i] & ~among.mask.octets[i]));
    }
    return last;
}

// Of a mask of leading ones.
unsigned length_of(const policy::Value& mask) {
    unsigned length = 0;
    while (length < 128 && (mask.octets[length / 8] & (0x80U >> (length % 8))) != 0) {
        ++length;
    }
    return length;
}

class Matcher {
public:
    Matcher(const std::vector<policy::Condition>& when, const PortKey& key) : key_(key) {
        unsigned negations = 0;
        for (const policy::Condition& condition : when) {
            const auto* const among = std::get_if<policy::Among>(&condition.test);
            if (among != nullptr && (among->field == Field::protocol || among->field == Field::eth_type) &&
                !condition.negated && among->values.size() == 1) {
                const std::uint32_t type = among->values[0].first.number(among->field);
                rarp_ = rarp_ || type == kRarp;
                ip6_ = ip6_ || type == kIp6;
            }
            stp_ = stp_ || (among != nullptr && is_stp(among->field));
            configuration_ =
                configuration_ || (among != nullptr && is_stp(among->field) && among->field != Field::stp_type);
            negations += among != nullptr && condition.negated ? 1 : 0;
        }
        as_ranges_ = negations > 1;
    }

    bool goes_last(const policy::Condition& condition) const {
        const auto* const among = std::get_if<policy::Among>(&condition.test);
        return rarp_ && among != nullptr && among->field == Field::protocol;
    }

    // BPDUs are asked for, and those of type 0.
    bool stp() const { return stp_; }
    bool of_configuration() const { return configuration_; }

    // One text, or several of which any is enough.
    std::vector<std::string> of(const policy::Condition& condition) {
        if (const auto* const same = std::get_if<policy::Same>(&condition.test)) {
            return same_texts(*same, condition.negated, layout_for({same->first, same->second}));
        }
        std::vector<Field> fields;
        std::string text;
        if (const auto* const option = std::get_if<policy::TcpOption>(&condition.test)) {
            fields = {Field::tcp_flags};
            // Missing is it also from what nft cannot make out to be TCP.
            text = condition.negated ? fmt::format("meta l4proto 6 tcp option {} missing", option->kind)
                                     : fmt::format("tcp option {} exists", option->kind);
        } else if (const auto* const among = std::get_if<policy::Among>(&condition.test)) {
            fields = {among->field};
            text = among_text(*among, condition.negated);
        } else {
            const auto& listed = std::get<policy::Listed>(condition.test);
            fields = listed.fields;
            text = listed.shared ? std::string_view() : key_.expression;
            for (const Field field : fields) {
                text += (text.empty() ? "" : " . ") + name(field);
            }
            text += fmt::format(" {}@{}", condition.negated ? "!= " : "", listed.table);
        }
        const std::string layout = layout_for(fields);
        std::vector<std::string> out = whole_for(fields);
        for (std::string& before : out) {
            before += layout + text;
        }
        return out;
    }

private:
    std::string name(Field field) const {
        const FieldText& text = kFieldTexts[static_cast<std::size_t>(field)];
        return is_raw(field) && field != Field::nd_target ? fmt::format("@nh,{},{}", text.offset, text.bits)
                                                          : std::string(text.text);
    }

    bool is_raw(Field field) const {
        return is_stp(field) || field == Field::nd_target ||
               (rarp_ && kFieldTexts[static_cast<std::size_t>(field)].bits != 0);
    }

    // Later fragments have no transport header. The bridge family's rules read one there all the same (seen with
    // Linux 6.18: `th dport` matches the payload of a fragment), so they are told; once a rule.
    std::vector<std::string> whole_for(const std::vector<Field>& fields) {
        if (whole_said_ || std::ranges::none_of(fields, is_transport)) {
            return {""};
        }
        whole_said_ = true;
        if (ip6_) {
            return {"exthdr frag missing ", "frag frag-off 0 "};
        }
        return {"ip frag-off & 0x1fff == 0 "};
    }

    // The addresses of ARP are where they are only for Ethernet and IPv4 (RFC 826): said once a rule.
    std::string layout_for(const std::vector<Field>& fields) {
        if (std::ranges::find(fields, Field::nd_target) != fields.end()) {
            return "icmpv6 type { 135, 136 } ";  // others have something else there
        }
        if (std::ranges::any_of(fields, is_stp) && !layout_said_) {
            // LLC's 42 42 03, BPDU protocol and version 0.
            layout_said_ = true;
            return "@nh,0,48 0x424203000000 ";
        }
        if (layout_said_ || std::ranges::none_of(fields, is_arp_address)) {
            return {};
        }
        layout_said_ = true;
        return rarp_ ? "@nh,0,48 0x000108000604 " : "arp htype 1 arp ptype ip arp hlen 6 arp plen 4 ";
    }

    std::string value(Field field, const policy::Value& v) const {
        if (is_raw(field)) {
            std::string hex = "0x";
            for (unsigned i = 0; i < policy::bits_of(field) / 8; ++i) {
                hex += fmt::format("{:02x}", v.octets[i]);
            }
            return hex;
        }
        if (field == Field::eth_type || field == Field::protocol) {
            return type_text(v.number(field));
        }
        return policy::format(field, v);
    }

    std::string among_text(const policy::Among& among, bool negated) const {
        const Field field = among.field;
        if (field >= Field::ct_state) {
            return tracking_text(among, negated);
        }
        const bool whole = among.mask == policy::Value::ones(field);
        const bool prefix = !whole && is_address(field) && !is_raw(field);
        if (negated && as_ranges_ && field != Field::protocol && among.values.size() == 1 && (whole || prefix)) {
            const auto bound = [&](const policy::Value& v) {
                return field == Field::eth_type ? policy::format(field, v) : value(field, v);
            };
            return fmt::format("{} != {}-{}", name(field), bound(among.values[0].first), bound(last_of(among)));
        }
        std::string values;
        for (const policy::Interval& interval : among.values) {
            values += values.empty() ? "" : ", ";
            values += value(field, interval.first);
            if (interval.last != interval.first) {
                values += "-" + value(field, interval.last);
            } else if (prefix) {
                values += fmt::format("/{}", length_of(among.mask));
            }
        }
        if (among.values.size() > 1) {
            values = "{ " + values + " }";
        }
        const bool masked = !whole && !prefix;
        const std::string mask = masked ? " & " + value(field, among.mask) : std::string();
        const std::string_view op = negated ? " != " : masked && among.values.size() == 1 ? " == " : " ";
        return name(field) + mask + std::string(op) + values;
    }

    std::string tracking_text(const policy::Among& among, bool negated) const {
        const Field field = among.field;
        const std::uint32_t first = among.values[0].first.number(field);
        if (field == Field::ct_count) {
            // One counter each port: the name makes the chain of one port another one than the next port's.
            return fmt::format("{} ct count {}{}", key_.only, negated ? "" : "over ", first - 1);
        }
        if (field == Field::ct_direction) {
            return first == 0 ? "ct direction original" : "ct direction reply";
        }
        constexpr std::array<std::pair<std::uint32_t, std::string_view>, 4> kStates{
            {{policy::ct_state::kInvalid, "invalid"},
             {policy::ct_state::kEstablished, "established"},
             {policy::ct_state::kRelated, "related"},
             {policy::ct_state::kNew, "new"}}};
        std::string out;
        for (const auto& [bit, word] : kStates) {
            const auto is = [&, want = bit](const policy::Interval& i) { return i.first.number(field) == want; };
            if (std::ranges::any_of(among.values, is)) {
                out += (out.empty() ? "ct state " : ",") + std::string(word);
            }
        }
        return out;
    }

    // nft compares a field with constants only. Two addresses are the same when all four octets are, and an
    // octet pair is the same when it is one of 256.
    std::vector<std::string> same_texts(const policy::Same& same, bool negated, const std::string& layout) const {
        static const std::string kPairs = [] {
            std::string pairs;
            for (unsigned i = 0; i < 256; ++i) {
                pairs += fmt::format("{}{} . {}", i == 0 ? "" : ", ", i, i);
            }
            return "{ " + pairs + " }";
        }();
        std::vector<std::string> out;
        std::string all = layout;
        for (unsigned octet = 0; octet < 4; ++octet) {
            const auto bytes = [&](Field field) {
                return fmt::format("@nh,{},8", kFieldTexts[static_cast<std::size_t>(field)].offset + octet * 8);
            };
            const std::string pair =
                fmt::format("{} . {} {}{}", bytes(same.first), bytes(same.second), negated ? "!= " : "", kPairs);
            out.push_back(layout + pair);
            all += (octet == 0 ? "" : " ") + pair;
        }
        return negated ? out : std::vector{all};
    }

    const PortKey& key_;
    bool rarp_ = false;
    bool ip6_ = false;
    // nft 1.0.6 makes one comparison of two "!=" about neighbouring bytes, and so "not both" of "neither"; not of
    // ranges.
    bool as_ranges_ = false;
    bool stp_ = false, configuration_ = false;
    bool layout_said_ = false;
    bool whole_said_ = false;
};

}  // namespace

std::vector<std::string> match_texts(const std::vector<policy::Condition>& when, const PortKey& key) {
    Matcher matcher(when, key);
    // `nft list` of version 1.0.6 aborts on rules that say `meta protocol 0x8035` before masked or ranged bytes
    // of the header (payload_expr_complete), but not on those that say it after them.
    std::vector<const policy::Condition*> ordered;
    for (const bool last : {false, true}) {
        for (const policy::Condition& condition : when) {
            if (matcher.goes_last(condition) == last) {
                ordered.push_back(&condition);
            }
        }
    }
    std::vector<std::string> out{""};
    for (const policy::Condition* const condition : ordered) {
        std::vector<std::string> next;
        const std::vector<std::string> texts = matcher.of(*condition);
        for (const std::string& before : out) {
            for (const std::string& text : texts) {
                next.push_back(before.empty() ? text : before + " " + text);
            }
        }
        out = std::move(next);
    }
    if (matcher.stp()) {
        // Behind the bytes, for the reason above.
        for (std::string& text : out) {
            text += fmt::format("{} meta protocol {:#06x}", matcher.of_configuration() ? " @nh,48,8 0x00" : "", kLlc);
        }
    }
    return out;
}

std::string_view column_type(Field field) {
    switch (field) {
        case Field::eth_src:
        case Field::eth_dst:
        case Field::arp_src_mac:
        case Field::arp_dst_mac: return "ether_addr";
        case Field::arp_src_ip:
        case Field::arp_dst_ip:
        case Field::ip4_src:
        case Field::ip4_dst: return "ipv4_addr";
        case Field::ip6_src:
        case Field::ip6_dst: return "ipv6_addr";
        case Field::nd_target: return kNeighbourTarget;
        default: return "inet_service";
    }
}

}  // namespace bascule::nwfilter
