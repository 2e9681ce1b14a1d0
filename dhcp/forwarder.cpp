// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/forwarder.h"

#include <algorithm>

namespace bascule::dhcp {

namespace {

constexpr std::uint16_t kRecursionDesired = 0x0100, kAuthentic = 0x0020, kCheckingDisabled = 0x0010;

// These say something about the server, not about the name.
bool is_servers_fault(const Reply& reply) {
    return reply.bad_version || reply.rcode == Rcode::serv_fail || reply.rcode == Rcode::refused ||
           reply.rcode == Rcode::not_imp || reply.rcode == Rcode::form_err;
}

bool dnssec_ok(const Query& query) { return query.edns && query.edns->dnssec_ok; }

// The question in lower case: what comes before the type.
Bytes plain_question(const Query& query) {
    ByteWriter out;
    out.text(query.name);
    out.u8(0);
    out.u16(query.type);
    out.u16(query.klass);
    return out.take();
}

std::string identity_of(const std::vector<wire::Resolver>& servers, const Query& query) {
    std::string out;
    out.reserve(19 * servers.size() + query.name.size() + 6);
    const auto u16 = [&out](unsigned value) {
        out += static_cast<char>(value >> 8);
        out += static_cast<char>(value);
    };
    for (const wire::Resolver& server : servers) {
        out += server.address.is_v4() ? '4' : '6';
        out += as_text(std::as_bytes(std::span(server.address.octets()).first(server.address.bits() / 8)));
        u16(server.port);
    }
    out += static_cast<char>((dnssec_ok(query) ? 1 : 0) | (query.header.checking_disabled ? 2 : 0));
    out += query.name;
    out += '\0';
    u16(query.type);
    u16(query.klass);
    return out;
}

}  // namespace

// ---- who is asked

bool Forwarder::usable(const wire::Resolver& server) const {
    return (server.address.is_v4() ? v4_sockets_ : v6_sockets_) > 0;
}

void Forwarder::configure(std::vector<wire::Resolver> servers, std::size_t v4_sockets, std::size_t v6_sockets,
                          const std::vector<std::string>& search) {
    v4_sockets_ = v4_sockets;
    v6_sockets_ = v6_sockets;
    // A server of a family that there is no socket for can never be asked.
    std::erase_if(servers, [this](const wire::Resolver& server) { return !usable(server); });
    if (servers != servers_) {
        preferred_.clear();
        manners_.clear();
        cache_.clear();  // other servers may know other things
    }
    servers_ = std::move(servers);
    search_.clear();
    for (const std::string& domain : search) {
        if (const DnsName name = dns_name(domain); !name.empty()) {
            search_.push_back(name);
        }
    }
}

void Forwarder::configure(const Uuid& network, const DnsSettings& settings) {
    Policy policy{.domains = {}, .everything = {}, .private_answers = settings.private_answers};
    std::map<DnsName, Servers> domains;
    for (const DnsForwarder& forwarder : settings.forwarders) {
        Servers& servers = forwarder.domain.empty() ? policy.everything : domains[dns_name(forwarder.domain)];
        if (forwarder.address) {
            servers.push_back({*forwarder.address, forwarder.port});
        }
    }
    policy.domains.assign(domains.begin(), domains.end());
    std::ranges::stable_sort(policy.domains, std::greater{}, [](const auto& one) { return label_count(one.first); });
    policies_.insert_or_assign(network, std::move(policy));
}

Forwarder::Route Forwarder::route_for(const Uuid& network, const DnsName& name) const {
    const auto found = policies_.find(network);
    const bool searched = std::ranges::any_of(search_, [&](const DnsName& domain) { return is_below(name, domain); });
    if (found == policies_.end()) {
        return {&servers_, false, searched};
    }
    const Policy& policy = found->second;
    for (const auto& [domain, servers] : policy.domains) {
        if (is_below(name, domain)) {
            return {servers.empty() ? &servers_ : &servers, true, true};
        }
    }
    return {policy.everything.empty() ? &servers_ : &policy.everything, false, policy.private_answers || searched};
}

// ---- how much

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

// ---- asking

Bytes Forwarder::refusal(const Query& query, Rcode rcode) {
    Reply none;
    none.rcode = rcode;
    none.question_size = query.question.size();
    none.message.resize(12 + none.question_size);
    return render(none, query, 0);
}

Forwarder::Step Forwarder::ask(const Client& client, const Query& query, Time now) {
    Step step;
    const Route route = route_for(client.network, query.name);
    std::string identity = identity_of(*route.servers, query);
    if (const auto hit = cache_.find(identity, now)) {
        ++counters_.cached;
        deliver(client, query, route.private_answers, *hit->reply, hit->age, step);
        return step;
    }
    Waiter waiter{client, query, route.private_answers};
    if (const auto same = identities_.find(identity); same != identities_.end()) {
        if (join(queries_.at(same->second), waiter, step)) {
            return step;
        }
    }
    if (std::ranges::none_of(*route.servers, [this](const auto& server) { return usable(server); }) ||
        !room_for(client)) {
        ++counters_.refused;
        step.deliver.push_back({client, refusal(query, Rcode::refused)});
        return step;
    }
    Outstanding out;
    out.identity = std::move(identity);
    out.name = query.name;
    out.question = plain_question(query);
    out.flags = static_cast<std::uint16_t>(kRecursionDesired | kAuthentic |
                                           (query.header.checking_disabled ? kCheckingDisabled : 0U));
    out.dnssec_ok = dnssec_ok(query);
    out.servers = *route.servers;
    out.waiters.push_back(std::move(waiter));
    out.server = preferred_.contains(out.servers) ? preferred_.at(out.servers) : 0;
    count(client, 1);
    ++counters_.forwarded;
    transmit(std::move(out), step, now);
    return step;
}

// True when that settles it.
bool Forwarder::join(Outstanding& query, const Waiter& waiter, Step& step) {
    const Client& client = waiter.client;
    if (client.ours || client.address == query.to.address) {
        ++counters_.loops;
        loop_ = query.to;
        step.deliver.push_back({client, refusal(waiter.query, Rcode::refused)});
        return true;
    }
    const auto again = [&](const Waiter& w) {
        return w.client == client && w.query.header.id == waiter.query.header.id;
    };
    if (std::ranges::any_of(query.waiters, again)) {
        return true;  // asked again while we are still at it
    }
    if (room_for(client)) {
        query.waiters.push_back(waiter);
        count(client, 1);
        ++counters_.merged;
        return true;
    }
    return false;
}

std::optional<Forwarder::Key> Forwarder::draw_key(const Outstanding& query) {
    const bool v4 = query.to.address.is_v4();
    const std::size_t first = query.stream ? kStream : v4 ? 0 : v4_sockets_;
    const std::size_t count = query.stream ? 1 : v4 ? v4_sockets_ : v6_sockets_;
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

Bytes Forwarder::compose(Outstanding& query, std::uint16_t id) {
    const auto found = manners_.find(query.to);
    const Manners manners = found == manners_.end() ? Manners() : found->second;
    std::uint32_t bits = 0;
    std::size_t letters = 0;
    for (std::size_t i = 0; i + 4 < query.question.size(); ++i) {
        auto c = static_cast<std::uint8_t>(query.question[i] | std::byte{0x20});
        if (c < 'a' || c > 'z' || std::to_integer<unsigned>(query.question[i]) < 'A') {
            continue;
        }
        bits = letters++ % 32 == 0 ? random_() : bits >> 1;
        query.question[i] = static_cast<std::byte>(manners.keeps_case && (bits & 1) != 0 ? c & 0xdfU : c);
    }
    ByteWriter out;
    out.u16(id);
    out.u16(query.flags);
    out.u16(1);
    out.u32(0);
    out.u16(manners.knows_edns ? 1 : 0);
    out.bytes(query.question);
    if (manners.knows_edns) {
        write_opt(out, {.size = kUdpSize, .version = 0, .dnssec_ok = query.dnssec_ok});
    }
    return out.take();
}

void Forwarder::transmit(Outstanding query, Step& step, Time now) {
    for (std::size_t i = 0; i < query.servers.size(); ++i) {
        query.server = query.server % query.servers.size();
        if (usable(query.servers[query.server])) {
            break;
        }
        ++query.server;
    }
    query.to = query.servers[query.server % query.servers.size()];
    const auto key = draw_key(query);
    if (!key) {
        return fail(query, step);
    }
    ++query.tries;
    query.deadline = now + (query.stream ? kStreamTimeout : kTimeout);
    step.send.push_back(
        {static_cast<std::size_t>(*key >> 16), query.to, compose(query, static_cast<std::uint16_t>(*key & 0xffff))});
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
    if (query.tries >= kTries) {
        return fail(query, step);
    }
    query.stream = false;
    ++query.server;
    transmit(std::move(query), step, now);
}

void Forwarder::try_stream(Outstanding query, Step& step, Time now) {
    if (query.tries > kTries) {
        return fail(query, step);
    }
    query.stream = true;
    ++counters_.by_stream;
    transmit(std::move(query), step, now);
}

// ---- answering

void Forwarder::deliver(const Client& client, const Query& query, bool private_answers, const Reply& reply,
                        std::uint32_t age, Step& step) {
    const bool rebinding = !private_answers && reply.is_private();
    counters_.rebinding += rebinding ? 1 : 0;
    step.deliver.push_back({client, rebinding ? refusal(query, Rcode::refused) : render(reply, query, age)});
}

void Forwarder::finish(const Outstanding& query, const Reply& reply, Step& step) {
    for (const Waiter& waiter : query.waiters) {
        deliver(waiter.client, waiter.query, waiter.private_answers, reply, 0, step);
        count(waiter.client, -1);
    }
}

void Forwarder::fail(const Outstanding& query, Step& step) {
    for (const Waiter& waiter : query.waiters) {
        step.deliver.push_back({waiter.client, refusal(waiter.query, Rcode::serv_fail)});
        count(waiter.client, -1);
    }
}

Forwarder::Step Forwarder::reply(std::size_t socket, const wire::Resolver& from, ByteView datagram, Time now) {
    Step step;
    const auto header = decode_header(datagram);
    const auto found = header ? queries_.find(Key{socket} << 16 | header->id) : queries_.end();
    if (found == queries_.end() || found->second.to != from) {
        ++counters_.unasked;
        return step;
    }
    Bytes message(datagram.begin(), datagram.end());
    const bool respelt = other_spelling(datagram, found->second.question);
    if (respelt) {
        ++counters_.respelt;
        if (socket != kStream) {
            try_stream(take(found), step, now);
            return step;
        }
        manners_[from].keeps_case = false;
        std::ranges::copy(found->second.question, message.begin() + 12);
    }
    auto decoded = decode_reply(message, found->second.question);
    if (!decoded) {
        ++counters_.unasked;
        return step;
    }
    Outstanding query = take(found);
    if (decoded->truncated && !query.stream) {
        try_stream(std::move(query), step, now);
        return step;
    }
    if ((decoded->rcode == Rcode::form_err || decoded->bad_version) && manners_[from].knows_edns) {
        manners_[from].knows_edns = false;
        transmit(std::move(query), step, now);
        return step;
    }
    const bool improper = !tidy(*decoded, query.name);
    if ((improper || is_servers_fault(*decoded)) && query.tries < std::min<std::size_t>(kTries, query.servers.size())) {
        try_next(std::move(query), step, now);
        return step;
    }
    if (improper) {
        fail(query, step);
        return step;
    }
    preferred_[query.servers] = query.server;
    ++counters_.answered;
    finish(query, *decoded, step);
    cache_.put(query.identity, *std::move(decoded), now);
    return step;
}

Forwarder::Step Forwarder::stream_failed(std::uint16_t id, Time now) {
    Step step;
    if (const auto found = queries_.find(Key{kStream} << 16 | id); found != queries_.end()) {
        try_next(take(found), step, now);
    }
    return step;
}

Forwarder::Step Forwarder::tick(Time now) {
    Step step;
    while (!deadlines_.empty() && next_tick() <= now) {
        Outstanding query = take(queries_.find(deadlines_.begin()->second));
        ++counters_.timed_out;
        if (std::size_t& preferred = preferred_[query.servers]; query.server == preferred) {
            preferred = (preferred + 1) % query.servers.size();
        }
        try_next(std::move(query), step, now);
    }
    return step;
}

void Forwarder::forget(const Uuid& network) {
    policies_.erase(network);
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
