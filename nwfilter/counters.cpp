// SPDX-License-Identifier: GPL-2.0-or-later
#include "nwfilter/counters.h"

#include <fmt/format.h>

#include "nwfilter/compile.h"
#include "nwfilter/flatten.h"

namespace bascule::nwfilter {

kernel::SetDef definition_of(const CounterSet& set) {
    return {.key = fmt::format("{} . mark", set.type), .data = {}, .statement = "counter; size 65535; flags dynamic"};
}

// FNV-1a, with the highest bit set: never the mark of what rejecting makes, nor none.
std::uint32_t mark_of(std::string_view origin) {
    std::uint32_t hash = 0x811c9dc5U;
    for (const char c : origin) {
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x01000193U;
    }
    return hash | 0x80000000U;
}

Result<std::map<std::uint32_t, std::string>> reasons(const Port& port, const Lookup& lookup) {
    TRY(const Flat flat, flatten(port.filter, lookup));
    TRY(const Compiled compiled, compile(flat, port, Values::tables));
    std::map<std::uint32_t, std::string> out;
    for (const Directed* const directed : {&compiled.out, &compiled.in}) {
        for (const kernel::policy::Section& section : directed->policy.sections) {
            for (const kernel::policy::Decision& decision : section.decisions) {
                if (!kernel::policy::drops(decision.action)) {
                    continue;
                }
                // Two reasons of one mark are told of together.
                std::string& reason = out[mark_of(decision.origin)];
                if (reason != decision.origin) {
                    reason += (reason.empty() ? "" : " or ") + decision.origin;
                }
            }
        }
    }
    return out;
}

}  // namespace bascule::nwfilter
