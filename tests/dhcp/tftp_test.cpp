// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/tftp.h"

#include <gtest/gtest.h>

namespace bascule::dhcp::tftp {
namespace {

Bytes bytes_of(std::string_view text) {
    const ByteView view = as_bytes(text);
    return {view.begin(), view.end()};
}

Bytes request(std::string_view file, std::string_view mode, std::initializer_list<std::string_view> options = {}) {
    std::string out("\0\1", 2);
    for (const std::string_view word : {file, mode}) {
        out += std::string(word) + '\0';
    }
    for (const std::string_view word : options) {
        out += std::string(word) + '\0';
    }
    return bytes_of(out);
}

Bytes ack(std::uint16_t number) {
    ByteWriter out;
    out.u16(4);
    out.u16(number);
    return out.take();
}

std::uint16_t block(const Bytes& datagram) {
    ByteReader in(datagram);
    return in.u16() == 3 ? in.u16() : 0xffff;
}

struct Download {
    std::string file;
    std::size_t at = 0;
    Transfer transfer;
    Download(std::string content, const Bytes& datagram)
        : file(std::move(content)), transfer(*decode_request(datagram), file.size(), 1468, [this](std::size_t most) {
              const std::string part = file.substr(at, most);
              at += part.size();
              return Result<Bytes>(bytes_of(part));
          }) {}

