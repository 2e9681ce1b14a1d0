// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/netsvc/names.h"

#include <algorithm>

#include "base/log.h"
#include "dhcp/netsvc/random.h"

namespace bascule::netsvc {

namespace wire = dhcp::wire;

namespace {

constexpr std::uint32_t kEthernetMtu = 1500;
// Datagrams of one socket that are looked at in a turn of the loop, in batches: a flood is drained, and others still
// get their turn.
constexpr int kBatchesPerTurn = 8;

}  // namespace

Names::Names(Poller& poller, State& state, Inbox& inbox, Outbox& outbox, UniqueFd opener)
    : poller_(poller),
      state_(state),
      inbox_(inbox),
      outbox_(outbox),
      files_(std::move(opener)),
      forwarder_(unguessable_bits),
      upstream_streams_(poller, state.streams),
      streams_(poller, files_),
      tftp_(files_, [this](const TftpServer::Place& to, const Bytes& bytes) {
          if (Served* const served = network(to.network);
              served != nullptr && to.index < served->sockets().tftp.size()) {
              outbox_.add(served->sockets().tftp[to.index].transfers.get(), {to.address, to.port}, bytes);
          }
      }) {
    streams_.set_callbacks({.welcome =
                                [this](const Uuid& uuid, const Endpoint& from) {
                                    Served* const served = network(uuid);
                                    const bool here = served != nullptr && served->is_on_link(from.address);
                                    if (served != nullptr && !here) {
                                        served->dropped(Drop::off_link);
                                    }
                                    return here;
                                },
                            .query = [this](const Streams::Query& query) { answer_stream(query, now_); },
                            .malformed =
                                [this](const Source& source) {
                                    if (Served* const served = network(source.network)) {
                                        served->dropped(source.kind == Source::Kind::http ? Drop::malformed_http
                                                                                          : Drop::malformed_dns);
                                    }
                                },
                            .root =
                                [this](const Uuid& uuid) {
                                    Served* const served = network(uuid);
                                    return served == nullptr ? -1 : served->sockets().root.get();
                                }});
    if (files_.fd() >= 0) {
        if (auto watched = poller_.watch(files_.fd(), {Source::Kind::files}); !watched) {
            log::error("the process that opens files: {}", watched.error().message);
        }
    }
}

Served* Names::network(const Uuid& uuid) {
    const auto found = state_.networks.find(uuid);
    return found == state_.networks.end() ? nullptr : &found->second;
}

// ---- what is served

void Names::configure(const Uuid& uuid) {
    if (Served* const served = network(uuid)) {
        forwarder_.configure(uuid, served->server().spec().dns);
    }
}

void Names::watch_sockets(const Uuid& uuid) {
    Served* const served = network(uuid);
    if (served == nullptr) {
        return;
    }
    const auto watch = [&](const UniqueFd& fd, Source::Kind kind, std::size_t index) {
        if (auto watched = poller_.watch(fd.get(), {kind, uuid, index}); !watched) {
            log::error("{}: {}", served->server().spec().network, watched.error().message);
        }
    };
    const auto guard = [&](const UniqueFd& fd) { gates_.insert_or_assign(fd.get(), Gate(fd.get())); };
    const Sockets& sockets = served->sockets();
    for (std::size_t i = 0; i < sockets.dns.size(); ++i) {
        watch(sockets.dns[i].second, Source::Kind::dns, i);
        guard(sockets.dns[i].second);
    }
    for (std::size_t i = 0; i < sockets.dns_tcp.size(); ++i) {
        watch(sockets.dns_tcp[i].second, Source::Kind::dns_tcp, i);
    }
    for (std::size_t i = 0; i < sockets.http.size(); ++i) {
        watch(sockets.http[i].second, Source::Kind::http, i);
    }
    for (std::size_t i = 0; i < sockets.tftp.size(); ++i) {
        watch(sockets.tftp[i].requests, Source::Kind::tftp, i);
        guard(sockets.tftp[i].requests);
        watch(sockets.tftp[i].transfers, Source::Kind::transfer, i);
    }
}

void Names::forget(const Uuid& uuid, bool gone) {
    streams_.forget(uuid);
    tftp_.forget(uuid);
    if (const Served* const served = network(uuid)) {
        for (const int fd : served->sockets().fds()) {  // still those that it had
            gates_.erase(fd);
        }
    }
    if (gone) {
        forwarder_.forget(uuid);
        memo_.clear();  // it may come again, and count its changes from the beginning
    }
}

void Names::replace_upstreams(const wire::Upstreams& upstreams, std::vector<UniqueFd> fds) {
    if (!fds.empty()) {
        for (const UniqueFd& fd : state_.upstreams) {
            poller_.unwatch(fd.get());
        }
        upstream_streams_.drop_all();
        const auto udp = std::size_t{upstreams.sockets.v4_sockets} + upstreams.sockets.v6_sockets;
        const auto first_stream = fds.begin() + static_cast<std::ptrdiff_t>(udp);
        state_.streams.assign(std::make_move_iterator(first_stream), std::make_move_iterator(fds.end()));
        fds.resize(udp);
        state_.upstreams = std::move(fds);
        state_.v4_upstreams = upstreams.sockets.v4_sockets;
        state_.v4_streams = upstreams.sockets.v4_streams;
        upstream_streams_.begin(state_.v4_streams);
        for (std::size_t i = 0; i < state_.upstreams.size(); ++i) {
            if (auto watched = poller_.watch(state_.upstreams[i].get(), {Source::Kind::upstream, {}, i}); !watched) {
                log::error("upstream socket: {}", watched.error().message);
            }
        }
    }
    forwarder_.configure(upstreams.servers, state_.v4_upstreams, state_.upstreams.size() - state_.v4_upstreams,
                         upstreams.search);
}

// ---- what comes in

void Names::hear(const Source& source, int fd, bool readable, bool writable, const dhcp::Now& now) {
    now_ = now;
    switch (source.kind) {
        case Source::Kind::dns: return answer_datagrams(source, now);
        case Source::Kind::dns_tcp:
        case Source::Kind::http: return streams_.accept(fd, source, now);
        case Source::Kind::client: return streams_.ready(source.index, readable, writable, now);
        case Source::Kind::tftp:
        case Source::Kind::transfer: return hear_transfers(source, now);
        case Source::Kind::upstream: return hear_upstream(source, now);
        case Source::Kind::files: return files_.hear(now);
        case Source::Kind::upstream_stream:
            if (const auto end = upstream_streams_.ready(source.index, writable)) {
                carry_out(end->reply.empty()
                              ? forwarder_.stream_failed(end->id, now.time)
                              : forwarder_.reply(dhcp::Forwarder::kStream, end->from, end->reply, now.time),
                          now);
            }
            return;
        case Source::Kind::listener:
        case Source::Kind::daemon:
        case Source::Kind::dhcp:
        case Source::Kind::frames6:
        case Source::Kind::arp:
        case Source::Kind::copies: return;
    }
}

void Names::answer_datagrams(const Source& source, const dhcp::Now& now) {
    Served* const served = network(source.network);
    if (served == nullptr || source.index >= served->sockets().dns.size()) {
        return;
    }
    const int socket = served->sockets().dns[source.index].second.get();
    Gate& gate = gates_.at(socket);
    const bool full = gate.is_full(now.time);
    served->dropped(Drop::full_queue, gate.take_lost());
    for (int batch = 0; batch < kBatchesPerTurn; ++batch) {
        const auto all = inbox_.receive(socket);
        for (const Incoming& in : all) {
            if (full) {
                gate.count(in.from.address);
            }
            const bool here = served->is_on_link(in.from.address);
            if (!here || (!served->takes_query(in.from.address, now.time) && full)) {
                served->dropped(here ? Drop::dns_rate : Drop::off_link);
                continue;
            }
            answer_datagram(source, *served, socket, in, now);
        }
        if (all.size() < Inbox::kBatch) {
            break;
        }
        outbox_.flush();
    }
    settle_gate(socket, source, now.time);
}

void Names::answer_datagram(const Source& source, Served& served, int socket, const Incoming& in,
                            const dhcp::Now& now) {
    const bool ours = served.is_own_address(in.from.address);  // what the host asks is answered in other ways
    const auto version = served.answers_version();
    if (const ByteView known = ours ? ByteView() : memo_.find(in.bytes, version); !known.empty()) {
        return outbox_.add(socket, in.from, known);
    }
    auto reaction = dhcp::react(in.bytes, served.zone(), served.leased(), ours);
    const bool malformed = dhcp::to_malformed(reaction);
    if (malformed) {
        served.dropped(Drop::malformed_dns);
    }
    if (const auto* reply = std::get_if<Bytes>(&reaction); reply != nullptr && !reply->empty()) {
        outbox_.add(socket, in.from, *reply);
        if (!ours && !malformed) {
            memo_.keep(in.bytes, *reply, version);
        }
    } else if (const auto* forward = std::get_if<dhcp::Forward>(&reaction)) {
        const dhcp::Forwarder::Client client{.network = source.network,
                                             .socket = static_cast<std::uint16_t>(source.index),
                                             .address = in.from.address,
                                             .port = in.from.port,
                                             .ours = ours};
        carry_out(forwarder_.ask(client, forward->query, now.time), now);
    }
}

void Names::settle_gate(int socket, const Source& source, dhcp::Time now) {
    const std::size_t barred = gates_.at(socket).settle(now);
    if (barred == 0) {
        return;
    }
    busy_gates_.insert(socket);
    if (flood_log_.take(0.1, 3, now)) {
        const Served* const served = network(source.network);
        log::warning("{}: {} guest(s) flood {} and are not heard for a while", served->server().spec().network, barred,
                     source.kind == Source::Kind::dns ? "DNS" : "TFTP");
    }
}

void Names::answer_stream(const Streams::Query& query, const dhcp::Now& now) {
    Served* const served = network(query.network);
    if (served == nullptr) {
        return streams_.forget_query(query.stream);
    }
    const bool ours = served->is_own_address(query.from.address);
    auto reaction = dhcp::react(query.bytes, served->zone(), served->leased(), ours, true);
    if (dhcp::to_malformed(reaction)) {
        served->dropped(Drop::malformed_dns);
    }
    if (const auto* reply = std::get_if<Bytes>(&reaction); reply != nullptr && !reply->empty()) {
        streams_.reply(query.stream, *reply, now);
    } else if (const auto* forward = std::get_if<dhcp::Forward>(&reaction)) {
        const dhcp::Forwarder::Client client{.network = query.network,
                                             .socket = static_cast<std::uint16_t>(query.socket),
                                             .address = query.from.address,
                                             .port = query.from.port,
                                             .stream = query.stream,
                                             .ours = ours};
        carry_out(forwarder_.ask(client, forward->query, now.time), now);
    } else {
        streams_.forget_query(query.stream);
    }
}

void Names::hear_upstream(const Source& source, const dhcp::Now& now) {
    if (source.index >= state_.upstreams.size()) {
        return;
    }
    for (const Incoming& in : inbox_.receive(state_.upstreams[source.index].get())) {
        carry_out(forwarder_.reply(source.index, {in.from.address, in.from.port}, in.bytes, now.time), now);
    }
}

void Names::hear_transfers(const Source& source, const dhcp::Now& now) {
    Served* const served = network(source.network);
    if (served == nullptr || source.index >= served->sockets().tftp.size()) {
        return;
    }
    const auto& sockets = served->sockets().tftp[source.index];
    const bool requests = source.kind == Source::Kind::tftp;
    const int socket = (requests ? sockets.requests : sockets.transfers).get();
    Gate* const gate = requests ? &gates_.at(socket) : nullptr;
    const bool full = requests && gate->is_full(now.time);
    if (requests) {
        served->dropped(Drop::full_queue, gate->take_lost());
    }
    for (const Incoming& in : inbox_.receive(socket)) {
        const TftpServer::Place place{source.network, source.index, in.from.address, in.from.port};
        if (full) {
            gate->count(in.from.address);
        }
        if (!served->is_on_link(in.from.address)) {
            served->dropped(Drop::off_link);
            continue;
        }
        const auto why = requests ? tftp_.request(place, in.bytes, served->sockets().root.get(),
                                                  served->server().spec().mtu.value_or(kEthernetMtu), now.time)
                                  : tftp_.receive(place, in.bytes, now.time);
        if (why) {
            served->dropped(*why);
        }
    }
    if (requests) {
        settle_gate(socket, source, now.time);
    }
}

// ---- what goes out

void Names::carry_out(dhcp::Forwarder::Step step, const dhcp::Now& now) {
    // A query that cannot even be sent leads to the next step at once.
    for (std::size_t i = 0; i < step.send.size(); ++i) {
        const dhcp::Forwarder::Transmit send = step.send[i];
        if (send.socket != dhcp::Forwarder::kStream) {
            if (send.socket < state_.upstreams.size()) {
                outbox_.add(state_.upstreams[send.socket].get(), {send.to.address, send.to.port}, send.datagram);
            }
        } else if (!upstream_streams_.start(send.to, send.datagram, now.time)) {
            auto more = forwarder_.stream_failed(dhcp::decode_header(send.datagram)->id, now.time);
            std::ranges::move(more.send, std::back_inserter(step.send));
            std::ranges::move(more.deliver, std::back_inserter(step.deliver));
        }
    }
    for (auto& one : step.deliver) {
        deliver(std::move(one), now);
    }
    if (const auto loop = forwarder_.take_loop(); loop && loop_log_.take(0.1, 1, now.time)) {
        log::warning("the name server {} port {} asks us what we ask it: a loop; such questions are refused",
                     format(loop->address), loop->port);
    }
}

void Names::deliver(dhcp::Forwarder::Deliver one, const dhcp::Now& now) {
    if (one.to.stream != 0) {
        return streams_.reply(one.to.stream, one.datagram, now);
    }
    Served* const served = network(one.to.network);
    if (served != nullptr && one.to.socket < served->sockets().dns.size()) {
        outbox_.add(served->sockets().dns[one.to.socket].second.get(), {one.to.address, one.to.port},
                    std::move(one.datagram));
    }
}

void Names::tick(const dhcp::Now& now) {
    now_ = now;
    carry_out(forwarder_.tick(now.time), now);
    files_.tick(now);
    streams_.tick(now);
    tftp_.tick(now.time);
    std::erase_if(busy_gates_, [&](int socket) {
        const auto found = gates_.find(socket);
        if (found != gates_.end()) {
            found->second.tick(now.time);
        }
        return found == gates_.end() || found->second.next_tick() == dhcp::kEndOfTime;
    });
}

dhcp::Time Names::next_tick() const {
    dhcp::Time gate = dhcp::kEndOfTime;
    for (const int socket : busy_gates_) {
        const auto found = gates_.find(socket);
        gate = found == gates_.end() ? gate : std::min(gate, found->second.next_tick());
    }
    return std::min({gate, forwarder_.next_tick(), files_.next_tick(), streams_.next_tick(), tftp_.next_tick()});
}

}  // namespace bascule::netsvc
