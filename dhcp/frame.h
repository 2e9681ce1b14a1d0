// SPDX-License-Identifier: GPL-2.0-or-later
// A UDP datagram as an Ethernet frame, checksums complete: some clients' own stacks check them on frames that no
// hardware ever touched, and nothing on a bridge would fill them in.
#pragma once

#include "base/bytes.h"
#include "base/net.h"

namespace bascule::dhcp {

struct UdpFrame {
    MacAddr from_mac, to_mac;
    Ip from, to;  // IPv4
    std::uint16_t from_port = 0, to_port = 0;
};

// The payload must fit one datagram (65507 bytes).
Bytes udp_frame(const UdpFrame& head, ByteView payload);

}  // namespace bascule::dhcp
