// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/netsvc/lease_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include <fmt/format.h>

namespace bascule::netsvc {

namespace {

// 64 thousand leases many times over; a longer file is not ours.
constexpr std::size_t kLongest = 64U << 20;
constexpr std::size_t kAlwaysFine = 64U << 10;  // bytes
constexpr std::size_t kUsualLine = 100;         // bytes
constexpr mode_t kMode = 0640;

Result<std::string> read_all(int file, const std::string& name) {
    std::string out;
    std::string piece(64U << 10, '\0');
    for (;;) {
        const ssize_t got = ::read(file, piece.data(), piece.size());
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return fail_errno("cannot read " + name);
        }
        if (got == 0) {
            return out;
        }
        out.append(piece, 0, static_cast<std::size_t>(got));
        if (out.size() > kLongest) {
            return fail(Code::malformed,
                        fmt::format("{} is longer than {} MiB: not a lease file", name, kLongest >> 20));
        }
    }
}

Result<void> write_all(int file, std::string_view bytes, const std::string& name) {
    while (!bytes.empty()) {
        const ssize_t put = ::write(file, bytes.data(), bytes.size());
        if (put < 0 && errno != EINTR) {
            return fail_errno("cannot write " + name);
        }
        bytes.remove_prefix(put > 0 ? static_cast<std::size_t>(put) : 0);
    }
    return {};
}

}  // namespace

Result<LeaseFile::Opened> LeaseFile::open(int folder, const Uuid& network) {
    LeaseFile file(folder, format(network) + ".leases");
    file.file_ = UniqueFd(::openat(folder, file.name_.c_str(), O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0));
    if (!file.file_ && errno != ENOENT) {
        return fail_errno("cannot open " + file.name_);
    }
    if (!file.file_) {
        TRY_OK(file.rewrite(dhcp::journal::header(network)));
        return Opened{std::move(file), {}};
    }
    TRY(const std::string content, read_all(file.file_.get(), file.name_));
    auto replay = dhcp::journal::replay(network, content);
    if (!replay) {
        return std::unexpected(std::move(replay).error().in(file.name_));
    }
    file.size_ = replay->good_bytes;
    if (replay->torn && ::ftruncate(file.file_.get(), static_cast<off_t>(replay->good_bytes)) != 0) {
        return fail_errno("cannot cut the torn end off " + file.name_);
    }
    if (replay->good_bytes == 0) {
        TRY_OK(file.rewrite(dhcp::journal::header(network)));
    }
    return Opened{std::move(file), *std::move(replay)};
}

Result<void> LeaseFile::commit() {
    if (broken_) {
        pending_.clear();
        return fail(Code::system, name_ + " is broken since an earlier error");
    }
    const std::string lines = std::exchange(pending_, {});
    auto done = write_all(file_.get(), lines, name_);
    if (done && ::fdatasync(file_.get()) != 0) {
        done = fail_errno("cannot sync " + name_);
    }
    broken_ = !done;
    size_ += lines.size();
    return done;
}

Result<void> LeaseFile::rewrite(std::string_view snapshot) {
    pending_.clear();
    const std::string fresh = name_ + ".new";
    UniqueFd out(
        ::openat(folder_, fresh.c_str(), O_RDWR | O_APPEND | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, kMode));
    if (!out) {
        return fail_errno("cannot create " + fresh);
    }
    TRY_OK(write_all(out.get(), snapshot, fresh));
    if (::fsync(out.get()) != 0) {
        return fail_errno("cannot sync " + fresh);
    }
    if (::renameat(folder_, fresh.c_str(), folder_, name_.c_str()) != 0) {
        return fail_errno(fmt::format("cannot rename {} to {}", fresh, name_));
    }
    file_ = std::move(out);  // appends go to the file that bears the name, whatever comes next
    size_ = snapshot.size();
    broken_ = ::fsync(folder_) != 0;
    return broken_ ? Result<void>(fail_errno("cannot sync the lease folder")) : Result<void>();
}

bool LeaseFile::is_bloated(std::size_t leases) const { return size_ > kAlwaysFine + 4 * kUsualLine * leases; }

Result<UniqueFd> lock_folder(int folder) {
    UniqueFd lock(::openat(folder, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, kMode));
    if (!lock) {
        return fail_errno("cannot open the lease folder's lock");
    }
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK
                   ? Result<UniqueFd>(fail(Code::conflict, "another bascule-netsvc works on this lease folder"))
                   : Result<UniqueFd>(fail_errno("cannot lock the lease folder"));
    }
    return lock;
}

}  // namespace bascule::netsvc
