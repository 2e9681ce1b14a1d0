// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "storage/spec.h"

namespace bascule::storage {

// A <pool> document. Errors name line and element; what this version cannot do is refused by name.
Result<PoolSpec> parse_pool(std::string_view text);
// As libvirt prints it. `permissions` are those of the target as it is (absent: as asked for).
std::string format(const PoolSpec& pool, const Room& room = {}, const std::optional<Permissions>& permissions = {});

// A <volume> to be made in a pool of that type. What a listing of a volume holds beyond what can be asked for (key,
// timestamps, physical size, path) is accepted and means nothing, since clients edit listings into requests.
Result<VolumeSpec> parse_volume(std::string_view text, PoolType pool);
std::string format(const Volume& volume);

// What connect-get-storage-pool-capabilities answers: every type the peer knows, and which of them work here.
std::string capabilities();

// The <source> document of a search for pools: its device or host, no more. Absent text is no restriction.
Result<void> check_source_spec(std::string_view text);
std::string format_groups(const std::vector<PoolSpec>& groups);  // <sources> of logical pools

}  // namespace bascule::storage
