// SPDX-License-Identifier: GPL-2.0-or-later
// What may be said of a NIC's place on a switch, alike in <interface>, <network>, <portgroup> and <networkport>:
// <bandwidth>, <vlan>, <virtualport>. Plain values, their XML, and how they are put together.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/enum_names.h"
#include "base/names.h"
#include "base/result.h"
#include "base/xml.h"

namespace bascule {

// One direction of <bandwidth>. Rates in kilobytes (1000 bytes) a second, the burst in KiB; 0: unsaid.
struct Rate {
    std::uint64_t average = 0, peak = 0, burst = 0;
    std::uint64_t floor = 0;  // inbound only: what is guaranteed, of the network's own average
    bool operator==(const Rate&) const = default;
};

// Directions are the guest's (or the network's): inbound is what it receives.
struct Bandwidth {
    std::optional<Rate> inbound{}, outbound{};
    bool empty() const { return !inbound && !outbound; }
    bool operator==(const Bandwidth&) const = default;
};
inline constexpr std::uint64_t kMostRate = std::uint64_t{1} << 54;  // the peer's: bits a second fit 64 bits

struct VlanTag {
    enum class Native { no, tagged, untagged };
    std::uint16_t id = 0;  // 0..4095; what can be used is up to the switch
    Native native = Native::no;
    bool operator==(const VlanTag&) const = default;
};

// One tag and no trunk: an access port. Else a trunk that carries these tags.
struct Vlan {
    bool trunk = false;
    std::vector<VlanTag> tags{};  // never empty
    bool operator==(const Vlan&) const = default;
};

// <virtualport>: which switch it is, and what that wants to know. Without a type it only adds to another one.
struct VirtualPort {
    enum class Type { unsaid, qbg, qbh, openvswitch, midonet };
    Type type = Type::unsaid;
    std::optional<std::uint8_t> manager{};        // managerid
    std::optional<std::uint32_t> type_id{};       // typeid, 24 bits
    std::optional<std::uint8_t> type_version{};   // typeidversion
    std::optional<Uuid> instance{}, interface{};  // instanceid, interfaceid
    std::string profile{};                        // profileid
    bool operator==(const VirtualPort&) const = default;
};
inline constexpr EnumNames<VirtualPort::Type, 4> kVirtualPortTypes{{{{"openvswitch", VirtualPort::Type::openvswitch},
                                                                     {"midonet", VirtualPort::Type::midonet},
                                                                     {"802.1Qbg", VirtualPort::Type::qbg},
                                                                     {"802.1Qbh", VirtualPort::Type::qbh}}}};

// Each reads one element to its end; errors have line and element.
Result<Bandwidth> read_bandwidth(const xml::Node& node);
Result<Vlan> read_vlan(const xml::Node& node);
Result<VirtualPort> read_virtual_port(const xml::Node& node);

// The element; of an empty <bandwidth> nothing. `class_id`: of a <networkport>; 0: none.
void write_bandwidth(xml::Writer& w, const Bandwidth& bandwidth, unsigned class_id = 0);
void write_vlan(xml::Writer& w, const Vlan& vlan);
void write_virtual_port(xml::Writer& w, const VirtualPort& port);

// What a type wants and has not; `generate` makes the identity that the switch knows the port by (openvswitch and
// midonet interfaceid, 802.1Qbg instanceid). An error names what is missing, or what the type has no use for.
Result<void> complete(VirtualPort& port, bool generate, const std::function<Uuid()>& fresh = Uuid::random);

// The interface's, the network's and the portgroup's put together: where two say something, they must agree.
Result<std::optional<VirtualPort>> merge(const std::optional<VirtualPort>& interface,
                                         const std::optional<VirtualPort>& network,
                                         const std::optional<VirtualPort>& portgroup);

}  // namespace bascule
