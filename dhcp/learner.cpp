// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/learner.h"

#include <algorithm>

#include "dhcp/frame.h"
#include "dhcp/message6.h"

namespace bascule::dhcp {

namespace {

constexpr std::uint16_t kIp4 = 0x0800, kIp6 = 0x86dd, kArp = 0x0806;
constexpr std::uint8_t kUdp = 17, kSolicitation = 135, kNeighbour = 136, kAdvertisement = 134;
constexpr std::uint16_t kServer4 = 67, kClient4 = 68, kServer6 = 547, kClient6 = 546;
constexpr std::uint32_t kForever = 0xffffffff;
constexpr unsigned kOnLink = 255;  // the hop limit of what no router passed on (RFC 4861)

Time end_of(std::uint32_t seconds, Time now) {
    return seconds == kForever ? kEndOfTime : now + std::chrono::seconds(seconds);
}

// What a host may be called: not multicast, class E, loopback or "this host" (RFC 1122 3.2.1.3).
bool is_host(const Ip& address) {
    const std::uint32_t first = address.v4_value() >> 24U;
    return first != 0 && first != 127 && first < 224;
}

struct Udp4 {
    Ip from, to;
    std::uint8_t protocol = 0;
    std::uint16_t from_port = 0, to_port = 0;
    ByteView payload;  // of a whole UDP datagram
};

std::optional<Udp4> parse_ip4(ByteView packet) {
    ByteReader in(packet);
    const std::uint8_t first = in.u8();
    in.skip(1);
    const std::uint16_t length = in.u16();
    in.skip(2);
    const std::uint16_t fragment = in.u16();
    in.skip(1);
    Udp4 out;
    out.protocol = in.u8();
    in.skip(2);
    out.from = Ip::v4(in.u32());
    out.to = Ip::v4(in.u32());
    const std::size_t header = std::size_t{first & 0xfU} * 4;
    if (!in.ok() || (first >> 4U) != 4 || header < 20 || length < header || length > packet.size()) {
        return std::nullopt;
    }
    constexpr std::uint16_t kMoreOrOffset = 0x3fff;
    if (out.protocol == kUdp && (fragment & kMoreOrOffset) == 0) {
        ByteReader body(packet.subspan(header, length - header));
        out.from_port = body.u16();
        out.to_port = body.u16();
        const std::uint16_t datagram = body.u16();
        body.skip(2);
        out.payload = datagram < 8 ? ByteView() : body.take(datagram - 8U);
    }
    return out;
}

// What the decoders of frames want: the Ethernet header, which was not copied.
Bytes framed(std::uint16_t type, const MacAddr& from, ByteView packet) {
    ByteWriter out;
    out.fill(6);
    out.bytes(std::as_bytes(std::span(from.octets)));
    out.u16(type);
    out.bytes(packet);
    return out.take();
}

}  // namespace

// ---- ports --------------------------------------------------------------------------------------

void Learner::watch(WatchedPort watched) {
    const auto known = ports_.find(watched.index);
    if (known != ports_.end() && known->second.watched.mac == watched.mac) {
        watched.known.clear();
        known->second.watched = std::move(watched);
        return;
    }
    unwatch(watched.index);
    if (ports_.size() == kMostPorts) {
        return;
    }
    const std::uint32_t index = watched.index;
    const std::vector<LearnedAddress> before = std::move(watched.known);
    watched.known.clear();
    Port& port = ports_.try_emplace(index, Port{.watched = std::move(watched)}).first->second;
    for (const LearnedAddress& one : before) {
        learn(port, one);
    }
    changed_.insert(index);
}

void Learner::unwatch(std::uint32_t index) {
    const auto known = ports_.find(index);
    if (known == ports_.end()) {
        return;
    }
    while (!known->second.addresses.empty()) {
        lose(known->second, known->second.addresses.begin()->first);
    }
    ports_.erase(known);
    changed_.erase(index);
}

void Learner::forget_seen(std::uint32_t index) {
    const auto known = ports_.find(index);
    if (known == ports_.end()) {
        return;
    }
    Port& port = known->second;
    for (const LearnedAddress& one : addresses(index)) {
        if (!one.leased) {
            lose(port, one.address);
        }
    }
    port.taught = std::ranges::any_of(port.addresses, [](const auto& one) { return one.first.is_v4(); });
}

const IfName* Learner::name_of(std::uint32_t index) const {
    const auto known = ports_.find(index);
    return known == ports_.end() ? nullptr : &known->second.watched.name;
}

std::vector<LearnedAddress> Learner::addresses(std::uint32_t index) const {
    std::vector<LearnedAddress> out;
    if (const auto known = ports_.find(index); known != ports_.end()) {
        for (const auto& [address, learned] : known->second.addresses) {
            out.push_back(learned);
        }
    }
    return out;
}

std::vector<std::uint32_t> Learner::ports() const {
    std::vector<std::uint32_t> out;
    for (const auto& [index, port] : ports_) {
        out.push_back(index);
    }
    return out;
}

std::set<std::uint32_t> Learner::take_changed() { return std::exchange(changed_, {}); }

// ---- what is known ------------------------------------------------------------------------------

void Learner::set_end(const Port& port, const Ip& address, Time from, Time to) {
    const std::pair key(port.watched.index, address);
    if (from != kEndOfTime) {
        ends_.erase({from, key});
    }
    if (to != kEndOfTime) {
        ends_.insert({to, key});
    }
}

void Learner::learn(Port& port, const LearnedAddress& what) {
    const bool four = what.address.is_v4();
    if (!(four ? port.watched.v4 && is_host(what.address) : port.watched.v6)) {
        return;
    }
    if (four && what.leased) {  // it stands above what was seen
        const auto seen = std::ranges::find_if(port.addresses, [&](const auto& one) {
            return one.first.is_v4() && !one.second.leased && one.first != what.address;
        });
        if (seen != port.addresses.end()) {
            lose(port, Ip(seen->first));
        }
    }
    const auto count =
        std::ranges::count_if(port.addresses, [&](const auto& one) { return one.first.is_v4() == four; });
    const auto known = port.addresses.find(what.address);
    if (known == port.addresses.end() && static_cast<std::size_t>(count) >= kMostAddresses) {
        return;
    }
    port.taught = port.taught || four;
    if (known != port.addresses.end() && known->second == what) {
        return;
    }
    set_end(port, what.address, known == port.addresses.end() ? kEndOfTime : known->second.ends, what.ends);
    port.addresses.insert_or_assign(what.address, what);
    owners_[what.address].insert(port.watched.index);
    changed_.insert(port.watched.index);
}

void Learner::lose(Port& port, const Ip& address) {
    const auto known = port.addresses.find(address);
    if (known == port.addresses.end()) {
        return;
    }
    set_end(port, address, known->second.ends, kEndOfTime);
    if (const auto owners = owners_.find(address); owners != owners_.end()) {
        owners->second.erase(port.watched.index);
        if (owners->second.empty()) {
            owners_.erase(owners);
        }
    }
    port.addresses.erase(known);
    changed_.insert(port.watched.index);
}

void Learner::tick(Time now) {
    while (!ends_.empty() && ends_.begin()->first <= now) {
        const auto [index, address] = ends_.begin()->second;
        lose(ports_.at(index), address);
    }
}

// ---- what is heard ------------------------------------------------------------------------------

void Learner::hear(const Copy& copy, Time now) {
    const auto known = ports_.find(copy.port);
    if (known == ports_.end()) {
        return;
    }
    switch (copy.type) {
        case kArp: return copy.from_guest ? hear_arp(known->second, copy.packet) : void();
        case kIp4: return hear_ip4(known->second, copy, now);
        case kIp6: return hear_ip6(known->second, copy, now);
        default: break;
    }
}

// An IPv4 address in a frame of the port's own.
void Learner::see(Port& port, const Ip& address) {
    if (port.watched.any && !port.taught && is_host(address) && !owners_.contains(address)) {
        learn(port, {.address = address, .ends = kEndOfTime, .leased = false});
    }
}

void Learner::hear_arp(Port& port, ByteView packet) {
    const auto speaker = parse_arp(framed(kArp, port.watched.mac, packet));
    if (speaker && speaker->mac == port.watched.mac) {
        see(port, speaker->address);
    }
}

void Learner::hear_ip4(Port& port, const Copy& copy, Time now) {
    const auto packet = parse_ip4(copy.packet);
    if (!packet) {
        return;
    }
    const std::uint16_t from = copy.from_guest ? kClient4 : kServer4, to = copy.from_guest ? kServer4 : kClient4;
    if (!packet->payload.empty() && packet->from_port == from && packet->to_port == to) {
        hear_dhcp(port, packet->payload, copy.from_guest, now);
    } else if (copy.from_guest) {
        see(port, packet->from);
    }
}

void Learner::hear_dhcp(Port& port, ByteView datagram, bool from_guest, Time now) {
    const auto message = decode(datagram);
    if (!message || message->chaddr != port.watched.mac || message->reply == from_guest) {
        return;
    }
    const auto asked = message->options.ip(Opt::requested_ip);
    switch (message->type) {
        case MessageType::request: {
            const Ip address = message->ciaddr.is_unspecified() && asked ? *asked : message->ciaddr;
            port.asked = {message->xid, address};
            break;
        }
        case MessageType::release: lose(port, message->ciaddr); break;
        case MessageType::decline:
            if (asked) {
                lose(port, *asked);
            }
            break;
        case MessageType::ack: {
            const auto seconds = message->options.u32(Opt::lease_time);
            if (seconds && *seconds > 0 && !message->yiaddr.is_unspecified()) {
                learn(port, {.address = message->yiaddr, .ends = end_of(*seconds, now), .leased = true});
            }
            break;
        }
        case MessageType::nak:
            if (port.asked && port.asked->first == message->xid) {
                lose(port, port.asked->second);
            }
            break;
        default: break;
    }
}

void Learner::hear_ip6(Port& port, const Copy& copy, Time now) {
    const Bytes whole = framed(kIp6, port.watched.mac, copy.packet);
    const auto frame = parse_frame6(whole);
    if (!frame) {
        return;
    }
    const std::uint16_t from = copy.from_guest ? kClient6 : kServer6, to = copy.from_guest ? kServer6 : kClient6;
    if (frame->udp) {
        if (frame->from_port == from && frame->to_port == to) {
            hear_dhcp6(port, frame->payload, copy.from_guest, now);
        }
    } else if (port.watched.any && frame->hop_limit == kOnLink) {
        if (copy.from_guest) {
            hear_neighbour(port, frame->from, frame->payload, now);
        } else if (frame->from.is_link_local()) {
            hear_router(port, frame->from, frame->payload, now);
        }
    }
}

void Learner::hear_dhcp6(Port& port, ByteView datagram, bool from_guest, Time now) {
    const auto packet = decode6(datagram);
    if (!packet || !packet->relays.empty()) {
        return;
    }
    const Message6& message = packet->message;
    const bool gives = message.type == Type6::reply && !from_guest;
    const bool takes = from_guest && (message.type == Type6::release || message.type == Type6::decline);
    for (const Ia& ia : message.ias) {
        for (const IaAddress& one : ia.addresses) {
            if (ia.prefixes || one.address.is_multicast()) {
                continue;
            }
            if (takes || (gives && one.valid == 0)) {
                lose(port, one.address);
            } else if (gives) {
                learn(port, {.address = one.address, .ends = end_of(one.valid, now), .leased = true});
            }
        }
    }
}

// Who asks whether an address is free means to have it (RFC 4862 5.4); else who asks has what it asks from, and who
// tells has what it tells about.
void Learner::hear_neighbour(Port& port, const Ip& from, ByteView icmp, Time now) {
    ByteReader in(icmp);
    const std::uint8_t type = in.u8();
    in.skip(7);
    const Ip target = Ip::v6(in.array<16>());
    if (!in.ok() || (type != kSolicitation && type != kNeighbour)) {
        return;
    }
    const Ip address = type == kSolicitation && !from.is_unspecified() ? from : target;
    if (port.addresses.contains(address) || owners_.contains(address) || port.routers.contains(address)) {
        return;
    }
    Time ends = kEndOfTime;
    if (!address.is_link_local()) {
        const auto inside = std::ranges::find_if(
            port.prefixes, [&](const Prefixed& one) { return one.ends > now && one.prefix.contains(address); });
        if (inside == port.prefixes.end()) {
            return;
        }
        ends = inside->ends;
    }
    learn(port, {.address = address, .ends = ends, .leased = false});
}

// RFC 4861 section 4.2, and 4.6.2: prefixes to make addresses of. They live on with each advertisement.
void Learner::hear_router(Port& port, const Ip& from, ByteView icmp, Time now) {
    constexpr std::uint8_t kPrefixOption = 3, kAutonomous = 0x40;
    ByteReader in(icmp);
    const std::uint8_t type = in.u8();
    in.skip(15);
    std::vector<Prefixed> prefixes;
    while (in.left() > 0) {
        const std::uint8_t option = in.u8(), units = in.u8();
        if (units == 0) {
            return;
        }
        ByteReader body(in.take(std::size_t{units} * 8 - 2));
        if (option != kPrefixOption) {
            continue;
        }
        const std::uint8_t length = body.u8(), flags = body.u8();
        const std::uint32_t valid = body.u32();
        body.skip(8);
        const Ip address = Ip::v6(body.array<16>());
        if (!body.ok() || length > 128) {
            return;
        }
        if ((flags & kAutonomous) != 0 && !address.is_link_local() && !address.is_multicast() && length > 0) {
            prefixes.push_back({Prefix::of(address, length), end_of(valid, now)});
        }
    }
    if (!in.ok() || type != kAdvertisement) {
        return;
    }
    if (port.routers.size() < kMostRouters) {
        port.routers.insert(from);
    }
    for (const Prefixed& one : prefixes) {
        std::erase_if(port.prefixes,
                      [&](const Prefixed& other) { return other.ends <= now || other.prefix == one.prefix; });
        if (one.ends <= now || port.prefixes.size() >= kMostPrefixes) {
            continue;
        }
        port.prefixes.push_back(one);
        for (const LearnedAddress& had : addresses(port.watched.index)) {
            if (!had.leased && one.prefix.contains(had.address)) {
                learn(port, {.address = had.address, .ends = one.ends, .leased = false});
            }
        }
    }
}

}  // namespace bascule::dhcp
