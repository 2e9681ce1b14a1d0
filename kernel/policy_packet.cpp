// SPDX-License-Identifier: GPL-2.0-or-later
// A frame's bytes as the fields that policies speak of.
#include <algorithm>
#include <array>

#include "kernel/policy.h"

namespace bascule::kernel::policy {

namespace {

constexpr std::uint16_t kTypeIp4 = 0x0800, kTypeArp = 0x0806, kTypeRarp = 0x8035, kTypeIp6 = 0x86dd;
constexpr std::uint16_t kTypeVlan = 0x8100, kTypeServiceVlan = 0x88a8;
constexpr std::uint16_t kTypeLlc = 4;           // ETH_P_802_2, what the kernel calls LLC
constexpr std::uint16_t kSmallestType = 0x600;  // below: a length (IEEE 802.3)

bool is_port_protocol(std::uint8_t protocol) {
    constexpr std::array<std::uint8_t, 5> kWithPorts{6, 17, 33, 132, 136};
    return std::ranges::find(kWithPorts, protocol) != kWithPorts.end();
}

// RFC 8200 4: headers that may stand between IPv6 and the transport. nft stops at an authentication header (RFC 4302),
// which iptables passes by: its packets are of protocol 51 here.
bool is_extension(std::uint8_t header) {
    constexpr std::array<std::uint8_t, 5> kExtensions{0, 43, 44, 59, 60};
    return std::ranges::find(kExtensions, header) != kExtensions.end();
}

}  // namespace

Packet Packet::decode(ByteView frame) {
    Packet packet;
    ByteReader in(frame);
    MacAddr dst, src;
    dst.octets = in.array<6>();
    src.octets = in.array<6>();
    const std::uint16_t type = in.u16();
    if (!in.ok()) {
        return packet;
    }
    packet.set(Field::eth_dst, Value::of(dst));
    packet.set(Field::eth_src, Value::of(src));
    packet.put(Field::eth_type, type);
    std::uint16_t protocol = type;
    if (type == kTypeVlan || type == kTypeServiceVlan) {
        const std::uint16_t tag = in.u16();
        protocol = in.u16();
        if (!in.ok()) {
            return packet;
        }
        packet.put(Field::vlan_id, tag & 0x0fff);
        packet.put(Field::vlan_type, protocol);
    }
    if (protocol < kSmallestType) {
        // What the kernel calls such frames (eth_type_trans): raw 802.3 or with an LLC header.
        ByteReader peek(in);
        protocol = peek.u16() == 0xffff ? 1 : kTypeLlc;
    }
    packet.put(Field::protocol, protocol);
    switch (protocol) {
        case kTypeArp:
        case kTypeRarp: packet.decode_arp(in); break;
        case kTypeIp4: packet.decode_ip4(in); break;
        case kTypeIp6: packet.decode_ip6(in); break;
        case kTypeLlc: packet.decode_stp(in); break;
        default: break;
    }
    return packet;
}

void Packet::decode_arp(ByteReader in) {
    const std::uint16_t hardware = in.u16(), protocol = in.u16();
    const std::uint8_t hardware_size = in.u8(), protocol_size = in.u8();
    const std::uint16_t operation = in.u16();
    if (!in.ok()) {
        return;
    }
    put(Field::arp_hardware, hardware);
    put(Field::arp_protocol, protocol);
    put(Field::arp_operation, operation);
    if (hardware != 1 || protocol != kTypeIp4 || hardware_size != 6 || protocol_size != 4) {
        return;
    }
    MacAddr src, dst;
    src.octets = in.array<6>();
    const Ip src_ip = Ip::v4(in.u32());
    dst.octets = in.array<6>();
    const Ip dst_ip = Ip::v4(in.u32());
    if (!in.ok()) {
        return;
    }
    set(Field::arp_src_mac, Value::of(src));
    set(Field::arp_src_ip, Value::of(src_ip));
    set(Field::arp_dst_mac, Value::of(dst));
    set(Field::arp_dst_ip, Value::of(dst_ip));
}

// LLC header 42 42 03, then the BPDU: protocol 0, version 0.
void Packet::decode_stp(ByteReader in) {
    const std::uint16_t service = in.u16();
    const std::uint8_t control = in.u8();
    const std::uint16_t protocol = in.u16();
    const std::uint8_t version = in.u8(), type = in.u8();
    if (!in.ok() || service != 0x4242 || control != 3 || protocol != 0 || version != 0) {
        return;
    }
    put(Field::stp_type, type);
    ByteReader rest(in);
    const std::uint8_t flags = rest.u8();
    const std::uint16_t root_priority = rest.u16();
    MacAddr root, sender;
    root.octets = rest.array<6>();
    const std::uint32_t cost = rest.u32();
    const std::uint16_t sender_priority = rest.u16();
    sender.octets = rest.array<6>();
    const std::array<std::uint16_t, 5> times{rest.u16(), rest.u16(), rest.u16(), rest.u16(), rest.u16()};
    if (!rest.ok() || type != 0) {
        return;
    }
    put(Field::stp_flags, flags);
    put(Field::stp_root_priority, root_priority);
    set(Field::stp_root_address, Value::of(root));
    put(Field::stp_root_cost, cost);
    put(Field::stp_sender_priority, sender_priority);
    set(Field::stp_sender_address, Value::of(sender));
    put(Field::stp_port, times[0]);
    put(Field::stp_age, times[1]);
    put(Field::stp_max_age, times[2]);
    put(Field::stp_hello_time, times[3]);
    put(Field::stp_forward_delay, times[4]);
}

void Packet::decode_ip4(ByteReader in) {
    const std::size_t room = in.left();
    const std::uint8_t version_length = in.u8(), service = in.u8();
    const std::uint16_t total = in.u16();
    in.skip(2);
    const std::uint16_t fragment = in.u16();
    in.skip(1);
    const std::uint8_t protocol = in.u8();
    in.skip(2);
    const Ip src = Ip::v4(in.u32()), dst = Ip::v4(in.u32());
    if (!in.ok()) {
        return;
    }
    put(Field::ip4_dscp, service >> 2);
    put(Field::ip4_protocol, protocol);
    set(Field::ip4_src, Value::of(src));
    set(Field::ip4_dst, Value::of(dst));
    const std::size_t header = static_cast<std::size_t>(version_length & 0x0f) * 4;
    if (version_length >> 4 != 4 || header < 20 || total < header || total > room || (fragment & 0x1fff) != 0) {
        return;
    }
    in.skip(header - 20);
    decode_transport(protocol, in);
}

void Packet::decode_ip6(ByteReader in) {
    const std::uint32_t first = in.u32();  // version, traffic class, flow
    const std::uint16_t length = in.u16();
    std::uint8_t header = in.u8();
    in.skip(1);
    const Ip src = Ip::v6(in.array<16>()), dst = Ip::v6(in.array<16>());
    if (!in.ok()) {
        return;
    }
    set(Field::ip6_src, Value::of(src));
    set(Field::ip6_dst, Value::of(dst));
    put(Field::ip6_dscp, first >> 22 & 0x3f);
    if (first >> 28 != 6 || length > in.left()) {
        return;
    }
    while (is_extension(header) && header != 59) {
        const std::uint8_t next = in.u8(), size = in.u8();
        if (header == 44) {
            const std::uint16_t fragment = in.u16();
            in.skip(4);
            if (in.ok() && fragment >> 3 != 0) {
                if (!is_extension(next)) {
                    put(Field::ip6_protocol, next);
                }
                return;
            }
        } else {
            in.skip((size + 1U) * 8 - 2);
        }
        if (!in.ok()) {
            return;
        }
        header = next;
    }
    put(Field::ip6_protocol, header);
    decode_transport(header, in);
}

void Packet::decode_transport(std::uint8_t protocol, ByteReader in) {
    if (protocol == 6) {
        decode_tcp(in);
    }
    const std::uint16_t first = in.u16();
    if (!in.ok()) {
        return;
    }
    if (protocol == 1 && get(Field::ip4_protocol)) {
        put(Field::icmp4_type, first >> 8);
        put(Field::icmp4_code, first & 0xff);
    }
    if (protocol == 58 && get(Field::ip6_protocol)) {
        put(Field::icmp6_type, first >> 8);
        put(Field::icmp6_code, first & 0xff);
        constexpr unsigned kSolicitation = 135, kAdvertisement = 136;
        ByteReader rest(in);
        rest.skip(6);
        const Ip target = Ip::v6(rest.array<16>());
        if (rest.ok() && (first >> 8 == kSolicitation || first >> 8 == kAdvertisement)) {
            set(Field::nd_target, Value::of(target));
        }
    }
    if (is_port_protocol(protocol)) {
        put(Field::src_port, first);
        if (const std::uint16_t second = in.u16(); in.ok()) {
            put(Field::dst_port, second);
        }
    }
}

// As nft's `tcp option` finds them: a header that is not whole has none; the end-of-list mark ends nothing.
void Packet::decode_tcp(ByteReader in) {
    tcp_options_.emplace();
    in.skip(12);
    const std::size_t header = static_cast<std::size_t>(in.u8() >> 4) * 4;
    const std::uint8_t flags = in.u8();
    if (!in.ok()) {
        return;
    }
    put(Field::tcp_flags, flags);
    constexpr std::size_t kFixed = 20;
    in.skip(6);
    const ByteView options = header < kFixed ? ByteView{} : in.take(header - kFixed);
    if (!in.ok() || header < kFixed) {
        return;
    }
    for (std::size_t at = 0; at + 1 < options.size();) {
        const auto kind = static_cast<std::uint8_t>(options[at]);
        const auto length = static_cast<std::uint8_t>(options[at + 1]);
        const std::size_t size = kind <= 1 || length == 0 ? 1 : length;
        if (at + size > options.size()) {
            break;
        }
        tcp_options_->set(kind);
        at += size;
    }
}

}  // namespace bascule::kernel::policy
