// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/advertiser.h"

#include <algorithm>
#include <array>

#include "dhcp/told.h"

namespace bascule::dhcp {

namespace {

constexpr std::uint8_t kAdvertisement = 134, kSolicitation = 133, kHopLimit = 64;
// Options of neighbour discovery.
constexpr std::uint8_t kSourceLink = 1, kPrefix = 3, kMtu = 5, kRoute = 24, kRdnss = 25, kDnssl = 31, kPortal = 37,
                       kPref64 = 38;
constexpr std::uint32_t kForever = 0xffffffff;
// What is usual where nothing is configured: a prefix for a day, preferred for half of it.
constexpr std::uint32_t kValid = 86400, kPreferred = 43200;
constexpr std::size_t kMostPortBudgets = 4096;
constexpr unsigned kPerPort = 4, kTogether = 200;  // answers a second
constexpr std::chrono::seconds kBudgetTime{1};

void put_ip(ByteWriter& out, const Ip& ip) { out.bytes(std::as_bytes(std::span(ip.octets()))); }

std::uint32_t seconds_of(std::chrono::seconds length) {
    return static_cast<std::uint32_t>(std::clamp<std::int64_t>(length.count(), 0, kForever));
}

// RFC 4191 section 2.2: high 1, medium 0, low 3.
std::uint8_t preference_bits(int preference) { return preference > 0 ? 1 : preference < 0 ? 3 : 0; }

bool is_ours(const Subnet& subnet) { return subnet.server.address.is_v6() && !subnet.relayed; }

void put_prefix(ByteWriter& out, const Subnet& subnet, bool last) {
    const bool autonomous = subnet.slaac() && subnet.server.length == 64;  // RFC 4862 section 5.5.3
    const std::uint32_t valid = subnet.valid.count() != 0 ? seconds_of(subnet.valid) : kValid;
    const std::uint32_t preferred = subnet.preferred.count() != 0 ? seconds_of(subnet.preferred) : kPreferred;
    out.u8(kPrefix);
    out.u8(4);
    out.u8(static_cast<std::uint8_t>(subnet.server.length));
    out.u8(static_cast<std::uint8_t>((subnet.on_link ? 0x80 : 0) | (autonomous ? 0x40 : 0)));
    out.u32(valid);
    out.u32(last ? 0 : std::min(preferred, valid));
    out.u32(0);
    put_ip(out, subnet.server.prefix().network);
}

void put_withdrawn(ByteWriter& out, const Prefix& prefix) {
    out.u8(kPrefix);
    out.u8(4);
    out.u8(static_cast<std::uint8_t>(prefix.length));
    out.u8(0x80 | 0x40);  // as who has made up an address of it knows it
    out.u32(0);
    out.u32(0);
    out.u32(0);
    put_ip(out, prefix.network);
}

void put_route(ByteWriter& out, const Prefix& route, std::uint32_t lifetime, int preference) {
    const std::size_t words = route.length > 64 ? 3 : route.length > 0 ? 2 : 1;
    out.u8(kRoute);
    out.u8(static_cast<std::uint8_t>(words));
    out.u8(static_cast<std::uint8_t>(route.length));
    out.u8(static_cast<std::uint8_t>(preference_bits(preference) << 3U));
    out.u32(lifetime);
    out.bytes(std::as_bytes(std::span(route.network.octets())).first((words - 1) * 8));
}

void put_name_servers(ByteWriter& out, const Spec& spec, std::uint32_t lifetime) {
    std::vector<Ip> servers;
    std::ranges::copy_if(spec.dns_servers, std::back_inserter(servers), &Ip::is_v6);
    if (servers.empty() && spec.serve_dns) {
        const auto own = std::ranges::find_if(spec.subnets, is_ours);
        servers.push_back(own->server.address);
    }
    servers.resize(std::min<std::size_t>(servers.size(), 8));
    if (servers.empty()) {
        return;
    }
    out.u8(kRdnss);
    out.u8(static_cast<std::uint8_t>(1 + 2 * servers.size()));
    out.u16(0);
    out.u32(lifetime);
    for (const Ip& server : servers) {
        put_ip(out, server);
    }
}

// A value of any length behind a head of whole bytes, filled up to eight.
void put_padded(ByteWriter& out, std::uint8_t type, ByteView head, ByteView value) {
    const std::size_t size = (2 + head.size() + value.size() + 7) / 8 * 8;
    out.u8(type);
    out.u8(static_cast<std::uint8_t>(size / 8));
    out.bytes(head);
    out.bytes(value);
    out.fill(size - 2 - head.size() - value.size());
}

void put_search(ByteWriter& out, const Spec& spec, std::uint32_t lifetime) {
    std::vector<std::string> domains = spec.search;
    if (domains.empty() && !spec.domain.empty()) {
        domains.push_back(spec.domain);
    }
    if (const Bytes names = encode_names(domains, 512); !names.empty()) {
        ByteWriter head;
        head.u16(0);
        head.u32(lifetime);
        put_padded(out, kDnssl, head.view(), names);
    }
}

// RFC 8781: the lifetime in units of 8 seconds, with a code for the prefix length in its low bits.
void put_pref64(ByteWriter& out, const Prefix& prefix, std::uint32_t lifetime) {
    constexpr std::array<unsigned, 6> kLengths{96, 64, 56, 48, 40, 32};
    const auto code = std::ranges::find(kLengths, prefix.length);
    if (code == kLengths.end()) {
        return;
    }
    const std::uint32_t scaled = std::min<std::uint32_t>((lifetime + 7) / 8, 0x1fff);
    out.u8(kPref64);
    out.u8(2);
    out.u16(static_cast<std::uint16_t>(scaled << 3U | static_cast<std::uint32_t>(code - kLengths.begin())));
    out.bytes(std::as_bytes(std::span(prefix.network.octets())).first(12));
}

}  // namespace

bool advertises(const Spec& spec) { return spec.advertising.enabled && std::ranges::any_of(spec.subnets, is_ours); }

std::vector<Prefix> advertised_prefixes(const Spec& spec) {
    std::vector<Prefix> out;
    for (const Subnet& subnet : spec.subnets) {
        if (is_ours(subnet)) {
            out.push_back(subnet.server.prefix());
        }
    }
    return out;
}

Bytes encode_advertisement(const Spec& spec, const MacAddr& router, bool last, std::span<const Prefix> withdrawn) {
    const Advertising& how = spec.advertising;
    const auto stateful = [](const Subnet& s) { return is_ours(s) && (!s.ranges.empty() || !s.hosts.empty()); };
    const bool handed_out = std::ranges::any_of(spec.subnets, stateful);
    // Advertisements have no words for these.
    const bool more = !spec.options6.empty() || std::ranges::any_of(spec.ntp_servers, &Ip::is_v6);
    // RFC 4861 section 6.2.1: at most 9000 seconds; not shorter than the time to the next one.
    const auto lifetime = std::clamp<std::int64_t>(how.lifetime.count(), 0, 9000);
    const bool is_default = spec.gateway && !last;
    const std::uint32_t others =
        last ? 0 : static_cast<std::uint32_t>(3 * std::max<std::int64_t>(how.interval.count(), 4));
    ByteWriter out;
    out.u8(kAdvertisement);
    out.u8(0);
    out.u16(0);
    out.u8(kHopLimit);
    out.u8(static_cast<std::uint8_t>((how.managed.value_or(handed_out) ? 0x80U : 0U) |
                                     (how.other.value_or(handed_out || more) ? 0x40U : 0U) |
                                     (is_default ? preference_bits(how.preference) << 3U : 0U)));
    out.u16(is_default ? static_cast<std::uint16_t>(lifetime) : 0);
    out.u32(0);  // reachable time and
    out.u32(0);  // retransmission: the guest's own
    if (!router.is_zero()) {
        out.u8(kSourceLink);
        out.u8(1);
        out.bytes(std::as_bytes(std::span(router.octets)));
    }
    if (spec.mtu) {
        out.u8(kMtu);
        out.u8(1);
        out.u16(0);
        out.u32(*spec.mtu);
    }
    for (const Subnet& subnet : spec.subnets) {
        if (is_ours(subnet)) {
            put_prefix(out, subnet, last);
        }
    }
    for (const Prefix& prefix : withdrawn) {
        put_withdrawn(out, prefix);
    }
    for (const Prefix& route : how.routes) {
        put_route(out, route, others, how.preference);
    }
    put_name_servers(out, spec, others);
    put_search(out, spec, others);
    if (how.nat64) {
        put_pref64(out, *how.nat64, others);
    }
    if (!spec.captive_portal.empty()) {
        put_padded(out, kPortal, {}, as_bytes(spec.captive_portal));
    }
    return out.take();
}

Result<Solicitation> decode_solicitation(ByteView icmp, unsigned hop_limit, const Ip& from) {
    ByteReader in(icmp);
    const std::uint8_t type = in.u8();
    const std::uint8_t code = in.u8();
    in.skip(6);
    if (!in.ok() || type != kSolicitation || code != 0) {
        return fail(Code::malformed, "no router solicitation");
    }
    if (hop_limit != 255) {
        return fail(Code::malformed, "a router solicitation from beyond the link");
    }
    Solicitation out;
    while (in.left() > 0) {
        const std::uint8_t option = in.u8();
        const std::size_t length = std::size_t{in.u8()} * 8;
        if (length == 0) {
            return fail(Code::malformed, "an option without a length");
        }
        ByteReader value(in.take(length - 2));
        if (!in.ok()) {
            return fail(Code::malformed, "an option that is longer than what holds it");
        }
        if (option == kSourceLink && length == 8) {
            out.link = MacAddr{value.array<6>()};
        }
    }
    if (from.is_unspecified() && out.link) {
        return fail(Code::malformed, "a link-layer address of nobody");
    }
    return out;
}

void Advertiser::start(const Spec& spec, Time now) {
    if (!advertises(spec)) {
        return stop();
    }
    interval_ = std::clamp<std::chrono::milliseconds>(spec.advertising.interval, std::chrono::seconds(4),
                                                      std::chrono::seconds(1800));
    initial_ = 0;
    next_ = now;
}

bool Advertiser::take(Budget& budget, unsigned most, Time now) {
    if (now - budget.since >= kBudgetTime) {
        budget = {now, 0};
    }
    return budget.used++ < most;
}

bool Advertiser::solicited(const MacAddr& port, bool known, Time now) {
    if (ports_.size() >= kMostPortBudgets && !ports_.contains(port)) {
        ports_.clear();
    }
    if (next_ == kEndOfTime || !take(ports_[port], kPerPort, now) || (!known && !take(all_, kTogether, now))) {
        return false;
    }
    return true;
}

bool Advertiser::due(Time now) {
    if (next_ > now) {
        return false;
    }
    constexpr std::array<std::chrono::milliseconds, 6> kFirst{std::chrono::seconds(1),  std::chrono::seconds(2),
                                                              std::chrono::seconds(3),  std::chrono::seconds(4),
                                                              std::chrono::seconds(10), std::chrono::seconds(16)};
    if (initial_ < kFirst.size()) {
        next_ = now + std::min(kFirst[initial_++], interval_);
        return true;
    }
    const auto least = interval_ / 3;
    next_ =
        now + least + std::chrono::milliseconds(random_() % static_cast<std::uint32_t>((interval_ - least).count()));
    return true;
}

}  // namespace bascule::dhcp
