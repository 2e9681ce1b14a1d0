// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "kernel/io.h"

namespace bascule::kernel::os {

// The tree below `root`, which must exist and be absolute ("/" is the host itself). Every path is resolved inside
// it, symbolic links included: one that points to "/etc/x" or climbs with ".." means the root's own. list()
// leaves out the temporary files that a crash in the middle of a write may leave behind.
Result<std::unique_ptr<FileTree>> make_file_tree(const std::string& root);

// A folder of the host with that owner and mode, made with its parents (0755) when absent.
Result<void> make_folder(const std::string& path, unsigned mode, std::uint32_t uid, std::uint32_t gid);
// A folder to be handed to a process that works below it (openat).
Result<UniqueFd> open_folder(const std::string& path);

// Where a path leads when every symbolic link is followed; empty when it leads nowhere.
std::string real_path(const std::string& path);
// A descriptor that is readable when something happens to these files, or to files in these folders. One that is not
// there has nothing to tell. What happened is not told: drain() and look.
Result<UniqueFd> watch_files(const std::vector<std::string>& paths);
void drain(int watch);

}  // namespace bascule::kernel::os
