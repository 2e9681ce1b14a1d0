// SPDX-License-Identifier: GPL-2.0-or-later
// What waits to be written to one client: packets in two lanes. Replies, errors and events go before stream data, so
// a reply waits for at most one stream packet that has begun, however much a console has to say. Within a lane, order
// is kept; a stream's end travels in its own lane, and what opened it in the other was there first.
#pragma once

#include <array>
#include <cstddef>
#include <list>
#include <vector>

#include "base/bytes.h"
#include "base/fd.h"
#include "rpc/frame.h"

namespace bascule::rpc {

class Outbox {
public:
    enum class Lane { calls, streams };
    struct Chunk {
        ByteView bytes;  // empty: nothing to write. Valid until the outbox is touched
        int fd = -1;     // to be sent along with these bytes (then it is one byte)
    };

    void push(Lane lane, const Header& header, ByteView payload, std::vector<UniqueFd> fds = {});
    Chunk next();
    void sent(std::size_t n);  // of the last next(), at most all of it
    void clear();
    std::size_t size() const { return size_[0] + size_[1]; }
    std::size_t size(Lane lane) const { return size_[static_cast<std::size_t>(lane)]; }

private:
    // Some packets, and the descriptors of the last one: one byte each behind the bytes.
    struct Segment {
        Bytes bytes;
        std::vector<UniqueFd> fds;
        std::size_t size() const { return bytes.size() + fds.size(); }
    };

    std::array<std::list<Segment>, 2> lanes_;
    std::array<std::size_t, 2> size_{};
    std::size_t current_ = 0;  // the lane that is being written
    std::size_t at_ = 0;       // within its first segment
};

}  // namespace bascule::rpc
