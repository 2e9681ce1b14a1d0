// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/frame.h"

namespace bascule::dhcp {

namespace {

constexpr std::uint16_t kEtherTypeIpv4 = 0x0800, kEtherTypeArp = 0x0806, kEtherTypeIpv6 = 0x86dd;
constexpr std::uint8_t kUdp = 17, kIcmp6 = 58;
constexpr std::size_t kEthernetHead = 14, kIpHead = 20, kUdpHead = 8;

// The ones' complement sum of RFC 1071, not yet folded; an odd last byte is the high half of a word.
std::uint32_t sum(ByteView bytes, std::uint32_t start) {
    std::size_t i = 0;
    for (; i + 1 < bytes.size(); i += 2) {
        start += std::to_integer<std::uint32_t>(bytes[i]) << 8 | std::to_integer<std::uint32_t>(bytes[i + 1]);
    }
    return i < bytes.size() ? start + (std::to_integer<std::uint32_t>(bytes[i]) << 8) : start;
}

std::uint16_t folded(std::uint32_t sum) {
    while (sum >> 16 != 0) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return static_cast<std::uint16_t>(~sum);
}

}  // namespace

Bytes udp_frame(const UdpFrame& head, ByteView payload) {
    ByteWriter out;
    out.reserve(kEthernetHead + kIpHead + kUdpHead + payload.size());
    out.bytes(std::as_bytes(std::span(head.to_mac.octets)));
    out.bytes(std::as_bytes(std::span(head.from_mac.octets)));
    out.u16(kEtherTypeIpv4);

    out.u8(0x45);
    out.u8(0x10);  // low delay, as every DHCP server marks it
    out.u16(static_cast<std::uint16_t>(kIpHead + kUdpHead + payload.size()));
    out.u16(0);       // identification: never fragmented
    out.u16(0x4000);  // don't fragment
    out.u8(64);
    out.u8(kUdp);
    out.u16(0);
    out.u32(head.from.v4_value());
    out.u32(head.to.v4_value());
    out.put_u16(kEthernetHead + 10, folded(sum(out.view().subspan(kEthernetHead, kIpHead), 0)));

    const auto length = static_cast<std::uint16_t>(kUdpHead + payload.size());
    out.u16(head.from_port);
    out.u16(head.to_port);
    out.u16(length);
    out.u16(0);
    out.bytes(payload);
    // The pseudo header (RFC 768): both addresses, protocol and length.
    const std::uint32_t pseudo = sum(out.view().subspan(kEthernetHead + 12, 8), std::uint32_t{kUdp} + length);
    const std::uint16_t check = folded(sum(out.view().subspan(kEthernetHead + kIpHead), pseudo));
    out.put_u16(kEthernetHead + kIpHead + 6, check == 0 ? 0xffff : check);  // 0 would mean: none
    return out.take();
}

std::optional<Frame6> parse_frame6(ByteView frame) {
    ByteReader in(frame);
    Frame6 out;
    in.skip(6);
    out.from_mac.octets = in.array<6>();
    const std::uint16_t type = in.u16();
    const std::uint8_t version = in.u8() >> 4U;
    in.skip(3);
    const std::uint16_t length = in.u16();
    const std::uint8_t protocol = in.u8();
    out.hop_limit = in.u8();
    out.from = Ip::v6(in.array<16>());
    out.to = Ip::v6(in.array<16>());
    ByteReader body(in.take(length));
    if (!in.ok() || type != kEtherTypeIpv6 || version != 6 || (protocol != kUdp && protocol != kIcmp6)) {
        return std::nullopt;
    }
    out.udp = protocol == kUdp;
    if (out.udp) {
        out.from_port = body.u16();
        out.to_port = body.u16();
        const std::uint16_t datagram = body.u16();
        body.skip(2);
        out.payload = datagram < kUdpHead ? ByteView() : body.take(datagram - kUdpHead);
    } else {
        out.payload = body.rest();
    }
    return body.ok() && !out.payload.empty() ? std::optional(out) : std::nullopt;
}

Bytes arp_probe(const MacAddr& from, const Ip& address) {
    ByteWriter out;
    out.fill(6, 0xff);
    out.bytes(std::as_bytes(std::span(from.octets)));
    out.u16(kEtherTypeArp);
    out.u16(1);
    out.u16(kEtherTypeIpv4);
    out.u8(6);
    out.u8(4);
    out.u16(1);
    out.bytes(std::as_bytes(std::span(from.octets)));
    out.u32(0);
    out.fill(6);
    out.u32(address.v4_value());
    return out.take();
}

std::optional<ArpSpeaker> parse_arp(ByteView frame) {
    ByteReader in(frame);
    in.skip(12);
    const bool ours = in.u16() == kEtherTypeArp && in.u16() == 1 && in.u16() == kEtherTypeIpv4 && in.u16() == 0x0604;
    in.skip(2);
    const MacAddr mac{in.array<6>()};
    const Ip address = Ip::v4(in.u32());
    return ours && in.ok() && !address.is_unspecified() ? std::optional(ArpSpeaker{mac, address}) : std::nullopt;
}

}  // namespace bascule::dhcp
