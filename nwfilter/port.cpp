// SPDX-License-Identifier: GPL-2.0-or-later
#include "nwfilter/port.h"

#include <fmt/format.h>

#include "nwfilter/compile.h"
#include "nwfilter/flatten.h"
#include "nwfilter/fold.h"
#include "nwfilter/render.h"

namespace bascule::nwfilter {

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
    out.rules = render(*compiled, port.ifname, abilities);
    out.learns_ip = compiled->learns_ip;
    out.filters = flat.filters;
    out.learned = learned_sets(*compiled, port.ifname);
    return out;
}

kernel::Ruleset learned(const Attachment& attachment, const Ip& address,
                        std::optional<std::chrono::steady_clock::time_point> expires) {
    constexpr std::string_view kPlace = "$IP";
    const std::string text = format(address);
    kernel::Table table;
    for (const LearnedSet& set : attachment.learned) {
        if (set.family != address.family()) {
            continue;
        }
        std::string key = set.key;
        for (auto at = key.find(kPlace); at != std::string::npos; at = key.find(kPlace, at)) {
            key.replace(at, kPlace.size(), text);
        }
        table.elements[set.set][key] = {{}, expires};
    }
    return table.empty() ? kernel::Ruleset{} : kernel::Ruleset{{kernel::Family::bridge, std::move(table)}};
}

}  // namespace bascule::nwfilter
