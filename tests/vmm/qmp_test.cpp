// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/qmp.h"

#include <gtest/gtest.h>

namespace bascule::vmm::qmp {
namespace {

Result<std::vector<Message>> decode(std::string_view text) { return Decoder().feed(as_bytes(text)); }

TEST(Qmp, AGreetingGivesTheVersion) {
    const auto got = decode(
        R"({"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "x"}, "capabilities": []}})"
        "\r\n");
    ASSERT_TRUE(got) << got.error().message;
    EXPECT_EQ(*got, std::vector<Message>{Greeting{"7.2.22"}});
}

TEST(Qmp, AnswersAndEventsComeInTheirOrderHoweverTheBytesAreCut) {
    const std::string text = R"({"return": {"status": "running"}, "id": 4})"
                             "\r\n"
                             R"({"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 2}})"
                             "\r\n"
                             R"({"id": 5, "error": {"class": "GenericError", "desc": "no such device"}})"
                             "\r\n";
    const std::vector<Message> wanted{Reply{4, {{"status", "running"}}}, Event{"STOP", Json::object()},
                                      Refusal{5, "GenericError", "no such device"}};
    for (std::size_t piece = 1; piece <= text.size(); ++piece) {
        Decoder decoder;
        std::vector<Message> all;
        for (std::size_t at = 0; at < text.size(); at += piece) {
            const auto got = decoder.feed(as_bytes(std::string_view(text).substr(at, piece)));
            ASSERT_TRUE(got);
            all.insert(all.end(), got->begin(), got->end());
        }
        EXPECT_EQ(all, wanted) << piece;
    }
}

TEST(Qmp, WhatCameBeforeNonsenseIsGivenAndThenTheErrorForEver) {
    Decoder decoder;
    const auto first = decoder.feed(as_bytes("{\"event\": \"STOP\"}\nrubbish\n{\"event\": \"RESUME\"}\n"));
    ASSERT_TRUE(first);
    EXPECT_EQ(first->size(), 1U);
    for (int i = 0; i < 2; ++i) {
        const auto next = decoder.feed(as_bytes("{\"event\": \"RESUME\"}\n"));
        ASSERT_FALSE(next);
        EXPECT_EQ(next.error().code, Code::malformed);
        EXPECT_EQ(next.error().message, "QEMU's monitor does not speak QMP: not a JSON object: 'rubbish'");
    }
}

TEST(Qmp, ALineHasAtMostAMebibyte) {
    const std::string filler(kMaxLine - 40, 'x');
    EXPECT_TRUE(decode("{\"event\": \"STOP\", \"data\": {\"a\": \"" + filler.substr(0, kMaxLine - 60) + "\"}}\n"));
    Decoder decoder;
    ASSERT_TRUE(decoder.feed(as_bytes("{\"event\": \"" + filler)));
    EXPECT_FALSE(decoder.feed(as_bytes(std::string(100, 'x'))));
}

TEST(Qmp, NestingIsLimitedAndBracketsInTextDoNotCount) {
    const auto nested = [](int levels) {
        return "{\"event\": \"E\", \"data\": {\"a\": " + std::string(static_cast<std::size_t>(levels), '[') +
               std::string(static_cast<std::size_t>(levels), ']') + "}}\n";
    };
    EXPECT_TRUE(decode(nested(kMaxDepth - 2)));
    EXPECT_FALSE(decode(nested(kMaxDepth - 1)));
    EXPECT_TRUE(decode("{\"event\": \"E\", \"data\": {\"a\": \"\\\"" + std::string(200, '[') + "\"}}\n"));
}

TEST(Qmp, CommandsAreOneLineAndCannotBeBrokenOutOf) {
    EXPECT_EQ(command(1, "cont"), "{\"execute\":\"cont\",\"id\":1}\n");
    EXPECT_EQ(command(2, "set_link", {{"name", "a\"\n}"}, {"up", false}}),
              "{\"arguments\":{\"name\":\"a\\\"\\n}\",\"up\":false},\"execute\":\"set_link\",\"id\":2}\n");
    EXPECT_EQ(command(3, "x", {{"name", "\xff"}}),
              "{\"arguments\":{\"name\":\"\\ufffd\"},\"execute\":\"x\",\"id\":3}\n");
}

TEST(Qmp, WhatQemuSaysIsMadePrintableAndShort) {
    EXPECT_EQ(printable("a\x1b[2Jb\nc\x7f"), "a [2Jb c ");
    EXPECT_EQ(printable("abcdef", 3), "abc…");
    EXPECT_EQ(printable("aé", 2), "a…") << "never half a character";
}

}  // namespace
}  // namespace bascule::vmm::qmp
