// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <utility>

namespace bascule {

// Sole owner of a file descriptor, which is always close-on-exec: handing one to a child process is a
// visible act (kernel/io.h, Spawner). Closing cannot fail from the caller's point of view: on Linux
// the descriptor is gone even when close() reports an error.
class UniqueFd {
public:
    UniqueFd() = default;
    // Takes ownership and sets close-on-exec. -1 is "none".
    explicit UniqueFd(int fd) noexcept;
    UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    UniqueFd& operator=(UniqueFd&& other) noexcept {
        UniqueFd(std::move(other)).swap(*this);
        return *this;
    }
    ~UniqueFd();

    void swap(UniqueFd& other) noexcept { std::swap(fd_, other.fd_); }
    void reset() noexcept { UniqueFd().swap(*this); }
    int get() const noexcept { return fd_; }
    [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
    explicit operator bool() const noexcept { return fd_ >= 0; }

    // Another descriptor for the same open file; none when this is none or the table is full.
    UniqueFd duplicate() const noexcept;

private:
    int fd_ = -1;
};

}  // namespace bascule
