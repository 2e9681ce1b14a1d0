// SPDX-License-Identifier: GPL-2.0-or-later
// Datagrams in batches: one system call for up to 32 of them, each way. All sockets are non-blocking and were handed
// to us; a full one loses the datagram, as networks do.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/net.h"

namespace bascule::netsvc {

struct Endpoint {
    Ip address;
    std::uint16_t port = 0;
    bool operator==(const Endpoint&) const = default;
};

sockaddr_storage to_sockaddr(const Endpoint& endpoint, socklen_t& length);
std::optional<Endpoint> from_sockaddr(const sockaddr_storage& address);

struct Incoming {
    ByteView bytes;  // until the next receive; none of what is longer than we read
    Endpoint from;
    // Where it came in, of sockets with IP_PKTINFO: the interface, and the address it was sent to.
    int interface = 0;
    Ip to;
};

class Inbox {
public:
    // What is longer is not for us (DHCP over Ethernet, DNS with an EDNS size of at most 1232) and comes
    // without its bytes.
    static constexpr std::size_t kLongest = 2048;
    static constexpr std::size_t kBatch = 32;

    Inbox();
    // Empty when nothing is there. Errors that a peer caused (ICMP) are taken and forgotten.
    std::span<const Incoming> receive(int socket);

private:
    std::vector<std::byte> buffers_;
    std::vector<std::byte> controls_;
    std::array<sockaddr_storage, kBatch> addresses_{};
    std::array<iovec, kBatch> vectors_{};
    std::array<mmsghdr, kBatch> headers_{};
    std::vector<Incoming> received_;
};

class Outbox {
public:
    // By UDP; what goes out is copied. `source` and `interface`, where given, go with it (IP_PKTINFO); `from` is an
    // IPv4 address of ours.
    void add(int socket, const Endpoint& to, ByteView bytes, std::optional<Ip> from = {}, int interface = 0);
    // A whole Ethernet frame on a packet socket.
    void add_frame(int socket, int interface, const MacAddr& to, ByteView frame);
    // Sends everything and forgets it; says how many could not be sent.
    std::size_t flush();

private:
    struct Outgoing {
        int socket = -1;
        alignas(sockaddr_storage) std::array<std::byte, 32> address{};  // as much as any of the three families needs
        socklen_t address_length = 0;
        std::size_t at = 0, size = 0;  // in bytes_
        std::optional<Ip> from;
        int interface = 0;
    };

    static constexpr std::size_t kMostKept = std::size_t{1} << 20;  // of room, once it is sent

    void put(Outgoing out, ByteView bytes);
    std::size_t send_run(std::span<Outgoing> run);

    std::vector<Outgoing> queue_;
    Bytes bytes_;  // of all of them, end to end: none has memory of its own
    std::array<iovec, Inbox::kBatch> vectors_{};
    std::array<mmsghdr, Inbox::kBatch> headers_{};
    std::vector<std::byte> controls_;
};

}  // namespace bascule::netsvc
