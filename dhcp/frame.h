// SPDX-License-Identifier: GPL-2.0-or-later
// A UDP datagram as an Ethernet frame, checksums complete: some clients' own stacks check them on frames that no
// hardware ever touched, and nothing on a bridge would fill them in.
#pragma once

#include <optional>

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

// An IPv6 frame as a packet socket sees it: who sent it is known by its MAC. The checksum is not looked at: between
// virtual NICs nobody has computed it yet.
struct Frame6 {
    MacAddr from_mac;
    Ip from, to;
    unsigned hop_limit = 0;
    bool udp = false;  // else ICMPv6
    std::uint16_t from_port = 0, to_port = 0;
    ByteView payload;  // of UDP, or the whole ICMPv6 message
};
std::optional<Frame6> parse_frame6(ByteView frame);

// RFC 5227: who has that address? Asked without telling one of ours, so no cache learns anything.
Bytes arp_probe(const MacAddr& from, const Ip& address);
struct ArpSpeaker {
    MacAddr mac;
    Ip address;
};
// Who speaks in an ARP frame, and for which address; none for probes and nonsense.
std::optional<ArpSpeaker> parse_arp(ByteView frame);

}  // namespace bascule::dhcp
