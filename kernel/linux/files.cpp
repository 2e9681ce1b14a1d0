// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <ranges>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace bascule::kernel::os {

namespace {

constexpr std::string_view kTemporary = ".bascule-new-";

struct CloseFolder {
    void operator()(DIR* folder) const { ::closedir(folder); }
};

// "/a/b/c" -> {"a", "b", "c"}.
Result<std::vector<std::string>> parts_of(const std::string& path) {
    std::vector<std::string> out;
    if (!path.starts_with('/') || path.contains('\0')) {
        return fail(Code::invalid_argument, fmt::format("{}: a path here begins with '/'", path));
    }
    for (const auto part : std::views::split(std::string_view(path).substr(1), '/')) {
        out.emplace_back(part.begin(), part.end());
        if (out.back().empty() || out.back() == "." || out.back() == "..") {
            return fail(Code::invalid_argument, fmt::format("{}: '{}' is not a name", path, out.back()));
        }
    }
    return out;
}

bool is_absent(int error) { return error == ENOENT || error == ENOTDIR; }

class DiskFiles : public FileTree {
public:
    DiskFiles(UniqueFd root, std::string path) : root_(std::move(root)), path_(std::move(path)) {}

    Result<std::string> read(const std::string& path, std::size_t limit) const override;
    Result<void> write(const std::string& path, std::string_view content, unsigned mode) override;
    Result<void> remove(const std::string& path) override;
    Result<void> symlink(const std::string& target, const std::string& path) override;
    Result<std::vector<std::string>> list(const std::string& folder) const override;
    bool exists(const std::string& path) const override;
    std::string real(const std::string& path) const override { return path_ == "/" ? path : path_ + path; }
    void sync_folders_by(SyncFolder sync) override { sync_folder_ = std::move(sync); }

private:
    // An entry and the folder it is in.
    struct Place {
        UniqueFd folder;
        std::string name;
        std::string temporary() const { return std::string(kTemporary) + name; }
    };

    UniqueFd open(const std::string& path, int flags) const;
    Result<Place> find(const std::string& path) const;
    Result<Place> make_place(const std::string& path);
    Result<void> replace(const std::string& path, const std::function<Result<void>(const Place&)>& make);
    Result<void> sync(const std::string& path, UniqueFd folder);

