// SPDX-License-Identifier: GPL-2.0-or-later
#include "rpc/frame.h"

#include <gtest/gtest.h>

#include "tests/rpc/support.h"

namespace bascule::rpc::test {
namespace {

Bytes length_word(std::uint32_t n) {
    ByteWriter out;
    out.u32(n);
    return out.take();
}

TEST(FrameReader, RefusesALengthAsSoonAsItsFourBytesAreThere) {
    for (const std::uint32_t bad : {0u, 4u, 27u, 33554437u, 0x80000000u, 0xffffffffu}) {
        FrameReader reader;
        reader.append(length_word(bad));
        EXPECT_FALSE(reader.peek()) << bad;
    }
    for (const std::uint32_t good : {28u, 29u, 33554436u}) {
        FrameReader reader;
        reader.append(length_word(good));
        const auto header = reader.peek();
        ASSERT_TRUE(header) << good;
        EXPECT_FALSE(*header) << good;
    }
}

TEST(FrameReader, TakesTheLargestPacketThereIs) {
    FrameReader reader;
    const Header header{.program = 1, .procedure = 2};
    reader.append(encode_packet(header, Bytes(kMaxPayload)));
    const auto seen = reader.peek();
    ASSERT_TRUE(seen && *seen);
    EXPECT_EQ(reader.take().payload.size(), kMaxPayload);
}

TEST(FrameReader, StreamPacketsNeedNotBeAligned) {
    FrameReader reader;
    const Header header{.program = 1, .procedure = 2, .type = MessageType::stream, .status = Status::more};
    Bytes two = encode_packet(header, Bytes(1, std::byte{7}));
    EXPECT_EQ(two.size(), 29u);
    const Bytes second = encode_packet(header, Bytes(3, std::byte{8}));
    two.insert(two.end(), second.begin(), second.end());
    reader.append(two);
    ASSERT_TRUE(reader.peek()->has_value());
    EXPECT_EQ(reader.take().payload.size(), 1u);
    ASSERT_TRUE(reader.peek()->has_value());
    EXPECT_EQ(reader.take().payload.size(), 3u);
    EXPECT_FALSE(*reader.peek());
}

TEST(FrameReader, DescriptorsGoToTheirPacketInOrderHoweverTheyArrive) {
    const Header plain{.program = 1, .procedure = 1};
    const Header with{.program = 1, .procedure = 2, .type = MessageType::call_with_fds};
    for (const std::size_t portion : {1u, 3u, 29u, 1000u}) {
        FrameReader reader;
        Bytes all = encode_packet(plain, Bytes(4));
        const auto add = [&](const Bytes& bytes) { all.insert(all.end(), bytes.begin(), bytes.end()); };
        add(encode_packet(with, Bytes(8), 2));
        const std::size_t carriers = all.size();
        add(Bytes(2));
        add(encode_packet(plain, {}));
        auto fds = some_fds(2);
        const int first = fds[0].get(), second = fds[1].get();
        std::vector<Frame> frames;
        for (std::size_t at = 0; at < all.size(); at += portion) {
            const std::size_t n = std::min(portion, all.size() - at);
            std::vector<UniqueFd> with_these;
            for (std::size_t i = 0; i < 2; ++i) {
                if (at <= carriers + i && carriers + i < at + n) {
                    with_these.push_back(std::move(fds[i]));
                }
            }
            reader.append(ByteView(all).subspan(at, n), std::move(with_these));
            for (auto header = reader.peek(); header && *header; header = reader.peek()) {
                frames.push_back(reader.take());
                frames.back().payload = {};  // not valid for long
            }
        }
        ASSERT_EQ(frames.size(), 3u) << portion;
        ASSERT_EQ(frames[1].fds.size(), 2u);
        EXPECT_EQ(frames[1].fds[0].get(), first);
        EXPECT_EQ(frames[1].fds[1].get(), second);
    }
}

TEST(FrameReader, ZeroDescriptorsAreLegalAndThirtyThreeAreNot) {
    const Header with{.program = 1, .procedure = 2, .type = MessageType::call_with_fds};
    FrameReader reader;
    reader.append(encode_packet(with, Bytes(4), 0));
    ASSERT_TRUE(reader.peek()->has_value());
    EXPECT_EQ(reader.take().payload.size(), 4u);
    reader.append(encode_packet(with, {}, 33));
    EXPECT_FALSE(reader.peek());
}

TEST(FrameReader, DescriptorsThatNobodyAnnouncedOrThatDoNotComeEndIt) {
    const Header plain{.program = 1, .procedure = 1};
    const Header with{.program = 1, .procedure = 2, .type = MessageType::call_with_fds};
    FrameReader stray;
    stray.append(encode_packet(plain, {}), some_fds(1));
    ASSERT_TRUE(stray.peek()->has_value());
    stray.take();
    EXPECT_FALSE(stray.peek());
    FrameReader missing;
    missing.append(encode_packet(with, {}, 1));
    EXPECT_FALSE(*missing.peek());
    missing.append(Bytes(1));
    EXPECT_FALSE(missing.peek());
    FrameReader no_count;
    no_count.append(encode_packet(with, {}));
    EXPECT_FALSE(no_count.peek());
}

}  // namespace
}  // namespace bascule::rpc::test
