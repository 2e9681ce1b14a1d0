// SPDX-License-Identifier: GPL-2.0-or-later
// What a user wrote: filters, their rules and their references, as plain values.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/names.h"
#include "base/net.h"

namespace bascule::nwfilter {

// Names to lists of values. They stay text until a rule says what type it needs.
using Parameters = std::map<std::string, std::vector<std::string>>;

enum class Action { drop, accept, reject, return_, continue_ };
enum class Direction { in, out, inout };  // in: towards the guest

// The element inside a <rule>. `any` is a rule without one: it matches every frame.
// Up to ipv6 they are of the Ethernet layer, the others of the IP layer.
enum class Protocol : std::uint8_t {
    any,
    mac,
    vlan,
    stp,
    arp,
    rarp,
    ip,
    ipv6,
    tcp,
    udp,
    udplite,
    esp,
    ah,
    sctp,
    icmp,
    igmp,
    all,
    tcp_ipv6,
    udp_ipv6,
    udplite_ipv6,
    esp_ipv6,
    ah_ipv6,
    sctp_ipv6,
    icmpv6,
    all_ipv6,
};
constexpr bool is_ip_layer(Protocol protocol) { return protocol >= Protocol::tcp; }
constexpr bool is_ipv6_layer(Protocol protocol) { return protocol >= Protocol::tcp_ipv6; }

// A number remembers its spelling, since the peer gives it back as it was written.
struct Number {
    std::uint32_t value = 0;
    bool hex = false;
    auto operator<=>(const Number&) const = default;
};
// "$NAME", "$NAME[@1]" or "$NAME[1]".
struct Variable {
    std::string name;  // without the $
    // Variables of one iterator advance together, those of different ones meet in all combinations.
    unsigned iterator = 0;
    std::optional<unsigned> element = std::nullopt;  // this one of the list, counted from 0
    auto operator<=>(const Variable&) const = default;
};
struct Text {
    std::string text;
    auto operator<=>(const Text&) const = default;
};
// "SYN,ACK/SYN": of the flags in the mask exactly these are set. The bits are those of the TCP header.
struct TcpFlags {
    std::uint8_t mask = 0, set = 0;
    auto operator<=>(const TcpFlags&) const = default;
};
// Of connections, as bits of kernel::policy::ct_state; 0: NONE, which says that states do not matter.
struct States {
    std::uint8_t bits = 0;
    auto operator<=>(const States&) const = default;
};
using Value = std::variant<MacAddr, Ip, Number, bool, Text, TcpFlags, States, Variable>;

// `row` is the attribute's place in the table of protocols.h.
struct Attribute {
    std::uint8_t row = 0;
    bool negated = false;
    Value value;
    bool operator==(const Attribute&) const = default;
};

struct Rule {
    Action action = Action::drop;
    Direction direction = Direction::inout;
    int priority = 500;
    bool state_match = true;  // of no meaning for the protocols of the Ethernet layer
    Protocol protocol = Protocol::any;
    std::vector<Attribute> attributes;  // in the table's order, each at most once
    bool operator==(const Rule&) const = default;
};

struct Reference {
    std::string filter;
    Parameters parameters;
    bool operator==(const Reference&) const = default;
};

struct Filter {
    std::string name;
    Uuid uuid;                                           // nil: the document had none
    std::string chain = "root";                          // "root", or a name that starts with a protocol
    int priority = 0;                                    // of the chain among the root chain's rules
    std::vector<std::variant<Rule, Reference>> entries;  // in document order
    bool operator==(const Filter&) const = default;
};

// A filter bound to a port by hand: <filterbinding>.
struct Binding {
    std::string owner_name;
    Uuid owner_uuid;
    IfName port;
    std::string link_device;  // empty: none
    MacAddr mac;
    Reference filter;
    bool operator==(const Binding&) const = default;
};

}  // namespace bascule::nwfilter
