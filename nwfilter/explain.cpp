// SPDX-License-Identifier: GPL-2.0-or-later
#include "nwfilter/explain.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <optional>
#include <sstream>

#include <fmt/format.h>

#include "base/bytes.h"
#include "nwfilter/compile.h"
#include "nwfilter/flatten.h"
#include "nwfilter/protocols.h"

namespace bascule::nwfilter {

namespace {

namespace policy = kernel::policy;
using policy::Field;

constexpr std::string_view kForm =
    "expected 'in' or 'out', then what it is and its fields: out tcp src=10.0.0.5 dst=10.0.0.1 dport=22";
constexpr std::size_t kMaxWords = 1U << 15;  // a jumbo frame in hexadecimal fits
constexpr std::size_t kMaxLines = 2000;      // of a difference: its table grows with their square

// "tcp" and the like, as the elements of rules are called, of which the family follows from the addresses.
struct Kind {
    std::string_view word;
    std::uint16_t type;      // 0: IPv4 or IPv6
    std::uint8_t transport;  // 0: none
};
constexpr std::array<Kind, 15> kKinds{{{"tcp", 0, 6},
                                       {"udp", 0, 17},
                                       {"udplite", 0, 136},
                                       {"sctp", 0, 132},
                                       {"dccp", 0, 33},
                                       {"esp", 0, 50},
                                       {"ah", 0, 51},
                                       {"icmp", 0x0800, 1},
                                       {"igmp", 0x0800, 2},
                                       {"icmpv6", 0x86dd, 58},
                                       {"ip", 0x0800, 0},
                                       {"ipv6", 0x86dd, 0},
                                       {"arp", 0x0806, 0},
                                       {"rarp", 0x8035, 0},
                                       {"stp", 4, 0}}};

std::optional<policy::Value> parse_field(Field field, std::string_view text) {
    if (const auto mac = parse_mac(text); mac && policy::bits_of(field) == 48) {
        return policy::Value::of(*mac);
    }
    if (const auto ip = parse_ip(text); ip && ip->bits() == policy::bits_of(field)) {
        return policy::Value::of(*ip);
    }
    const bool hex = text.starts_with("0x");
    std::uint32_t number = 0;
    const std::string_view digits = hex ? text.substr(2) : text;
    const auto [stop, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), number, hex ? 16 : 10);
    const unsigned bits = policy::bits_of(field);
    if (ec != std::errc() || stop != digits.data() + digits.size() || bits > 32 || (bits < 32 && number >> bits != 0)) {
        return std::nullopt;
    }
    return policy::Value::of(field, number);
}

std::optional<Bytes> parse_hex(std::string_view text) {
    Bytes out;
    if (text.size() % 2 != 0) {
        return std::nullopt;
    }
    for (std::size_t i = 0; i < text.size(); i += 2) {
        unsigned octet = 0;
        const auto [stop, ec] = std::from_chars(text.data() + i, text.data() + i + 2, octet, 16);
        if (ec != std::errc() || stop != text.data() + i + 2) {
            return std::nullopt;
        }
        out.push_back(static_cast<std::byte>(octet));
    }
    return out;
}

class Words {
public:
    Words(std::string_view text, const MacAddr& own) : own_(own), text_(text) {}

    Result<Question> read() {
        if (text_.size() > kMaxWords) {
            return fail(Code::invalid_argument, fmt::format("packet: more than {} characters", kMaxWords));
        }
        std::istringstream words{std::string(text_)};
        std::string word;
        words >> word;
        if (word != "in" && word != "out") {
            return fail(Code::invalid_argument, fmt::format("packet '{}': {}", word, kForm));
        }
        question_.out = word == "out";
        while (words >> word) {
            const auto equals = word.find('=');
            if (equals != std::string::npos) {
                const std::string name = word.substr(0, equals);
                if (!values_.emplace(name, word.substr(equals + 1)).second) {
                    return fail(Code::invalid_argument, fmt::format("packet: {}= is given twice", name));
                }
            } else if (word == "reply") {
                values_["reply"] = "1";
            } else {
                TRY_OK(be(word));
            }
        }
        TRY_OK(fill());
        return std::move(question_);
    }

private:
    Result<void> be(const std::string& word) {
        const auto kind = std::ranges::find(kKinds, word, &Kind::word);
        if (kind == kKinds.end() || kind_ != nullptr) {
            return fail(Code::invalid_argument, fmt::format("packet: '{}': {}", word, kForm));
        }
        kind_ = &*kind;
        return {};
    }

