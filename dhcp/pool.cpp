// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/pool.h"

#include <algorithm>
#include <bit>

namespace bascule::dhcp {

namespace {

// The first clear bit in [from, to), or none.
std::optional<std::size_t> first_clear(const std::vector<std::uint64_t>& bits, std::size_t from, std::size_t to) {
    for (std::size_t i = from; i < to;) {
        const std::uint64_t busy = bits[i / 64] >> (i % 64);
        const std::size_t run = static_cast<std::size_t>(std::countr_one(busy));
        if (run < 64 - i % 64) {
            return i + run < to ? std::optional(i + run) : std::nullopt;
        }
        i += 64 - i % 64;
    }
    return std::nullopt;
}

}  // namespace

AddressPool::AddressPool(std::vector<IpRange> ranges) {
    std::erase_if(ranges, [](const IpRange& r) { return !r.first.is_v4() || !r.last.is_v4() || r.last < r.first; });
    std::ranges::sort(ranges);
    std::uint64_t next = 0;  // every address below is in a segment already
    for (const IpRange& range : ranges) {
        const std::uint64_t first = std::max<std::uint64_t>(next, range.first.v4_value());
        const std::uint64_t end = std::uint64_t{range.last.v4_value()} + 1;
        if (first >= end || size_ == kMost) {
            continue;
        }
        const auto count = std::min<std::uint64_t>(end - first, kMost - size_);
        segments_.push_back({static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(count), size_});
        size_ += count;
        next = end;
    }
    for (Bitmap& bits : above_) {
        bits.resize((size_ + 63) / 64);
    }
}

std::optional<std::size_t> AddressPool::index_of(const Ip& address) const {
    if (!address.is_v4()) {
        return std::nullopt;
    }
    const std::uint32_t value = address.v4_value();
    for (const Segment& s : segments_) {
        if (value >= s.first && value - s.first < s.count) {
            return s.offset + (value - s.first);
        }
    }
    return std::nullopt;
}

Ip AddressPool::at(std::size_t index) const {
    const auto after = std::ranges::upper_bound(segments_, index, {}, &Segment::offset);
    const Segment& s = *std::prev(after);
    return Ip::v4(s.first + static_cast<std::uint32_t>(index - s.offset));
}

void AddressPool::set(const Ip& address, Claim claim) {
    const auto index = index_of(address);
    if (!index) {
        return;
    }
    const std::uint64_t bit = std::uint64_t{1} << (*index % 64);
    const bool was = (above_.back()[*index / 64] & bit) != 0, is = claim == Claim::taken;
    taken_ = taken_ + (is ? 1 : 0) - (was ? 1 : 0);
    for (std::size_t c = 0; c < above_.size(); ++c) {
        std::uint64_t& word = above_[c][*index / 64];
        word = static_cast<std::size_t>(claim) > c ? word | bit : word & ~bit;
    }
}

std::optional<Ip> AddressPool::find(std::size_t seed, Claim claim) const {
    if (size_ == 0 || claim == Claim::taken) {
        return std::nullopt;
    }
    const Bitmap& busy = above_[static_cast<std::size_t>(claim)];
    const std::size_t start = seed % size_;
    auto index = first_clear(busy, start, size_);
    if (!index) {
        index = first_clear(busy, 0, start);
    }
    return index ? std::optional(at(*index)) : std::nullopt;
}

}  // namespace bascule::dhcp
