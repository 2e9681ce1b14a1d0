// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/netsvc.h"

#include <algorithm>
#include <csignal>

#include <fmt/format.h>

#include "base/log.h"
#include "kernel/helper_channel.h"
#include "kernel/linux/files.h"
#include "kernel/linux/sockets.h"

namespace bascule::daemon {

namespace os = kernel::os;
namespace wire = dhcp::wire;

namespace {

constexpr std::string_view kSocket = "/run/bascule/netsvc.sock";
constexpr std::string_view kLeaseFolder = "/var/lib/bascule/leases";
// Enough that guessing which of them a query left by, together with its id, is hopeless (RFC 5452 9.2).
constexpr std::size_t kResolverSockets = 64;
// A service that dies more often than this is not restarted at once, so that it cannot eat a processor.
constexpr std::size_t kManyDeaths = 5;
constexpr std::chrono::seconds kDeathWindow{10}, kRest{1}, kPatience{2};

}  // namespace

Netsvc::Netsvc(Host& host, Settings settings) : host_(host), settings_(std::move(settings)) {}

// ---- sockets ------------------------------------------------------------------------------------

wire::SocketLayout Netsvc::layout_of(const dhcp::Spec& spec) {
    wire::SocketLayout layout;
    layout.dhcp = layout.raw = std::ranges::any_of(spec.subnets, &dhcp::Subnet::serves_dhcp);
    for (std::size_t i = 0; spec.serve_dns && i < spec.subnets.size(); ++i) {
        layout.dns.push_back(static_cast<std::uint16_t>(i));
    }
    return layout;
}

Result<void> Netsvc::open_sockets(Entry& entry) {
    const dhcp::Spec& spec = entry.spec;
    const wire::SocketLayout layout = layout_of(spec);
    std::vector<UniqueFd> fds;
    if (layout.dhcp) {
        TRY(UniqueFd dhcp, os::open_dhcp_socket(spec.bridge));
        TRY(UniqueFd raw, os::open_raw_socket(spec.bridge));
        fds.push_back(std::move(dhcp));
        fds.push_back(std::move(raw));
    }
    for (const std::uint16_t subnet : layout.dns) {
        TRY(UniqueFd dns, os::open_dns_socket(spec.subnets[subnet].server.address, spec.bridge));
        fds.push_back(std::move(dns));
    }
    entry.layout = layout;
    entry.fds = std::move(fds);
    entry.sent = false;
    return {};
}

Result<void> Netsvc::check_sockets() {
    bool changed = false;
    for (auto& [uuid, entry] : entries_) {
        const bool stale = entry.layout != layout_of(entry.spec) || std::ranges::any_of(entry.fds, [&](const auto& fd) {
                               return !os::is_bound_to(fd.get(), entry.spec.bridge);
                           });
        if (stale) {
            TRY_OK(open_sockets(entry));
            changed = true;
        }
    }
    if (changed) {
        push();
    }
    return {};
}

// ---- what is served -----------------------------------------------------------------------------

Result<void> Netsvc::serve(const dhcp::Spec& spec) {
    const auto known = entries_.find(spec.uuid);
    const bool same_sockets =
        known != entries_.end() && known->second.spec.bridge == spec.bridge &&
        std::ranges::equal(
            known->second.spec.subnets, spec.subnets, {}, [](const auto& subnet) { return subnet.server; },
            [](const auto& subnet) { return subnet.server; }) &&
        known->second.layout == layout_of(spec);
    if (phase_ == Phase::ready && !same_sockets) {
        Entry entry{.spec = spec, .layout = {}, .fds = {}, .sent = false};
        TRY_OK(open_sockets(entry));
        entries_.insert_or_assign(spec.uuid, std::move(entry));
    } else if (known != entries_.end()) {
        known->second.spec = spec;
    } else {
        entries_.emplace(spec.uuid, Entry{.spec = spec, .layout = {}, .fds = {}, .sent = false});
    }
    push();
    return {};
}

void Netsvc::stop_serving(const Uuid& network) {
    if (entries_.erase(network) > 0) {
        push();
    }
}

Result<void> Netsvc::set_resolvers(std::vector<Ip> servers) {
    if (resolver_sockets_.empty()) {
        TRY(resolver_sockets_, os::open_resolver_sockets(kResolverSockets, IpFamily::v4));
        resolver_v4_ = resolver_sockets_.size();
        TRY(auto v6, os::open_resolver_sockets(kResolverSockets, IpFamily::v6));
        std::ranges::move(v6, std::back_inserter(resolver_sockets_));
        resolvers_sent_ = false;
    }
    resolvers_ = std::move(servers);
    push();
    return {};
}

void Netsvc::revoke(const Uuid& network, const MacAddr& port) {
    if (phase_ == Phase::ready) {
        if (auto bytes = wire::encode(wire::RevokeLease{network, port})) {
            send(std::move(*bytes));
        }
    }
}

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

// Everything, whole: begin, each network, the resolvers, commit.
void Netsvc::push() {
    if (phase_ != Phase::ready) {
        return;  // what there is to serve is pushed when it is
    }
    const auto put = [this](const auto& message, const std::vector<UniqueFd>* fds) {
        auto bytes = wire::encode(message);
        if (!bytes) {
            log::error("bascule-netsvc: {}", bytes.error().message);
            return;
        }
        send(std::move(*bytes), fds);
    };
    put(wire::Begin{++generation_}, nullptr);
    for (auto& [uuid, entry] : entries_) {
        auto datagrams =
            wire::encode_network({.spec = entry.spec, .sockets = entry.sent ? wire::SocketLayout{} : entry.layout});
        if (!datagrams) {
            log::error("network {}: {}", entry.spec.network, datagrams.error().message);
            continue;
        }
        for (std::size_t i = 0; i < datagrams->size(); ++i) {
            send(std::move((*datagrams)[i]), i == 0 && !entry.sent ? &entry.fds : nullptr);
        }
        entry.sent = true;
    }
    wire::Upstreams upstreams;
    for (const Ip& server : resolvers_) {
        upstreams.servers.push_back({.address = server});
    }
    if (!resolvers_sent_) {
        upstreams.v4_sockets = static_cast<std::uint16_t>(resolver_v4_);
        upstreams.v6_sockets = static_cast<std::uint16_t>(resolver_sockets_.size() - resolver_v4_);
    }
    put(upstreams, resolvers_sent_ ? nullptr : &resolver_sockets_);
    resolvers_sent_ = true;
    put(wire::Commit{generation_}, nullptr);
}

// ---- the channel --------------------------------------------------------------------------------

Result<void> Netsvc::start() {
    const std::string path = host_.files.real(std::string(kSocket));
    if (auto channel = os::connect_seqpacket(path)) {
        return attach(std::move(*channel));
    }
    return spawn();
}

Result<void> Netsvc::attach(UniqueFd channel) {
    channel_ = std::move(channel);
    phase_ = Phase::greeting;
    outgoing_.clear();
    watch_ = host_.loop.watch(channel_.get(), true, false, [this](kernel::Ready) { readable(); });
    return {};
}

Result<void> Netsvc::spawn() {
    const std::string path = host_.files.real(std::string(kSocket));
    const std::string folder = host_.files.real(std::string(kLeaseFolder));
    TRY_OK(os::make_folder(folder, 0700, settings_.uid, settings_.gid));
    TRY(const UniqueFd folder_fd, os::open_folder(folder));
    if (!listener_) {
        TRY(listener_, os::listen_seqpacket(path, 0600));
    }
    TRY(auto pair, os::seqpacket_pair());
    kernel::Command command{.program = settings_.program,
                            .args = {},
                            .environment = {},
                            .uid = settings_.uid,
                            .gid = settings_.gid,
                            .groups = {},
                            .fds = {listener_.get(), folder_fd.get(), pair.second.get()},
                            .stdout_fd = -1,
                            .stderr_fd = 2};
    auto process = host_.spawner.spawn(command);
    if (!process) {
        return std::unexpected(std::move(process.error()).in(settings_.program));
    }
    process_ = std::move(*process);
    for (auto& [uuid, entry] : entries_) {
        entry.sent = false;
    }
    resolvers_sent_ = false;
    return attach(std::move(pair.first));
}

// The other end is gone: the process died, or is of no use any more.
void Netsvc::lost() {
    watch_.reset();
    channel_.reset();
    phase_ = Phase::away;
    if (process_ && process_->running()) {
        (void)process_->signal(SIGKILL).has_value();
    }
    process_.reset();
    const kernel::Time now = host_.loop.clock().now();
    deaths_.push_back(now);
    while (deaths_.front() + kDeathWindow < now) {
        deaths_.pop_front();
    }
    const bool often = deaths_.size() > kManyDeaths;
    log::error("bascule-netsvc ended; starting it again{}", often ? " in a second: it ends too often" : "");
    retry_ = host_.loop.at(often ? now + kRest : now, [this] {
        if (auto again = spawn(); !again) {
            log::error("bascule-netsvc cannot be started: {}", again.error().message);
            retry_ = host_.loop.at(host_.loop.clock().now() + kRest, [this] { lost(); });
        }
    });
}

void Netsvc::send(Bytes bytes, const std::vector<UniqueFd>* fds) {
    Packet packet{std::move(bytes), {}};
    if (fds != nullptr) {
        for (const UniqueFd& fd : *fds) {
            packet.fds.push_back(fd.duplicate());
        }
    }
    outgoing_.push_back(std::move(packet));
    flush();
}

void Netsvc::flush() {
    while (!outgoing_.empty()) {
        const auto sent = os::send_packet(channel_.get(), outgoing_.front().bytes, outgoing_.front().fds);
        if (!sent && sent.error().sys_errno == EAGAIN) {
            watch_ = host_.loop.watch(channel_.get(), true, true, [this](kernel::Ready ready) {
                if (ready.writable) {
                    flush();
                }
                if (ready.readable || ready.hangup) {
                    readable();
                }
            });
            return;
        }
        if (!sent) {  // its end is read, and dealt with, as the end of the channel
            log::warning("bascule-netsvc: {}", sent.error().message);
            outgoing_.clear();
            return;
        }
        outgoing_.pop_front();
    }
    watch_ = host_.loop.watch(channel_.get(), true, false, [this](kernel::Ready) { readable(); });
}

void Netsvc::readable() {
    constexpr int kMostAtOnce = 64;  // so that a talkative service does not starve clients
    for (int i = 0; i < kMostAtOnce; ++i) {
        auto packet = os::receive_packet(channel_.get(), kernel::channel::kMaxMessage, wire::kMaxDescriptors);
        if (!packet && packet.error().sys_errno == EAGAIN) {
            return;
        }
        if (!packet || packet->bytes.empty()) {
            lost();
            return;
        }
        const auto message = wire::decode_to_daemon(packet->bytes);
        if (!message || wire::descriptors(*message) != packet->fds.size()) {
            log::error("bascule-netsvc talks nonsense: {}",
                       message ? "wrong number of descriptors" : message.error().message.c_str());
            lost();
            return;
        }
        handle(*message, std::move(packet->fds));
        if (phase_ == Phase::away) {
            return;
        }
    }
}

void Netsvc::handle(const wire::ToDaemon& message, std::vector<UniqueFd> fds) {
    if (const auto* const hello = std::get_if<wire::Hello>(&message)) {
        generation_ = std::max(generation_, hello->generation);
        if (!process_) {
            auto process = host_.spawner.adopt(static_cast<int>(hello->pid), settings_.program);
            if (process) {
                process_ = std::move(*process);
            } else {
                log::warning("bascule-netsvc, process {}: {}", hello->pid, process.error().message);
            }
        }
    } else if (const auto* const held = std::get_if<wire::Held>(&message)) {
        const auto entry = entries_.find(held->network);
        if (entry != entries_.end() && entry->second.spec.bridge == held->bridge && entry->second.fds.empty()) {
            entry->second.layout = held->sockets;
            entry->second.fds = std::move(fds);
            entry->second.sent = true;
        }
    } else if (const auto* const upstreams = std::get_if<wire::HeldUpstreams>(&message)) {
        if (resolver_sockets_.empty() && !fds.empty()) {
            resolver_sockets_ = std::move(fds);
            resolver_v4_ = upstreams->v4_sockets;
            resolvers_sent_ = true;
        }
    } else if (const auto* const leases = std::get_if<wire::Leases>(&message)) {
        handle_leases(*leases);
    } else if (const auto* const synced = std::get_if<wire::Synced>(&message)) {
        handle_synced(*synced);
    }
}

void Netsvc::handle_synced(const wire::Synced& synced) {
    for (const wire::Trouble& trouble : synced.troubles) {
        const auto entry = entries_.find(trouble.network);
        log::error("network {}: {}", entry == entries_.end() ? format(trouble.network) : entry->second.spec.network,
                   trouble.what);
    }
    if (phase_ == Phase::ready) {
        heard_ = synced.generation;
        if (heard_ == generation_) {
            forget_older_leases();
            stop_waiting();
        }
        return;
    }
    phase_ = Phase::ready;
    heard_ = synced.generation;
    if (!std::exchange(was_ready_, true)) {
        callbacks_.ready();
    } else {
        push();
    }
}

void Netsvc::forget_older_leases() {
    for (auto& [network, leases] : leases_) {
        for (auto it = leases.begin(); it != leases.end();) {
            if (it->second.epoch == epoch_) {
                ++it;
                continue;
            }
            const dhcp::Lease lease = it->second.lease;
            it = leases.erase(it);
            callbacks_.lease({dhcp::LeaseEventKind::expired, lease});
        }
    }
}

void Netsvc::handle_leases(const wire::Leases& leases) {
    if (leases.reset) {
        ++epoch_;
    }
    for (const wire::LeaseEvent& event : leases.events) {
        const dhcp::Lease& lease = event.lease;
        if (event.kind == dhcp::LeaseEventKind::released || event.kind == dhcp::LeaseEventKind::expired) {
            leases_[lease.network].erase(lease.address);
        } else {
            leases_[lease.network].insert_or_assign(lease.address, Known{lease, epoch_});
        }
        callbacks_.lease(event);
    }
}

}  // namespace bascule::daemon
