// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/sysctl.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <ranges>

#include <fmt/format.h>

#include "base/fd.h"

namespace bascule::kernel::os {

namespace {

// The key becomes a path: it may not lead out of /proc/sys.
Result<std::string> path_of(const std::string& key) {
    const auto bad_part = [](auto part) {
        const std::string_view text(part.begin(), part.end());
        return text.empty() || text == "." || text == "..";
    };
    if (key.empty() || key.contains('\0') || std::ranges::any_of(std::views::split(key, '/'), bad_part)) {
        return fail(Code::invalid_argument,
                    fmt::format("sysctl '{}': not a setting's name; write it like net/ipv4/ip_forward", key));
    }
    return "/proc/sys/" + key;
}

bool is_absent(int error) { return error == ENOENT || error == ENOTDIR; }

}  // namespace

Result<std::optional<std::string>> read_sysctl(const std::string& key) {
    TRY(const std::string path, path_of(key));
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) {
        if (is_absent(errno)) {
            return std::optional<std::string>();
        }
        return fail_errno(fmt::format("sysctl {}: reading {}", key, path));
    }
    std::array<char, 4096> buffer{};
    const ssize_t size = ::read(fd.get(), buffer.data(), buffer.size());
    if (size < 0) {
        return fail_errno(fmt::format("sysctl {}: reading {}", key, path));
    }
    std::string_view text(buffer.data(), static_cast<std::size_t>(size));
    while (text.ends_with('\n') || text.ends_with(' ')) {
        text.remove_suffix(1);
    }
    return std::optional<std::string>(text);
}

Result<void> write_sysctl(const std::string& key, std::string_view value) {
    TRY(const std::string path, path_of(key));
    const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!fd) {
        const int error = errno;
        if (is_absent(error)) {
            return std::unexpected(
                Error{Code::system, fmt::format("sysctl {}: this kernel has no such setting ({} is absent)", key, path),
                      error});
        }
        return fail_errno(fmt::format("sysctl {}: setting it to '{}'", key, value), error);
    }
    if (::write(fd.get(), value.data(), value.size()) != static_cast<ssize_t>(value.size())) {
        return fail_errno(fmt::format("sysctl {}: setting it to '{}'", key, value));
    }
    return {};
}

}  // namespace bascule::kernel::os
