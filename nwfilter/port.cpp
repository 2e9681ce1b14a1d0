// SPDX-License-Identifier: GPL-2.0-or-later
#include "nwfilter/port.h"

#include <algorithm>

#include <fmt/format.h>

#include "nwfilter/compile.h"
#include "nwfilter/conditions.h"
#include "nwfilter/flatten.h"
#include "nwfilter/fold.h"
#include "nwfilter/render.h"

namespace bascule::nwfilter {

namespace {

// Nets that lie in none of the others, since nft takes no overlaps.
std::vector<Prefix> outermost(const NamedSet& set, IpFamily family) {
    std::vector<Prefix> out;
    for (const Prefix& prefix : set) {
        const auto covers = [&](const Prefix& other) {
            return other.length < prefix.length && other.contains(prefix.network);
        };
        if (prefix.network.family() == family && std::ranges::none_of(set, covers)) {
            out.push_back(prefix);
        }
    }
    return out;
}

// The named sets, of both families, with their addresses.
Result<void> add_sets(const Compiled& compiled, const Abilities& abilities, kernel::Ruleset& rules) {
    for (const auto& [name, origin] : compiled.sets) {
        auto set = abilities.sets ? abilities.sets(name)
                                  : Result<NamedSet>(fail(Code::invalid_argument, "there is no set of that name"));
        if (!set) {
            return std::unexpected(std::move(set).error().in(fmt::format("{}: ipset '{}'", origin, name)));
        }
        kernel::Table& table = rules[kernel::Family::bridge];
        for (const IpFamily family : {IpFamily::v4, IpFamily::v6}) {
            const std::string key = named_set(name, family == IpFamily::v6);
            table.sets[key] = {
                .key = family == IpFamily::v4 ? "ipv4_addr" : "ipv6_addr", .data = {}, .intervals = true};
            for (const Prefix& prefix : outermost(*set, family)) {
                const bool whole = prefix.length == prefix.network.bits();
                table.elements[key][whole ? format(prefix.network) : format(prefix)] = {};
            }
        }
    }
    return {};
}

}  // namespace

Result<Attachment> attach(const Port& port, const Lookup& lookup, const Abilities& abilities) {
    TRY(const Flat flat, flatten(port.filter, lookup));
    auto compiled = compile(flat, port, Values::tables);
    if (!compiled) {
        return std::unexpected(std::move(compiled).error().in("filter " + port.filter));
    }
    if (!compiled->tracked_by.empty() && !abilities.tracking) {
        return fail(Code::unsupported_config,
                    fmt::format("filter {}: {} tracks connections, which this kernel cannot do between the ports of a "
                                "bridge (nf_conntrack_bridge is missing); load the module, or write statematch='false' "
                                "or state='NONE'",
                                port.filter, compiled->tracked_by));
    }
    fold(*compiled);
    Attachment out;
    out.rules = render(*compiled, port, abilities);
    TRY_OK(add_sets(*compiled, abilities, out.rules));
    for (const auto& [name, origin] : compiled->sets) {
        out.sets.insert(name);
    }
    out.learns_ip = compiled->learns_ip;
    if (compiled->limits_icmp) {
        // An ended ping holds its place until its connection is forgotten. nft knows time-outs of TCP and UDP only.
        for (const char* const family : {"icmp", "icmpv6"}) {
            out.sysctls[fmt::format("net/netfilter/nf_conntrack_{}_timeout", family)] = "3";
        }
    }
    out.filters = flat.filters;
    out.learned = learned_sets(*compiled, port, abilities);
    if (!out.learned.empty()) {
        TRY(out.learning, learning_of(port.parameters));
        for (const LearnedSet& set : out.learned) {
            (set.family == IpFamily::v4 ? out.learning->v4 : out.learning->v6) = true;
        }
        kernel::merge(out.rules, copies(*out.learning, port.ifname, port.mac));
    }
    return out;
}

kernel::Ruleset learned(const Attachment& attachment, const Ip& address,
                        std::optional<std::chrono::steady_clock::time_point> expires) {
    const auto put = [](std::string& key, std::string_view place, const std::string& text) {
        for (auto at = key.find(place); at != std::string::npos; at = key.find(place, at)) {
            key.replace(at, place.size(), text);
        }
    };
    kernel::Table table;
    for (const LearnedSet& set : attachment.learned) {
        if (set.family != address.family()) {
            continue;
        }
        std::string key = set.key;
        put(key, "$IP", format(address));
        put(key, "$HEX", number_text(kernel::policy::Value::of(address)));
        table.elements[set.set][key] = {{}, expires};
    }
    return table.empty() ? kernel::Ruleset{} : kernel::Ruleset{{kernel::Family::bridge, std::move(table)}};
}

}  // namespace bascule::nwfilter
