// SPDX-License-Identifier: GPL-2.0-or-later
#include "nwfilter/conditions.h"

#include <algorithm>
#include <functional>
#include <map>

#include <fmt/format.h>

#include "nwfilter/protocols.h"

namespace bascule::nwfilter {

namespace {

namespace policy = kernel::policy;
using policy::Field;

constexpr std::uint32_t kVlan = 0x8100, kServiceVlan = 0x88a8;
constexpr std::uint16_t kIp6 = 0x86dd;

// What an attribute's mask leaves of a field: "24" or ff:ff:ff:00:00:00.
policy::Value to_mask(Field field, const Value& mask) {
    if (const auto* const mac = std::get_if<MacAddr>(&mask)) {
        return policy::Value::of(*mac);
    }
    const unsigned length = std::get<Number>(mask).value;
    return policy::Value::of(netmask(length, policy::bits_of(field) == 32 ? IpFamily::v4 : IpFamily::v6));
}

constexpr std::string_view kRarpColumn = "rmac";

// Type letters of look-up tables; empty: values of this field cannot be in one.
std::string_view column(Field field) {
    switch (field) {
        case Field::eth_src:
        case Field::eth_dst:
        case Field::arp_src_mac:
        case Field::arp_dst_mac: return "mac";
        case Field::arp_src_ip:
        case Field::arp_dst_ip:
        case Field::ip4_src:
        case Field::ip4_dst: return "ip4";
        case Field::ip6_src:
        case Field::ip6_dst: return "ip6";
        case Field::nd_target: return "nd";
        case Field::src_port:
        case Field::dst_port: return "port";
        default: return {};
    }
}

// One attribute with its mask or range end, and where its value comes from.
struct Term {
    const Attribute* attribute = nullptr;
    const AttributeRow* at = nullptr;
    const Attribute* modifier = nullptr;
    const Bound* bound = nullptr;           // none: a literal
    const Bound* modifier_bound = nullptr;  // none: a literal or nothing
    Field field{};
};

class RuleCompiler {
public:
    RuleCompiler(const FlatRule& rule, const Place& place, std::vector<Bound> bounds, Compiled& to)
        : rule_(rule), place_(place), bounds_(std::move(bounds)), to_(to) {}

    Result<Alternatives> run() {
        collect_terms();
        Alternatives out;
        const bool from_port = std::ranges::any_of(bounds_, &Bound::from_port);
        const bool learned = std::ranges::any_of(bounds_, &Bound::learned);
        // A count of connections belongs to one port.
        out.own = std::ranges::any_of(terms_, [](const Term& t) { return t.at->role == Role::connections; });
        if (learned && !place_.tables) {
            return fail(Code::internal, fmt::format("{}: IP has no value to put in place", rule_.origin()));
        }
        to_.learns_ip = to_.learns_ip || learned;
        if (!from_port || !place_.tables || !can_look_up()) {
            if (learned) {
                return fail(Code::unsupported_config,
                            fmt::format("{}: uses IP in a way that cannot follow a learned address (a mask, a range, "
                                        "RARP); give the parameter IP",
                                        rule_.origin()));
            }
            out.own = out.own || from_port;
            for (const Bound& bound : bounds_) {
                if (bound.from_port) {
                    to_.in_place.insert(bound.name);
                }
            }
            out.any_of = in_place();
            TRY_OK(check_ranges(out.any_of));
            return out;
        }
        TRY_OK(check_learned());
        out.any_of.push_back(with_tables());
        return out;
    }

private:
    const Bound* bound_of(const Attribute* attribute) const {
        const auto found = std::ranges::find(bounds_, attribute, &Bound::attribute);
        return found == bounds_.end() ? nullptr : &*found;
    }

