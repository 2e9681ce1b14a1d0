// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/fd.h"

#include <fcntl.h>
#include <unistd.h>

namespace bascule {

UniqueFd::UniqueFd(int fd) noexcept : fd_(fd) {
    if (fd_ < 0) {
        fd_ = -1;
        return;
    }
    if (const int flags = ::fcntl(fd_, F_GETFD); flags >= 0 && (flags & FD_CLOEXEC) == 0) {
        ::fcntl(fd_, F_SETFD, flags | FD_CLOEXEC);
    }
}

UniqueFd::~UniqueFd() {
    if (fd_ >= 0) {
        ::close(fd_);
    }
}

UniqueFd UniqueFd::duplicate() const noexcept {
    return fd_ < 0 ? UniqueFd() : UniqueFd(::fcntl(fd_, F_DUPFD_CLOEXEC, 0));
}

}  // namespace bascule
