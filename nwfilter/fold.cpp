// SPDX-License-Identifier: GPL-2.0-or-later
#include "nwfilter/fold.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

namespace bascule::nwfilter {

namespace {

namespace policy = kernel::policy;
using policy::Action;
using policy::Condition;
using policy::Decision;
using policy::Field;

constexpr std::size_t kShort = 2;
constexpr std::uint32_t kIp4 = 0x0800;

// The one type that the condition asks for, of eth_type or protocol.
std::optional<std::uint32_t> single_type(const Condition& condition, Field field) {
    const auto* const among = std::get_if<policy::Among>(&condition.test);
    if (among == nullptr || condition.negated || among->field != field || among->values.size() != 1 ||
        among->mask != policy::Value::ones(field) || among->values[0].first != among->values[0].last) {
        return std::nullopt;
    }
    return among->values[0].first.number(field);
}

bool is_tag(std::uint32_t type) { return type == 0x8100 || type == 0x88a8; }

// Repetitions, and `protocol = T` beside `eth.type = T`: an untagged frame has both alike.
void simplify(std::vector<Condition>& when) {
    std::vector<Condition> out;
    for (const Condition& condition : when) {
        const auto type = single_type(condition, Field::protocol);
        const bool implied = type && std::ranges::any_of(when, [&](const Condition& other) {
                                 return single_type(other, Field::eth_type) == type && !is_tag(*type);
                             });
        if (!implied && std::ranges::find(out, condition) == out.end()) {
            out.push_back(condition);
        }
    }
    when = std::move(out);
}

// A rule of one protocol in the chain of another never matches, and nft refuses to say such a thing.
bool contradicts_itself(const std::vector<Condition>& when) {
    std::optional<std::uint32_t> outer, inner;
    for (const Condition& condition : when) {
        for (auto [field, known] : {std::pair(Field::eth_type, &outer), std::pair(Field::protocol, &inner)}) {
            if (const auto type = single_type(condition, field)) {
                if (*known && *known != type) {
                    return true;
                }
                *known = type;
            }
        }
    }
    return outer && inner && outer != inner && !is_tag(*outer);
}

bool goes_on(const policy::Section& section) {
    return section.decisions.size() <= kShort && std::ranges::all_of(section.decisions, [](const Decision& d) {
               return d.action == Action::accept || policy::drops(d.action);
           });
}

void inline_short_sections(Directed& directed) {
    auto& sections = directed.policy.sections;
    std::vector<Decision> out;
    for (Decision& decision : sections[0].decisions) {
        const bool enters = decision.action == Action::enter;
        if (enters && sections[decision.section].decisions.empty()) {
            continue;
        }
        if (!enters || directed.own.contains(decision.section) || !goes_on(sections[decision.section])) {
            out.push_back(std::move(decision));
            continue;
        }
        for (const Decision& inner : sections[decision.section].decisions) {
            Decision& joined = out.emplace_back(inner);
            joined.when.insert(joined.when.begin(), decision.when.begin(), decision.when.end());
        }
    }
    sections[0].decisions = std::move(out);
    for (std::size_t i = 1; i < sections.size(); ++i) {
        if (std::ranges::find(directed.policy.layers, i) != directed.policy.layers.end()) {
            continue;
        }
        const bool entered = std::ranges::any_of(
            sections[0].decisions, [&](const Decision& d) { return d.action == Action::enter && d.section == i; });
        if (!entered) {
            sections[i].decisions.clear();
        }
    }
}

// Conditions on the Ethernet type that all of these have: frames of another type need no look-up.
std::vector<Condition> types_of_all(std::vector<Decision>::const_iterator first,
                                    std::vector<Decision>::const_iterator last) {
    std::vector<Condition> out;
    for (const Condition& condition : first->when) {
        const bool type = single_type(condition, Field::eth_type) || single_type(condition, Field::protocol);
        if (type && std::all_of(first, last, [&](const Decision& decision) {
                return std::ranges::find(decision.when, condition) != decision.when.end();
            })) {
            out.push_back(condition);
        }
    }
    return out;
}

// A layer's decisions that hold one port's values go into sections of their own, so that ports which differ in nothing
// else have that layer together. What leaves the layer has to stay in it.
void move_own_decisions(Directed& directed) {
    policy::Policy& p = directed.policy;
    for (const std::size_t layer : p.layers) {
        if (!directed.own.contains(layer)) {
            continue;
        }
        const auto moves = [](const Decision& decision) { return decision.own && decision.action != Action::leave; };
        const std::vector<Decision> all = std::exchange(p.sections[layer].decisions, {});
        std::vector<Decision> left;
        for (auto it = all.begin(); it != all.end();) {
            const auto end = std::find_if_not(it, all.end(), moves);
            if (end == it) {
                left.push_back(*it++);
                continue;
            }
            const std::size_t index = p.sections.size();
            left.push_back({types_of_all(it, end), Action::enter, index, {}});
            p.sections.push_back({"own" + std::to_string(index), {it, end}});
            directed.own.insert(index);
            it = end;
        }
        if (std::ranges::none_of(left, &Decision::own)) {
            directed.own.erase(layer);
        }
        p.sections[layer].decisions = std::move(left);
    }
}

// Nothing is reached behind a decision that takes every frame.
void cut(policy::Section& section) {
    const auto last = std::ranges::find_if(section.decisions, [](const Decision& d) {
        return d.when.empty() && d.action != Action::enter && d.action != Action::next;
    });
    if (last != section.decisions.end()) {
        section.decisions.erase(last + 1, section.decisions.end());
    }
}

enum class Truth { no, yes, unknown };

// What is known of a frame that the fast look-up would accept.
struct Facts {
    policy::Listed mac, ip;