    void collect_terms() {
        bool skipped = false;
        for (const Attribute& attribute : rule_.rule->attributes) {
            const AttributeRow& at = row(attribute.row);
            if (at.role == Role::comment) {
                continue;
            }
            if (at.role == Role::mask || at.role == Role::range_end || at.role == Role::ipset_flags) {
                if (skipped) {
                    continue;
                }
                terms_.back().modifier = &attribute;
                terms_.back().modifier_bound = bound_of(&attribute);
                continue;
            }
            if (at.role == Role::state) {
                continue;  // says where the rule stands, too: compile.cpp has it
            }
            // Packets to the guest do not come from its own MAC, nor replies from the MAC that was asked.
            if (is_ip_layer(rule_.rule->protocol) && place_.reversed && at.type == Type::mac) {
                skipped = true;
                continue;
            }
            skipped = false;
            const Field field = place_.reversed ? at.reversed : at.field;
            terms_.push_back({&attribute, &at, nullptr, bound_of(&attribute), nullptr, field});
        }
        // Counting counts whatever gets that far.
        const auto counts = std::ranges::find_if(terms_, [](const Term& t) { return t.at->role == Role::connections; });
        if (counts != terms_.end()) {
            std::rotate(counts, counts + 1, terms_.end());
        }
    }

    // nft has no names for the addresses in RARP. Of its MAC addresses there can be sets all the same, of bytes.
    bool in_rarp(const Term& term) const {
        return rule_.rule->protocol == Protocol::rarp && term.field >= Field::arp_src_mac &&
               term.field <= Field::arp_dst_ip;
    }
    std::string_view column_of(const Term& term) const {
        const std::string_view plain = column(term.field);
        return !in_rarp(term) ? plain : plain == "mac" ? kRarpColumn : std::string_view();
    }

    std::vector<unsigned> groups() const {
        std::vector<unsigned> out;
        for (const Bound& bound : bounds_) {
            if (std::ranges::find(out, bound.group) == out.end()) {
                out.push_back(bound.group);
            }
        }
        return out;
    }

    bool whole(const Term& term) const {
        if (term.modifier == nullptr) {
            return true;
        }
        return term.at[1].role == Role::mask && term.modifier_bound == nullptr &&
               to_mask(term.field, term.modifier->value) == policy::Value::ones(term.field);
    }

    // A look-up asks whether the frame's fields are a row, so it serves for exact values. With several rows
    // it cannot say "is not": "not A or not B" is true of every frame.
    bool can_look_up() const {
        return std::ranges::all_of(groups(), [&](unsigned group) { return can_look_up(group); });
    }

    bool can_look_up(unsigned group) const {
        std::size_t variables = 0;
        bool constant = false, negated = false;
        for (const Term& term : terms_) {
            if (term.modifier_bound != nullptr) {
                return false;
            }
            if (term.bound == nullptr || term.bound->group != group) {
                continue;
            }
            if (!whole(term) || term.at->role != Role::value || column_of(term).empty()) {
                return false;
            }
            ++variables;
            constant = constant || !term.bound->from_port;
            negated = negated || term.attribute->negated;
        }
        // Two columns beside the interface's name always fit into the 64 bytes of an nft key.
        return tuples_of(bounds_, group) == 1 || (!negated && !constant && variables <= 2);
    }

    Result<void> check_learned() const {
        const bool drop = rule_.rule->action == Action::drop || rule_.rule->action == Action::reject;
        for (const Term& term : terms_) {
            if (term.bound != nullptr && term.bound->learned && term.attribute->negated && !drop) {
                return fail(Code::unsupported_config,
                            fmt::format("{}: lets pass what is not the learned address, which is everything as long as "
                                        "none is learned; give the parameter IP",
                                        rule_.origin()));
            }
        }
        return {};
    }

    // Of variables: those of literals are checked where they are read.
    Result<void> check_ranges(const std::vector<std::vector<policy::Condition>>& alternatives) const {
        for (const auto& when : alternatives) {
            for (const policy::Condition& condition : when) {
                const auto* const among = std::get_if<policy::Among>(&condition.test);
                if (among == nullptr) {
                    continue;
                }
                for (const policy::Interval& values : among->values) {
                    if (values.last < values.first) {
                        return fail(Code::invalid_argument,
                                    fmt::format("{}: a range ends before it begins: from {} to {}", rule_.origin(),
                                                policy::format(among->field, values.first),
                                                policy::format(among->field, values.last)));
                    }
                }
            }
        }
        return {};
    }

