// SPDX-License-Identifier: GPL-2.0-or-later
// IPv6 of one network: its DHCPv6 server and its router advertisements, on the sockets that came for them.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "base/fd.h"
#include "dhcp/advertiser.h"
#include "dhcp/drops.h"
#include "dhcp/frame.h"
#include "dhcp/netsvc/batch_io.h"
#include "dhcp/netsvc/gate.h"
#include "dhcp/netsvc/random.h"
#include "dhcp/netsvc/rate.h"
#include "dhcp/server6.h"

namespace bascule::netsvc {

class Link6 {
public:
    struct Fds {
        int frames = -1, dhcp = -1, advert = -1;  // what was handed over; -1: nothing
    };

    // The spec must stay where it is until the next call.
    void configure(const dhcp::Spec& spec);
    // The bridge and its sockets are there, or are other ones now.
    void set_sockets(const Fds& fds);
    void restore(const std::vector<dhcp::journal::Record>& records, const dhcp::Now& now) {
        server_.restore(records, now);
    }

    // Handles a batch of frames; replies wait for send(). What is dropped is counted, what happened to leases comes
    // back, to be made durable first. `full`: where senders are to be counted, if the queue is full.
    std::vector<dhcp::LeaseEvent> receive(Inbox& inbox, const dhcp::Presence& presence, dhcp::Drops& drops,
                                          const dhcp::Now& now, KnownGate* full);
    std::vector<dhcp::LeaseEvent> tick(const dhcp::Now& now);
    std::vector<dhcp::LeaseEvent> revoke(const MacAddr& port) { return server_.revoke(port); }
    dhcp::Time next_tick() const {
        return std::min({server_.next_tick(), advertiser_.next(), stalled_ ? ticked_ + kStall : dhcp::kEndOfTime});
    }

    // Nothing could be stored: whoever was to be acknowledged something is not.
    void drop_undurable();
    // `router`: the bridge's MAC.
    void send(Outbox& out, const MacAddr& router);

    const dhcp::LeaseTable6& leases() const { return server_.leases(); }

private:
    struct Reply {
        dhcp::Packet6 packet;
        Endpoint to;
        bool needs_disk;
    };

    void hear(std::span<const Incoming> received, bool flooded, const dhcp::Presence& presence, dhcp::Drops& drops,
              const dhcp::Now& now, std::vector<dhcp::LeaseEvent>& events);
    // Why it is not answered, if so.
    std::optional<dhcp::Drop> solicited(const dhcp::Frame6& frame, const dhcp::Presence& presence, dhcp::Time now);

    static constexpr std::chrono::milliseconds kStall{500};
    static constexpr std::size_t kMostSolicitors = 256;

    void withdraw_prefixes();
    bool can_advertise() const;

    const dhcp::Spec* spec_ = nullptr;
    // What advertisements say of prefixes: those of the network, and those that were.
    std::vector<Prefix> prefixes_, withdrawn_;
    dhcp::Server6 server_;
    dhcp::Advertiser advertiser_{unguessable_bits};
    Fds fds_;
    std::vector<Reply> replies_;
    std::vector<Ip> solicitors_;
    bool everybody_ = false;  // an advertisement is due to all
    bool stalled_ = false;    // what is due has to wait: see can_advertise()
    dhcp::Time ticked_{};
    Buckets<MacAddr> rate_{20, 40, 4096};
    Bucket log_rate_;
};

}  // namespace bascule::netsvc
