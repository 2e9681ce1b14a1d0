// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <set>
#include <string>
#include <vector>

#include "nwfilter/port.h"
#include "nwfilter/spec.h"

namespace bascule::nwfilter {

// One rule of a tree, where it landed. Pointers and references are into the filters that were looked up.
struct FlatRule {
    const Rule* rule = nullptr;
    const Filter* filter = nullptr;
    unsigned number = 0;    // within the filter, from 1
    std::size_t scope = 0;  // into Flat::scopes

    std::string origin() const;  // "no-mac-spoofing/rule 2"
};

// A tree as one list, depth first in document order.
struct Flat {
    std::vector<FlatRule> rules;
    // What the <filterref> elements on the way to a rule give its variables; an outer one overrides an
    // inner one. The port's own parameters override all of them and are not in here.
    std::vector<Parameters> scopes;
    std::set<std::string> filters;
};

Result<Flat> flatten(const std::string& filter, const Lookup& lookup);

}  // namespace bascule::nwfilter
