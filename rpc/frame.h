// SPDX-License-Identifier: GPL-2.0-or-later
// Packets: a length word that counts itself, a header of six words, a payload.
//
// All but stream data are multiples of four bytes. Types call_with_fds and reply_with_fds have a count of
// descriptors before the payload, and behind the packet, not counted in its length, one byte a descriptor that
// carries it as SCM_RIGHTS. The kernel may hand over packet and bytes in one read, or in many: which descriptor
// belongs to which packet follows from order alone, so FrameReader keeps one queue of each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/fd.h"
#include "base/result.h"
#include "rpc/xdr.h"

namespace bascule::rpc {

enum class MessageType : std::uint32_t {
    call = 0,
    reply = 1,
    event = 2,
    stream = 3,
    call_with_fds = 4,
    reply_with_fds = 5,
    stream_hole = 6,
};

enum class Status : std::uint32_t { ok = 0, error = 1, more = 2 };

struct Header {
    std::uint32_t program = 0;
    std::uint32_t version = 1;
    std::int32_t procedure = 0;
    MessageType type = MessageType::call;  // any value may come
    std::uint32_t serial = 0;              // the caller's choice, echoed by all that answers the call
    Status status = Status::ok;
    bool operator==(const Header&) const = default;
};

inline constexpr std::size_t kHeaderBytes = 28;        // length word included
inline constexpr std::size_t kMaxPacket = 33554436;    // length word included
inline constexpr std::size_t kMaxFds = 32;             // of one packet
inline constexpr std::size_t kMaxStreamData = 262120;  // old clients accept no more in one packet

struct Frame {
    Header header;
    ByteView payload;           // without a count of descriptors; valid until the reader is touched again
    std::vector<UniqueFd> fds;  // of the types that carry them
};

// A packet of any type but the two with descriptors, or of those with `fd_count` given. The payload must fit
// (kMaxPayload less four).
Bytes encode_packet(const Header& header, ByteView payload, std::optional<std::uint32_t> fd_count = {});
// The same, behind what `out` holds.
void append_packet(Bytes& out, const Header& header, ByteView payload, std::optional<std::uint32_t> fd_count = {});

// Bytes and descriptors in, in any portions; packets out. Holds no more than one packet and what came with it.
class FrameReader {
public:
    void append(ByteView bytes, std::vector<UniqueFd> fds = {});

    // The header of the next packet when all of it (descriptors included) is there; none yet: nullopt.
    // An error is final, the stream cannot be found again: a length below 28 or above kMaxPacket, more than
    // kMaxFds descriptors, fewer bytes than the count needs, or descriptors that no packet announced.
    Result<std::optional<Header>> peek();
    // The packet that peek() saw. Only after peek() gave a header.
    Frame take();
    // Bytes that wait here.
    std::size_t buffered() const { return buffer_.size() - at_; }

private:
    struct Shape {
        std::size_t length = 0, fds = 0;  // fds: how many bytes and descriptors follow
        bool has_count = false;
    };
    Result<std::optional<Shape>> shape() const;
    void forget_taken();

    Bytes buffer_;
    std::size_t at_ = 0;
    std::deque<UniqueFd> fds_;
    Shape next_;
};

}  // namespace bascule::rpc
