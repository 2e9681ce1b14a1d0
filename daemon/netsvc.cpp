// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/netsvc.h"

#include <algorithm>
#include <csignal>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "dhcp/advertiser.h"
#include "kernel/helper_channel.h"
#include "kernel/linux/files.h"
#include "kernel/linux/link_sockets.h"
#include "kernel/linux/log_socket.h"
#include "kernel/linux/sockets.h"
#include "nwfilter/learning.h"

namespace bascule::daemon {

namespace os = kernel::os;
namespace wire = dhcp::wire;

namespace {

constexpr std::string_view kSocket = "/run/bascule/netsvc.sock";
constexpr std::string_view kLeaseFolder = "/var/lib/bascule/leases";
// Enough that guessing which of them a query left by, together with its id, is hopeless (RFC 5452 9.2).
constexpr std::size_t kResolverSockets = 64;
// For answers that no datagram holds, at the same time.
constexpr std::size_t kResolverStreams = 16;
// A service that dies more often than this is not restarted at once, so that it cannot eat a processor.
constexpr std::size_t kManyDeaths = 5;
constexpr std::chrono::seconds kDeathWindow{10}, kRest{1};

}  // namespace

Netsvc::Netsvc(Host& host, Settings settings)
    : host_(host),
      settings_(std::move(settings)),
      names_(
          host, [this](const HostResolvers& resolvers) { set_resolvers(resolvers); },
          [this](const Uuid& network) { return leases(network); }) {}

// ---- what is served -----------------------------------------------------------------------------

Result<void> Netsvc::serve(const dhcp::Spec& spec, bool tell_host) {
    const auto known = entries_.find(spec.uuid);
    const bool same_sockets =
        known != entries_.end() && known->second.spec.bridge == spec.bridge &&
        known->second.spec.file_root == spec.file_root &&
        std::ranges::equal(
            known->second.spec.subnets, spec.subnets, {}, [](const auto& subnet) { return subnet.server; },
            [](const auto& subnet) { return subnet.server; }) &&
        known->second.wanted == layout_of(spec);
    // Names of guests come by set_guests(): a definition has none.
    dhcp::Spec whole = spec;
    if (const auto guests = guests_.find(spec.uuid); guests != guests_.end()) {
        whole.dns.guests = guests->second;
    }
    if (phase_ == Phase::ready && !same_sockets) {
        Entry entry{.spec = whole, .layout = {}, .fds = {}, .sent = false};
        TRY_OK(open_sockets(entry));
        entries_.insert_or_assign(spec.uuid, std::move(entry));
    } else if (known != entries_.end()) {
        known->second.spec = whole;
    } else {
        entries_.emplace(spec.uuid, Entry{.spec = whole, .layout = {}, .fds = {}, .sent = false});
    }
    pushes_.changed(spec.uuid);
    push();
    names_.keep_from_host(spec.uuid, !tell_host);
    names_.network_up(whole);
    return {};
}

// The last word of a network that stops: we are no router any more. From here, since the bridge is gone before the
// service could say it.
void Netsvc::say_goodbye(const Entry& entry) const {
    const wire::SocketLayout& layout = entry.layout;
    const std::size_t advert =
        (layout.dhcp ? 1U : 0U) + (layout.raw ? 1U : 0U) + (layout.frames6 ? 1U : 0U) + (layout.dhcp6 ? 1U : 0U);
    if (layout.advert && advert < entry.fds.size()) {
        const Bytes last = dhcp::encode_advertisement(entry.spec, {}, true);
        if (auto sent = os::send_advertisement(entry.fds[advert].get(), last); !sent) {
            log::debug("network {}: {}", entry.spec.network, sent.error().message);  // a bridge without guests
        }
    }
}

void Netsvc::forget(const Uuid& network) {
    const std::string path = fmt::format("{}/{}.leases", kLeaseFolder, format(network));
    if (auto removed = host_.files.remove(path); !removed) {
        log::warning("{}", removed.error().message);
    }
    leases_.erase(network);
}

void Netsvc::stop_serving(const Uuid& network) {
    if (const auto entry = entries_.find(network); entry != entries_.end()) {
        say_goodbye(entry->second);
    }
    drops_.erase(network);
    if (entries_.erase(network) > 0) {
        pushes_.gone(network);
        push();
    }
    names_.network_down(network);
}

Result<void> Netsvc::open_resolver_sockets() {
    if (!resolver_fds_.empty()) {
        return {};
    }
    const auto take = [this](std::uint16_t& count, Result<std::vector<UniqueFd>> opened) -> Result<void> {
        TRY(auto fds, std::move(opened));
        count = static_cast<std::uint16_t>(fds.size());
        std::ranges::move(fds, std::back_inserter(resolver_fds_));
        return {};
    };
    TRY_OK(take(resolver_sockets_.v4_sockets, os::open_resolver_sockets(kResolverSockets, IpFamily::v4)));
    TRY_OK(take(resolver_sockets_.v6_sockets, os::open_resolver_sockets(kResolverSockets, IpFamily::v6)));
    TRY_OK(take(resolver_sockets_.v4_streams, os::open_resolver_streams(kResolverStreams, IpFamily::v4)));
    TRY_OK(take(resolver_sockets_.v6_streams, os::open_resolver_streams(kResolverStreams, IpFamily::v6)));
    resolvers_sent_ = false;
    pushes_.upstreams_changed();
    return {};
}

Result<void> Netsvc::follow_resolvers() {
    auto opened = open_resolver_sockets();
    names_.follow();
    return opened;
}

void Netsvc::set_resolvers(const HostResolvers& resolvers) {
    resolvers_ = resolvers;
    pushes_.upstreams_changed();
    push();
}

void Netsvc::set_guests(const Uuid& network, const std::vector<dhcp::DnsGuest>& guests) {
    auto& all = guests_[network];
    for (const dhcp::DnsGuest& guest : guests) {
        std::erase_if(all, [&](const dhcp::DnsGuest& one) { return one.mac == guest.mac; });
        if (!guest.name.empty()) {
            all.push_back(guest);
        } else {
            revoke(network, guest.mac);  // a lease ends with its NIC
        }
    }
    const auto entry = entries_.find(network);
    if (entry == entries_.end()) {
        return;
    }
    entry->second.spec.dns.guests = all;
    if (phase_ == Phase::ready) {
        send_message(wire::Guests{network, guests});
    }
    names_.network_up(entry->second.spec);
}

void Netsvc::revoke(const Uuid& network, const MacAddr& port) {
    if (phase_ == Phase::ready) {
        send_message(wire::RevokeLease{network, port});
    }
}

// What says an entry; nothing, and why is logged, when it fits no message.
std::vector<Netsvc::Packet> Netsvc::packets_of(const Entry& entry) const {
    auto datagrams =
        wire::encode_network({.spec = entry.spec, .sockets = entry.sent ? wire::SocketLayout{} : entry.layout});
    if (!datagrams) {
        log::error("network {}: {}", entry.spec.network, datagrams.error().message);
        return {};
    }
    std::vector<Packet> out;
    for (Bytes& datagram : *datagrams) {
        out.push_back({std::move(datagram), {}});
    }
    if (!entry.sent) {
        std::ranges::transform(entry.fds, std::back_inserter(out.front().fds), &UniqueFd::duplicate);
    }
    return out;
}

// Begin, the networks, the resolvers, commit: all of it, or what changed.
void Netsvc::push() {
    if (phase_ != Phase::ready) {
        return;  // what there is to serve is pushed when it is
    }
    dhcp::Pushes::Push what = pushes_.next();
    std::vector<Packet> networks;
    const auto say = [&](const Uuid& uuid, Entry& entry) {
        auto packets = packets_of(entry);
        if (packets.empty()) {
            what.begin.gone.push_back(uuid);
        } else if (!std::exchange(entry.sent, true)) {
            entry.news_from = what.begin.generation;
        }
        std::ranges::move(packets, std::back_inserter(networks));
    };
    if (!what.networks) {
        for (auto& [uuid, entry] : entries_) {
            say(uuid, entry);
        }
    } else {
        for (const Uuid& uuid : *what.networks) {
            if (const auto entry = entries_.find(uuid); entry != entries_.end()) {
                say(uuid, entry->second);
            }
        }
    }
    if (!what.begin.changes_from) {
        what.begin.gone.clear();  // whoever is not named ends
    }
    send_message(what.begin);
    for (Packet& packet : networks) {
        outgoing_.push_back(std::move(packet));
    }
    if (what.upstreams) {
        push_upstreams();
    }
    send_message(wire::Commit{what.begin.generation});
}

void Netsvc::push_upstreams() {
    wire::Upstreams upstreams{.servers = {}, .sockets = {}, .search = resolvers_.search};
    for (const Ip& server : resolvers_.servers) {
        upstreams.servers.push_back({.address = server});
    }
    if (!resolvers_sent_) {
        upstreams.sockets = resolver_sockets_;
    }
    send_message(upstreams, resolvers_sent_ ? nullptr : &resolver_fds_);
    resolvers_sent_ = true;
}

void Netsvc::send_message(const wire::ToService& message, const std::vector<UniqueFd>* fds) {
    auto bytes = wire::encode(message);
    if (!bytes) {
        log::error("bascule-netsvc: {}", bytes.error().message);
        return;
    }
    send(std::move(*bytes), fds);
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
    backed_up_ = false;
    watch_ = host_.loop.watch(channel_.get(), true, false, [this](kernel::Ready) { readable(); });
    return {};
}

// The service has none of our sockets.
void Netsvc::nothing_is_sent() {
    for (auto& [uuid, entry] : entries_) {
        entry.sent = false;
    }
    resolvers_sent_ = false;
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
    drops_.clear();
    nothing_is_sent();
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
            if (std::exchange(backed_up_, true)) {
                return;
            }
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
    if (std::exchange(backed_up_, false)) {
        watch_ = host_.loop.watch(channel_.get(), true, false, [this](kernel::Ready) { readable(); });
    }
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
        pushes_.attached(hello->generation);
        listening_ = hello->listening;
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
            entry->second.wanted = layout_of(entry->second.spec);
            entry->second.fds = std::move(fds);
            entry->second.sent = true;
        }
    } else if (const auto* const upstreams = std::get_if<wire::HeldUpstreams>(&message)) {
        if (resolver_fds_.empty() && !fds.empty()) {
            resolver_fds_ = std::move(fds);
            resolver_sockets_ = upstreams->sockets;
            resolvers_sent_ = true;
        }
    } else if (const auto* const leases = std::get_if<wire::Leases>(&message)) {
        handle_leases(*leases);
    } else if (const auto* const learned = std::get_if<wire::Learned>(&message)) {
        callbacks_.learned(*learned);
    } else if (const auto* const synced = std::get_if<wire::Synced>(&message)) {
        handle_synced(*synced);
    }
}

