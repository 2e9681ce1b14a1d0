// SPDX-License-Identifier: GPL-2.0-or-later
// What basculed and bascule-netsvc say to each other, on top of kernel/helper_channel.h.
//
// The daemon pushes everything that is to be served, whole and as often as it likes:
//
//   Begin{7}  Network{default}+fds  NetworkPart{default, hosts…}  Network{lab}  Upstreams+fds  Commit{7}
//
// and nothing happens until Commit. A network that is not in the push is no longer served (its leases stay on
// disk). A Network without descriptors keeps the sockets the service already has; with descriptors it replaces
// all of them. The same holds for Upstreams. The answer to Commit is Synced with the same generation.
//
// So that a network more costs the same beside ten as beside a thousand, a service that says it can (Synced) is told
// from its first whole push on what changed only:
//
//   Begin{8, changes_from 7, gone: lab}  Network{default}  Commit{8}
//
// When it is not at 7, it does nothing, and its Synced asks for everything.
//
// A daemon that has just connected first hears what the service is doing already, and gets a copy of every
// descriptor back, so that it can hand them to a successor when this service dies:
//
//   Hello{pid, generation}  Held{default}+fds  HeldUpstreams+fds  Learned{7, …}  Leases{reset, …}  Leases{…}
//   Synced{generation}
//
// The leases that a network's file held when it was taken up come as a dump too, before the Synced of that push.
// From then on Leases reports every change, before the client that caused it gets its acknowledgement. When the
// daemon reads too slowly to be told everything, reports are dropped and a fresh dump (Leases with reset set)
// follows as soon as it reads again; the end of any dump is a Synced.
//
// The sockets, all opened by the daemon, since the service may not open any:
//   dhcp       AF_INET, UDP, bound to 0.0.0.0:67 and to the bridge (SO_BINDTODEVICE, before bind), SO_REUSEADDR,
//              SO_BROADCAST, IP_PKTINFO
//   raw        AF_PACKET, SOCK_RAW, protocol 0 (so that it never receives), bound to the bridge's ifindex
//   dns        UDP, bound to one server address, port 53, and to the bridge; IPv6 ones with IP(V6)_FREEBIND, since
//              a fresh IPv6 address is tentative. Of two for one address the second is bound to lo: what the host asks
//              comes in there
//   dns_tcp    TCP, listening, likewise
//   tftp       two of UDP for each entry: requests come to port 69 of a server address, transfers leave by any port
//              of it
//   http       TCP, listening at port 80 of a server address and on the bridge
//   frames6, dhcp6, advert, arp    as kernel/linux/link_sockets.h has them
//   root       no socket but a folder, opened with O_PATH: what TFTP and HTTP serve
//   upstreams  UDP, bound to random ports; then TCP, not bound to anything, which the service connects, uses for one
//              query and disconnects again
// All are close-on-exec and non-blocking.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "dhcp/drops.h"
#include "dhcp/learner.h"
#include "dhcp/spec.h"

namespace bascule::dhcp::wire {

// Which descriptors come with a message, in this order: dhcp, raw, frames6, dhcp6, advert, arp, then one for each entry
// of dns and of dns_tcp, two for each of tftp, one for each of http, root.
struct SocketLayout {
    bool dhcp = false, raw = false;
    std::vector<std::uint16_t> dns{};  // index into Spec::subnets of each DNS socket
    std::vector<std::uint16_t> dns_tcp{}, tftp{}, http{};
    bool root = false;
    bool frames6 = false, dhcp6 = false, advert = false, arp = false;

