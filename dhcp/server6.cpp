// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/server6.h"

#include <algorithm>

#include "dhcp/told6.h"

namespace bascule::dhcp {

namespace {

constexpr std::chrono::minutes kQuarantine{10};
constexpr std::size_t kMostQuarantined = 256;
constexpr std::uint32_t kForever = 0xffffffff;
// How many addresses in a row are looked at for a free one: with the pool nearly full, some clients wait for a next
// try.
constexpr std::uint64_t kMostTries = 4096;

std::vector<std::uint8_t> octets(ByteView bytes) {
    std::vector<std::uint8_t> out(bytes.size());
    std::ranges::transform(bytes, out.begin(), [](std::byte b) { return std::to_integer<std::uint8_t>(b); });
    return out;
}

std::uint64_t seed_of(const Key6& key) {
    std::uint64_t hash = 0xcbf29ce484222325U;
    const auto mix = [&](std::uint64_t octet) { hash = (hash ^ octet) * 0x100000001b3U; };
    for (const std::uint8_t octet : key.port.octets) {
        mix(octet);
    }
    for (unsigned shift = 0; shift < 32; shift += 8) {
        mix(key.iaid >> shift & 0xffU);
    }
    mix(key.delegated ? 1 : 0);
    return hash ^ hash >> 29U;
}

// How many addresses are from one to the other, as far as 64 bits say it.
std::uint64_t distance(const Ip& first, const Ip& last) {
    std::uint64_t high = 0, low = 0;
    for (std::size_t i = 0; i < 16; ++i) {
        const std::uint64_t a = first.octets()[i], b = last.octets()[i];
        (i < 8 ? high : low) = ((i < 8 ? high : low) << 8U) + (b - a);  // wraps as subtraction does
    }
    return high != 0 && low != 0 && high != ~0ULL ? ~0ULL : low;
}

// What reservations are found by.
std::string key_of_port(const MacAddr& mac) { return "m" + std::string(mac.octets.begin(), mac.octets.end()); }
std::string key_of_duid(ByteView duid) { return "d" + std::string(as_text(duid)); }
std::string key_of_name(const std::string& label) { return "n" + label; }
const std::string kAnybody = "a";  // with the IAID

// The n-th prefix of `length` in the pool.
Ip nth_prefix(const DelegationPool& pool, std::uint64_t n) {
    std::array<std::uint8_t, 16> out = pool.from.network.octets();
    for (unsigned bit = 0; bit < 64 && bit < pool.length; ++bit) {  // from the prefix's last bit up
        if ((n >> bit & 1U) != 0) {
            const unsigned at = pool.length - 1 - bit;
            out[at / 8] |= static_cast<std::uint8_t>(0x80U >> at % 8);
        }
    }
    return Ip::v6(out);
}

}  // namespace

struct Server6::Client {
    const Packet6& packet;
    MacAddr port;
    std::string hostname;
    const Subnet* link;  // behind a relay: its subnet; null: on the bridge
    const Presence& presence;

