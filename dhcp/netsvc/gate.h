// SPDX-License-Identifier: GPL-2.0-or-later
// Keeps a socket's queue for those who do not flood it.
//
// All guests of a network send to the same sockets, and what does not fit into a socket's queue is lost whoever sent
// it: to drop a flood's datagrams after they were read protects nobody from their taking the room. So a source that has
// a good part of a queue which stays full is barred by a filter on the socket (SO_ATTACH_FILTER: no privilege needed),
// which the kernel asks before it queues anything. For kBar at first, twice as long each time it goes on, up to
// kLongestBar. While the queue does not fill, a source may send as much as it likes. A guest that invents sources is
// not stopped by this but by a filter like clean-traffic.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>

#include "base/net.h"
#include "dhcp/leases.h"

namespace bascule::netsvc {

class Gate {
public:
    static constexpr std::chrono::seconds kBar{1}, kLongestBar{8};
    static constexpr std::size_t kMostKnown = 16, kMostCounted = 4096;
    // How long a queue is full before anybody is to blame: a service that did not get to run for a moment catches up.
    static constexpr std::chrono::milliseconds kPatience{100};
    // What a source that floods has of a full queue: so many datagrams, and one in kShare.
    static constexpr std::uint32_t kFlood = 128, kShare = 4;

    // Opens the gate: whoever held the socket before may have left it closed to somebody.
    explicit Gate(int socket);

    // Before a turn's datagrams are read: whether so many wait that others' may be lost.
    bool is_full(dhcp::Time now);
    // A datagram of this source came out of a full queue.
    void count(const Ip& source);
    // After the turn: bars who flooded. Returns how many.
    std::size_t settle(dhcp::Time now);
    // Lets in whose time is up.
    void tick(dhcp::Time now);
    dhcp::Time next_tick() const;

private:
    // Barred until `next`, then remembered until `next`.
    struct Known {
        dhcp::Time next;
        std::chrono::seconds length;
        bool barred;
    };
    void apply();

    int socket_;
    std::optional<dhcp::Time> full_since_;
    std::map<Ip, std::uint32_t> counted_;
    std::uint32_t total_ = 0;
    std::map<Ip, Known> known_;
};

}  // namespace bascule::netsvc
