// SPDX-License-Identifier: GPL-2.0-or-later
// Connections that the kernel's conntrack knows. Rules that say `established` go on letting them pass when what let
// them be made is gone, so whoever takes a right away also cuts the flows that rest on it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/net.h"
#include "base/result.h"

namespace bascule::kernel {

// Flows with one end within `end`; what else is set must hold as well.
struct FlowFilter {
    Prefix end;
    std::optional<Prefix> other{};           // the other end, before or after translation
    bool other_outside = false;              // the other end is not within `end` itself
    std::optional<std::uint8_t> protocol{};  // IPPROTO_TCP, …
    std::optional<PortRange> service{};      // the port that the flow was opened to
    bool operator==(const FlowFilter&) const = default;
};
std::string format(const FlowFilter& filter);

class Flows {
public:
    virtual ~Flows() = default;
    // Deletes exactly the entries that match one of the filters; says how many there were.
    virtual Result<std::size_t> cut(const std::vector<FlowFilter>& filters) = 0;
};

}  // namespace bascule::kernel
