// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/netsvc/served.h"

#include <linux/if_packet.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <tuple>

#include <fmt/format.h>

#include "base/log.h"
#include "dhcp/frame.h"

namespace bascule::netsvc {

namespace {

constexpr std::uint16_t kServerPort = 67, kClientPort = 68;
constexpr MacAddr kEverybody{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
constexpr std::chrono::seconds kRepairInterval{1};
constexpr std::chrono::minutes kReportInterval{1};
constexpr std::size_t kMostWaiting = 512;  // replies
constexpr std::chrono::seconds kTellInterval{1};
// Lines about guests in the log: enough for a hundred booting at once, too few to fill a disk.
constexpr double kLogRate = 20, kLogBurst = 400;

}  // namespace

Sockets Sockets::take(const dhcp::wire::SocketLayout& layout, std::vector<UniqueFd>& fds) {
    Sockets out;
    std::size_t next = 0;
    if (layout.dhcp) {
        out.dhcp = std::move(fds.at(next++));
    }
    if (layout.raw) {
        out.raw = std::move(fds.at(next++));
    }
    for (const auto& [there, fd] : {std::pair{layout.frames6, &out.frames6}, std::pair{layout.dhcp6, &out.dhcp6},
                                    std::pair{layout.advert, &out.advert}, std::pair{layout.arp, &out.arp}}) {
        if (there) {
            *fd = std::move(fds.at(next++));
        }
    }
    for (const std::uint16_t subnet : layout.dns) {
        out.dns.emplace_back(subnet, std::move(fds.at(next++)));
    }
    for (const std::uint16_t subnet : layout.dns_tcp) {
        out.dns_tcp.emplace_back(subnet, std::move(fds.at(next++)));
    }
    for (const std::uint16_t subnet : layout.tftp) {
        out.tftp.push_back({subnet, std::move(fds.at(next)), std::move(fds.at(next + 1))});
        next += 2;
    }
    for (const std::uint16_t subnet : layout.http) {
        out.http.emplace_back(subnet, std::move(fds.at(next++)));
    }
    if (layout.root) {
        out.root = std::move(fds.at(next++));
    }
    return out;
}

dhcp::wire::SocketLayout Sockets::layout() const {
    dhcp::wire::SocketLayout out{.dhcp = static_cast<bool>(dhcp), .raw = static_cast<bool>(raw)};
    const auto subnets = [](const auto& sockets, std::vector<std::uint16_t>& to) {
        for (const auto& [subnet, fd] : sockets) {
            to.push_back(subnet);
        }
    };
    subnets(dns, out.dns);
    subnets(dns_tcp, out.dns_tcp);
    subnets(http, out.http);
    for (const Tftp& one : tftp) {
        out.tftp.push_back(one.subnet);
    }
    out.root = static_cast<bool>(root);
    out.frames6 = static_cast<bool>(frames6);
    out.dhcp6 = static_cast<bool>(dhcp6);
    out.advert = static_cast<bool>(advert);
    out.arp = static_cast<bool>(arp);
    return out;
}

std::vector<int> Sockets::fds() const {
    std::vector<int> out;
    for (const UniqueFd* const fd : {&dhcp, &raw, &frames6, &dhcp6, &advert, &arp}) {
        if (*fd) {
            out.push_back(fd->get());
        }
    }
    for (const auto* const list : {&dns, &dns_tcp}) {
        for (const auto& [subnet, fd] : *list) {
            out.push_back(fd.get());
        }
    }
    for (const Tftp& one : tftp) {
        out.push_back(one.requests.get());
        out.push_back(one.transfers.get());
    }
    for (const auto& [subnet, fd] : http) {
        out.push_back(fd.get());
    }
    if (root) {
        out.push_back(root.get());
    }
    return out;
}

Served::Served(dhcp::Spec spec, int folder) : server_(std::move(spec)), zone_(server_.spec()), folder_(folder) {
    v6_.configure(server_.spec());
    know_guests();
}

// The NICs of the inventory are the ports that an address is kept for.
void Served::know_guests() {
    server_.presence().clear();
    gate_is_stale_ = true;
    for (const dhcp::DnsGuest& guest : server_.spec().dns.guests) {
        server_.presence().know(guest.mac, guest.off);
    }
}

void Served::set_guest(const dhcp::DnsGuest& guest) {
    zone_.set_guest(guest.mac, guest.name);
    ++zone_changes_;
    gate_is_stale_ = true;
    if (guest.name.empty()) {
        server_.presence().forget(guest.mac);
    } else {
        server_.presence().know(guest.mac, guest.off);
    }
}

std::string Served::snapshot(const dhcp::Now& now) const {
    return dhcp::journal::snapshot(server_.spec().uuid, server_.leases(), v6_.leases(), now);
}

void Served::open_leases(const dhcp::Now& now) {
    if (file_) {
        return;
    }
    const std::string& network = server_.spec().network;
    auto opened = LeaseFile::open(folder_, server_.spec().uuid);
    if (!opened) {
        trouble_ = "no DHCP: " + opened.error().message;
        log::error("{}: {}", network, trouble_);
        return;
    }
    trouble_.clear();
    const auto& replay = opened->replay;
    if (!replay.clean()) {
        log::warning("{}: lease file was damaged: {} lines passed over{}, {} leases read", network, replay.damaged,
                     replay.torn ? ", torn end cut off" : "", replay.records.size());
    }
    server_.restore(replay.records, now);
    v6_.restore(replay.records, now);
    file_ = std::move(opened->file);
    if (replay.damaged > 0) {
        tidy(now, true);
    }
}

void Served::configure(dhcp::Spec spec) {
    rekeyed_ = rekeyed_ || spec.key_by_client_id != server_.spec().key_by_client_id;
    server_.configure(std::move(spec));
    v6_.configure(server_.spec());
    know_guests();
    dhcp::Zone zone(server_.spec());
    zone.inherit(zone_);
    zone_ = std::move(zone);
    ++zone_changes_;
}

void Served::replace_sockets(Sockets sockets) {
    sockets_ = std::move(sockets);
    dhcp_gate_.reset();
    if (sockets_.dhcp) {
        dhcp_gate_.emplace(sockets_.dhcp.get());
        gate_is_stale_ = true;
    }
    frames6_gate_.reset();
    if (sockets_.frames6) {
        frames6_gate_.emplace(sockets_.frames6.get(), KnownGate::Of::frames6);
        gate_is_stale_ = true;
    }
    refresh_link();
    v6_.set_sockets({sockets_.frames6.get(), sockets_.dhcp6.get(), sockets_.advert.get()});
}

// Which interface it is and what its MAC is, from the packet socket that is bound to it. The MAC of a bridge may
// change, so this is asked again before frames are sent.
void Served::refresh_link() {
    sockaddr_ll link{};
    socklen_t length = sizeof link;
    const UniqueFd& packets = sockets_.raw ? sockets_.raw : sockets_.frames6;
    if (!packets || ::getsockname(packets.get(), reinterpret_cast<sockaddr*>(&link), &length) != 0 ||
        link.sll_family != AF_PACKET) {
        interface_ = 0;
        return;
    }
    interface_ = link.sll_ifindex;
    std::copy_n(link.sll_addr, mac_.octets.size(), mac_.octets.begin());
}

bool Served::is_own_address(const Ip& address) const {
    return std::ranges::any_of(server_.spec().subnets, [&](const auto& s) { return s.server.address == address; });
}

bool Served::is_on_link(const Ip& address) const {
    return address.is_link_local() || std::ranges::any_of(server_.spec().subnets, [&](const auto& s) {
               return s.server.prefix().contains(address);
           });
}

// What waits is drained, so that a flood cannot push neighbours out of the socket's buffer; but of what comes beyond
// the first batches of a turn only the NICs of guests are listened to.
void Served::receive_dhcp(Inbox& inbox, const dhcp::Now& now) {
    const bool full = dhcp_gate_ && dhcp_gate_->look(now.time);
    if (dhcp_gate_) {
        dropped(Drop::full_queue, dhcp_gate_->take_lost());
    }
    const OpenBatches open;
    for (int batch = 0; batch < kMostBatches; ++batch) {
        const auto received = inbox.receive(sockets_.dhcp.get());
        for (std::size_t i = 0; full && i < received.size(); ++i) {
            dhcp_gate_->count(dhcp::sender_of(received[i].bytes));
        }
        hear_dhcp(received, !open.has(batch), now);
        if (received.size() < Inbox::kBatch) {
            break;
        }
    }
    if (dhcp_gate_ && dhcp_gate_->is_due(now.time) && dhcp_gate_->close(now.time)) {
        log::warning("{}: DHCP is flooded; for a while only guests' NICs are heard", server_.spec().network);
    }
}

void Served::hear_dhcp(std::span<const Incoming> received, bool flooded, const dhcp::Now& now) {
    for (const Incoming& in : received) {
        if (interface_ != 0 && in.interface != interface_) {
            dropped(Drop::off_link);
            continue;
        }
        if (in.bytes.size() == KnownGate::kForeign) {
            dropped(Drop::foreign);
            continue;
        }
        if (!file_ || (flooded && !server_.presence().is_known(dhcp::sender_of(in.bytes)))) {
            dropped(file_ ? Drop::flood : Drop::no_leases);
            continue;
        }
        const auto request = dhcp::decode(in.bytes);
        if (!request || !rate_.take(request->chaddr, now.time)) {
            dropped(request ? Drop::rate : Drop::malformed);
            continue;
        }
        dhcp::Outcome outcome = server_.handle(*request, is_own_address(in.to), now);
        if (outcome.why == dhcp::kExhausted) {
            dropped(Drop::exhausted);
        }
        log(*request, outcome, now);
        gather(std::move(outcome), *request);
    }
}

void Served::receive_frames6(Inbox& inbox, const dhcp::Now& now) {
    const bool full = frames6_gate_ && frames6_gate_->look(now.time);
    if (frames6_gate_) {
        dropped(Drop::full_queue, frames6_gate_->take_lost());
    }
    if (file_) {
        gather(v6_.receive(inbox, server_.presence(), drops_, now, full ? &*frames6_gate_ : nullptr));
    }
    if (frames6_gate_ && frames6_gate_->is_due(now.time) && frames6_gate_->close(now.time)) {
        log::warning("{}: DHCPv6 or router solicitations are a flood; for a while only guests' NICs are heard",
                     server_.spec().network);
    }
}

void Served::receive_arp(Inbox& inbox, const dhcp::Now& now) {
    for (const Incoming& in : inbox.receive(sockets_.arp.get())) {
        if (const auto speaker = dhcp::parse_arp(in.bytes)) {
            server_.seen_in_use(speaker->address, speaker->mac, now);
        }
    }
}

void Served::log(const dhcp::Message& request, const dhcp::Outcome& outcome, const dhcp::Now& now) {
    if (!log_rate_.take(kLogRate, kLogBurst, now.time)) {
        ++unlogged_;
        return;
    }
    if (const std::uint64_t unlogged = std::exchange(unlogged_, 0); unlogged > 0) {
        log::warning("{}: {} DHCP messages not logged", server_.spec().network, unlogged);
    }
    std::string_view answer = "no answer";
    std::string address;
    if (outcome.reply) {
        answer = dhcp::name(outcome.reply->type);
        address = outcome.reply->yiaddr.is_unspecified() ? "" : " " + format(outcome.reply->yiaddr);
    }
    log::info("{}: {} {} -> {}{} ({})", server_.spec().network, format(request.chaddr), outcome.branch, answer, address,
              outcome.why);
}

void Served::gather(std::vector<dhcp::LeaseEvent> events) {
    for (dhcp::LeaseEvent& event : events) {
        if (file_) {
            file_->append(dhcp::journal::line_for(event));
        }
        events_.push_back(std::move(event));
    }
}

void Served::gather(dhcp::Outcome outcome, const dhcp::Message& request) {
    if (outcome.probe) {
        probes_.push_back(*outcome.probe);
    }
    if (outcome.reply) {
        replies_.push_back({*std::move(outcome.reply), outcome.destination, outcome.from, dhcp::size_limit(request),
                            !outcome.events.empty()});
    }
    gather(std::move(outcome.events));
}

void Served::tick(const dhcp::Now& now) {
    if (server_.next_tick() <= now.time) {
        gather(server_.tick(now));
        for (const dhcp::Message& waited : server_.probed(now)) {
            gather(server_.handle(waited, false, now), waited);
        }
    }
    if (dhcp_gate_) {
        dhcp_gate_->tick(now.time);
    }
    if (frames6_gate_) {
        frames6_gate_->tick(now.time);
    }
    refresh_gates();
    gather(v6_.tick(now));
    report_drops(now.time);
}

// Of many changes in a turn the last counts.
void Served::refresh_gates() {
    if (!std::exchange(gate_is_stale_, false)) {
        return;
    }
    const std::vector<MacAddr> ports = server_.presence().ports();
    const bool told = !dhcp_gate_ || dhcp_gate_->know(ports);
    if (!(!frames6_gate_ || frames6_gate_->know(ports)) || !told) {
        log::warning("{}: {} NICs are too many to tell whose DHCP messages are in another's name",
                     server_.spec().network, ports.size());
    }
}

void Served::report_drops(dhcp::Time now) {
    if (now < next_report_ || drops_ == reported_) {
        return;
    }
    std::string text;
    for (std::size_t i = 0; i < drops_.size(); ++i) {
        if (drops_[i] > reported_[i]) {
            text += fmt::format("{}{} {}", text.empty() ? "" : ", ", drops_[i] - reported_[i], dhcp::kDropNames[i]);
        }
    }
    log::warning("{}: messages dropped: {}", server_.spec().network, text);
    reported_ = drops_;
    next_report_ = now + kReportInterval;
}

bool Served::drops_are_news(dhcp::Time now) {
    if (now < next_tell_ || drops_ == told_) {
        return false;
    }
    told_ = drops_;
    next_tell_ = now + kTellInterval;
    return true;
}

void Served::revoke(const MacAddr& port) {
    gate_is_stale_ = true;
    gather(server_.revoke(port));
    gather(v6_.revoke(port));
}

std::optional<dhcp::Time> Served::may_gather_until(dhcp::Time now) const {
    const dhcp::Time until = last_commit_ + kGather;
    const bool waits =
        file_ && file_->has_pending() && !file_->broken() && now < until && replies_.size() < kMostWaiting;
    return waits ? std::optional(until) : std::nullopt;
}

Served::Committed Served::commit(const dhcp::Now& now) {
    Committed out;
    if (file_ && (file_->has_pending() || file_->broken())) {
        Result<void> done;
        last_commit_ = now.time;
        if (!file_->broken()) {
            done = file_->commit();
        } else if (now.time >= next_repair_) {
            next_repair_ = now.time + kRepairInterval;
            done = file_->rewrite(snapshot(now));
        } else {
            done = fail(Code::system, "lease file is broken, next try in a second");
        }
        if (!done) {
            log::error("{}: leases not stored, nobody is acknowledged: {}", server_.spec().network,
                       done.error().message);
            std::erase_if(replies_, [](const Reply& reply) { return reply.needs_disk; });
            v6_.drop_undurable();
            events_.clear();
            lost_events_ = true;
            return out;
        }
        out.recovered = std::exchange(lost_events_, false);
    }
    out.events = std::exchange(events_, {});
    return out;
}

void Served::send_replies(Outbox& out) {
    const bool frames =
        std::ranges::any_of(replies_, [](const Reply& reply) { return reply.destination == dhcp::Destination::link; });
    if (frames) {
        refresh_link();
    }
    for (const Reply& reply : replies_) {
        Bytes bytes = dhcp::encode(reply.message, reply.limit);
        if (reply.destination == dhcp::Destination::link && interface_ != 0) {
            const dhcp::UdpFrame head{mac_,        reply.message.chaddr, reply.from, reply.message.yiaddr,
                                      kServerPort, kClientPort};
            out.add_frame(sockets_.raw.get(), interface_, reply.message.chaddr, dhcp::udp_frame(head, bytes));
            continue;
        }
        Endpoint to{Ip::v4(0xffffffffU), kClientPort};
        if (reply.destination == dhcp::Destination::unicast) {
            to.address = reply.message.ciaddr;
        } else if (reply.destination == dhcp::Destination::relay) {
            to = {reply.message.giaddr, kServerPort};
        }
        out.add(sockets_.dhcp.get(), to, bytes, reply.from, interface_);
    }
    replies_.clear();
    for (const Ip& address : probes_) {
        out.add_frame(sockets_.arp.get(), interface_, kEverybody, dhcp::arp_probe(mac_, address));
    }
    probes_.clear();
    v6_.send(out, mac_);
}

void Served::tidy(const dhcp::Now& now, bool always) {
    const std::size_t leases = server_.leases().size() + v6_.leases().all().size();
    if (!file_ || file_->broken() || file_->has_pending() || !(always || rekeyed_ || file_->is_bloated(leases))) {
        return;
    }
    rekeyed_ = false;
    if (auto done = file_->rewrite(snapshot(now)); !done) {
        log::error("{}: lease file not written afresh: {}", server_.spec().network, done.error().message);
    }
}

}  // namespace bascule::netsvc
