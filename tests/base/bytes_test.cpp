// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/bytes.h"

#include <gtest/gtest.h>

namespace bascule {
namespace {

TEST(ByteReader, ReadsInNetworkOrder) {
    ByteReader in(as_bytes(std::string_view("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f", 15)));
    EXPECT_EQ(in.u8(), 0x01);
    EXPECT_EQ(in.u16(), 0x0203);
    EXPECT_EQ(in.u32(), 0x04050607U);
    EXPECT_EQ(in.u64(), 0x08090a0b0c0d0e0fU);
    EXPECT_EQ(in.left(), 0U);
    EXPECT_TRUE(in.ok());
}

TEST(ByteReader, TheFirstReadThatDoesNotFitLatches) {
    ByteReader in(as_bytes("abc"));
    EXPECT_EQ(in.u16(), 0x6162);
    EXPECT_EQ(in.u32(), 0U);
    EXPECT_FALSE(in.ok());
    EXPECT_EQ(in.u8(), 0U) << "though one byte is left";
    EXPECT_EQ(in.left(), 0U);
    EXPECT_TRUE(in.rest().empty());
    EXPECT_TRUE(in.take(1).empty());
    EXPECT_EQ(in.position(), 2U);
}

TEST(ByteReader, TakesViewsArraysAndTheRest) {
    ByteReader in(as_bytes("abcdefgh"));
    EXPECT_EQ(as_text(in.take(2)), "ab");
    EXPECT_EQ((in.array<2>()), (std::array<std::uint8_t, 2>{'c', 'd'}));
    in.skip(1);
    EXPECT_EQ(as_text(in.rest()), "fgh");
    EXPECT_TRUE(in.rest().empty());
    EXPECT_TRUE(in.ok()) << "an empty rest is no failure";
    EXPECT_EQ((in.array<2>()), (std::array<std::uint8_t, 2>{}));
    EXPECT_FALSE(in.ok());
}

TEST(ByteReader, AHugeLengthDoesNotWrapAround) {
    ByteReader in(as_bytes("abcd"));
    in.u8();
    EXPECT_TRUE(in.take(static_cast<std::size_t>(-1)).empty());
    EXPECT_FALSE(in.ok());
}

TEST(ByteReader, ACallerCanRefuseToo) {
    ByteReader in(as_bytes("abcd"));
    in.set_failed();
    EXPECT_EQ(in.u8(), 0U);
    EXPECT_FALSE(in.ok());
}

TEST(ByteWriter, WritesWhatAReaderReads) {
    ByteWriter out;
    out.u8(1);
    out.u16(0x0203);
    out.u32(0x04050607);
    out.u64(0x08090a0b0c0d0e0fU);
    out.text("xy");
    out.fill(2);
    out.fill(1, 0xff);
    EXPECT_EQ(as_text(out.view()),
              std::string_view("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0fxy\0\0\xff", 20));
    EXPECT_TRUE(out.ok());
}

TEST(ByteWriter, LengthsAreFilledInLater) {
    ByteWriter out;
    out.u32(0);
    out.u16(0);
    out.text("abc");
    out.put_u32(0, 0x01020304);
    out.put_u16(4, 3);
    EXPECT_EQ(as_text(out.take()), std::string_view("\x01\x02\x03\x04\x00\x03"
                                                    "abc",
                                                    9));
}

TEST(ByteWriter, ALimitLatchesInsteadOfGrowing) {
    ByteWriter out(4);
    out.u32(1);
    EXPECT_TRUE(out.ok());
    out.u8(1);
    EXPECT_FALSE(out.ok());
    out.bytes({});
    EXPECT_FALSE(out.ok()) << "even for what would fit";
    EXPECT_EQ(out.size(), 4U);
    ByteWriter fill(3);
    fill.fill(4);
    EXPECT_FALSE(fill.ok());
    EXPECT_EQ(fill.size(), 0U);
}

}  // namespace
}  // namespace bascule
