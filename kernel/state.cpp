// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/state.h"

#include <algorithm>

#include <fmt/format.h>

namespace bascule::kernel {

namespace {

std::string dump_link(const IfName& name, const Link& link) {
    std::string out = fmt::format("link {} {}", name.str(), name_of(link.kind));
    if (!link.owner.empty()) {
        out += " owner " + link.owner;
    }
    out += link.up ? " up" : " down";
    if (link.mac) {
        out += " mac " + format(*link.mac);
    }
    if (link.mtu) {
        out += fmt::format(" mtu {}", *link.mtu);
    }
    if (link.master) {
        out += " master " + link.master->str();
    }
    if (link.bridge) {
        out += fmt::format(" stp {} forward-delay {}.{:02} s", link.bridge->stp ? "on" : "off",
                           link.bridge->forward_delay_cs / 100, link.bridge->forward_delay_cs % 100);
    }
    if (link.vlan) {
        out += fmt::format(" vlan {} of {}", link.vlan->tag, link.vlan->parent.str());
    }
    if (link.bond) {
        const BondSettings& bond = *link.bond;
        out += fmt::format(" bond mode {}", bond.mode);
        if (bond.miimon != 0) {
            out += fmt::format(" miimon {} updelay {} downdelay {}{}", bond.miimon, bond.updelay, bond.downdelay,
                               bond.use_carrier ? "" : " by ioctl");
        }
        if (bond.arp_interval != 0) {
            out += fmt::format(" arp {} target {} validate {}", bond.arp_interval,
                               bond.arp_target ? format(*bond.arp_target) : "none", bond.arp_validate);
        }
    }
    if (link.queues != 1) {
        out += fmt::format(" queues {}", link.queues);
    }
    if (link.port) {
        out += link.port->isolated ? " isolated" : "";
        out += link.port->learning ? "" : " no-learning";
        out += link.port->flood ? "" : " no-flood";
        if (link.port->untagged != 0) {
            out += fmt::format(" vlan {}", link.port->untagged);
        }
        for (const std::uint16_t tag : link.port->tagged) {
            out += fmt::format(" tagged {}", tag);
        }
    }
    if (link.station) {
        out += " station " + format(*link.station);
    }
    return out;
}

std::string dump_shaping(const IfName& name, const Shaping& shaping) {
    std::string out = "shaping " + name.str();
    if (shaping.out) {
        out += fmt::format(" out {} ceil {} burst {}", shaping.out->rate, shaping.out->ceil, shaping.out->burst);
    }
    if (shaping.in) {
        out += fmt::format(" in {} burst {}", shaping.in->rate, shaping.in->burst);
        out += shaping.in->peak != 0 ? fmt::format(" peak {}", shaping.in->peak) : "";
    }
    return out;
}

void restrict_table(const Table& from, const Scope::Rules& scope, Table& to) {
    for (const std::string& name : scope.sets) {
        if (const auto found = from.sets.find(name); found != from.sets.end()) {
            to.sets.insert(*found);
        }
    }
    for (const std::string& name : scope.chains) {
        if (const auto found = from.chains.find(name); found != from.chains.end()) {
            to.chains.insert(*found);
        }
    }
    for (const auto& [set, keys] : scope.elements) {
        const auto elements = from.elements.find(set);
        if (elements == from.elements.end()) {
            continue;
        }
        for (const std::string& key : keys) {
            if (const auto found = elements->second.find(key); found != elements->second.end()) {
                to.elements[set].insert(*found);
            }
        }
    }
}

}  // namespace

std::string_view name_of(LinkKind kind) {
    switch (kind) {
        case LinkKind::bridge: return "bridge";
        case LinkKind::tap: return "tap";
        case LinkKind::vlan: return "vlan";
        case LinkKind::bond: return "bond";
        case LinkKind::foreign: return "foreign";
    }
    return {};
}

std::string format(const Route& route) {
    std::string out = format(route.destination);
    if (route.gateway) {
        out += " via " + format(*route.gateway);
    }
    if (route.link) {
        out += " on " + route.link->str();
    }
    if (route.metric != 0) {
        out += fmt::format(" metric {}", route.metric);
    }
    return out;
}

std::string format(const Address& address) {
    return fmt::format("{}{} on {}", format(address.address), address.peer ? " peer " + format(*address.peer) : "",
                       address.link.str());
}

std::string dump(const State& state) {
    std::string out;
    for (const auto& [name, link] : state.links) {
        out += dump_link(name, link) + "\n";
    }
    for (const auto& [name, shaping] : state.shapings) {
        out += dump_shaping(name, shaping) + "\n";
    }
    for (const auto& [key, rate] : state.floors) {
        out += fmt::format("floor {} on {} {}\n", format(key.station), key.link.str(), rate);
    }
    for (const Address& address : state.addresses) {
        out += "address " + format(address) + "\n";
    }
    for (const Route& route : state.routes) {
        out += "route " + format(route) + "\n";
    }
    for (const auto& [key, value] : state.sysctls) {
        out += fmt::format("sysctl {} = {}\n", key, value);
    }
    return out + dump(state.rules);
}

std::uint64_t at_once(const Shaping::In& in) {
    constexpr std::uint64_t kLargestPiece = 66 * 1024;
    return std::max(in.peak / 20, kLargestPiece);
}

Floors floors_of(const Floors& floors, const IfName& link) {
    Floors out;
    for (auto it = floors.lower_bound({link, MacAddr{}}); it != floors.end() && it->first.link == link; ++it) {
        out.insert(*it);
    }
    return out;
}

std::string sysctl_key(std::string_view family_part, const IfName& link, std::string_view name) {
    return fmt::format("net/{}/conf/{}/{}", family_part, link.str(), name);
}

Scope Scope::of(const State& state) {
    Scope scope;
    scope.add(state);
    return scope;
}

void Scope::add(const Scope& other) {
    everything = everything || other.everything;
    links.insert(other.links.begin(), other.links.end());
    shapings.insert(other.shapings.begin(), other.shapings.end());
    routes.insert(other.routes.begin(), other.routes.end());
    sysctls.insert(other.sysctls.begin(), other.sysctls.end());
    for (const auto& [family, more] : other.rules) {
        Rules& to = rules[family];
        to.chains.insert(more.chains.begin(), more.chains.end());
        to.sets.insert(more.sets.begin(), more.sets.end());
        for (const auto& [set, keys] : more.elements) {
            to.elements[set].insert(keys.begin(), keys.end());
        }
    }
}

void Scope::add(const State& state) {
    for (const auto& [name, link] : state.links) {
        links.insert(name);
        if (link.kind == LinkKind::foreign && link.master) {
            links.insert(*link.master);
        }
    }
    for (const auto& [name, shaping] : state.shapings) {
        shapings.insert(name);
    }
    for (const auto& [key, rate] : state.floors) {
        shapings.insert(key.link);
    }
    for (const Address& address : state.addresses) {
        links.insert(address.link);
    }
    for (const Route& route : state.routes) {
        if (route.link) {
            links.insert(*route.link);
        } else {
            routes.insert(route);
        }
    }
    for (const auto& [key, value] : state.sysctls) {
        sysctls.insert(key);
    }
    for (const auto& [family, table] : state.rules) {
        Rules& to = rules[family];
        for (const auto& [name, set] : table.sets) {
            to.sets.insert(name);
        }
        for (const auto& [name, chain] : table.chains) {
            to.chains.insert(name);
        }
        for (const auto& [set, elements] : table.elements) {
            to.sets.insert(set);
            for (const auto& [key, element] : elements) {
                to.elements[set].insert(key);
            }
        }
    }
}

State restrict(const State& state, const Scope& scope) {
    if (scope.everything) {
        return state;
    }
    State out;
    for (const IfName& name : scope.links) {
        if (const auto link = state.links.find(name); link != state.links.end()) {
            out.links.insert(*link);
        }
        // Sorted by link first: Address{name, {}} is before all of that link's.
        for (auto a = state.addresses.lower_bound({name, {}}); a != state.addresses.end() && a->link == name; ++a) {
            out.addresses.insert(*a);
        }
    }
    for (const IfName& name : scope.shapings) {
        if (const auto shaping = state.shapings.find(name); shaping != state.shapings.end()) {
            out.shapings.insert(*shaping);
        }
        out.floors.merge(floors_of(state.floors, name));
    }
    for (const Route& route : state.routes) {
        if (route.link ? scope.links.contains(*route.link) : scope.routes.contains(route)) {
            out.routes.insert(route);
        }
    }
    for (const std::string& key : scope.sysctls) {
        if (const auto found = state.sysctls.find(key); found != state.sysctls.end()) {
            out.sysctls.insert(*found);
        }
    }
    for (const auto& [family, rules] : scope.rules) {
        if (const auto table = state.rules.find(family); table != state.rules.end()) {
            Table part;
            restrict_table(table->second, rules, part);
            if (!part.empty()) {
                out.rules.emplace(family, std::move(part));
            }
        }
    }
    return out;
}

}  // namespace bascule::kernel
