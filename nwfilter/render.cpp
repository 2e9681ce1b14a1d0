// SPDX-License-Identifier: GPL-2.0-or-later
#include "nwfilter/render.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "nwfilter/counters.h"
#include "nwfilter/fold.h"
#include "nwfilter/match_text.h"

namespace bascule::nwfilter {

namespace {

namespace policy = kernel::policy;

// Behind the bridge's connection tracking (-200), before br_netfilter hands frames to the IP layer's rules (0). The
// layers go one after the other.
constexpr int kPriority = -150;
constexpr int kLayers = 2;
// The mark of resets and ICMP errors that rejecting makes.
constexpr std::uint32_t kRejection = 0x62617363;
// The bit of a connection's mark that says: its last packet was rejected on its way out to a guest.
constexpr std::uint32_t kRefused = 0x40000000;

// Where a policy's rules stand, and how they know the port.
struct Way {
    const Directed& directed;
    std::string_view hook;
    int priority = 0;
    std::string base, stem, map, own;  // names of chains and of maps
    PortKey key;
    std::string_view key_type;      // "ifname"
    std::string element;            // the port in the maps
    const CounterSet& drops;        // where drops are counted
    bool tells = false;             // whoever is rejected is told
    bool made_here = false;         // what rejecting makes comes this way, too
    bool refuses = false;           // rejected connections are marked: see refuse_marked()
    bool asks_own_address = false;  // the look-up that fold() puts first stands in front of the map
};

// One policy of one port.
class Renderer {
public:
    Renderer(const Way& way, kernel::Table& table) : way_(way), table_(table) {}

    void run() {
        const policy::Policy& p = way_.directed.policy;
        if (way_.asks_own_address) {
            table_.sets[std::string(kOwnAddress)] = {
                fmt::format("{} . ether_addr . ipv4_addr", way_.key_type), {}, true};
        }
        for (std::size_t i = 0; i < p.layers.size(); ++i) {
            if (!p.sections[p.layers[i]].decisions.empty()) {
                layer(p.layers[i], way_.priority + static_cast<int>(i),
                      i == 0 ? "" : "_" + p.sections[p.layers[i]].name);
            }
        }
    }

private:
    void layer(std::size_t index, int priority, const std::string& suffix) {
        const std::string root = section(index);
        const std::string map = way_.map + suffix;
        put(map, root);
        kernel::Chain base{kernel::Hook{"filter", std::string(way_.hook), priority, {}, "accept"}, {}};
        if (way_.asks_own_address && index == way_.directed.policy.layers[0]) {
            base.rules.push_back(fmt::format("ether type ip {} . ether saddr . ip saddr @{} accept comment \"{}\"",
                                             way_.key.expression, kOwnAddress, kOwnAddressReason));
        }
        base.rules.push_back(fmt::format("{} vmap @{}", way_.key.expression, map));
        table_.add_chain(way_.base + suffix, std::move(base));
    }

    void put(const std::string& map, const std::string& chain) {
        table_.sets[map] = {std::string(way_.key_type), "verdict"};
        table_.elements[map][way_.element] = {"jump " + chain, std::nullopt};
    }

