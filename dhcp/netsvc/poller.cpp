// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/netsvc/poller.h"

#include <sys/epoll.h>

namespace bascule::netsvc {

namespace {

epoll_event event_for(int fd, bool read, bool write) {
    epoll_event event{};
    event.events = (read ? std::uint32_t{EPOLLIN} : 0U) | (write ? std::uint32_t{EPOLLOUT} : 0U);
    event.data.fd = fd;
    return event;
}

}  // namespace

Poller::Poller() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {}

Result<void> Poller::watch(int fd, const Source& source, bool read, bool write) {
    epoll_event event = event_for(fd, read, write);
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
        return fail_errno("cannot watch a descriptor");
    }
    sources_.insert_or_assign(fd, source);
    return {};
}

void Poller::change(int fd, bool read, bool write) {
    epoll_event event = event_for(fd, read, write);
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
}

void Poller::unwatch(int fd) {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
    sources_.erase(fd);
}

std::optional<Source> Poller::find(int fd) const {
    const auto found = sources_.find(fd);
    return found == sources_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace bascule::netsvc
