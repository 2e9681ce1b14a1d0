// SPDX-License-Identifier: GPL-2.0-or-later
// Disk images as files and block devices. Everything here may take as long as the disk does: call it on a Worker.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/fd.h"
#include "base/result.h"

namespace bascule::kernel::os {

struct FileTime {
    std::int64_t seconds = 0;
    std::uint32_t nanoseconds = 0;
};

struct FileFacts {
    enum class Kind { regular, folder, block, other };
    Kind kind = Kind::other;
    std::uint64_t size = 0, allocated = 0;  // bytes
    std::uint32_t mode = 0, uid = 0, gid = 0;
    FileTime access, change, modification;
    std::string format;  // what record_format() left
    Bytes head;
};
// Symbolic links are followed. The head is of `first` bytes, or as many as `wanted` says having seen those; of regular
// files and block devices only. A file of another kind is not opened for reading, so nothing can hang on it.
Result<FileFacts> look_at(const std::string& path, std::size_t first,
                          const std::function<std::size_t(ByteView)>& wanted);

// Names in a folder, in no order, without "." and "..".
Result<std::vector<std::string>> names_in(const std::string& folder);

struct FileSystemRoom {
    std::uint64_t capacity = 0, available = 0;
};
Result<FileSystemRoom> room_of(const std::string& folder);

// None: as it is.
struct Ownership {
    std::optional<std::uint32_t> mode, uid, gid;
};
// A folder with its parents; one that exists is only given to its owner.
Result<void> make_folders(const std::string& path, std::uint32_t mode, const Ownership& ownership);
Result<void> remove_folder(const std::string& path);

// A new entry of a folder: `name` has no '/'. Never an existing one, never through a link.
Result<UniqueFd> make_file(const std::string& folder, const std::string& name);
Result<void> make_subfolder(const std::string& folder, const std::string& name, const Ownership& ownership);
// The link and not what it points to; a folder must be empty.
Result<void> remove_entry(const std::string& folder, const std::string& name, bool is_folder);
// The entries of a folder reach the disk.
Result<void> sync_folder(const std::string& folder);

// An existing regular file or block device.
Result<UniqueFd> open_disk(const std::string& path, bool write);
Result<std::uint64_t> size_of(const UniqueFd& fd);
Result<void> set_owner(const UniqueFd& fd, const Ownership& ownership);
Result<void> set_size(const UniqueFd& fd, std::uint64_t size);
// Room for the first `length` bytes, now. Where the file system cannot, zeros are written.
Result<void> allocate(const UniqueFd& fd, std::uint64_t from, std::uint64_t length);
// The format as our own mark on the file, out of reach of whoever only writes its bytes (trusted.*, xattr(7)); empty
// takes it away. File systems without such marks keep none, which is no error.
void record_format(const UniqueFd& fd, const std::string& format);

// As many bytes as there are, at most `limit`; empty at the end.
Result<Bytes> read_at(const UniqueFd& fd, std::uint64_t offset, std::size_t limit);
Result<void> write_at(const UniqueFd& fd, std::uint64_t offset, ByteView bytes);
// Zeros that take no room, where the file system can; the file grows where it must.
Result<void> write_hole(const UniqueFd& fd, std::uint64_t offset, std::uint64_t length);
Result<void> sync(const UniqueFd& fd);

// What is at `offset`: data or a hole, and where that ends.
struct Extent {
    bool data = false;
    std::uint64_t end = 0;
};
Result<Extent> extent_at(const UniqueFd& fd, std::uint64_t offset, std::uint64_t size);

// Overwrites all that is no hole, with the pattern over and over or (none) with random bytes, down to the disk.
Result<void> overwrite(const UniqueFd& fd, std::uint64_t size, std::span<const std::uint8_t> pattern);
// Takes the blocks away: reads as zeros from then on.
Result<void> discard(const UniqueFd& fd, std::uint64_t size);
// The whole content of another file of the same file system, sharing its blocks. Code::unsupported where it cannot.
Result<void> share_blocks(const UniqueFd& from, const UniqueFd& to);

}  // namespace bascule::kernel::os