    UniqueFd root_;
    std::string path_;
    SyncFolder sync_folder_;
};

// Errors are errno.
UniqueFd DiskFiles::open(const std::string& path, int flags) const {
    open_how how{};
    how.flags = static_cast<std::uint64_t>(flags) | O_CLOEXEC;
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    return UniqueFd(static_cast<int>(::syscall(SYS_openat2, root_.get(), path.c_str(), &how, sizeof(how))));
}

Result<DiskFiles::Place> DiskFiles::find(const std::string& path) const {
    TRY(const auto parts, parts_of(path));
    Place out{.folder = open(path.substr(0, path.rfind('/') + 1), O_RDONLY | O_DIRECTORY), .name = parts.back()};
    if (!out.folder) {
        return fail_errno(real(path));
    }
    return out;
}

Result<DiskFiles::Place> DiskFiles::make_place(const std::string& path) {
    TRY(const auto parts, parts_of(path));
    if (auto found = find(path); found || !is_absent(found.error().sys_errno)) {
        return found;
    }
    Place out{.folder = open("/", O_RDONLY | O_DIRECTORY), .name = parts.back()};
    std::string folder;
    for (std::size_t i = 0; out.folder && i + 1 < parts.size(); ++i) {
        folder += "/" + parts[i];
        UniqueFd next = open(folder, O_RDONLY | O_DIRECTORY);
        if (!next && errno == ENOENT) {
            if (::mkdirat(out.folder.get(), parts[i].c_str(), 0755) < 0 && errno != EEXIST) {
                return fail_errno(fmt::format("{}: making the folder", real(folder)));
            }
            if (::fsync(out.folder.get()) < 0) {
                return fail_errno(real(folder));
            }
            next = open(folder, O_RDONLY | O_DIRECTORY);
        }
        out.folder = std::move(next);
    }
    if (!out.folder) {
        return fail_errno(real(folder));
    }
    return out;
}

// Makes the new entry under a temporary name, then puts it in the place of the old one.
Result<void> DiskFiles::replace(const std::string& path, const std::function<Result<void>(const Place&)>& make) {
    TRY(Place place, make_place(path));
    const std::string temporary = place.temporary();
    const int folder = place.folder.get();
    if (::unlinkat(folder, temporary.c_str(), 0) < 0 && errno != ENOENT) {
        return fail_errno(real(path));
    }
    auto made = make(place);
    if (made && ::renameat(folder, temporary.c_str(), folder, place.name.c_str()) < 0) {
        made = fail_errno(fmt::format("{}: writing it", real(path)));
    }
    if (!made) {
        ::unlinkat(folder, temporary.c_str(), 0);
        return made;
    }
    return sync(path, std::move(place.folder));
}

// The folder of that entry.
Result<void> DiskFiles::sync(const std::string& path, UniqueFd folder) {
    if (sync_folder_) {
        sync_folder_(real(path.substr(0, path.rfind('/'))), std::move(folder));
        return {};
    }
    return ::fsync(folder.get()) < 0 ? fail_errno(fmt::format("{}: writing it", real(path))) : Result<void>();
}

Result<std::string> DiskFiles::read(const std::string& path, std::size_t limit) const {
    TRY_OK(parts_of(path));
    const UniqueFd fd = open(path, O_RDONLY | O_NONBLOCK);
    struct stat info{};
    if (!fd || ::fstat(fd.get(), &info) < 0) {
        return fail_errno(real(path));
    }
    if (!S_ISREG(info.st_mode)) {
        return fail(Code::invalid_argument, fmt::format("{}: not a regular file", real(path)));
    }
    std::string out;
    // One more than allowed, so that a file that is too long shows.
    out.resize(std::min(limit, static_cast<std::size_t>(info.st_size)) + 1);
    std::size_t size = 0;
    while (size <= limit) {
        if (size == out.size()) {
            out.resize(std::min(limit + 1, out.size() * 2));
        }
        const ssize_t got = ::read(fd.get(), out.data() + size, out.size() - size);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return fail_errno(real(path));
        }
        if (got == 0) {
            out.resize(size);
            return out;
        }
        size += static_cast<std::size_t>(got);
    }
    return std::unexpected(
        Error{Code::system, fmt::format("{}: longer than {} bytes, which is the most that is read", real(path), limit),
              EFBIG});
}

Result<void> DiskFiles::write(const std::string& path, std::string_view content, unsigned mode) {
    return replace(path, [&](const Place& place) -> Result<void> {
        const UniqueFd fd(::openat(place.folder.get(), place.temporary().c_str(),
                                   O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, static_cast<mode_t>(mode)));
        if (!fd || ::fchmod(fd.get(), static_cast<mode_t>(mode)) < 0) {  // whatever the umask is
            return fail_errno(fmt::format("{}: writing it", real(path)));
        }
        while (!content.empty()) {
            const ssize_t put = ::write(fd.get(), content.data(), content.size());
            if (put < 0 && errno != EINTR) {
                return fail_errno(fmt::format("{}: writing it", real(path)));
            }
            content.remove_prefix(put < 0 ? 0 : static_cast<std::size_t>(put));
        }
        if (::fsync(fd.get()) < 0) {
            return fail_errno(fmt::format("{}: writing it", real(path)));
        }
        return {};
    });
}

Result<void> DiskFiles::symlink(const std::string& target, const std::string& path) {
    return replace(path, [&](const Place& place) -> Result<void> {
        if (::symlinkat(target.c_str(), place.folder.get(), place.temporary().c_str()) < 0) {
            return fail_errno(fmt::format("{}: making the link", real(path)));
        }
        return {};
    });
}