void Netsvc::watch(const dhcp::WatchedPort& port) {
    if (phase_ != Phase::ready) {
        return;
    }
    hand_copies();
    if (auto bytes = wire::encode(wire::Watch{port})) {
        send(std::move(*bytes));
    }
}

void Netsvc::unwatch(std::uint32_t port, bool only_seen) {
    if (phase_ == Phase::ready) {
        if (auto bytes = wire::encode(wire::Unwatch{port, only_seen})) {
            send(std::move(*bytes));
        }
    }
}

// A host without filters that learn needs no group of its own, so the socket is opened when the first port needs it.
// The group may still belong to a service that is just dying.
void Netsvc::hand_copies() {
    if (listening_ || copies_retry_) {
        return;
    }
    auto socket = os::open_log_socket(nwfilter::kCopyGroup);
    if (!socket) {
        log::error("ports cannot learn addresses: {}", socket.error().message);
        copies_retry_ = host_.loop.at(host_.loop.clock().now() + kRest, [this] {
            copies_retry_.reset();
            if (phase_ == Phase::ready) {
                hand_copies();
            }
        });
        return;
    }
    std::vector<UniqueFd> fds;
    fds.push_back(std::move(*socket));
    if (auto bytes = wire::encode(wire::Listen{})) {
        send(std::move(*bytes), &fds);
        listening_ = true;
    }
}

void Netsvc::handle_synced(const wire::Synced& synced) {
    for (const wire::Trouble& trouble : synced.troubles) {
        const auto entry = entries_.find(trouble.network);
        log::error("network {}: {}", entry == entries_.end() ? format(trouble.network) : entry->second.spec.network,
                   trouble.what);
    }
    const bool wants_all = pushes_.heard(synced);
    if (phase_ == Phase::ready) {
        heard_ = synced.generation;
        if (wants_all) {
            log::warning("bascule-netsvc asks for everything that is to be served");
            nothing_is_sent();  // what came with the push that it refused is lost
            push();
        } else if (knows_all()) {
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
    callbacks_.attached();
}

}  // namespace bascule::daemon
