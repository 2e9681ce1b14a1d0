// SPDX-License-Identifier: GPL-2.0-or-later
#include "rpc/xdr.h"

#include <gtest/gtest.h>

#include <random>

#include "rpc/proto_domain.h"
#include "rpc/proto_types.h"

namespace bascule::rpc {
namespace {

struct Everything {
    std::int8_t a{};
    std::uint8_t b{};
    std::uint16_t c{};
    std::int32_t d{};
    std::uint32_t e{};
    std::int64_t f{};
    std::uint64_t g{};
    double h{};
    std::string i{};
    Uuid j{};
    Bytes k{};
    std::optional<std::string> l{};
    std::vector<std::int8_t> m{};
    std::array<std::int8_t, 3> n{};
    std::vector<TypedParam> o{};
    template <class A, class T>
    static void fields(A& x, T& t) {
        x(t.a), x(t.b), x(t.c), x(t.d), x(t.e), x(t.f), x(t.g), x(t.h), x(t.i), x(t.j), x(t.k, 5), x(t.l), x(t.m, 4),
            x(t.n), x(t.o, 16);
    }
    bool operator==(const Everything&) const = default;
};

Bytes bytes(std::initializer_list<unsigned> values) {
    Bytes out;
    for (const unsigned v : values) {
        out.push_back(static_cast<std::byte>(v));
    }
    return out;
}

template <class T>
struct One {
    T value{};
    template <class A, class U>
    static void fields(A& a, U& u) {
        a(u.value);
    }
};

TEST(Xdr, SmallIntegersTravelAsFourBytes) {
    EXPECT_EQ(encode(One<std::int8_t>{-2}), bytes({0xff, 0xff, 0xff, 0xfe}));
    EXPECT_EQ(encode(One<std::uint8_t>{254}), bytes({0, 0, 0, 254}));
    EXPECT_EQ(encode(One<std::uint16_t>{0x1234}), bytes({0, 0, 0x12, 0x34}));
    EXPECT_EQ(encode(One<double>{1.0}), bytes({0x3f, 0xf0, 0, 0, 0, 0, 0, 0}));
}

TEST(Xdr, StringsArePaddedAndEndAtAZeroByte) {
    EXPECT_EQ(encode(One<std::string>{"abcde"}), bytes({0, 0, 0, 5, 'a', 'b', 'c', 'd', 'e', 0, 0, 0}));
    EXPECT_EQ(decode<One<std::string>>(bytes({0, 0, 0, 3, 'a', 0, 'b', 0xff}))->value, "a");  // padding not looked at
    EXPECT_FALSE(decode<One<std::string>>(bytes({0, 0, 0, 3, 'a', 'b', 'c'})));               // but it must be there
}

TEST(Xdr, AnyMarkerButZeroMeansPresent) {
    using Maybe = One<std::optional<std::uint32_t>>;
    EXPECT_EQ(decode<Maybe>(bytes({0, 0, 0, 9, 0, 0, 0, 7}))->value, 7u);
    EXPECT_EQ(decode<Maybe>(bytes({0, 0, 0, 0}))->value, std::nullopt);
    EXPECT_FALSE(decode<Maybe>(bytes({0, 0, 0, 1})));
}

TEST(Xdr, TrailingBytesAreIgnored) { EXPECT_EQ(decode<One<std::uint32_t>>(bytes({0, 0, 0, 1, 2, 3}))->value, 1u); }

TEST(Xdr, LimitsHoldBothWays) {
    Everything value;
    value.k = Bytes(6);
    EXPECT_FALSE(encode(value));
    value.k = Bytes(5);
    EXPECT_TRUE(encode(value));
    value.m = {1, 2, 3, 4, 5};
    EXPECT_FALSE(encode(value));
    EXPECT_FALSE(encode(One<std::string>{std::string(kMaxString + 1, 'x')}));
    Bytes long_string(4 + kMaxString + 4);
    long_string[1] = std::byte{0x40};
    EXPECT_TRUE(decode<One<std::string>>(long_string));
    long_string[3] = std::byte{1};
    EXPECT_FALSE(decode<One<std::string>>(long_string));
}

TEST(Xdr, AnImpossibleCountCostsNothing) {
    // 16384 items claimed, none there.
    const auto result = decode<proto::domain_get_vcpus_ret>(bytes({0, 0, 0x40, 0}));
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().message, "Unable to decode message payload");
}

TEST(Xdr, TypedParametersAreNumberedFromOne) {
    const One<TypedParam> yes{{"on", true}};
    EXPECT_EQ(encode(yes), bytes({0, 0, 0, 2, 'o', 'n', 0, 0, 0, 0, 0, 6, 0, 0, 0, 1}));
    for (const unsigned type : {0u, 8u, 0xffu}) {
        EXPECT_FALSE(decode<One<TypedParam>>(bytes({0, 0, 0, 0, 0, 0, 0, type, 0, 0, 0, 0, 0, 0, 0, 0})));
    }
}

// Random values of every kind of field come back equal, and fail when cut anywhere.
TEST(Xdr, WhatIsEncodedDecodesToTheSame) {
    std::mt19937 random(7);
    const auto up_to = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n)(random); };
    for (int round = 0; round < 300; ++round) {
        Everything v;
        v.a = static_cast<std::int8_t>(random());
        v.b = static_cast<std::uint8_t>(random());
        v.c = static_cast<std::uint16_t>(random());
        v.d = static_cast<std::int32_t>(random());
        v.e = static_cast<std::uint32_t>(random());
        v.f = static_cast<std::int64_t>(std::uint64_t{random()} << 32 | random());
        v.g = std::uint64_t{random()} << 32 | random();
        v.h = static_cast<double>(v.f);
        v.i = std::string(up_to(9), 'q');
        for (auto& octet : v.j.octets) {
            octet = static_cast<std::uint8_t>(random());
        }
        v.k = Bytes(up_to(5), std::byte{3});
        if (up_to(1) == 1) {
            v.l = std::string(up_to(5), 'o');
        }
        v.m = std::vector<std::int8_t>(up_to(4), -5);
        v.n = {1, -1, static_cast<std::int8_t>(round)};
        const TypedParam::Value values[] = {std::int32_t{-1},    2u, std::int64_t{-3}, std::uint64_t{4}, 5.5, true,
                                            std::string("seven")};
        for (std::size_t i = up_to(7); i-- > 0;) {
            v.o.push_back({"p" + std::to_string(i), values[i]});
        }
        const auto wire = encode(v);
        ASSERT_TRUE(wire);
        ASSERT_EQ(wire->size() % 4, 0u);
        const auto back = decode<Everything>(*wire);
        ASSERT_TRUE(back);
        ASSERT_EQ(*back, v);
        for (std::size_t n = 0; n < wire->size(); ++n) {
            ASSERT_FALSE(decode<Everything>(ByteView(*wire).first(n))) << n;
        }
    }
}

}  // namespace
}  // namespace bascule::rpc
