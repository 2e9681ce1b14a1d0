// SPDX-License-Identifier: GPL-2.0-or-later
#include "rpc/frame.h"

#include <fmt/format.h>

#include <array>
#include <cassert>

namespace bascule::rpc {

namespace {

bool has_fds(std::uint32_t type) {
    return type == static_cast<std::uint32_t>(MessageType::call_with_fds) ||
           type == static_cast<std::uint32_t>(MessageType::reply_with_fds);
}

Header read_header(ByteReader& in) {
    Header out;
    out.program = in.u32();
    out.version = in.u32();
    out.procedure = static_cast<std::int32_t>(in.u32());
    out.type = static_cast<MessageType>(in.u32());
    out.serial = in.u32();
    out.status = static_cast<Status>(in.u32());
    return out;
}

constexpr std::size_t kKeptCapacity = 16384;  // of a buffer that one large message made grow

}  // namespace

void append_packet(Bytes& out, const Header& header, ByteView payload, std::optional<std::uint32_t> fd_count) {
    const std::size_t length = kHeaderBytes + (fd_count ? 4 : 0) + payload.size();
    assert(length <= kMaxPacket);
    const std::array<std::uint32_t, 8> words{static_cast<std::uint32_t>(length),
                                             header.program,
                                             header.version,
                                             static_cast<std::uint32_t>(header.procedure),
                                             static_cast<std::uint32_t>(header.type),
                                             header.serial,
                                             static_cast<std::uint32_t>(header.status),
                                             fd_count.value_or(0)};
    std::array<std::byte, 4 * words.size()> bytes{};
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        bytes[i] = static_cast<std::byte>(words[i / 4] >> (24 - 8 * (i % 4)));
    }
    out.insert(out.end(), bytes.begin(), bytes.begin() + kHeaderBytes + (fd_count ? 4 : 0));
    out.insert(out.end(), payload.begin(), payload.end());
}

Bytes encode_packet(const Header& header, ByteView payload, std::optional<std::uint32_t> fd_count) {
    Bytes out;
    out.reserve(kHeaderBytes + 4 + payload.size());
    append_packet(out, header, payload, fd_count);
    return out;
}

void FrameReader::append(ByteView bytes, std::vector<UniqueFd> fds) {
    forget_taken();
    // Not doubled, as a vector would: of a packet of megabytes that is as much again for nothing.
    if (const std::size_t needed = buffer_.size() + bytes.size(); needed > buffer_.capacity()) {
        buffer_.reserve(needed + needed / 4);
    }
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
    for (UniqueFd& fd : fds) {
        fds_.push_back(std::move(fd));
    }
}

void FrameReader::forget_taken() {
    if (at_ == buffer_.size()) {
        buffer_.clear();
        if (buffer_.capacity() > kKeptCapacity) {
            Bytes().swap(buffer_);
        }
        at_ = 0;
    } else if (at_ >= buffer_.size() / 2) {
        buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(at_));
        at_ = 0;
    }
}

// What the bytes at hand say about the next packet; nullopt while they are too few to say.
Result<std::optional<FrameReader::Shape>> FrameReader::shape() const {
    ByteReader in(ByteView(buffer_).subspan(at_));
    if (in.left() < 4) {
        return std::nullopt;
    }
    Shape out;
    out.length = in.u32();
    if (out.length < kHeaderBytes || out.length > kMaxPacket) {
        return fail(Code::malformed,
                    fmt::format("a packet of {} bytes; a packet has {} to {}", out.length, kHeaderBytes, kMaxPacket));
    }
    if (buffered() < out.length) {
        return std::nullopt;
    }
    out.has_count = has_fds(static_cast<std::uint32_t>(read_header(in).type));
    if (out.has_count) {
        const std::size_t count = in.u32();
        if (out.length < kHeaderBytes + 4 || count > kMaxFds) {
            return fail(Code::malformed, fmt::format("a packet with descriptors has a count of at most {}", kMaxFds));
        }
        out.fds = count;
    }
    if (buffered() < out.length + out.fds) {
        return std::nullopt;
    }
    if (fds_.size() < out.fds) {
        return fail(Code::malformed,
                    fmt::format("a packet announced {} descriptors, {} came with it", out.fds, fds_.size()));
    }
    return out;
}

Result<std::optional<Header>> FrameReader::peek() {
    // A descriptor comes with a byte behind its packet; with no byte left there is no packet for it.
    if (fds_.size() > 4 * kMaxFds || (buffered() == 0 && !fds_.empty())) {
        return fail(Code::malformed, "descriptors that no packet announced");
    }
    if (at_ == buffer_.size()) {
        forget_taken();
    }
    TRY(const auto found, shape());
    if (!found) {
        return std::nullopt;
    }
    next_ = *found;
    ByteReader in(ByteView(buffer_).subspan(at_ + 4));
    return read_header(in);
}

Frame FrameReader::take() {
    assert(next_.length >= kHeaderBytes && next_.length + next_.fds <= buffered());
    Frame out;
    ByteReader in(ByteView(buffer_).subspan(at_, next_.length));
    in.skip(4);
    out.header = read_header(in);
    if (next_.has_count) {
        in.skip(4);
    }
    out.payload = in.rest();
    for (std::size_t i = 0; i < next_.fds; ++i) {
        out.fds.push_back(std::move(fds_.front()));
        fds_.pop_front();
    }
    at_ += next_.length + next_.fds;
    next_ = {};
    return out;
}

}  // namespace bascule::rpc
