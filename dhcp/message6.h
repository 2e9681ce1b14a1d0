// SPDX-License-Identifier: GPL-2.0-or-later
// A DHCPv6 message as a value (RFC 9915). Decoded whole, with the relays that it came through, or not at all.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/net.h"
#include "base/result.h"

namespace bascule::dhcp {

enum class Type6 : std::uint8_t {
    solicit = 1,
    advertise = 2,
    request = 3,
    confirm = 4,
    renew = 5,
    rebind = 6,
    reply = 7,
    release = 8,
    decline = 9,
    reconfigure = 10,
    information_request = 11,
    relay_forward = 12,
    relay_reply = 13,
};
std::string_view name(Type6 type);  // "SOLICIT"

enum class Opt6 : std::uint16_t {
    client_id = 1,
    server_id = 2,
    ia_na = 3,
    ia_ta = 4,
    ia_address = 5,
    asked = 6,
    preference = 7,
    elapsed = 8,
    relay_message = 9,
    status = 13,
    rapid_commit = 14,
    user_class = 15,
    vendor_class = 16,
    interface_id = 18,
    dns = 23,
    search = 24,
    ia_pd = 25,
    ia_prefix = 26,
    refresh = 32,
    fqdn = 39,
    ntp = 56,
    boot_url = 59,
    client_arch = 61,
    client_link = 79,
    captive_portal = 103,
};

enum class Status6 : std::uint16_t {
    success = 0,
    no_addresses = 2,
    no_binding = 3,
    not_on_link = 4,
    no_prefixes = 6,
};

struct IaAddress {
    Ip address;             // or a prefix's first address
    unsigned length = 128;  // of the prefix
    std::uint32_t preferred = 0, valid = 0;
    bool operator==(const IaAddress&) const = default;
};

// An identity association: of addresses (IA_NA) or prefixes (IA_PD).
struct Ia {
    bool prefixes = false;
    std::uint32_t iaid = 0, t1 = 0, t2 = 0;
    std::vector<IaAddress> addresses{};
    std::optional<Status6> status{};
    bool operator==(const Ia&) const = default;
};

struct Option6 {
    Opt6 code{};
    Bytes value{};
    bool operator==(const Option6&) const = default;
};

struct Message6 {
    Type6 type = Type6::solicit;
    std::uint32_t xid = 0;           // 24 bits
    Bytes client_id{}, server_id{};  // DUIDs; empty: not there
    std::vector<Ia> ias{};
    std::vector<Opt6> asked{};  // the option request option
    bool rapid_commit = false;
    std::optional<Status6> status{};
    std::vector<Option6> others{};

    ByteView bytes(Opt6 code) const;  // of the others; empty when absent
    bool wants(Opt6 code) const;
    bool operator==(const Message6&) const = default;
};

// One relay that the message came through.
struct Relay6 {
    std::uint8_t hops = 0;
    Ip link, peer;
    Bytes interface_id{};
    std::optional<MacAddr> client{};  // RFC 6939, of the relay next to the client
    bool operator==(const Relay6&) const = default;
};

struct Packet6 {
    std::vector<Relay6> relays{};  // the outermost first; at most kMostRelays
    Message6 message{};
    bool operator==(const Packet6&) const = default;
};

inline constexpr std::size_t kMostRelays = 8, kMostIas = 16, kMostAddresses = 16;
inline constexpr std::size_t kLongestDuid = 130;  // RFC 9915 section 11.1

// Code::malformed says what was wrong.
Result<Packet6> decode6(ByteView datagram);
// Of a reply: what came through relays goes back through them.
Bytes encode6(const Packet6& packet);

// The MAC address in a DUID-LLT or DUID-LL of Ethernet.
std::optional<MacAddr> mac_of_duid(ByteView duid);

}  // namespace bascule::dhcp
