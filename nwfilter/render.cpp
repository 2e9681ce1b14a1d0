// SPDX-License-Identifier: GPL-2.0-or-later
#include "nwfilter/render.h"

#include <algorithm>

#include <fmt/format.h>

#include "nwfilter/match_text.h"

namespace bascule::nwfilter {

namespace {

namespace policy = kernel::policy;

// Behind the bridge's connection tracking (-200), before br_netfilter hands frames to the IP layer's rules (0).
constexpr int kPriority = -150;

// One direction of one port.
class Renderer {
public:
    Renderer(const Directed& directed, bool out, const IfName& port, kernel::Table& table)
        : directed_(directed), out_(out), port_(port), table_(table) {}

    void run() {
        const policy::Policy& p = directed_.policy;
        if (p.sections[p.layers[0]].decisions.empty()) {
            return;
        }
        const std::string root = section(p.layers[0]);
        const std::string map = out_ ? "nwf_from" : "nwf_to";
        table_.sets[map] = {"ifname", "verdict"};
        table_.elements[map][port_.str()] = {"jump " + root, std::nullopt};
        const std::string hook = out_ ? "prerouting" : "postrouting";
        table_.add_chain("nwf_" + hook, {kernel::Hook{"filter", hook, kPriority, {}, "accept"},
                                         {fmt::format("{} vmap @{}", device(), map)}});
    }

private:
    std::string_view device() const { return out_ ? "iifname" : "oifname"; }
    std::string stem() const { return out_ ? "nwf_out" : "nwf_in"; }

    // Renders it and what it enters; returns the chain's name.
    std::string section(std::size_t index) {
        const policy::Section& from = directed_.policy.sections[index];
        kernel::Chain chain;
        for (const policy::Decision& decision : from.decisions) {
            const std::string then = verdict(decision);
            for (const std::string& match : match_texts(decision.when, device())) {
                chain.rules.push_back(match.empty() ? then : match + " " + then);
            }
        }
        const bool root = index == directed_.policy.layers[0];
        return table_.add_chain(root ? stem() : stem() + "_" + identifier(from.name), std::move(chain));
    }

    std::string verdict(const policy::Decision& decision) {
        const std::string comment =
            decision.origin.empty() ? std::string() : fmt::format(" comment \"{}\"", decision.origin);
        switch (decision.action) {
            case policy::Action::accept: return "accept" + comment;
            case policy::Action::drop: return "counter drop" + comment;
            case policy::Action::leave: return "return" + comment;
            case policy::Action::next: return "counter" + comment;
            case policy::Action::enter: break;
        }
        const std::string chain = section(decision.section);
        if (!directed_.own.contains(decision.section)) {
            return "jump " + chain;
        }
        const std::string map = fmt::format("nwf_own_{}_{}", out_ ? "out" : "in",
                                            identifier(directed_.policy.sections[decision.section].name));
        table_.sets[map] = {"ifname", "verdict"};
        table_.elements[map][port_.str()] = {"jump " + chain, std::nullopt};
        return fmt::format("{} vmap @{}", device(), map);
    }

    // Chains of filters may have ':' in their names, nft identifiers '/' but not that.
    static std::string identifier(std::string name) {
        std::ranges::replace(name, ':', '/');
        return name;
    }

    const Directed& directed_;
    const bool out_;
    const IfName& port_;
    kernel::Table& table_;
};

kernel::SetDef set_of(const TableDef& def) {
    kernel::SetDef set{"ifname", {}};
    for (const policy::Field field : def.fields) {
        set.key += " . " + std::string(column_type(field));
    }
    set.timeouts = def.timed;
    return set;
}

}  // namespace

kernel::Ruleset render(const Compiled& compiled, const IfName& port) {
    kernel::Table table;
    for (const bool out : {true, false}) {
        Renderer(out ? compiled.out : compiled.in, out, port, table).run();
    }
    for (const auto& [name, def] : compiled.tables) {
        table.sets[name] = set_of(def);
        const auto rows = compiled.rows.find(name);
        if (rows == compiled.rows.end()) {
            continue;
        }
        for (const policy::Row& row : rows->second) {
            std::string key = port.str();
            for (std::size_t i = 0; i < row.size(); ++i) {
                key += " . " + policy::format(def.fields[i], row[i]);
            }
            table.elements[name][key] = {};
        }
    }
    return table.empty() ? kernel::Ruleset{} : kernel::Ruleset{{kernel::Family::bridge, std::move(table)}};
}

std::vector<LearnedSet> learned_sets(const Compiled& compiled, const IfName& port) {
    std::vector<LearnedSet> out;
    for (const auto& [name, rows] : compiled.awaiting) {
        const TableDef& def = compiled.tables.at(name);
        for (const AwaitingRow& row : rows) {
            LearnedSet learned{name, port.str(), IpFamily::v4};
            for (std::size_t i = 0; i < row.size(); ++i) {
                learned.key += " . " + (row[i] ? policy::format(def.fields[i], *row[i]) : "$IP");
                if (!row[i] && policy::bits_of(def.fields[i]) == 128) {
                    learned.family = IpFamily::v6;
                }
            }
            out.push_back(std::move(learned));
        }
    }
    return out;
}

}  // namespace bascule::nwfilter
