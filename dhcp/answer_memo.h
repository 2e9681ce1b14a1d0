// SPDX-License-Identifier: GPL-2.0-or-later
// Answers by the very octets of their questions, so that what is asked again and again is neither decoded nor looked up
// in the zone: a host asks the same question again, with another id each time. An answer is of use only as long as
// nothing has changed that it was made of, which its version says; then it is made again and takes the same place.
//
// Bounded, and a guest that asks for ever other names pushes out what others ask for: they then pay what the zone
// costs.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/names.h"

namespace bascule::dhcp {

class AnswerMemo {
public:
    // What an answer was made of: a network in one state of its definition, its guests and its leases.
    struct Version {
        Uuid network;
        std::uint64_t changes = 0;
        bool operator==(const Version&) const = default;
    };

    // The reply with the question's id, until the next call; empty when there is none.
    ByteView find(ByteView query, const Version& version);
    // What is longer than most is not kept.
    void keep(ByteView query, ByteView reply, const Version& version);
    void clear() { slots_.clear(); }

private:
    static constexpr std::size_t kSets = 2048, kWays = 2, kId = 2, kLongestQuery = 112, kLongestReply = 176;
    struct Slot {
        Version version;
        std::uint16_t query_size = 0, reply_size = 0;  // 0: nothing is here
        std::array<std::byte, kLongestQuery> query{};
        std::array<std::byte, kLongestReply> reply{};
    };

    static std::size_t first_slot(ByteView query);
    static bool is_for(const Slot& slot, ByteView query, const Version& version);

    std::vector<Slot> slots_;  // kSets * kWays, or none yet
};

}  // namespace bascule::dhcp