    // Conditions that come from the element's name and from where the rule stands.
    std::vector<policy::Condition> guard() const {
        const Action action = rule_.rule->action;
        const Protocol protocol = rule_.rule->protocol;
        const std::uint16_t own = ethertype_of(protocol), chain = ethertype_of(place_.chain);
        const bool passes = action == Action::accept || action == Action::return_;
        // A chain of IP or ARP was entered behind a tag, too: what leaves it is as it was before.
        const bool in_chain = action == Action::return_ && chain != 0 && place_.chain != Protocol::vlan;
        const bool strict = passes && !in_chain;
        std::vector<policy::Condition> out;
        if (own != 0) {
            out.push_back(type_is(strict || protocol == Protocol::vlan ? Field::eth_type : Field::protocol, own));
        }
        if (protocol == Protocol::stp) {
            out.push_back(to_bridges());
            const auto asks_bpdu = [](const Term& t) {
                return t.field >= Field::stp_type && t.field <= Field::stp_forward_delay;
            };
            if (passes && std::ranges::any_of(terms_, asks_bpdu)) {
                out.push_back(untagged_llc());
            }
        }
        if (const std::uint8_t transport = transport_of(protocol); transport != 0) {
            out.push_back(transport_is(own == kIp6, transport));
        }
        if (chain != 0 && action == Action::accept && own != chain) {
            out.push_back(type_is(Field::eth_type, chain));
        }
        return out;
    }

    // The frame's own length in the place of its type (IEEE 802.3).
    static policy::Condition untagged_llc() {
        constexpr std::uint32_t kLongest = 0x5ff;
        const policy::Value first = policy::Value::of(Field::eth_type, 0),
                            last = policy::Value::of(Field::eth_type, kLongest);
        return {policy::Among{Field::eth_type, policy::Value::ones(Field::eth_type), {{first, last}}}, false};
    }

    static policy::Condition transport_is(bool six, std::uint8_t transport) {
        const Field field = six ? Field::ip6_protocol : Field::ip4_protocol;
        return policy::equals(field, policy::Value::of(field, transport));
    }

    static policy::Condition type_is(Field field, std::uint32_t type) {
        return policy::equals(field, policy::Value::of(field, type));
    }

    // The type in a `mac` element. What lets frames pass means the type on the wire, what stops them also
    // the type behind a tag; with match='no' it is the other way round.
    Field type_field(const Term& term, const policy::Interval& values) const {
        const auto type = values.first.number(Field::protocol);
        const Action action = rule_.rule->action;
        const bool passes = action == Action::accept || action == Action::return_;
        return type == kVlan || type == kServiceVlan || passes != term.attribute->negated ? Field::eth_type
                                                                                          : Field::protocol;
    }

    policy::Condition literal(const Term& term, const Value& value, const Value* modifier) const {
        policy::Among among{term.field, policy::Value::ones(term.field), {}};
        const policy::Value first = field_value(term.field, value);
        policy::Interval interval{first, first};
        if (const auto* const flags = std::get_if<TcpFlags>(&value)) {
            among.mask = policy::Value::of(term.field, flags->mask);
        } else if (modifier != nullptr && term.at[1].role == Role::mask) {
            among.mask = to_mask(term.field, *modifier);
            interval.first = interval.last = first.masked(among.mask);
        } else if (modifier != nullptr) {
            interval.last = field_value(term.field, *modifier);
        }
        if (among.field == Field::protocol) {
            among.field = type_field(term, interval);
        }
        among.values.push_back(interval);
        return {std::move(among), term.attribute->negated};
    }

    // Which value each group is at.
    using Turn = std::map<unsigned, std::size_t>;
    static const Value& pick(const Attribute& attribute, const Bound* bound, const Turn& turn) {
        return bound == nullptr ? attribute.value : bound->values[turn.at(bound->group)];
    }

