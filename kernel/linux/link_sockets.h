// SPDX-License-Identifier: GPL-2.0-or-later
// Sockets for what happens on one bridge below UDP over IPv4: IPv6 frames with the MAC they came from, router
// advertisements, ARP. Opened by the daemon, used by bascule-netsvc. All are close-on-exec and never block.
#pragma once

#include "base/bytes.h"
#include "base/fd.h"
#include "base/names.h"
#include "base/result.h"

namespace bascule::kernel::os {

// Receives, as whole frames, DHCPv6 for servers (UDP 547) and router solicitations; the kernel filters the rest out. A
// frame says from which MAC it comes, which a UDP socket does not.
Result<UniqueFd> open_frames6_socket(const IfName& bridge);
// Sends DHCPv6 from port 547. It holds the port and the servers' multicast group; what comes in by it is dropped, since
// frames6 has it.
Result<UniqueFd> open_dhcp6_socket(const IfName& bridge);
// Sends ICMPv6 with hop limit 255, and is in the routers' group; receives nothing.
Result<UniqueFd> open_advert_socket(const IfName& bridge);
// ARP, both ways.
Result<UniqueFd> open_arp_socket(const IfName& bridge);

// To all nodes of the link that an advert socket is bound to.
Result<void> send_advertisement(int advert_socket, ByteView icmp);

}  // namespace bascule::kernel::os
