// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/message.h"

#include <gtest/gtest.h>

#include "dhcp/frame.h"
#include "tests/dhcp/fixtures.h"

namespace bascule::dhcp {
namespace {

using namespace test;

// The fixed part of a DISCOVER, its cookie, and the message type; `more` follows.
Bytes packet(const Bytes& more, const Bytes& sname = {}, const Bytes& file = {}) {
    ByteWriter out;
    out.bytes(bytes({1, 1, 6, 0, 1, 2, 3, 4, 0, 7, 0x80, 0}));
    out.fill(16);
    out.bytes(bytes({0x52, 0x54, 0, 0, 0, 1}));
    out.fill(10);
    out.bytes(sname);
    out.fill(64 - sname.size());
    out.bytes(file);
    out.fill(128 - file.size());
    out.bytes(bytes({0x63, 0x82, 0x53, 0x63, 53, 1, 1}));
    out.bytes(more);
    return out.take();
}

TEST(DhcpMessage, TheFixedPartIsDecoded) {
    const auto m = decode(packet(bytes({255})));
    ASSERT_TRUE(m) << m.error().message;
    EXPECT_EQ(m->type, MessageType::discover);
    EXPECT_EQ(m->xid, 0x01020304U);
    EXPECT_EQ(m->secs, 7);
    EXPECT_TRUE(m->broadcast);
    EXPECT_EQ(m->chaddr, kMac1);
}

TEST(DhcpMessage, AnOptionInPiecesIsJoined) {  // RFC 3396
    const auto m = decode(packet(bytes({12, 2, 'v', 'm', 61, 1, 9, 12, 1, '1', 255})));
    ASSERT_TRUE(m);
    EXPECT_EQ(m->options.text(Opt::hostname), "vm1");
}

TEST(DhcpMessage, OverloadedFieldsHoldOptionsFileBeforeSname) {  // RFC 2132 section 9.3, RFC 3396 section 5
    const auto m =
        decode(packet(bytes({52, 1, 3, 12, 1, 'a', 255}), bytes({12, 1, 'c', 255}), bytes({12, 1, 'b', 255})));
    ASSERT_TRUE(m);
    EXPECT_EQ(m->options.text(Opt::hostname), "abc");
    EXPECT_FALSE(m->options.has(Opt::overload));
}

TEST(DhcpMessage, OverloadedFieldsMayEndWithoutAnEnd) {
    const auto m = decode(packet(bytes({52, 1, 1, 255}), {}, bytes({12, 126, 'b'})));
    ASSERT_TRUE(m);
    EXPECT_EQ(m->options.bytes(Opt::hostname).size(), 126U);
}

struct Bad {
    const char* what;
    Bytes options, file;
    const char* error;
};

TEST(DhcpMessage, MalformedOptionsRefuseTheWholeMessage) {
    const std::vector<Bad> cases{
        {"longer than the datagram", bytes({12, 9, 'v'}), {}, "host name (12) is longer than what holds it"},
        {"without a length", bytes({12}), {}, "host name (12) is longer than what holds it"},
        {"requested address of 3 bytes", bytes({50, 3, 1, 2, 3, 255}), {}, "requested address (50) has 3 bytes"},
        {"message type twice", bytes({53, 1, 3, 255}), {}, "message type (53) has 2 bytes"},
        {"empty client identifier", bytes({61, 0, 255}), {}, "client identifier (61) has 0 bytes"},
        {"overload 4", bytes({52, 1, 4, 255}), {}, "overload (52) is not 1, 2 or 3"},
        {"overload within overload", bytes({52, 1, 1, 255}), bytes({52, 1, 1, 255}), "overload (52) has 2 bytes"},
        {"file's option beyond the file", bytes({52, 1, 1, 255}), bytes({12, 200}),
         "host name (12) is longer than what holds it"},
    };
    for (const Bad& bad : cases) {
        const auto m = decode(packet(bad.options, {}, bad.file));
        ASSERT_FALSE(m) << bad.what;
        EXPECT_EQ(m.error().message, bad.error) << bad.what;
    }
}

TEST(DhcpMessage, EveryTruncationIsRefusedOrWhole) {
    const Bytes whole = packet(bytes({12, 3, 'v', 'm', '1', 255}));
    for (std::size_t size = 0; size < whole.size(); ++size) {
        const auto m = decode(ByteView(whole).first(size));
        EXPECT_TRUE(!m || size >= 243 || (size == 240 && m->type == MessageType::bootp)) << size;
    }
}

TEST(DhcpMessage, OtherHardwareIsRefused) {
    Bytes token_ring = packet(bytes({255}));
    token_ring[1] = std::byte{6};
    EXPECT_EQ(decode(token_ring).error().message, "hardware type 6 with addresses of 6 bytes is not Ethernet");
}

TEST(DhcpMessage, WithoutAMessageTypeOrAnyOptionsItIsBootp) {
    Bytes typeless = packet(bytes({12, 2, 'v', 'm', 255}));
    typeless[240] = typeless[241] = typeless[242] = std::byte{0};
    const auto with_options = decode(typeless);
    ASSERT_TRUE(with_options) << with_options.error().message;
    EXPECT_EQ(with_options->type, MessageType::bootp);
    EXPECT_EQ(with_options->options.text(Opt::hostname), "vm");
    Bytes bare = packet(bytes({12, 2, 'v', 'm', 255}));
    std::fill(bare.begin() + 236, bare.begin() + 240, std::byte{0});  // no cookie: what follows says nothing
    const auto without = decode(bare);
    ASSERT_TRUE(without) << without.error().message;
    EXPECT_EQ(without->type, MessageType::bootp);
    EXPECT_EQ(without->options.size(), 0U);
    bare[236] = std::byte{'C'};  // somebody else's vendor information
    EXPECT_FALSE(decode(bare));
}

TEST(DhcpMessage, BootpRepliesAreOf300BytesAndHaveNoTypeHoweverMuchIsToBeSaid) {
    Message m = from_client(MessageType::bootp, kMac1);
    m.reply = true;
    m.options.put_ip(Opt::subnet_mask, "255.255.255.0"_ip);
    m.options.put_text(Opt::hostname, std::string(63, 'a'));
    m.options.put_ip(Opt::router, kServer);
    m.options.put_u16(Opt::max_size, 1500);
    const Bytes encoded = encode(m, kLargestSize);
    EXPECT_EQ(encoded.size(), 300U);
    const auto again = decode(encoded);
    ASSERT_TRUE(again);
    EXPECT_EQ(again->type, MessageType::bootp);
    EXPECT_TRUE(again->options.has(Opt::subnet_mask));
    EXPECT_TRUE(again->options.has(Opt::router));
    EXPECT_FALSE(again->options.has(Opt::hostname));
}

TEST(DhcpMessage, WhatIsEncodedIsDecodedAgain) {
    Message m = named(selecting(kMac1, "10.0.0.7"_ip, "10.0.0.1"_ip), "vm1");
    m.yiaddr = "10.0.0.7"_ip;
    m.options.put_text(static_cast<Opt>(224), std::string(300, 'x'));  // longer than one option can be
    const auto again = decode(encode(m, kLargestSize));
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(*again, m);
}

TEST(DhcpMessage, AReplyHasAtLeast300BytesAndNeverMoreThanTheClientTakes) {
    Message m = discover(kMac1);
    EXPECT_EQ(encode(m).size(), 300U);
    m.options.put_text(Opt::hostname, std::string(200, 'a'));
    m.options.put_text(Opt::domain, std::string(200, 'b'));
    m.options.put_ip(Opt::router, kServer);
    EXPECT_LE(encode(m).size(), kDefaultSize);
    const auto small = decode(encode(m));
    EXPECT_TRUE(small->options.has(Opt::hostname));
    EXPECT_FALSE(small->options.has(Opt::domain));  // did not fit
    EXPECT_TRUE(small->options.has(Opt::router));
    EXPECT_TRUE(decode(encode(m, kLargestSize))->options.has(Opt::domain));
}

TEST(DhcpMessage, TheClientsLimitCountsFrom576To1500) {
    Message m = discover(kMac1);
    EXPECT_EQ(size_limit(m), 548U);
    m.options.put_u16(Opt::max_size, 100);
    EXPECT_EQ(size_limit(m), 548U);
    Message large = discover(kMac1);
    large.options.put_u16(Opt::max_size, 1400);
    EXPECT_EQ(size_limit(large), 1372U);
    Message huge = discover(kMac1);
    huge.options.put_u16(Opt::max_size, 65535);
    EXPECT_EQ(size_limit(huge), 1472U);
}

TEST(DhcpMessage, HostNamesBecomeLabels) {
    const std::vector<std::pair<std::string, std::string>> cases{
        {"vm1", "vm1"},
        {"VM1.example.org", "vm1"},
        {"my vm!", "my-vm"},
        {"--x--", "x"},
        {"", ""},
        {"...", ""},
        {"---", ""},
        {std::string("a\0b", 3), "a"},
        {"\xff\xfe", ""},
        {std::string(100, 'a'), std::string(63, 'a')},
        {"wpad", ""},
        {"Localhost", ""},
    };
    for (const auto& [asked, label] : cases) {
        EXPECT_EQ(wanted_hostname(named(discover(kMac1), asked).options), label) << asked;
    }
}

TEST(DhcpMessage, TheFullyQualifiedNameOptionCountsWhenThereIsNoOther) {
    Options dns_form;
    dns_form.put(Opt::fqdn, bytes({4, 0, 0, 3, 'v', 'm', '7', 4, 't', 'e', 's', 't', 0}));
    EXPECT_EQ(wanted_hostname(dns_form), "vm7");
    Options text_form;
    text_form.put(Opt::fqdn, bytes({0, 0, 0, 'v', 'm', '8', '.', 'x'}));
    EXPECT_EQ(wanted_hostname(text_form), "vm8");
    Options cut;
    cut.put(Opt::fqdn, bytes({4, 0, 0, 30, 'v'}));
    EXPECT_EQ(wanted_hostname(cut), "");
}

TEST(UdpFrame, BothChecksumsAreRight) {
    for (const std::size_t size : {0U, 1U, 300U, 301U}) {
        const Bytes payload(size, std::byte{0xa7});
        const Bytes frame = udp_frame({kMac1, kMac2, kServer, "192.168.122.10"_ip, 67, 68}, payload);
        const auto sum = [](ByteView b, std::uint32_t start) {
            for (std::size_t i = 0; i < b.size(); ++i) {
                start += std::to_integer<std::uint32_t>(b[i]) << (i % 2 == 0 ? 8 : 0);
            }
            while (start > 0xffff) {
                start = (start & 0xffff) + (start >> 16);
            }
            return start;
        };
        const ByteView ip = ByteView(frame).subspan(14);
        EXPECT_EQ(sum(ip.first(20), 0), 0xffffU);
        EXPECT_EQ(sum(ip.subspan(20), sum(ip.subspan(12, 8), 17 + 8 + static_cast<std::uint32_t>(size))), 0xffffU);
        EXPECT_EQ(frame.size(), 14 + 28 + size);
    }
}

}  // namespace
}  // namespace bascule::dhcp
