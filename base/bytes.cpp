// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/bytes.h"

#include <cassert>

namespace bascule {

ByteView as_bytes(std::string_view text) { return std::as_bytes(std::span(text.data(), text.size())); }

std::string_view as_text(ByteView bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

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

}  // namespace bascule
