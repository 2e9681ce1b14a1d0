// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/message6.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace bascule::dhcp {

namespace {

constexpr std::size_t kMostOptions = 128;

std::unexpected<Error> malformed(std::string what) { return fail(Code::malformed, std::move(what)); }

Ip read_ip6(ByteReader& in) { return Ip::v6(in.array<16>()); }

// Every option of a field, in order. The views live as long as the field.
Result<std::vector<std::pair<Opt6, ByteView>>> options_of(ByteView field) {
    std::vector<std::pair<Opt6, ByteView>> out;
    ByteReader in(field);
    while (in.left() > 0) {
        const auto code = static_cast<Opt6>(in.u16());
        const ByteView value = in.take(in.u16());
        if (!in.ok()) {
            return malformed(fmt::format("option {} is longer than what holds it", static_cast<unsigned>(code)));
        }
        if (out.size() == kMostOptions) {
            return malformed("too many options");
        }
        out.emplace_back(code, value);
    }
    return out;
}

Result<Status6> read_status(ByteView value) {
    if (value.size() < 2) {
        return malformed("a status without a code");
    }
    return static_cast<Status6>(ByteReader(value).u16());
}

Result<IaAddress> read_address(Opt6 code, ByteView value) {
    ByteReader in(value);
    IaAddress out;
    if (code == Opt6::ia_address) {
        out.address = read_ip6(in);
        out.preferred = in.u32();
        out.valid = in.u32();
    } else {
        out.preferred = in.u32();
        out.valid = in.u32();
        out.length = in.u8();
        out.address = read_ip6(in);
    }
    if (!in.ok() || out.length > 128) {
        return malformed("an address of an association is cut short");
    }
    TRY_OK(options_of(in.rest()));
    return out;
}

Result<Ia> read_ia(bool prefixes, ByteView value) {
    ByteReader in(value);
    Ia ia{.prefixes = prefixes, .iaid = in.u32(), .t1 = in.u32(), .t2 = in.u32()};
    if (!in.ok()) {
        return malformed("an identity association is cut short");
    }
    TRY(const auto options, options_of(in.rest()));
    for (const auto& [code, inner] : options) {
        if (code == (prefixes ? Opt6::ia_prefix : Opt6::ia_address)) {
            if (ia.addresses.size() == kMostAddresses) {
                return malformed("too many addresses in an association");
            }
            TRY(ia.addresses.emplace_back(), read_address(code, inner));
        } else if (code == Opt6::status) {
            TRY(ia.status, read_status(inner));
        }
    }
    return ia;
}

Result<void> take_duid(Bytes& into, ByteView value) {
    if (value.size() < 3 || value.size() > kLongestDuid || !into.empty()) {
        return malformed(fmt::format("a DUID of {} bytes, or two of them", value.size()));
    }
    into.assign(value.begin(), value.end());
    return {};
}

Result<void> take_option(Message6& m, Opt6 code, ByteView value) {
    switch (code) {
        case Opt6::client_id: return take_duid(m.client_id, value);
        case Opt6::server_id: return take_duid(m.server_id, value);
        case Opt6::ia_na:
        case Opt6::ia_pd: {
            if (m.ias.size() == kMostIas) {
                return malformed("too many identity associations");
            }
            TRY(m.ias.emplace_back(), read_ia(code == Opt6::ia_pd, value));
            return {};
        }
        case Opt6::ia_ta: return {};  // RFC 9915 has it no more: as if it were not there
        case Opt6::asked: {
            if (value.size() % 2 != 0) {
                return malformed("half an option code is asked for");
            }
            for (ByteReader in(value); in.left() > 0;) {
                m.asked.push_back(static_cast<Opt6>(in.u16()));
            }
            return {};
        }
        case Opt6::rapid_commit: m.rapid_commit = true; return {};
        case Opt6::status: {
            TRY(m.status, read_status(value));
            return {};
        }
        default:
            if (m.bytes(code).empty()) {  // of what comes twice the first counts
                m.others.push_back({code, Bytes(value.begin(), value.end())});
            }
            return {};
    }
}

Result<Message6> read_message(ByteView bytes) {
    ByteReader in(bytes);
    Message6 m;
    const std::uint8_t type = in.u8();
    m.xid = std::uint32_t{in.u8()} << 16;
    m.xid |= in.u16();
    if (!in.ok() || type < 1 || type > 11) {
        return malformed(fmt::format("too short, or of an unknown type {}", type));
    }
    m.type = static_cast<Type6>(type);
    TRY(const auto options, options_of(in.rest()));
    for (const auto& [code, value] : options) {
        TRY_OK(take_option(m, code, value));
    }
    return m;
}

// One relay's envelope; gives back what it holds.
Result<ByteView> open_relay(ByteView bytes, std::vector<Relay6>& relays) {
    ByteReader in(bytes);
    in.skip(1);
    Relay6 relay{.hops = in.u8(), .link = read_ip6(in), .peer = read_ip6(in)};
    if (!in.ok() || relays.size() == kMostRelays) {
        return malformed("a relay's message is cut short, or came through too many");
    }
    TRY(const auto options, options_of(in.rest()));
    std::optional<ByteView> inner;
    for (const auto& [code, value] : options) {
        if (code == Opt6::relay_message && !inner) {
            inner = value;
        } else if (code == Opt6::interface_id) {
            relay.interface_id.assign(value.begin(), value.end());
        } else if (code == Opt6::client_link && value.size() == 8) {
            ByteReader link(value);
            const bool ethernet = link.u16() == 1;
            const MacAddr mac{link.array<6>()};
            relay.client = ethernet ? std::optional(mac) : std::nullopt;
        }
    }
    if (!inner) {
        return malformed("a relay's message holds none");
    }
    relays.push_back(std::move(relay));
    return *inner;
}

void put(ByteWriter& out, Opt6 code, ByteView value) {
    out.u16(static_cast<std::uint16_t>(code));
    out.u16(static_cast<std::uint16_t>(value.size()));
    out.bytes(value);
}

void put_ip(ByteWriter& out, const Ip& ip) { out.bytes(std::as_bytes(std::span(ip.octets()))); }

void put_status(ByteWriter& out, Status6 status) {
    ByteWriter value;
    value.u16(static_cast<std::uint16_t>(status));
    put(out, Opt6::status, value.view());
}

Bytes encode_ia(const Ia& ia) {
    ByteWriter out;
    out.u32(ia.iaid);
    out.u32(ia.t1);
    out.u32(ia.t2);
    for (const IaAddress& a : ia.addresses) {
        ByteWriter one;
        if (!ia.prefixes) {
            put_ip(one, a.address);
        }
        one.u32(a.preferred);
        one.u32(a.valid);
        if (ia.prefixes) {
            one.u8(static_cast<std::uint8_t>(a.length));
            put_ip(one, a.address);
        }
        put(out, ia.prefixes ? Opt6::ia_prefix : Opt6::ia_address, one.view());
    }
    if (ia.status) {
        put_status(out, *ia.status);
    }
    return out.take();
}

Bytes encode_message(const Message6& m) {
    ByteWriter out;
    out.u8(static_cast<std::uint8_t>(m.type));
    out.u8(static_cast<std::uint8_t>(m.xid >> 16));
    out.u16(static_cast<std::uint16_t>(m.xid));
    for (const auto& [code, duid] :
         {std::pair{Opt6::client_id, &m.client_id}, std::pair{Opt6::server_id, &m.server_id}}) {
        if (!duid->empty()) {
            put(out, code, *duid);
        }
    }
    for (const Ia& ia : m.ias) {
        put(out, ia.prefixes ? Opt6::ia_pd : Opt6::ia_na, encode_ia(ia));
    }
    if (!m.asked.empty()) {
        ByteWriter asked;
        for (const Opt6 code : m.asked) {
            asked.u16(static_cast<std::uint16_t>(code));
        }
        put(out, Opt6::asked, asked.view());
    }
    if (m.rapid_commit) {
        put(out, Opt6::rapid_commit, {});
    }
    if (m.status) {
        put_status(out, *m.status);
    }
    for (const Option6& option : m.others) {
        put(out, option.code, option.value);
    }
    return out.take();
}

}  // namespace

