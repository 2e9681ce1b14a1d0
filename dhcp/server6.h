// SPDX-License-Identifier: GPL-2.0-or-later
// Theory of operation of the DHCPv6 server (RFC 9915)
// ===================================================
//
// Like server.h's: bytes decoded elsewhere and the time go in, an Outcome6 comes out, nothing is touched. What a client
// is known by: the MAC of the port that its frame came from (for relayed ones what the relay says, RFC 6939, else what
// its DUID holds), and within it the identity association (IAID). The DUID is stored and shown, but cloned guests share
// one, so it does not tell clients apart. Reservations are found by MAC, by DUID, or by the name the client says in
// option 39, each for one IAID or for all, or by IAID alone.
//
// An address is chosen by hashing port and IAID into the ranges and going on from there to the first free one; so an
// ADVERTISE needs no hold: the REQUEST that follows comes to the same address, unless somebody was faster, and then it
// gets another, which the client takes (section 18.2.10.1). Prefixes are delegated the same way, out of their pools.
//
// Our DUID is made of the network's UUID (RFC 6355): stable, and the same on every host that has the network.
//
// Bounds: kMostPerPort associations a port with a lease, so one port cannot empty a pool with new IAIDs; bindings that
// are over are remembered up to kMostRemembered; DECLINE quarantines as in IPv4.
//
// Deviations: a RENEW or REBIND of a lease we know nothing of re-creates it when the address is free (the lease file
// may be lost), temporary addresses are ignored as RFC 9915 has it, reconfiguration is not offered.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "dhcp/holds.h"
#include "dhcp/journal.h"
#include "dhcp/leases6.h"
#include "dhcp/message6.h"
#include "dhcp/presence.h"
#include "dhcp/spec.h"

namespace bascule::dhcp {

struct Outcome6 {
    std::optional<Packet6> reply;    // goes back to where the request came from
    std::vector<LeaseEvent> events;  // to be on disk and told before the reply leaves
    std::string_view why;            // for the log
};

class Server6 {
public:
    static constexpr std::size_t kMostPerPort = 8, kMostRemembered = 4096;

    // The spec must outlive the server, or its next configure().
    void configure(const Spec& spec);
    void restore(const std::vector<journal::Record>& records, const Now& now);

    // `port`: the MAC that the frame came from.
    Outcome6 handle(const Packet6& packet, const MacAddr& port, const Presence& presence, const Now& now);
    std::vector<LeaseEvent> tick(const Now& now);
    Time next_tick() const;
    std::vector<LeaseEvent> revoke(const MacAddr& port);

    const LeaseTable6& leases() const { return leases_; }
    const Bytes& duid() const { return duid_; }
    bool serves() const { return spec_ != nullptr && !ours_.empty(); }

private:
    struct Client;
    enum class Mode { offer, commit };

    void index(const Reservation& host);
    const Subnet* subnet_of(const Ip& address) const;
    bool on_link(const Client& client, const Ip& address) const;
    const Reservation* reservation_for(const Client& client, const Ia& ia) const;
    bool free_for(const Client& client, const Key6& key, const Ip& address) const;
    bool usable(const Client& client, const Key6& key, const IaAddress& wish) const;
    std::optional<IaAddress> choose(const Client& client, const Ia& ia) const;
    std::optional<IaAddress> choose_address(const Client& client, const Ia& ia, const Key6& key) const;
    std::optional<IaAddress> choose_prefix(const Client& client, const Ia& ia, const Key6& key) const;
    bool room_for(const Client& client, const Key6& key) const;
    std::chrono::seconds lease_length(const Client& client, const Ia& ia, const IaAddress& chosen) const;

    Ia grant(const Client& client, const Ia& wanted, Mode mode, Outcome6& out, const Now& now);
    void bind(const Client& client, const Key6& key, const IaAddress& chosen, std::chrono::seconds length,
              Outcome6& out, const Now& now);
    void assign(const Client& client, Mode mode, Message6& reply, Outcome6& out, const Now& now);
    void extend(const Client& client, Message6& reply, Outcome6& out, const Now& now);
    bool confirm(const Client& client, Message6& reply, Outcome6& out) const;
    void give_back(const Client& client, bool declined, Message6& reply, Outcome6& out, const Now& now);
    void end_lease(const Key6& key, std::vector<LeaseEvent>& events);
    void tell(const Client& client, Message6& reply) const;

    const Spec* spec_ = nullptr;
    Bytes duid_;
    std::vector<const Subnet*> ours_;  // IPv6 ones
    std::unordered_map<Ip, const Reservation*> by_address_;
    std::unordered_multimap<std::string, const Reservation*> by_client_;  // by port, DUID, name, or IAID alone
    LeaseTable6 leases_;
    Quarantine quarantine_;
};

}  // namespace bascule::dhcp