    Result<void> fill() {
        if (const auto frame = values_.find("frame"); frame != values_.end()) {
            const auto octets = parse_hex(frame->second);
            if (!octets || octets->empty()) {
                return fail(Code::invalid_argument, "packet: frame= needs octets in hexadecimal");
            }
            if (kind_ != nullptr) {
                return fail(Code::invalid_argument,
                            fmt::format("packet: '{}' beside frame=, which says what it is", kind_->word));
            }
            question_.packet = policy::Packet::decode(*octets);
            values_.erase(frame);
        } else {
            invent();
        }
        set(Field::ct_state, policy::ct_state::kNew);
        set(Field::ct_direction, 0);
        set(Field::ct_count, 1);
        for (const auto& [name, text] : values_) {
            TRY_OK(put(name, text));
        }
        return {};
    }

    void invent() {
        const MacAddr other{{0x02, 0, 0, 0, 0, 0x01}};
        question_.packet.set(Field::eth_src, policy::Value::of(question_.out ? own_ : other));
        question_.packet.set(Field::eth_dst, policy::Value::of(question_.out ? other : own_));
        for (const std::string_view name : {"src", "dst"}) {
            const auto found = values_.find(name);
            six_ = six_ || (found != values_.end() && found->second.find(':') != std::string::npos);
        }
        std::uint16_t type = six_ ? 0x86dd : 0x0800;
        if (kind_ != nullptr && kind_->type != 0) {
            type = kind_->type;
            six_ = type == 0x86dd;
        }
        arp_ = type == 0x0806 || type == 0x8035;
        set(Field::eth_type, values_.contains("vlan") ? 0x8100U : type == 4 ? 38U : type);
        set(Field::protocol, type);
        if (values_.contains("vlan")) {
            set(Field::vlan_type, type);
        }
        if (arp_) {
            set(Field::arp_hardware, 1);
            set(Field::arp_protocol, 0x0800);
            set(Field::arp_operation, 1);
            question_.packet.set(Field::arp_src_mac, policy::Value::of(question_.out ? own_ : other));
        } else if (kind_ != nullptr && kind_->transport != 0) {
            set(six_ ? Field::ip6_protocol : Field::ip4_protocol, kind_->transport);
        }
    }

    void set(Field field, std::uint32_t number) { question_.packet.set(field, policy::Value::of(field, number)); }

    std::optional<Field> field_of(std::string_view name) const {
        const bool icmp4 = kind_ != nullptr && kind_->transport == 1;
        const std::map<std::string_view, Field> words{{"srcmac", Field::eth_src},
                                                      {"dstmac", Field::eth_dst},
                                                      {"src", arp_   ? Field::arp_src_ip
                                                              : six_ ? Field::ip6_src
                                                                     : Field::ip4_src},
                                                      {"dst", arp_   ? Field::arp_dst_ip
                                                              : six_ ? Field::ip6_dst
                                                                     : Field::ip4_dst},
                                                      {"sport", Field::src_port},
                                                      {"dport", Field::dst_port},
                                                      {"type", icmp4 ? Field::icmp4_type : Field::icmp6_type},
                                                      {"code", icmp4 ? Field::icmp4_code : Field::icmp6_code},
                                                      {"operation", Field::arp_operation},
                                                      {"vlan", Field::vlan_id},
                                                      {"state", Field::ct_state},
                                                      {"reply", Field::ct_direction},
                                                      {"connections", Field::ct_count}};
        if (const auto word = words.find(name); word != words.end()) {
            return word->second;
        }
        for (std::size_t i = 0; i < policy::kFields; ++i) {
            if (policy::name_of(static_cast<Field>(i)) == name) {
                return static_cast<Field>(i);
            }
        }
        return std::nullopt;
    }

    Result<void> put(const std::string& name, const std::string& text) {
        const auto field = field_of(name);
        if (!field) {
            return fail(Code::invalid_argument, fmt::format("packet: there is no field '{}'; {}", name, kForm));
        }
        auto value = parse_field(*field, text);
        if (*field == Field::ct_state) {
            const auto states = parse_value(row(find_row(Protocol::all, "state")), text);
            const auto* const bits = states ? std::get_if<States>(&*states) : nullptr;
            value = bits == nullptr ? std::nullopt : std::optional(policy::Value::of(*field, bits->bits));
        }
        if (*field == Field::arp_operation && !value) {
            const auto named = parse_value(row(find_row(Protocol::arp, "opcode")), text);
            const auto* const number = named ? std::get_if<Number>(&*named) : nullptr;
            value = number == nullptr ? std::nullopt : std::optional(policy::Value::of(*field, number->value));
        }
        if (!value) {
            return fail(Code::invalid_argument,
                        fmt::format("packet: {}='{}' is no value of {}", name, text, policy::name_of(*field)));
        }
        question_.packet.set(*field, *value);
        return {};
    }

