// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/uevents.h"

#include <linux/netlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

#include "base/fd.h"

namespace bascule::kernel::os {

namespace {

constexpr std::array<std::string_view, 3> kSubsystems{"SUBSYSTEM=pci", "SUBSYSTEM=usb", "SUBSYSTEM=net"};

// "add@/devices/…" and then KEY=VALUE, each with a NUL behind it.
bool is_of_interest(std::string_view message) {
    while (!message.empty()) {
        const std::size_t end = std::min(message.find('\0'), message.size());
        if (std::ranges::find(kSubsystems, message.substr(0, end)) != kSubsystems.end()) {
            return true;
        }
        message.remove_prefix(std::min(end + 1, message.size()));
    }
    return false;
}

class DeviceWatch : public Watch {
public:
    DeviceWatch(UniqueFd fd, std::function<void()> on) : fd_(std::move(fd)), on_(std::move(on)) {}

    void start(Loop& loop) {
        watch_ = loop.watch(fd_.get(), true, false, [this](Ready) { hear(); });
    }

private:
    void hear() {
        bool news = false;
        std::array<char, 16 * 1024> message{};
        for (;;) {
            sockaddr_nl from{};
            socklen_t size = sizeof from;
            const ssize_t got = ::recvfrom(fd_.get(), message.data(), message.size(), MSG_DONTWAIT,
                                           reinterpret_cast<sockaddr*>(&from), &size);
            if (got < 0 && errno == EINTR) {
                continue;
            }
            if (got < 0 && errno != ENOBUFS) {
                break;
            }
            // Only the kernel has no port; programs may send to this group, too.
            news = news || got < 0 ||
                   (from.nl_pid == 0 && is_of_interest({message.data(), static_cast<std::size_t>(got)}));
        }
        if (news) {
            on_();
        }
    }

    UniqueFd fd_;
    std::function<void()> on_;
    std::unique_ptr<Watch> watch_;
};

}  // namespace

Result<std::unique_ptr<Watch>> watch_devices(Loop& loop, std::function<void()> on) {
    UniqueFd fd(::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT));
    sockaddr_nl group{};
    group.nl_family = AF_NETLINK;
    group.nl_groups = 1;  // the kernel's; udev's own is 2
    if (!fd || ::bind(fd.get(), reinterpret_cast<sockaddr*>(&group), sizeof group) != 0) {
        return fail_errno("cannot listen for events of devices");
    }
    auto watch = std::make_unique<DeviceWatch>(std::move(fd), std::move(on));
    watch->start(loop);
    return watch;
}

}  // namespace bascule::kernel::os
