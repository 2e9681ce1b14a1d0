// SPDX-License-Identifier: GPL-2.0-or-later
// XDR (RFC 4506) as the remote protocol uses it: big-endian, everything a multiple of four bytes, small
// integers widened to four, counts before strings and arrays, a word 0 or 1 before what may be absent.
//
// A wire struct names its fields once:
//   template <class A, class T> static void fields(A& a, T& t) { a(t.name); a(t.cookie, 4194304); }
// and Encoder and Decoder are the two archives that walk them. Why so, and not one compact interpreter of
// descriptors: there are about 750 structs, but a translation unit instantiates only the few it uses (a
// handler file: some dozens, about a second), each field is checked by the compiler, and nothing walks
// memory by offsets.
//
// Decoding client bytes: every count is held against its limit in the tables and against the bytes that are
// left before anything is allocated, so a message can cost only a small multiple of its own size. As the C
// library does: padding is not checked, any non-zero marker means present, bytes after the last field are
// ignored, and a string ends at its first zero byte.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/names.h"
#include "base/result.h"

namespace bascule::rpc {

inline constexpr std::size_t kMaxString = 4194304;

// The one union of the protocol. On the wire the type is the alternative's index plus one.
struct TypedParam {
    using Value = std::variant<std::int32_t, std::uint32_t, std::int64_t, std::uint64_t, double, bool, std::string>;
    std::string field{};
    Value value{};
    bool operator==(const TypedParam&) const = default;
};

// The arguments or result of a procedure that has none.
struct Nothing {
    template <class A, class T>
    static void fields(A&, T&) {}
    bool operator==(const Nothing&) const = default;
};

class Encoder {
public:
    // Writes behind what `out` already has. A string or array over its limit latches out's failure.
    explicit Encoder(ByteWriter& out) : out_(out) {}
    bool ok() const { return ok_ && out_.ok(); }

    void operator()(std::int8_t v);
    void operator()(std::uint8_t v);
    void operator()(std::uint16_t v);
    void operator()(std::int32_t v);
    void operator()(std::uint32_t v);
    void operator()(std::int64_t v);
    void operator()(std::uint64_t v);
    void operator()(double v);
    void operator()(const std::string& v);
    void operator()(const Uuid& v);
    void operator()(const TypedParam& v);
    void operator()(const Bytes& v, std::size_t limit);

    template <class T>
    void operator()(const std::optional<T>& v) {
        word(v ? 1 : 0);
        if (v) {
            (*this)(*v);
        }
    }
    template <class T>
    void operator()(const std::vector<T>& v, std::size_t limit) {
        count(v.size(), limit);
        for (const T& item : v) {
            (*this)(item);
        }
    }
    template <class T, std::size_t N>
    void operator()(const std::array<T, N>& v) {
        for (const T& item : v) {
            (*this)(item);
        }
    }
    template <class T>
        requires std::is_class_v<T>
    void operator()(const T& v) {
        T::fields(*this, v);
    }

private:
    void word(std::uint32_t v);
    void count(std::size_t n, std::size_t limit);
    void opaque(ByteView v, std::size_t limit);

    ByteWriter& out_;
    bool ok_ = true;
};

class Decoder {
public:
    // Reads on from where `in` is; a failure latches in `in`.
    explicit Decoder(ByteReader& in) : in_(in) {}
    bool ok() const { return in_.ok(); }

    void operator()(std::int8_t& v);
    void operator()(std::uint8_t& v);
    void operator()(std::uint16_t& v);
    void operator()(std::int32_t& v);
    void operator()(std::uint32_t& v);
    void operator()(std::int64_t& v);
    void operator()(std::uint64_t& v);
    void operator()(double& v);
    void operator()(std::string& v);
    void operator()(Uuid& v);
    void operator()(TypedParam& v);
    void operator()(Bytes& v, std::size_t limit);

    template <class T>
    void operator()(std::optional<T>& v) {
        v.reset();
        if (present()) {
            (*this)(v.emplace());
        }
    }
    template <class T>
    void operator()(std::vector<T>& v, std::size_t limit) {
        v.clear();
        for (std::size_t left = count(limit); left > 0 && ok(); --left) {
            (*this)(v.emplace_back());
        }
    }
    template <class T, std::size_t N>
    void operator()(std::array<T, N>& v) {
        for (T& item : v) {
            (*this)(item);
        }
    }
    template <class T>
        requires std::is_class_v<T>
    void operator()(T& v) {
        T::fields(*this, v);
    }

private:
    // A count of items of at least four bytes each; 0 and failure where it cannot be true.
    std::size_t count(std::size_t limit);
    bool present();
    ByteView opaque(std::size_t limit);

    ByteReader& in_;
};

// The whole payload of a packet. Fails with Code::malformed when bytes are missing or a limit is passed.
template <class T>
Result<T> decode(ByteView payload) {
    ByteReader in(payload);
    T value{};
    Decoder decoder(in);
    decoder(value);
    if (!in.ok()) {
        return fail(Code::malformed, "Unable to decode message payload");
    }
    return value;
}

// Absent when a string or array is over its limit, or all of it over the size of a message.
inline constexpr std::size_t kMaxPayload = 33554436 - 28;
template <class T>
std::optional<Bytes> encode(const T& value) {
    ByteWriter out(kMaxPayload);
    Encoder encoder(out);
    encoder(value);
    if (!encoder.ok()) {
        return std::nullopt;
    }
    return out.take();
}

}  // namespace bascule::rpc
