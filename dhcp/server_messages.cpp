// SPDX-License-Identifier: GPL-2.0-or-later
// What each message type does (RFC 2131 section 4.3).
#include <algorithm>

#include "dhcp/server_client.h"
#include "dhcp/told.h"

namespace bascule::dhcp {

namespace {

constexpr std::chrono::seconds kOfferHold{30};
constexpr std::chrono::minutes kQuarantine{10};
// A client that asks for less would do nothing but renew; the peer's server draws the same line.
constexpr std::chrono::seconds kShortestLease{120};
constexpr std::uint32_t kInfinite = 0xffffffff;
// Long enough for a busy guest to answer ARP, short enough that a client's first DISCOVER is still the one answered.
constexpr std::chrono::milliseconds kProbeTime{300};
constexpr std::chrono::seconds kProbeBelieved{30};
constexpr std::size_t kMostProbes = 256;
constexpr std::uint8_t kMostHops = 16;  // RFC 1542 section 4.1.1
// Suboptions of the relay agent's option (RFC 3527, RFC 5107).
constexpr std::uint8_t kLinkSelection = 5, kServerIdOverride = 11;

std::vector<std::uint8_t> octets(ByteView bytes) {
    std::vector<std::uint8_t> out(bytes.size());
    std::ranges::transform(bytes, out.begin(), [](std::byte b) { return std::to_integer<std::uint8_t>(b); });
    return out;
}

// An address in a suboption of option 82; none when it is not there, or is nonsense.
std::optional<Ip> relay_address(const Options& options, std::uint8_t wanted) {
    const ByteView value = relay_value(options, wanted);
    return value.size() == 4 ? std::optional(Ip::v4(ByteReader(value).u32())) : std::nullopt;
}

void add_lease_times(Message& reply, std::chrono::seconds lease) {
    if (lease.count() == 0) {
        reply.options.put_u32(Opt::lease_time, kInfinite);  // nothing to renew
        return;
    }
    const auto seconds = static_cast<std::uint32_t>(lease.count());
    reply.options.put_u32(Opt::lease_time, seconds);
    reply.options.put_u32(Opt::renewal, seconds / 2);
    reply.options.put_u32(Opt::rebinding, seconds - seconds / 8);
}

}  // namespace

ByteView relay_value(const Options& options, std::uint8_t wanted) {
    ByteReader in(options.bytes(Opt::relay_info));
    while (in.left() >= 2) {
        const std::uint8_t code = in.u8();
        const ByteView value = in.take(in.u8());
        if (in.ok() && code == wanted) {
            return value;
        }
    }
    return {};
}

// Which subnet a relayed client is in, and what we are called there. Says what is wrong, or nothing.
std::string_view Server::find_link(Client& client, bool unicast) const {
    const Message& request = client.request;
    const Subnet* const own = own_subnet();
    client.server_id = own != nullptr ? own->server.address : Ip();
    if (!client.relayed()) {
        // A client of a relayed subnet renews without its relay (RFC 2131 section 4.3.2); nothing else of it can come
        // here directly.
        const Subnet* const subnet = subnet_of(request.ciaddr);
        if (unicast && subnet != nullptr && subnet->relayed) {
            client.link = subnet;
        }
        return {};
    }
    if (request.hops > kMostHops) {
        return "relayed too often";
    }
    const auto selected = relay_address(request.options, kLinkSelection);
    const auto asked = request.options.ip(Opt::subnet_selection);
    client.link = subnet_of(selected ? *selected : asked ? *asked : request.giaddr);
    if (client.link == nullptr) {
        return "relayed from a subnet that is not served";
    }
    if (!client.link->relayed) {
        client.server_id = client.link->server.address;
    }
    client.server_id = relay_address(request.options, kServerIdOverride).value_or(client.server_id);
    return {};
}

Outcome Server::handle(const Message& request, bool unicast, const Now& now) {
    Outcome out;
    out.events = tick(now);
    out.branch = name(request.type);
    if (request.reply || request.chaddr.is_multicast() || request.chaddr.is_zero()) {
        out.why = "not from a client";
        return out;
    }
    if (request.options.bytes(Opt::client_id).size() > 255) {
        out.why = "client identifier too long";
        return out;
    }
    Client client{.request = request,
                  .key = key_of(request.chaddr, as_text(request.options.bytes(Opt::client_id)), spec_.key_by_client_id),
                  .hostname = wanted_hostname(request.options),
                  .server_id = {}};
    client.binding = leases_.by_client(client.key);
    if (out.why = find_link(client, unicast); !out.why.empty()) {
        return out;
    }
    const bool silent = client.hostname.empty() && client.binding != nullptr;
    client.reservation = reservation_for(client, silent ? client.binding->lease.hostname : client.hostname);
    switch (request.type) {
        case MessageType::discover: discover(client, out, now); break;
        case MessageType::request: this->request(client, unicast, out, now); break;
        case MessageType::decline: decline(client, out, now); break;
        case MessageType::release: release(client, out); break;
        case MessageType::inform: inform(client, out); break;
        case MessageType::bootp: bootp(client, out, now); break;
        default: out.why = "a server's message"; break;
    }
    return out;
}

// Whether the offer has to wait for ARP. What the client had before and what is reserved for it is probed too: that is
// where conflicts come from.
bool Server::must_probe(const Client& client, const Ip& address, const Now& now) {
    const bool leased = client.binding != nullptr && client.binding->active;
    if (!spec_.probe_addresses || client.relayed() || leased || probed_.contains(address)) {
        return false;
    }
    if (const auto waiting = probes_.find(client.port()); waiting != probes_.end()) {
        return true;
    }
    if (probes_.size() >= kMostProbes) {
        return false;
    }
    probes_.insert({client.port(), Probe{client.request, address, now.time + kProbeTime}});
    return true;
}

void Server::seen_in_use(const Ip& address, const MacAddr& by, const Now& now) {
    const auto probe = std::ranges::find_if(probes_, [&](const auto& one) { return one.second.address == address; });
    if (probe == probes_.end() || probe->first == by) {  // the client itself may still have it
        return;
    }
    const std::size_t most = std::max<std::size_t>(2, pool_size() / 8);
    if (!quarantine_.put(by, address, now.time + kQuarantine, most)) {
        return;  // one that answers for everything must not empty the pool
    }
    refresh(offers_.drop(
        key_of(probe->first, as_text(probe->second.request.options.bytes(Opt::client_id)), spec_.key_by_client_id)));
    refresh(address);
    probe->second.until = now.time;
    probe->second.address = Ip();
}

std::vector<Message> Server::probed(const Now& now) {
    std::vector<Message> out;
    for (auto probe = probes_.begin(); probe != probes_.end();) {
        if (probe->second.until > now.time) {
            ++probe;
            continue;
        }
        if (!probe->second.address.is_unspecified()) {
            probed_[probe->second.address] = now.time + kProbeBelieved;
        }
        out.push_back(std::move(probe->second.request));
        probe = probes_.erase(probe);
    }
    return out;
}

void Server::discover(const Client& client, Outcome& out, const Now& now) {
    const auto [address, why] = choose(client);
    out.why = why;
    if (!address) {
        return;
    }
    refresh(offers_.put(client.key, *address, now.time + kOfferHold));
    if (must_probe(client, *address, now)) {
        out.why = "probing";
        out.probe = address;
        return;
    }
    if (spec_.rapid_commit && client.request.options.has(Opt::rapid_commit)) {  // RFC 4039
        out.branch = "rapid commit";
        return bind(client, *address, out, now);
    }
    const Subnet& subnet = *subnet_of(*address);
    Message reply = answer(client, MessageType::offer);
    reply.ciaddr = Ip();
    reply.yiaddr = *address;
    add_lease_times(reply, lease_time(lease_length(client, *address), client.request));
    add_parameters(client, reply, subnet, name_for(client));
    send(client, std::move(reply), &subnet, out);
}

// RFC 2131 section 4.3.2: which state the client is in follows from what it filled in.
void Server::request(const Client& client, bool unicast, Outcome& out, const Now& now) {
    const Message& request = client.request;
    const auto server_id = request.options.ip(Opt::server_id);
    const auto wanted = request.options.ip(Opt::requested_ip);
    if (server_id) {
        out.branch = "selecting";
        if (!is_ours(*server_id) && *server_id != client.server_id) {
            refresh(offers_.drop(client.key));
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
        return refuse(client, out, kExhausted);
    }
    if (!in_reach(client, subnet_of(*address))) {
        return refuse(client, out, "wrong network");
    }
    const bool active = client.binding != nullptr && client.binding->active;
    if (active && !server_id && client.binding->lease.address != *address) {
        return refuse(client, out, "it has another address");
    }
    if (!acceptable(client, *address)) {
        return refuse(client, out, "address not available");
    }
    const bool known = (active && client.binding->lease.address == *address) ||
                       (client.reservation != nullptr && client.reservation->address == *address);
    if (!known && !from_pools(client)) {
        return refuse(client, out, kExhausted);
    }
    bind(client, *address, out, now);
}

void Server::bind(const Client& client, const Ip& address, Outcome& out, const Now& now) {
    const Subnet& subnet = *subnet_of(address);
    const bool bootp = client.request.type == MessageType::bootp;  // never renews
    const auto length = bootp ? std::chrono::seconds(0) : lease_time(lease_length(client, address), client.request);
    const bool had = client.binding != nullptr && client.binding->active;
    const bool moved = had && (client.binding->lease.address != address || client.binding->lease.port != client.port());
    const std::optional<Ip> before = client.binding ? std::optional(client.binding->lease.address) : std::nullopt;
    Lease lease{.network = spec_.uuid,
                .port = client.port(),
                .address = address,
                .prefix_length = subnet.server.length,
                .expires = length.count() == 0 ? kNever : now.wall + length,
                .hostname = name_for(client),
                .client_id = octets(client.request.options.bytes(Opt::client_id)),
                .by_id = !client.key.id.empty()};
    if (moved) {
        end_lease(client.key, out.events);
    }
    if (const Binding* const holder = leases_.by_address(address);
        holder != nullptr && client_of(holder->lease) != client.key) {
        end_lease(client_of(holder->lease), out.events);  // a stale one: see held_by_other
    }
    const Time ends = length.count() == 0 ? kEndOfTime : now.time + length;
    const Binding& binding = leases_.bind(std::move(lease), ends);
    refresh(offers_.drop(client.key));
    probes_.erase(client.port());
    refresh(address);
    if (before) {
        refresh(*before);
    }
    out.events.push_back({had && !moved ? LeaseEventKind::renewed : LeaseEventKind::added, binding.lease});
    out.why = had && !moved ? "renewed" : "bound";

    Message reply = answer(client, bootp ? MessageType::bootp : MessageType::ack);
    reply.yiaddr = address;
    if (!bootp) {
        add_lease_times(reply, length);
    }
    if (client.request.type == MessageType::discover) {
        reply.options.put(Opt::rapid_commit, {});
    }
    add_parameters(client, reply, subnet, binding.lease.hostname);
    send(client, std::move(reply), &subnet, out);
}

void Server::decline(const Client& client, Outcome& out, const Now& now) {
    const auto server_id = client.request.options.ip(Opt::server_id);
    const auto address = client.request.options.ip(Opt::requested_ip);
    if (!server_id || (!is_ours(*server_id) && *server_id != client.server_id) || !address) {
        out.why = "without our server identifier or the address";
        return;
    }
    const bool leased =
        client.binding != nullptr && client.binding->active && client.binding->lease.address == *address;
    if (!leased && offers_.of(client.key) != *address) {
        out.why = "not its address";
        return;
    }
    const std::size_t most = std::max<std::size_t>(2, pool_size() / 8);
    out.why = quarantine_.put(client.port(), *address, now.time + kQuarantine, most)
                  ? "address quarantined"
                  : "too many declined, not quarantined";
    probed_.erase(*address);
    refresh(offers_.drop(client.key));
    end_lease(client.key, out.events);
    refresh(*address);
}

void Server::release(const Client& client, Outcome& out) {
    const auto server_id = client.request.options.ip(Opt::server_id);
    const bool leased = client.binding != nullptr && client.binding->active;
    if ((server_id && !is_ours(*server_id) && *server_id != client.server_id) || !leased ||
        client.binding->lease.address != client.request.ciaddr) {
        out.why = "not its lease, or not ours";
        return;
    }
    end_lease(client.key, out.events);
    out.why = "released";
}

void Server::inform(const Client& client, Outcome& out) const {
    const Subnet* const subnet = subnet_of(client.request.ciaddr);
    if (!in_reach(client, subnet) || !is_guests(client.request.ciaddr)) {
        out.why = "address not of this network";  // the answer would leave it
        return;
    }
    Message reply = answer(client, MessageType::ack);
    add_parameters(client, reply, *subnet, client.binding != nullptr ? client.binding->lease.hostname : std::string());
    send(client, std::move(reply), subnet, out);
    out.destination = Destination::unicast;
    out.why = "informed";
}

void Server::bootp(const Client& client, Outcome& out, const Now& now) {
    const Reservation* const reserved = client.reservation;
    const bool only_named = reserved != nullptr && !reserved->mac && reserved->client_id.empty() &&
                            reserved->circuit_id.empty() && reserved->remote_id.empty();
    const bool has_own = reserved != nullptr && !only_named && reserved->address && usable(client, *reserved->address);
    if (!has_own && !presence_.is_known(client.port())) {
        out.why = "an address without end is for reservations and NICs of defined guests";
        return;
    }
    const auto [address, why] = choose(client);
    if (!address) {
        out.why = why;
        return;
    }
    bind(client, *address, out, now);
    if (out.reply->siaddr.is_unspecified()) {
        out.reply->siaddr = out.from;  // RFC 951: who serves it
    }
}

// NAK always goes to everybody (RFC 2131 section 4.3.2): the client's address is what is wrong. A relay is told by the
// flag to do the same.
void Server::refuse(const Client& client, Outcome& out, std::string_view why) const {
    out.why = why;
    if (own_subnet() == nullptr || std::ranges::none_of(spec_.subnets, [](const Subnet& s) {
            return s.server.address.is_v4() && s.serves_dhcp();
        })) {
        out.why = "no DHCP on this network";
        return;
    }
    Message reply = answer(client, MessageType::nak);
    reply.ciaddr = Ip();
    reply.broadcast = reply.broadcast || client.relayed();
    if (client.request.options.has(Opt::client_id)) {
        reply.options.put(Opt::client_id, client.request.options.bytes(Opt::client_id));
    }
    reply.options.put_text(Opt::message, why);
    send(client, std::move(reply), nullptr, out);
    out.destination = client.relayed() ? Destination::relay : Destination::broadcast;
}

Message Server::answer(const Client& client, MessageType type) const {
    Message reply;
    reply.options.reserve();
    reply.reply = true;
    reply.type = type;
    reply.xid = client.request.xid;
    reply.broadcast = client.request.broadcast;
    reply.ciaddr = client.request.ciaddr;
    reply.giaddr = client.request.giaddr;
    reply.chaddr = client.request.chaddr;
    return reply;
}

// Where a reply goes (RFC 2131 section 4.1), who it is from, and what a relay gets back. `subnet`: the address's; null
// in a NAK.
void Server::send(const Client& client, Message reply, const Subnet* subnet, Outcome& out) const {
    const Subnet* const own = subnet != nullptr && !subnet->relayed ? subnet : own_subnet();
    out.from = own != nullptr ? own->server.address : Ip();
    const bool override = client.server_id != out.from && client.relayed();
    // The identifier leads: a client that takes only short messages must not miss it.
    const Options before = std::exchange(reply.options, {});
    Message& ordered = reply;
    ordered.options.reserve();
    if (reply.type != MessageType::bootp) {
        ordered.options.put_ip(Opt::server_id, override ? client.server_id : out.from);
    }
    for (const auto& [code, value] : before.all()) {
        ordered.options.put(code, value);
    }
    if (client.relayed() && client.request.options.has(Opt::relay_info)) {  // RFC 3046: last
        ordered.options.put(Opt::relay_info, client.request.options.bytes(Opt::relay_info));
    }
    out.destination = client.relayed()                                                          ? Destination::relay
                      : !reply.ciaddr.is_unspecified() && client.request.ciaddr == reply.yiaddr ? Destination::unicast
                      : client.request.broadcast                                                ? Destination::broadcast
                                                                                                : Destination::link;
    out.reply = std::move(reply);
}

std::chrono::seconds lease_time(std::chrono::seconds most, const Message& request) {
    const auto wanted = request.options.u32(Opt::lease_time);
    if (!wanted || *wanted == kInfinite) {
        return most;
    }
    const std::chrono::seconds asked = std::max(std::chrono::seconds(*wanted), kShortestLease);
    return most.count() == 0 ? asked : std::min(asked, most);
}

// The host's, else the range's, else the subnet's.
std::chrono::seconds Server::lease_length(const Client& client, const Ip& address) const {
    if (client.reservation != nullptr && client.reservation->address == address && client.reservation->lease) {
        return *client.reservation->lease;
    }
    const Subnet& subnet = *subnet_of(address);
    for (const Range& range : subnet.ranges) {
        if (range.addresses().contains(address) && range.lease) {
            return *range.lease;
        }
    }
    return subnet.lease;
}

void Server::add_parameters(const Client& client, Message& reply, const Subnet& subnet, const std::string& name) const {
    const Subnet* const own = subnet.relayed ? own_subnet() : &subnet;
    tell(spec_, subnet, own != nullptr ? own->server.address : Ip(), client.request, name, reply);
}

}  // namespace bascule::dhcp
