// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/support/fake_rules.h"

#include <fmt/format.h>

#include <set>
#include <sstream>

namespace bascule::test {

using namespace kernel;

namespace {

std::unexpected<Error> refuse(std::string_view what, const std::string& name, int error) {
    return fail_errno(fmt::format("nft: {} {}", what, name), error);
}

// Chains after "jump" and "goto", sets after '@'.
struct References {
    std::set<std::string> chains, sets;

    void read(const std::string& text) {
        std::istringstream words(text);
        bool chain = false;
        for (std::string word; words >> word;) {
            while (!word.empty() && std::string_view(",;}").contains(word.back())) {
                word.pop_back();
            }
            if (chain) {
                chains.insert(word);
            }
            chain = word == "jump" || word == "goto";
            if (word.starts_with('@')) {
                sets.insert(word.substr(1));
            }
        }
    }
};

Result<void> check_references(const Table& table) {
    References wanted;
    for (const auto& [name, chain] : table.chains) {
        for (const std::string& rule : chain.rules) {
            wanted.read(rule);
        }
    }
    for (const auto& [set, elements] : table.elements) {
        for (const auto& [key, element] : elements) {
            wanted.read(element.data);
        }
    }
    for (const std::string& chain : wanted.chains) {
        if (!table.chains.contains(chain)) {
            return refuse("a rule or element refers to the absent chain", chain, ENOENT);
        }
    }
    for (const std::string& set : wanted.sets) {
        if (!table.sets.contains(set)) {
            return refuse("a rule refers to the absent set", set, ENOENT);
        }
    }
    return {};
}

Result<void> make(Family family, const Table& add, Table& table,
                  const std::function<bool(const std::string&)>& has_device) {
    for (const auto& [name, chain] : add.chains) {
        if (family == Family::netdev && chain.hook && !has_device(chain.hook->device)) {
            return refuse("no device " + chain.hook->device + " for chain", name, ENOENT);
        }
        if (const auto now = table.chains.find(name); now != table.chains.end() && now->second.hook != chain.hook) {
            return refuse("another hook for chain", name, EEXIST);
        }
        table.chains.insert_or_assign(name, chain);
    }
    for (const auto& [name, set] : add.sets) {
        if (const auto now = table.sets.find(name); now != table.sets.end() && now->second != set) {
            return refuse("another definition of set", name, EEXIST);
        }
        table.sets.emplace(name, set);
    }
    return {};
}

// render() tolerates only sets whose elements may expire.
Result<void> remove_elements(const RuleBatch::Removal& removal, Table& table) {
    for (const auto& [set, keys] : removal.elements) {
        const auto def = table.sets.find(set);
        if (def == table.sets.end()) {
            return refuse("no set", set, ENOENT);
        }
        auto& elements = table.elements[set];
        for (const std::string& key : keys) {
            const bool may_be_gone = def->second.timeouts && def->second.data.empty();
            if (elements.erase(key) == 0 && !may_be_gone) {
                return refuse("no element " + key + " in", set, ENOENT);
            }
        }
        if (elements.empty()) {
            table.elements.erase(set);
        }
    }
    return {};
}

Result<void> add_elements(const Table& add, Table& table) {
    for (const auto& [set, elements] : add.elements) {
        const auto def = table.sets.find(set);
        if (def == table.sets.end()) {
            return refuse("no set", set, ENOENT);
        }
        for (const auto& [key, element] : elements) {
            if (element.data.empty() != def->second.data.empty() || (element.expires && !def->second.timeouts)) {
                return refuse("an element that does not fit", set, EINVAL);
            }
            const auto [at, fresh] = table.elements[set].emplace(key, element);
            if (!fresh && at->second.data != element.data) {
                return refuse("another value for " + key + " in", set, EEXIST);
            }
        }
    }
    return {};
}

Result<void> drop(const RuleBatch::Removal& removal, Table& table) {
    for (const std::string& set : removal.sets) {
        if (table.sets.erase(set) == 0) {
            return refuse("no set", set, ENOENT);
        }
        table.elements.erase(set);
    }
    for (const std::string& chain : removal.chains) {
        if (table.chains.erase(chain) == 0) {
            return refuse("no chain", chain, ENOENT);
        }
    }
    return {};
}

}  // namespace

Result<Ruleset> transact(Ruleset rules, const RuleBatch& batch,
                         const std::function<bool(const std::string&)>& has_device) {
    for (const auto& [family, removal] : batch.remove) {
        if (removal.whole_table) {
            rules.erase(family);
        }
    }
    for (const Family family : {Family::inet, Family::bridge, Family::netdev}) {
        const auto add = batch.add.find(family);
        const auto remove = batch.remove.find(family);
        const bool removes = remove != batch.remove.end() && !remove->second.whole_table;
        Table& table = rules[family];
        if (add != batch.add.end()) {
            TRY_OK(make(family, add->second, table, has_device));
        }
        if (removes) {
            TRY_OK(remove_elements(remove->second, table));
        }
        if (add != batch.add.end()) {
            TRY_OK(add_elements(add->second, table));
        }
        if (removes) {
            TRY_OK(drop(remove->second, table));
        }
        TRY_OK(check_references(table));
        if (table.sets.empty() && table.chains.empty()) {
            rules.erase(family);
        }
    }
    return rules;
}

void forget_device(Ruleset& rules, const IfName& device) {
    const auto table = rules.find(Family::netdev);
    if (table == rules.end()) {
        return;
    }
    std::erase_if(table->second.chains, [&device](const auto& entry) {
        return entry.second.hook && entry.second.hook->device == device.str();
    });
    if (table->second.chains.empty() && table->second.sets.empty()) {
        rules.erase(table);
    }
}

}  // namespace bascule::test
