// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "dhcp/answer_memo.h"
#include "dhcp/forwarder.h"
#include "dhcp/netsvc/batch_io.h"
#include "dhcp/netsvc/daemon_link.h"
#include "dhcp/netsvc/files.h"
#include "dhcp/netsvc/gate.h"
#include "dhcp/netsvc/poller.h"
#include "dhcp/netsvc/streams.h"
#include "dhcp/netsvc/tftp_server.h"
#include "dhcp/netsvc/upstream_streams.h"

namespace bascule::netsvc {

// DNS by UDP and TCP, TFTP and HTTP, for all networks: what reads from their sockets and hands it to dhcp/.
class Names {
public:
    // All outlive it.
    Names(Poller& poller, State& state, Inbox& inbox, Outbox& outbox, UniqueFd opener);
    Names(const Names&) = delete;
    Names& operator=(const Names&) = delete;

    // The network is new, or its definition is.
    void configure(const Uuid& network);
    // Its sockets are others from now on, or gone; `gone`: it is no longer served.
    void watch_sockets(const Uuid& network);
    void forget(const Uuid& network, bool gone);
    void replace_upstreams(const dhcp::wire::Upstreams& upstreams, std::vector<UniqueFd> fds);

    void hear(const Source& source, int fd, bool readable, bool writable, const dhcp::Now& now);
    void tick(const dhcp::Now& now);
    dhcp::Time next_tick() const;

private:
    void answer_datagrams(const Source& source, const dhcp::Now& now);
    void answer_datagram(const Source& source, Served& served, int socket, const Incoming& in, const dhcp::Now& now);
    void answer_stream(const Streams::Query& query, const dhcp::Now& now);
    void hear_upstream(const Source& source, const dhcp::Now& now);
    void hear_transfers(const Source& source, const dhcp::Now& now);
    void carry_out(dhcp::Forwarder::Step step, const dhcp::Now& now);
    void deliver(dhcp::Forwarder::Deliver deliver, const dhcp::Now& now);
    Served* network(const Uuid& uuid);
    void settle_gate(int socket, const Source& source, dhcp::Time now);

    Poller& poller_;
    State& state_;
    Inbox& inbox_;
    Outbox& outbox_;
    Files files_;
    dhcp::Forwarder forwarder_;
    dhcp::AnswerMemo memo_;
    UpstreamStreams upstream_streams_;
    Streams streams_;
    TftpServer tftp_;
    std::unordered_map<int, Gate> gates_;  // of the sockets for DNS and TFTP's requests
    std::set<int> busy_gates_;             // those with a next tick
    dhcp::Now now_{};                      // of the event that is being handled
    Bucket loop_log_, flood_log_;
};

}  // namespace bascule::netsvc
