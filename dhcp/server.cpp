// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/server.h"

#include <algorithm>

#include "dhcp/server_client.h"

namespace bascule::dhcp {

namespace {

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

Server::Server(Spec spec) : spec_(std::move(spec)) { configure(Spec(spec_)); }

void Server::configure(Spec spec) {
    const bool rekey = spec.key_by_client_id != spec_.key_by_client_id;
    spec_ = std::move(spec);
    if (rekey) {
        leases_.rekey(spec_.key_by_client_id);
    }
    by_mac_.clear();
    by_name_.clear();
    by_address_.clear();
    reserved_names_.clear();
    not_guests_.clear();
    by_id_.clear();
    by_line_.clear();
    make_pools();
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
        for (const Reservation& host : subnet.hosts) {
            if (host.mac) {
                by_mac_.insert({*host.mac, &host});
            }
            if (!host.client_id.empty()) {
                by_id_.insert({std::string(host.client_id.begin(), host.client_id.end()), &host});
            }
            const bool line = !host.circuit_id.empty() || !host.remote_id.empty();
            if (line) {
                by_line_.push_back(&host);
            }
            if (!host.mac && host.client_id.empty() && !line && !host.name.empty()) {
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

// What a client may have been promised; 0 and with it for ever when any of them is.
std::chrono::seconds longest_lease(const Subnet& subnet) {
    static constexpr std::chrono::seconds kForever{0xffffffff};
    const auto length = [](std::chrono::seconds l) { return l.count() == 0 ? kForever : l; };
    std::chrono::seconds out = length(subnet.lease);
    for (const Range& range : subnet.ranges) {
        out = std::max(out, length(range.lease.value_or(subnet.lease)));
    }
    for (const Reservation& host : subnet.hosts) {
        out = std::max(out, length(host.lease.value_or(subnet.lease)));
    }
    return out;
}

// The longest rest of a lease that is believed of a file, unless the network gives longer ones.
constexpr std::chrono::seconds kLongestRestored = std::chrono::days(7);

void Server::restore(const std::vector<journal::Record>& records, const Now& now) {
    for (const journal::Record& record : records) {
        if (record.lease.address.is_v6()) {
            continue;  // server6's
        }
        const Subnet* const subnet = subnet_of(record.lease.address);
        auto left = record.lease.expires == kNever ? std::chrono::seconds::max() : record.lease.expires - now.wall;
        // A wall clock that was wrong must not make leases of years; but what a client was promised before the
        // network's lease time was cut holds, and an endless lease is no matter of clocks.
        if (subnet != nullptr && record.lease.expires != kNever) {
            left = std::min(left, std::max(longest_lease(*subnet), kLongestRestored));
        }
        const bool endless = left == std::chrono::seconds::max();
        Lease lease = record.lease;
        lease.network = spec_.uuid;
        leases_.restore(std::move(lease), endless ? kEndOfTime : now.time + std::max(left, std::chrono::seconds(0)),
                        record.active && left.count() > 0);
        refresh(record.lease.address);
    }
    leases_.rekey(spec_.key_by_client_id);  // the file may be of another time
    clear_forbidden_names();
}

// The subnet an address is served in, by DHCP.
const Subnet* Server::subnet_of(const Ip& address) const {
    const auto found = std::ranges::find_if(spec_.subnets, [&](const Subnet& s) {
        return s.server.address.is_v4() && s.serves_dhcp() && s.server.prefix().contains(address);
    });
    return found == spec_.subnets.end() ? nullptr : &*found;
}

const Subnet* Server::own_subnet() const {
    const auto served = [](const Subnet& s) { return s.server.address.is_v4() && !s.relayed; };
    const auto with_dhcp =
        std::ranges::find_if(spec_.subnets, [&](const Subnet& s) { return served(s) && s.serves_dhcp(); });
    const auto found = with_dhcp != spec_.subnets.end() ? with_dhcp : std::ranges::find_if(spec_.subnets, served);
    return found == spec_.subnets.end() ? nullptr : &*found;
}

bool Server::is_ours(const Ip& server_id) const {
    return std::ranges::any_of(spec_.subnets,
                               [&](const Subnet& s) { return !s.relayed && s.server.address == server_id; });
}

bool Server::is_guests(const Ip& address) const {
    return subnet_of(address) != nullptr && !not_guests_.contains(address);
}

const Reservation* Server::reservation_for(const Client& client, const std::string& hostname) const {
    if (const auto found = by_mac_.find(client.port()); found != by_mac_.end()) {
        return found->second;
    }
    if (!by_id_.empty()) {
        const auto found = by_id_.find(client.request.options.text(Opt::client_id));
        if (found != by_id_.end()) {
            return found->second;
        }
    }
    if (const Reservation* const line = line_reservation(client)) {
        return line;
    }
    const auto found = hostname.empty() ? by_name_.end() : by_name_.find(hostname);
    return found == by_name_.end() ? nullptr : found->second;
}

// By what the relay says of the line. Who renews does so without the relay: the lease it has says which line it was.
const Reservation* Server::line_reservation(const Client& client) const {
    if (by_line_.empty()) {
        return nullptr;
    }
    const auto is_line = [](const Reservation* r) { return !r->circuit_id.empty() || !r->remote_id.empty(); };
    if (!client.relayed()) {
        const auto held = client.binding != nullptr && client.binding->active
                              ? by_address_.find(client.binding->lease.address)
                              : by_address_.end();
        return held != by_address_.end() && is_line(held->second) ? held->second : nullptr;
    }
    const auto found = std::ranges::find_if(
        by_line_, [&](const Reservation* r) { return is_from_line(client.request, r->circuit_id, r->remote_id); });
    return found == by_line_.end() ? nullptr : *found;
}

// A client on the bridge has addresses of the bridge's subnets, one behind a relay those of its relay's.
bool Server::in_reach(const Client& client, const Subnet* subnet) const {
    return subnet != nullptr && (client.link != nullptr ? subnet == client.link : !subnet->relayed);
}

bool Server::held_by_other(const Client& client, const Ip& address) const {
    const Binding* const binding = leases_.by_address(address);
    const auto offer = offers_.holder(address);
    // The lease of a guest that is off does not keep its address from the one that it is reserved for.
    const auto reserved = by_address_.find(address);
    const bool stale = binding != nullptr && presence_.is_off(binding->lease.port) && reserved != by_address_.end() &&
                       reserved->second == client.reservation;
    return (binding != nullptr && binding != client.binding && binding->active && !stale) ||
           (offer && *offer != client.key) || quarantine_.holds(address);
}

// May this client have this address now?
bool Server::usable(const Client& client, const Ip& address) const {
    const Subnet* const subnet = subnet_of(address);
    if (!in_reach(client, subnet) || !is_guests(address) || held_by_other(client, address)) {
        return false;
    }
    if (const auto reserved = by_address_.find(address); reserved != by_address_.end()) {
        return reserved->second == client.reservation;
    }
    const auto index = static_cast<std::size_t>(subnet - spec_.subnets.data());
    return std::ranges::any_of(pools_, [&](const Pool& pool) {
        return pool.subnet == index && pool.addresses.contains(address) && is_open(client, pool);
    });
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
    // What an unknown client had or was offered is no claim on the addresses that are kept for ports.
    const auto found = from_pools(client);
    if (!found && (client.binding == nullptr || !client.binding->active)) {
        return {std::nullopt, kExhausted};
    }
    if (client.binding != nullptr && usable(client, client.binding->lease.address)) {
        return {client.binding->lease.address, "its address of before"};
    }
    if (const auto offer = offers_.of(client.key); offer && usable(client, *offer)) {
        return {*offer, "its offer of before"};
    }
    const auto wanted = client.request.options.ip(Opt::requested_ip);
    if (found && wanted && usable(client, *wanted) && leases_.by_address(*wanted) == nullptr) {
        return {*wanted, "the address it asked for"};
    }
    return {found, found ? "from the pool" : kExhausted};
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

bool Server::name_is_free(const MacAddr& port, const ClientKey& client, const std::string& name) const {
    if (const auto reserved = reserved_names_.find(name); reserved != reserved_names_.end()) {
        return reserved->second == port;
    }
    const Binding* const holder = leases_.by_name(name);
    return holder == nullptr || client_of(holder->lease) == client;
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
    return name_is_free(client.port(), client.key, name) ? name : std::string();
}

void Server::clear_forbidden_names() {
    std::vector<Ip> wrong;
    for (const auto& [address, binding] : leases_.all()) {
        const Lease& lease = binding.lease;
        if (!lease.hostname.empty() && !name_is_free(lease.port, client_of(lease), lease.hostname)) {
            wrong.push_back(address);
        }
    }
    for (const Ip& address : wrong) {
        leases_.clear_name(address);
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
    std::erase_if(probed_, [&](const auto& one) { return one.second <= now.time; });
    return events;
}

Time Server::next_tick() const {
    Time next = std::min({leases_.next_end(), offers_.next_end(), quarantine_.next_end()});
    for (const auto& [port, probe] : probes_) {
        next = std::min(next, probe.until);
    }
    return next;
}

void Server::end_lease(const ClientKey& client, std::vector<LeaseEvent>& events) {
    if (auto lease = leases_.end(client)) {
        refresh(lease->address);
        events.push_back({LeaseEventKind::released, *std::move(lease)});
    }
}

std::vector<LeaseEvent> Server::revoke(const MacAddr& port) {
    std::vector<LeaseEvent> events;
    refresh(offers_.drop({port, {}}));
    probes_.erase(port);
    presence_.forget(port);
    for (const Binding* binding = leases_.by_port(port); binding != nullptr && binding->active;
         binding = leases_.by_port(port)) {
        end_lease(client_of(binding->lease), events);
    }
    return events;
}

}  // namespace bascule::dhcp