Result<void> DiskFiles::remove(const std::string& path) {
    auto place = find(path);
    if (!place) {
        return is_absent(place.error().sys_errno) ? Result<void>() : std::unexpected(std::move(place).error());
    }
    const int folder = place->folder.get();
    if (::unlinkat(folder, place->name.c_str(), 0) < 0) {
        const bool is_folder = errno == EISDIR;
        if (!is_folder || ::unlinkat(folder, place->name.c_str(), AT_REMOVEDIR) < 0) {
            return errno == ENOENT ? Result<void>() : fail_errno(fmt::format("{}: removing it", real(path)));
        }
    }
    return sync(path, std::move(place->folder));
}

Result<std::vector<std::string>> DiskFiles::list(const std::string& folder) const {
    if (folder != "/") {
        TRY_OK(parts_of(folder));
    }
    UniqueFd fd = open(folder, O_RDONLY | O_DIRECTORY);
    if (!fd && errno == ENOENT) {
        return std::vector<std::string>();
    }
    const std::unique_ptr<DIR, CloseFolder> stream(fd ? ::fdopendir(fd.get()) : nullptr);
    if (!stream) {
        return fail_errno(real(folder));
    }
    (void)fd.release();  // the stream's now
    std::vector<std::string> out;
    while (true) {
        errno = 0;
        const dirent* entry = ::readdir(stream.get());
        if (entry == nullptr) {
            break;
        }
        const std::string_view name = entry->d_name;
        if (name != "." && name != ".." && !name.starts_with(kTemporary)) {
            out.emplace_back(name);
        }
    }
    if (errno != 0) {
        return fail_errno(real(folder));
    }
    std::ranges::sort(out);
    return out;
}

bool DiskFiles::exists(const std::string& path) const {
    const auto place = find(path);
    struct stat info{};
    return place && ::fstatat(place->folder.get(), place->name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0;
}

}  // namespace

Result<std::unique_ptr<FileTree>> make_file_tree(const std::string& root) {
    std::string path = root;
    while (path.size() > 1 && path.ends_with('/')) {
        path.pop_back();
    }
    if (!path.starts_with('/')) {
        return fail(Code::invalid_argument, fmt::format("root folder '{}': give its whole path, from '/'", root));
    }
    UniqueFd fd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!fd) {
        return fail_errno(fmt::format("root folder {}", path));
    }
    return std::make_unique<DiskFiles>(std::move(fd), std::move(path));
}

Result<void> make_folder(const std::string& path, unsigned mode, std::uint32_t uid, std::uint32_t gid) {
    for (std::size_t at = path.find('/', 1);; at = path.find('/', at + 1)) {
        const std::string part = path.substr(0, at);
        if (::mkdir(part.c_str(), 0755) < 0 && errno != EEXIST) {
            return fail_errno(fmt::format("{}: making the folder", part));
        }
        if (at == std::string::npos) {
            break;
        }
    }
    TRY(const UniqueFd fd, open_folder(path));
    if (::fchown(fd.get(), uid, gid) < 0 || ::fchmod(fd.get(), static_cast<mode_t>(mode)) < 0) {
        return fail_errno(fmt::format("{}: giving it to user {}", path, uid));
    }
    return {};
}

Result<UniqueFd> open_folder(const std::string& path) {
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) {
        return fail_errno(path);
    }
    return fd;
}

std::string real_path(const std::string& path) {
    const std::unique_ptr<char, decltype(&::free)> real(::realpath(path.c_str(), nullptr), ::free);
    return real ? std::string(real.get()) : std::string();
}

Result<UniqueFd> watch_files(const std::vector<std::string>& paths) {
    UniqueFd fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!fd) {
        return fail_errno("watching for changed files");
    }
    for (const std::string& path : paths) {
        ::inotify_add_watch(fd.get(), path.c_str(), IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_DELETE);
    }
    return fd;
}

void drain(int watch) {
    std::array<char, 4096> events;
    while (::read(watch, events.data(), events.size()) > 0) {
    }
}

}  // namespace bascule::kernel::os
