// SPDX-License-Identifier: GPL-2.0-or-later
// What `nft -j list table` says, as our values in their canonical spelling. Pure.
#pragma once

#include <chrono>
#include <set>
#include <string_view>

#include "base/result.h"
#include "kernel/ruleset.h"

namespace bascule::kernel::os {

// `now` (CLOCK_BOOTTIME) turns "expires in" into a time. Objects of kinds we never make (counters,
// quotas, flow tables) are skipped; they go with the table.
// Sets that packets add to have no elements of ours: theirs are left out.
// Chains carry as many empty texts as they have rules.
Result<Table> parse_listing(std::string_view json, std::chrono::steady_clock::time_point now);

// The families of the tables called "bascule" in what `nft -j list tables` says.
Result<std::set<Family>> parse_tables(std::string_view json);

}  // namespace bascule::kernel::os
