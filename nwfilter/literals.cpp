// SPDX-License-Identifier: GPL-2.0-or-later
#include "nwfilter/literals.h"

#include <algorithm>
#include <map>

#include "nwfilter/protocols.h"

namespace bascule::nwfilter {

namespace {

bool is_written_out(const Attribute& attribute) {
    const Type type = row(attribute.row).type;
    return std::holds_alternative<Variable>(attribute.value) &&
           (type == Type::states || type == Type::tcp_flags || type == Type::ipset_flags);
}

// Which value each group is at.
using Turn = std::map<unsigned, std::size_t>;

bool advance(Turn& turn, const std::vector<Bound>& bounds) {
    for (auto& [group, at] : turn) {
        if (++at < tuples_of(bounds, group)) {
            return true;
        }
        at = 0;
    }
    return false;
}

// The rule at that turn: what goes with the written values is the element of its list that belongs to them.
Rule at_turn(const Rule& rule, const std::vector<Bound>& bounds, const Turn& turn) {
    Rule out = rule;
    for (std::size_t i = 0; i < rule.attributes.size(); ++i) {
        const auto bound = std::ranges::find(bounds, &rule.attributes[i], &Bound::attribute);
        const auto at = bound == bounds.end() ? turn.end() : turn.find(bound->group);
        if (at == turn.end()) {
            continue;
        }
        if (is_written_out(rule.attributes[i])) {
            out.attributes[i].value = bound->values[at->second];
        } else if (tuples_of(bounds, bound->group) > 1) {
            std::get<Variable>(out.attributes[i].value).element = static_cast<unsigned>(at->second);
        }
    }
    return out;
}

}  // namespace

Result<Literal> literal(const Flat& flat, const PortValues& values) {
    Literal out{{{}, flat.scopes, flat.filters}, {}, {}};
    for (const FlatRule& rule : flat.rules) {
        if (std::ranges::none_of(rule.rule->attributes, is_written_out)) {
            out.flat.rules.push_back(rule);
            continue;
        }
        TRY(const std::vector<Bound> bounds, values.bind(rule, flat));
        Turn turn;
        for (const Bound& bound : bounds) {
            if (is_written_out(*bound.attribute)) {
                turn[bound.group] = 0;
                if (bound.from_port) {
                    out.names.insert(bound.name);
                }
            }
        }
        do {
            out.rules.push_back(at_turn(*rule.rule, bounds, turn));
            FlatRule& written = out.flat.rules.emplace_back(rule);
            written.rule = &out.rules.back();
        } while (advance(turn, bounds));
    }
    return out;
}

}  // namespace bascule::nwfilter
