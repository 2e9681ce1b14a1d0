// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/nft_model.h"

#include <algorithm>
#include <utility>

namespace bascule::kernel::os {

namespace {

bool is_expired(const Element& element, Time now) { return element.expires && *element.expires <= now; }

void remove_from(Table& table, const RuleBatch::Removal& removal) {
    if (removal.whole_table) {
        table = {};
    }
    for (const auto& [set, keys] : removal.elements) {
        if (const auto elements = table.elements.find(set); elements != table.elements.end()) {
            std::ranges::for_each(keys, [&](const std::string& key) { elements->second.erase(key); });
            if (elements->second.empty()) {
                table.elements.erase(elements);
            }
        }
    }
    for (const std::string& chain : removal.chains) {
        table.chains.erase(chain);
    }
    for (const std::string& set : removal.sets) {
        table.sets.erase(set);
        table.elements.erase(set);
    }
}

void add_to(Table& table, const Table& add) {
    for (const auto& [name, def] : add.sets) {
        table.sets.insert_or_assign(name, def);
    }
    for (const auto& [name, chain] : add.chains) {
        table.chains.insert_or_assign(name, chain);
    }
    for (const auto& [set, elements] : add.elements) {
        for (const auto& [key, element] : elements) {
            table.elements[set].insert_or_assign(key, element);
        }
    }
}

void drop_expired(Table& table, Time now) {
    for (auto& [set, elements] : table.elements) {
        std::erase_if(elements, [&](const auto& entry) { return is_expired(entry.second, now); });
    }
    std::erase_if(table.elements, [](const auto& entry) { return entry.second.empty(); });
}

template <class Map>
void copy_named(const Map& from, const std::set<std::string>& names, Map& to) {
    for (const std::string& name : names) {
        if (const auto found = from.find(name); found != from.end()) {
            to.insert(*found);
        }
    }
}

Table part_of(const Table& table, const Scope::Rules& wanted, Time now) {
    Table out;
    copy_named(table.chains, wanted.chains, out.chains);
    copy_named(table.sets, wanted.sets, out.sets);
    for (const auto& [set, keys] : wanted.elements) {
        if (const auto elements = table.elements.find(set); elements != table.elements.end()) {
            copy_named(elements->second, keys, out.elements[set]);
        }
    }
    drop_expired(out, now);
    return out;
}

}  // namespace

void apply_to(Ruleset& rules, const RuleBatch& batch) {
    for (const auto& [family, removal] : batch.remove) {
        if (const auto table = rules.find(family); table != rules.end()) {
            remove_from(table->second, removal);
        }
    }
    for (const auto& [family, add] : batch.add) {
        add_to(rules[family], add);
    }
    std::erase_if(rules, [](const auto& entry) { return entry.second.empty(); });
}

bool leaves_empty(const Table& table, const Table* add, const RuleBatch::Removal& remove) {
    if (add != nullptr && !add->empty()) {
        return false;
    }
    const auto gone = [](const std::set<std::string>& removed) {
        return [&](const auto& entry) { return removed.contains(entry.first); };
    };
    // Elements need no look: they go with their sets.
    return remove.chains.size() >= table.chains.size() && remove.sets.size() >= table.sets.size() &&
           std::ranges::all_of(table.chains, gone(remove.chains)) && std::ranges::all_of(table.sets, gone(remove.sets));
}

Ruleset in_scope(const Ruleset& rules, const Scope& scope, Time now) {
    Ruleset out;
    if (scope.everything) {
        out = rules;
        for (auto& [family, table] : out) {
            drop_expired(table, now);
        }
        return out;
    }
    for (const auto& [family, wanted] : scope.rules) {
        if (const auto table = rules.find(family); table != rules.end()) {
            if (Table part = part_of(table->second, wanted, now); !part.empty()) {
                out.emplace(family, std::move(part));
            }
        }
    }
    return out;
}

}  // namespace bascule::kernel::os
