// SPDX-License-Identifier: GPL-2.0-or-later
#include "nwfilter/port.h"

#include <utility>

#include "nwfilter/classes.h"
#include "nwfilter/render.h"

namespace bascule::nwfilter {

Result<Attachment> attach(const Port& port, const Lookup& lookup, const Abilities& abilities) {
    const kernel::Ruleset none;
    TRY(Member member, Classes(lookup, abilities, none).attach(port));
    Attachment out{.rules = member.common->rules,
                   .sysctls = member.common->sysctls,
                   .learns_ip = member.common->learns_ip,
                   .filters = member.common->filters,
                   .sets = member.common->sets,
                   .learned = std::move(member.learned),
                   .learning = std::move(member.learning)};
    kernel::merge(out.rules, std::move(member.elements));
    return out;
}

kernel::Ruleset learned(const std::vector<LearnedSet>& sets, const Ip& address,
                        std::optional<std::chrono::steady_clock::time_point> expires) {
    const auto put = [](std::string& key, std::string_view place, const std::string& text) {
        for (auto at = key.find(place); at != std::string::npos; at = key.find(place, at)) {
            key.replace(at, place.size(), text);
        }
    };
    kernel::Table table;
    for (const LearnedSet& set : sets) {
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
