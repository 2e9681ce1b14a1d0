// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/agent.h"

#include <gtest/gtest.h>

namespace bascule::vmm::agent {
namespace {

using qmp::Json;

constexpr const char* kCommand = "guest-network-get-interfaces";

TEST(AgentExchange, SynchronisesAndThenAsks) {
    Exchange exchange(7, kCommand);
    EXPECT_EQ(exchange.opening(),
              "\xff"
              "{\"arguments\":{\"id\":7},\"execute\":\"guest-sync-delimited\"}\n");
    const auto synced = exchange.feed(as_bytes("\xff{\"return\": 7}\n"));
    ASSERT_TRUE(synced) << synced.error().message;
    EXPECT_EQ(synced->send, "{\"execute\":\"guest-network-get-interfaces\"}\n");
    EXPECT_FALSE(synced->answer);
    const auto answered = exchange.feed(as_bytes("{\"return\": []}\n"));
    ASSERT_TRUE(answered);
    EXPECT_EQ(answered->answer, Json::array());
}

TEST(AgentExchange, WhatEarlierQuestionsLeftIsPassedOverHoweverTheBytesAreCut) {
    const std::string text =
        "rest of a line}\n{\"return\": {}}\n\xff{\"return\": 6}\n{\"error\": {}}\n\xffrubbish\n"
        "\xff{\"retu\xff{\"return\": 7}\r\n\n{\"return\": [1]}\n";
    for (std::size_t piece = 1; piece <= text.size(); ++piece) {
        Exchange exchange(7, kCommand);
        std::string sent;
        std::optional<Json> answer;
        for (std::size_t at = 0; at < text.size() && !answer; at += piece) {
            auto next = exchange.feed(as_bytes(std::string_view(text).substr(at, piece)));
            ASSERT_TRUE(next) << next.error().message;
            sent += next->send;
            answer = std::move(next->answer);
        }
        EXPECT_EQ(sent, "{\"execute\":\"guest-network-get-interfaces\"}\n") << piece;
        EXPECT_EQ(answer, Json::array({1})) << piece;
    }
}

TEST(AgentExchange, ErrorsAndNonsenseEndIt) {
    for (const auto& [text, words] :
         {std::pair{R"({"error": {"class": "CommandNotFound", "desc": "The command is\u0007 not known"}})",
                    "unable to execute QEMU agent command 'guest-network-get-interfaces': The command is  not known"},
          std::pair{"{}", "the guest's agent answers neither with a value nor with an error"},
          std::pair{"[1]", "the guest's agent does not speak its protocol: not a JSON object: '[1]'"}}) {
        Exchange exchange(7, kCommand);
        ASSERT_TRUE(exchange.feed(as_bytes("\xff{\"return\": 7}\n")));
        const auto ended = exchange.feed(as_bytes(std::string(text) + "\n"));
        ASSERT_FALSE(ended) << text;
        EXPECT_EQ(ended.error().message, words);
    }
}

TEST(AgentExchange, NoGuestFillsOurMemory) {
    Exchange exchange(7, kCommand);
    ASSERT_TRUE(exchange.feed(as_bytes("\xff{\"return\": 7}\n{\"return\": \"")));
    EXPECT_FALSE(exchange.feed(as_bytes(std::string(qmp::kMaxLine, 'x'))));
    Exchange noisy(7, kCommand);
    Result<Exchange::Next> last = Exchange::Next{};
    for (std::size_t sent = 0; last && sent <= kMaxBytes; sent += 65536) {
        last = noisy.feed(as_bytes(std::string(65536, 'x')));
    }
    EXPECT_FALSE(last);
}

Result<std::vector<Interface>> interfaces(std::string_view text) { return interfaces_from(Json::parse(text)); }

TEST(AgentInterfaces, AreReadWithTheirAddresses) {
    const auto got = interfaces(R"([
        {"name": "lo", "hardware-address": "00:00:00:00:00:00", "ip-addresses": [
            {"ip-address": "127.0.0.1", "ip-address-type": "ipv4", "prefix": 8}]},
        {"name": "eth0", "hardware-address": "52:54:00:00:00:01", "statistics": {"rx-bytes": 1}, "ip-addresses": [
            {"ip-address": "192.168.122.5", "ip-address-type": "ipv4", "prefix": 24}]},
        {"name": "eth0:1", "ip-addresses": [{"ip-address": "fe80::1%2", "ip-address-type": "ipv6", "prefix": 64}]},
        {"name": "tun0", "hardware-address": ""}])");
    ASSERT_TRUE(got) << got.error().message;
    ASSERT_EQ(got->size(), 3U);
    EXPECT_EQ(got->at(1), (Interface{"eth0",
                                     parse_mac("52:54:00:00:00:01"),
                                     {{*parse_ip("192.168.122.5"), 24}, {*parse_ip("fe80::1"), 64}}}));
    EXPECT_EQ(got->at(2), (Interface{"tun0"}));
}

TEST(AgentInterfaces, WhatIsNotOneIsRefusedWhole) {
    for (const char* const text :
         {"{}", "[1]", "[{}]", R"([{"name": 1}])", R"([{"name": "a", "ip-addresses": {}}])",
          R"([{"name": "a", "ip-addresses": [7]}])", R"([{"name": "a", "ip-addresses": [{"ip-address": "1.2.3"}]}])",
          R"([{"name": "a", "ip-addresses": [{"ip-address": "1.2.3.4", "prefix": 33}]}])",
          R"([{"name": "a", "ip-addresses": [{"ip-address": "1.2.3.4", "prefix": -1}]}])",
          R"([{"name": "a", "ip-addresses": [{"ip-address": "1.2.3.4", "prefix": "24"}]}])"}) {
        EXPECT_FALSE(interfaces(text)) << text;
    }
}

TEST(AgentInterfaces, OfVeryManyTheFirstAreTaken) {
    Json all = Json::array();
    for (std::size_t i = 0; i < 2 * kMostInterfaces; ++i) {
        all.push_back({{"name", "e" + std::to_string(i)}});
    }
    EXPECT_EQ(interfaces_from(all)->size(), kMostInterfaces);
}

}  // namespace
}  // namespace bascule::vmm::agent
