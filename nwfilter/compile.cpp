// SPDX-License-Identifier: GPL-2.0-or-later
#include "nwfilter/compile.h"

#include <algorithm>
#include <utility>

#include "nwfilter/conditions.h"
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
    std::ranges::sort(ordered.chains, {}, [](const Chain& chain) { return std::pair(chain.priority, chain.name); });
    return ordered;
}

policy::Action action_of(Action action) {
    switch (action) {
        case Action::accept: return policy::Action::accept;
        case Action::return_: return policy::Action::leave;
        case Action::continue_: return policy::Action::next;
        case Action::drop:
        case Action::reject: break;  // the peer's Ethernet layer has no reject either
    }
    return policy::Action::drop;
}

bool looks_behind_tag(const policy::Decision& decision) {
    return std::ranges::any_of(decision.when, [](const policy::Condition& condition) {
        const auto* const among = std::get_if<policy::Among>(&condition.test);
        return among != nullptr && among->field == policy::Field::protocol;
    });
}

bool drops(const policy::Decision& decision, const policy::Policy& within) {
    return decision.action == policy::Action::drop ||
           (decision.action == policy::Action::enter &&
            std::ranges::any_of(within.sections[decision.section].decisions,
                                [](const policy::Decision& d) { return d.action == policy::Action::drop; }));
}

// Behind a second tag neither we nor the kernel see. Where IP or ARP is checked, such frames do not pass
// unchecked: they are dropped before the first such check.
void drop_second_tag(policy::Policy& p) {
    auto& decisions = p.sections[0].decisions;
    const auto first =
        std::ranges::find_if(decisions, [&](const policy::Decision& d) { return looks_behind_tag(d) && drops(d, p); });
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
            TRY_OK(add(directed, 0, *rule.flat, Protocol::any, out));
        }
        for (; chain != ordered.chains.end(); ++chain) {
            TRY_OK(enter(directed, *chain, out));
        }
        drop_second_tag(directed.policy);
        return {};
    }

private:
    Result<void> enter(Directed& directed, const Chain& chain, bool out) {
        auto& sections = directed.policy.sections;
        const std::size_t index = sections.size();
        policy::Decision decision{{}, policy::Action::enter, index, {}};
        if (const std::uint16_t type = ethertype_of(chain.protocol); type != 0) {
            decision.when.push_back(
                policy::equals(policy::Field::protocol, policy::Value::of(policy::Field::protocol, type)));
        }
        sections[0].decisions.push_back(std::move(decision));
        sections.push_back({chain.name, {}});
        for (const Placed& rule : chain.rules) {
            TRY_OK(add(directed, index, *rule.flat, chain.protocol, out));
        }
        return {};
    }

    Result<void> add(Directed& directed, std::size_t section, const FlatRule& rule, Protocol chain, bool out) {
        if (rule.rule->action == Action::continue_) {
            // Says nothing about the frame. Its variables must have values all the same.
            TRY(const auto bounds, values_.bind(rule, flat_));
            return {};
        }
        TRY(auto alternatives, conditions(rule, {chain, out, mode_ == Values::tables}, flat_, values_, to_));
        if (alternatives.own) {
            directed.own.insert(section);
        }
        auto& decisions = directed.policy.sections[section].decisions;
        for (auto& when : alternatives.any_of) {
            decisions.push_back({std::move(when), action_of(rule.rule->action), 0, rule.origin()});
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
    Compiled compiled;
    Compiler compiler(flat, values, mode, compiled);
    TRY_OK(compiler.direction(compiled.out, true));
    TRY_OK(compiler.direction(compiled.in, false));
    return compiled;
}

}  // namespace bascule::nwfilter
