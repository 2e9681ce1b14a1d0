// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "nwfilter/spec.h"

namespace bascule::nwfilter {

// The stock filters (builtin/*.xml), parsed, by name. Their uuids are fixed, so that a filter is the same
// one on every host.
const std::vector<Filter>& builtin_filters();

// Their text, as it was compiled in.
std::span<const std::string_view> builtin_texts();

}  // namespace bascule::nwfilter
