// SPDX-License-Identifier: GPL-2.0-or-later
// Queries of guests passed on to name servers, for all networks together, and the answers kept; messages and time in,
// messages out.
//
// Who is asked: the network's forwarder for the longest domain that the name is in, else the network's forwarders for
// everything, else the host's own resolvers. That is decided before anything is looked up in the cache, and answers of
// different servers are kept apart.
//
// Nothing is accepted unasked. A reply counts only when it comes in on the socket its query left by, from the address
// and port that was asked, with the id and the question of that query, letter for letter: the case of its letters is
// drawn at random (0x20). The id is random, so is the socket, out of a pool whose ports the kernel chose; each further
// try draws all anew. Equal questions wait for one query together (else an attacker could have many outstanding and
// match any of them: CVE-2020-25686). What goes out is built here; nothing that a client put beside its question leaves
// (CVE-2026-4893). A server that does not keep the spelling, or has more to say than a datagram holds, is asked again
// by TCP, which nobody can answer in its place.
//
// Loops: a question comes back while it is out, from ourselves or from the very server that was asked. It is refused,
// so that the loop ends where it began; counted, and the server named in the log.
//
// Everything is bounded: outstanding queries a client, a network and in all, and the cache by bytes. Over the bound the
// answer is REFUSED, at once, and counted.
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
#include "dhcp/dns_cache.h"
#include "dhcp/dns_message.h"
#include "dhcp/dns_reply.h"
#include "dhcp/leases.h"
#include "dhcp/wire.h"

namespace bascule::dhcp {

class Forwarder {
public:
    static constexpr std::size_t kMostPerClient = 256;
    static constexpr std::size_t kMostPerNetwork = 2048;
    static constexpr std::size_t kMost = 4096;
    static constexpr unsigned kTries = 4;
    static constexpr std::chrono::milliseconds kTimeout{1500}, kStreamTimeout{4000};
    static constexpr std::size_t kCacheBytes = 8U << 20;
    // Stands for a connection of its own where a socket of the pool would be named.
    static constexpr std::size_t kStream = 0xffff;

    struct Client {
        Uuid network;
        std::uint16_t socket = 0;  // index of the DNS socket it asked on: the reply leaves by it
        Ip address;
        std::uint16_t port = 0;
        std::uint64_t stream = 0;  // its connection; 0: it asked by UDP
        bool ours = false;         // the address is one of our own
        bool operator==(const Client&) const = default;
    };
    struct Transmit {
        std::size_t socket = 0;  // index into the pool: IPv4 ones first; or kStream
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
        std::uint64_t forwarded = 0, merged = 0, refused = 0, unasked = 0, timed_out = 0, answered = 0, cached = 0,
                      respelt = 0, by_stream = 0, rebinding = 0, loops = 0;
    };

    // `random` gives 32 bits that nobody can guess.
    explicit Forwarder(std::function<std::uint32_t()> random) : random_(std::move(random)), cache_(kCacheBytes) {}

    // The host's resolvers, and the domains that it searches, which may have private addresses.
    void configure(std::vector<wire::Resolver> servers, std::size_t v4_sockets, std::size_t v6_sockets,
                   const std::vector<std::string>& search = {});
    // A network's own forwarders.
    void configure(const Uuid& network, const DnsSettings& settings);
    Step ask(const Client& client, const Query& query, Time now);
    Step reply(std::size_t socket, const wire::Resolver& from, ByteView datagram, Time now);
    // The connection for this id could not be made, or broke.
    Step stream_failed(std::uint16_t id, Time now);
    Step tick(Time now);
    Time next_tick() const { return deadlines_.empty() ? kEndOfTime : deadlines_.begin()->first; }
    // The network is served no more: nobody waits there.
    void forget(const Uuid& network);

    std::size_t outstanding() const { return queries_.size(); }
    const Counters& counters() const { return counters_; }
    const DnsCache& cache() const { return cache_; }
    // The server of the loop noticed last; once.
    std::optional<wire::Resolver> take_loop() { return std::exchange(loop_, std::nullopt); }

private:
    using Servers = std::vector<wire::Resolver>;
    // Socket and id: what a reply is looked up by.
    using Key = std::uint64_t;
    struct Policy {
        std::vector<std::pair<DnsName, Servers>> domains;  // the longest first; without servers: the host's
        Servers everything;
        bool private_answers = false;
    };
    struct Route {
        const Servers* servers;
        bool named = false;            // for the domain in particular
        bool private_answers = false;  // may name addresses that are not the Internet's
    };
    struct Waiter {
        Client client;
        Query query;
        bool private_answers = false;
    };
    struct Outstanding {
        std::string identity;  // servers and question: what makes two of them the same
        DnsName name;
        Bytes question;  // as it is asked: the letters' case is ours
        std::uint16_t flags = 0;
        bool dnssec_ok = false, stream = false;
        Servers servers;
        std::vector<Waiter> waiters;
        std::size_t server = 0;
        wire::Resolver to;
        unsigned tries = 0;
        Time deadline{};
    };
    // What was learned of a server.
    struct Manners {
        bool keeps_case = true, knows_edns = true;
    };
    using Queries = std::unordered_map<Key, Outstanding>;

    Route route_for(const Uuid& network, const DnsName& name) const;
    bool usable(const wire::Resolver& server) const;
    bool room_for(const Client& client) const;
    void count(const Client& client, int by);
    std::optional<Key> draw_key(const Outstanding& query);
    Bytes compose(Outstanding& query, std::uint16_t id);
    void transmit(Outstanding query, Step& step, Time now);
    Outstanding take(Queries::iterator found);
    void try_next(Outstanding query, Step& step, Time now);
    void try_stream(Outstanding query, Step& step, Time now);
    void deliver(const Client& client, const Query& query, bool private_answers, const Reply& reply, std::uint32_t age,
                 Step& step);
    void finish(const Outstanding& query, const Reply& reply, Step& step);
    void fail(const Outstanding& query, Step& step);
    static Bytes refusal(const Query& query, Rcode rcode);
    bool join(Outstanding& query, const Waiter& waiter, Step& step);

    std::function<std::uint32_t()> random_;
    Servers servers_;
    std::vector<DnsName> search_;
    std::map<Uuid, Policy> policies_;
    std::size_t v4_sockets_ = 0, v6_sockets_ = 0;
    std::map<Servers, std::size_t> preferred_;  // of a list of servers, the one that answered last
    std::map<wire::Resolver, Manners> manners_;
    Queries queries_;
    std::unordered_map<std::string, Key> identities_;
    std::set<std::pair<Time, Key>> deadlines_;
    std::map<std::pair<Uuid, Ip>, std::size_t> per_client_;
    std::map<Uuid, std::size_t> per_network_;
    std::size_t waiters_ = 0;
    DnsCache cache_;
    std::optional<wire::Resolver> loop_;
    Counters counters_;
};

}  // namespace bascule::dhcp
