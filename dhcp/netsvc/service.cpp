// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/netsvc/service.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <set>

#include <fmt/format.h>

#include "base/log.h"
#include "dhcp/push.h"

namespace bascule::netsvc {

namespace wire = dhcp::wire;

namespace {

constexpr std::size_t kMostNetworks = 4096;
constexpr int kEvents = 64;
constexpr int kLongestWait = 60'000;  // milliseconds: a jump of the wall clock is seen by then
constexpr std::chrono::seconds kClockJump{5};

std::chrono::nanoseconds read_clock(clockid_t clock) {
    timespec t{};
    ::clock_gettime(clock, &t);
    return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
}

}  // namespace

Service::Service(UniqueFd listener, int folder, UniqueFd opener)
    : listener_(std::move(listener)), folder_(folder), names_(poller_, state_, inbox_, outbox_, std::move(opener)) {}

Result<std::unique_ptr<Service>> Service::make(UniqueFd listener, int folder, UniqueFd daemon, UniqueFd opener) {
    std::unique_ptr<Service> service(new Service(std::move(listener), folder, std::move(opener)));
    if (!service->poller_.works()) {
        return fail_errno("cannot make an epoll descriptor");
    }
    TRY_OK(service->poller_.watch(service->listener_.get(), {Source::Kind::listener}));
    if (daemon) {
        service->adopt_daemon(std::move(daemon));
    }
    return service;
}

dhcp::Now Service::now() {
    const auto steady = read_clock(CLOCK_BOOTTIME);
    const auto wall = read_clock(CLOCK_REALTIME);
    const dhcp::Now now{dhcp::Time(steady), std::chrono::sys_seconds(std::chrono::floor<std::chrono::seconds>(wall))};
    const auto offset = wall - steady;
    if (clock_offset_ && std::chrono::abs(offset - *clock_offset_) > kClockJump) {
        log::info("the clock was set; writing the lease files afresh with their new end times");
        for (auto& [uuid, served] : state_.networks) {
            served.tidy(now, true);
        }
        if (daemon_) {
            daemon_->start_dump();
        }
        clock_offset_ = offset;
    } else if (!clock_offset_) {
        clock_offset_ = offset;
    }
    return now;
}

Result<void> Service::run() {
    finish_turn(now());  // the daemon that started us is waiting to be greeted
    for (;;) {
        TRY_OK(turn(kLongestWait));
    }
}

int Service::wait_for(int most_milliseconds) const {
    dhcp::Time next = std::min(names_.next_tick(), state_.learner.next_tick());
    next = std::min({next, due_, gathered_});
    if (next == dhcp::kEndOfTime) {
        return most_milliseconds;
    }
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(next.time_since_epoch() - read_clock(CLOCK_BOOTTIME));
    return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, most_milliseconds));
}

Result<void> Service::turn(int most_milliseconds) {
    std::array<epoll_event, kEvents> events{};
    const int count = ::epoll_wait(poller_.fd(), events.data(), kEvents, wait_for(most_milliseconds));
    if (count < 0 && errno != EINTR) {
        return fail_errno("cannot wait for events");
    }
    const dhcp::Now now = this->now();
    bool talk = false;
    for (int i = 0; i < count; ++i) {
        const epoll_event& event = events[static_cast<std::size_t>(i)];
        const auto source = poller_.find(event.data.fd);
        if (!source) {
            continue;
        }
        // The daemon's messages may close descriptors that this turn has events of: they come last.
        if (source->kind == Source::Kind::daemon || source->kind == Source::Kind::listener) {
            talk = true;
        } else if (source->kind == Source::Kind::dhcp) {
            if (const auto served = state_.networks.find(source->network); served != state_.networks.end()) {
                served->second.receive_dhcp(inbox_, now);
                heard_.push_back(&served->second);
            }
        } else if (source->kind == Source::Kind::frames6 || source->kind == Source::Kind::arp) {
            if (const auto served = state_.networks.find(source->network); served != state_.networks.end()) {
                source->kind == Source::Kind::arp ? served->second.receive_arp(inbox_, now)
                                                  : served->second.receive_frames6(inbox_, now);
                heard_.push_back(&served->second);
            }
        } else if (source->kind == Source::Kind::copies) {
            state_.copies.receive(state_.learner, now.time);
        } else {
            if (const auto served = state_.networks.find(source->network); served != state_.networks.end()) {
                heard_.push_back(&served->second);  // what it dropped is to be told
            }
            const bool broken = (event.events & (EPOLLERR | EPOLLHUP)) != 0;
            names_.hear(*source, event.data.fd, broken || (event.events & EPOLLIN) != 0, (event.events & EPOLLOUT) != 0,
                        now);
        }
    }
    finish_turn(now);
    if (talk) {
        for (int i = 0; i < count; ++i) {
            const auto source = poller_.find(events[static_cast<std::size_t>(i)].data.fd);
            if (source && source->kind == Source::Kind::daemon) {
                hear_daemon(now);
            } else if (source && source->kind == Source::Kind::listener) {
                accept_daemon();
            }
        }
        finish_turn(now);  // of those that the daemon changed
    }
    return {};
}

