// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <vector>

#include "kernel/kernel.h"

namespace bascule::kernel {

// The one place where actual and wanted are compared. Both are restricted to the same scope. Pure.
// Promises, each with a test in tests/kernel/plan_test.cpp:
//  - plan(x, x) is empty;
//  - applying plan(a, b) to a kernel in state a gives b, as far as b can tell;
//  - rules are in place before a link that they guard is put into a bridge or comes up, and a link goes
//    down or away before the rules that guard it go;
//  - things are made before they are referred to and removed in reverse;
//  - nothing of a foreign link is removed, except its membership in a bridge of ours;
//  - at most one RuleBatch makes and one drops, so a change of rules is one transaction.
std::vector<Op> plan(const State& actual, const State& wanted);

}  // namespace bascule::kernel
