// SPDX-License-Identifier: GPL-2.0-or-later
// The sockets that the daemon opens: its own for clients, and those that it hands down to its helpers, which may open
// none themselves. All are close-on-exec and never block.
//
// A call that would have to wait fails with Code::system and EAGAIN; an empty read is the end of the connection.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/fd.h"
#include "base/names.h"
#include "base/net.h"
#include "base/result.h"

namespace bascule::kernel::os {

// ---- clients: Unix stream sockets -----------------------------------------------------------------

// Whether somebody accepts connections at that path.
bool answers(const std::string& path);
// Listens with exactly this mode and group from the first moment on; parents are made (0755). A socket that a
// dead daemon left is replaced: ask answers() first. `queue`: how many may wait to be accepted.
Result<UniqueFd> listen_clients(const std::string& path, unsigned mode, std::optional<std::uint32_t> group,
                                unsigned queue = 128);
void remove_socket(const std::string& path);

// Who connected, as the kernel vouches for it (SO_PEERCRED: at the time of connect).
struct AcceptedClient {
    UniqueFd fd;
    std::uint32_t uid = 0, gid = 0;
    int pid = 0;
};
Result<AcceptedClient> accept_client(int listener);
// When a process started, in ticks since boot, as polkit tells it from a later one of the same number; 0: it is gone.
std::uint64_t process_start_time(int pid);

// Lets this process have so many descriptors, if it may; how many it then can have.
std::size_t allow_descriptors(std::size_t wanted);

// ---- clients: TCP ---------------------------------------------------------------------------------

// Listens at one address, and IPv6's with IPV6_V6ONLY, so that all of both families can be two sockets.
Result<UniqueFd> listen_tcp(const Ip& address, std::uint16_t port, unsigned queue);
struct AcceptedRemote {
    UniqueFd fd;  // with the kernel's keepalive armed: a client whose host died is noticed
    Ip address;
    std::uint16_t port = 0;
};
Result<AcceptedRemote> accept_remote(int listener);

struct Received {
    Bytes bytes;
    std::vector<UniqueFd> fds;
};
// Some of the bytes, and how many; `fd` (-1: none) goes with the first of them.
Result<std::size_t> send_stream(int socket, ByteView bytes, int fd = -1);
Result<Received> receive_stream(int socket, std::size_t limit);
bool is_stream_socket(const UniqueFd& fd);

// ---- helpers: Unix seqpacket sockets --------------------------------------------------------------

Result<UniqueFd> listen_seqpacket(const std::string& path, unsigned mode);
// Code::unreachable when nobody listens there.
Result<UniqueFd> connect_seqpacket(const std::string& path);
Result<std::pair<UniqueFd, UniqueFd>> seqpacket_pair();
Result<std::pair<UniqueFd, UniqueFd>> stream_pair();  // blocking: for two children

// One whole packet with its descriptors, of which the kernel takes at most 253 (SCM_MAX_FD).
Result<void> send_packet(int socket, ByteView bytes, const std::vector<UniqueFd>& fds = {});
// Code::malformed for a packet that is longer than `limit` or brings more than `max_fds` descriptors.
Result<Received> receive_packet(int socket, std::size_t limit, std::size_t max_fds);

// ---- the services of a network --------------------------------------------------------------------

// UDP 67 on one bridge, broadcasts included, with the arrival's address in IP_PKTINFO.
Result<UniqueFd> open_dhcp_socket(const IfName& bridge);
// For whole Ethernet frames out of one bridge; receives nothing.
Result<UniqueFd> open_raw_socket(const IfName& bridge);
// UDP at one address of a bridge, for what comes in by it; port 0: any that is free.
Result<UniqueFd> open_service_socket(const Ip& address, std::uint16_t port, const IfName& bridge);
// The same of TCP, listening. Another program's listener at that port is Code::conflict; one of ours is joined, so that
// a successor can take over.
Result<UniqueFd> open_service_listener(const Ip& address, std::uint16_t port, const IfName& bridge);
// UDP sockets with source ports that the kernel draws at random from the host's range for such, so that answers are
// hard to forge (RFC 5452 section 9.2). Fewer or none, without an error, where the host has not got the family.
Result<std::vector<UniqueFd>> open_resolver_sockets(std::size_t count, IpFamily family);
// TCP sockets for asking them, not connected. None where the host has not got the family.
Result<std::vector<UniqueFd>> open_resolver_streams(std::size_t count, IpFamily family);
// A folder by its path, as a place that files are looked up below (O_PATH); symbolic links on the way are followed.
Result<UniqueFd> open_place(const std::string& path);
// False when the bridge was removed, or removed and made again, since the socket was bound to it.
// `index`: that of the bridge now (interface_index).
bool is_bound_to(int socket, std::uint32_t index);

}  // namespace bascule::kernel::os