void Service::finish(Served& served, const dhcp::Now& now) {
    served.tick(now);
    const Uuid& uuid = served.server().spec().uuid;
    if (served.trouble().empty()) {
        state_.troubled.erase(uuid);
    } else {
        state_.troubled.insert(uuid);
    }
    if (const auto until = served.may_gather_until(now.time)) {
        gathering_.insert(uuid);
        gathered_ = std::min(gathered_, *until);
        return;
    }
    Served::Committed done = served.commit(now);
    if (daemon_ && done.recovered) {
        daemon_->start_dump();
    }
    if (daemon_ && !done.events.empty()) {
        talk_to_daemon(daemon_->tell(std::move(done.events)));
    }
    if (served.drops_are_news(now.time) && daemon_) {
        daemon_->owe_drops(served.server().spec().uuid);
    }
    served.send_replies(outbox_);
}

// Disk, daemon, clients: in this order.
void Service::finish_turn(const dhcp::Now& now) {
    if (due_ <= now.time) {
        heard_.clear();
        due_ = dhcp::kEndOfTime;
        for (auto& [uuid, served] : state_.networks) {
            heard_.push_back(&served);
        }
    }
    if (gathered_ <= now.time) {
        gathered_ = dhcp::kEndOfTime;
        for (const Uuid& uuid : std::exchange(gathering_, {})) {
            if (const auto served = state_.networks.find(uuid); served != state_.networks.end()) {
                heard_.push_back(&served->second);
            }
        }
    }
    for (Served* const served : heard_) {
        finish(*served, now);
    }
    names_.tick(now);
    outbox_.flush();
    for (Served* const served : heard_) {
        served->tidy(now);
        due_ = std::min(due_, served->next_tick());
    }
    heard_.clear();
    state_.learner.tick(now.time);
    if (const auto changed = state_.learner.take_changed(); daemon_) {
        daemon_->owe_learned(changed);
        talk_to_daemon(daemon_->pump(state_, now));
    }
}

// What is about learning addresses; false: the message is not.
bool Service::take_watch(DaemonLink::Received& received, const dhcp::Now& now) {
    if (std::holds_alternative<wire::Listen>(received.message)) {
        if (state_.copies.open()) {
            poller_.unwatch(state_.copies.fd());
        }
        state_.copies.open(std::move(received.fds.front()));
        if (auto watched = poller_.watch(state_.copies.fd(), {Source::Kind::copies}); !watched) {
            log::error("copies of frames: {}", watched.error().message);
        }
    } else if (auto* watch = std::get_if<wire::Watch>(&received.message)) {
        state_.learner.watch(std::move(watch->port));
        state_.learner.tick(now.time);
    } else if (const auto* unwatch = std::get_if<wire::Unwatch>(&received.message)) {
        unwatch->only_seen ? state_.learner.forget_seen(unwatch->port) : state_.learner.unwatch(unwatch->port);
    } else {
        return false;
    }
    return true;
}

// ---- the daemon

void Service::accept_daemon() {
    UniqueFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) {
        return;
    }
    // The socket's folder is the daemon's alone; this is the second lock on the same door.
    ucred peer{};
    socklen_t length = sizeof peer;
    if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0 ||
        (peer.uid != 0 && peer.uid != ::geteuid())) {
        log::warning("a connection of user {} was refused: only the daemon may connect", peer.uid);
        return;
    }
    log::info("a daemon connected, process {}", peer.pid);
    adopt_daemon(std::move(socket));
}

