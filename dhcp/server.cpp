// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/server.h"

#include <algorithm>
#include <array>

namespace bascule::dhcp {

namespace {

constexpr std::chrono::seconds kOfferHold{30};
constexpr std::chrono::minutes kQuarantine{10};
// A client that asks for less would do nothing but renew; the peer's server draws the same line.
constexpr std::chrono::seconds kShortestLease{120};
constexpr std::uint32_t kInfinite = 0xffffffff;

std::vector<std::uint8_t> octets(ByteView bytes) {
    std::vector<std::uint8_t> out(bytes.size());
    std::ranges::transform(bytes, out.begin(), [](std::byte b) { return std::to_integer<std::uint8_t>(b); });
    return out;
}

std::string lower(std::string text) {
    std::ranges::transform(text, text.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
    return text;
}

// "vm1" or "vm1.DOMAIN": what a guest called vm1 would be found by.
bool is_in_our_domain(const std::string& name, const std::string& domain) {
    const auto dot = name.find('.');
    return dot == std::string::npos || lower(name.substr(dot + 1)) == lower(domain);
}

}  // namespace

struct Server::Client {
    const Message& request;
    std::string hostname;            // asked for, clean; may be empty
    const Reservation* reservation;  // may be null
    const Binding* binding;          // may be null; only valid until the table changes

