// SPDX-License-Identifier: GPL-2.0-or-later
// From one rule's attributes to conditions over packet fields.
#pragma once

#include <vector>

#include "base/result.h"
#include "kernel/policy.h"
#include "nwfilter/compile.h"
#include "nwfilter/variables.h"

namespace bascule::nwfilter {

// Where a rule stands.
struct Place {
    Protocol chain = Protocol::any;  // of the chain's frames; any: the root chain
    bool out = false;
    bool tables = true;     // variables may become look-ups
    bool reversed = false;  // written for frames of the other direction: source and target change places
};

// The rule holds when all conditions of any of these do.
struct Alternatives {
    std::vector<std::vector<kernel::policy::Condition>> any_of;
    bool own = false;  // holds values of this port
};

// Sent to all bridges: what makes a frame one of STP.
kernel::policy::Condition to_bridges();
// The table of the named set's addresses of one family.
std::string named_set(std::string_view name, bool six);

// An attribute's value as that field of a packet has it.
kernel::policy::Value field_value(kernel::policy::Field field, const Value& value);

// Look-ups that the rule needs are added to `to`, with the port's rows.
Result<Alternatives> conditions(const FlatRule& rule, const Place& place, const Flat& flat, const PortValues& values,
                                Compiled& to);

}  // namespace bascule::nwfilter
