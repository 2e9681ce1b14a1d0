// SPDX-License-Identifier: GPL-2.0-or-later
// What <pool> and <volume> share.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/xml.h"
#include "base/xml_read.h"
#include "storage/spec.h"

namespace bascule::storage {

inline constexpr xml::Value<std::string> kPath{"an absolute path without '.' or '..'", tidy_path};

Result<void> check_root(const xml::Node& root, std::string_view wanted);
Result<Permissions> parse_permissions(const xml::Node& node);
// <capacity unit='GiB'>10</capacity>, in bytes.
Result<std::uint64_t> parse_bytes(const xml::Node& node);

void write_bytes(xml::Writer& w, std::string_view name, std::uint64_t value);
void write_permissions(xml::Writer& w, const Permissions& permissions);  // nothing when none are known

}  // namespace bascule::storage