    const MacAddr& port() const { return request.chaddr; }
    bool wants(Opt code) const {
        const ByteView list = request.options.bytes(Opt::parameters);
        return list.empty() || std::ranges::find(list, static_cast<std::byte>(code)) != list.end();
    }
};

Server::Server(Spec spec) : spec_(std::move(spec)) { configure(Spec(spec_)); }

void Server::configure(Spec spec) {
    spec_ = std::move(spec);
    by_mac_.clear();
    by_name_.clear();
    by_address_.clear();
    reserved_names_.clear();
    not_guests_.clear();
    std::vector<IpRange> ranges;
    for (const DnsHost& host : spec_.dns_hosts) {
        for (const std::string& name : host.names) {
            if (is_in_our_domain(name, spec_.domain)) {
                reserved_names_.insert({to_label(name), std::nullopt});
            }
        }
    }
    for (const Subnet& subnet : spec_.subnets) {
        not_guests_.insert(subnet.server.address);
        if (!subnet.server.address.is_v4()) {
            continue;
        }
        const Prefix prefix = subnet.server.prefix();
        if (prefix.length < 31) {  // RFC 3021: the two addresses of a /31 are both hosts
            not_guests_.insert(prefix.first());
            not_guests_.insert(prefix.last());
        }
        for (const Range& range : subnet.ranges) {
            ranges.push_back({std::max(range.first, prefix.first()), std::min(range.last, prefix.last())});
        }
        for (const Reservation& host : subnet.hosts) {
            if (host.mac) {
                by_mac_.insert({*host.mac, &host});
            } else if (!host.name.empty()) {
                by_name_.insert({to_label(host.name), &host});
            }
            if (host.address) {
                by_address_.insert({*host.address, &host});
            }
            if (host.mac && !host.name.empty()) {
                reserved_names_.insert({to_label(host.name), host.mac});
            }
        }
    }
    pool_ = AddressPool(std::move(ranges));
    clear_forbidden_names();
    for (const Ip& address : not_guests_) {
        refresh(address);
    }
    for (const auto& [address, reservation] : by_address_) {
        refresh(address);
    }
    for (const auto& [address, binding] : leases_.all()) {
        refresh(address);
    }
    refresh(offers_.all());
    refresh(quarantine_.all());
}

// The longest rest of a lease that is believed of a file, unless the network gives longer ones.
constexpr std::chrono::seconds kLongestRestored = std::chrono::days(7);

void Server::restore(const std::vector<journal::Record>& records, const Now& now) {
    for (const journal::Record& record : records) {
        const Subnet* const subnet = subnet_of(record.lease.address);
        auto left = record.lease.expires == kNever ? std::chrono::seconds::max() : record.lease.expires - now.wall;
        // A wall clock that was wrong must not make leases of years; but what a client was promised before the
        // network's lease time was cut holds, and an endless lease is no matter of clocks.
        if (subnet != nullptr && subnet->lease.count() != 0 && record.lease.expires != kNever) {
            left = std::min(left, std::max(subnet->lease, kLongestRestored));
        }
        const bool endless = left == std::chrono::seconds::max();
        Lease lease = record.lease;
        lease.network = spec_.uuid;
        leases_.restore(std::move(lease), endless ? kEndOfTime : now.time + std::max(left, std::chrono::seconds(0)),
                        record.active && left.count() > 0);
        refresh(record.lease.address);
    }
    clear_forbidden_names();
}

// The subnet an address is served in, by DHCP.
const Subnet* Server::subnet_of(const Ip& address) const {
    const auto found = std::ranges::find_if(spec_.subnets, [&](const Subnet& s) {
        return s.server.address.is_v4() && s.serves_dhcp() && s.server.prefix().contains(address);
    });
    return found == spec_.subnets.end() ? nullptr : &*found;
}

bool Server::is_ours(const Ip& server_id) const {
    return std::ranges::any_of(spec_.subnets, [&](const Subnet& s) { return s.server.address == server_id; });
}

bool Server::is_guests(const Ip& address) const {
    return subnet_of(address) != nullptr && !not_guests_.contains(address);
}

const Reservation* Server::reservation_for(const MacAddr& port, const std::string& hostname) const {
    if (const auto found = by_mac_.find(port); found != by_mac_.end()) {
        return found->second;
    }
    const auto found = hostname.empty() ? by_name_.end() : by_name_.find(hostname);
    return found == by_name_.end() ? nullptr : found->second;
}

bool Server::held_by_other(const MacAddr& port, const Ip& address) const {
    const Binding* const binding = leases_.by_address(address);
    const auto offer = offers_.holder(address);
    return (binding != nullptr && binding->active && binding->lease.port != port) || (offer && *offer != port) ||
           quarantine_.holds(address);
}

// May this client have this address now?
bool Server::usable(const Client& client, const Ip& address) const {
    if (!is_guests(address) || held_by_other(client.port(), address)) {
        return false;
    }
    if (const auto reserved = by_address_.find(address); reserved != by_address_.end()) {
        return reserved->second == client.reservation;
    }
    return pool_.contains(address);
}

// The same for an address that the client names itself: it must not keep it when a reservation of its own waits.
// That one must be free, though, or the client would hear NAK for ever.
bool Server::acceptable(const Client& client, const Ip& address) const {
    const auto* const reserved = client.reservation;
    const bool waits =
        reserved != nullptr && reserved->address && *reserved->address != address && usable(client, *reserved->address);
    return !waits && usable(client, address);
}

Server::Choice Server::choose(const Client& client) const {
    if (client.reservation != nullptr && client.reservation->address && usable(client, *client.reservation->address)) {
        return {*client.reservation->address, "reservation"};
    }
    if (client.binding != nullptr && usable(client, client.binding->lease.address)) {
        return {client.binding->lease.address, "its address of before"};
    }
    if (const auto offer = offers_.of(client.port()); offer && usable(client, *offer)) {
        return {*offer, "its offer of before"};
    }
    const auto wanted = client.request.options.ip(Opt::requested_ip);
    if (wanted && usable(client, *wanted) && leases_.by_address(*wanted) == nullptr) {
        return {*wanted, "the address it asked for"};
    }
    // The same port comes to the same place, even when everything was forgotten.
    const std::size_t seed = std::hash<MacAddr>()(client.port()) * 0x9e3779b97f4a7c15U >> 20U;
    for (const Claim claim : {Claim::none, Claim::remembered, Claim::offered}) {
        if (const auto found = pool_.find(seed, claim)) {
            return {*found, "from the pool"};
        }
    }
    return {std::nullopt, "pool exhausted"};
}

Claim Server::claim_on(const Ip& address) const {
    const Binding* const binding = leases_.by_address(address);
    if (!is_guests(address) || quarantine_.holds(address) || by_address_.contains(address) ||
        (binding != nullptr && binding->active)) {
        return Claim::taken;
    }
    if (offers_.holder(address)) {
        return Claim::offered;
    }
    return binding != nullptr ? Claim::remembered : Claim::none;
}

void Server::refresh(const Ip& address) { pool_.set(address, claim_on(address)); }

void Server::refresh(const std::vector<Ip>& addresses) {
    for (const Ip& address : addresses) {
        refresh(address);
    }
}

bool Server::name_is_free(const MacAddr& port, const std::string& name) const {
    if (const auto reserved = reserved_names_.find(name); reserved != reserved_names_.end()) {
        return reserved->second == port;
    }
    const Binding* const holder = leases_.by_name(name);
    return holder == nullptr || holder->lease.port == port;
}

// What the reservation says, else what the client says when the name is nobody's; a client that says nothing when
// it renews keeps what it had.
std::string Server::name_for(const Client& client) const {
    std::string name = client.hostname;
    if (client.reservation != nullptr && !client.reservation->name.empty()) {
        name = to_label(client.reservation->name);
    } else if (name.empty() && client.binding != nullptr) {
        name = client.binding->lease.hostname;
    }
    return name_is_free(client.port(), name) ? name : std::string();
}

void Server::clear_forbidden_names() {
    std::vector<MacAddr> wrong;
    for (const auto& [address, binding] : leases_.all()) {
        if (!binding.lease.hostname.empty() && !name_is_free(binding.lease.port, binding.lease.hostname)) {
            wrong.push_back(binding.lease.port);
        }
    }
    for (const MacAddr& port : wrong) {
        leases_.clear_name(port);
    }
}

std::vector<LeaseEvent> Server::tick(const Now& now) {
    std::vector<LeaseEvent> events;
    for (Lease& lease : leases_.expire(now.time)) {
        refresh(lease.address);
        events.push_back({LeaseEventKind::expired, std::move(lease)});
    }
    refresh(offers_.expire(now.time));
    refresh(quarantine_.expire(now.time));
    return events;
}

Time Server::next_tick() const { return std::min({leases_.next_end(), offers_.next_end(), quarantine_.next_end()}); }

void Server::end_lease(const MacAddr& port, std::vector<LeaseEvent>& events) {
    if (auto lease = leases_.end(port)) {
        refresh(lease->address);
        events.push_back({LeaseEventKind::released, *std::move(lease)});
    }
}

std::optional<LeaseEvent> Server::revoke(const MacAddr& port) {
    std::vector<LeaseEvent> events;
    refresh(offers_.drop(port));
    end_lease(port, events);
    return events.empty() ? std::nullopt : std::optional(std::move(events.front()));
}

Outcome Server::handle(const Message& request, bool unicast, const Now& now) {
    Outcome out;
    out.events = tick(now);
    out.branch = name(request.type);
    if (request.reply || request.chaddr.is_multicast() || request.chaddr.is_zero()) {
        out.why = "not from a client";
        return out;
    }
    if (!request.giaddr.is_unspecified()) {
        out.why = "relayed, which is not served";
        return out;
    }
    if (request.options.bytes(Opt::client_id).size() > 255) {
        out.why = "client identifier too long";
        return out;
    }
    Client client{request, wanted_hostname(request.options), nullptr, leases_.by_port(request.chaddr)};
    const bool silent = client.hostname.empty() && client.binding != nullptr;
    client.reservation = reservation_for(client.port(), silent ? client.binding->lease.hostname : client.hostname);
    switch (request.type) {
        case MessageType::discover: discover(client, out, now); break;
        case MessageType::request: this->request(client, unicast, out, now); break;
        case MessageType::decline: decline(client, out, now); break;
        case MessageType::release: release(client, out); break;
        case MessageType::inform: inform(client, out); break;
        default: out.why = "a server's message"; break;
    }
    return out;
}

void Server::discover(const Client& client, Outcome& out, const Now& now) {
    const auto [address, why] = choose(client);
    out.why = why;
    if (!address) {
        return;
    }
    refresh(offers_.put(client.port(), *address, now.time + kOfferHold));
    const Subnet& subnet = *subnet_of(*address);
    Message reply = answer(client, MessageType::offer, subnet);
    reply.ciaddr = Ip();
    reply.yiaddr = *address;
    add_lease_times(reply, lease_time(subnet, client.request));
    add_parameters(client, reply, subnet, name_for(client));
    out.from = subnet.server.address;
    out.destination = client.request.broadcast ? Destination::broadcast : Destination::link;
    out.reply = std::move(reply);
}

// RFC 2131 section 4.3.2: which state the client is in follows from what it filled in.
void Server::request(const Client& client, bool unicast, Outcome& out, const Now& now) {
    const Message& request = client.request;
    const auto server_id = request.options.ip(Opt::server_id);
    const auto wanted = request.options.ip(Opt::requested_ip);
    if (server_id) {
        out.branch = "selecting";
        if (!is_ours(*server_id)) {
            refresh(offers_.drop(client.port()));
            return refuse(client, out, "it took another server, and there is none");
        }
    } else if (!request.ciaddr.is_unspecified()) {
        out.branch = unicast ? "renewing" : "rebinding";
    } else {
        out.branch = wanted ? "init-reboot" : "selecting";
    }
    const bool bound = !server_id && !request.ciaddr.is_unspecified();
    const std::optional<Ip> address = bound ? request.ciaddr : wanted ? wanted : choose(client).address;
    if (!address) {
        return refuse(client, out, "pool exhausted");
    }
    if (subnet_of(*address) == nullptr) {
        return refuse(client, out, "wrong network");
    }
    const bool active = client.binding != nullptr && client.binding->active;
    if (active && !server_id && client.binding->lease.address != *address) {
        return refuse(client, out, "it has another address");
    }
    if (!acceptable(client, *address)) {
        return refuse(client, out, "address not available");
    }
    bind(client, *address, out, now);
}

void Server::bind(const Client& client, const Ip& address, Outcome& out, const Now& now) {
    const Subnet& subnet = *subnet_of(address);
    const std::chrono::seconds length = lease_time(subnet, client.request);
    const bool had = client.binding != nullptr && client.binding->active;
    const bool moved = had && client.binding->lease.address != address;
    const std::optional<Ip> before = client.binding ? std::optional(client.binding->lease.address) : std::nullopt;
    Lease lease{.network = spec_.uuid,
                .port = client.port(),
                .address = address,
                .prefix_length = subnet.server.length,
                .expires = length.count() == 0 ? kNever : now.wall + length,
                .hostname = name_for(client),
                .client_id = octets(client.request.options.bytes(Opt::client_id))};
    if (moved) {
        end_lease(client.port(), out.events);
    }
    const Time ends = length.count() == 0 ? kEndOfTime : now.time + length;
    const Binding& binding = leases_.bind(std::move(lease), ends);
    refresh(offers_.drop(client.port()));
    refresh(address);
    if (before) {
        refresh(*before);
    }
    out.events.push_back({had && !moved ? LeaseEventKind::renewed : LeaseEventKind::added, binding.lease});
    out.why = had && !moved ? "renewed" : "bound";

    Message reply = answer(client, MessageType::ack, subnet);
    reply.yiaddr = address;
    add_lease_times(reply, length);
    add_parameters(client, reply, subnet, binding.lease.hostname);
    out.from = subnet.server.address;
    out.destination = client.request.ciaddr == address ? Destination::unicast
                      : client.request.broadcast       ? Destination::broadcast
                                                       : Destination::link;
    out.reply = std::move(reply);
}

void Server::decline(const Client& client, Outcome& out, const Now& now) {
    const auto server_id = client.request.options.ip(Opt::server_id);
    const auto address = client.request.options.ip(Opt::requested_ip);
    if (!server_id || !is_ours(*server_id) || !address) {
        out.why = "without our server identifier or the address";
        return;
    }
    const bool leased =
        client.binding != nullptr && client.binding->active && client.binding->lease.address == *address;
    if (!leased && offers_.of(client.port()) != *address) {
        out.why = "not its address";
        return;
    }
    const std::size_t most = std::max<std::size_t>(2, pool_.size() / 8);
    out.why = quarantine_.put(client.port(), *address, now.time + kQuarantine, most)
                  ? "address quarantined"
                  : "too many declined, not quarantined";
    refresh(offers_.drop(client.port()));
    end_lease(client.port(), out.events);
    refresh(*address);
}

void Server::release(const Client& client, Outcome& out) {
    const auto server_id = client.request.options.ip(Opt::server_id);
    const bool leased = client.binding != nullptr && client.binding->active;
    if ((server_id && !is_ours(*server_id)) || !leased || client.binding->lease.address != client.request.ciaddr) {
        out.why = "not its lease, or not ours";
        return;
    }
    end_lease(client.port(), out.events);
    out.why = "released";
}

void Server::inform(const Client& client, Outcome& out) const {
    const Subnet* const subnet = subnet_of(client.request.ciaddr);
    if (subnet == nullptr || !is_guests(client.request.ciaddr)) {
        out.why = "address not of this network";  // the answer would leave it
        return;
    }
    Message reply = answer(client, MessageType::ack, *subnet);
    add_parameters(client, reply, *subnet, client.binding != nullptr ? client.binding->lease.hostname : std::string());
    out.from = subnet->server.address;
    out.destination = Destination::unicast;
    out.reply = std::move(reply);
    out.why = "informed";
}

// NAK always goes to everybody (RFC 2131 section 4.3.2): the client's address is what is wrong.
void Server::refuse(const Client& client, Outcome& out, std::string_view why) const {
    out.why = why;
    const auto found = std::ranges::find_if(
        spec_.subnets, [](const Subnet& s) { return s.server.address.is_v4() && s.serves_dhcp(); });
    if (found == spec_.subnets.end()) {
        out.why = "no DHCP on this network";
        return;
    }
    Message reply = answer(client, MessageType::nak, *found);
    reply.ciaddr = Ip();
    reply.options.put_text(Opt::message, why);
    out.from = found->server.address;
    out.destination = Destination::broadcast;
    out.reply = std::move(reply);
}

Message Server::answer(const Client& client, MessageType type, const Subnet& subnet) const {
    Message reply;
    reply.reply = true;
    reply.type = type;
    reply.xid = client.request.xid;
    reply.broadcast = client.request.broadcast;
    reply.ciaddr = client.request.ciaddr;
    reply.chaddr = client.request.chaddr;
    reply.options.put_ip(Opt::server_id, subnet.server.address);
    if (type == MessageType::nak && client.request.options.has(Opt::client_id)) {
        reply.options.put(Opt::client_id, client.request.options.bytes(Opt::client_id));
    }
    return reply;
}

std::chrono::seconds lease_time(const Subnet& subnet, const Message& request) {
    const auto wanted = request.options.u32(Opt::lease_time);
    if (!wanted || *wanted == kInfinite) {
        return subnet.lease;
    }
    const std::chrono::seconds asked = std::max(std::chrono::seconds(*wanted), kShortestLease);
    return subnet.lease.count() == 0 ? asked : std::min(asked, subnet.lease);
}

void Server::add_lease_times(Message& reply, std::chrono::seconds lease) const {
    if (lease.count() == 0) {
        reply.options.put_u32(Opt::lease_time, kInfinite);  // nothing to renew
        return;
    }
    const auto seconds = static_cast<std::uint32_t>(lease.count());
    reply.options.put_u32(Opt::lease_time, seconds);
    reply.options.put_u32(Opt::renewal, seconds / 2);
    reply.options.put_u32(Opt::rebinding, seconds - seconds / 8);
}

// In the order in which they would be given up when the client takes only short messages. Netmask before router is
// the RFC's (RFC 2132 section 3.3).
void Server::add_parameters(const Client& client, Message& reply, const Subnet& subnet, const std::string& name) const {
    Options& out = reply.options;
    const Prefix prefix = subnet.server.prefix();
    out.put_ip(Opt::subnet_mask, netmask(prefix.length));
    if (spec_.gateway && client.wants(Opt::router)) {
        out.put_ip(Opt::router, subnet.server.address);
    }
    if (spec_.serve_dns && client.wants(Opt::dns)) {
        out.put_ip(Opt::dns, subnet.server.address);
    }
    if (client.request.options.has(Opt::client_id)) {  // RFC 6842
        out.put(Opt::client_id, client.request.options.bytes(Opt::client_id));
    }
    if (spec_.mtu && client.wants(Opt::mtu)) {
        out.put_u16(Opt::mtu, static_cast<std::uint16_t>(std::min(*spec_.mtu, 65535U)));
    }
    if (prefix.length < 31 && client.wants(Opt::broadcast)) {
        out.put_ip(Opt::broadcast, prefix.last());
    }
    if (!name.empty() && client.wants(Opt::hostname)) {
        out.put_text(Opt::hostname, name);
    }
    if (!spec_.domain.empty() && client.wants(Opt::domain)) {
        out.put_text(Opt::domain, spec_.domain);
    }
}

}  // namespace bascule::dhcp