    std::size_t count() const {
        return (dhcp ? 1U : 0U) + (raw ? 1U : 0U) + dns.size() + dns_tcp.size() + 2 * tftp.size() + http.size() +
               (root ? 1U : 0U) + (frames6 ? 1U : 0U) + (dhcp6 ? 1U : 0U) + (advert ? 1U : 0U) + (arp ? 1U : 0U);
    }
    bool operator==(const SocketLayout&) const = default;
};
// SCM_RIGHTS carries 253 at most (SCM_MAX_FD); a message of ours never has more.
inline constexpr std::size_t kMaxDescriptors = 253;

// ---- daemon to service

struct Begin {
    std::uint64_t generation = 0;
    // Set: what follows are changes of that generation, and what is not named stays as it is.
    std::optional<std::uint64_t> changes_from{};
    std::vector<Uuid> gone{};  // among the changes: no longer served
    bool operator==(const Begin&) const = default;
};

struct Network {
    Spec spec;
    SocketLayout sockets;
    bool operator==(const Network&) const = default;
};

// More of a Network already named in this push: what did not fit its message.
struct NetworkPart {
    Uuid network;
    std::uint16_t subnet = 0;  // index: where hosts belong
    std::vector<Reservation> hosts;
    std::vector<DnsHost> dns_hosts;
    DnsSettings dns{};  // lists only
    bool operator==(const NetworkPart&) const = default;
};

struct Resolver {
    Ip address;
    std::uint16_t port = 53;
    auto operator<=>(const Resolver&) const = default;
};

// Where queries for names that are not ours go; asked in order. Descriptors: v4_sockets for IPv4, v6_sockets for IPv6,
// v4_streams and v6_streams of TCP; all 0 keep those held.
struct UpstreamSockets {
    std::uint16_t v4_sockets = 0, v6_sockets = 0, v4_streams = 0, v6_streams = 0;
    std::size_t count() const { return std::size_t{v4_sockets} + v6_sockets + v4_streams + v6_streams; }
    bool operator==(const UpstreamSockets&) const = default;
};
struct Upstreams {
    std::vector<Resolver> servers;
    UpstreamSockets sockets{};
    std::vector<std::string> search{};  // the host's search domains
    bool operator==(const Upstreams&) const = default;
};

struct Commit {
    std::uint64_t generation = 0;
    bool operator==(const Commit&) const = default;
};

// The port is gone: its lease ends now, but the address stays remembered for it.
struct RevokeLease {
    Uuid network;
    MacAddr port;
    bool operator==(const RevokeLease&) const = default;
};

// The inventory changed: these NICs belong to guests of that name from now on; without a name to none. Holds at once,
// and is part of the Network of later pushes.
struct Guests {
    Uuid network;
    std::vector<DnsGuest> guests;
    bool operator==(const Guests&) const = default;
};

// Copies of guests' frames come by this netlink socket from now on (nwfilter/learning.h); one descriptor.
struct Listen {
    bool operator==(const Listen&) const = default;
};
// Learn that port's addresses, or as described anew. Holds at once.
struct Watch {
    WatchedPort port;
    bool operator==(const Watch&) const = default;
};
// Learn them no more, or only forget what the port's own frames taught.
struct Unwatch {
    std::uint32_t port = 0;
    bool only_seen = false;
    bool operator==(const Unwatch&) const = default;
};

using ToService =
    std::variant<Begin, Network, NetworkPart, Upstreams, Commit, RevokeLease, Guests, Listen, Watch, Unwatch>;

// ---- service to daemon

struct Hello {
    std::uint32_t pid = 0;
    std::uint64_t generation = 0;  // of the last Commit; 0: none yet
    bool listening = false;        // it has a socket for copies of frames
    bool operator==(const Hello&) const = default;
};

struct Held {
    Uuid network;
    IfName bridge;
    SocketLayout sockets;
    bool operator==(const Held&) const = default;
};

struct HeldUpstreams {
    UpstreamSockets sockets{};
    bool operator==(const HeldUpstreams&) const = default;
};

using dhcp::LeaseEvent;
using dhcp::LeaseEventKind;

// All that was dropped since the network is served. Told of every network when a daemon connects, then at most once a
// second when there is more.
struct NetworkDrops {
    Uuid network;
    Drops drops{};
    bool operator==(const NetworkDrops&) const = default;
};

struct Leases {
    bool reset = false;  // first of a full dump: forget every lease heard of before
    std::vector<LeaseEvent> events;
    // What is not looked at is reported here, too, and not by a message of its own, which an older daemon would refuse.
    std::vector<NetworkDrops> drops{};
    bool operator==(const Leases&) const = default;
};
// Fits kMaxMessage whatever the leases hold.
inline constexpr std::size_t kMaxLeasesPerMessage = 100;

// What the service could not do with a network: its lease file cannot be opened, a socket is missing.
struct Trouble {
    Uuid network;
    std::string what;
    bool operator==(const Trouble&) const = default;
};

struct Synced {
    std::uint64_t generation = 0;
    std::vector<Trouble> troubles{};
    bool takes_changes = false;  // a Begin may have changes_from; older services do not know it
    bool wants_all = false;      // a push was none that follows `generation`
    bool operator==(const Synced&) const = default;
};

// All that is known of one watched port. Told of every port when a daemon connects, then whenever it changes.
struct Learned {
    std::uint32_t port = 0;
    std::vector<LearnedAddress> addresses{};
    bool operator==(const Learned&) const = default;
};

using ToDaemon = std::variant<Hello, Held, HeldUpstreams, Leases, Synced, Learned>;

// ---- bytes

// One datagram. Code::invalid_argument when it is too big for one.
Result<Bytes> encode(const ToService& message);
Result<Bytes> encode(const ToDaemon& message);

// A Network as datagrams: the first carries the descriptors, NetworkParts follow when there are many hosts.
Result<std::vector<Bytes>> encode_network(const Network& network);

// Code::malformed for anything that is not a message of this direction with values in bounds.
Result<ToService> decode_to_service(ByteView datagram);
Result<ToDaemon> decode_to_daemon(ByteView datagram);

// How many descriptors belong to a message. A datagram with another number is refused as a whole.
std::size_t descriptors(const ToService& message);
std::size_t descriptors(const ToDaemon& message);

}  // namespace bascule::dhcp::wire
