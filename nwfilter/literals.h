// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <deque>
#include <set>
#include <string>

#include "base/result.h"
#include "nwfilter/flatten.h"
#include "nwfilter/variables.h"

namespace bascule::nwfilter {

// States of connections, TCP flags and the flags of a named set say where a rule stands and what it asks rather than
// which value a field has. Where these are variables, each of their values makes a rule with that value written out.
struct Literal {
    Flat flat;
    std::deque<Rule> rules;       // that flat.rules point to, beside those of the filters
    std::set<std::string> names;  // of the port's parameters that are written out
};
Result<Literal> literal(const Flat& flat, const PortValues& values);

}  // namespace bascule::nwfilter
