// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/wire_values.h"

#include <algorithm>

namespace bascule::dhcp::wire {

namespace {

constexpr std::uint64_t kForever = ~0ULL;
constexpr std::uint64_t kMostSeconds = 0xffffffff;

void put_bytes(Fields& out, std::uint16_t tag, const std::vector<std::uint8_t>& octets) {
    if (!octets.empty()) {
        out.bytes(tag, std::as_bytes(std::span(octets)));
    }
}

std::vector<std::uint8_t> bytes_from(FieldReader& in, std::uint16_t tag, std::size_t most) {
    std::vector<std::uint8_t> out;
    if (!in.has(tag)) {
        return out;
    }
    for (const std::byte b : in.bytes(tag)) {
        out.push_back(std::to_integer<std::uint8_t>(b));
    }
    if (out.size() > most) {
        in.refuse(tag, "is too long");
    }
    return out;
}

void put_text(Fields& out, std::uint16_t tag, const std::string& text) {
    if (!text.empty()) {
        out.text(tag, text);
    }
}

std::string text_from(FieldReader& in, std::uint16_t tag, std::size_t most = 255) {
    std::string out = in.has(tag) ? in.text(tag) : std::string();
    if (out.size() > most) {
        in.refuse(tag, "is too long");
    }
    return out;
}

void put_seconds(Fields& out, std::uint16_t tag, std::optional<std::chrono::seconds> length) {
    if (length) {
        out.u64(tag, static_cast<std::uint64_t>(length->count()));
    }
}

std::optional<std::chrono::seconds> seconds_from(FieldReader& in, std::uint16_t tag) {
    if (!in.has(tag)) {
        return std::nullopt;
    }
    const std::uint64_t length = in.u64(tag);
    if (length > kMostSeconds) {
        in.refuse(tag, "is longer than a lease can be");
    }
    return std::chrono::seconds(length & kMostSeconds);
}

Fields fields_of(const Prefix& prefix) {
    return std::move(Fields().ip(1, prefix.network).u8(2, static_cast<std::uint8_t>(prefix.length)));
}

Prefix prefix_from(FieldReader& in) {
    const Ip network = in.ip(1);
    const unsigned length = in.u8(2);
    if (length > network.bits()) {
        in.refuse(2, "is no prefix length");
        return {};
    }
    return Prefix::of(network, length);
}

Fields fields_of(const Range& range) {
    Fields out;
    out.ip(1, range.first).ip(2, range.last);
    put_seconds(out, 3, range.lease);
    put_bytes(out, 4, range.circuit_id);
    put_bytes(out, 5, range.remote_id);
    return out;
}

Range range_from(FieldReader& in) {
    Range range{in.ip(1), in.ip(2), seconds_from(in, 3), bytes_from(in, 4, 255), bytes_from(in, 5, 255)};
    if (in.ok() && (range.first.family() != range.last.family() || range.last < range.first)) {
        in.refuse(2, "is not after the range's first address");
    }
    return range;
}

Fields fields_of(const DelegationPool& pool) {
    return std::move(Fields().nested(1, fields_of(pool.from)).u8(2, static_cast<std::uint8_t>(pool.length)));
}

DelegationPool delegation_from(FieldReader& in) {
    const auto from = list_from(in, 1, prefix_from);
    if (from.size() != 1 || !from[0].network.is_v6()) {
        in.refuse(1, "must be one IPv6 prefix");
        return {};
    }
    const DelegationPool pool{from[0], in.u8(2)};
    if (pool.length < pool.from.length || pool.length > 128) {
        in.refuse(2, "is no length of prefixes within the pool");
    }
    return pool;
}

Fields fields_of(const ClientMatch& match) {
    Fields out;
    for (const std::uint16_t arch : match.archs) {
        out.nested(1, std::move(Fields().u16(1, arch)));
    }
    if (match.ipxe) {
        out.flag(2, *match.ipxe);
    }
    put_text(out, 3, match.vendor_class);
    put_text(out, 4, match.user_class);
    return out;
}

std::uint16_t arch_from(FieldReader& in) { return in.u16(1); }

ClientMatch match_from(FieldReader& in) {
    ClientMatch match;
    match.archs = list_from(in, 1, arch_from);
    if (in.has(2)) {
        match.ipxe = in.flag(2);
    }
    match.vendor_class = text_from(in, 3);
    match.user_class = text_from(in, 4);
    return match;
}

ClientMatch one_match(FieldReader& in, std::uint16_t tag) {
    auto all = list_from(in, tag, match_from);
    return all.empty() ? ClientMatch{} : std::move(all.front());
}

Fields fields_of(const ExtraOption& option) {
    Fields out;
    out.u8(1, option.code);
    put_bytes(out, 2, option.value);
    out.flag(3, option.force).nested(4, fields_of(option.when));
    return out;
}

ExtraOption option_from(FieldReader& in) { return {in.u8(1), bytes_from(in, 2, 4096), in.flag(3), one_match(in, 4)}; }

Fields fields_of(const Boot& boot) {
    Fields out;
    put_text(out, 1, boot.file);
    if (boot.server) {
        out.ip(2, *boot.server);
    }
    put_text(out, 3, boot.server_name);
    out.nested(4, fields_of(boot.when));
    return out;
}

Boot boot_from(FieldReader& in) {
    Boot boot;
    boot.file = text_from(in, 1, 1024);
    if (in.has(2)) {
        boot.server = in.ip(2);
    }
    boot.server_name = text_from(in, 3);
    boot.when = one_match(in, 4);
    return boot;
}

Fields fields_of(const Route& route) { return std::move(Fields().nested(1, fields_of(route.to)).ip(2, route.gateway)); }

Route route_from(FieldReader& in) {
    const auto to = list_from(in, 1, prefix_from);
    if (to.size() != 1) {
        in.refuse(1, "must be there once");
        return {};
    }
    return {to[0], in.ip(2)};
}

using wire::fields_of;

template <class T>
void put_list(Fields& out, std::uint16_t tag, const std::vector<T>& list) {
    for (const T& one : list) {
        out.nested(tag, fields_of(one));
    }
}

Fields fields_of(const Advertising& a) {
    Fields out;
    out.flag(1, a.enabled);
    put_seconds(out, 2, a.interval);
    put_seconds(out, 3, a.lifetime);
    if (a.managed) {
        out.flag(4, *a.managed);
    }
    if (a.other) {
        out.flag(5, *a.other);
    }
    out.u8(6, static_cast<std::uint8_t>(a.preference + 1));
    put_list(out, 7, a.routes);
    if (a.nat64) {
        out.nested(8, fields_of(*a.nat64));
    }
    return out;
}

Advertising advertising_from(FieldReader& in) {
    Advertising a;
    a.enabled = in.flag(1);
    a.interval = seconds_from(in, 2).value_or(a.interval);
    a.lifetime = seconds_from(in, 3).value_or(a.lifetime);
    if (in.has(4)) {
        a.managed = in.flag(4);
    }
    if (in.has(5)) {
        a.other = in.flag(5);
    }
    a.preference = std::min<int>(in.u8(6), 2) - 1;
    a.routes = list_from(in, 7, prefix_from);
    if (const auto nat64 = list_from(in, 8, prefix_from); !nat64.empty()) {
        a.nat64 = nat64.front();
    }
    return a;
}

}  // namespace

std::string dns_name_from(FieldReader& in, std::uint16_t tag) {
    if (!in.has(tag)) {
        return {};
    }
    std::string name = in.text(tag);
    if (in.ok() && !is_dns_name(name)) {
        in.refuse(tag, "is not a host name");
    }
    return name;
}

Fields fields_of(const Reservation& host) {
    Fields out;
    if (host.mac) {
        out.mac(1, *host.mac);
    }
    put_text(out, 2, host.name);
    if (host.address) {
        out.ip(3, *host.address);
    }
    put_bytes(out, 4, host.client_id);
    if (host.iaid) {
        out.u32(5, *host.iaid);
    }
    put_seconds(out, 6, host.lease);
    put_bytes(out, 7, host.circuit_id);
    put_bytes(out, 8, host.remote_id);
    return out;
}

Reservation reservation_from(FieldReader& in) {
    Reservation host;
    if (in.has(1)) {
        host.mac = in.mac(1);
    }
    host.name = dns_name_from(in, 2);
    if (in.has(3)) {
        host.address = in.ip(3);
    }
    host.client_id = bytes_from(in, 4, 255);
    if (in.has(5)) {
        host.iaid = in.u32(5);
    }
    host.lease = seconds_from(in, 6);
    host.circuit_id = bytes_from(in, 7, 255);
    host.remote_id = bytes_from(in, 8, 255);
    return host;
}

Fields fields_of(const Subnet& subnet, bool with_hosts) {
    Fields out;
    out.ip(1, subnet.server.address).u8(2, static_cast<std::uint8_t>(subnet.server.length));
    out.u64(3, static_cast<std::uint64_t>(subnet.lease.count()));
    put_list(out, 4, subnet.ranges);
    if (with_hosts) {
        put_list(out, 5, subnet.hosts);
    }
    out.flag(6, subnet.relayed);
    put_list(out, 7, subnet.delegations);
    out.flag(8, subnet.on_link);
    if (subnet.autonomous) {
        out.flag(9, *subnet.autonomous);
    }
    put_seconds(out, 10, subnet.preferred);
    put_seconds(out, 11, subnet.valid);
    return out;
}

Subnet subnet_from(FieldReader& in) {
    Subnet subnet;
    subnet.server = {in.ip(1), in.u8(2)};
    const std::uint64_t lease = in.u64(3);
    subnet.ranges = list_from(in, 4, range_from);
    subnet.hosts = list_from(in, 5, reservation_from);
    if (in.ok() && subnet.server.length > subnet.server.address.bits()) {
        in.refuse(2, "is no prefix length");
    }
    if (lease > kMostSeconds) {
        in.refuse(3, "is longer than a lease can be");
    }
    subnet.lease = std::chrono::seconds(lease & kMostSeconds);
    subnet.relayed = in.flag_or(6, false);
    subnet.delegations = list_from(in, 7, delegation_from);
    subnet.on_link = in.flag_or(8, true);
    if (in.has(9)) {
        subnet.autonomous = in.flag(9);
    }
    subnet.preferred = seconds_from(in, 10).value_or(std::chrono::seconds(0));
    subnet.valid = seconds_from(in, 11).value_or(std::chrono::seconds(0));
    return subnet;
}

Fields fields_of(const Lease& lease) {
    Fields out;
    out.uuid(1, lease.network).mac(2, lease.port).ip(3, lease.address);
    out.u8(4, static_cast<std::uint8_t>(lease.prefix_length));
    out.u64(5,
            lease.expires == kNever ? kForever : static_cast<std::uint64_t>(lease.expires.time_since_epoch().count()));
    put_text(out, 6, lease.hostname);
    put_bytes(out, 7, lease.client_id);
    if (lease.iaid) {
        out.u32(8, *lease.iaid);
    }
    if (lease.delegated) {
        out.flag(9, true);
    }
    if (lease.by_id) {
        out.flag(10, true);
    }
    return out;
}

Lease lease_from(FieldReader& in) {
    Lease lease;
    lease.network = in.uuid(1);
    lease.port = in.mac(2);
    lease.address = in.ip(3);
    lease.prefix_length = in.u8(4);
    const std::uint64_t expires = in.u64(5);
    lease.hostname = dns_name_from(in, 6);
    lease.client_id = bytes_from(in, 7, 255);
    if (in.has(8)) {
        lease.iaid = in.u32(8);
    }
    lease.delegated = in.flag_or(9, false);
    lease.by_id = in.flag_or(10, false);
    if (in.ok() && lease.prefix_length > lease.address.bits()) {
        in.refuse(4, "is no prefix length");
    }
    if (expires != kForever && expires >> 40 != 0) {
        in.refuse(5, "is too far away");
    }
    lease.expires =
        expires == kForever ? kNever : std::chrono::sys_seconds(std::chrono::seconds(expires >> 40 ? 0 : expires));
    return lease;
}

void put_told(Fields& out, const Spec& spec) {
    put_list(out, 32, spec.boot);
    put_list(out, 33, spec.options);
    put_list(out, 34, spec.options6);
    put_list(out, 35, spec.routes);
    for (const Ip& server : spec.dns_servers) {
        out.ip(36, server);
    }
    for (const Ip& server : spec.ntp_servers) {
        out.ip(37, server);
    }
    for (const std::string& domain : spec.search) {
        out.text(38, domain);
    }
    put_text(out, 39, spec.captive_portal);
    if (spec.v6_only) {
        out.u32(40, *spec.v6_only);
    }
    out.flag(41, spec.rapid_commit).flag(42, spec.probe_addresses).flag(43, spec.key_by_client_id);
    out.nested(44, fields_of(spec.advertising));
}

void told_from(FieldReader& in, Spec& spec) {
    spec.boot = list_from(in, 32, boot_from);
    spec.options = list_from(in, 33, option_from);
    spec.options6 = list_from(in, 34, option_from);
    spec.routes = list_from(in, 35, route_from);
    spec.dns_servers = in.ips(36);
    spec.ntp_servers = in.ips(37);
    spec.search = in.texts(38);
    if (!std::ranges::all_of(spec.search, is_dns_name)) {
        in.refuse(38, "is not a domain");
    }
    spec.captive_portal = text_from(in, 39, 1024);
    if (in.has(40)) {
        spec.v6_only = in.u32(40);
    }
    spec.rapid_commit = in.flag_or(41, true);
    spec.probe_addresses = in.flag_or(42, false);
    spec.key_by_client_id = in.flag_or(43, false);
    if (const auto advertising = list_from(in, 44, advertising_from); !advertising.empty()) {
        spec.advertising = advertising.front();
    }
}

}  // namespace bascule::dhcp::wire
