// SPDX-License-Identifier: GPL-2.0-or-later
// Theory of operation
// ===================
//
// bascule-netsvc is the only program that reads what guests send to the host itself: DHCP, DNS, TFTP and HTTP. It runs
// as a user of its own without any privilege (sandbox.h), on sockets that the daemon opened and handed over
// (dhcp/wire.h), and works on when the daemon is gone. A new daemon connects, hears what is served, and pushes what
// shall be served from then on; what stays the same is not touched, so no client notices. The newest connection wins.
//
// One thread, one epoll. Each turn of the loop: read what is there in batches, decide (dhcp/, pure), then in this
// order, which is the promise of the whole thing:
//
//   1. write what changed in the leases and fdatasync, once for all clients of the turn (group commit)
//   2. tell the daemon, so that it can open the port's filter
//   3. send the replies
//
// On a busy network 1 waits a few milliseconds for more (Served::kGather), and so do 2 and 3.
//
// When 1 fails, nobody is acknowledged anything that is not on the disk, and the file is written afresh as soon as
// the disk takes it again.
//
//   service      the loop; the daemon's messages
//   names        DNS, and TFTP and HTTP for guests that boot from the network
//   streams, upstream_streams, tftp_server, files   what names works with
//   served       one network: DHCP batches, lease file, replies
//   copies       frames that nftables copied to us, of ports that learn addresses (dhcp/learner.h)
//   daemon_link  the connection: reports, dumps
//   lease_file   append, sync, rewrite
//   batch_io     recvmmsg, sendmmsg
//   poller       epoll
//   rate         token buckets
//   sandbox      what this process gives up
//
// What a guest's flood can cost: the receive buffers of its network's sockets (the kernel drops beyond), 1024 offers,
// as many leases as there are addresses, 256 outstanding DNS queries, 64 connections, 16 transfers, a bounded number of
// log lines.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "dhcp/netsvc/batch_io.h"
#include "dhcp/netsvc/daemon_link.h"
#include "dhcp/netsvc/names.h"
#include "dhcp/netsvc/poller.h"
#include "dhcp/netsvc/served.h"

namespace bascule::netsvc {

class Service {
public:
    // `listener`: a listening seqpacket socket; `folder`: of the lease files, held open by the process for its whole
    // life; `daemon`: a connection that is there already, or none; `opener`: the connection to who opens files.
    static Result<std::unique_ptr<Service>> make(UniqueFd listener, int folder, UniqueFd daemon, UniqueFd opener);

    // Serves until the descriptor table or memory is broken; never returns otherwise.
    Result<void> run();
    // One turn of the loop; waits at most so long.
    Result<void> turn(int most_milliseconds);

private:
    struct Staged {
        dhcp::wire::Begin begin;
        std::vector<std::pair<dhcp::wire::Network, std::vector<UniqueFd>>> networks;
        std::optional<std::pair<dhcp::wire::Upstreams, std::vector<UniqueFd>>> upstreams;
    };

    Service(UniqueFd listener, int folder, UniqueFd opener);

    void accept_daemon();
    void adopt_daemon(UniqueFd socket);
    void hear_daemon(const dhcp::Now& now);
    void lose_daemon(const Error& why);
    void talk_to_daemon(const Result<bool>& sent);
    Result<void> take(DaemonLink::Received received, const dhcp::Now& now);
    Result<void> take_part(dhcp::wire::NetworkPart part);
    void commit_push(const dhcp::Now& now);
    bool serve(dhcp::wire::Network network, std::vector<UniqueFd> fds, const dhcp::Now& now);
    void tell_leases(const Uuid& network, const dhcp::Now& now);
    void stop_serving(const Uuid& network, const dhcp::Now& now);
    void replace_sockets(Served& served, Sockets sockets);
    void finish_turn(const dhcp::Now& now);
    void finish(Served& served, const dhcp::Now& now);
    bool take_watch(DaemonLink::Received& received, const dhcp::Now& now);
    int wait_for(int most_milliseconds) const;
    dhcp::Now now();

    Poller poller_;
    UniqueFd listener_;
    int folder_;
    State state_;
    std::unique_ptr<DaemonLink> daemon_;
    bool daemon_wants_write_ = false;
    std::optional<Staged> staged_;
    Inbox inbox_;
    Outbox outbox_;
    Names names_;
    // What a turn costs does not grow with the networks that nobody asked anything in it.
    std::vector<Served*> heard_;                            // in this turn, until finish_turn()
    std::set<Uuid> gathering_;                              // networks that wait for more to store
    dhcp::Time gathered_ = dhcp::kEndOfTime;                // when the first of them has waited
    dhcp::Time due_{};                                      // no network has anything to do before that by itself
    std::optional<std::chrono::nanoseconds> clock_offset_;  // wall clock minus the clock that does not jump
};

}  // namespace bascule::netsvc
