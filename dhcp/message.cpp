// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/message.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace bascule::dhcp {

namespace {

constexpr std::uint8_t kEthernet = 1;
constexpr std::uint16_t kBroadcastFlag = 0x8000;
constexpr std::uint32_t kCookie = 0x63825363;

Ip read_ip(ByteReader& in) { return Ip::v4(in.u32()); }

// One field of options: the main one, or `file` and `sname` when option 52 says that they hold more.
Result<void> read_options(ByteView field, Options& options) {
    ByteReader in(field);
    while (in.left() > 0) {
        const auto code = static_cast<Opt>(in.u8());
        if (code == Opt::pad) {
            continue;
        }
        if (code == Opt::end) {
            return {};
        }
        const ByteView value = in.take(in.u8());
        if (!in.ok()) {
            return fail(Code::malformed, fmt::format("{} is longer than what holds it", option_name(code)));
        }
        options.append(code, value);
    }
    return {};  // no end option: some clients leave it out
}

Result<Options> read_all_options(ByteView main, ByteView sname, ByteView file) {
    Options options;
    options.reserve();
    TRY_OK(read_options(main, options));
    const ByteView overload = options.bytes(Opt::overload);
    if (options.has(Opt::overload) &&
        (overload.size() != 1 || overload[0] < std::byte{1} || overload[0] > std::byte{3})) {
        return fail(Code::malformed, "overload (52) is not 1, 2 or 3");
    }
    const unsigned fields = overload.empty() ? 0 : std::to_integer<unsigned>(overload[0]);
    // RFC 3396 section 5: options, then file, then sname.
    if ((fields & 1U) != 0) {
        TRY_OK(read_options(file, options));
    }
    if ((fields & 2U) != 0) {
        TRY_OK(read_options(sname, options));
    }
    TRY_OK(options.check());  // an overload option inside the other fields made 52 two bytes long
    return options;
}

// Up to the first NUL; a field that was overloaded holds no name.
std::string field_text(ByteView field, bool overloaded) {
    const std::string_view text = overloaded ? std::string_view() : as_text(field);
    return std::string(text.substr(0, text.find('\0')));
}

void write_field(ByteWriter& out, std::string_view text, std::size_t size) {
    text = text.substr(0, size - 1);
    out.text(text);
    out.fill(size - text.size());
}

// Long values in pieces of 255 (RFC 3396).
std::size_t encoded_size(ByteView value) {
    return value.size() + 2 * std::max<std::size_t>(1, (value.size() + 254) / 255);
}

void write_option(ByteWriter& out, Opt code, ByteView value) {
    do {
        const std::size_t piece = std::min<std::size_t>(value.size(), 255);
        out.u8(static_cast<std::uint8_t>(code));
        out.u8(static_cast<std::uint8_t>(piece));
        out.bytes(value.first(piece));
        value = value.subspan(piece);
    } while (!value.empty());
}

}  // namespace

std::string_view name(MessageType type) {
    constexpr std::array<std::string_view, 9> kNames{"BOOTP", "DISCOVER", "OFFER",   "REQUEST", "DECLINE",
                                                     "ACK",   "NAK",      "RELEASE", "INFORM"};
    return kNames[std::min<std::size_t>(static_cast<std::size_t>(type), 8)];
}

MacAddr sender_of(ByteView datagram) {
    constexpr std::size_t kHardwareAddress = 28;
    ByteReader in(datagram);
    in.skip(kHardwareAddress);
    return MacAddr{in.array<6>()};
}

