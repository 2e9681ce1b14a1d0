// SPDX-License-Identifier: GPL-2.0-or-later
#include "nwfilter/compile.h"

#include <algorithm>
#include <utility>

#include "nwfilter/conditions.h"
#include "nwfilter/literals.h"
#include "nwfilter/protocols.h"
#include "nwfilter/variables.h"

namespace bascule::nwfilter {

namespace {

namespace policy = kernel::policy;

struct Placed {
    const FlatRule* flat = nullptr;
    int priority = 0;
};

// A chain of one direction with its rules in order.
struct Chain {
    std::string name;
    Protocol protocol = Protocol::any;
    int priority = 0;
    std::vector<Placed> rules;
};

struct Ordered {
    std::vector<Placed> root;
    std::vector<Chain> chains;
    std::vector<Placed> over;  // the IP layer's
};

// Flat rules lie in document order in one array, so that of equal priorities the earlier one comes first.
void sort(std::vector<Placed>& rules) {
    std::ranges::sort(rules, {}, [](const Placed& rule) { return std::pair(rule.priority, rule.flat); });
}

bool applies(const Rule& rule, bool out) {
    return rule.direction == Direction::inout || rule.direction == (out ? Direction::out : Direction::in);
}

Ordered order(const Flat& flat, bool out) {
    Ordered ordered;
    std::map<std::string_view, Chain> chains;
    for (const FlatRule& rule : flat.rules) {
        if (is_ip_layer(rule.rule->protocol)) {
            ordered.over.push_back({&rule, rule.rule->priority});
            continue;
        }
        if (!applies(*rule.rule, out)) {
            continue;
        }
        if (rule.filter->chain == "root") {
            ordered.root.push_back({&rule, rule.rule->priority});
            continue;
        }
        Chain& chain = chains[rule.filter->chain];
        chain.name = rule.filter->chain;
        chain.protocol = chain_protocol(chain.name).value_or(Protocol::any);
        chain.priority = rule.filter->priority;  // of filters that differ, the last one's counts
        chain.rules.push_back({&rule, rule.rule->priority});
    }
    for (auto& [name, chain] : chains) {
        for (Placed& rule : chain.rules) {
            rule.priority = std::max(rule.priority, chain.priority);
        }
        sort(chain.rules);
        ordered.chains.push_back(std::move(chain));
    }
    sort(ordered.root);
    sort(ordered.over);
    std::ranges::sort(ordered.chains, {}, [](const Chain& chain) { return std::pair(chain.priority, chain.name); });
    return ordered;
}

// Only IP has something to reject with: TCP's reset and ICMP.
policy::Action action_of(Action action, Protocol protocol) {
    switch (action) {
        case Action::accept: return policy::Action::accept;
        case Action::return_: return policy::Action::leave;
        case Action::continue_: return policy::Action::next;
        case Action::drop: return policy::Action::drop;
        case Action::reject: break;
    }
    const bool ip = protocol == Protocol::ip || protocol == Protocol::ipv6 || is_ip_layer(protocol);
    return ip ? policy::Action::reject : policy::Action::drop;
}

// How a rule of the IP layer stands in one direction's policy.
struct Stance {
    bool reversed = false;
    std::uint8_t states = 0;                 // of any of these; 0: does not matter
    std::optional<std::uint32_t> direction;  // 0: original, 1: reply
};

const Attribute* find(const Rule& rule, Role role) {
    const auto found =
        std::ranges::find_if(rule.attributes, [&](const Attribute& a) { return row(a.row).role == role; });
    return found == rule.attributes.end() ? nullptr : &*found;
}

// With a type: an answer has another one, so the rule says nothing of it.
bool has_icmp_type(const Rule& rule) {
    return std::ranges::any_of(rule.attributes, [](const Attribute& a) {
        const policy::Field field = row(a.row).field;
        return field == policy::Field::icmp4_type || field == policy::Field::icmp6_type;
    });
}

// A rule that says nothing but a source MAC says nothing of the frames for which that is left out.
bool only_of_source_mac(const Rule& rule) {
    const auto says = [](const Attribute& a) {
        const Role role = row(a.row).role;
        return role != Role::comment && role != Role::state;
    };
    return std::ranges::any_of(rule.attributes, says) && std::ranges::all_of(rule.attributes, [&](const Attribute& a) {
               return !says(a) || row(a.row).type == Type::mac;
           });
}

std::optional<Stance> stance_of(const Rule& rule, bool out) {
    using namespace policy::ct_state;
    const bool inout = rule.direction == Direction::inout, own = applies(rule, out);
    Stance stance{.reversed = inout ? out : !own, .states = 0, .direction = {}};
    const Attribute* const state = find(rule, Role::state);
    const bool tracks = rule.action == Action::accept && !inout && rule.state_match && state == nullptr;
    if (!own && (rule.action != Action::accept || state != nullptr || has_icmp_type(rule))) {
        return std::nullopt;
    }
    if (stance.reversed && (only_of_source_mac(rule) || find(rule, Role::connections) != nullptr)) {
        return std::nullopt;
    }
    if (state != nullptr) {
        const std::uint8_t bits = std::get<States>(state->value).bits;
        stance.states = state->negated ? kAllStates & ~bits : bits;
    } else if (tracks) {
        stance.states = own ? kNew | kEstablished : kEstablished;
        if (!has_icmp_type(rule)) {
            stance.direction = own ? 0 : 1;
        }
    }
    return stance;
}

std::vector<policy::Condition> tracking(const Stance& stance) {
    std::vector<policy::Condition> out;
    if (stance.states != 0) {
        policy::Among states{policy::Field::ct_state, policy::Value::ones(policy::Field::ct_state), {}};
        for (std::uint32_t bit = 1; bit <= policy::ct_state::kNew; bit <<= 1) {
            if ((stance.states & bit) != 0) {
                const auto value = policy::Value::of(policy::Field::ct_state, bit);
                states.values.push_back({value, value});
            }
        }
        out.push_back({std::move(states), false});
    }
    if (stance.direction) {
        out.push_back(policy::equals(policy::Field::ct_direction,
                                     policy::Value::of(policy::Field::ct_direction, *stance.direction)));
    }
    return out;
}

bool looks_behind_tag(const policy::Decision& decision) {
    return std::ranges::any_of(decision.when, [](const policy::Condition& condition) {
        const auto* const among = std::get_if<policy::Among>(&condition.test);
        return among != nullptr && among->field == policy::Field::protocol;
    });
}

bool may_drop(const policy::Decision& decision, const policy::Policy& within) {
    return policy::drops(decision.action) ||
           (decision.action == policy::Action::enter &&
            std::ranges::any_of(within.sections[decision.section].decisions,
                                [](const policy::Decision& d) { return policy::drops(d.action); }));
}

// Behind a second tag neither we nor the kernel see. Where IP or ARP is checked, such frames do not pass
// unchecked: they are dropped before the first such check.
void drop_second_tag(policy::Policy& p, std::size_t layer) {
    auto& decisions = p.sections[layer].decisions;
    const auto first = std::ranges::find_if(
        decisions, [&](const policy::Decision& d) { return looks_behind_tag(d) && may_drop(d, p); });
    if (first == decisions.end()) {
        return;
    }
    policy::Among tags{policy::Field::protocol, policy::Value::ones(policy::Field::protocol), {}};
    for (const std::uint32_t type : {0x8100U, 0x88a8U}) {
        const auto value = policy::Value::of(policy::Field::protocol, type);
        tags.values.push_back({value, value});
    }
    decisions.insert(first, {{{std::move(tags), false}}, policy::Action::drop, 0, "a second VLAN tag"});
}

class Compiler {
public:
    Compiler(const Flat& flat, const PortValues& values, Values mode, Compiled& to)
        : flat_(flat), values_(values), mode_(mode), to_(to) {}