    const MacAddr& own_;
    std::string_view text_;
    Question question_;
    const Kind* kind_ = nullptr;
    bool six_ = false, arp_ = false;
    std::map<std::string, std::string, std::less<>> values_;
};

// The rows that the port has, with those of learned addresses.
policy::Tables rows_of(const Compiled& compiled, const std::vector<Ip>& learned) {
    policy::Tables rows = compiled.rows;
    for (const auto& [table, awaiting] : compiled.awaiting) {
        const TableDef& def = compiled.tables.at(table);
        for (const AwaitingRow& row : awaiting) {
            for (const Ip& address : learned) {
                policy::Row complete;
                bool fits = true;
                for (std::size_t i = 0; i < row.size(); ++i) {
                    fits = fits && (row[i] || policy::bits_of(def.fields[i]) == address.bits());
                    complete.push_back(row[i].value_or(policy::Value::of(address)));
                }
                if (fits) {
                    rows[table].insert(std::move(complete));
                }
            }
        }
    }
    return rows;
}

std::vector<std::string> lines_of(std::string_view text) {
    std::vector<std::string> out;
    std::istringstream in{std::string(text)};
    for (std::string line; std::getline(in, line);) {
        out.push_back(line);
    }
    return out;
}

}  // namespace

Result<Question> parse_question(std::string_view words, const MacAddr& own) { return Words(words, own).read(); }

Result<std::string> explain(const Port& port, const Lookup& lookup, const std::vector<Ip>& learned,
                            std::string_view packet) {
    TRY(const Question question, parse_question(packet, port.mac));
    TRY(const Flat flat, flatten(port.filter, lookup));
    TRY(const Compiled compiled, compile(flat, port, Values::tables));
    const policy::Policy& p = question.out ? compiled.out.policy : compiled.in.policy;
    const policy::Outcome outcome = policy::evaluate(p, question.packet, rows_of(compiled, learned));
    const bool reject = outcome.by != nullptr && outcome.by->action == policy::Action::reject;
    std::string out = fmt::format("{} the guest at {}: {}\n", question.out ? "from" : "to", port.ifname.str(),
                                  outcome.pass ? "passes"
                                  : reject     ? "is rejected"
                                               : "is dropped");
    for (const policy::Decision* const decision : outcome.path) {
        out += "  " + policy::describe(*decision, p) + "\n";
    }
    if (outcome.by == nullptr) {
        out += fmt::format("  no rule of filter {} decides about it\n", port.filter);
    }
    return out;
}

Result<std::string> describe(const Port& port, const Lookup& lookup) {
    TRY(const Flat flat, flatten(port.filter, lookup));
    TRY(const Compiled compiled, compile(flat, port, Values::tables));
    return "from the guest:\n" + policy::dump(compiled.out.policy) + "to the guest:\n" +
           policy::dump(compiled.in.policy);
}

std::string difference(std::string_view before, std::string_view after) {
    std::vector<std::string> a = lines_of(before), b = lines_of(after);
    a.resize(std::min(a.size(), kMaxLines));
    b.resize(std::min(b.size(), kMaxLines));
    // Longest common subsequence, from the ends.
    std::vector<std::vector<std::size_t>> common(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
    for (std::size_t i = a.size(); i-- > 0;) {
        for (std::size_t j = b.size(); j-- > 0;) {
            common[i][j] = a[i] == b[j] ? common[i + 1][j + 1] + 1 : std::max(common[i + 1][j], common[i][j + 1]);
        }
    }
    std::string out;
    std::vector<std::string> headings(2);  // the direction, the section
    const auto change = [&](char sign, const std::string& line) {
        for (std::string& heading : headings) {
            out += heading.empty() ? "" : "  " + heading + "\n";
            heading.clear();
        }
        out += fmt::format("{} {}\n", sign, line);
    };
    for (std::size_t i = 0, j = 0; i < a.size() || j < b.size();) {
        if (i < a.size() && j < b.size() && a[i] == b[j]) {
            if (a[i].ends_with(" the guest:")) {
                headings = {a[i], {}};
            } else if (!a[i].starts_with(' ')) {
                headings[1] = a[i];
            }
            ++i;
            ++j;
        } else if (i < a.size() && (j == b.size() || common[i + 1][j] >= common[i][j + 1])) {
            change('-', a[i++]);
        } else {
            change('+', b[j++]);
        }
    }
    return out;
}

}  // namespace bascule::nwfilter