    Truth of(const Condition& condition) const {
        const auto truth = [&](bool holds) { return holds != condition.negated ? Truth::yes : Truth::no; };
        if (const auto* const listed = std::get_if<policy::Listed>(&condition.test)) {
            if (std::ranges::any_of(listed->fields, absent)) {
                return Truth::no;
            }
            return *listed == mac || *listed == ip ? truth(true) : Truth::unknown;
        }
        if (const auto* const among = std::get_if<policy::Among>(&condition.test)) {
            if (absent(among->field)) {
                return Truth::no;
            }
            if (among->field != Field::eth_type && among->field != Field::protocol) {
                return Truth::unknown;
            }
            policy::Packet packet;
            packet.set(among->field, policy::Value::of(among->field, kIp4));
            return policy::holds(condition, packet, {}) ? Truth::yes : Truth::no;
        }
        const auto* const same = std::get_if<policy::Same>(&condition.test);
        return same != nullptr && absent(same->first) ? Truth::no : Truth::unknown;
    }

    // An IPv4 frame has no fields of ARP and IPv6.
    static bool absent(Field field) {
        return (field >= Field::vlan_id && field <= Field::arp_dst_ip) ||
               (field >= Field::ip6_src && field <= Field::icmp6_code);
    }

    Truth all(const std::vector<Condition>& when) const {
        Truth out = Truth::yes;
        for (const Condition& condition : when) {
            const Truth one = of(condition);
            if (one == Truth::no) {
                return Truth::no;
            }
            out = one == Truth::unknown ? Truth::unknown : out;
        }
        return out;
    }
};

// The ways in which a section can end for such frames.
struct Ends {
    bool drop = false;
    bool goes_on = false;  // left, or ran to its end
};

Ends run(const policy::Policy& p, std::size_t section, const Facts& facts) {
    Ends ends;
    for (const Decision& decision : p.sections[section].decisions) {
        const Truth met = facts.all(decision.when);
        if (met == Truth::no) {
            continue;
        }
        bool stops = true;
        switch (decision.action) {
            case Action::accept: break;
            case Action::drop:
            case Action::reject: ends.drop = true; break;
            case Action::leave: ends.goes_on = true; break;
            case Action::next: stops = false; break;
            case Action::enter: {
                const Ends inner = run(p, decision.section, facts);
                ends.drop = ends.drop || inner.drop;
                stops = !inner.goes_on;
                break;
            }
        }
        if (met == Truth::yes && stops) {
            return ends;
        }
    }
    ends.goes_on = true;
    return ends;
}

// The look-ups of a single field that the policy's first layer makes.
std::vector<policy::Listed> look_ups(const policy::Policy& p, Field field) {
    std::vector<policy::Listed> out;
    const std::size_t end = p.layers.size() > 1 ? p.layers[1] : p.sections.size();
    for (std::size_t i = 0; i < end; ++i) {
        const policy::Section& section = p.sections[i];
        for (const Decision& decision : section.decisions) {
            for (const Condition& condition : decision.when) {
                const auto* const listed = std::get_if<policy::Listed>(&condition.test);
                if (listed != nullptr && listed->fields == std::vector{field} &&
                    std::ranges::find(out, *listed) == out.end()) {
                    out.push_back(*listed);
                }
            }
        }
    }
    return out;
}

void ask_own_address_first(Compiled& compiled) {
    policy::Policy& p = compiled.out.policy;
    const auto macs = look_ups(p, Field::eth_src), ips = look_ups(p, Field::ip4_src);
    if (macs.size() != 1 || ips.size() != 1 || run(p, 0, {macs[0], ips[0]}).drop) {
        return;
    }
    const std::string table(kOwnAddress);
    compiled.tables[table] = {{Field::eth_src, Field::ip4_src}, true};
    compiled.own_address = {macs[0].table, ips[0].table};
    fill_own_address(*compiled.own_address, compiled.rows, compiled.awaiting);
    auto& decisions = p.sections[0].decisions;
    decisions.insert(decisions.begin(), {{policy::equals(Field::eth_type, policy::Value::of(Field::eth_type, kIp4)),
                                          {policy::Listed{{Field::eth_src, Field::ip4_src}, table}, false}},
                                         Action::accept,
                                         0,
                                         std::string(kOwnAddressReason)});
}

}  // namespace

bool is_own_address(const Decision& decision) {
    return std::ranges::any_of(decision.when, [](const Condition& condition) {
        const auto* const listed = std::get_if<policy::Listed>(&condition.test);
        return listed != nullptr && listed->table == kOwnAddress;
    });
}

void fill_own_address(const std::pair<std::string, std::string>& from, policy::Tables& rows,
                      std::map<std::string, std::set<AwaitingRow>>& awaiting) {
    const std::string table(kOwnAddress);
    const auto& [macs, addresses] = from;
    auto& own = rows[table];
    for (const policy::Row& mac : rows[macs]) {
        for (const AwaitingRow& row : awaiting[addresses]) {
            awaiting[table].insert({mac[0], row[0]});
        }
        for (const policy::Row& address : rows[addresses]) {
            own.insert({mac[0], address[0]});
        }
    }
}

void fold(Compiled& compiled) {
    for (Directed* const directed : {&compiled.out, &compiled.in}) {
        inline_short_sections(*directed);
        for (policy::Section& section : directed->policy.sections) {
            std::erase_if(section.decisions, [](const Decision& d) { return contradicts_itself(d.when); });
            for (Decision& decision : section.decisions) {
                simplify(decision.when);
            }
            cut(section);
        }
    }
    ask_own_address_first(compiled);
    for (Directed* const directed : {&compiled.out, &compiled.in}) {
        move_own_decisions(*directed);
    }
}

}  // namespace bascule::nwfilter
