// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/ledger.h"

#include <algorithm>

#include <fmt/format.h>

namespace bascule::kernel {

namespace {

struct Nothing {
    bool operator==(const Nothing&) const = default;
};

// One table of a state, or the elements of one of its sets: made where the state may change, else null when absent.
Table* table_of(State& state, Family family) { return &state.rules[family]; }
const Table* table_of(const State& state, Family family) {
    const auto found = state.rules.find(family);
    return found == state.rules.end() ? nullptr : &found->second;
}
auto* elements_of(State& state, Family family, const std::string& set) { return &state.rules[family].elements[set]; }
const std::map<std::string, Element>* elements_of(const State& state, Family family, const std::string& set) {
    const Table* const table = table_of(state, family);
    if (table == nullptr) {
        return nullptr;
    }
    const auto found = table->elements.find(set);
    return found == table->elements.end() ? nullptr : &found->second;
}

template <class F>
void each_of_table(Family family, const Table& table, F& f) {
    const auto sets = [family](auto& state) {
        auto* const in = table_of(state, family);
        return in == nullptr ? nullptr : &in->sets;
    };
    const auto chains = [family](auto& state) {
        auto* const in = table_of(state, family);
        return in == nullptr ? nullptr : &in->chains;
    };
    for (const auto& [name, set] : table.sets) {
        f(fmt::format("set {} {}", name_of(family), name), sets, name, set);
    }
    for (const auto& [name, chain] : table.chains) {
        f(fmt::format("chain {} {}", name_of(family), name), chains, name, chain);
    }
    for (const auto& [set, elements] : table.elements) {
        const auto in_set = [family, &of = set](auto& state) { return elements_of(state, family, of); };
        for (const auto& [key, element] : elements) {
            f(fmt::format("element {} {} {}", name_of(family), set, key), in_set, key, element);
        }
    }
}

// Calls f(label, where, key, value) for everything in the wish; where(state) is the container that holds such things
// in any state, null when that state has none.
template <class F>
void each_thing(const State& wish, F f) {
    const auto links = [](auto& state) { return &state.links; };
    const auto shapings = [](auto& state) { return &state.shapings; };
    const auto floors = [](auto& state) { return &state.floors; };
    const auto addresses = [](auto& state) { return &state.addresses; };
    const auto routes = [](auto& state) { return &state.routes; };
    const auto sysctls = [](auto& state) { return &state.sysctls; };
    for (const auto& [name, link] : wish.links) {
        f("link " + name.str(), links, name, link);
    }
    for (const auto& [name, shaping] : wish.shapings) {
        f("shaping " + name.str(), shapings, name, shaping);
    }
    for (const auto& [key, rate] : wish.floors) {
        f(fmt::format("floor {} {}", key.link.str(), format(key.station)), floors, key, rate);
    }
    for (const Address& address : wish.addresses) {
        f("address " + format(address), addresses, address, Nothing{});
    }
    for (const Route& route : wish.routes) {
        f("route " + format(route), routes, route, Nothing{});
    }
    for (const auto& [key, value] : wish.sysctls) {
        f("sysctl " + key, sysctls, key, value);
    }
    for (const auto& [family, table] : wish.rules) {
        each_of_table(family, table, f);
    }
}

template <class Key>
bool holds(const std::set<Key>* in, const Key& key) {
    return in != nullptr && in->contains(key);
}
template <class Key, class Value>
bool holds(const std::map<Key, Value>* in, const Key& key) {
    return in != nullptr && in->contains(key);
}

template <class Key>
bool agrees(const std::set<Key>& /*in*/, const Key& /*key*/, Nothing /*value*/) {
    return true;
}
template <class Key, class Value>
bool agrees(const std::map<Key, Value>& in, const Key& key, const Value& value) {
    return in.at(key) == value;
}
// Expiries may differ: the later one is right.
bool agrees(const std::map<std::string, Element>& in, const std::string& key, const Element& value) {
    return in.at(key).data == value.data;
}

template <class Key>
void place(std::set<Key>& in, const Key& key, Nothing /*value*/) {
    in.insert(key);
}
template <class Key, class Value>
void place(std::map<Key, Value>& in, const Key& key, const Value& value) {
    in.insert_or_assign(key, value);
}

// Never is later than any time.
void prolong(Element& element, const Element& other) {
    if (element.expires && (!other.expires || *other.expires > *element.expires)) {
        element.expires = other.expires;
    }
}

// What the owners that are left want of an element that one of them, or more, lets expire. Such elements have few
// owners, so this looks at all wishes.
template <class Where>
Element latest(const std::map<std::string, State>& wishes, const Where& where, const std::string& key) {
    std::optional<Element> out;
    for (const auto& [owner, wish] : wishes) {
        const auto* const elements = where(wish);
        if (!holds(elements, key)) {
            continue;
        }
        if (out) {
            prolong(*out, elements->at(key));
        } else {
            out = elements->at(key);
        }
    }
    return out.value_or(Element{});
}

// Elements need their set's definition beside them: without it nobody could write their keys.
Result<void> check_self_contained(const State& wish) {
    for (const auto& [family, table] : wish.rules) {
        for (const auto& [set, elements] : table.elements) {
            if (!table.sets.contains(set)) {
                return fail(Code::internal, fmt::format("elements of the set {} {} are wanted without the set itself",
                                                        name_of(family), set));
            }
        }
    }
    return {};
}

}  // namespace

const State* Ledger::wish(const std::string& owner) const {
    const auto found = wishes_.find(owner);
    return found == wishes_.end() ? nullptr : &found->second;
}

State Ledger::wanted(const Scope& scope) const { return restrict(united_, scope); }

Result<Scope> Ledger::put(const std::string& owner, State wish) {
    if (adapt_) {
        adapt_(wish);
    }
    TRY_OK(check_self_contained(wish));
    TRY_OK(check_conflicts(owner, wish));
    Scope scope = withdraw(owner);
    scope.add(wish);
    unite(wish);
    wishes_.insert_or_assign(owner, std::move(wish));
    return scope;
}

Scope Ledger::withdraw(const std::string& owner) {
    const auto found = wishes_.find(owner);
    if (found == wishes_.end()) {
        return {};
    }
    const State wish = std::move(found->second);
    wishes_.erase(found);
    divide(wish);
    return Scope::of(wish);
}

Result<void> Ledger::check_conflicts(const std::string& owner, const State& wish) const {
    static const State kNone;
    const State* const known = this->wish(owner);
    const State& former = known == nullptr ? kNone : *known;
    std::string clash;
    each_thing(wish, [&](const std::string& label, const auto& where, const auto& key, const auto& value) {
        const auto* const held = where(united_);
        if (!clash.empty() || !holds(held, key) || agrees(*held, key, value)) {
            return;
        }
        const unsigned own = holds(where(former), key) ? 1 : 0;
        if (holders_.at(label).all > own) {
            const auto other = std::ranges::find_if(
                wishes_, [&](const auto& entry) { return entry.first != owner && holds(where(entry.second), key); });
            clash = fmt::format("{} is already wanted, otherwise, by {}", label, other->first);
        }
    });
    if (!clash.empty()) {
        return fail(Code::conflict, std::move(clash));
    }
    return {};
}

void Ledger::unite(const State& wish) {
    each_thing(wish, [this](const std::string& label, const auto& where, const auto& key, const auto& value) {
        auto& in = *where(united_);
        Holders& holders = holders_[label];
        ++holders.all;
        if constexpr (std::is_same_v<std::decay_t<decltype(value)>, Element>) {
            holders.timed += value.expires ? 1 : 0;
            if (holders.all > 1) {
                prolong(in.at(key), value);
                return;
            }
        }
        place(in, key, value);
    });
}

void Ledger::divide(const State& wish) {
    each_thing(wish, [this](const std::string& label, const auto& where, const auto& key, const auto& value) {
        auto& in = *where(united_);
        const auto held = holders_.find(label);
        Holders& holders = held->second;
        if (--holders.all == 0) {
            holders_.erase(held);
            in.erase(key);
            return;
        }
        if constexpr (std::is_same_v<std::decay_t<decltype(value)>, Element>) {
            if (holders.timed > 0) {
                holders.timed -= value.expires ? 1 : 0;
                in.insert_or_assign(key, latest(wishes_, where, key));
            }
        }
    });
    for (const auto& [family, table] : wish.rules) {
        Table& united = united_.rules[family];
        for (const auto& [set, elements] : table.elements) {
            if (const auto left = united.elements.find(set); left != united.elements.end() && left->second.empty()) {
                united.elements.erase(left);
            }
        }
        if (united.empty()) {
            united_.rules.erase(family);
        }
    }
}

}  // namespace bascule::kernel
