// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string_view>

namespace bascule {

// The one place that says which version this is; CMakeLists.txt reads it from here.
inline constexpr std::string_view kVersion = "0.1.0";

}  // namespace bascule
