// SPDX-License-Identifier: GPL-2.0-or-later
// Keeps a socket's queue for those who do not flood it.
//
// All guests of a network send to the same sockets, and what does not fit into a socket's queue is lost whoever sent
// it: to drop a flood's datagrams after they were read protects nobody from their taking the room. So a source that has
// a good part of a queue which stays full is barred by a filter on the socket (SO_ATTACH_FILTER: no privilege needed),
// which the kernel asks before it queues anything. For kBar at first, twice as long each time it goes on, up to
// kLongestBar. While the queue does not fill, a source may send as much as it likes. A guest that invents sources, or
// floods in a neighbour's name, is not stopped by this but by a filter like clean-traffic.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/net.h"
#include "dhcp/leases.h"

namespace bascule::netsvc {

// Whether so many datagrams wait at a socket that others' may be lost, and for how long that has been so.
class FullQueue {
public:
    // How long a queue is full before anybody is to blame: a service that did not get to run for a moment catches up.
    static constexpr std::chrono::milliseconds kPatience{100};

    explicit FullQueue(int socket) : socket_(socket) {
        look({});  // what was lost before is nobody's news
        forget();
    }
    // To be asked before a turn's datagrams are read.
    bool look(dhcp::Time now);
    bool began(dhcp::Time now) const { return since_ == now; }
    bool stays(dhcp::Time now) const { return since_ && *since_ + kPatience <= now; }
    void forget() { since_.reset(); }
    // What the kernel threw away, for want of room or by a filter, since this was asked last.
    std::uint64_t take_lost() { return std::exchange(lost_, 0); }

private:
    int socket_;
    std::optional<std::uint32_t> counted_;  // by the kernel, since there is the socket; goes round
    std::uint64_t lost_ = 0;
    std::optional<dhcp::Time> since_;
};

class Gate {
public:
    static constexpr std::chrono::seconds kBar{1}, kLongestBar{8};
    static constexpr std::size_t kMostKnown = 16, kMostCounted = 4096;
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
    std::uint64_t take_lost() { return queue_.take_lost(); }

private:
    // Barred until `next`, then remembered until `next`.
    struct Known {
        dhcp::Time next;
        std::chrono::seconds length;
        bool barred;
    };
    void apply();

    int socket_;
    FullQueue queue_;
    std::map<Ip, std::uint32_t> counted_;
    std::uint32_t total_ = 0;
    std::map<Ip, Known> known_;
};

// The same for DHCP, and for the IPv6 frames of DHCPv6 and router solicitations, whose senders have no address yet and
// may be anybody: while the queue stays full only messages of known ports get into it (by chaddr, RFC 2131 section 2;
// by the frame's sender), and of those not the ones whose own messages fill it.
//
// And always, of DHCP: a message that names a known port came in a frame of its MAC address, or it is somebody else's,
// who would give back or decline what that port has. Of such a message only kForeign bytes get in, so that it is
// counted. With a filter on the sender's own port that holds it to its MAC address (no-mac-spoofing), nobody can speak
// for another.
class KnownGate {
public:
    enum class Of { dhcp, frames6 };
    static constexpr std::chrono::seconds kClosed{1}, kLongest{4};
    // Whose comparisons the kernel takes (net.core.optmem_max: 20 KiB, eight octets each, two each in the worst case).
    static constexpr std::size_t kMostKnown = 1000;
    static constexpr std::size_t kForeign = 13;  // shorter than any message

    explicit KnownGate(int socket, Of of = Of::dhcp);

    // False where there are too many, or the kernel refuses: then it is open to everybody.
    bool know(std::vector<MacAddr> known);

    // Before a turn: whether so many wait that others' may be lost. Then what comes out is to be counted.
    bool look(dhcp::Time now);
    void count(const MacAddr& sender);
    // After it: whether it is time to close().
    bool is_due(dhcp::Time now) const { return queue_.stays(now) && (!closed_ || !flooders().empty()); }
    // For all but known ports that do not flood. False where there are none, or the kernel refuses: then it stays as it
    // is.
    bool close(dhcp::Time now);
    void tick(dhcp::Time now);
    dhcp::Time next_tick() const { return next_; }
    std::uint64_t take_lost() { return queue_.take_lost(); }

private:
    std::vector<MacAddr> flooders() const;
    bool apply(bool closed);

    int socket_;
    Of of_;
    FullQueue queue_;
    std::vector<MacAddr> known_;
    std::unordered_set<MacAddr> barred_;  // known ones, while it is closed
    std::unordered_map<MacAddr, std::uint32_t> counted_;
    std::uint32_t total_ = 0;
    bool closed_ = false;
    std::chrono::seconds length_{0};
    dhcp::Time next_ = dhcp::kEndOfTime;  // open again; then: forgotten that it ever was closed
};

}  // namespace bascule::netsvc
