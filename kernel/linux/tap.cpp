// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/tap.h"

#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include <fmt/format.h>

namespace bascule::kernel::os {

namespace {

constexpr const char* kTunDevice = "/dev/net/tun";

ifreq request_for(const IfName& name) {
    ifreq request{};
    std::memcpy(request.ifr_name, name.str().data(), name.str().size());  // at most 15 bytes
    return request;
}

Result<void> needs_link(const IfName& name) {
    const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request = request_for(name);
    if (!socket || ::ioctl(socket.get(), SIOCGIFINDEX, &request) < 0) {
        const int error = errno;
        if (error == ENODEV) {
            return fail(Code::invalid_state, fmt::format("tap {}: there is no such link; it was removed by somebody "
                                                         "else, start its guest again",
                                                         name.str()));
        }
        return fail_errno(fmt::format("tap {}", name.str()), error);
    }
    return {};
}

class LinuxTaps : public Taps {
public:
    Result<UniqueFd> open_tap(const IfName& name, bool multi_queue) override {
        TRY_OK(needs_link(name));
        return attach_tap(name, multi_queue);
    }
    Result<UniqueFd> open_vhost_net() override;
};

Result<UniqueFd> LinuxTaps::open_vhost_net() {
    constexpr const char* kDevice = "/dev/vhost-net";
    UniqueFd fd(::open(kDevice, O_RDWR | O_CLOEXEC));
    if (!fd) {
        const int error = errno;
        if (error == ENOENT || error == ENODEV || error == ENXIO) {
            return fail(Code::unsupported, fmt::format("{} is absent: the kernel module vhost_net is not available "
                                                       "(modprobe vhost_net)",
                                                       kDevice));
        }
        return fail_errno(fmt::format("opening {}", kDevice), error);
    }
    return fd;
}

}  // namespace

Result<UniqueFd> attach_tap(const IfName& name, bool multi_queue) {
    UniqueFd fd(::open(kTunDevice, O_RDWR | O_CLOEXEC | O_NONBLOCK));
    if (!fd) {
        return fail_errno(fmt::format("tap {}: opening {}", name.str(), kTunDevice));
    }
    ifreq request = request_for(name);
    request.ifr_flags = static_cast<short>(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (multi_queue ? IFF_MULTI_QUEUE : 0));
    if (::ioctl(fd.get(), TUNSETIFF, &request) < 0) {
        const int error = errno;
        switch (error) {
            case EBUSY:
                return std::unexpected(
                    Error{Code::in_use, fmt::format("tap {}: another process has it open", name.str()), error});
            case EINVAL:
                return std::unexpected(Error{
                    Code::conflict,
                    fmt::format("tap {}: the link of that name is no tap {} multiple queues; remove it (ip link delete "
                                "{}) or choose another name",
                                name.str(), multi_queue ? "with" : "without", name.str()),
                    error});
            default: return fail_errno(fmt::format("tap {}: attaching to it", name.str()), error);
        }
    }
    return fd;
}

Result<void> keep_tap(const UniqueFd& tap) {
    if (::ioctl(tap.get(), TUNSETPERSIST, 1UL) < 0) {
        return fail_errno("tap: making it persistent");
    }
    return {};
}

Result<void> set_rx_frames(const IfName& name, std::uint32_t frames) {
    const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request = request_for(name);
    ethtool_coalesce settings{};
    settings.cmd = ETHTOOL_GCOALESCE;
    request.ifr_data = reinterpret_cast<char*>(&settings);
    if (!socket || ::ioctl(socket.get(), SIOCETHTOOL, &request) < 0) {
        return fail_errno(fmt::format("tap {}: asking how many frames it collects", name.str()));
    }
    settings.cmd = ETHTOOL_SCOALESCE;
    settings.rx_max_coalesced_frames = frames;
    if (::ioctl(socket.get(), SIOCETHTOOL, &request) < 0) {
        return fail_errno(fmt::format("tap {}: collecting {} frames (<coalesce>)", name.str(), frames));
    }
    return {};
}

std::unique_ptr<Taps> make_taps() { return std::make_unique<LinuxTaps>(); }

}  // namespace bascule::kernel::os
