// SPDX-License-Identifier: GPL-2.0-or-later
// The model of our tables that Nft answers from. Pure.
#pragma once

#include "kernel/io.h"
#include "kernel/ruleset.h"
#include "kernel/state.h"

namespace bascule::kernel::os {

// The same change to the model as the kernel makes to the tables.
void apply_to(Ruleset& rules, const RuleBatch& batch);
// Whether nothing is left of the table.
bool leaves_empty(const Table& table, const Table* add, const RuleBatch::Removal& remove);
// The part of it that a scope names, without elements that have expired. `now` is CLOCK_BOOTTIME.
Ruleset in_scope(const Ruleset& rules, const Scope& scope, Time now);

}  // namespace bascule::kernel::os
