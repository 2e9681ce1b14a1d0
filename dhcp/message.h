// SPDX-License-Identifier: GPL-2.0-or-later
// A DHCPv4 message as a value (RFC 2131 section 2, RFC 2132, RFC 3396). Decoded whole or not at all.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/net.h"
#include "base/result.h"
#include "dhcp/options.h"

namespace bascule::dhcp {

enum class MessageType : std::uint8_t {
    bootp = 0,  // no DHCP at all (RFC 951): without option 53, or without any options
    discover = 1,
    offer = 2,
    request = 3,
    decline = 4,
    ack = 5,
    nak = 6,
    release = 7,
    inform = 8,
};
std::string_view name(MessageType type);  // "DISCOVER"

struct Message {
    bool reply = false;  // op: BOOTREPLY
    MessageType type = MessageType::discover;
    std::uint8_t hops = 0;
    std::uint32_t xid = 0;
    std::uint16_t secs = 0;
    bool broadcast = false;  // the client cannot take unicast before it has its address
    Ip ciaddr, yiaddr, siaddr, giaddr;
    MacAddr chaddr;
    std::string sname, file;  // without what an overload put there; at most 63 and 127 bytes are sent
    Options options;          // without message type, overload, pad and end
    bool operator==(const Message&) const = default;
};

// Who sends it, as it says itself, before anything of it is checked; zeros when it is too short for that.
MacAddr sender_of(ByteView datagram);

// Code::malformed says what was wrong. Hardware other than Ethernet is refused too.
Result<Message> decode(ByteView datagram);

// RFC 2131 section 2: a client takes 576 bytes of IP datagram unless it says otherwise in option 57. What is
// left for us is without the IP and UDP headers.
inline constexpr std::size_t kHeaders = 28;
inline constexpr std::size_t kDefaultSize = 576 - kHeaders;
inline constexpr std::size_t kLargestSize = 1500 - kHeaders;
inline constexpr std::size_t kSname = 64, kFile = 128;  // with a closing NUL
std::size_t size_limit(const Message& request);
// A client of BOOTP takes this and no more: 64 bytes of options (RFC 1497). Some clients of DHCP drop what is shorter.
inline constexpr std::size_t kBootpSize = 300;

// At most `limit` (at least kDefaultSize) bytes: options that do not fit are left out, so put the important ones
// first. At least the 300 bytes of BOOTP, and to its clients no more, whatever the limit.
Bytes encode(const Message& message, std::size_t limit = kDefaultSize);

}  // namespace bascule::dhcp
