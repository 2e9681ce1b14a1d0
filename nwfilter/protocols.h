// SPDX-License-Identifier: GPL-2.0-or-later
// The table of attributes: which element has it, what type it is, which packet field it speaks of. Reading,
// formatting and compiling walk this table; a new attribute is a new row.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "kernel/policy.h"
#include "nwfilter/spec.h"

namespace bascule::nwfilter {

enum class Type : std::uint8_t {
    mac,
    mac_mask,  // contiguous ones
    ipv4,
    ipv4_mask,  // kept as the number of ones
    ipv6,
    ipv6_mask,
    number,
    boolean,
    tcp_flags,
    states,
    ipset,
    ipset_flags,  // kept in lower case
    comment,
};

enum class Role : std::uint8_t {
    value,
    mask,       // of the row before it
    range_end,  // of the row before it
    same_ip,    // gratuitous: sender and target address are equal
    tcp_option,
    state,        // of the packet's connection
    connections,  // more than so many at once
    ipset,        // an address is in a set
    ipset_flags,  // which addresses: of the row before it
    comment,      // says nothing about packets
};

// Spellings of numbers that have names; the first of a number is the one written.
struct NumberName {
    std::string_view name;
    std::uint32_t number;
};

struct AttributeRow {
    std::string_view name;
    unsigned protocols;  // bit 1 << Protocol of each element that has it
    Type type;
    Role role = Role::value;
    // The field that it speaks of, and the one it speaks of on the way out when the rule is `inout`:
    // such a rule is written from the network's side, so that source and target change places for frames
    // that the guest sends (as the peer's ebtables rules do).
    kernel::policy::Field field{}, reversed{};
    std::uint32_t min = 0, max = 0;  // of numbers
    std::span<const NumberName> names = {};
    std::string_view alias = {};  // as the peer's manual spells it
};

std::span<const AttributeRow> attribute_rows();
const AttributeRow& row(std::uint8_t index);
// The element's attribute of that name; 0xff: it has none.
std::uint8_t find_row(Protocol protocol, std::string_view name);

std::string_view trimmed(std::string_view text);  // without blanks at its ends
// What is wanted of a value, for errors: "an IPv4 address".
std::string expected(const AttributeRow& row);
// One value of the row's type. Neither a variable nor trimmed.
std::optional<Value> parse_value(const AttributeRow& row, std::string_view text);
std::string format_value(const AttributeRow& row, const Value& value);

inline constexpr std::uint8_t kAllStates = kernel::policy::ct_state::kInvalid | kernel::policy::ct_state::kEstablished |
                                           kernel::policy::ct_state::kRelated | kernel::policy::ct_state::kNew;

std::string_view name_of(Protocol protocol);  // the element; empty for `any`
std::optional<Protocol> protocol_of(std::string_view element);
// The Ethernet type of the protocol's frames; 0 for `mac`, `stp` and `any`.
std::uint16_t ethertype_of(Protocol protocol);
// The IP protocol's number; 0 for `all` and the Ethernet layer.
std::uint8_t transport_of(Protocol protocol);

// The protocol whose chain it is: "arp-mac" is arp, "root" is any; none: not a chain's name.
std::optional<Protocol> chain_protocol(std::string_view chain);
int default_priority(Protocol chain);

}  // namespace bascule::nwfilter
