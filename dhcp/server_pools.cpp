// SPDX-License-Identifier: GPL-2.0-or-later
// Which addresses are to be had by whom.
#include <algorithm>

#include "dhcp/server.h"
#include "dhcp/server_client.h"

namespace bascule::dhcp {

namespace {

// What is left of `from` without the addresses of `part`.
std::vector<IpRange> without(const std::vector<IpRange>& from, const IpRange& part) {
    std::vector<IpRange> out;
    for (const IpRange& range : from) {
        if (range.last < part.first || part.last < range.first) {
            out.push_back(range);
            continue;
        }
        if (range.first < part.first) {
            out.push_back({range.first, Ip::v4(part.first.v4_value() - 1)});
        }
        if (part.last < range.last) {
            out.push_back({Ip::v4(part.last.v4_value() + 1), range.last});
        }
    }
    return out;
}

}  // namespace

// One of each subnet for everybody, and one of each range that is for a line: the others do not get those.
void Server::make_pools() {
    pools_.clear();
    has_lines_ = false;
    for (std::size_t i = 0; i < spec_.subnets.size(); ++i) {
        const Subnet& subnet = spec_.subnets[i];
        if (!subnet.server.address.is_v4()) {
            continue;
        }
        const Prefix prefix = subnet.server.prefix();
        const auto within = [&](const Range& range) {
            return IpRange{std::max(range.first, prefix.first()), std::min(range.last, prefix.last())};
        };
        std::vector<IpRange> open;
        for (const Range& range : subnet.ranges) {
            if (!range.of_line() && !(range.last < prefix.first()) && !(prefix.last() < range.first)) {
                open.push_back(within(range));
            }
        }
        for (const Range& range : subnet.ranges) {
            if (range.of_line()) {
                pools_.push_back({.addresses = AddressPool({within(range)}), .subnet = i, .line = &range});
                open = without(open, within(range));
                has_lines_ = true;
            }
        }
        pools_.push_back({.addresses = AddressPool(std::move(open)), .subnet = i});
    }
}

std::size_t Server::pool_size() const {
    std::size_t size = 0;
    for (const Pool& pool : pools_) {
        size += pool.addresses.size();
    }
    return size;
}

// By what the relay says, or by the address that it has when it renews without the relay.
bool Server::is_on_line(const Client& client, const Pool& pool) const {
    if (client.relayed()) {
        return is_from_line(client.request, pool.line->circuit_id, pool.line->remote_id);
    }
    return client.binding != nullptr && client.binding->active &&
           pool.addresses.contains(client.binding->lease.address);
}

bool Server::is_open(const Client& client, const Pool& pool) const {
    if (!has_lines_) {
        return true;
    }
    if (pool.line != nullptr) {
        return is_on_line(client, pool);
    }
    return std::ranges::none_of(pools_, [&](const Pool& other) {
        return other.subnet == pool.subnet && other.line != nullptr && is_on_line(client, other);
    });
}

// From the pools in the client's reach, beginning at a place that its MAC chooses: the same port comes to the same
// place, even when everything was forgotten.
std::optional<Ip> Server::from_pools(const Client& client) const {
    std::vector<const AddressPool*> pools;
    std::size_t left = 0;
    for (const Pool& pool : pools_) {
        if (pool.addresses.size() > 0 && in_reach(client, &spec_.subnets[pool.subnet]) && is_open(client, pool)) {
            pools.push_back(&pool.addresses);
            left += pool.addresses.size() - pool.addresses.taken();
        }
    }
    const auto has_lease = [&](const MacAddr& port) {
        const Binding* const binding = leases_.by_port(port);
        return binding != nullptr && binding->active;
    };
    if (pools.empty() || (!presence_.is_known(client.port()) && left <= presence_.without(has_lease))) {
        return std::nullopt;
    }
    const std::size_t seed = std::hash<ClientKey>()(client.key) * 0x9e3779b97f4a7c15U >> 20U;
    for (const Claim claim : {Claim::none, Claim::remembered, Claim::offered}) {
        for (std::size_t i = 0; i < pools.size(); ++i) {
            if (const auto found = pools[(seed + i) % pools.size()]->find(seed, claim)) {
                return found;
            }
        }
    }
    return std::nullopt;
}

void Server::refresh(const Ip& address) {
    const Claim claim = claim_on(address);
    for (Pool& pool : pools_) {
        pool.addresses.set(address, claim);
    }
}

void Server::refresh(const std::vector<Ip>& addresses) {
    for (const Ip& address : addresses) {
        refresh(address);
    }
}

}  // namespace bascule::dhcp
