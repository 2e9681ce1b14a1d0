// SPDX-License-Identifier: GPL-2.0-or-later
#include "rpc/xdr.h"

#include <bit>

namespace bascule::rpc {

namespace {

constexpr std::size_t padding(std::size_t n) { return (4 - n % 4) % 4; }

// The index-th alternative, default-made.
template <std::size_t I = 0>
bool set_alternative(TypedParam::Value& value, std::size_t index) {
    if constexpr (I < std::variant_size_v<TypedParam::Value>) {
        if (index == I) {
            value.emplace<I>();
            return true;
        }
        return set_alternative<I + 1>(value, index);
    }
    return false;
}

}  // namespace

void Encoder::word(std::uint32_t v) { out_.u32(v); }
void Encoder::operator()(std::int8_t v) { word(static_cast<std::uint32_t>(v)); }
void Encoder::operator()(std::uint8_t v) { word(v); }
void Encoder::operator()(std::uint16_t v) { word(v); }
void Encoder::operator()(std::int32_t v) { word(static_cast<std::uint32_t>(v)); }
void Encoder::operator()(std::uint32_t v) { word(v); }
void Encoder::operator()(std::int64_t v) { out_.u64(static_cast<std::uint64_t>(v)); }
void Encoder::operator()(std::uint64_t v) { out_.u64(v); }
void Encoder::operator()(double v) { out_.u64(std::bit_cast<std::uint64_t>(v)); }

void Encoder::operator()(const std::string& v) { opaque(as_bytes(v), kMaxString); }

void Encoder::operator()(const Uuid& v) { out_.bytes(std::as_bytes(std::span(v.octets))); }

void Encoder::operator()(const Bytes& v, std::size_t limit) { opaque(v, limit); }

void Encoder::operator()(const TypedParam& v) {
    (*this)(v.field);
    word(static_cast<std::uint32_t>(v.value.index()) + 1);
    std::visit(
        [this](const auto& value) {
            if constexpr (std::is_same_v<decltype(value), const bool&>) {
                word(value ? 1 : 0);
            } else {
                (*this)(value);
            }
        },
        v.value);
}

void Encoder::count(std::size_t n, std::size_t limit) {
    ok_ = ok_ && n <= limit;
    word(static_cast<std::uint32_t>(n));
}

void Encoder::opaque(ByteView v, std::size_t limit) {
    count(v.size(), limit);
    out_.bytes(v);
    out_.fill(padding(v.size()));
}

void Decoder::operator()(std::int8_t& v) { v = static_cast<std::int8_t>(in_.u32()); }
void Decoder::operator()(std::uint8_t& v) { v = static_cast<std::uint8_t>(in_.u32()); }
void Decoder::operator()(std::uint16_t& v) { v = static_cast<std::uint16_t>(in_.u32()); }
void Decoder::operator()(std::int32_t& v) { v = static_cast<std::int32_t>(in_.u32()); }
void Decoder::operator()(std::uint32_t& v) { v = in_.u32(); }
void Decoder::operator()(std::int64_t& v) { v = static_cast<std::int64_t>(in_.u64()); }
void Decoder::operator()(std::uint64_t& v) { v = in_.u64(); }
void Decoder::operator()(Uuid& v) { v.octets = in_.array<16>(); }
bool Decoder::present() { return in_.u32() != 0; }
void Decoder::operator()(double& v) { v = std::bit_cast<double>(in_.u64()); }

void Decoder::operator()(std::string& v) {
    const std::string_view text = as_text(opaque(kMaxString));
    v = text.substr(0, text.find('\0'));
}

void Decoder::operator()(Bytes& v, std::size_t limit) {
    const ByteView bytes = opaque(limit);
    v.assign(bytes.begin(), bytes.end());
}

void Decoder::operator()(TypedParam& v) {
    (*this)(v.field);
    const std::uint32_t type = in_.u32();
    if (!in_.ok() || type == 0 || !set_alternative(v.value, type - 1)) {
        in_.set_failed();
        return;
    }
    std::visit(
        [this](auto& value) {
            if constexpr (std::is_same_v<decltype(value), bool&>) {
                value = in_.u32() != 0;
            } else {
                (*this)(value);
            }
        },
        v.value);
}

std::size_t Decoder::count(std::size_t limit) {
    const std::size_t n = in_.u32();
    if (n > limit || n > in_.left() / 4) {
        in_.set_failed();
        return 0;
    }
    return n;
}

ByteView Decoder::opaque(std::size_t limit) {
    const std::size_t n = in_.u32();
    if (n > limit) {
        in_.set_failed();
        return {};
    }
    const ByteView out = in_.take(n);
    in_.skip(padding(n));
    return out;
}

}  // namespace bascule::rpc