    // Renders it and what it enters; returns the chain's name.
    std::string section(std::size_t index) {
        const policy::Section& from = way_.directed.policy.sections[index];
        kernel::Chain chain;
        if (way_.made_here &&
            std::ranges::find(way_.directed.policy.layers, index) != way_.directed.policy.layers.end()) {
            chain.rules.push_back(fmt::format("meta mark {:#x} accept", kRejection));
        }
        for (const policy::Decision& decision : from.decisions) {
            if (way_.asks_own_address && is_own_address(decision)) {
                continue;  // the base chain asks it for all ports
            }
            for (const auto& [more, then] : verdicts(decision)) {
                for (const std::string& match : match_texts(decision.when, way_.key)) {
                    std::string rule = match.empty() ? more : more.empty() ? match : match + " " + more;
                    rule += rule.empty() ? then : " " + then;
                    chain.rules.push_back(std::move(rule));
                }
            }
        }
        const bool root = index == way_.directed.policy.layers[0];
        return table_.add_chain(root ? way_.stem : way_.stem + "_" + identifier(from.name), std::move(chain));
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
        if (decision.action == policy::Action::reject && way_.refuses) {
            const std::string mark = fmt::format("ct mark set ct mark | {:#010x} drop", kRefused);
            return {{"", final(decision, "nwf_reject", mark)}};
        }
        if (decision.action != policy::Action::reject || !way_.tells) {
            return {{"", verdict(decision)}};
        }
        let_rejections_pass();
        constexpr std::uint32_t kTcp = 6;
        const std::string reset = final(decision, "nwf_reject_tcp", "reject with tcp reset");
        if (asks(decision, policy::Field::ip4_protocol, kTcp) || asks(decision, policy::Field::ip6_protocol, kTcp)) {
            return {{"", reset}};
        }
        const std::string icmp = final(decision, "nwf_reject", "reject");
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
            case policy::Action::reject: return final(decision, "nwf_drop", "drop");
            case policy::Action::leave: return "return" + comment;
            case policy::Action::next: return "counter" + comment;
            case policy::Action::enter: break;
        }
        const std::string chain = section(decision.section);
        if (!way_.directed.own.contains(decision.section)) {
            return "jump " + chain;
        }
        const std::string map = way_.own + "_" + identifier(way_.directed.policy.sections[decision.section].name);
        put(map, chain);
        return fmt::format("{} vmap @{}", way_.key.expression, map);
    }

    // Counted by the rule, and by port and reason where it ends: the reason is the packet's mark there. When that set
    // is full the packet ends all the same.
    std::string final(const policy::Decision& decision, std::string_view stem, std::string_view verdict) {
        const CounterSet& drops = way_.drops;
        table_.sets[std::string(drops.name)] = definition_of(drops);
        const std::string chain = table_.add_chain(
            fmt::format("{}_{}", stem, drops.direction),
            {{}, {fmt::format("update @{} {{ {} . meta mark }}", drops.name, drops.expression), std::string(verdict)}});
        return fmt::format("counter meta mark set {:#x} goto {} comment \"{}\"", mark_of(decision.origin), chain,
                           decision.origin);
    }

    // Chains of filters may have ':' in their names, nft identifiers '/' but not that.
    static std::string identifier(std::string name) {
        std::ranges::replace(name, ':', '/');
        return name;
    }

