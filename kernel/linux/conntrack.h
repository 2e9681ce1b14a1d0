// SPDX-License-Identifier: GPL-2.0-or-later
// Conntrack over ctnetlink: entries listed, those that match picked, each deleted by its tuple and id.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/net.h"
#include "base/result.h"
#include "kernel/flows.h"

namespace bascule::kernel::os {

// One direction of an entry.
struct FlowTuple {
    Ip source, destination;
    std::uint8_t protocol = 0;
    std::uint16_t source_port = 0, destination_port = 0;
    bool operator==(const FlowTuple&) const = default;
};
struct FlowSeen {
    FlowTuple original, reply;
    std::uint32_t id = 0;
    // CTA_TUPLE_ORIG as it came (header included): what names the entry when it is deleted.
    Bytes tuple;
};

// One message of a dump; nothing for what is no entry of IPv4 or IPv6, or does not add up. Pure.
std::optional<FlowSeen> parse_flow(ByteView message);
bool matches(const FlowFilter& filter, const FlowSeen& flow);

// Works in the network namespace of the calling thread.
Result<std::unique_ptr<Flows>> make_flows();

}  // namespace bascule::kernel::os