void Service::adopt_daemon(UniqueFd socket) {
    if (daemon_) {
        poller_.unwatch(daemon_->fd());
    }
    staged_.reset();
    daemon_wants_write_ = false;
    daemon_ = std::make_unique<DaemonLink>(std::move(socket));
    if (auto watched = poller_.watch(daemon_->fd(), {Source::Kind::daemon}); !watched) {
        lose_daemon(watched.error());
    }
}

void Service::lose_daemon(const Error& why) {
    log::info("no daemon: {}; serving on", why.message);
    poller_.unwatch(daemon_->fd());
    daemon_.reset();
    staged_.reset();
}

void Service::talk_to_daemon(const Result<bool>& sent) {
    if (!sent) {
        return lose_daemon(sent.error());
    }
    if (!daemon_ || daemon_wants_write_ == !*sent) {
        return;
    }
    daemon_wants_write_ = !*sent;
    poller_.change(daemon_->fd(), true, daemon_wants_write_);
}

void Service::hear_daemon(const dhcp::Now& now) {
    while (daemon_) {
        auto received = daemon_->receive();
        if (!received) {
            return lose_daemon(received.error());
        }
        if (!*received) {
            return;
        }
        if (auto taken = take(std::move(**received), now); !taken) {
            return lose_daemon(taken.error());
        }
    }
}

Result<void> Service::take(DaemonLink::Received received, const dhcp::Now& now) {
    if (auto* begin = std::get_if<wire::Begin>(&received.message)) {
        staged_.emplace();
        staged_->begin = std::move(*begin);
        return {};
    }
    if (const auto* revoke = std::get_if<wire::RevokeLease>(&received.message)) {
        if (const auto served = state_.networks.find(revoke->network); served != state_.networks.end()) {
            served->second.revoke(revoke->port);
            heard_.push_back(&served->second);
        }
        return {};
    }
    if (const auto* guests = std::get_if<wire::Guests>(&received.message)) {
        if (const auto served = state_.networks.find(guests->network); served != state_.networks.end()) {
            for (const dhcp::DnsGuest& guest : guests->guests) {
                served->second.set_guest(guest);
            }
            heard_.push_back(&served->second);
        }
        return {};
    }
    if (take_watch(received, now)) {
        return {};
    }
    if (!staged_) {
        return fail(Code::malformed, "the daemon pushes without a Begin");
    }
    if (auto* network = std::get_if<wire::Network>(&received.message)) {
        if (staged_->networks.size() == kMostNetworks) {
            return fail(Code::malformed, "the daemon pushes too many networks");
        }
        staged_->networks.emplace_back(std::move(*network), std::move(received.fds));
    } else if (auto* part = std::get_if<wire::NetworkPart>(&received.message)) {
        return take_part(std::move(*part));
    } else if (auto* upstreams = std::get_if<wire::Upstreams>(&received.message)) {
        staged_->upstreams.emplace(std::move(*upstreams), std::move(received.fds));
    } else if (const auto* commit = std::get_if<wire::Commit>(&received.message)) {
        if (commit->generation != staged_->begin.generation) {
            return fail(Code::malformed, "the daemon commits another push than it began");
        }
        commit_push(now);
    }
    return {};
}

Result<void> Service::take_part(wire::NetworkPart part) {
    // That of the message before, as a rule.
    const auto found = std::ranges::find(staged_->networks.rbegin(), staged_->networks.rend(), part.network,
                                         [](const auto& staged) -> const Uuid& { return staged.first.spec.uuid; });
    if (found == staged_->networks.rend() || (!part.hosts.empty() && part.subnet >= found->first.spec.subnets.size())) {
        return fail(Code::malformed, "the daemon pushes a part of nothing");
    }
    dhcp::Spec& spec = found->first.spec;
    if (!part.hosts.empty()) {
        auto& hosts = spec.subnets[part.subnet].hosts;
        hosts.insert(hosts.end(), part.hosts.begin(), part.hosts.end());
    }
    const auto append = [](auto& to, const auto& more) { to.insert(to.end(), more.begin(), more.end()); };
    append(spec.dns_hosts, part.dns_hosts);
    append(spec.dns.texts, part.dns.texts);
    append(spec.dns.services, part.dns.services);
    append(spec.dns.aliases, part.dns.aliases);
    append(spec.dns.guests, part.dns.guests);
    return {};
}

