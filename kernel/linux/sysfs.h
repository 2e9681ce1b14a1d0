// SPDX-License-Identifier: GPL-2.0-or-later
// Small facts that the kernel shows as files.
#pragma once

#include <string>
#include <vector>

namespace bascule::kernel::os {

// A file of at most 4096 bytes without the white space at its end; empty when it is not there.
std::string small_file(const std::string& path);
// What firmware and devices call themselves can be any bytes: those that are no printable ASCII become '?'.
std::string printable(std::string text);
// The entries of a folder, sorted; none when it is not there.
std::vector<std::string> folder_entries(const std::string& folder);

}  // namespace bascule::kernel::os
