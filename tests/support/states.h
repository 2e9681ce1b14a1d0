// SPDX-License-Identifier: GPL-2.0-or-later
// States to test with: some written down, and any number of random ones that a kernel could hold.
#pragma once

#include <random>
#include <string>
#include <vector>

#include "kernel/state.h"

namespace bascule::test {

// Foreign links that random states refer to: a host of random states has them.
inline constexpr const char* kForeign[] = {"eth0", "eth1"};

// Sound on its own: masters, gateways, chains and sets that are referred to are in it (or foreign). Small
// name spaces, so that two of them overlap, agree and differ in all ways.
kernel::State random_state(std::mt19937& random);

// States with distinct owners that do not contradict each other, nor name the same links.
std::vector<kernel::State> random_wishes(std::mt19937& random, std::size_t count);

// Rules that guard a link: elements of a verdict map and a value set, the class's chains.
kernel::Ruleset guard(const std::string& link, const std::string& verdict);

// A then also what B has; for states that agree.
void unite(kernel::State& a, const kernel::State& b);

}  // namespace bascule::test
