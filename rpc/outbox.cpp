// SPDX-License-Identifier: GPL-2.0-or-later
#include "rpc/outbox.h"

#include <cassert>

namespace bascule::rpc {

namespace {
constexpr std::size_t kSegment = 65536;  // small packets are gathered up to this, for one write
constexpr std::byte kCarrier{0};         // travels with a descriptor
}  // namespace

void Outbox::push(Lane lane, const Header& header, ByteView payload, std::vector<UniqueFd> fds) {
    const auto index = static_cast<std::size_t>(lane);
    const std::optional<std::uint32_t> count =
        fds.empty() ? std::nullopt : std::optional(static_cast<std::uint32_t>(fds.size()));
    std::list<Segment>& segments = lanes_[index];
    // Bytes that next() has shown must stay where they are, but sent() may come with a packet pushed in between: so
    // what is being written is only added to by offset.
    if (segments.empty() || !segments.back().fds.empty() ||
        segments.back().bytes.size() + kHeaderBytes + payload.size() > kSegment) {
        segments.emplace_back();
    }
    Segment& last = segments.back();
    const std::size_t before = last.size();
    append_packet(last.bytes, header, payload, count);
    last.fds = std::move(fds);
    size_[index] += last.size() - before;
}

Outbox::Chunk Outbox::next() {
    if (at_ == 0) {
        current_ = lanes_[0].empty() ? 1 : 0;
    }
    if (lanes_[current_].empty()) {
        return {};
    }
    const Segment& first = lanes_[current_].front();
    if (at_ < first.bytes.size()) {
        return {ByteView(first.bytes).subspan(at_), -1};
    }
    return {ByteView(&kCarrier, 1), first.fds[at_ - first.bytes.size()].get()};
}

void Outbox::sent(std::size_t n) {
    std::list<Segment>& segments = lanes_[current_];
    if (segments.empty() || n == 0) {
        return;
    }
    Segment& first = segments.front();
    assert(n <= first.size() - at_);
    if (at_ >= first.bytes.size()) {
        first.fds[at_ - first.bytes.size()].reset();
    }
    at_ += n;
    size_[current_] -= n;
    if (at_ == first.size()) {
        segments.pop_front();
        at_ = 0;
    }
}

void Outbox::clear() {
    for (auto& lane : lanes_) {
        lane.clear();
    }
    size_ = {};
    current_ = at_ = 0;
}

}  // namespace bascule::rpc
