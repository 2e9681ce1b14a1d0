// SPDX-License-Identifier: GPL-2.0-or-later
#include "nwfilter/render.h"

#include <algorithm>

#include <fmt/format.h>

#include "nwfilter/match_text.h"

namespace bascule::nwfilter {

namespace {

namespace policy = kernel::policy;

// Behind the bridge's connection tracking (-200), before br_netfilter hands frames to the IP layer's rules (0). The
// layers go one after the other.
constexpr int kPriority = -150;
// The mark of resets and ICMP errors that rejecting makes.
constexpr std::uint32_t kRejection = 0x62617363;

// One direction of one port.
class Renderer {
public:
    Renderer(const Directed& directed, bool out, const IfName& port, const Abilities& abilities, kernel::Table& table)
        : directed_(directed), out_(out), port_(port), abilities_(abilities), table_(table) {}

    void run() {
        const policy::Policy& p = directed_.policy;
        for (std::size_t i = 0; i < p.layers.size(); ++i) {
            if (!p.sections[p.layers[i]].decisions.empty()) {
                layer(p.layers[i], kPriority + static_cast<int>(i), i == 0 ? "" : "_" + p.sections[p.layers[i]].name);
            }
        }
    }

private:
    void layer(std::size_t index, int priority, const std::string& suffix) {
        const std::string root = section(index);
        const std::string map = (out_ ? "nwf_from" : "nwf_to") + suffix;
        table_.sets[map] = {"ifname", "verdict"};
        table_.elements[map][port_.str()] = {"jump " + root, std::nullopt};
        const std::string hook = out_ ? "prerouting" : "postrouting";
        kernel::Chain base{kernel::Hook{"filter", hook, priority, {}, "accept"}, {}};
        if (!out_) {
            base.rules.push_back(fmt::format("meta mark {:#x} accept", kRejection));
        }
        base.rules.push_back(fmt::format("{} vmap @{}", device(), map));
        table_.add_chain("nwf_" + hook + suffix, std::move(base));
    }

    std::string_view device() const { return out_ ? "iifname" : "oifname"; }
    std::string stem() const { return out_ ? "nwf_out" : "nwf_in"; }

    // Renders it and what it enters; returns the chain's name.
    std::string section(std::size_t index) {
        const policy::Section& from = directed_.policy.sections[index];
        kernel::Chain chain;
        for (const policy::Decision& decision : from.decisions) {
            for (const auto& [more, then] : verdicts(decision)) {
                for (const std::string& match : match_texts(decision.when, device(), port_.str())) {
                    std::string rule = match.empty() ? more : more.empty() ? match : match + " " + more;
                    rule += rule.empty() ? then : " " + then;
                    chain.rules.push_back(std::move(rule));
                }
            }
        }
        const bool root = index == directed_.policy.layers[0];
        return table_.add_chain(root ? stem() : stem() + "_" + identifier(from.name), std::move(chain));
    }

    // What the kernel makes when it rejects goes out to the guest like any other frame, and no filter lets it pass: it
    // belongs to no connection. It is known by its being made on this host, where a guest's frames never are.
    void let_rejections_pass() {
        const std::string mark = fmt::format("meta mark set {:#x}", kRejection);
        table_.add_chain("nwf_output", {kernel::Hook{"filter", "output", kPriority, {}, "accept"},
                                        {"meta protocol ip ip protocol 6 tcp flags & 4 == 4 " + mark,
                                         "meta protocol ip6 meta l4proto 6 tcp flags & 4 == 4 " + mark,
                                         "meta protocol ip ip protocol 1 icmp type 3 " + mark,
                                         "meta protocol ip6 meta l4proto 58 icmpv6 type 1 " + mark}});
    }

    static bool asks(const policy::Decision& decision, policy::Field field, std::uint32_t value) {
        return std::ranges::any_of(decision.when, [&](const policy::Condition& condition) {
            return condition == policy::equals(field, policy::Value::of(field, value));
        });
    }

    // What the decision says, each behind what it needs beside the decision's own conditions: TCP is rejected with a
    // reset, all else with ICMP. A reject is to be seen by its sender, who is told only where frames come in.
    std::vector<std::pair<std::string, std::string>> verdicts(const policy::Decision& decision) {
        if (decision.action != policy::Action::reject || !out_ || !abilities_.reject) {
            return {{"", verdict(decision)}};
        }
        let_rejections_pass();
        constexpr std::uint32_t kTcp = 6;
        const std::string comment = fmt::format(" comment \"{}\"", decision.origin);
        const std::string reset = "counter reject with tcp reset" + comment;
        if (asks(decision, policy::Field::ip4_protocol, kTcp) || asks(decision, policy::Field::ip6_protocol, kTcp)) {
            return {{"", reset}};
        }
        const std::string icmp = "counter reject" + comment;
        const bool other = std::ranges::any_of(decision.when, [](const policy::Condition& condition) {
            const auto* const among = std::get_if<policy::Among>(&condition.test);
            return among != nullptr && !condition.negated &&
                   (among->field == policy::Field::ip4_protocol || among->field == policy::Field::ip6_protocol);
        });
        if (other) {
            return {{"", icmp}};
        }
        return {{"meta l4proto tcp", reset}, {"", icmp}};
    }

    std::string verdict(const policy::Decision& decision) {
        const std::string comment =
            decision.origin.empty() ? std::string() : fmt::format(" comment \"{}\"", decision.origin);
        switch (decision.action) {
            case policy::Action::accept: return "accept" + comment;
            case policy::Action::drop:
            case policy::Action::reject: return "counter drop" + comment;
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
    const Abilities& abilities_;
    kernel::Table& table_;
};

// A row's value in an element's key.
std::string element_text(policy::Field field, const policy::Value& value) {
    return field == policy::Field::nd_target ? number_text(value) : policy::format(field, value);
}

kernel::SetDef set_of(const TableDef& def) {
    kernel::SetDef set{"ifname", {}};
    for (const policy::Field field : def.fields) {
        set.key += " . " + std::string(column_type(field));
    }
    set.timeouts = def.timed;
    return set;
}

}  // namespace

std::string number_text(const policy::Value& value) {
    std::string digits;
    for (const std::uint8_t octet : value.octets) {
        digits += fmt::format("{:02x}", octet);
    }
    return "0x" + digits.substr(std::min(digits.find_first_not_of('0'), digits.size() - 1));
}

kernel::Ruleset render(const Compiled& compiled, const IfName& port, const Abilities& abilities) {
    kernel::Table table;
    for (const bool out : {true, false}) {
        Renderer(out ? compiled.out : compiled.in, out, port, abilities, table).run();
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
                key += " . " + element_text(def.fields[i], row[i]);
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
                learned.key += " . " + (row[i] ? element_text(def.fields[i], *row[i])
                                        : def.fields[i] == policy::Field::nd_target ? "$HEX"
                                                                                    : "$IP");
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
