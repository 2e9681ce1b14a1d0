// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/netsvc/daemon_link.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace bascule::netsvc {

namespace wire = dhcp::wire;

namespace {

constexpr int kMessagesPerPump = 8;

std::vector<UniqueFd> take_descriptors(msghdr& header) {
    std::vector<UniqueFd> out;
    for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
            out.emplace_back(fd);
        }
    }
    return out;
}

}  // namespace

Result<std::optional<DaemonLink::Received>> DaemonLink::receive() {
    alignas(cmsghdr) std::array<char, CMSG_SPACE(wire::kMaxDescriptors * sizeof(int))> control;
    iovec vector{buffer_.data(), buffer_.size()};
    msghdr header{};
    header.msg_iov = &vector;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    const ssize_t got = ::recvmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return std::optional<Received>();
    }
    if (got < 0) {
        return fail_errno("cannot read from the daemon");
    }
    if (got == 0) {
        return fail(Code::unreachable, "the daemon closed the connection");
    }
    std::vector<UniqueFd> fds = take_descriptors(header);
    if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
        return fail(Code::malformed, "the daemon's message or its descriptors were cut short");
    }
    TRY(auto message, wire::decode_to_service(ByteView(buffer_.data(), static_cast<std::size_t>(got))));
    if (fds.size() != wire::descriptors(message)) {
        return fail(Code::malformed, fmt::format("the daemon's message came with {} descriptors, it speaks of {}",
                                                 fds.size(), wire::descriptors(message)));
    }
    return std::optional(Received{std::move(message), std::move(fds)});
}

Result<bool> DaemonLink::send(const wire::ToDaemon& message, std::span<const int> fds) {
    TRY(const Bytes bytes, wire::encode(message));
    alignas(cmsghdr) std::array<char, CMSG_SPACE(wire::kMaxDescriptors * sizeof(int))> control{};
    iovec vector{const_cast<std::byte*>(bytes.data()), bytes.size()};
    msghdr header{};
    header.msg_iov = &vector;
    header.msg_iovlen = 1;
    if (!fds.empty()) {
        header.msg_control = control.data();
        header.msg_controllen = CMSG_SPACE(fds.size_bytes());
        cmsghdr* const c = CMSG_FIRSTHDR(&header);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(fds.size_bytes());
        std::memcpy(CMSG_DATA(c), fds.data(), fds.size_bytes());
    }
    for (;;) {
        if (::sendmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
            return true;
        }
        if (errno == EAGAIN || errno == ENOBUFS) {
            return false;
        }
        if (errno != EINTR) {
            return fail_errno("cannot write to the daemon");
        }
    }
}

Result<bool> DaemonLink::flush_events() {
    while (!events_.empty()) {
        const auto count = std::min(events_.size(), wire::kMaxLeasesPerMessage);
        const auto end = events_.begin() + static_cast<std::ptrdiff_t>(count);
        TRY(const bool sent, send(wire::Leases{false, {events_.begin(), end}}));
        if (!sent) {
            return false;
        }
        events_.erase(events_.begin(), end);
    }
    return true;
}

Result<bool> DaemonLink::tell(std::vector<dhcp::LeaseEvent> events) {
    if (phase_ < Phase::first_leases) {
        return false;  // the dump that is due will show what happened
    }
    events_.insert(events_.end(), std::make_move_iterator(events.begin()), std::make_move_iterator(events.end()));
    TRY(const bool flushed, flush_events());
    if (events_.size() > kMostEvents) {
        events_.clear();
        start_dump();
    }
    return flushed;
}

void DaemonLink::start_dump() {
    if (phase_ >= Phase::first_leases) {
        network_.reset();
        address_.reset();
        phase_ = Phase::first_leases;
    }
}

Result<bool> DaemonLink::send_held(const State& state) {
    const auto next = network_ ? state.networks.upper_bound(*network_) : state.networks.begin();
    if (next == state.networks.end()) {
        network_.reset();
        phase_ = Phase::upstreams;
        return true;
    }
    const auto& [uuid, served] = *next;
    TRY(const bool sent,
        send(wire::Held{uuid, served.server().spec().bridge, served.sockets().layout()}, served.sockets().fds()));
    if (sent) {
        network_ = uuid;
    }
    return sent;
}

