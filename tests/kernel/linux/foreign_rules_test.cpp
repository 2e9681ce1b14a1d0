// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/foreign_rules.h"

#include <gtest/gtest.h>

namespace bascule::kernel::os {
namespace {

using namespace literals;

// As `nft -j list table` prints them, shortened to what is read.
std::string chain(const std::string& name, const std::string& more) {
    return R"({"chain":{"family":"ip","table":"filter","name":")" + name + R"(","handle":1)" + more + "}}";
}
std::string base(const std::string& name, const std::string& hook, const std::string& policy) {
    return chain(name, R"(,"type":"filter","hook":")" + hook + R"(","prio":0,"policy":")" + policy + R"(")");
}
std::string rule(const std::string& name, int handle, const std::string& expressions) {
    return R"({"rule":{"family":"ip","table":"filter","chain":")" + name + R"(","handle":)" + std::to_string(handle) +
           R"(,"expr":[)" + expressions + "]}}";
}
ForeignRules rules(std::initializer_list<std::string> entries) {
    std::string text = R"({"nftables":[{"metainfo":{"version":"1.0.6"}})";
    for (const std::string& entry : entries) {
        text += "," + entry;
    }
    auto parsed = ForeignRules::parse(text + "]}");
    EXPECT_TRUE(parsed);
    return *std::move(parsed);
}
std::string name_is(const std::string& key, const std::string& name) {
    return R"({"match":{"op":"==","left":{"meta":{"key":")" + key + R"("}},"right":")" + name + R"("}})";
}

const ProbePacket kOut{.hook = "forward",
                       .iif = "virbr0",
                       .oif = "eth0",
                       .source = "192.168.122.9"_ip,
                       .destination = {},
                       .destination_known = false};

TEST(ForeignRules, APolicyOfDropIsFound) {
    const auto found = rules({base("FORWARD", "forward", "drop")}).drops(kOut);
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].chain, "FORWARD");
    EXPECT_EQ(found[0].handle, -1);
}

TEST(ForeignRules, ARuleThatAcceptsTheBridgeIsEnough) {
    EXPECT_TRUE(rules({base("FORWARD", "forward", "drop"),
                       rule("FORWARD", 7, name_is("iifname", "virbr*") + R"(,{"counter":{}},{"accept":null})")})
                    .drops(kOut)
                    .empty());
    EXPECT_EQ(rules({base("FORWARD", "forward", "drop"),
                     rule("FORWARD", 7, name_is("iifname", "docker0") + R"(,{"accept":null})")})
                  .drops(kOut)
                  .size(),
              1U);
}

TEST(ForeignRules, TheExactRuleIsNamedAlsoWhenItIsInAChainThatIsJumpedTo) {
    const auto found = rules({base("FORWARD", "forward", "accept"), chain("mine", ""),
                              rule("FORWARD", 3, name_is("oifname", "eth0") + R"(,{"jump":{"target":"mine"}})"),
                              rule("mine", 9, R"({"reject":{"type":"tcp reset"}})")})
                           .drops(kOut);
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].chain, "mine");
    EXPECT_EQ(found[0].handle, 9);
}

TEST(ForeignRules, ReturnAndOtherHooksAndFamiliesDropNothing) {
    EXPECT_TRUE(rules({base("FORWARD", "forward", "accept"), chain("mine", ""),
                       rule("FORWARD", 3, R"({"jump":{"target":"mine"}})"), rule("mine", 8, R"({"return":null})"),
                       rule("mine", 9, R"({"drop":null})")})
                    .drops(kOut)
                    .empty());
    EXPECT_TRUE(rules({base("INPUT", "input", "drop")}).drops(kOut).empty());
    ProbePacket six = kOut;
    six.source = "fd00::9"_ip;
    EXPECT_TRUE(rules({base("FORWARD", "forward", "drop")}).drops(six).empty());
}

TEST(ForeignRules, WhatCannotBeReadIsCountedAndNotTrusted) {
    const auto found =
        rules({base("FORWARD", "forward", "drop"), rule("FORWARD", 3, R"({"xt":null},{"accept":null})")}).drops(kOut);
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].unread, 1U);
    EXPECT_TRUE(rules({base("FORWARD", "forward", "accept"), rule("FORWARD", 3, R"({"xt":null},{"drop":null})")})
                    .drops(kOut)
                    .empty());
}

TEST(ForeignRules, StatesSubnetsAndPortsAreRead) {
    const std::string established =
        R"({"match":{"op":"in","left":{"ct":{"key":"state"}},"right":["established","related"]}},{"accept":null})";
    ProbePacket answer = kOut;
    answer.established = true;
    const auto both = rules({base("FORWARD", "forward", "drop"), rule("FORWARD", 3, established)});
    EXPECT_TRUE(both.drops(answer).empty());
    EXPECT_EQ(both.drops(kOut).size(), 1U);
    const std::string subnet =
        R"({"match":{"op":"==","left":{"payload":{"protocol":"ip","field":"saddr"}},"right":{"prefix":{"addr":"192.168.0.0","len":16}}}},{"drop":null})";
    EXPECT_EQ(rules({base("FORWARD", "forward", "accept"), rule("FORWARD", 4, subnet)}).drops(kOut).size(), 1U);
    ProbePacket dns{.hook = "input",
                    .iif = "virbr0",
                    .oif = "",
                    .source = "192.168.122.9"_ip,
                    .destination = "192.168.122.1"_ip,
                    .protocol = 17,
                    .port = 53};
    const std::string port =
        R"({"match":{"op":"==","left":{"payload":{"protocol":"udp","field":"dport"}},"right":{"set":[53,67]}}},{"accept":null})";
    EXPECT_TRUE(rules({base("INPUT", "input", "drop"), rule("INPUT", 5, port)}).drops(dns).empty());
    dns.port = 69;
    EXPECT_EQ(rules({base("INPUT", "input", "drop"), rule("INPUT", 5, port)}).drops(dns).size(), 1U);
}

TEST(ForeignRules, AnEndlessJumpAndNonsenseEnd) {
    EXPECT_TRUE(rules({base("FORWARD", "forward", "accept"), rule("FORWARD", 3, R"({"jump":{"target":"FORWARD"}})")})
                    .drops(kOut)
                    .empty());
    for (const char* text :
         {"", "[]", "{", R"({"nftables":7})", R"({"nftables":[7,{"rule":7},{"chain":{"family":1}}]})",
          R"({"nftables":[{"rule":{"family":"ip","table":"t","chain":"c","expr":[{"match":5}]}}]})"}) {
        const auto parsed = ForeignRules::parse(text);
        if (parsed) {
            EXPECT_TRUE(parsed->drops(kOut).empty()) << text;
        }
    }
}

}  // namespace
}  // namespace bascule::kernel::os
