// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/helper_channel.h"

#include <gtest/gtest.h>

#include <random>

namespace bascule::kernel::channel {
namespace {

using namespace literals;

Message a_message() {
    Fields lease;
    lease.ip(1, "192.168.122.5"_ip).mac(2, "52:54:00:00:00:01"_mac).text(3, "vm1");
    Fields fields;
    fields.u8(1, 0xfe).u16(2, 0xfedc).u32(3, 0xfedcba98).u64(4, 0xfedcba9876543210U).flag(5, true);
    fields.text(6, "").bytes(7, as_bytes("ab")).ip(8, "fd00::1"_ip).nested(9, lease).nested(9, Fields());
    fields.uuid(10, Uuid{{1, 2, 3}}).text(11, "one").text(11, "two").ip(12, "10.0.0.1"_ip).ip(12, "::1"_ip);
    return {.type = 7, .fields = fields};
}

TEST(HelperChannel, AMessageComesBackAsItWas) {
    const auto bytes = encode(a_message());
    ASSERT_TRUE(bytes);
    const auto back = decode(*bytes);
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(*back, a_message());
}

TEST(HelperChannel, EveryKindOfValueIsRead) {
    const Message message = a_message();
    FieldReader in(message.fields);
    EXPECT_EQ(in.u8(1), 0xfe);
    EXPECT_EQ(in.u16(2), 0xfedc);
    EXPECT_EQ(in.u32(3), 0xfedcba98U);
    EXPECT_EQ(in.u64(4), 0xfedcba9876543210U);
    EXPECT_TRUE(in.flag(5));
    EXPECT_TRUE(in.flag_or(5, false));
    EXPECT_TRUE(in.flag_or(99, true));
    EXPECT_EQ(in.text(6), "");
    EXPECT_EQ(as_text(in.bytes(7)), "ab");
    EXPECT_EQ(in.ip(8), "fd00::1"_ip);
    EXPECT_EQ(in.uuid(10), (Uuid{{1, 2, 3}}));
    EXPECT_EQ(in.texts(11), (std::vector<std::string>{"one", "two"}));
    EXPECT_EQ(in.ips(12), (std::vector<Ip>{"10.0.0.1"_ip, "::1"_ip}));
    const auto leases = in.nested(9);
    ASSERT_EQ(leases.size(), 2U);
    FieldReader lease(leases[0]);
    EXPECT_EQ(lease.ip(1), "192.168.122.5"_ip);
    EXPECT_EQ(lease.mac(2), "52:54:00:00:00:01"_mac);
    EXPECT_TRUE(lease.finish("lease"));
    EXPECT_TRUE(in.finish("message"));
}

TEST(HelperChannel, TheBytesAreThese) {
    Fields fields;
    fields.u16(0x0102, 0x0304);
    const auto bytes = encode({.type = 5, .fields = fields});
    ASSERT_TRUE(bytes);
    EXPECT_EQ(as_text(*bytes), std::string_view("BSCH\x00\x01\x00\x05\x01\x02\x00\x00\x00\x02\x03\x04", 16));
}

TEST(HelperChannel, UnknownTagsAreSkippedAndAbsentOnesHaveDefaults) {
    Fields fields;
    fields.u32(1, 5).text(4000, "of a later version");
    FieldReader in(fields);
    EXPECT_EQ(in.u32(1), 5U);
    EXPECT_FALSE(in.has(2));
    EXPECT_FALSE(in.flag_or(2, false));
    EXPECT_TRUE(in.finish("message"));
}

TEST(HelperChannel, TheFirstFaultIsReportedByFieldAndLatches) {
    Fields fields;
    fields.u16(1, 5).u32(2, 7);
    FieldReader in(fields);
    EXPECT_EQ(in.u32(1), 0U);
    EXPECT_EQ(in.u32(2), 0U) << "reads after a fault yield zero";
    in.text(3);
    EXPECT_EQ(in.finish("spec").error(), (Error{Code::malformed, "spec: field 1 has 2 bytes, expected 4"}));

    FieldReader missing(fields);
    EXPECT_TRUE(missing.mac(9).is_zero());
    EXPECT_EQ(missing.finish("spec").error().message, "spec: field 9 is missing");

    FieldReader bad_ip(fields);
    bad_ip.ip(1);
    EXPECT_EQ(bad_ip.finish("spec").error().message,
              "spec: field 1 has 2 bytes, expected the 4 or 16 of an IP address");

    FieldReader bad_nested(fields);
    EXPECT_TRUE(bad_nested.nested(1).empty());
    EXPECT_FALSE(bad_nested.finish("spec"));

    FieldReader own(fields);
    own.refuse(2, "is not a prefix length");
    EXPECT_EQ(own.finish("spec").error().message, "spec: field 2 is not a prefix length");
}

TEST(HelperChannel, EveryTruncationIsRefusedOrAWholeMessage) {
    const auto bytes = encode(a_message());
    ASSERT_TRUE(bytes);
    for (std::size_t n = 0; n < bytes->size(); ++n) {
        if (const auto message = decode(ByteView(*bytes).first(n))) {
            EXPECT_LT(message->fields.all().size(), a_message().fields.all().size());
        }
    }
}

TEST(HelperChannel, ForeignBytesAndVersionsAreRefused) {
    auto bytes = encode(a_message());
    ASSERT_TRUE(bytes);
    EXPECT_EQ(decode(as_bytes("GET / HTTP/1.0\r\n")).error().message, "not a message of the helper channel");
    (*bytes)[5] = std::byte{99};
    EXPECT_EQ(decode(*bytes).error().message, "helper channel version 99, this program knows 1 to 1");
}

TEST(HelperChannel, MessagesAreBounded) {
    Fields fields;
    fields.text(1, std::string(kMaxMessage - 8 - 6, 'x'));
    const auto largest = encode({.type = 1, .fields = fields});
    ASSERT_TRUE(largest);
    EXPECT_TRUE(decode(*largest));
    fields.u8(2, 0);
    EXPECT_EQ(encode({.type = 1, .fields = fields}).error().code, Code::invalid_argument);
    EXPECT_EQ(decode(Bytes(kMaxMessage + 1)).error().code, Code::malformed);
}

TEST(HelperChannel, RandomBytesNeverReadOutside) {
    std::mt19937 random(1);
    const auto good = encode(a_message());
    ASSERT_TRUE(good);
    for (int round = 0; round < 20000; ++round) {
        Bytes bytes = *good;
        for (unsigned flips = random() % 4 + 1; flips > 0; --flips) {
            bytes[random() % bytes.size()] = static_cast<std::byte>(random());
        }
        if (const auto message = decode(bytes)) {
            FieldReader in(message->fields);
            in.nested(9);
            in.ips(12);
            [[maybe_unused]] const auto done = in.finish("random");
        }
    }
}

}  // namespace
}  // namespace bascule::kernel::channel
