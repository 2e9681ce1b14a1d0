// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/rule_trace.h"

#include <gtest/gtest.h>

#include "base/bytes.h"

namespace bascule::kernel::os {

namespace {

// A trace message of the kernel, attribute by attribute.
class Message {
public:
    Message() { put({0, 0, 0, 0, 0x11, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0}); }  // bridge family

    Message& add(std::uint8_t type, std::vector<std::uint8_t> value) {
        const auto length = static_cast<std::uint8_t>(4 + value.size());
        put({length, 0, type, 0});
        value.resize((value.size() + 3) & ~std::size_t{3});
        put(value);
        return *this;
    }
    Bytes take(int less = 0) {
        bytes_[0] = static_cast<std::byte>(bytes_.size());
        bytes_.resize(bytes_.size() - static_cast<std::size_t>(less));
        return bytes_;
    }

private:
    void put(const std::vector<std::uint8_t>& octets) {
        for (const std::uint8_t octet : octets) {
            bytes_.push_back(static_cast<std::byte>(octet));
        }
    }
    Bytes bytes_;
};

Message drop() {
    Message out;
    out.add(1, {'t', 0}).add(2, {'c', 0}).add(3, {0, 0, 0, 0, 0, 0, 0, 9}).add(6, {0, 0, 1, 2});
    out.add(5, {8, 0, 1, 0, 0, 0, 0, 0});  // NFTA_VERDICT_CODE: NF_DROP
    return out;
}

TEST(RuleTrace, ReadsARulesVerdict) {
    const auto step = parse_trace(drop().add(7, {0x52, 0x54}).add(8, {0x45}).take());
    ASSERT_TRUE(step);
    EXPECT_EQ(step->packet, 258U);
    EXPECT_EQ(step->family + step->table + step->chain, "bridgetc");
    EXPECT_EQ(step->rule, 9U);
    EXPECT_EQ(step->verdict, "drop");
    EXPECT_EQ(step->frame, "525445");
}

TEST(RuleTrace, ReadsAPolicyAndAJump) {
    Message policy;
    policy.add(1, {'t', 0}).add(2, {'c', 0}).add(6, {0, 0, 0, 1}).add(16, {0, 0, 0, 1});
    EXPECT_EQ(parse_trace(policy.take())->verdict, "accept");
    Message jump;
    jump.add(1, {'t', 0}).add(2, {'c', 0}).add(6, {0, 0, 0, 1});
    jump.add(5, {8, 0, 1, 0, 0xff, 0xff, 0xff, 0xfd, 6, 0, 2, 0, 'd', 0, 0, 0});
    EXPECT_EQ(parse_trace(jump.take())->verdict, "jump d");
}

TEST(RuleTrace, TakesNothingThatDoesNotAddUp) {
    const Bytes whole = drop().take();
    for (int less = 1; less <= static_cast<int>(whole.size()); ++less) {
        EXPECT_FALSE(parse_trace(drop().take(less))) << less;
    }
    EXPECT_FALSE(parse_trace(Message().add(1, {'t', 0}).take())) << "without number, chain and verdict";
}

}  // namespace

}  // namespace bascule::kernel::os
