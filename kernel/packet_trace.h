// SPDX-License-Identifier: GPL-2.0-or-later
// What the kernel tells of one packet's way through nftables, of packets that a rule marked for it (`meta nftrace`).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace bascule::kernel {

// A rule that the packet met whose conditions all held, or what became of it at a base chain's end. The packet's bytes
// are a guest's: they are handed on as digits, and nobody with privileges looks into them.
struct TraceStep {
    std::uint32_t packet = 0;  // the same at all its steps
    std::string family, table, chain;
    std::optional<std::uint64_t> rule;  // its handle; none: the base chain's policy
    std::string verdict;                // "accept", "jump nwf_out_…"
    std::string in, out;                // devices; empty: not known there
    std::string frame;                  // what the kernel told of its headers, hexadecimal; empty: said before
    bool operator==(const TraceStep&) const = default;
};

}  // namespace bascule::kernel
