// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "kernel/io.h"

namespace bascule::kernel::os {

// Children get exactly what their Command says: no descriptor, signal disposition, signal mask or working directory
// of ours, and "/" to work in. Those that outlive their Process object keep running; they are reaped when
// they end, at the latest with the next spawn().
std::unique_ptr<Spawner> make_spawner();

// Whether a user could open the file for reading: asked by doing it with that user's identity, so that folders, access
// lists and mount options count.
bool readable_as(const std::string& path, std::uint32_t uid, std::uint32_t gid);
// The file opened with the identity of a user: for what a client names and we open for it.
Result<UniqueFd> open_as(const std::string& path, int flags, std::uint32_t uid, std::uint32_t gid);
// A copy in memory that nobody can change any more, readable by whoever gets the descriptor (as /proc/self/fd/N, too).
Result<UniqueFd> memory_copy(const std::string& path);
// A file in memory, whose pages are their writer's. What another process writes through `written`, which is open for
// writing only, moves its position.
struct MemoryFile {
    UniqueFd file, written;
};
Result<MemoryFile> memory_file(const std::string& name);
std::uint64_t position_of(const UniqueFd& fd);

}  // namespace bascule::kernel::os
