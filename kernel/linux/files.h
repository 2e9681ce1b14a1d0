// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <memory>
#include <string>

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

}  // namespace bascule::kernel::os
