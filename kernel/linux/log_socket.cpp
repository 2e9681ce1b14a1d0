// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/log_socket.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <net/if.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include <fmt/format.h>

namespace bascule::kernel::os {

namespace {

constexpr std::size_t kMessage = 256;
// As much of a frame as an Ethernet link without jumbo frames has.
constexpr std::uint32_t kCopied = 1500;
// A thousand ports that renew at once send two thousand frames of a few hundred bytes.
constexpr int kReceiveBuffer = 4 << 20;

// One request about the group, and the kernel's answer.
Result<void> configure(int fd, std::uint16_t group, auto put) {
    std::array<char, kMessage> buffer{};
    nlmsghdr* const header = mnl_nlmsg_put_header(buffer.data());
    header->nlmsg_type = (NFNL_SUBSYS_ULOG << 8) | NFULNL_MSG_CONFIG;
    header->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    auto* const generic = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(header, sizeof(nfgenmsg)));
    generic->nfgen_family = AF_UNSPEC;
    generic->version = NFNETLINK_V0;
    generic->res_id = htons(group);
    put(header);
    sockaddr_nl kernel{};
    kernel.nl_family = AF_NETLINK;
    if (::sendto(fd, header, header->nlmsg_len, 0, reinterpret_cast<sockaddr*>(&kernel), sizeof kernel) < 0) {
        return fail_errno(fmt::format("cannot ask for the packets of log group {}", group));
    }
    // The answer is there when send returns; packets may be in front of it.
    std::array<char, 64 * 1024> answer{};
    for (;;) {
        const ssize_t got = ::recv(fd, answer.data(), answer.size(), MSG_DONTWAIT);
        if (got < 0) {
            return fail_errno(fmt::format("no answer about log group {}", group));
        }
        const auto* const first = reinterpret_cast<const nlmsghdr*>(answer.data());
        if (!mnl_nlmsg_ok(first, static_cast<int>(got)) || first->nlmsg_type != NLMSG_ERROR) {
            continue;
        }
        const int error = -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(first))->error;
        if (error == EBUSY) {
            return fail(Code::conflict, fmt::format("another program reads log group {} already", group));
        }
        if (error == EINVAL || error == EOPNOTSUPP) {
            return fail(Code::unsupported, "the kernel has no nfnetlink_log");
        }
        return error == 0 ? Result<void>() : fail_errno(fmt::format("log group {}", group), error);
    }
}

}  // namespace

Result<UniqueFd> open_log_socket(std::uint16_t group) {
    UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER));
    sockaddr_nl own{};
    own.nl_family = AF_NETLINK;
    if (!fd || ::bind(fd.get(), reinterpret_cast<sockaddr*>(&own), sizeof own) != 0) {
        return fail_errno("cannot open a netlink socket for copies of packets");
    }
    (void)::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBuffer, sizeof kReceiveBuffer);
    TRY_OK(configure(fd.get(), group, [](nlmsghdr* header) {
        const nfulnl_msg_config_cmd bind{.command = NFULNL_CFG_CMD_BIND};
        mnl_attr_put(header, NFULA_CFG_CMD, sizeof bind, &bind);
    }));
    TRY_OK(configure(fd.get(), group, [](nlmsghdr* header) {
        nfulnl_msg_config_mode mode{};
        mode.copy_range = htonl(kCopied);
        mode.copy_mode = NFULNL_COPY_PACKET;
        mnl_attr_put(header, NFULA_CFG_MODE, sizeof mode, &mode);
    }));
    return fd;
}

std::uint32_t interface_index(const std::string& name) { return ::if_nametoindex(name.c_str()); }

}  // namespace bascule::kernel::os