    Result<void> direction(Directed& directed, bool out) {
        const Ordered ordered = order(flat_, out);
        directed.policy.sections.push_back({"root", {}});
        directed.policy.layers = {0};
        auto chain = ordered.chains.begin();
        for (const Placed& rule : ordered.root) {
            for (; chain != ordered.chains.end() && chain->priority <= rule.priority; ++chain) {
                TRY_OK(enter(directed, *chain, out));
            }
            TRY_OK(add(directed, 0, *rule.flat, place_in(*rule.flat, Protocol::any, out), {}));
        }
        for (; chain != ordered.chains.end(); ++chain) {
            TRY_OK(enter(directed, *chain, out));
        }
        TRY_OK(over(directed, ordered.over, out));
        for (const std::size_t layer : directed.policy.layers) {
            drop_second_tag(directed.policy, layer);
        }
        return {};
    }

private:
    Result<void> over(Directed& directed, const std::vector<Placed>& rules, bool out) {
        if (rules.empty()) {
            return {};
        }
        const std::size_t index = directed.policy.sections.size();
        directed.policy.sections.push_back({"ip", {}});
        directed.policy.layers.push_back(index);
        for (const Placed& rule : rules) {
            const auto stance = stance_of(*rule.flat->rule, out);
            to_.related = to_.related || (stance && rule.flat->rule->action == Action::accept &&
                                          (stance->states & policy::ct_state::kRelated) != 0);
            if (stance) {
                const Place place{Protocol::any, out, mode_ == Values::tables, stance->reversed};
                TRY_OK(add(directed, index, *rule.flat, place, tracking(*stance)));
            } else {
                TRY(const auto bounds, values_.bind(*rule.flat, flat_));  // is in order all the same
            }
        }
        return {};
    }