    const Way& way_;
    kernel::Table& table_;
};

bool is_rarp_address(const TableDef& def, policy::Field field) {
    return def.rarp && (field == policy::Field::arp_src_mac || field == policy::Field::arp_dst_mac);
}

// A row's value in an element's key: bytes without a type as nft shows them, up to 64 bits in decimal digits.
std::string element_text(const TableDef& def, policy::Field field, const policy::Value& value) {
    if (is_rarp_address(def, field)) {
        std::uint64_t number = 0;
        for (std::size_t i = 0; i < 6; ++i) {
            number = number << 8 | value.octets[i];
        }
        return fmt::format("{}", number);
    }
    return field == policy::Field::nd_target ? number_text(value) : policy::format(field, value);
}

// A table's name where the rows begin with bridge and MAC.
std::string ahead(std::string_view table) { return "nwf_ahead_" + std::string(table.substr(std::size("nwf_") - 1)); }

// A table as nft has it: what rows begin with is up to the way.
struct Keyed {
    std::string_view type;  // "ifname"
    std::string element;
};

kernel::SetDef set_of(const TableDef& def, std::string_view begins) {
    kernel::SetDef set{std::string(begins), {}};
    for (const policy::Field field : def.fields) {
        set.key += " . " + std::string(is_rarp_address(def, field) ? kRarpAddress : column_type(field));
    }
    set.timeouts = def.timed;
    return set;
}

void put_rows(const Compiled& compiled, const std::string& name, const std::string& set, const Keyed& keyed,
              kernel::Table& table) {
    const TableDef& def = compiled.tables.at(name);
    table.sets[set] = set_of(def, keyed.type);
    const auto rows = compiled.rows.find(name);
    if (rows != compiled.rows.end() && !rows->second.empty()) {
        add_rows(def, rows->second, keyed.element, table.elements[set]);
    }
}

LearnedSet awaiting_set(const TableDef& def, const AwaitingRow& row, std::string set, std::string begin) {
    LearnedSet learned{std::move(set), std::move(begin), IpFamily::v4};
    for (std::size_t i = 0; i < row.size(); ++i) {
        learned.key += " . " + (row[i]                                      ? element_text(def, def.fields[i], *row[i])
                                : def.fields[i] == policy::Field::nd_target ? "$HEX"
                                                                            : "$IP");
        if (!row[i] && policy::bits_of(def.fields[i]) == 128) {
            learned.family = IpFamily::v6;
        }
    }
    return learned;
}

// ---- what is related ------------------------------------------------------------------------------------

struct Helper {
    std::string_view type, protocol;
    unsigned port;  // the one that its protocol is known by
};
constexpr std::array<Helper, 8> kHelpers{{{"amanda", "udp", 10080},
                                          {"ftp", "tcp", 21},
                                          {"irc", "tcp", 6667},
                                          {"pptp", "tcp", 1723},
                                          {"sane", "tcp", 6566},
                                          {"sip", "tcp", 5060},
                                          {"sip", "udp", 5060},
                                          {"tftp", "udp", 69}}};

std::string ability(const Helper& helper) { return fmt::format("{} {}", helper.type, helper.protocol); }

// New connections of the ports in the set are `given` something. The kernel takes it until a connection's first packet
// has left: where that comes from the port, or goes to it.
void give(const std::string& set, const IfName& port, std::string_view stem, kernel::Chain given,
          kernel::Table& table) {
    if (given.rules.empty()) {
        return;
    }
    const std::string chain = table.add_chain(stem, std::move(given));
    table.sets[set] = {"ifname", {}};
    table.elements[set][port.str()] = {};
    for (const auto& [hook, device] : {std::pair{"prerouting", "iifname"}, std::pair{"postrouting", "oifname"}}) {
        table.add_chain(set, {kernel::Hook{"filter", hook, kPriority - 1, {}, "accept"},
                              {fmt::format("{} @{} ct state new jump {}", device, set, chain)}});
    }
}

void render_helpers(const IfName& port, const Abilities& abilities, kernel::Table& table) {
    kernel::Chain given;
    for (const Helper& helper : kHelpers) {
        if (!abilities.helpers.contains(ability(helper))) {
            continue;
        }
        const std::string name = fmt::format("helper_{}_{}", helper.type, helper.protocol);
        table.sets[name] = {.key = "ct helper",
                            .data = {},
                            .statement = fmt::format("type \"{}\" protocol {}", helper.type, helper.protocol)};
        given.rules.push_back(fmt::format("{} dport {} ct helper set \"{}\"", helper.protocol, helper.port, name));
    }
    give("nwf_related", port, "nwf_helpers", std::move(given), table);
}

// Whoever counts connections counts those, too, that ended without saying so: by default TCP's for five days.
void render_timeouts(const IfName& port, kernel::Table& table) {
    struct Times {
        std::string_view protocol, policy;  // names in alphabetical order
    };
    constexpr std::array<Times, 2> kTimes{
        {{"tcp", "established : 7200, fin_wait : 30, time_wait : 30"}, {"udp", "replied : 60, unreplied : 10"}}};
    kernel::Chain given;
    for (const Times& times : kTimes) {
        const std::string name = fmt::format("timeout_{}", times.protocol);
        table.sets[name] = {.key = "ct timeout",
                            .data = {},
                            .statement = fmt::format("protocol {}; policy = {{ {} }}", times.protocol, times.policy)};
        given.rules.push_back(fmt::format("meta l4proto {} ct timeout set \"{}\"", times.protocol, name));
    }
    give("nwf_limited", port, "nwf_timeouts", std::move(given), table);
}

// ---- rejecting ahead ------------------------------------------------------------------------------------

constexpr std::string_view kAheadType = "ifname . ether_addr";

std::string ahead_element(const Port& port) { return fmt::format("{} . {}", port.bridge->str(), format(port.mac)); }

// The tables that the policy asks, but for those that all ports share.
std::set<std::string> tables_of(const policy::Policy& p) {
    std::set<std::string> out;
    for (const policy::Section& section : p.sections) {
        for (const policy::Decision& decision : section.decisions) {
            for (const policy::Condition& condition : decision.when) {
                const auto* const listed = std::get_if<policy::Listed>(&condition.test);
                if (listed != nullptr && !listed->shared) {
                    out.insert(listed->table);
                }
            }
        }
    }
    return out;
}

// The kernel compares 64 octets at most (NFT_DATA_VALUE_MAXLEN), of fields filled up to four.
bool fits(const TableDef& def) {
    constexpr unsigned kBridgeAndMac = 16 + 8, kLongest = 64;
    unsigned octets = kBridgeAndMac;
    for (const policy::Field field : def.fields) {
        octets += (policy::bits_of(field) / 8 + 3) & ~3U;
    }
    return octets <= kLongest;
}

bool rejects(const policy::Policy& p) {
    return std::ranges::any_of(p.sections, [](const policy::Section& section) {
        return std::ranges::any_of(section.decisions,
                                   [](const policy::Decision& d) { return d.action == policy::Action::reject; });
    });
}

// Whether somebody who sends to the port has to be told of a reject, and can be.
bool rejects_ahead(const Compiled& compiled, const Port& port, const Abilities& abilities) {
    return port.bridge && abilities.reject && abilities.bridge_name && rejects(compiled.in.policy) &&
           std::ranges::all_of(tables_of(compiled.in.policy),
                               [&](const std::string& name) { return fits(compiled.tables.at(name)); });
}

// The policy for frames to the port, asking the tables that begin with bridge and MAC.
Directed keyed_ahead(Directed directed) {
    for (policy::Section& section : directed.policy.sections) {
        for (policy::Decision& decision : section.decisions) {
            for (policy::Condition& condition : decision.when) {
                auto* const listed = std::get_if<policy::Listed>(&condition.test);
                if (listed != nullptr && !listed->shared) {
                    listed->table = ahead(listed->table);
                }
            }
        }
    }
    return directed;
}

void render_ahead(const Compiled& compiled, const Port& port, kernel::Table& table) {
    const std::string element = ahead_element(port);
    const Directed directed = keyed_ahead(compiled.in);
    const Way way{.directed = directed,
                  .hook = "prerouting",
                  .priority = kPriority + kLayers,
                  .base = "nwf_ahead",
                  .stem = "nwf_in",
                  .map = "nwf_ahead",
                  .own = "nwf_own_ahead",
                  .key = {"meta ibrname . ether daddr",
                          fmt::format("meta ibrname \"{}\" ether daddr {}", port.bridge->str(), format(port.mac))},
                  .key_type = kAheadType,
                  .element = element,
                  .drops = kDropsAhead,
                  .tells = true};
    Renderer(way, table).run();
    for (const std::string& name : tables_of(compiled.in.policy)) {
        put_rows(compiled, name, ahead(name), {kAheadType, element}, table);
    }
}

// What the host itself sends to a guest, or routes to it, comes into no bridge. Where it goes out the kernel cannot
// reject; but what is dropped there still has its connection, whose mark is seen when its next packet leaves the host's
// IP layer: the TCP SYN's first repetition, or the datagram after. That one is rejected and the mark taken back, so
// that the filter is asked again for the one behind it.
void refuse_marked(kernel::Table& table) {
    const std::string to =
        table.add_chain("nwf_refuse", {{}, {"counter", "meta l4proto tcp reject with tcp reset", "reject"}});
    for (const char* const hook : {"output", "forward"}) {
        table.add_chain(fmt::format("nwf_refuse_{}", hook),
                        {kernel::Hook{"filter", hook, 0, {}, "accept"},
                         {fmt::format("ct mark & {0:#010x} != 0 ct mark set ct mark & {1:#010x} goto {2}", kRefused,
                                      ~kRefused, to)}});
    }
}

}  // namespace

