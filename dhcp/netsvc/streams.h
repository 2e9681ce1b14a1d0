// SPDX-License-Identifier: GPL-2.0-or-later
// Connections of clients: DNS by TCP (RFC 7766), and HTTP for boot files. One loop for all of them, nobody waits for
// anybody.
//
// What a client can hold: kMostPerClient connections (a further one ends its own idlest), for kIdle without a whole
// message, as many unread bytes of replies as kMostUnsent. What a network can hold is bounded too, and what goes first
// then is the connection that has been idle longest. A turn of the loop sends at most kSliceOfFile for each.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "base/bytes.h"
#include "base/fd.h"
#include "base/names.h"
#include "dhcp/http.h"
#include "dhcp/leases.h"
#include "dhcp/netsvc/batch_io.h"
#include "dhcp/netsvc/files.h"
#include "dhcp/netsvc/poller.h"

namespace bascule::netsvc {

class Streams {
public:
    static constexpr std::size_t kMostPerClient = 64, kMostPerNetwork = 1024, kMost = 4096;
    static constexpr std::chrono::seconds kIdle{15}, kLinger{2};
    static constexpr std::size_t kMostUnsent = 1U << 20, kMostPending = 512, kSliceOfFile = 256U << 10;

    struct Query {
        std::uint64_t stream;
        Uuid network;
        std::size_t socket;
        Endpoint from;
        ByteView bytes;
    };
    struct Callbacks {
        // Whether such a client is served at all; false closes.
        std::function<bool(const Uuid& network, const Endpoint& from)> welcome;
        // A query by DNS. It is answered with reply(), now or later, or by nobody: forget_query().
        std::function<void(const Query&)> query;
        // What it sends is no query or request.
        std::function<void(const Source&)> malformed;
        // The root of the network's files; -1: none.
        std::function<int(const Uuid& network)> root;
    };
    Streams(Poller& poller, Files& files) : poller_(poller), files_(files) {}
    void set_callbacks(Callbacks callbacks) { callbacks_ = std::move(callbacks); }

    // Takes who waits at a listening socket.
    void accept(int listener, const Source& source, const dhcp::Now& now);
    void ready(std::uint64_t stream, bool readable, bool writable, const dhcp::Now& now);
    void reply(std::uint64_t stream, const Bytes& message, const dhcp::Now& now);
    void forget_query(std::uint64_t stream);
    // What is due by then.
    void tick(const dhcp::Now& now);
    dhcp::Time next_tick() const { return deadlines_.empty() ? dhcp::kEndOfTime : deadlines_.begin()->first; }
    // The network's sockets are gone or others.
    void forget(const Uuid& network);
    std::size_t size() const { return connections_.size(); }

private:
    struct Connection {
        UniqueFd fd;
        Source source{Source::Kind::dns_tcp};
        Endpoint peer;
        Bytes in, out;
        std::size_t sent = 0;     // of out
        std::size_t pending = 0;  // queries that wait for an answer
        bool opening = false;     // a file, which comes later or not
        std::optional<File> file;
        std::uint64_t file_at = 0, file_left = 0;
        bool closing = false;    // when all is sent
        bool lingering = false;  // all is sent; the client closes
        bool reads = true, writes = false;
        dhcp::Time deadline{};
    };
    using Client = std::pair<Uuid, Ip>;
    using Connections = std::map<std::uint64_t, Connection>;

    bool make_room(const Client& client);
    void add(UniqueFd fd, const Source& source, const Endpoint& peer, const dhcp::Now& now);
    void close(std::uint64_t stream);
    void idle_until(std::uint64_t stream, Connection& c, dhcp::Time when);
    bool read(Connection& c);
    bool write(Connection& c);
    void take_queries(std::uint64_t stream, Connection& c, const dhcp::Now& now);
    void take_requests(std::uint64_t stream, Connection& c, const dhcp::Now& now);
    void answer(std::uint64_t stream, Connection& c, const dhcp::http::Request& request, const dhcp::Now& now);
    void send_file(Connection& c, const dhcp::http::Request& request, Result<File> file, const dhcp::Now& now);
    void settle(std::uint64_t stream, const dhcp::Now& now);

    Poller& poller_;
    Files& files_;
    Callbacks callbacks_;
    Connections connections_;
    std::map<Client, std::set<std::uint64_t>> by_client_;
    std::map<Uuid, std::size_t> by_network_;
    std::set<std::pair<dhcp::Time, std::uint64_t>> deadlines_;
    std::uint64_t last_ = 0;
};

}  // namespace bascule::netsvc