Result<bool> DaemonLink::send_leases(const State& state, const dhcp::Now& now) {
    wire::Leases message{phase_ == Phase::first_leases, {}};
    auto network = network_ ? state.networks.lower_bound(*network_) : state.networks.begin();
    std::optional<Uuid> at_network = network_;
    std::optional<Ip> at_address = address_;
    for (; network != state.networks.end() && message.events.size() < wire::kMaxLeasesPerMessage; ++network) {
        if (at_network != network->first) {
            at_network = network->first;
            at_address.reset();
        }
        bool whole = true;
        // IPv4 addresses sort before IPv6 ones: the walk through one table resumes in the other.
        for (const auto* const all : {&network->second.server().leases().all(), &network->second.leases6().all()}) {
            auto lease = at_address ? all->upper_bound(*at_address) : all->begin();
            for (; lease != all->end() && message.events.size() < wire::kMaxLeasesPerMessage; ++lease) {
                at_address = lease->first;
                if (lease->second.active) {
                    message.events.push_back({dhcp::LeaseEventKind::added, dhcp::as_of(lease->second, now)});
                }
            }
            whole = whole && lease == all->end();
        }
        if (!whole) {
            break;
        }
    }
    const bool last = network == state.networks.end();
    TRY(const bool sent, send(message));
    if (sent) {
        network_ = last ? std::nullopt : at_network;
        address_ = last ? std::nullopt : at_address;
        phase_ = last ? Phase::synced : Phase::leases;
    }
    return sent;
}

Result<bool> DaemonLink::send_synced(const State& state) {
    wire::Synced message{.generation = state.generation, .takes_changes = true, .wants_all = state.wants_all};
    constexpr std::size_t kMostTroubles = 64;
    for (const Uuid& uuid : state.troubled) {
        if (message.troubles.size() < kMostTroubles) {
            message.troubles.push_back({uuid, state.networks.at(uuid).trouble().substr(0, 500)});
        }
    }
    return send(message);
}

Result<bool> DaemonLink::send_learned(const State& state) {
    while (!learned_.empty()) {
        const std::uint32_t port = *learned_.begin();
        if (state.learner.watches(port)) {
            TRY(const bool sent, send(wire::Learned{port, state.learner.addresses(port)}));
            if (!sent) {
                return false;
            }
        }
        learned_.erase(learned_.begin());
    }
    return true;
}

Result<bool> DaemonLink::send_drops(const State& state) {
    while (!drops_.empty()) {
        wire::Leases message;
        auto next = drops_.begin();
        for (; next != drops_.end() && message.drops.size() < wire::kMaxLeasesPerMessage; ++next) {
            if (const auto served = state.networks.find(*next); served != state.networks.end()) {
                message.drops.push_back({*next, served->second.drops()});
            }
        }
        TRY(const bool sent, send(message));
        if (!sent) {
            return false;
        }
        drops_.erase(drops_.begin(), next);
    }
    return true;
}

Result<bool> DaemonLink::step(const State& state, const dhcp::Now& now) {
    switch (phase_) {
        case Phase::hello: {
            TRY(const bool sent,
                send(wire::Hello{static_cast<std::uint32_t>(::getpid()), state.generation, state.copies.open()}));
            phase_ = sent ? Phase::held : phase_;
            return sent;
        }
        case Phase::held: return send_held(state);
        case Phase::upstreams: {
            std::vector<int> fds;
            for (const auto* const pool : {&state.upstreams, &state.streams}) {
                std::ranges::transform(*pool, std::back_inserter(fds), &UniqueFd::get);
            }
            TRY(const bool sent, send(wire::HeldUpstreams{state.upstream_sockets()}, fds));
            if (sent) {
                const auto ports = state.learner.ports();
                learned_.insert(ports.begin(), ports.end());
                phase_ = Phase::learned;
            }
            return sent;
        }
        case Phase::learned: {
            TRY(const bool sent, send_learned(state));
            phase_ = sent ? Phase::first_leases : phase_;
            return sent;
        }
        case Phase::first_leases:
        case Phase::leases: return send_leases(state, now);
        case Phase::synced: {
            TRY(const bool sent, send_synced(state));
            phase_ = sent ? Phase::idle : phase_;
            owes_synced_ = owes_synced_ && !sent;
            for (const auto& [uuid, served] : state.networks) {
                if (served.drops() != dhcp::Drops{}) {
                    drops_.insert(uuid);
                }
            }
            return sent;
        }
        case Phase::idle: break;
    }
    return true;
}

Result<bool> DaemonLink::pump(const State& state, const dhcp::Now& now) {
    TRY(const bool flushed, flush_events());
    if (!flushed) {
        return false;
    }
    if (phase_ > Phase::learned) {
        TRY(const bool told, send_learned(state));
        if (!told) {
            return false;
        }
    }
    for (int i = 0; i < kMessagesPerPump && phase_ != Phase::idle; ++i) {
        TRY(const bool sent, step(state, now));
        if (!sent) {
            return false;
        }
    }
    if (phase_ == Phase::idle && owes_synced_) {
        TRY(const bool sent, send_synced(state));
        owes_synced_ = !sent;
    }
    if (phase_ != Phase::idle || owes_synced_) {
        return false;
    }
    return send_drops(state);
}

}  // namespace bascule::netsvc
