// SPDX-License-Identifier: GPL-2.0-or-later
// Frames that nftables copied to user space (NFLOG), by a netlink socket that the daemon opened and bound to the group:
// this process may not change what it is bound to.
#pragma once

#include <cstddef>
#include <vector>

#include "base/bytes.h"
#include "base/fd.h"
#include "dhcp/learner.h"

namespace bascule::netsvc {

// One message of NFLOG (linux/netfilter/nfnetlink_log.h), as the kernel sends it.
struct LoggedFrame {
    dhcp::Copy copy;
    bool too_many = false;  // not to be read: it says that there were more than are copied
};
// All frames of one datagram; what is not one of ours is left out. The views are into the datagram.
std::vector<LoggedFrame> parse_log(ByteView datagram);

class Copies {
public:
    bool open() const { return static_cast<bool>(socket_); }
    void open(UniqueFd socket) { socket_ = std::move(socket); }
    int fd() const { return socket_.get(); }
    // Reads what is there, within bounds, into the learner.
    void receive(dhcp::Learner& learner, dhcp::Time now);

private:
    UniqueFd socket_;
    std::vector<std::byte> buffer_;
    std::size_t lost_ = 0;  // times that the socket's buffer was full
};

}  // namespace bascule::netsvc
