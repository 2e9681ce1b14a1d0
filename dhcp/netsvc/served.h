// SPDX-License-Identifier: GPL-2.0-or-later
// One network as it is served: its DHCP server and names, its lease file, its sockets.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "dhcp/answer_memo.h"
#include "dhcp/drops.h"
#include "dhcp/netsvc/batch_io.h"
#include "dhcp/netsvc/gate.h"
#include "dhcp/netsvc/lease_file.h"
#include "dhcp/netsvc/link6.h"
#include "dhcp/netsvc/rate.h"
#include "dhcp/server.h"
#include "dhcp/wire.h"
#include "dhcp/zone.h"

namespace bascule::netsvc {

struct Sockets {
    UniqueFd dhcp, raw;
    std::vector<std::pair<std::uint16_t, UniqueFd>> dns, dns_tcp, http;  // with the index of the subnet
    struct Tftp {
        std::uint16_t subnet;
        UniqueFd requests, transfers;
    };
    std::vector<Tftp> tftp;
    UniqueFd root;  // the folder of files, if any
    UniqueFd frames6, dhcp6, advert, arp;

    // `fds` in the order of the layout; as many as it counts.
    static Sockets take(const dhcp::wire::SocketLayout& layout, std::vector<UniqueFd>& fds);
    dhcp::wire::SocketLayout layout() const;
    std::vector<int> fds() const;  // in the order of layout()
};

using dhcp::Drop;

class Served {
public:
    Served(dhcp::Spec spec, int folder);
    Served(const Served&) = delete;  // v6_ points into server_
    Served& operator=(const Served&) = delete;

    // Opens the lease file when it is not open yet. What went wrong is in trouble().
    void open_leases(const dhcp::Now& now);
    void configure(dhcp::Spec spec);
    void replace_sockets(Sockets sockets);

    // Handles a batch of DHCP messages; replies and events wait for commit().
    void receive_dhcp(Inbox& inbox, const dhcp::Now& now);
    // Of IPv6, and ARP that tells of addresses in use.
    void receive_frames6(Inbox& inbox, const dhcp::Now& now);
    void receive_arp(Inbox& inbox, const dhcp::Now& now);
    // Ends what is due; the same.
    void tick(const dhcp::Now& now);
    void revoke(const MacAddr& port);
    // Part of the inventory changed.
    void set_guest(const dhcp::DnsGuest& guest);
    // Whether a query is to be answered though more come in than can be: not of a client beyond its rate.
    bool takes_query(const Ip& client, dhcp::Time now) { return dns_rate_.take(client, now); }

    void dropped(Drop why, std::uint64_t count = 1) { drops_[static_cast<std::size_t>(why)] += count; }
    const dhcp::Drops& drops() const { return drops_; }
    // Whether the daemon is to be told of them: when there are new ones, and not all the time.
    bool drops_are_news(dhcp::Time now);

    struct Committed {
        std::vector<dhcp::LeaseEvent> events;  // durable now: to be told before the replies leave
        bool recovered = false;                // events were lost earlier and the file is whole again
    };
    // Whether what has gathered may wait for more, and until when: the disk was asked a moment ago. An fdatasync costs
    // as much as all else that is done for an exchange, so a busy network has one each kGather; one that is not, at
    // once.
    static constexpr std::chrono::milliseconds kGather{4};
    std::optional<dhcp::Time> may_gather_until(dhcp::Time now) const;
    // One write and one fdatasync for all that has gathered. When that fails nobody hears an ACK.
    Committed commit(const dhcp::Now& now);
    void send_replies(Outbox& out);
    // After the replies are gone: writes the file afresh when it is worth it, or always.
    void tidy(const dhcp::Now& now, bool always = false);

    const dhcp::Server& server() const { return server_; }
    const dhcp::LeaseTable6& leases6() const { return v6_.leases(); }
    std::size_t active_leases() const { return server_.leases().active() + v6_.leases().active(); }
    dhcp::Time next_tick() const {
        const dhcp::Time repair = file_ && file_->broken() ? next_repair_ : dhcp::kEndOfTime;
        const dhcp::Time report = drops_ != reported_ ? next_report_ : dhcp::kEndOfTime;
        const dhcp::Time tell = drops_ != told_ ? next_tell_ : dhcp::kEndOfTime;
        const dhcp::Time gate = dhcp_gate_ ? dhcp_gate_->next_tick() : dhcp::kEndOfTime;
        const dhcp::Time gate6 = frames6_gate_ ? frames6_gate_->next_tick() : dhcp::kEndOfTime;
        return std::min({server_.next_tick(), v6_.next_tick(), repair, report, tell, gate, gate6});
    }
    const dhcp::Zone& zone() const { return zone_; }
    dhcp::Leased leased() const { return {server_.leases(), &v6_.leases()}; }
    // Of what the zone answers now.
    dhcp::AnswerMemo::Version answers_version() const {
        return {server_.spec().uuid, zone_changes_ + server_.leases().changes() + v6_.leases().changes()};
    }
    const Sockets& sockets() const { return sockets_; }
    const std::string& trouble() const { return trouble_; }
    bool is_own_address(const Ip& address) const;
    bool is_on_link(const Ip& address) const;

private:
    struct Reply {
        dhcp::Message message;
        dhcp::Destination destination;
        Ip from;
        std::size_t limit;
        bool needs_disk;
    };

    void hear_dhcp(std::span<const Incoming> received, bool flooded, const dhcp::Now& now);
    void refresh_link();
    void report_drops(dhcp::Time now);
    void know_guests();
    void refresh_gates();
    std::string snapshot(const dhcp::Now& now) const;
    void gather(dhcp::Outcome outcome, const dhcp::Message& request);
    void gather(std::vector<dhcp::LeaseEvent> events);
    void log(const dhcp::Message& request, const dhcp::Outcome& outcome, const dhcp::Now& now);

    dhcp::Server server_;
    dhcp::Zone zone_;
    std::uint64_t zone_changes_ = 0;
    Link6 v6_;
    int folder_;
    std::optional<LeaseFile> file_;
    std::string trouble_;
    Sockets sockets_;
    int interface_ = 0;  // of the bridge; 0: not known
    MacAddr mac_;        // of the bridge

    std::vector<Reply> replies_;
    std::vector<Ip> probes_;  // ARP asks for these
    std::vector<dhcp::LeaseEvent> events_;
    bool lost_events_ = false;
    bool rekeyed_ = false;  // leases are kept by something else than what the file says
    dhcp::Time next_repair_{}, last_commit_{};
    Buckets<MacAddr> rate_{50, 100, 4096};
    std::optional<KnownGate> dhcp_gate_;
    bool gate_is_stale_ = false;  // the known ports are others than it was told
    std::optional<KnownGate> frames6_gate_;
    Buckets<Ip> dns_rate_{5000, 10000, 4096};
    Bucket log_rate_;
    std::uint64_t unlogged_ = 0;
    dhcp::Drops drops_{}, reported_{}, told_{};  // the latter two: what the log and the daemon know
    dhcp::Time next_report_{}, next_tell_{};
};

}  // namespace bascule::netsvc
