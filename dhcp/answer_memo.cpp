// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/answer_memo.h"

#include <algorithm>
#include <cstring>
#include <functional>

namespace bascule::dhcp {

std::size_t AnswerMemo::first_slot(ByteView query) {
    return std::hash<std::string_view>()(as_text(query.subspan(kId))) % kSets * kWays;
}

bool AnswerMemo::is_for(const Slot& slot, ByteView query, const Version& version) {
    return slot.query_size == query.size() && slot.version == version &&
           std::memcmp(slot.query.data() + kId, query.data() + kId, query.size() - kId) == 0;
}

ByteView AnswerMemo::find(ByteView query, const Version& version) {
    if (slots_.empty() || query.size() <= kId || query.size() > kLongestQuery) {
        return {};
    }
    const std::size_t first = first_slot(query);
    for (std::size_t way = 0; way < kWays; ++way) {
        Slot& slot = slots_[first + way];
        if (is_for(slot, query, version)) {
            std::copy_n(query.begin(), kId, slot.reply.begin());
            return ByteView(slot.reply).first(slot.reply_size);
        }
    }
    return {};
}

void AnswerMemo::keep(ByteView query, ByteView reply, const Version& version) {
    if (query.size() <= kId || query.size() > kLongestQuery || reply.size() <= kId || reply.size() > kLongestReply) {
        return;
    }
    if (slots_.empty()) {
        slots_.resize(kSets * kWays);
    }
    // The newest comes first, and what was there goes where the one before it was.
    const std::size_t first = first_slot(query);
    if (slots_[first].version == version) {
        slots_[first + 1] = slots_[first];
    }
    Slot& slot = slots_[first];
    slot.version = version;
    slot.query_size = static_cast<std::uint16_t>(query.size());
    slot.reply_size = static_cast<std::uint16_t>(reply.size());
    std::ranges::copy(query, slot.query.begin());
    std::ranges::copy(reply, slot.reply.begin());
}

}  // namespace bascule::dhcp