    policy::Condition term_in_place(const Term& term, const Turn& turn) const {
        const Value& value = pick(*term.attribute, term.bound, turn);
        const bool negated = term.attribute->negated;
        switch (term.at->role) {
            case Role::same_ip:
                return {policy::Same{Field::arp_src_ip, Field::arp_dst_ip}, negated == std::get<bool>(value)};
            case Role::tcp_option:
                return {policy::TcpOption{static_cast<std::uint8_t>(std::get<Number>(value).value)}, negated};
            case Role::connections: {
                const auto more = policy::Value::of(Field::ct_count, std::get<Number>(value).value + 1);
                const auto ones = policy::Value::ones(Field::ct_count);
                return {policy::Among{Field::ct_count, ones, {{more, ones}}}, negated};
            }
            case Role::ipset: return in_ipset(term, value, negated);
            default: break;
        }
        return literal(term, value,
                       term.modifier == nullptr ? nullptr : &pick(*term.modifier, term.modifier_bound, turn));
    }

    // Our sets hold addresses, so that as with the kernel's of one dimension the first flag counts.
    policy::Condition in_ipset(const Term& term, const Value& name, bool negated) const {
        to_.sets.try_emplace(std::get<Text>(name).text, rule_.origin());
        const auto* const flags = term.modifier == nullptr ? nullptr : std::get_if<Text>(&term.modifier->value);
        const bool src = (flags == nullptr || flags->text.starts_with("src")) != place_.reversed;
        const bool six = is_ipv6_layer(rule_.rule->protocol);
        const Field field = six ? (src ? Field::ip6_src : Field::ip6_dst) : (src ? Field::ip4_src : Field::ip4_dst);
        return {policy::Listed{{field}, named_set(std::get<Text>(name).text, six), true}, negated};
    }

    std::vector<std::vector<policy::Condition>> in_place() const {
        std::vector<std::vector<policy::Condition>> out;
        Turn turn;
        for (const unsigned group : groups()) {
            turn[group] = 0;
        }
        do {
            std::vector<policy::Condition> when = guard();
            for (const Term& term : terms_) {
                when.push_back(term_in_place(term, turn));
            }
            if (std::ranges::find(out, when) == out.end()) {
                out.push_back(std::move(when));
            }
        } while (advance(turn));
        merge_lists(out);
        return out;
    }

    // To the next combination; false after the last.
    bool advance(Turn& turn) const {
        for (auto& [group, at] : turn) {
            if (++at < tuples_of(bounds_, group)) {
                return true;
            }
            at = 0;
        }
        return false;
    }

    // Alternatives that differ in one list of plain values are one: `ip4.src = {A, B}`.
    static void merge_lists(std::vector<std::vector<policy::Condition>>& alternatives) {
        if (alternatives.size() < 2) {
            return;
        }
        std::vector<policy::Condition> merged = alternatives.front();
        std::size_t at = merged.size();
        for (std::size_t i = 1; i < alternatives.size(); ++i) {
            for (std::size_t c = 0; c < merged.size(); ++c) {
                if (alternatives[i][c] == alternatives[0][c]) {
                    continue;
                }
                auto* const to = std::get_if<policy::Among>(&merged[c].test);
                const auto* const from = std::get_if<policy::Among>(&alternatives[i][c].test);
                const bool joins = to != nullptr && from != nullptr && !merged[c].negated && to->field == from->field &&
                                   to->mask == from->mask && (at == merged.size() || at == c);
                if (!joins) {
                    return;
                }
                at = c;
                to->values.push_back(from->values.front());
            }
        }
        std::ranges::sort(std::get<policy::Among>(merged[at].test).values);
        alternatives = {std::move(merged)};
    }