void Service::commit_push(const dhcp::Now& now) {
    Staged push = std::move(*staged_);
    staged_.reset();
    std::set<Uuid> pushed;
    for (const auto& [network, fds] : push.networks) {
        pushed.insert(network.spec.uuid);
    }
    const auto gone = dhcp::ending(push.begin, pushed, state_.generation, state_.networks);
    state_.wants_all = !gone;
    daemon_->owe_synced();
    if (!gone) {
        log::warning("the daemon tells what changed since its push {}, but the last one here was {}: asking for all",
                     push.begin.changes_from.value_or(0), state_.generation);
        return;
    }
    for (const Uuid& uuid : *gone) {
        stop_serving(uuid, now);
    }
    std::vector<Uuid> with_leases;  // which they brought along from their files, and the daemon has not heard of
    for (auto& [network, fds] : push.networks) {
        const Uuid uuid = network.spec.uuid;
        if (serve(std::move(network), std::move(fds), now) && state_.networks.at(uuid).active_leases() > 0) {
            with_leases.push_back(uuid);
        }
    }
    if (!push.begin.changes_from && !with_leases.empty()) {
        daemon_->start_dump();
    } else {
        for (const Uuid& uuid : with_leases) {
            tell_leases(uuid, now);
        }
    }
    if (push.upstreams) {
        names_.replace_upstreams(push.upstreams->first, std::move(push.upstreams->second));
    }
    state_.generation = push.begin.generation;
}

void Service::tell_leases(const Uuid& network, const dhcp::Now& now) {
    const Served& served = state_.networks.at(network);
    std::vector<dhcp::LeaseEvent> events;
    for (const auto* const all : {&served.server().leases().all(), &served.leases6().all()}) {
        for (const auto& [address, lease] : *all) {
            if (lease.active) {
                events.push_back({dhcp::LeaseEventKind::added, dhcp::as_of(lease, now)});
            }
        }
    }
    if (daemon_) {  // talking to it may have been the end of it
        talk_to_daemon(daemon_->tell(std::move(events)));
    }
}

// Whether the network was not served before.
bool Service::serve(wire::Network network, std::vector<UniqueFd> fds, const dhcp::Now& now) {
    const Uuid uuid = network.spec.uuid;
    const std::string name = network.spec.network;
    auto found = state_.networks.find(uuid);
    const bool fresh = found == state_.networks.end();
    if (fresh) {
        found = state_.networks.try_emplace(uuid, std::move(network.spec), folder_).first;
    } else if (!(found->second.server().spec() == network.spec)) {
        found->second.configure(std::move(network.spec));
    }
    heard_.push_back(&found->second);
    names_.configure(uuid);
    found->second.open_leases(now);
    if (!fds.empty()) {
        replace_sockets(found->second, Sockets::take(network.sockets, fds));
    }
    if (fresh) {
        log::info("{}: serving on {}, {} leases", name, found->second.server().spec().bridge.str(),
                  found->second.active_leases());
    }
    return fresh;
}

void Service::stop_serving(const Uuid& network, const dhcp::Now& now) {
    const auto found = state_.networks.find(network);
    found->second.commit(now);  // the daemon asked for the end: it needs no word of these events
    log::info("{}: no longer served", found->second.server().spec().network);
    replace_sockets(found->second, {});
    names_.forget(network, true);
    std::erase(heard_, &found->second);
    state_.troubled.erase(network);
    state_.networks.erase(found);
}

void Service::replace_sockets(Served& served, Sockets sockets) {
    const Uuid& uuid = served.server().spec().uuid;
    for (const int fd : served.sockets().fds()) {
        poller_.unwatch(fd);
    }
    names_.forget(uuid, false);
    served.replace_sockets(std::move(sockets));
    for (const auto& [fd, kind] : {std::pair{&served.sockets().dhcp, Source::Kind::dhcp},
                                   std::pair{&served.sockets().frames6, Source::Kind::frames6},
                                   std::pair{&served.sockets().arp, Source::Kind::arp}}) {
        if (auto watched = *fd ? poller_.watch(fd->get(), {kind, uuid}) : Result<void>(); !watched) {
            log::error("{}: {}", served.server().spec().network, watched.error().message);
        }
    }
    names_.watch_sockets(uuid);
}

}  // namespace bascule::netsvc
