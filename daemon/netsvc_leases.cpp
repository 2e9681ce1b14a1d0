// SPDX-License-Identifier: GPL-2.0-or-later
// What the service has said of leases.
#include <utility>

#include "daemon/netsvc.h"

namespace bascule::daemon {

namespace wire = dhcp::wire;

namespace {

constexpr std::chrono::seconds kPatience{2};

bool ended(dhcp::LeaseEventKind kind) {
    return kind == dhcp::LeaseEventKind::released || kind == dhcp::LeaseEventKind::expired;
}

// Dumps repeat what is known, with an end that is rounded from another moment.
bool is_news(const wire::LeaseEvent& event, const dhcp::Lease& known) {
    constexpr std::chrono::seconds kRounding{2};
    const auto &now = event.lease.expires, &before = known.expires;
    const bool same_end =
        now == before || (now != dhcp::kNever && before != dhcp::kNever && std::chrono::abs(now - before) <= kRounding);
    return event.kind == dhcp::LeaseEventKind::renewed || event.lease.port != known.port ||
           event.lease.hostname != known.hostname || !same_end;
}

}  // namespace

std::vector<dhcp::Lease> Netsvc::leases(const Uuid& network) const {
    std::vector<dhcp::Lease> out;
    const auto now = host_.loop.clock().wall();
    if (const auto it = leases_.find(network); it != leases_.end()) {
        for (const auto& [address, known] : it->second) {
            if (known.lease.expires == dhcp::kNever || known.lease.expires > now) {
                out.push_back(known.lease);
            }
        }
    }
    return out;
}

std::vector<Netsvc::PortLease> Netsvc::port_leases(const Uuid& network, const MacAddr& port) const {
    std::vector<PortLease> out;
    const auto now = host_.loop.clock().wall();
    const auto known = leases_.find(network);
    if (known == leases_.end()) {
        return out;
    }
    for (const auto& [address, one] : known->second) {
        if (one.lease.port == port && (one.lease.expires == dhcp::kNever || one.lease.expires > now)) {
            out.push_back({one.lease, one.since});
        }
    }
    return out;
}

void Netsvc::when_known(std::move_only_function<void()> then) {
    if (knows_all()) {
        return then();
    }
    waiting_.push_back({std::move(then), host_.loop.clock().now() + kPatience});
    if (waiting_.size() == 1) {
        patience_ = host_.loop.at(waiting_.front().until, [this] { stop_waiting(); });
    }
}

// Answers who has waited long enough, or everybody when all is known.
void Netsvc::stop_waiting() {
    const kernel::Time now = host_.loop.clock().now();
    while (!waiting_.empty() && (knows_all() || waiting_.front().until <= now)) {
        auto then = std::move(waiting_.front().then);
        waiting_.pop_front();
        then();
    }
    patience_.reset();
    if (!waiting_.empty()) {
        patience_ = host_.loop.at(waiting_.front().until, [this] { stop_waiting(); });
    }
}

dhcp::Drops Netsvc::drops(const Uuid& network) const {
    const auto known = drops_.find(network);
    return known == drops_.end() ? dhcp::Drops{} : known->second;
}

void Netsvc::handle_leases(const wire::Leases& leases) {
    for (const wire::NetworkDrops& one : leases.drops) {
        if (entries_.contains(one.network)) {
            drops_.insert_or_assign(one.network, one.drops);
        }
    }
    if (leases.reset) {
        ++epoch_;
    }
    for (const wire::LeaseEvent& event : leases.events) {
        const dhcp::Lease& lease = event.lease;
        auto& known = leases_[lease.network];
        const auto before = known.find(lease.address);
        const auto entry = entries_.find(lease.network);
        // Not what the network's file says, or what a service that was found has held all along.
        bool news = phase_ == Phase::ready && entry != entries_.end() && heard_ >= entry->second.news_from;
        if (ended(event.kind)) {
            news = known.erase(lease.address) > 0 && news;
        } else {
            news = news && (before == known.end() || is_news(event, before->second.lease));
            const auto since = news                    ? std::optional(host_.loop.clock().now())
                               : before == known.end() ? std::nullopt
                                                       : before->second.since;
            known.insert_or_assign(lease.address, Known{lease, epoch_, since});
        }
        callbacks_.lease(event);
        if (news) {
            callbacks_.news(event);
        }
        names_.leases_changed(lease.network);
    }
}

void Netsvc::forget_older_leases() {
    if (std::exchange(swept_, epoch_) == epoch_) {
        return;  // no dump since
    }
    for (auto& [network, leases] : leases_) {
        for (auto it = leases.begin(); it != leases.end();) {
            if (it->second.epoch == epoch_) {
                ++it;
                continue;
            }
            const dhcp::Lease lease = it->second.lease;
            it = leases.erase(it);
            callbacks_.lease({dhcp::LeaseEventKind::expired, lease});
            callbacks_.news({dhcp::LeaseEventKind::expired, lease});
            names_.leases_changed(network);
        }
    }
}

}  // namespace bascule::daemon