    Result<void> enter(Directed& directed, const Chain& chain, bool out) {
        auto& sections = directed.policy.sections;
        const std::size_t index = sections.size();
        policy::Decision decision{{}, policy::Action::enter, index, {}};
        if (const std::uint16_t type = ethertype_of(chain.protocol); type != 0) {
            const auto field = chain.protocol == Protocol::vlan ? policy::Field::eth_type : policy::Field::protocol;
            decision.when.push_back(policy::equals(field, policy::Value::of(field, type)));
        }
        if (chain.protocol == Protocol::stp) {
            decision.when.push_back(to_bridges());
        }
        sections[0].decisions.push_back(std::move(decision));
        sections.push_back({chain.name, {}});
        for (const Placed& rule : chain.rules) {
            TRY_OK(add(directed, index, *rule.flat, place_in(*rule.flat, chain.protocol, out), {}));
        }
        return {};
    }

    // An inout rule is written from the network's side.
    Place place_in(const FlatRule& rule, Protocol chain, bool out) const {
        return {chain, out, mode_ == Values::tables, out && rule.rule->direction == Direction::inout};
    }

    Result<void> add(Directed& directed, std::size_t section, const FlatRule& rule, const Place& place,
                     const std::vector<policy::Condition>& more) {
        if (rule.rule->action == Action::continue_) {
            // Says nothing about the frame. Its variables must have values all the same.
            TRY(const auto bounds, values_.bind(rule, flat_));
            return {};
        }
        TRY(auto alternatives, conditions(rule, place, flat_, values_, to_));
        if (alternatives.own) {
            directed.own.insert(section);
        }
        if (!more.empty() || find(*rule.rule, Role::connections) != nullptr) {
            to_.tracked_by = rule.origin();
        }
        if (find(*rule.rule, Role::connections) != nullptr) {
            const Protocol protocol = rule.rule->protocol;
            to_.limits = true;
            to_.limits_icmp = to_.limits_icmp || protocol == Protocol::icmp || protocol == Protocol::icmpv6 ||
                              protocol == Protocol::all || protocol == Protocol::all_ipv6;
        }
        auto& decisions = directed.policy.sections[section].decisions;
        for (auto& when : alternatives.any_of) {
            when.insert(when.end(), more.begin(), more.end());
            decisions.push_back({std::move(when), action_of(rule.rule->action, rule.rule->protocol), 0, rule.origin(),
                                 alternatives.own});
        }
        return {};
    }

    const Flat& flat_;
    const PortValues& values_;
    const Values mode_;
    Compiled& to_;
};

}  // namespace

Result<Compiled> compile(const Flat& flat, const Port& port, Values mode) {
    TRY(const PortValues values, PortValues::of(port));
    TRY(const Literal plain, literal(flat, values));
    Compiled compiled;
    compiled.in_place = plain.names;
    Compiler compiler(plain.flat, values, mode, compiled);
    TRY_OK(compiler.direction(compiled.out, true));
    TRY_OK(compiler.direction(compiled.in, false));
    return compiled;
}

}  // namespace bascule::nwfilter
