// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/support/states.h"

#include <fmt/format.h>

namespace bascule::test {

using namespace kernel;

namespace {

IfName name(const std::string& text) { return IfName::parse(text).value(); }

bool chance(std::mt19937& random, unsigned percent) { return random() % 100 < percent; }
unsigned pick(std::mt19937& random, unsigned n) { return static_cast<unsigned>(random() % n); }

void add_bridge(std::mt19937& random, State& state, unsigned n) {
    Link link;
    link.kind = LinkKind::bridge;
    link.owner = fmt::format("network:{}", pick(random, 2));
    link.up = chance(random, 80);
    link.bridge = BridgeSettings{chance(random, 50), 200 + 100 * pick(random, 2)};
    if (chance(random, 50)) {
        link.mac = MacAddr{{0x52, 0x54, 0, 0, 0, static_cast<std::uint8_t>(pick(random, 2))}};
    }
    if (chance(random, 50)) {
        link.mtu = 1400 + pick(random, 2);
    }
    const IfName self = name(fmt::format("dev{}", n));
    for (unsigned i = 0; i < 3; ++i) {
        if (chance(random, 40)) {
            state.addresses.insert({self, {Ip::v4(0x0a000001 + (n << 8) + i), 24}});
        }
    }
    if (chance(random, 30)) {
        state.addresses.insert({self, {*parse_ip(fmt::format("fd00:{}::1", n)), 64}});
    }
    const auto has_v4 = state.addresses.lower_bound({self, {}});
    if (link.up && has_v4 != state.addresses.end() && has_v4->link == self && has_v4->address.address.is_v4()) {
        state.routes.insert({Prefix::of(Ip::v4(0x0b000000 + (pick(random, 3) << 16)), 16),
                             Ip::v4(0x0a000063 + (n << 8)), self, pick(random, 2)});
    }
    if (chance(random, 50)) {
        state.sysctls[sysctl_key("ipv6", self, "accept_ra")] = fmt::format("{}", pick(random, 2));
    }
    state.links.insert_or_assign(self, link);
}

void add_tap(std::mt19937& random, State& state, unsigned n, const std::vector<IfName>& bridges) {
    Link link;
    link.kind = LinkKind::tap;
    link.owner = fmt::format("port:{}", pick(random, 2));
    link.up = chance(random, 80);
    link.queues = static_cast<std::uint16_t>(chance(random, 80) ? 1 : 2);
    if (!bridges.empty()) {
        link.master = bridges[pick(random, static_cast<unsigned>(bridges.size()))];
    }
    state.links.insert_or_assign(name(fmt::format("dev{}", n)), link);
}

// A VLAN of one of those or of a foreign link, or a bond, which foreign links may be in.
void add_vlan_or_bond(std::mt19937& random, State& state, unsigned n, std::vector<IfName>& masters) {
    const IfName self = name(fmt::format("top{}", n));
    Link link;
    link.owner = fmt::format("interface:{}", pick(random, 2));
    link.up = chance(random, 80);
    if (chance(random, 40)) {
        link.kind = LinkKind::bond;
        link.bond = BondSettings{.mode = static_cast<std::uint8_t>(pick(random, 2)), .miimon = 100 + pick(random, 2)};
        masters.push_back(self);
    } else {
        link.kind = LinkKind::vlan;
        std::vector<IfName> parents = masters;
        parents.push_back(name(kForeign[0]));
        link.vlan = VlanSettings{parents[pick(random, static_cast<unsigned>(parents.size()))],
                                 static_cast<std::uint16_t>(1 + pick(random, 2))};
        const auto parent = state.links.find(link.vlan->parent);
        link.up = parent == state.links.end() || parent->second.up;  // the kernel lets it follow
    }
    if (chance(random, 40)) {
        state.addresses.insert({self, {Ip::v4(0x0a640001 + (n << 8)), 24}});
    }
    state.links.insert_or_assign(self, link);
}

void merge(Table& to, const Table& from) {
    to.sets.insert(from.sets.begin(), from.sets.end());
    to.chains.insert(from.chains.begin(), from.chains.end());
    for (const auto& [set, elements] : from.elements) {
        to.elements[set].insert(elements.begin(), elements.end());
    }
}

Ruleset netdev_guard(const std::string& device, const std::string& verdict) {
    Chain chain;
    chain.hook = Hook{"filter", "ingress", 0, device, "accept"};
    chain.rules = {"ether type arp " + verdict};
    Table table;
    table.add_chain("ingress_" + device, chain);
    return {{Family::netdev, table}};
}

void add_rules(std::mt19937& random, State& state) {
    for (const auto& [link, settings] : state.links) {
        if (chance(random, 70)) {
            Ruleset rules = guard(link.str(), chance(random, 50) ? "drop" : "accept");
            Table& table = rules.at(Family::bridge);
            if (chance(random, 40)) {
                Element& element = table.elements["known"][link.str() + " . 192.168.0.9"];
                if (chance(random, 70)) {
                    element.expires = std::chrono::steady_clock::time_point(std::chrono::hours(1 + pick(random, 3)));
                }
            }
            merge(state.rules[Family::bridge], table);
        }
        if (settings.kind == LinkKind::tap && chance(random, 30)) {
            merge(state.rules[Family::netdev],
                  netdev_guard(link.str(), chance(random, 50) ? "drop" : "accept").at(Family::netdev));
        }
    }
}

}  // namespace

Ruleset guard(const std::string& link, const std::string& verdict) {
    Table table;
    SetDef from;
    from.key = "ifname";
    from.data = "verdict";
    SetDef known;
    known.key = "ifname . ipv4_addr";
    known.timeouts = true;
    table.sets = {{"from", from}, {"known", known}};
    Chain leaf;
    leaf.rules = {"counter " + verdict};
    const std::string leaf_name = table.add_chain("leaf", leaf);
    Chain klass;
    klass.rules = {"iifname . ip saddr @known accept", "jump " + leaf_name};
    const std::string class_name = table.add_chain("class", klass);
    Chain base;
    base.hook = Hook{"filter", "prerouting", -200, "", "accept"};
    base.rules = {"iifname vmap @from"};
    table.add_chain("prerouting", base);
    table.elements["from"][link] = {"jump " + class_name, {}};
    table.elements["known"][link + " . 192.168.0.1"] = {};
    return {{Family::bridge, table}};
}

State random_state(std::mt19937& random) {
    State state;
    std::vector<IfName> bridges;
    std::vector<unsigned> taps;
    for (unsigned n = 0; n < 6; ++n) {
        // Mostly the same kind under the same name, sometimes the other one.
        if (chance(random, 60)) {
            if ((n < 3) == chance(random, 85)) {
                add_bridge(random, state, n);
                bridges.push_back(name(fmt::format("dev{}", n)));
            } else {
                taps.push_back(n);
            }
        }
    }
    for (const unsigned n : taps) {
        add_tap(random, state, n, bridges);
    }
    for (unsigned n = 0; n < 3; ++n) {
        if (chance(random, 40)) {
            add_vlan_or_bond(random, state, n, bridges);
        }
    }
    for (const char* const foreign : kForeign) {
        if (!bridges.empty() && chance(random, 50)) {
            state.links[name(foreign)].master = bridges[pick(random, static_cast<unsigned>(bridges.size()))];
        }
    }
    if (chance(random, 50)) {
        state.sysctls["net/ipv4/ip_forward"] = "1";
    }
    add_rules(random, state);
    return state;
}

std::vector<State> random_wishes(std::mt19937& random, std::size_t count) {
    std::vector<State> out(count);
    for (std::size_t i = 0; i < count; ++i) {
        State& wish = out[i];
        const IfName link = name(fmt::format("own{}", i));
        Link settings;
        settings.kind = LinkKind::tap;
        settings.owner = fmt::format("port:{}", i);
        wish.links[link] = settings;
        if (chance(random, 50)) {
            wish.sysctls["net/ipv4/ip_forward"] = "1";
        }
        wish.rules = guard(link.str(), chance(random, 50) ? "drop" : "accept");
        // One element that many share, with expiries that differ.
        Element& shared = wish.rules.at(Family::bridge).elements["known"]["all . 192.168.0.2"];
        if (chance(random, 70)) {
            shared.expires = std::chrono::steady_clock::time_point(std::chrono::hours(1 + pick(random, 5)));
        }
        if (chance(random, 20)) {
            wish.rules.at(Family::bridge).elements["known"].erase("all . 192.168.0.2");
        }
    }
    return out;
}

void unite(State& a, const State& b) {
    a.links.insert(b.links.begin(), b.links.end());
    a.addresses.insert(b.addresses.begin(), b.addresses.end());
    a.routes.insert(b.routes.begin(), b.routes.end());
    a.sysctls.insert(b.sysctls.begin(), b.sysctls.end());
    for (const auto& [family, table] : b.rules) {
        Table& to = a.rules[family];
        for (const auto& [set, elements] : table.elements) {
            for (const auto& [key, element] : elements) {
                const auto [at, fresh] = to.elements[set].emplace(key, element);
                if (!fresh && at->second.expires && (!element.expires || *element.expires > *at->second.expires)) {
                    at->second.expires = element.expires;
                }
            }
        }
        to.sets.insert(table.sets.begin(), table.sets.end());
        to.chains.insert(table.chains.begin(), table.chains.end());
    }
}

}  // namespace bascule::test
