// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/forwarder.h"

#include <algorithm>

namespace bascule::dhcp {

namespace {

void put_u16(Bytes& bytes, std::size_t at, std::uint16_t value) {
    bytes[at] = static_cast<std::byte>(value >> 8);
    bytes[at + 1] = static_cast<std::byte>(value);
}

Bytes with_id(ByteView datagram, std::uint16_t id) {
    Bytes out(datagram.begin(), datagram.end());
    put_u16(out, 0, id);
    return out;
}

// These say something about the server, not about the name.
bool is_servers_fault(Rcode rcode) {
    return rcode == Rcode::serv_fail || rcode == Rcode::refused || rcode == Rcode::not_imp;
}

}  // namespace

void Forwarder::configure(std::vector<wire::Resolver> servers, std::size_t v4_sockets, std::size_t v6_sockets) {
    servers_ = std::move(servers);
    v4_sockets_ = v4_sockets;
    v6_sockets_ = v6_sockets;
    preferred_ = 0;
    // A server of a family that there is no socket for can never be asked.
    std::erase_if(servers_,
                  [&](const wire::Resolver& s) { return (s.address.is_v4() ? v4_sockets_ : v6_sockets_) == 0; });
}

bool Forwarder::room_for(const Client& client) const {
    const auto mine = per_client_.find({client.network, client.address});
    const auto ours = per_network_.find(client.network);
    return waiters_ < kMost && (mine == per_client_.end() || mine->second < kMostPerClient) &&
           (ours == per_network_.end() || ours->second < kMostPerNetwork);
}

void Forwarder::count(const Client& client, int by) {
    const auto change = [by](auto& map, const auto& key) {
        auto& value = map[key];
        value += static_cast<std::size_t>(by);
        if (value == 0) {
            map.erase(key);
        }
    };
    change(per_client_, std::pair(client.network, client.address));
    change(per_network_, client.network);
    waiters_ += static_cast<std::size_t>(by);
}

std::optional<Forwarder::Key> Forwarder::draw_key(const wire::Resolver& to) {
    const std::size_t first = to.address.is_v4() ? 0 : v4_sockets_;
    const std::size_t count = to.address.is_v4() ? v4_sockets_ : v6_sockets_;
    // With at most kMost of them in use, a handful of draws finds a free one.
    for (int draws = 0; count > 0 && draws < 64; ++draws) {
        const std::uint32_t random = random_();
        const Key key = (first + (random >> 16) % count) << 16 | (random & 0xffff);
        if (!queries_.contains(key)) {
            return key;
        }
    }
    return std::nullopt;
}

Forwarder::Step Forwarder::ask(const Client& client, const Query& query, ByteView datagram, Time now) {
    Step step;
    const bool bad_size = datagram.size() < 12 || (query.edns && query.edns->size_at + 2 > datagram.size());
    std::string identity(as_text(datagram.subspan(std::min<std::size_t>(2, datagram.size()))));
    const Waiter waiter{client, query.header.id};
    const auto same = identities_.find(identity);
    if (same != identities_.end()) {
        auto& waiters = queries_.at(same->second).waiters;
        const auto again = [&](const Waiter& w) { return w.client == client && w.id == waiter.id; };
        if (std::ranges::any_of(waiters, again)) {
            return step;  // asked again while we are still at it
        }
        if (room_for(client)) {
            waiters.push_back(waiter);
            count(client, 1);
            ++counters_.merged;
            return step;
        }
    }
    if (bad_size || servers_.empty() || !room_for(client)) {
        ++counters_.refused;
        step.deliver.push_back({client, encode_error(datagram, Rcode::refused)});
        return step;
    }
    Outstanding out;
    out.identity = std::move(identity);
    out.datagram.assign(datagram.begin(), datagram.end());
    if (query.edns) {
        put_u16(out.datagram, query.edns->size_at, std::min(query.edns->size, kUdpSize));
    }
    out.question = query.question;
    out.size_limit = query.size_limit();
    out.waiters.push_back(waiter);
    out.server = preferred_ % servers_.size();
    count(client, 1);
    ++counters_.forwarded;
    transmit(std::move(out), step, now);
    return step;
}

void Forwarder::transmit(Outstanding query, Step& step, Time now) {
    query.to = servers_[query.server];
    const auto key = draw_key(query.to);
    if (!key) {
        return fail(query, step);
    }
    ++query.tries;
    query.deadline = now + kTimeout;
    step.send.push_back({static_cast<std::size_t>(*key >> 16), query.to,
                         with_id(query.datagram, static_cast<std::uint16_t>(*key & 0xffff))});
    deadlines_.insert({query.deadline, *key});
    identities_[query.identity] = *key;
    queries_.emplace(*key, std::move(query));
}

Forwarder::Outstanding Forwarder::take(Queries::iterator found) {
    deadlines_.erase({found->second.deadline, found->first});
    identities_.erase(found->second.identity);
    Outstanding query = std::move(found->second);
    queries_.erase(found);
    return query;
}

void Forwarder::try_next(Outstanding query, Step& step, Time now) {
    if (query.tries >= kTries || servers_.empty()) {
        return fail(query, step);
    }
    query.server = (query.server + 1) % servers_.size();
    transmit(std::move(query), step, now);
}

void Forwarder::finish(const Outstanding& query, ByteView reply, Step& step) {
    const Bytes fitting =
        reply.size() > query.size_limit ? truncated(reply, query.question.size()) : Bytes(reply.begin(), reply.end());
    for (const Waiter& waiter : query.waiters) {
        step.deliver.push_back({waiter.client, with_id(fitting, waiter.id)});
        count(waiter.client, -1);
    }
}

void Forwarder::fail(const Outstanding& query, Step& step) {
    finish(query, encode_error(query.datagram, Rcode::serv_fail), step);
}

Forwarder::Step Forwarder::reply(std::size_t socket, const wire::Resolver& from, ByteView datagram, Time now) {
    Step step;
    const auto header = decode_header(datagram);
    const auto found = header ? queries_.find(Key{socket} << 16 | header->id) : queries_.end();
    if (found == queries_.end() || !header->response || !(found->second.to == from) ||
        !answers_question(datagram, found->second.question)) {
        ++counters_.unasked;
        return step;
    }
    Outstanding query = take(found);
    if (is_servers_fault(header->rcode) && query.tries < std::min<std::size_t>(kTries, servers_.size())) {
        try_next(std::move(query), step, now);
        return step;
    }
    preferred_ = query.server;
    ++counters_.answered;
    finish(query, datagram, step);
    return step;
}

Forwarder::Step Forwarder::tick(Time now) {
    Step step;
    while (!deadlines_.empty() && next_tick() <= now) {
        Outstanding query = take(queries_.find(deadlines_.begin()->second));
        ++counters_.timed_out;
        if (query.server == preferred_ && !servers_.empty()) {
            preferred_ = (preferred_ + 1) % servers_.size();
        }
        try_next(std::move(query), step, now);
    }
    return step;
}

void Forwarder::forget(const Uuid& network) {
    for (auto& [key, query] : queries_) {
        const auto gone = [&](const Waiter& w) { return w.client.network == network; };
        for (const Waiter& waiter : query.waiters) {
            if (gone(waiter)) {
                count(waiter.client, -1);
            }
        }
        std::erase_if(query.waiters, gone);
    }
}

}  // namespace bascule::dhcp