std::string number_text(const policy::Value& value) {
    std::string digits;
    for (const std::uint8_t octet : value.octets) {
        digits += fmt::format("{:02x}", octet);
    }
    return "0x" + digits.substr(std::min(digits.find_first_not_of('0'), digits.size() - 1));
}

std::set<std::string> helpers() {
    std::set<std::string> out;
    for (const Helper& helper : kHelpers) {
        out.insert(ability(helper));
    }
    return out;
}

kernel::Ruleset render(const Compiled& compiled, const Port& port, const Abilities& abilities) {
    kernel::Table table;
    const std::string name = port.ifname.str();
    const Way from{.directed = compiled.out,
                   .hook = "prerouting",
                   .priority = kPriority,
                   .base = "nwf_prerouting",
                   .stem = "nwf_out",
                   .map = "nwf_from",
                   .own = "nwf_own_out",
                   .key = {"iifname", fmt::format("iifname \"{}\"", name)},
                   .key_type = "ifname",
                   .element = name,
                   .drops = kDropsFrom,
                   .tells = abilities.reject,
                   .asks_own_address = true};
    const Way to{.directed = compiled.in,
                 .hook = "postrouting",
                 .priority = kPriority,
                 .base = "nwf_postrouting",
                 .stem = "nwf_in",
                 .map = "nwf_to",
                 .own = "nwf_own_in",
                 .key = {"oifname", fmt::format("oifname \"{}\"", name)},
                 .key_type = "ifname",
                 .element = name,
                 .drops = kDropsTo,
                 .made_here = true,
                 .refuses = abilities.reject_routed};
    Renderer(from, table).run();
    Renderer(to, table).run();
    for (const auto& [set, def] : compiled.tables) {
        put_rows(compiled, set, set, {"ifname", name}, table);
    }
    if (rejects_ahead(compiled, port, abilities)) {
        render_ahead(compiled, port, table);
    }
    if (compiled.related) {
        render_helpers(port.ifname, abilities, table);
    }
    if (compiled.limits && abilities.timeouts) {
        render_timeouts(port.ifname, table);
    }
    kernel::Ruleset out;
    if (!table.empty()) {
        out.emplace(kernel::Family::bridge, std::move(table));
    }
    if (to.refuses && rejects(compiled.in.policy)) {
        refuse_marked(out[kernel::Family::inet]);
    }
    return out;
}

