// SPDX-License-Identifier: GPL-2.0-or-later
// Theory of operation
// ===================
//
// dhcp/ is the protocol core of bascule-netsvc: DHCPv4 (RFC 2131, 2132, 3396, 6842) and DNS as values and state
// machines. Bytes and the time go in; bytes, and wishes about what to write and send, come out. No socket, file or
// clock is touched here: dhcp/netsvc does that. So every branch is a line in a table of tests, and a fuzz target
// needs nothing around it.
//
//   options, message      bytes <-> Message; a message is decoded whole before anything acts on it
//   told                  what a client hears beyond its address: options, what it boots
//   pool                  which addresses of the ranges are to be had, as bitmaps
//   leases                the bindings, indexed by port, address, name and end
//   holds                 offers and quarantined addresses: not stored
//   presence              which ports there are, as the daemon says
//   journal               the lease file as text: lines with checksums, replay that cannot fail on content
//   server                the state machine: Message, Now -> Outcome; server_messages has a function a message type
//   frame                 a reply as an Ethernet frame, for clients that have no address yet
//   dns_message, zone, forwarder   names of guests answered here, the rest passed on
//   wire                  what the daemon and the service say to each other
//
// The port is the identity. A lease belongs to the MAC address of the port that the client sits behind, for which
// chaddr stands (dhcp/netsvc/gate.h sees to it that it is that of the frame, and the port's filter that this is its
// own). The client identifier is stored and echoed, but does not tell clients apart: cloned images share one (RFC 4361
// identifiers are made of the machine id), and one guest changes it between firmware and operating system. A network
// may say otherwise (Spec::key_by_client_id): then who shows an identifier is that client wherever it shows it, as RFC
// 4361 has it, and several clients may sit behind one port; a client without one is still known by its port.
//
// What a server knows of an address is one of: leased (active binding), remembered (binding of a port that is
// away; given to others last), offered, quarantined, reserved, ours. Its claim in the pool's bitmaps is computed
// by one function (claim_on) from these and refreshed after each change, never counted up and down.
//
// Example. Port 52:54:00:00:00:01, never seen: DISCOVER hashes the MAC into the pool, finds .57 free, holds it for
// half a minute and offers it. Nothing is written: a flood of DISCOVERs costs no disk and at most 1024 holds, and
// when everything left is held, the longest chain of offers loses to a real REQUEST. REQUEST (selecting) checks .57
// again and gives Outcome{ACK, link unicast, events: added .57}. The caller makes the event durable, tells the
// daemon, and only then sends the reply. RELEASE ends the lease, but .57 stays remembered for the port.
//
// Deviations from RFC 2131, all deliberate:
//   * we are the only authority on the network: a REQUEST for another server, an unknown INIT-REBOOT or a renewal
//     we know nothing of is answered, with ACK when the address is ours and free (so a lost lease file heals), else
//     NAK. Silence would only make the client wait;
//   * a REQUEST with neither requested address nor ciaddr (seen in the field) gets what a DISCOVER would;
//   * RELEASE needs no server identifier.
//
// Relays. A message with giaddr is served from the subnet that its link selection (RFC 3527), subnet selection (RFC
// 3011) or giaddr names: one on the bridge, or one of those marked as relayed. The answer goes to the relay, with its
// option 82 as it came. Addresses of a relayed subnet are never given to clients on the bridge, nor the other way
// round.
//
// A reservation may also be for a line, as the relay names it in option 82 (RFC 3046), and so may a range: who is on
// that line gets addresses of its ranges and no others, and nobody else does. Who has an address so and renews without
// the relay keeps it.
//
// Fairness. For every port that is known and has no lease one address is kept back from clients that are no known port:
// random MAC addresses empty the pool only down to what the neighbours need.
//
// Probing (off unless asked for): before an address is offered, ARP asks for it. The DISCOVER waits a moment in
// `probes_`; who answers ARP meanwhile has the address quarantined, and the next one is tried.
//
// BOOTP (RFC 951, as RFC 1534 has a DHCP server do it): one message, one answer of 300 bytes, an address without end.
// So it is for who has a reservation, and for NICs of defined guests, one address each, which go with the NIC; a MAC
// address that anybody may have made up must not get something for ever. When such a client speaks DHCP later
// (firmware, then an operating system), its lease is as any other's.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "dhcp/holds.h"
#include "dhcp/journal.h"
#include "dhcp/leases.h"
#include "dhcp/message.h"
#include "dhcp/pool.h"
#include "dhcp/presence.h"
#include "dhcp/spec.h"

namespace bascule::dhcp {

// How a reply reaches a client (RFC 2131 section 4.1).
enum class Destination : std::uint8_t {
    broadcast,  // 255.255.255.255:68
    link,       // to chaddr and yiaddr: the client has no address that it would answer ARP for
    unicast,    // to ciaddr
    relay,      // to giaddr, port 67
};

// An Outcome's `why` when there was nothing to offer.
inline constexpr std::string_view kExhausted = "pool exhausted";

// What the server wants done.
struct Outcome {
    std::optional<Message> reply;
    Destination destination = Destination::broadcast;
    Ip from;                         // our address that the reply comes from
    std::vector<LeaseEvent> events;  // to be on disk and told before the reply leaves
    std::string_view branch;         // "selecting", "init-reboot", "renewing", …: the RFC's names
    std::string_view why;            // "reservation", "pool exhausted", …: for the log
    std::optional<Ip> probe;         // ask by ARP who has it
};

class Server {
public:
    explicit Server(Spec spec);
    // Indices point into the spec, which moves along but cannot be copied along.
    Server(Server&&) = default;
    Server& operator=(Server&&) = default;
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;
    ~Server() = default;

