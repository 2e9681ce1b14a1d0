// SPDX-License-Identifier: GPL-2.0-or-later
#include "nwfilter/match_text.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

namespace bascule::nwfilter {

namespace {

namespace policy = kernel::policy;
using policy::Field;

// How nft says a field. RARP has ARP's layout, but nft names only ARP's fields: there it is bytes of the
// network header, as bit offset and length.
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
    {Field::ip6_src, "ip6 saddr"},
    {Field::ip6_dst, "ip6 daddr"},
    {Field::ip6_protocol, "meta l4proto"},
    {Field::icmp6_type, "icmpv6 type"},
    {Field::icmp6_code, "icmpv6 code"},
    {Field::src_port, "th sport"},
    {Field::dst_port, "th dport"},
}};

constexpr std::uint32_t kRarp = 0x8035, kIp6 = 0x86dd;

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

bool is_transport(Field field) { return field >= Field::icmp6_type && field <= Field::dst_port; }
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
    Matcher(const std::vector<policy::Condition>& when, std::string_view device) : device_(device) {
        unsigned negations = 0;
        for (const policy::Condition& condition : when) {
            const auto* const among = std::get_if<policy::Among>(&condition.test);
            if (among != nullptr && (among->field == Field::protocol || among->field == Field::eth_type) &&
                !condition.negated && among->values.size() == 1) {
                const std::uint32_t type = among->values[0].first.number(among->field);
                rarp_ = rarp_ || type == kRarp;
                ip6_ = ip6_ || type == kIp6;
            }
            negations += among != nullptr && condition.negated ? 1 : 0;
        }
        as_ranges_ = negations > 1;
    }

    bool goes_last(const policy::Condition& condition) const {
        const auto* const among = std::get_if<policy::Among>(&condition.test);
        return rarp_ && among != nullptr && among->field == Field::protocol;
    }

    // One text, or several of which any is enough.
    std::vector<std::string> of(const policy::Condition& condition) {
        if (const auto* const same = std::get_if<policy::Same>(&condition.test)) {
            return same_texts(*same, condition.negated, layout_for({same->first, same->second}));
        }
        std::vector<Field> fields;
        std::string text;
        if (const auto* const among = std::get_if<policy::Among>(&condition.test)) {
            fields = {among->field};
            text = among_text(*among, condition.negated);
        } else {
            const auto& listed = std::get<policy::Listed>(condition.test);
            fields = listed.fields;
            text = device_;
            for (const Field field : fields) {
                text += " . " + name(field);
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
        return rarp_ && text.bits != 0 ? fmt::format("@nh,{},{}", text.offset, text.bits) : std::string(text.text);
    }

    bool is_raw(Field field) const { return rarp_ && kFieldTexts[static_cast<std::size_t>(field)].bits != 0; }

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

    std::string_view device_;
    bool rarp_ = false;
    bool ip6_ = false;
    // nft 1.0.6 makes one comparison of two "!=" about neighbouring bytes, and so "not both" of "neither"; not of
    // ranges.
    bool as_ranges_ = false;
    bool layout_said_ = false;
    bool whole_said_ = false;
};

}  // namespace

std::vector<std::string> match_texts(const std::vector<policy::Condition>& when, std::string_view device) {
    Matcher matcher(when, device);
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
        default: return "inet_service";
    }
}

}  // namespace bascule::nwfilter
