// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/bytes.h"

#include <cassert>

namespace bascule {

ByteView as_bytes(std::string_view text) { return std::as_bytes(std::span(text.data(), text.size())); }

std::string_view as_text(ByteView bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

ByteView ByteReader::take(std::size_t n) {
    if (n > left()) {
        ok_ = false;
        return {};
    }
    const ByteView out = bytes_.subspan(at_, n);
    at_ += n;
    return out;
}

std::uint64_t ByteReader::number(std::size_t width) {
    std::uint64_t value = 0;
    for (const std::byte b : take(width)) {
        value = value << 8 | std::to_integer<std::uint64_t>(b);
    }
    return value;
}

bool ByteWriter::room(std::size_t n) {
    ok_ = ok_ && n <= limit_ && out_.size() <= limit_ - n;
    return ok_;
}

void ByteWriter::bytes(ByteView v) {
    if (room(v.size())) {
        out_.insert(out_.end(), v.begin(), v.end());
    }
}

void ByteWriter::fill(std::size_t n, std::uint8_t v) {
    if (room(n)) {
        out_.insert(out_.end(), n, static_cast<std::byte>(v));
    }
}

void ByteWriter::put_u32(std::size_t at, std::uint32_t v) {
    put_u16(at, static_cast<std::uint16_t>(v >> 16));
    put_u16(at + 2, static_cast<std::uint16_t>(v));
}

void ByteWriter::put_u16(std::size_t at, std::uint16_t v) {
    assert(at + 2 <= out_.size());
    out_[at] = static_cast<std::byte>(v >> 8);
    out_[at + 1] = static_cast<std::byte>(v);
}

void ByteWriter::number(std::uint64_t v, std::size_t width) {
    if (!room(width)) {
        return;
    }
    for (std::size_t i = width; i-- > 0;) {
        out_.push_back(static_cast<std::byte>(v >> (8 * i)));
    }
}

}  // namespace bascule
