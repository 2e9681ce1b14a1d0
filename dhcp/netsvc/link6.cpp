// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/netsvc/link6.h"

#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace bascule::netsvc {

namespace {

constexpr std::uint16_t kServerPort = 547, kClientPort = 546;
constexpr double kLogRate = 20, kLogBurst = 200;
const Ip kAllNodes = Ip::v6({0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1});

}  // namespace

void Link6::configure(const dhcp::Spec& spec) {
    spec_ = &spec;
    server_.configure(spec);
    withdraw_prefixes();
    if (fds_.advert >= 0) {
        advertiser_.start(spec, dhcp::Time{});  // at once
    }
}

// Of those that have gone while the network runs the last few are taken back in every advertisement.
void Link6::withdraw_prefixes() {
    constexpr std::size_t kMostWithdrawn = 8;
    const auto now = dhcp::advertised_prefixes(*spec_);
    const auto is_in = [](const std::vector<Prefix>& list, const Prefix& one) {
        return std::ranges::find(list, one) != list.end();
    };
    std::erase_if(withdrawn_, [&](const Prefix& one) { return is_in(now, one); });
    for (const Prefix& before : prefixes_) {
        if (!is_in(now, before) && !is_in(withdrawn_, before)) {
            withdrawn_.push_back(before);
        }
    }
    if (withdrawn_.size() > kMostWithdrawn) {
        withdrawn_.erase(withdrawn_.begin(), withdrawn_.end() - kMostWithdrawn);
    }
    prefixes_ = now;
}

void Link6::set_sockets(const Fds& fds) {
    fds_ = fds;
    advertiser_.stop();
    if (fds_.advert >= 0 && spec_ != nullptr) {
        advertiser_.start(*spec_, dhcp::Time{});
    }
}

std::optional<dhcp::Drop> Link6::solicited(const dhcp::Frame6& frame, const dhcp::Presence& presence, dhcp::Time now) {
    if (!dhcp::decode_solicitation(frame.payload, frame.hop_limit, frame.from)) {
        return dhcp::Drop::malformed_solicitation;
    }
    if (!advertiser_.solicited(frame.from_mac, presence.is_known(frame.from_mac), now)) {
        return dhcp::Drop::solicitation_rate;
    }
    if (frame.from.is_unspecified()) {
        everybody_ = true;
    } else if (frame.from.is_link_local() && solicitors_.size() < kMostSolicitors) {
        solicitors_.push_back(frame.from);
    }
    return std::nullopt;
}

std::vector<dhcp::LeaseEvent> Link6::receive(Inbox& inbox, const dhcp::Presence& presence, dhcp::Drops& drops,
                                             const dhcp::Now& now, KnownGate* full) {
    std::vector<dhcp::LeaseEvent> events;
    const OpenBatches open;
    for (int batch = 0; batch < kMostBatches; ++batch) {  // as in IPv4: see Served::receive_dhcp
        const auto received = inbox.receive(fds_.frames);
        for (const Incoming& in : received) {
            MacAddr sender;
            if (full != nullptr && in.bytes.size() >= 2 * sender.octets.size()) {
                const auto octets = in.bytes.subspan(sender.octets.size(), sender.octets.size());
                std::ranges::transform(octets, sender.octets.begin(),
                                       [](std::byte b) { return std::to_integer<std::uint8_t>(b); });
                full->count(sender);
            }
        }
        hear(received, !open.has(batch), presence, drops, now, events);
        if (received.size() < Inbox::kBatch) {
            break;
        }
    }
    return events;
}