Result<Message> decode(ByteView datagram) {
    ByteReader in(datagram);
    Message m;
    const std::uint8_t op = in.u8();
    const std::uint8_t hardware = in.u8();
    const std::uint8_t hardware_length = in.u8();
    m.hops = in.u8();
    m.xid = in.u32();
    m.secs = in.u16();
    m.broadcast = (in.u16() & kBroadcastFlag) != 0;
    m.ciaddr = read_ip(in);
    m.yiaddr = read_ip(in);
    m.siaddr = read_ip(in);
    m.giaddr = read_ip(in);
    m.chaddr.octets = in.array<6>();
    in.skip(10);
    const ByteView sname = in.take(kSname);
    const ByteView file = in.take(kFile);
    const std::uint32_t cookie = in.u32();
    const bool options_follow = cookie != 0;  // RFC 951: a BOOTP client may leave all of that field empty
    if (!in.ok() || (options_follow && cookie != kCookie)) {
        return fail(Code::malformed, "too short for DHCP, or without its magic cookie");
    }
    if (op != 1 && op != 2) {
        return fail(Code::malformed, fmt::format("op is {}, neither request nor reply", op));
    }
    m.reply = op == 2;
    if (hardware != kEthernet || hardware_length != 6) {
        return fail(Code::malformed, fmt::format("hardware type {} with addresses of {} bytes is not Ethernet",
                                                 hardware, hardware_length));
    }
    TRY(const Options options, read_all_options(options_follow ? in.rest() : ByteView(), sname, file));
    const auto type = options.u8(Opt::message_type);
    if (type && (*type < 1 || *type > 8)) {
        return fail(Code::malformed, fmt::format("unknown message type {}", *type));
    }
    m.type = type ? static_cast<MessageType>(*type) : MessageType::bootp;
    const std::uint8_t overload = options.u8(Opt::overload).value_or(0);
    m.sname = field_text(sname, (overload & 2U) != 0);
    m.file = field_text(file, (overload & 1U) != 0);
    m.options.reserve();
    for (const auto& [code, value] : options.all()) {
        if (code != Opt::message_type && code != Opt::overload) {
            m.options.put(code, value);
        }
    }
    return m;
}

std::size_t size_limit(const Message& request) {
    const std::size_t wanted = request.options.u16(Opt::max_size).value_or(0);
    return std::clamp(wanted, kDefaultSize + kHeaders, kLargestSize + kHeaders) - kHeaders;
}

Bytes encode(const Message& m, std::size_t limit) {
    limit = m.type == MessageType::bootp ? kBootpSize : std::max(limit, kDefaultSize);
    ByteWriter out;
    out.reserve(limit);
    out.u8(m.reply ? 2 : 1);
    out.u8(kEthernet);
    out.u8(6);
    out.u8(m.hops);
    out.u32(m.xid);
    out.u16(m.secs);
    out.u16(m.broadcast ? kBroadcastFlag : 0);
    for (const Ip* const ip : {&m.ciaddr, &m.yiaddr, &m.siaddr, &m.giaddr}) {
        out.u32(ip->v4_value());
    }
    out.bytes(std::as_bytes(std::span(m.chaddr.octets)));
    out.fill(10);
    write_field(out, m.sname, kSname);
    write_field(out, m.file, kFile);
    out.u32(kCookie);
    if (const auto type = static_cast<std::byte>(m.type); m.type != MessageType::bootp) {
        write_option(out, Opt::message_type, ByteView(&type, 1));
    }
    // A relay looks for what it sent (RFC 3046 section 2.2): its room is kept; so is one byte for the end.
    const ByteView relay = m.options.bytes(Opt::relay_info);
    const bool kept_whole = m.options.has(Opt::relay_info) && out.size() + encoded_size(relay) < limit;
    const std::size_t kept = 1 + (kept_whole ? encoded_size(relay) : 0);
    for (const auto& [code, value] : m.options.all()) {
        const std::size_t room = code == Opt::relay_info ? 1 : kept;
        if (out.size() + encoded_size(value) + room <= limit) {
            write_option(out, code, value);
        }
    }
    out.u8(static_cast<std::uint8_t>(Opt::end));
    if (out.size() < kBootpSize) {
        out.fill(kBootpSize - out.size());
    }
    return out.take();
}

}  // namespace bascule::dhcp
