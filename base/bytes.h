// SPDX-License-Identifier: GPL-2.0-or-later
// Bytes are only reached through these two. Both are explicit about byte order (network order unless
// the name says little-endian) and can never touch memory outside what they were given.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bascule {

using Bytes = std::vector<std::byte>;
using ByteView = std::span<const std::byte>;

ByteView as_bytes(std::string_view text);
std::string_view as_text(ByteView bytes);

// Reads from a view that must outlive it. The first read that does not fit latches failure: it and
// every later read yield zeros or empty views, and ok() is false. Read a whole message, then ask ok()
// once, before acting on any of it.
class ByteReader {
public:
    explicit ByteReader(ByteView bytes) : bytes_(bytes) {}

    std::uint8_t u8() { return static_cast<std::uint8_t>(number(1)); }
    std::uint16_t u16() { return static_cast<std::uint16_t>(number(2)); }
    std::uint32_t u32() { return static_cast<std::uint32_t>(number(4)); }
    std::uint64_t u64() { return number(8); }

    // The next n bytes, or an empty view and failure.
    ByteView take(std::size_t n) {
        if (n > left()) {
            ok_ = false;
            return {};
        }
        const ByteView out = bytes_.subspan(at_, n);
        at_ += n;
        return out;
    }
    // All that is left; may be empty.
    ByteView rest() { return take(left()); }
    void skip(std::size_t n) { take(n); }

    template <std::size_t N>
    std::array<std::uint8_t, N> array() {
        std::array<std::uint8_t, N> out{};
        const ByteView from = take(N);
        for (std::size_t i = 0; i < from.size(); ++i) {
            out[i] = static_cast<std::uint8_t>(from[i]);
        }
        return out;
    }

    std::size_t left() const { return ok_ ? bytes_.size() - at_ : 0; }
    std::size_t position() const { return at_; }
    bool ok() const { return ok_; }
    void set_failed() { ok_ = false; }

private:
    std::uint64_t number(std::size_t width) {
        std::uint64_t value = 0;
        for (const std::byte b : take(width)) {
            value = value << 8 | std::to_integer<std::uint64_t>(b);
        }
        return value;
    }

    ByteView bytes_;
    std::size_t at_ = 0;
    bool ok_ = true;
};

// Appends to a buffer of its own. A limit, where given, latches failure instead of growing past it.
class ByteWriter {
public:
    ByteWriter() = default;
    explicit ByteWriter(std::size_t limit) : limit_(limit) {}

    void u8(std::uint8_t v) { number(v, 1); }
    void u16(std::uint16_t v) { number(v, 2); }
    void u32(std::uint32_t v) { number(v, 4); }
    void u64(std::uint64_t v) { number(v, 8); }
    void bytes(ByteView v);
    void text(std::string_view v) { bytes(as_bytes(v)); }
    void fill(std::size_t n, std::uint8_t v = 0);
    // Room for so many in all, so that none of them moves the others.
    void reserve(std::size_t n) { out_.reserve(n); }

    // Overwrites four bytes written before, e.g. a length known only at the end. at + 4 <= size().
    void put_u32(std::size_t at, std::uint32_t v);
    void put_u16(std::size_t at, std::uint16_t v);

    std::size_t size() const { return out_.size(); }
    bool ok() const { return ok_; }
    ByteView view() const { return out_; }
    Bytes take() { return std::move(out_); }

private:
    bool room(std::size_t n) {
        ok_ = ok_ && n <= limit_ && out_.size() <= limit_ - n;
        return ok_;
    }
    void number(std::uint64_t v, std::size_t width) {
        if (!room(width)) {
            return;
        }
        const std::size_t at = out_.size();
        out_.resize(at + width);
        for (std::size_t i = 0; i < width; ++i) {
            out_[at + i] = static_cast<std::byte>(v >> (8 * (width - 1 - i)));
        }
    }

    Bytes out_;
    std::size_t limit_ = static_cast<std::size_t>(-1);
    bool ok_ = true;
};

}  // namespace bascule