void Link6::hear(std::span<const Incoming> received, bool flooded, const dhcp::Presence& presence, dhcp::Drops& drops,
                 const dhcp::Now& now, std::vector<dhcp::LeaseEvent>& events) {
    const auto dropped = [&](dhcp::Drop why) { ++drops[static_cast<std::size_t>(why)]; };
    for (const Incoming& in : received) {
        const auto frame = dhcp::parse_frame6(in.bytes);
        if (!frame || frame->from_mac.is_multicast()) {
            dropped(dhcp::Drop::malformed_frame6);
            continue;
        }
        if (flooded && !presence.is_known(frame->from_mac)) {
            dropped(dhcp::Drop::flood);
            continue;
        }
        if (!frame->udp) {
            if (const auto why = solicited(*frame, presence, now.time)) {
                dropped(*why);
            }
            continue;
        }
        if (fds_.dhcp < 0 || frame->to_port != kServerPort) {
            continue;
        }
        if (!rate_.take(frame->from_mac, now.time)) {
            dropped(dhcp::Drop::rate);
            continue;
        }
        const auto packet = dhcp::decode6(frame->payload);
        if (!packet) {
            dropped(dhcp::Drop::malformed);
            continue;
        }
        dhcp::Outcome6 outcome = server_.handle(*packet, frame->from_mac, presence, now);
        if (log_rate_.take(kLogRate, kLogBurst, now.time)) {
            log::info("{}: {} {} -> {} ({})", spec_->network, format(frame->from_mac), dhcp::name(packet->message.type),
                      outcome.reply ? dhcp::name(outcome.reply->message.type) : std::string_view("no answer"),
                      outcome.why);
        }
        if (outcome.reply) {
            // A relay is answered at its own port (RFC 9915 section 19.3).
            const std::uint16_t port = packet->relays.empty() ? kClientPort : kServerPort;
            replies_.push_back({*std::move(outcome.reply), {frame->from, port}, !outcome.events.empty()});
        }
        std::ranges::move(outcome.events, std::back_inserter(events));
    }
}

std::vector<dhcp::LeaseEvent> Link6::tick(const dhcp::Now& now) {
    ticked_ = now.time;
    everybody_ = advertiser_.due(now.time) || everybody_;
    return server_.next_tick() <= now.time ? server_.tick(now) : std::vector<dhcp::LeaseEvent>();
}

void Link6::drop_undurable() {
    std::erase_if(replies_, [](const Reply& reply) { return reply.needs_disk; });
}

// Guests take no advertisement but from a link-local address (RFC 4861 section 6.1.2). While the bridge's own is not
// yet usable, since its first port has come up only just, the kernel would take another.
bool Link6::can_advertise() const {
    const sockaddr nobody{.sa_family = AF_UNSPEC, .sa_data = {}};
    (void)::connect(fds_.advert, &nobody, sizeof nobody);
    socklen_t size = 0;
    const sockaddr_storage to = to_sockaddr({kAllNodes, 0}, size);
    if (::connect(fds_.advert, reinterpret_cast<const sockaddr*>(&to), size) != 0) {
        return false;
    }
    sockaddr_storage from{};
    size = sizeof from;
    const bool named = ::getsockname(fds_.advert, reinterpret_cast<sockaddr*>(&from), &size) == 0;
    const auto source = named ? from_sockaddr(from) : std::nullopt;
    return source && source->address.is_link_local();
}

void Link6::send(Outbox& out, const MacAddr& router) {
    for (const Reply& reply : replies_) {
        out.add(fds_.dhcp, reply.to, dhcp::encode6(reply.packet));
    }
    replies_.clear();
    stalled_ = fds_.advert >= 0 && (everybody_ || !solicitors_.empty()) && !can_advertise();
    if (stalled_) {
        return;
    }
    if (fds_.advert >= 0 && (everybody_ || !solicitors_.empty())) {
        const Bytes advertisement = dhcp::encode_advertisement(*spec_, router, false, withdrawn_);
        for (const Ip& solicitor : solicitors_) {
            out.add(fds_.advert, {solicitor, 0}, advertisement);
        }
        if (everybody_) {
            out.add(fds_.advert, {kAllNodes, 0}, advertisement);
        }
    }
    solicitors_.clear();
    everybody_ = false;
}

}  // namespace bascule::netsvc