void add_rows(const TableDef& def, const std::set<policy::Row>& rows, const std::string& begin,
              std::map<std::string, kernel::Element>& to) {
    for (const policy::Row& row : rows) {
        std::string key = begin;
        for (std::size_t i = 0; i < row.size(); ++i) {
            key += " . ";
            key += element_text(def, def.fields[i], row[i]);
        }
        to.emplace(std::move(key), kernel::Element{});
    }
}

std::vector<RowSet> row_sets(const Compiled& compiled, const Port& port, const Abilities& abilities) {
    std::vector<RowSet> out;
    const std::set<std::string> too =
        rejects_ahead(compiled, port, abilities) ? tables_of(compiled.in.policy) : std::set<std::string>{};
    for (const auto& [name, def] : compiled.tables) {
        out.push_back({name, name, false});
        if (too.contains(name)) {
            out.push_back({name, ahead(name), true});
        }
    }
    return out;
}

std::string element_of(const Port& port, bool ahead) { return ahead ? ahead_element(port) : port.ifname.str(); }

std::vector<LearnedSet> learned_sets(const std::vector<RowSet>& sets, const std::map<std::string, TableDef>& tables,
                                     const std::map<std::string, std::set<AwaitingRow>>& awaiting, const Port& port) {
    std::vector<LearnedSet> out;
    for (const RowSet& set : sets) {
        const auto rows = awaiting.find(set.table);
        for (const AwaitingRow& row : rows == awaiting.end() ? std::set<AwaitingRow>{} : rows->second) {
            out.push_back(awaiting_set(tables.at(set.table), row, set.set, element_of(port, set.ahead)));
        }
    }
    return out;
}

}  // namespace bascule::nwfilter