    const Message6& message() const { return packet.message; }
};

void Server6::configure(const Spec& spec) {
    spec_ = &spec;
    ours_.clear();
    by_address_.clear();
    by_client_.clear();
    for (const Subnet& subnet : spec.subnets) {
        if (!subnet.server.address.is_v6()) {
            continue;
        }
        ours_.push_back(&subnet);
        for (const Reservation& host : subnet.hosts) {
            if (host.address) {
                by_address_.insert({*host.address, &host});
            }
            index(host);
        }
    }
    ByteWriter duid;
    duid.u16(4);  // DUID-UUID
    duid.bytes(std::as_bytes(std::span(spec.uuid.octets)));
    duid_ = duid.take();
}

void Server6::index(const Reservation& host) {
    if (host.mac) {
        by_client_.insert({key_of_port(*host.mac), &host});
    }
    if (!host.client_id.empty()) {
        by_client_.insert({key_of_duid(std::as_bytes(std::span(host.client_id))), &host});
    }
    if (host.mac || !host.client_id.empty()) {
        return;
    }
    if (!host.name.empty()) {
        by_client_.insert({key_of_name(to_label(host.name)), &host});
    } else if (host.iaid) {
        by_client_.insert({kAnybody, &host});
    }
}

void Server6::restore(const std::vector<journal::Record>& records, const Now& now) {
    // A wall clock that was wrong must not make leases of years; what was promised holds.
    std::chrono::seconds longest = std::chrono::days(7);
    for (const Subnet* const subnet : ours_) {
        longest = std::max(longest, subnet->lease);
        for (const Range& range : subnet->ranges) {
            longest = std::max(longest, range.lease.value_or(subnet->lease));
        }
        for (const Reservation& host : subnet->hosts) {
            longest = std::max(longest, host.lease.value_or(subnet->lease));
        }
    }
    for (const journal::Record& record : records) {
        if (record.lease.address.is_v4()) {
            continue;
        }
        const bool endless = record.lease.expires == kNever;
        const auto left = endless ? longest : std::min<std::chrono::seconds>(record.lease.expires - now.wall, longest);
        leases_.restore(record.lease, endless ? kEndOfTime : now.time + std::max(left, std::chrono::seconds(0)),
                        record.active && left.count() > 0);
    }
}

const Subnet* Server6::subnet_of(const Ip& address) const {
    const auto found =
        std::ranges::find_if(ours_, [&](const Subnet* s) { return s->server.prefix().contains(address); });
    return found == ours_.end() ? nullptr : *found;
}

bool Server6::on_link(const Client& client, const Ip& address) const {
    const Subnet* const subnet = subnet_of(address);
    return subnet != nullptr && (client.link != nullptr ? subnet == client.link : !subnet->relayed);
}

// The port comes before the DUID, that before a name; and among each what is for this association before what is for
// all.
const Reservation* Server6::reservation_for(const Client& client, const Ia& ia) const {
    if (by_client_.empty()) {
        return nullptr;
    }
    const std::string name = client.hostname.empty() ? std::string() : key_of_name(client.hostname);
    for (const std::string& key : {key_of_port(client.port), key_of_duid(client.message().client_id), name, kAnybody}) {
        const Reservation* found = nullptr;
        const auto [first, last] =
            key.empty() ? std::pair(by_client_.end(), by_client_.end()) : by_client_.equal_range(key);
        for (auto at = first; at != last; ++at) {
            const Reservation& host = *at->second;
            if (host.iaid == ia.iaid || (!host.iaid && found == nullptr)) {
                found = &host;
            }
        }
        if (found != nullptr) {
            return found;
        }
    }
    return nullptr;
}

// Nobody else has it. Another association of the same port gives way: firmware, then an operating system.
bool Server6::free_for(const Client& client, const Key6& key, const Ip& address) const {
    const Binding* const holder = leases_.by_address(address);
    const bool others = holder != nullptr && holder->active && key_of(holder->lease) != key;
    const auto reserved = by_address_.find(address);
    const bool mine = reserved != by_address_.end() && others &&
                      (holder->lease.port == client.port || client.presence.is_off(holder->lease.port));
    return (!others || mine) && !quarantine_.holds(address);
}

// May the client keep or get what it names?
bool Server6::usable(const Client& client, const Key6& key, const IaAddress& wish) const {
    if (!free_for(client, key, wish.address)) {
        return false;
    }
    if (key.delegated) {
        // Our own subnet may lie in the pool; it is not to be given away.
        const Prefix prefix = Prefix::of(wish.address, wish.length);
        const bool own =
            std::ranges::any_of(ours_, [&](const Subnet* s) { return s->server.prefix().overlaps(prefix); });
        return !own && std::ranges::any_of(ours_, [&](const Subnet* s) {
            return std::ranges::any_of(s->delegations, [&](const DelegationPool& pool) {
                return pool.length == wish.length && pool.from.contains(wish.address) && prefix.network == wish.address;
            });
        });
    }
    if (!on_link(client, wish.address) || by_address_.contains(wish.address)) {
        return false;  // what is reserved is only reached through the reservation
    }
    const Subnet& subnet = *subnet_of(wish.address);
    return wish.address != subnet.server.address && std::ranges::any_of(subnet.ranges, [&](const Range& range) {
               return range.addresses().contains(wish.address);
           });
}

bool Server6::room_for(const Client& client, const Key6& key) const {
    const Binding* const mine = leases_.by_key(key);
    return (mine != nullptr && mine->active) || leases_.active_of(client.port) < kMostPerPort;
}

std::optional<IaAddress> Server6::choose_address(const Client& client, const Ia& ia, const Key6& key) const {
    const Reservation* const reserved = reservation_for(client, ia);
    if (reserved != nullptr && reserved->address && on_link(client, *reserved->address) &&
        free_for(client, key, *reserved->address)) {
        const Binding* const holder = leases_.by_address(*reserved->address);
        const bool other_ia = holder != nullptr && holder->active && holder->lease.port == client.port &&
                              key_of(holder->lease) != key && client.message().type != Type6::solicit;
        if (!other_ia || ia.addresses.empty() || ia.addresses[0].address == *reserved->address) {
            return IaAddress{.address = *reserved->address};
        }
    }
    const Binding* const before = leases_.by_key(key);
    if (before != nullptr && usable(client, key, {.address = before->lease.address})) {
        return IaAddress{.address = before->lease.address};
    }
    for (const IaAddress& wish : ia.addresses) {
        if (leases_.by_address(wish.address) == nullptr && usable(client, key, {.address = wish.address})) {
            return IaAddress{.address = wish.address};
        }
    }
    // Twice round: what somebody had before and may want back is given away last.
    for (const bool remembered : {false, true}) {
        for (const Subnet* const subnet : ours_) {
            for (const Range& range : subnet->ranges) {
                const std::uint64_t last = distance(range.first, range.last);
                const std::uint64_t start = last == ~0ULL ? seed_of(key) : seed_of(key) % (last + 1);
                for (std::uint64_t i = 0; i <= std::min(last, kMostTries); ++i) {
                    const std::uint64_t n = last == ~0ULL ? start + i : (start + i) % (last + 1);
                    const Ip address = range.first.plus(n);
                    if ((remembered || leases_.by_address(address) == nullptr) &&
                        usable(client, key, {.address = address})) {
                        return IaAddress{.address = address};
                    }
                }
            }
        }
    }
    return std::nullopt;
}

std::optional<IaAddress> Server6::choose_prefix(const Client& client, const Ia& ia, const Key6& key) const {
    const Binding* const before = leases_.by_key(key);
    if (before != nullptr) {
        const IaAddress mine{.address = before->lease.address, .length = before->lease.prefix_length};
        if (usable(client, key, mine)) {
            return mine;
        }
    }
    for (const IaAddress& wish : ia.addresses) {
        if (usable(client, key, wish)) {
            return IaAddress{.address = wish.address, .length = wish.length};
        }
    }
    for (const Subnet* const subnet : ours_) {
        for (const DelegationPool& pool : subnet->delegations) {
            const unsigned bits = std::min(pool.length - pool.from.length, 63U);
            const std::uint64_t count = std::uint64_t{1} << bits;
            for (std::uint64_t i = 0; i < std::min(count, kMostTries); ++i) {
                const Ip prefix = nth_prefix(pool, (seed_of(key) + i) % count);
                if (usable(client, key, {.address = prefix, .length = pool.length})) {
                    return IaAddress{.address = prefix, .length = pool.length};
                }
            }
        }
    }
    return std::nullopt;
}

std::optional<IaAddress> Server6::choose(const Client& client, const Ia& ia) const {
    const Key6 key{client.port, ia.iaid, ia.prefixes};
    if (!room_for(client, key)) {
        return std::nullopt;
    }
    return ia.prefixes ? choose_prefix(client, ia, key) : choose_address(client, ia, key);
}

std::chrono::seconds Server6::lease_length(const Client& client, const Ia& ia, const IaAddress& chosen) const {
    const Reservation* const reserved = ia.prefixes ? nullptr : reservation_for(client, ia);
    if (reserved != nullptr && reserved->address == chosen.address && reserved->lease) {
        return *reserved->lease;
    }
    for (const Subnet* const subnet : ours_) {
        for (const Range& range : subnet->ranges) {
            if (!ia.prefixes && range.addresses().contains(chosen.address) && range.lease) {
                return *range.lease;
            }
        }
        const auto from_here = [&](const DelegationPool& pool) { return pool.from.contains(chosen.address); };
        if (ia.prefixes && std::ranges::any_of(subnet->delegations, from_here)) {
            return subnet->lease;
        }
    }
    const Subnet* const subnet = subnet_of(chosen.address);
    return subnet != nullptr ? subnet->lease : std::chrono::seconds(3600);
}

void Server6::end_lease(const Key6& key, std::vector<LeaseEvent>& events) {
    if (auto lease = leases_.end(key)) {
        events.push_back({LeaseEventKind::released, *std::move(lease)});
    }
}

void Server6::bind(const Client& client, const Key6& key, const IaAddress& chosen, std::chrono::seconds length,
                   Outcome6& out, const Now& now) {
    const Binding* const before = leases_.by_key(key);
    const bool had = before != nullptr && before->active;
    const bool moved = had && before->lease.address != chosen.address;
    if (moved) {
        end_lease(key, out.events);
    }
    if (const Binding* const holder = leases_.by_address(chosen.address);
        holder != nullptr && key_of(holder->lease) != key) {
        end_lease(key_of(Lease(holder->lease)), out.events);
    }
    Ia ia{.prefixes = key.delegated, .iaid = key.iaid};
    const Reservation* const reserved = key.delegated ? nullptr : reservation_for(client, ia);
    const bool endless = length.count() == 0;
    std::string hostname = reserved != nullptr && !reserved->name.empty() ? to_label(reserved->name) : client.hostname;
    const Binding* const named = hostname.empty() ? nullptr : leases_.by_name(hostname);
    if (named != nullptr && named->lease.port != client.port) {
        hostname.clear();  // somebody else's
    }
    const Lease lease{.network = spec_->uuid,
                      .port = client.port,
                      .address = chosen.address,
                      .prefix_length = key.delegated ? chosen.length : subnet_of(chosen.address)->server.length,
                      .expires = endless ? kNever : now.wall + length,
                      .hostname = hostname,
                      .client_id = octets(client.message().client_id),
                      .iaid = key.iaid,
                      .delegated = key.delegated};
    leases_.bind(lease, endless ? kEndOfTime : now.time + length);
    leases_.trim(kMostRemembered);
    out.events.push_back({had && !moved ? LeaseEventKind::renewed : LeaseEventKind::added, lease});
}

// One association as it goes into the reply.
Ia Server6::grant(const Client& client, const Ia& wanted, Mode mode, Outcome6& out, const Now& now) {
    Ia answer{.prefixes = wanted.prefixes, .iaid = wanted.iaid};
    const auto chosen = choose(client, wanted);
    if (!chosen) {
        answer.status = wanted.prefixes ? Status6::no_prefixes : Status6::no_addresses;
        out.why = "nothing left";
        return answer;
    }
    const std::chrono::seconds length = lease_length(client, wanted, *chosen);
    const auto seconds = length.count() == 0 ? kForever : static_cast<std::uint32_t>(length.count());
    answer.t1 = seconds == kForever ? kForever : seconds / 2;
    answer.t2 = seconds == kForever ? kForever : seconds - seconds / 5;
    answer.addresses.push_back(*chosen);
    answer.addresses[0].preferred = answer.addresses[0].valid = seconds;
    for (const IaAddress& had : wanted.addresses) {  // section 18.3.4: what is no longer good ends now
        const bool renewing = client.message().type == Type6::renew || client.message().type == Type6::rebind;
        if (renewing && had.address != chosen->address && answer.addresses.size() < kMostAddresses) {
            answer.addresses.push_back({.address = had.address, .length = had.length});
        }
    }
    if (mode == Mode::commit) {
        bind(client, {client.port, wanted.iaid, wanted.prefixes}, *chosen, length, out, now);
        out.why = "bound";
    }
    return answer;
}

void Server6::assign(const Client& client, Mode mode, Message6& reply, Outcome6& out, const Now& now) {
    for (const Ia& ia : client.message().ias) {
        reply.ias.push_back(grant(client, ia, mode, out, now));
    }
}

// RENEW and REBIND.
void Server6::extend(const Client& client, Message6& reply, Outcome6& out, const Now& now) {
    for (const Ia& ia : client.message().ias) {
        const Key6 key{client.port, ia.iaid, ia.prefixes};
        const Binding* const mine = leases_.by_key(key);
        const bool good = std::ranges::any_of(ia.addresses, [&](const IaAddress& a) { return usable(client, key, a); });
        if ((mine == nullptr || !mine->active) && !good && !ia.addresses.empty() &&
            client.message().type == Type6::renew) {
            reply.ias.push_back({.prefixes = ia.prefixes, .iaid = ia.iaid, .status = Status6::no_binding});
            out.why = "no such lease";
            continue;
        }
        reply.ias.push_back(grant(client, ia, Mode::commit, out, now));
    }
}

// Section 18.3.3: silence when there is nothing to judge.
bool Server6::confirm(const Client& client, Message6& reply, Outcome6& out) const {
    bool any = false, all = true;
    for (const Ia& ia : client.message().ias) {
        for (const IaAddress& a : ia.addresses) {
            any = true;
            all = all && on_link(client, a.address);
        }
    }
    reply.status = all ? Status6::success : Status6::not_on_link;
    out.why = !any ? "nothing to confirm" : all ? "on link" : "not on link";
    return any;
}

void Server6::give_back(const Client& client, bool declined, Message6& reply, Outcome6& out, const Now& now) {
    reply.status = Status6::success;
    out.why = declined ? "declined" : "released";
    for (const Ia& ia : client.message().ias) {
        const Key6 key{client.port, ia.iaid, ia.prefixes};
        const Binding* const mine = leases_.by_key(key);
        const bool named =
            mine != nullptr && mine->active &&
            std::ranges::find(ia.addresses, mine->lease.address, &IaAddress::address) != ia.addresses.end();
        if (!named) {
            reply.ias.push_back({.prefixes = ia.prefixes, .iaid = ia.iaid, .status = Status6::no_binding});
            continue;
        }
        if (declined && !ia.prefixes) {
            quarantine_.put(client.port, mine->lease.address, now.time + kQuarantine, kMostQuarantined);
        }
        end_lease(key, out.events);
    }
}

void Server6::tell(const Client& client, Message6& reply) const {
    const Subnet* subnet = client.link;
    if (subnet == nullptr) {
        const auto own = std::ranges::find_if(ours_, [](const Subnet* s) { return !s->relayed; });
        subnet = own == ours_.end() ? nullptr : *own;
    }
    if (subnet != nullptr) {
        tell6(*spec_, subnet->server.address, client.message(), reply);
    }
}

Outcome6 Server6::handle(const Packet6& packet, const MacAddr& frame_port, const Presence& presence, const Now& now) {
    const Message6& message = packet.message;
    Outcome6 out;
    out.events = tick(now);
    Client client{packet, frame_port, wanted_hostname6(message), nullptr, presence};
    if (!packet.relays.empty()) {
        const Relay6& nearest = packet.relays.back();
        const auto mac = nearest.client ? nearest.client : mac_of_duid(message.client_id);
        client.port = mac.value_or(frame_port);
        const auto linked =
            std::ranges::find_if(packet.relays, [](const Relay6& r) { return !r.link.is_unspecified(); });
        client.link = linked == packet.relays.end() ? nullptr : subnet_of(linked->link);
        if (client.link == nullptr) {
            out.why = "relayed from a subnet that is not served";
            return out;
        }
    }
    const bool anonymous = message.type == Type6::information_request;
    const bool to_one = message.type == Type6::request || message.type == Type6::renew ||
                        message.type == Type6::release || message.type == Type6::decline;
    const bool to_us = message.server_id == duid_;
    if (!serves() || client.port.is_multicast() || (!anonymous && message.client_id.empty()) ||
        (anonymous && !message.ias.empty()) ||
        (to_one ? !to_us : !message.server_id.empty() && !(anonymous && to_us))) {
        out.why = "not for us (section 16)";
        return out;
    }
    Packet6 answer{.relays = packet.relays, .message = {}};
    Message6& reply = answer.message;
    reply.type = Type6::reply;
    reply.xid = message.xid;
    reply.client_id = message.client_id;
    reply.server_id = duid_;
    bool speak = true;
    switch (message.type) {
        case Type6::solicit:
            reply.rapid_commit = message.rapid_commit && spec_->rapid_commit;
            reply.type = reply.rapid_commit ? Type6::reply : Type6::advertise;
            out.why = "offered";
            assign(client, reply.rapid_commit ? Mode::commit : Mode::offer, reply, out, now);
            speak = std::ranges::any_of(ours_, &Subnet::serves_dhcp) || message.ias.empty();
            break;
        case Type6::request: assign(client, Mode::commit, reply, out, now); break;
        case Type6::renew:
        case Type6::rebind: extend(client, reply, out, now); break;
        case Type6::confirm: speak = confirm(client, reply, out); break;
        case Type6::release: give_back(client, false, reply, out, now); break;
        case Type6::decline: give_back(client, true, reply, out, now); break;
        case Type6::information_request: out.why = "informed"; break;
        default:
            speak = false;
            out.why = "not a client's message";
            break;
    }
    if (speak) {
        tell(client, reply);
        out.reply = std::move(answer);
    }
    return out;
}

std::vector<LeaseEvent> Server6::tick(const Now& now) {
    std::vector<LeaseEvent> events;
    for (Lease& lease : leases_.expire(now.time)) {
        events.push_back({LeaseEventKind::expired, std::move(lease)});
    }
    (void)quarantine_.expire(now.time);
    return events;
}

Time Server6::next_tick() const { return std::min(leases_.next_end(), quarantine_.next_end()); }

std::vector<LeaseEvent> Server6::revoke(const MacAddr& port) {
    std::vector<LeaseEvent> events;
    for (const Key6& key : leases_.of_port(port)) {
        end_lease(key, events);
    }
    return events;
}

}  // namespace bascule::dhcp