    std::vector<policy::Condition> with_tables() {
        std::vector<policy::Condition> when = guard();
        std::map<unsigned, std::vector<const Term*>> joined;
        std::vector<const Term*> learned;
        for (const Term& term : terms_) {
            if (term.bound == nullptr || !term.bound->from_port) {
                when.push_back(term_in_place(term, {{term.bound == nullptr ? 0 : term.bound->group, 0}}));
            } else if (tuples_of(bounds_, term.bound->group) > 1) {
                joined[term.bound->group].push_back(&term);
            } else if (term.bound->learned && !term.attribute->negated) {
                learned.push_back(&term);  // two of them: the same address in both places
            } else {
                when.push_back(look_up({&term}));
            }
        }
        for (const auto& [group, terms] : joined) {
            when.push_back(look_up(terms));
        }
        if (!learned.empty()) {
            when.push_back(look_up(learned));
        }
        return when;
    }

    policy::Condition look_up(const std::vector<const Term*>& terms) {
        policy::Listed listed;
        TableDef def;
        std::vector<Column> columns;
        std::string types, names;
        for (const Term* const term : terms) {
            listed.fields.push_back(term->field);
            def.timed = def.timed || is_learned(term->bound->name);
            def.rarp = def.rarp || in_rarp(*term);
            types += (types.empty() ? "" : ".") + std::string(column_of(*term));
            names += (names.empty() ? "" : ".") + term->bound->key();
            columns.push_back({term->attribute->row, term->field, term->bound->name,
                               std::get<Variable>(term->attribute->value).element});
        }
        def.fields = listed.fields;
        listed.table = "nwf_" + types + "_" + names;
        auto& rows = to_.rows[listed.table];
        const bool learned = terms.front()->bound->learned;
        if (learned) {
            to_.awaiting[listed.table].insert(AwaitingRow(terms.size()));
        } else {
            to_.columns[listed.table].insert(std::move(columns));
        }
        for (std::size_t i = 0; i < tuples_of(bounds_, terms.front()->bound->group) && !learned; ++i) {
            policy::Row values;
            for (const Term* const term : terms) {
                values.push_back(field_value(term->field, term->bound->values[i]));
            }
            rows.insert(std::move(values));
        }
        to_.tables.emplace(listed.table, std::move(def));
        return {std::move(listed), terms.front()->attribute->negated};
    }

    const FlatRule& rule_;
    const Place& place_;
    const std::vector<Bound> bounds_;
    Compiled& to_;
    std::vector<Term> terms_;
};

}  // namespace

policy::Value field_value(policy::Field field, const Value& value) {
    struct Visitor {
        Field field;
        policy::Value operator()(const MacAddr& mac) const { return policy::Value::of(mac); }
        policy::Value operator()(const Ip& ip) const { return policy::Value::of(ip); }
        policy::Value operator()(const Number& number) const { return policy::Value::of(field, number.value); }
        policy::Value operator()(bool flag) const { return policy::Value::of(field, flag ? 1 : 0); }
        policy::Value operator()(const Text& /*text*/) const { return {}; }
        policy::Value operator()(const TcpFlags& flags) const { return policy::Value::of(field, flags.set); }
        policy::Value operator()(const States& /*states*/) const { return {}; }
        policy::Value operator()(const Variable& /*variable*/) const { return {}; }
    };
    return std::visit(Visitor{field}, value);
}

policy::Condition to_bridges() {
    // IEEE 802.1D's group address.
    return policy::equals(Field::eth_dst, policy::Value::of(MacAddr{{0x01, 0x80, 0xc2, 0x00, 0x00, 0x00}}));
}

std::string named_set(std::string_view name, bool six) {
    std::string out = six ? "nwf_set6_" : "nwf_set4_";
    for (const char c : name) {
        // Bytes that nft does not take in names, in such a way that two names stay two.
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
        out += plain ? std::string(1, c) : fmt::format("/{:02x}", static_cast<unsigned char>(c));
    }
    return out;
}

Result<Alternatives> conditions(const FlatRule& rule, const Place& place, const Flat& flat, const PortValues& values,
                                Compiled& to) {
    TRY(std::vector<Bound> bounds, values.bind(rule, flat));
    RuleCompiler compiler(rule, place, std::move(bounds), to);
    return compiler.run();
}

}  // namespace bascule::nwfilter
