// SPDX-License-Identifier: GPL-2.0-or-later
// What a filter means: ordered decisions over typed packet fields. It knows neither nftables nor any other
// data path; the renderers of the data paths, the evaluator of the tests and `explain` all read this form.
//
// A Policy belongs to one direction of a port. It is a list of sections; the layers are those entered by
// every frame, one after the other: a drop in any layer is final, an accept ends its layer only. A section
// is a list of decisions, tried in order; `enter` goes into another section and comes back behind itself
// when that one ends or says `leave`. A layer that ends without a verdict has accepted. Sections enter
// only sections of a higher index, so that evaluation ends.
//
// A condition about a field that the frame does not have is false, negated or not: "source is not
// 10.0.0.1" says nothing about an ARP frame. Conditions of one decision all have to hold.
//
// Values that differ between ports which otherwise behave alike are not in the policy: a `Listed` condition
// names a table, and each port brings its own rows (Tables).
//
// Tagged frames. Kernel and switches alike see one VLAN tag taken off: eth_type is then the tag's own type,
// protocol and all fields of the layers above are those behind the tag. A second tag is not looked behind.
#pragma once

#include <array>
#include <bitset>
#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/net.h"

namespace bascule::kernel::policy {

enum class Field : std::uint8_t {
    eth_src,
    eth_dst,
    eth_type,   // the outermost: a tag's own type for tagged frames
    protocol,   // the type behind one tag, where there is one
    vlan_id,    // of the outermost tag
    vlan_type,  // what the tag says comes next, also when that is a length
    // Of IEEE 802.1D BPDUs of version 0; all but the type only of configuration BPDUs.
    stp_type,
    stp_flags,
    stp_root_priority,
    stp_root_address,
    stp_root_cost,
    stp_sender_priority,
    stp_sender_address,
    stp_port,
    stp_age,
    stp_max_age,
    stp_hello_time,
    stp_forward_delay,
    // RFC 826, of ARP and RARP frames. The four addresses exist only for Ethernet and IPv4 with their
    // right lengths; anything else has them at other places.
    arp_hardware,
    arp_protocol,
    arp_operation,
    arp_src_mac,
    arp_src_ip,
    arp_dst_mac,
    arp_dst_ip,
    ip4_src,
    ip4_dst,
    ip4_protocol,
    ip4_dscp,
    icmp4_type,  // not of later fragments, as all that follows the IP header
    icmp4_code,
    ip6_src,
    ip6_dst,
    ip6_protocol,  // behind the extension headers; of those AH counts as a protocol
    ip6_dscp,
    icmp6_type,
    icmp6_code,
    nd_target,  // of neighbour solicitations and advertisements (RFC 4861)
    // Of TCP, UDP, UDP-Lite, DCCP and SCTP, and not of later fragments.
    src_port,
    dst_port,
    tcp_flags,
    // What connection tracking knows of the packet. No frame says it of itself: decode() leaves these out.
    ct_state,      // one of the bits of ct_state::
    ct_direction,  // 0: as the connection's first packet, 1: reply
    ct_count,      // connections that the rule has counted, this one included
};
inline constexpr std::size_t kFields = static_cast<std::size_t>(Field::ct_count) + 1;
// The kernel's bits (NF_CT_STATE_BIT).
namespace ct_state {
inline constexpr std::uint32_t kInvalid = 1, kEstablished = 2, kRelated = 4, kNew = 8;
}
std::string_view name_of(Field field);  // "ip4.src"
unsigned bits_of(Field field);

// A field's value: network order from the first octet on, the rest zero. Fields narrower than an octet
// are numbers in one. So values of one field compare as numbers do.
struct Value {
    std::array<std::uint8_t, 16> octets{};

    static Value of(const MacAddr& mac);
    static Value of(const Ip& ip);
    static Value of(Field field, std::uint32_t number);
    static Value ones(Field field);
    std::uint32_t number(Field field) const;  // of fields of at most 32 bits
    Value masked(const Value& mask) const;
    auto operator<=>(const Value&) const = default;
};
std::string format(Field field, const Value& value);

struct Interval {  // inclusive
    Value first, last;
    auto operator<=>(const Interval&) const = default;
};

// The field, masked, is one of these.
struct Among {
    Field field{};
    Value mask;
    std::vector<Interval> values;
    bool operator==(const Among&) const = default;
};
// The fields together are a row of the port's table of that name.
struct Listed {
    std::vector<Field> fields;
    std::string table;
    bool shared = false;  // the table is the same for all ports
    bool operator==(const Listed&) const = default;
};
// Two fields of one type hold the same.
struct Same {
    Field first{}, second{};
    bool operator==(const Same&) const = default;
};

// The TCP header has an option of this kind.
struct TcpOption {
    std::uint8_t kind = 0;
    bool operator==(const TcpOption&) const = default;
};

struct Condition {
    std::variant<Among, Listed, Same, TcpOption> test;
    bool negated = false;
    bool operator==(const Condition&) const = default;
};
Condition equals(Field field, const Value& value);

// reject is a drop that tells the sender, where the data path can.
enum class Action { accept, drop, reject, leave, next, enter };
constexpr bool drops(Action action) { return action == Action::drop || action == Action::reject; }

struct Decision {
    std::vector<Condition> when;
    Action action = Action::next;
    std::size_t section = 0;  // of `enter`
    std::string origin;       // what it stands for: "no-mac-spoofing/rule 2"
    bool own = false;         // its conditions hold values of one port
    bool operator==(const Decision&) const = default;
};

struct Section {
    std::string name;  // "root", "arp-mac"
    std::vector<Decision> decisions;
    bool operator==(const Section&) const = default;
};

struct Policy {
    std::vector<Section> sections;
    std::vector<std::size_t> layers;  // indices of sections
    bool operator==(const Policy&) const = default;
};
// Readable, stable text: what golden files hold.
std::string dump(const Policy& policy);
std::string describe(const Decision& decision, const Policy& policy);  // one line of it

using Row = std::vector<Value>;
using Tables = std::map<std::string, std::set<Row>>;

// The fields of one Ethernet frame, as far as its bytes go.
class Packet {
public:
    static Packet decode(ByteView frame);
    const std::optional<Value>& get(Field field) const { return fields_[static_cast<std::size_t>(field)]; }
    // For tests that make up packets field by field.
    void set(Field field, const Value& value) { fields_[static_cast<std::size_t>(field)] = value; }
    // The kinds of options in the TCP header; none: this is no TCP.
    const std::optional<std::bitset<256>>& tcp_options() const { return tcp_options_; }

private:
    void decode_stp(ByteReader in);
    void decode_arp(ByteReader in);
    void decode_ip4(ByteReader in);
    void decode_ip6(ByteReader in);
    void decode_transport(std::uint8_t protocol, ByteReader in);
    void decode_tcp(ByteReader in);
    void put(Field field, std::uint32_t number) { set(field, Value::of(field, number)); }

    std::array<std::optional<Value>, kFields> fields_;
    std::optional<std::bitset<256>> tcp_options_;
};

bool holds(const Condition& condition, const Packet& packet, const Tables& tables);

struct Outcome {
    bool pass = true;
    const Decision* by = nullptr;  // the last accept or the drop; null when nothing decided
    // The decisions whose conditions held, in order: why it came so.
    std::vector<const Decision*> path;
};
Outcome evaluate(const Policy& policy, const Packet& packet, const Tables& tables);

}  // namespace bascule::kernel::policy
