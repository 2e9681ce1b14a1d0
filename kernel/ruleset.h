// SPDX-License-Identifier: GPL-2.0-or-later
// nftables as values: what our three tables hold, or should.
//
// Chains are immutable and named by their content: Chain::named(stem, rules) appends a hash of the rules
// to the stem, so a changed chain is a new chain, "is it the same" is a comparison of names, and editing
// a filter is: add the new chains, move the map elements, drop the old chains, in one transaction with
// no moment in between. Base chains are no exception: two generations of one never exist outside the
// transaction that swaps them.
//
// What differs from port to port or network to network are elements of sets and verdict maps, so that a
// new port costs elements, not rules. Set definitions are fixed by the code and never change under a
// name; a changed definition gets a new name.
//
// Rules, keys and data are nft text in its canonical spelling, exactly as `nft -j list` lets us rebuild
// it: interface names bare in keys, addresses lower case, key fields joined by " . ".
//
// An observed chain need not carry the text of its rules: the name stands for it. It has as many entries
// as the kernel has rules, so that a chain that somebody flushed or added to is noticed (and written
// anew: render() flushes what it adds).
//
// A table that a batch leaves with neither chains nor sets is dropped by whoever applies the batch, in the
// same transaction: only he sees the whole table. plan() never asks for it, and no State holds an empty table.
#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace bascule::kernel {

enum class Family { inet, bridge, netdev };
std::string_view name_of(Family family);  // "inet"

// Where packets enter a base chain.
struct Hook {
    std::string type;  // "filter", "nat", "route"
    std::string hook;  // "forward", "prerouting", "postrouting", …
    int priority = 0;
    std::string device;  // netdev family only, else empty
    std::string policy = "accept";
    auto operator<=>(const Hook&) const = default;
};

// Rules' texts. Copies share them until one is changed: the wishes of a thousand ports hold the same chains.
class RuleTexts {
public:
    using Texts = std::vector<std::string>;
    using value_type = std::string;
    using const_iterator = Texts::const_iterator;

    RuleTexts() = default;
    RuleTexts(std::initializer_list<std::string> texts) : RuleTexts(Texts(texts)) {}
    RuleTexts(Texts texts) : texts_(texts.empty() ? nullptr : std::make_shared<Texts>(std::move(texts))) {}

    const Texts& all() const;
    bool empty() const { return all().empty(); }
    std::size_t size() const { return all().size(); }
    const_iterator begin() const { return all().begin(); }
    const_iterator end() const { return all().end(); }
    const std::string& front() const { return all().front(); }

    void push_back(std::string text) { own().push_back(std::move(text)); }
    template <class... Args>
    void emplace_back(Args&&... args) {
        own().emplace_back(std::forward<Args>(args)...);
    }
    void clear() { texts_.reset(); }
    friend bool operator==(const RuleTexts& a, const RuleTexts& b) {
        return a.texts_ == b.texts_ || a.all() == b.all();
    }

private:
    Texts& own();

    std::shared_ptr<Texts> texts_;  // null: none
};

struct Chain {
    std::optional<Hook> hook;  // none: reached by jump, goto or a verdict map only
    RuleTexts rules;           // each one nft rule, without "add rule …"
    bool operator==(const Chain&) const = default;
};

// The name a chain of that stem and content has: "stem_1a2b3c4d5e6f7081".
std::string chain_name(std::string_view stem, const Chain& chain);

// A set or, with `data`, a map. Flags and types in nft's words.
struct SetDef {
    std::string key;        // "ifname . ether_addr . ipv4_addr"; bytes without a type: "@th,64,128"
    std::string data;       // "verdict", or empty for a set
    bool timeouts = false;  // elements may have one
    bool intervals = false;
    // What each element has of its own and is asked whenever it is found: "counter", or a "limit …" that, once it is
    // exceeded, makes the rule end there. With "; size N; flags dynamic" behind it: packets fill the set.
    std::string statement{};
    auto operator<=>(const SetDef&) const = default;
};

// An element. Its expiry is part of the wish but not of identity: the kernel counts down by itself.
struct Element {
    std::string data;  // verdict or value of a map ("jump class_…"), else empty
    // When the kernel shall drop it, in CLOCK_BOOTTIME time; none: never.
    std::optional<std::chrono::steady_clock::time_point> expires;
    bool operator==(const Element&) const = default;
};

struct Table {
    std::map<std::string, SetDef> sets;                              // by name, maps too
    std::map<std::string, Chain> chains;                             // by content name
    std::map<std::string, std::map<std::string, Element>> elements;  // set name -> key -> element
    bool empty() const { return sets.empty() && chains.empty() && elements.empty(); }
    bool operator==(const Table&) const = default;

    // Adds a chain under its content name and returns that name, for jumps and elements.
    std::string add_chain(std::string_view stem, Chain chain);
};

// Our tables, all called "bascule".
using Ruleset = std::map<Family, Table>;

// Adds rules to rules. What both have must be the same, as it is when both come from one compiler.
void merge(Ruleset& into, Ruleset from);

// One transaction: everything in it or nothing. Order within: whole tables dropped, tables, chains, sets,
// rules, elements removed, elements added, chains flushed, sets dropped, chains dropped. (Chains come
// before sets since nft 1.0.6 resolves verdicts of interval maps when it meets the map.) A changed element
// is removed and added inside the same transaction.
struct RuleBatch {
    Ruleset add;
    // Definitions of the sets whose elements are added or removed, also where the sets exist already: keys can
    // only be written by somebody who knows their types.
    std::map<Family, std::map<std::string, SetDef>> types;
    struct Removal {
        std::set<std::string> chains, sets;
        std::map<std::string, std::set<std::string>> elements;
        bool whole_table = false;  // with all in it, known or not, before anything is added; absent is fine
        bool empty() const { return chains.empty() && sets.empty() && elements.empty() && !whole_table; }
        bool operator==(const Removal&) const = default;
    };
    std::map<Family, Removal> remove;
    bool empty() const { return add.empty() && remove.empty(); }
    bool operator==(const RuleBatch&) const = default;
};

// nft script for one batch. `now` turns expiries into the "timeout" that nft wants; elements that have expired by
// then are left out.
std::string render(const RuleBatch& batch, std::chrono::steady_clock::time_point now);
// A key or a map's value as nft reads it: the parts of type ifname quoted (`"vnet0" . 52:54:00:00:00:01`).
// `type` is SetDef::key or SetDef::data.
std::string quoted(std::string_view type, std::string_view text);
// The parts of a key or of its type, which nft joins with " . ".
std::vector<std::string_view> fields_of_element(std::string_view text);
// The ruleset as a readable nft file: what golden files hold and `nft -c` judges.
std::string dump(const Ruleset& ruleset);

}  // namespace bascule::kernel
