// SPDX-License-Identifier: GPL-2.0-or-later
// Queries of guests passed on to the host's resolvers, for all networks together; datagrams and time in, datagrams
// out.
//
// Nothing is accepted unasked. A reply counts only when it comes in on the socket its query left by, from the
// address and port that was asked, with the id and the question of that query. The id is random, so is the socket,
// out of a pool whose ports the kernel chose; each further try draws both anew. Equal questions wait for one query
// together (else an attacker could have many outstanding and match any of them: CVE-2020-25686).
//
// Everything is bounded: outstanding queries a client, a network and in all. Over the bound the answer is REFUSED,
// at once, and counted.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/names.h"
#include "base/net.h"
#include "dhcp/dns_message.h"
#include "dhcp/leases.h"
#include "dhcp/wire.h"

namespace bascule::dhcp {

class Forwarder {
public:
    static constexpr std::size_t kMostPerClient = 256;
    static constexpr std::size_t kMostPerNetwork = 2048;
    static constexpr std::size_t kMost = 4096;
    static constexpr unsigned kTries = 4;
    static constexpr std::chrono::milliseconds kTimeout{1500};

    struct Client {
        Uuid network;
        std::uint16_t socket = 0;  // index of the DNS socket it asked on: the reply leaves by it
        Ip address;
        std::uint16_t port = 0;
        bool operator==(const Client&) const = default;
    };
    struct Transmit {
        std::size_t socket = 0;  // index into the pool: IPv4 ones first
        wire::Resolver to;
        Bytes datagram;
    };
    struct Deliver {
        Client to;
        Bytes datagram;
    };
    struct Step {
        std::vector<Transmit> send;
        std::vector<Deliver> deliver;
    };
    struct Counters {
        std::uint64_t forwarded = 0, merged = 0, refused = 0, unasked = 0, timed_out = 0, answered = 0;
    };

    // `random` gives 32 bits that nobody can guess.
    explicit Forwarder(std::function<std::uint32_t()> random) : random_(std::move(random)) {}

    void configure(std::vector<wire::Resolver> servers, std::size_t v4_sockets, std::size_t v6_sockets);
    Step ask(const Client& client, const Query& query, ByteView datagram, Time now);
    Step reply(std::size_t socket, const wire::Resolver& from, ByteView datagram, Time now);
    Step tick(Time now);
    Time next_tick() const { return deadlines_.empty() ? kEndOfTime : deadlines_.begin()->first; }
    // The network is served no more: nobody waits there.
    void forget(const Uuid& network);

    std::size_t outstanding() const { return queries_.size(); }
    const Counters& counters() const { return counters_; }

private:
    // Socket and id: what a reply is looked up by.
    using Key = std::uint64_t;
    struct Waiter {
        Client client;
        std::uint16_t id = 0;
    };
    struct Outstanding {
        std::string identity;  // the query's bytes without its id: what makes two of them the same
        Bytes datagram;        // as it goes to the upstream, id aside
        Bytes question;
        std::size_t size_limit = 512;
        std::vector<Waiter> waiters;
        std::size_t server = 0;
        wire::Resolver to;
        unsigned tries = 0;
        Time deadline{};
    };
    using Queries = std::unordered_map<Key, Outstanding>;

    bool room_for(const Client& client) const;
    void count(const Client& client, int by);
    std::optional<Key> draw_key(const wire::Resolver& to);
    void transmit(Outstanding query, Step& step, Time now);
    Outstanding take(Queries::iterator found);
    void try_next(Outstanding query, Step& step, Time now);
    void finish(const Outstanding& query, ByteView reply, Step& step);
    void fail(const Outstanding& query, Step& step);

    std::function<std::uint32_t()> random_;
    std::vector<wire::Resolver> servers_;
    std::size_t v4_sockets_ = 0, v6_sockets_ = 0;
    std::size_t preferred_ = 0;  // the server that answered last
    Queries queries_;
    std::unordered_map<std::string, Key> identities_;
    std::set<std::pair<Time, Key>> deadlines_;
    std::map<std::pair<Uuid, Ip>, std::size_t> per_client_;
    std::map<Uuid, std::size_t> per_network_;
    std::size_t waiters_ = 0;
    Counters counters_;
};

}  // namespace bascule::dhcp
