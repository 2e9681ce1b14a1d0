// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace bascule::daemon {

// What people and programs note about a guest or network: title, description, and one element a namespace below
// <metadata>. Refers to a specification's own members.
struct Notes {
    std::string& title;
    std::string& description;
    std::vector<std::string>& metadata;
};

// virDomainMetadataType, virNetworkMetadataType
namespace note {
inline constexpr std::int32_t kDescription = 0, kTitle = 1, kElement = 2;
}

// An element is given without its prefix and namespace, as the peer does. `missing` is the code of the kind of object.
Result<std::string> get_note(const Notes& notes, std::int32_t type, const std::optional<std::string>& uri,
                             Code missing);
// Absent text removes. The element gets `key` as prefix and `uri` as namespace.
Result<void> set_note(Notes notes, std::int32_t type, const std::optional<std::string>& text,
                      const std::optional<std::string>& key, const std::optional<std::string>& uri);

}  // namespace bascule::daemon
