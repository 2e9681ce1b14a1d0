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
void each_of_table(Family family, const Table& table, const Table* other, F& f) {
    const auto sets = [family](auto& state) {
        auto* const in = table_of(state, family);
        return in == nullptr ? nullptr : &in->sets;
    };
    const auto chains = [family](auto& state) {
        auto* const in = table_of(state, family);
        return in == nullptr ? nullptr : &in->chains;
    };
    for (const auto& [name, set] : table.sets) {
        f([&] { return fmt::format("set {} {}", name_of(family), name); }, sets, name, set);
    }
    for (const auto& [name, chain] : table.chains) {
        f([&] { return fmt::format("chain {} {}", name_of(family), name); }, chains, name, chain);
    }
    for (const auto& [set, elements] : table.elements) {
        if (other != nullptr) {
            const auto same = other->elements.find(set);
            if (same != other->elements.end() && same->second == elements) {
                continue;
            }
        }
        const auto in_set = [family, &of = set](auto& state) { return elements_of(state, family, of); };
        for (const auto& [key, element] : elements) {
            f([&, &of = set] { return fmt::format("element {} {} {}", name_of(family), of, key); }, in_set, key,
              element);
        }
    }
}

// Calls f(label, where, key, value) for everything in the wish but elements of sets that the other one has alike;
// label() is its name, where(state) the container that holds such things in any state, null when that state has none.
template <class F>
void each_thing(const State& wish, const State& other, F f) {
    const auto links = [](auto& state) { return &state.links; };
    const auto shapings = [](auto& state) { return &state.shapings; };
    const auto floors = [](auto& state) { return &state.floors; };
    const auto addresses = [](auto& state) { return &state.addresses; };
    const auto routes = [](auto& state) { return &state.routes; };
    const auto sysctls = [](auto& state) { return &state.sysctls; };
    for (const auto& [name, link] : wish.links) {
        f([&] { return "link " + name.str(); }, links, name, link);
    }
    for (const auto& [name, shaping] : wish.shapings) {
        f([&] { return "shaping " + name.str(); }, shapings, name, shaping);
    }
    for (const auto& [key, rate] : wish.floors) {
        f([&] { return fmt::format("floor {} {}", key.link.str(), format(key.station)); }, floors, key, rate);
    }
    for (const Address& address : wish.addresses) {
        f([&] { return "address " + format(address); }, addresses, address, Nothing{});
    }
    for (const Route& route : wish.routes) {
        f([&] { return "route " + format(route); }, routes, route, Nothing{});
    }
    for (const auto& [key, value] : wish.sysctls) {
        f([&] { return "sysctl " + key; }, sysctls, key, value);
    }
    for (const auto& [family, table] : wish.rules) {
        each_of_table(family, table, table_of(other, family), f);
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
// The same, the time that it expires included.
template <class Key>
bool equals(const std::set<Key>& /*in*/, const Key& /*key*/, Nothing /*value*/) {
    return true;
}
template <class Key, class Value>
bool equals(const std::map<Key, Value>& in, const Key& key, const Value& value) {
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

// Calls f as each_thing() does for what the wish has and the other one has not, or otherwise.
template <class F>
void each_difference(const State& wish, const State& other, F f) {
    each_thing(wish, other, [&](const auto& label, const auto& where, const auto& key, const auto& value) {
        const auto* const in = where(other);
        if (!holds(in, key) || !equals(*in, key, value)) {
            f(label, where, key, value);
        }
    });
}

const State kNone;

}  // namespace

const State* Ledger::wish(const std::string& owner) const {
    const auto found = wishes_.find(owner);
    return found == wishes_.end() ? nullptr : &found->second;
}

State Ledger::wanted(const Scope& scope) const { return restrict(united_, scope); }

Result<Scope> Ledger::put(const std::string& owner, State wish) {
    Changes changes;
    changes.emplace_back(owner, std::move(wish));
    TRY_OK(exchange(changes));
    Scope scope = Scope::of(*this->wish(owner));
    if (const auto& former = changes.front().second) {
        scope.add(*former);
    }
    return scope;
}

Scope Ledger::withdraw(const std::string& owner) {
    Changes changes{{owner, std::nullopt}};
    [[maybe_unused]] const auto done = exchange(changes);  // there is nothing to contradict
    return Scope::of(changes.front().second.value_or(State{}));
}

Result<Scope> Ledger::exchange(Changes& changes) {
    if (adapt_) {
        for (auto& [owner, wish] : changes) {
            if (wish) {
                adapt_(*wish);
            }
        }
    }
    // All that goes goes before the first new thing comes: what several of the owners share may change for all of
    // them at once, and must not look like a contradiction half-way.
    swap(changes);
    State gone, come;
    const std::vector<Step> steps = steps_of(changes);
    for (const Step& step : steps) {
        std::size_t all = SIZE_MAX;
        divide(*step.former, *step.next, all, gone);
    }
    std::size_t placed = 0;
    Result<void> done;
    for (auto it = steps.begin(); it != steps.end() && done; ++it) {
        done = unite(it->owner, *it->next, *it->former, placed, come);
    }
    for (auto it = steps.begin(); it != steps.end() && done; ++it) {
        done = check_sets(*it->next);
    }
    if (!done) {
        swap(changes);
        const std::vector<Step> back = steps_of(changes);
        for (const Step& step : back) {
            divide(*step.former, *step.next, placed, gone);
        }
        for (const Step& step : back) {
            // These did not contradict each other, nor the others' wishes, which are as they were.
            [[maybe_unused]] const auto again = unite(step.owner, *step.next, *step.former, placed, come);
            prune(*step.former);
        }
        return std::unexpected(std::move(done).error());
    }
    for (const Step& step : steps) {
        prune(*step.former);
    }
    Scope scope = Scope::of(gone);
    scope.add(come);
    return scope;
}

// What is compared with what. An owner that goes is compared with one that comes: they may have much in common.
std::vector<Ledger::Step> Ledger::steps_of(const Changes& changes) const {
    std::vector<Step> out;
    std::vector<const State*> leaving;
    std::vector<std::string_view> arriving;
    for (const auto& [owner, former] : changes) {
        const State* const next = wish(owner);
        if (former && next != nullptr) {
            out.push_back({owner, &*former, next});
        } else if (former) {
            leaving.push_back(&*former);
        } else if (next != nullptr) {
            arriving.push_back(owner);
        }
    }
    for (std::size_t i = 0; i < std::max(leaving.size(), arriving.size()); ++i) {
        const bool comes = i < arriving.size();
        out.push_back({comes ? arriving[i] : std::string_view(), i < leaving.size() ? leaving[i] : &kNone,
                       comes ? wish(std::string(arriving[i])) : &kNone});
    }
    return out;
}

// Each owner's wish for the one that is kept.
void Ledger::swap(Changes& changes) {
    for (auto& [owner, wish] : changes) {
        const auto known = wishes_.find(owner);
        std::optional<State> former;
        if (known != wishes_.end()) {
            former = std::move(known->second);
        }
        if (wish) {
            wishes_.insert_or_assign(owner, std::move(*wish));
        } else if (known != wishes_.end()) {
            wishes_.erase(known);
        }
        wish = std::move(former);
    }
}

// Elements need their set's definition, without which nobody could write their keys: beside them, or in the wish of
// somebody else who stays as long.
Result<void> Ledger::check_sets(const State& wish) const {
    for (const auto& [family, table] : wish.rules) {
        const Table* const united = table_of(united_, family);
        for (const auto& [set, elements] : table.elements) {
            if (united == nullptr || !united->sets.contains(set)) {
                return fail(Code::internal, fmt::format("elements of the set {} {} are wanted without the set itself",
                                                        name_of(family), set));
            }
        }
    }
    return {};
}

Result<void> Ledger::unite(std::string_view owner, const State& wish, const State& than, std::size_t& placed,
                           State& come) {
    std::string clash;
    each_difference(wish, than, [&](const auto& label, const auto& where, const auto& key, const auto& value) {
        if (!clash.empty()) {
            return;
        }
        auto& in = *where(united_);
        if (holds(&in, key) && !agrees(in, key, value)) {
            const auto other = std::ranges::find_if(wishes_, [&](const auto& entry) {
                const auto* const theirs = where(entry.second);
                return entry.first != owner && holds(theirs, key) && !agrees(*theirs, key, value);
            });
            clash = fmt::format("{} is already wanted, otherwise, by {}", label(),
                                other == wishes_.end() ? "another" : other->first);
            return;
        }
        ++placed;
        place(*where(come), key, value);
        Holders& holders = holders_[label()];
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
    return clash.empty() ? Result<void>() : Result<void>(fail(Code::conflict, std::move(clash)));
}

void Ledger::divide(const State& wish, const State& than, std::size_t& most, State& gone) {
    each_difference(wish, than, [&](const auto& label, const auto& where, const auto& key, const auto& value) {
        if (most == 0) {
            return;
        }
        --most;
        place(*where(gone), key, value);
        auto& in = *where(united_);
        const auto held = holders_.find(label());
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
}

// What was made empty is not there.
void Ledger::prune(const State& wish) {
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
