// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/disk_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>

#include <fmt/format.h>

#include "kernel/linux/files.h"

namespace bascule::kernel::os {

namespace {

constexpr const char* kFormatMark = "trusted.bascule.format";
constexpr std::size_t kChunk = std::size_t{1} << 20;

struct CloseFolder {
    void operator()(DIR* folder) const { ::closedir(folder); }
};

FileFacts::Kind kind_of(mode_t mode) {
    return S_ISREG(mode)   ? FileFacts::Kind::regular
           : S_ISDIR(mode) ? FileFacts::Kind::folder
           : S_ISBLK(mode) ? FileFacts::Kind::block
                           : FileFacts::Kind::other;
}

FileTime time_of(const timespec& time) { return {time.tv_sec, static_cast<std::uint32_t>(time.tv_nsec)}; }

std::string mark_of(const UniqueFd& fd) {
    std::array<char, 32> text{};
    const ssize_t size = ::fgetxattr(fd.get(), kFormatMark, text.data(), text.size());
    return size < 0 ? std::string() : std::string(text.data(), static_cast<std::size_t>(size));
}

// Fails only where nothing can be written at all: ownership of a mode that was not asked for stays.
Result<void> set_owner_of(int fd, const Ownership& ownership, const std::string& what) {
    constexpr auto kSame = static_cast<std::uint32_t>(-1);
    if ((ownership.uid || ownership.gid) &&
        ::fchown(fd, ownership.uid.value_or(kSame), ownership.gid.value_or(kSame)) < 0) {
        return fail_errno(fmt::format("{}: giving it to its owner", what));
    }
    // After the owner, whose change takes set-id bits away.
    if (ownership.mode && ::fchmod(fd, *ownership.mode) < 0) {
        return fail_errno(fmt::format("{}: setting its mode", what));
    }
    return {};
}

}  // namespace

Result<FileFacts> look_at(const std::string& path, std::size_t first,
                          const std::function<std::size_t(ByteView)>& wanted) {
    const UniqueFd place(::open(path.c_str(), O_PATH | O_CLOEXEC));
    struct stat info{};
    if (!place || ::fstat(place.get(), &info) < 0) {
        return fail_errno(path);
    }
    FileFacts out{.kind = kind_of(info.st_mode),
                  .size = static_cast<std::uint64_t>(info.st_size),
                  .allocated = static_cast<std::uint64_t>(info.st_blocks) * 512,
                  .mode = info.st_mode & 07777U,
                  .uid = info.st_uid,
                  .gid = info.st_gid,
                  .access = time_of(info.st_atim),
                  .change = time_of(info.st_ctim),
                  .modification = time_of(info.st_mtim),
                  .format = {},
                  .head = {}};
    if (out.kind != FileFacts::Kind::regular && out.kind != FileFacts::Kind::block) {
        return out;
    }
    const UniqueFd fd(::open(fmt::format("/proc/self/fd/{}", place.get()).c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    if (!fd) {
        return fail_errno(path);
    }
    if (out.kind == FileFacts::Kind::block) {
        TRY(out.size, size_of(fd));
        out.allocated = out.size;
    } else {
        out.format = mark_of(fd);
    }
    TRY(out.head, read_at(fd, 0, first));
    if (const std::size_t whole = wanted(out.head); whole > out.head.size() && out.head.size() == first) {
        TRY(out.head, read_at(fd, 0, whole));
    }
    return out;
}

Result<std::vector<std::string>> names_in(const std::string& folder) {
    const std::unique_ptr<DIR, CloseFolder> stream(::opendir(folder.c_str()));
    if (!stream) {
        return fail_errno(fmt::format("cannot open directory '{}'", folder));
    }
    std::vector<std::string> out;
    while (true) {
        errno = 0;
        const dirent* const entry = ::readdir(stream.get());
        if (entry == nullptr) {
            break;
        }
        const std::string_view name = entry->d_name;
        if (name != "." && name != "..") {
            out.emplace_back(name);
        }
    }
    if (errno != 0) {
        return fail_errno(fmt::format("cannot read directory '{}'", folder));
    }
    return out;
}

Result<FileSystemRoom> room_of(const std::string& folder) {
    struct statvfs info{};
    if (::statvfs(folder.c_str(), &info) < 0) {
        return fail_errno(fmt::format("cannot statvfs path '{}'", folder));
    }
    return FileSystemRoom{std::uint64_t{info.f_frsize} * info.f_blocks, std::uint64_t{info.f_frsize} * info.f_bavail};
}

Result<void> make_folders(const std::string& path, std::uint32_t mode, const Ownership& ownership) {
    bool made = false;
    for (std::size_t at = path.find('/', 1);; at = path.find('/', at + 1)) {
        const bool last = at == std::string::npos;
        const std::string part = path.substr(0, at);
        if (::mkdir(part.c_str(), 0755) == 0) {
            made = last;
        } else if (errno != EEXIST) {
            return fail_errno(fmt::format("cannot create path '{}'", part));
        }
        if (last) {
            break;
        }
    }
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd) {
        return fail_errno(fmt::format("cannot create path '{}'", path));
    }
    Ownership wanted = ownership;
    if (made && !wanted.mode) {
        wanted.mode = mode;
    }
    return set_owner_of(fd.get(), wanted, path);
}

Result<void> remove_folder(const std::string& path) {
    return ::rmdir(path.c_str()) < 0 ? fail_errno(fmt::format("failed to remove pool '{}'", path)) : Result<void>();
}

Result<UniqueFd> make_file(const std::string& folder, const std::string& name) {
    TRY(const UniqueFd place, open_folder(folder));
    UniqueFd fd(::openat(place.get(), name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!fd) {
        return fail_errno(fmt::format("cannot create path '{}/{}'", folder, name));
    }
    return fd;
}

Result<void> make_subfolder(const std::string& folder, const std::string& name, const Ownership& ownership) {
    TRY(const UniqueFd place, open_folder(folder));
    const std::string path = folder + "/" + name;
    if (::mkdirat(place.get(), name.c_str(), 0711) < 0) {
        return fail_errno(fmt::format("cannot create path '{}'", path));
    }
    const UniqueFd fd(::openat(place.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    return fd ? set_owner_of(fd.get(), ownership, path) : fail_errno(path);
}

Result<void> remove_entry(const std::string& folder, const std::string& name, bool is_folder) {
    TRY(const UniqueFd place, open_folder(folder));
    if (::unlinkat(place.get(), name.c_str(), is_folder ? AT_REMOVEDIR : 0) < 0 && errno != ENOENT) {
        return fail_errno(fmt::format("cannot unlink file '{}/{}'", folder, name));
    }
    return {};
}

Result<void> sync_folder(const std::string& folder) {
    TRY(const UniqueFd place, open_folder(folder));
    return ::fsync(place.get()) < 0 ? fail_errno(folder) : Result<void>();
}

Result<UniqueFd> open_disk(const std::string& path, bool write) {
    UniqueFd fd(::open(path.c_str(), (write ? O_RDWR : O_RDONLY) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    struct stat info{};
    if (!fd || ::fstat(fd.get(), &info) < 0) {
        return fail_errno(fmt::format("cannot open volume '{}'", path));
    }
    if (!S_ISREG(info.st_mode) && !S_ISBLK(info.st_mode)) {
        return fail(Code::unsupported, fmt::format("'{}' is neither a file nor a block device", path));
    }
    return fd;
}

// The end of a block device is where seeking to its end comes to; that of a file, too.
Result<std::uint64_t> size_of(const UniqueFd& fd) {
    const off_t end = ::lseek(fd.get(), 0, SEEK_END);
    return end < 0 ? Result<std::uint64_t>(fail_errno("finding the end of a disk")) : static_cast<std::uint64_t>(end);
}

Result<void> set_owner(const UniqueFd& fd, const Ownership& ownership) {
    return set_owner_of(fd.get(), ownership, "the volume");
}

Result<void> set_size(const UniqueFd& fd, std::uint64_t size) {
    return ::ftruncate(fd.get(), static_cast<off_t>(size)) < 0
               ? fail_errno(fmt::format("cannot extend file to {} bytes", size))
               : Result<void>();
}

Result<void> allocate(const UniqueFd& fd, std::uint64_t from, std::uint64_t length) {
    if (length == 0) {
        return {};
    }
    // Where the file system has no way to reserve, this writes a byte to each block that is not there yet.
    const int error = ::posix_fallocate(fd.get(), static_cast<off_t>(from), static_cast<off_t>(length));
    return error != 0 ? fail_errno(fmt::format("cannot allocate {} bytes", length), error) : Result<void>();
}

void record_format(const UniqueFd& fd, const std::string& format) {
    if (format.empty()) {
        ::fremovexattr(fd.get(), kFormatMark);
    } else {
        ::fsetxattr(fd.get(), kFormatMark, format.data(), format.size(), 0);
    }
}

Result<Bytes> read_at(const UniqueFd& fd, std::uint64_t offset, std::size_t limit) {
    Bytes out(limit);
    std::size_t size = 0;
    while (size < limit) {
        const ssize_t got = ::pread(fd.get(), out.data() + size, limit - size, static_cast<off_t>(offset + size));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return fail_errno("reading a volume");
        }
        if (got == 0) {
            break;
        }
        size += static_cast<std::size_t>(got);
    }
    out.resize(size);
    return out;
}

Result<void> write_at(const UniqueFd& fd, std::uint64_t offset, ByteView bytes) {
    while (!bytes.empty()) {
        const ssize_t put = ::pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            return fail_errno("writing a volume", put == 0 ? ENOSPC : errno);
        }
        bytes = bytes.subspan(static_cast<std::size_t>(put));
        offset += static_cast<std::uint64_t>(put);
    }
    return {};
}

Result<void> write_hole(const UniqueFd& fd, std::uint64_t offset, std::uint64_t length) {
    struct stat info{};
    if (::fstat(fd.get(), &info) < 0) {
        return fail_errno("writing a volume");
    }
    if (S_ISREG(info.st_mode) && static_cast<std::uint64_t>(info.st_size) < offset + length) {
        TRY_OK(set_size(fd, offset + length));  // what is new is a hole
    }
    if (::fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                    static_cast<off_t>(length)) == 0) {
        return {};
    }
    if (errno != EOPNOTSUPP && errno != ENODEV && errno != EINVAL) {  // EINVAL: not on the device's block boundaries
        return fail_errno("writing a volume");
    }
    const Bytes zeros(std::min<std::uint64_t>(length, kChunk));
    while (length > 0) {
        const std::size_t n = std::min<std::uint64_t>(length, zeros.size());
        TRY_OK(write_at(fd, offset, ByteView(zeros).first(n)));
        offset += n;
        length -= n;
    }
    return {};
}

Result<void> sync(const UniqueFd& fd) {
    return ::fsync(fd.get()) < 0 ? fail_errno("writing a volume to the disk") : Result<void>();
}

Result<Extent> extent_at(const UniqueFd& fd, std::uint64_t offset, std::uint64_t size) {
    const auto at = static_cast<off_t>(offset);
    const off_t data = ::lseek(fd.get(), at, SEEK_DATA);
    if (data < 0) {
        if (errno == ENXIO) {  // nothing but a hole up to the end
            return Extent{.data = false, .end = size};
        }
        // Block devices and some file systems know no holes.
        return errno == EINVAL || errno == EOPNOTSUPP ? Result<Extent>(Extent{.data = true, .end = size})
                                                      : fail_errno("looking for holes in a volume");
    }
    if (data > at) {
        return Extent{.data = false, .end = std::min(static_cast<std::uint64_t>(data), size)};
    }
    const off_t hole = ::lseek(fd.get(), at, SEEK_HOLE);
    return Extent{.data = true, .end = hole < 0 ? size : std::min(static_cast<std::uint64_t>(hole), size)};
}

Result<void> overwrite(const UniqueFd& fd, std::uint64_t size, std::span<const std::uint8_t> pattern) {
    // A whole number of patterns, so that chunks join without a seam.
    Bytes chunk(pattern.empty() ? kChunk : kChunk / pattern.size() * pattern.size());
    for (std::size_t i = 0; i < chunk.size() && !pattern.empty(); ++i) {
        chunk[i] = static_cast<std::byte>(pattern[i % pattern.size()]);
    }
    for (std::uint64_t offset = 0; offset < size;) {
        TRY(const Extent extent, extent_at(fd, offset, size));
        if (!extent.data) {  // there is nothing to find in a hole
            offset = extent.end;
            continue;
        }
        for (std::size_t filled = 0; pattern.empty() && filled < chunk.size();) {
            const ssize_t got = ::getrandom(chunk.data() + filled, chunk.size() - filled, 0);
            if (got < 0 && errno != EINTR) {
                return fail_errno("random bytes");
            }
            filled += got < 0 ? 0 : static_cast<std::size_t>(got);
        }
        const std::size_t n = std::min<std::uint64_t>(chunk.size(), extent.end - offset);
        TRY_OK(write_at(fd, offset, ByteView(chunk).first(n)));
        offset += n;
    }
    return sync(fd);
}

Result<void> discard(const UniqueFd& fd, std::uint64_t size) {
    struct stat info{};
    if (::fstat(fd.get(), &info) < 0) {
        return fail_errno("giving a volume's blocks back");
    }
    // The last block of a file is only given back as a whole.
    const std::uint64_t length = S_ISREG(info.st_mode) ? (size + kChunk - 1) / kChunk * kChunk : size;
    if (length > 0 &&
        ::fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(length)) < 0) {
        return errno == EOPNOTSUPP || errno == ENODEV
                   ? fail(Code::unsupported, "what the volume lies on cannot give blocks back (trim)")
                   : fail_errno("giving a volume's blocks back");
    }
    return sync(fd);
}

Result<void> share_blocks(const UniqueFd& from, const UniqueFd& to) {
    if (::ioctl(to.get(), FICLONE, from.get()) < 0) {
        return errno == EOPNOTSUPP || errno == EXDEV || errno == EINVAL || errno == ENOTTY
                   ? fail(Code::unsupported, "the file system cannot share blocks between files (reflink)")
                   : fail_errno("sharing blocks between volumes");
    }
    return {};
}

}  // namespace bascule::kernel::os