std::string_view name(Type6 type) {
    constexpr std::array<std::string_view, 14> kNames{"",
                                                      "SOLICIT",
                                                      "ADVERTISE",
                                                      "REQUEST",
                                                      "CONFIRM",
                                                      "RENEW",
                                                      "REBIND",
                                                      "REPLY",
                                                      "RELEASE",
                                                      "DECLINE",
                                                      "RECONFIGURE",
                                                      "INFORMATION-REQUEST",
                                                      "RELAY-FORWARD",
                                                      "RELAY-REPLY"};
    return kNames[std::min<std::size_t>(static_cast<std::size_t>(type), 13)];
}

ByteView Message6::bytes(Opt6 code) const {
    const auto found = std::ranges::find(others, code, &Option6::code);
    return found == others.end() ? ByteView() : ByteView(found->value);
}

bool Message6::wants(Opt6 code) const { return std::ranges::find(asked, code) != asked.end(); }

Result<Packet6> decode6(ByteView datagram) {
    Packet6 packet;
    while (!datagram.empty() && datagram[0] == static_cast<std::byte>(Type6::relay_forward)) {
        TRY(datagram, open_relay(datagram, packet.relays));
    }
    TRY(packet.message, read_message(datagram));
    return packet;
}

Bytes encode6(const Packet6& packet) {
    Bytes inner = encode_message(packet.message);
    for (auto relay = packet.relays.rbegin(); relay != packet.relays.rend(); ++relay) {
        const bool reply = packet.message.type == Type6::advertise || packet.message.type == Type6::reply;
        ByteWriter out;
        out.u8(static_cast<std::uint8_t>(reply ? Type6::relay_reply : Type6::relay_forward));
        out.u8(relay->hops);
        put_ip(out, relay->link);
        put_ip(out, relay->peer);
        if (!relay->interface_id.empty()) {
            put(out, Opt6::interface_id, relay->interface_id);
        }
        if (relay->client && !reply) {
            ByteWriter link;
            link.u16(1);
            link.bytes(std::as_bytes(std::span(relay->client->octets)));
            put(out, Opt6::client_link, link.view());
        }
        put(out, Opt6::relay_message, inner);
        inner = out.take();
    }
    return inner;
}

std::optional<MacAddr> mac_of_duid(ByteView duid) {
    ByteReader in(duid);
    const std::uint16_t type = in.u16();
    const std::uint16_t hardware = in.u16();
    in.skip(type == 1 ? 4 : 0);
    const MacAddr mac{in.array<6>()};
    const bool whole = in.ok() && in.left() == 0 && hardware == 1 && (type == 1 || type == 3);
    return whole ? std::optional(mac) : std::nullopt;
}

}  // namespace bascule::dhcp
