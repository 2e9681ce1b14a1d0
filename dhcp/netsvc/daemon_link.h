// SPDX-License-Identifier: GPL-2.0-or-later
// The connection to the daemon. Nothing waits in a queue that a slow daemon could let grow: what it must hear of the
// state is read from the state at the moment it can take it, and events that do not fit are dropped in favour of a
// fresh dump.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "base/fd.h"
#include "base/names.h"
#include "base/result.h"
#include "dhcp/netsvc/copies.h"
#include "dhcp/netsvc/served.h"
#include "dhcp/wire.h"

namespace bascule::netsvc {

// What is served: what the daemon is told of.
struct State {
    std::uint64_t generation = 0;
    bool wants_all = false;  // a push did not follow that generation
    std::map<Uuid, Served> networks;
    std::set<Uuid> troubled;                   // those among them that something is wrong with
    std::vector<UniqueFd> upstreams, streams;  // IPv4 ones first
    std::uint16_t v4_upstreams = 0, v4_streams = 0;

    Copies copies;
    dhcp::Learner learner;

    dhcp::wire::UpstreamSockets upstream_sockets() const {
        return {v4_upstreams, static_cast<std::uint16_t>(upstreams.size() - v4_upstreams), v4_streams,
                static_cast<std::uint16_t>(streams.size() - v4_streams)};
    }
};

class DaemonLink {
public:
    // Begins with a Hello, what is held, and a dump.
    explicit DaemonLink(UniqueFd socket) : socket_(std::move(socket)), buffer_(kBuffer) {}

    int fd() const { return socket_.get(); }

    struct Received {
        dhcp::wire::ToService message;
        std::vector<UniqueFd> fds;
    };
    // None: nothing to read. An error: the connection is over (Code::unreachable) or of no use.
    Result<std::optional<Received>> receive();

    // Tells events now if it can. False: the socket is full; call pump() when it is writable.
    Result<bool> tell(std::vector<dhcp::LeaseEvent> events);
    // A push was taken over: Synced goes out with the next pump().
    void owe_synced() { owes_synced_ = true; }
    // The ports whose learned addresses the daemon has to hear of.
    void owe_learned(const std::set<std::uint32_t>& ports) { learned_.insert(ports.begin(), ports.end()); }
    // The network whose drops the daemon has to hear of.
    void owe_drops(const Uuid& network) { drops_.insert(network); }
    // Begins a dump of all leases anew.
    void start_dump();
    // Sends what is due, some messages at most; false when more is left.
    Result<bool> pump(const State& state, const dhcp::Now& now);

private:
    static constexpr std::size_t kBuffer = 64U * 1024;
    static constexpr std::size_t kMostEvents = 4096;

    enum class Phase { hello, held, upstreams, learned, first_leases, leases, synced, idle };

    Result<bool> send(const dhcp::wire::ToDaemon& message, std::span<const int> fds = {});
    Result<bool> flush_events();
    Result<bool> step(const State& state, const dhcp::Now& now);
    Result<bool> send_held(const State& state);
    Result<bool> send_leases(const State& state, const dhcp::Now& now);
    Result<bool> send_synced(const State& state);
    Result<bool> send_learned(const State& state);
    Result<bool> send_drops(const State& state);

    UniqueFd socket_;
    std::vector<std::byte> buffer_;
    std::vector<dhcp::LeaseEvent> events_;
    std::set<std::uint32_t> learned_;
    std::set<Uuid> drops_;
    bool owes_synced_ = false;
    Phase phase_ = Phase::hello;
    // Where the walk stands: after this network, and within it after this address.
    std::optional<Uuid> network_;
    std::optional<Ip> address_;
};

}  // namespace bascule::netsvc