    // Takes effect at once; leases are kept. A client whose address it may no longer have hears NAK when it renews.
    void configure(Spec spec);
    // Leases as they were stored. Those that have run out are remembered only.
    void restore(const std::vector<journal::Record>& records, const Now& now);

    // `unicast`: sent to our address, not broadcast.
    Outcome handle(const Message& request, bool unicast, const Now& now);
    // Ends what is due. To be called at next_tick(), or any time.
    std::vector<LeaseEvent> tick(const Now& now);
    Time next_tick() const;
    // The port is gone for good: its leases end.
    std::vector<LeaseEvent> revoke(const MacAddr& port);
    Presence& presence() { return presence_; }
    const Presence& presence() const { return presence_; }

    // Somebody answers ARP for that address.
    void seen_in_use(const Ip& address, const MacAddr& by, const Now& now);
    // DISCOVERs whose probe is over, to be handled again.
    std::vector<Message> probed(const Now& now);

    const Spec& spec() const { return spec_; }
    const LeaseTable& leases() const { return leases_; }

private:
    struct Client;  // the request with what we know of its sender
    struct Choice {
        std::optional<Ip> address;
        std::string_view why;
    };

    const Subnet* subnet_of(const Ip& address) const;
    bool is_ours(const Ip& server_id) const;
    bool is_guests(const Ip& address) const;
    const Subnet* own_subnet() const;
    const Reservation* reservation_for(const Client& client, const std::string& hostname) const;
    const Reservation* line_reservation(const Client& client) const;
    std::string_view find_link(Client& client, bool unicast) const;
    bool in_reach(const Client& client, const Subnet* subnet) const;
    struct Pool {
        AddressPool addresses;
        std::size_t subnet = 0;       // index
        const Range* line = nullptr;  // null: for who is on none of the subnet's lines
    };
    void make_pools();
    std::size_t pool_size() const;
    bool is_on_line(const Client& client, const Pool& pool) const;
    bool is_open(const Client& client, const Pool& pool) const;
    std::optional<Ip> from_pools(const Client& client) const;
    std::chrono::seconds lease_length(const Client& client, const Ip& address) const;
    bool held_by_other(const Client& client, const Ip& address) const;
    bool usable(const Client& client, const Ip& address) const;
    bool acceptable(const Client& client, const Ip& address) const;
    Choice choose(const Client& client) const;
    Claim claim_on(const Ip& address) const;
    void refresh(const Ip& address);
    void refresh(const std::vector<Ip>& addresses);
    bool name_is_free(const MacAddr& port, const ClientKey& client, const std::string& name) const;
    std::string name_for(const Client& client) const;
    void clear_forbidden_names();

    bool must_probe(const Client& client, const Ip& address, const Now& now);
    void discover(const Client& client, Outcome& out, const Now& now);
    void request(const Client& client, bool unicast, Outcome& out, const Now& now);
    void bind(const Client& client, const Ip& address, Outcome& out, const Now& now);
    void decline(const Client& client, Outcome& out, const Now& now);
    void release(const Client& client, Outcome& out);
    void inform(const Client& client, Outcome& out) const;
    void bootp(const Client& client, Outcome& out, const Now& now);
    void refuse(const Client& client, Outcome& out, std::string_view why) const;
    void end_lease(const ClientKey& client, std::vector<LeaseEvent>& events);
    Message answer(const Client& client, MessageType type) const;
    void send(const Client& client, Message reply, const Subnet* subnet, Outcome& out) const;
    void add_parameters(const Client& client, Message& reply, const Subnet& subnet, const std::string& name) const;

    Spec spec_;
    std::unordered_map<MacAddr, const Reservation*> by_mac_;
    std::unordered_map<std::string, const Reservation*> by_name_;  // those without a MAC or identifier
    std::unordered_map<std::string, const Reservation*> by_id_;    // by the identifier's bytes
    std::vector<const Reservation*> by_line_;                      // by what a relay says
    std::unordered_map<Ip, const Reservation*> by_address_;
    std::unordered_map<std::string, std::optional<MacAddr>> reserved_names_;  // label -> whose; none: nobody's
    std::unordered_set<Ip> not_guests_;                                       // network, broadcast, our own
    std::vector<Pool> pools_;
    bool has_lines_ = false;  // among the pools
    LeaseTable leases_;
    Offers offers_;
    Quarantine quarantine_;
    Presence presence_;
    struct Probe {
        Message request;
        Ip address;
        Time until;
    };
    std::map<MacAddr, Probe> probes_;
    std::unordered_map<Ip, Time> probed_;  // nobody answered for it, until then that is believed
};

// What a client asks of the lease's length, and the most there is; 0: for ever.
std::chrono::seconds lease_time(std::chrono::seconds most, const Message& request);

}  // namespace bascule::dhcp