    // What a client that acknowledges the last block of each window has in the end.
    std::string all() {
        std::string out;
        auto step = transfer.begin(Time());
        std::uint16_t last = 0;
        for (int rounds = 0; rounds < 200000 && !step.done; ++rounds) {
            for (const Bytes& datagram : step.send) {
                if (block(datagram) == static_cast<std::uint16_t>(last + 1)) {
                    ++last;
                    out += as_text(ByteView(datagram).subspan(4));
                }
            }
            step = transfer.receive(ack(last), Time());
        }
        return out;
    }
};

TEST(Tftp, RequestsAreDecodedWhole) {
    const auto full = decode_request(
        request("a/b", "OCTET", {"BlkSize", "1428", "tsize", "0", "timeout", "3", "windowsize", "8", "other", "x"}));
    ASSERT_TRUE(full);
    EXPECT_EQ(full->file, "a/b");
    EXPECT_FALSE(full->netascii);
    EXPECT_EQ(full->block_size, 1428U);
    EXPECT_EQ(full->timeout, 3U);
    EXPECT_EQ(full->window, 8U);
    EXPECT_TRUE(full->wants_size);
    const auto odd = decode_request(request("a", "netascii", {"blksize", "7", "timeout", "0", "windowsize", "1x"}));
    ASSERT_TRUE(odd);
    EXPECT_FALSE(odd->block_size || odd->timeout || odd->window) << "as if they were not known";
    Bytes write = request("a", "octet");
    write[1] = std::byte{2};
    EXPECT_EQ(decode_request(write).error().code, Code::denied);
    const Bytes good = request("a", "octet");
    for (std::size_t size = 0; size < good.size(); ++size) {
        EXPECT_FALSE(decode_request(ByteView(good).first(size))) << size;
    }
    EXPECT_FALSE(decode_request(request("", "octet")));
    EXPECT_FALSE(decode_request(request("a", "mail")));
    EXPECT_FALSE(decode_request(request(std::string(600, 'a'), "octet")));
}

TEST(Tftp, PathsAreBelowTheRoot) {
    EXPECT_EQ(path_of("/boot//x"), "boot/x");
    EXPECT_EQ(path_of("\\Boot\\BCD"), "Boot/BCD");
    EXPECT_FALSE(path_of(""));
    EXPECT_FALSE(path_of("///"));
    EXPECT_FALSE(path_of("a\nb"));
}

TEST(Tftp, EveryFileArrivesWhole) {
    for (const std::size_t size : {0U, 1U, 511U, 512U, 513U, 1024U, 100000U}) {
        std::string file(size, 'x');
        for (std::size_t i = 0; i < size; ++i) {
            file[i] = static_cast<char>(i * 7 + i / 256);
        }
        for (const auto& options : std::initializer_list<std::initializer_list<std::string_view>>{
                 {}, {"blksize", "1428"}, {"windowsize", "16"}, {"blksize", "8", "windowsize", "64", "tsize", "0"}}) {
            EXPECT_EQ(Download(file, request("f", "octet", options)).all(), file) << size;
        }
    }
}

TEST(Tftp, BlockNumbersWrap) {
    const std::string file(std::size_t{65540} * 8 + 3, 'y');
    EXPECT_EQ(Download(file, request("f", "octet", {"blksize", "8", "windowsize", "64"})).all().size(), file.size());
}

TEST(Tftp, NetasciiHasItsOwnLineEnds) {
    EXPECT_EQ(Download("one\ntwo\r\n", request("f", "netascii")).all(), std::string("one\r\ntwo\r\0\r\n", 12));
}

TEST(Tftp, OptionsAreAnsweredOnceTheyWereAskedFor) {
    Download one("abc", request("f", "octet", {"tsize", "0", "blksize", "9000", "windowsize", "1000"}));
    const auto step = one.transfer.begin(Time());
    ASSERT_EQ(step.send.size(), 1U);
    EXPECT_EQ(std::string(as_text(step.send[0])), std::string("\0\6blksize\0", 10) + std::string("1468\0tsize\0", 11) +
                                                      std::string("3\0windowsize\0", 13) + std::string("64\0", 3));
    EXPECT_TRUE(one.transfer.receive(ack(1), Time()).send.empty()) << "only 0 acknowledges them";
    EXPECT_EQ(one.transfer.receive(ack(0), Time()).send.size(), 1U);
}

TEST(Tftp, ADuplicateAcknowledgementSendsNothing) {
    Download one(std::string(2000, 'z'), request("f", "octet"));
    one.transfer.begin(Time());
    EXPECT_EQ(one.transfer.receive(ack(1), Time()).send.size(), 1U);
    EXPECT_TRUE(one.transfer.receive(ack(1), Time()).send.empty());
    EXPECT_TRUE(one.transfer.receive(ack(7), Time()).send.empty()) << "nor one of what was not sent";
    EXPECT_TRUE(one.transfer.receive({}, Time()).send.empty());
}

TEST(Tftp, WhatAWindowLackedIsSentAgain) {
    Download one(std::string(5000, 'z'), request("f", "octet", {"windowsize", "4"}));
    one.transfer.begin(Time());
    ASSERT_EQ(one.transfer.receive(ack(0), Time()).send.size(), 4U);
    const auto again = one.transfer.receive(ack(2), Time());
    ASSERT_EQ(again.send.size(), 4U);
    EXPECT_EQ(block(again.send[0]), 3);
}

TEST(Tftp, WhoIsSilentIsAskedAFewTimesAndThenLeft) {
    Download one("abc", request("f", "octet"));
    const Time start;
    one.transfer.begin(start);
    int sent = 0;
    Transfer::Step step;
    Time last = start;
    while (!step.done) {
        const Time due = one.transfer.next_tick();
        EXPECT_GT(due, last);
        last = due;
        step = one.transfer.tick(due);
        ++sent;
        ASSERT_LT(sent, 20);
    }
    EXPECT_EQ(step.send.at(0)[1], std::byte{5}) << "an error at the end";
    EXPECT_EQ(one.transfer.next_tick(), kEndOfTime);
}

TEST(Tftp, AClientsErrorEndsTheTransfer) {
    Download one("abc", request("f", "octet"));
    one.transfer.begin(Time());
    EXPECT_TRUE(one.transfer.receive(encode_error(Fault::other, "no"), Time()).done);
}

}  // namespace
}  // namespace bascule::dhcp::tftp
