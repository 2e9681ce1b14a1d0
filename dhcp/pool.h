// SPDX-License-Identifier: GPL-2.0-or-later
// Which addresses of the ranges can be handed out, as bitmaps: finding one in a full pool of 64 thousand costs a
// thousand words, not 64 thousand look-ups.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/net.h"

namespace bascule::dhcp {

// How little an address is to be had, in ascending order.
enum class Claim : std::uint8_t {
    none,        // never given out, or long forgotten
    remembered,  // a port had it and would like it back
    offered,     // somebody was offered it a moment ago
    taken,       // leased, reserved, quarantined, or not a guest's address at all
};

class AddressPool {
public:
    // A bridge has 1024 ports (BR_MAX_PORTS); what a range has beyond this many addresses is not used.
    static constexpr std::size_t kMost = 1U << 20;

    AddressPool() = default;
    explicit AddressPool(std::vector<IpRange> ranges);  // IPv4; may overlap

    std::size_t size() const { return size_; }
    std::size_t taken() const { return taken_; }
    bool contains(const Ip& address) const { return index_of(address).has_value(); }
    // Ignored for an address outside.
    void set(const Ip& address, Claim claim);
    // The first address with a claim of at most `claim`, going round from a place chosen by `seed`.
    std::optional<Ip> find(std::size_t seed, Claim claim) const;

private:
    using Bitmap = std::vector<std::uint64_t>;

    struct Segment {
        std::uint32_t first = 0, count = 0;
        std::size_t offset = 0;  // of its first address in the bitmaps
    };

    std::optional<std::size_t> index_of(const Ip& address) const;
    Ip at(std::size_t index) const;

    std::vector<Segment> segments_;
    std::size_t size_ = 0, taken_ = 0;
    // Bit i of above_[c]: the claim on address i is greater than c.
    std::array<Bitmap, 3> above_;
};

}  // namespace bascule::dhcp
