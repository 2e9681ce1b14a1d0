// SPDX-License-Identifier: GPL-2.0-or-later
#include "switch/compile.h"

#include <gtest/gtest.h>

#include "switch/shaping.h"

namespace bascule::vswitch {
namespace {

using namespace literals;

IfName name(std::string_view text) { return *IfName::parse(text); }

TEST(SwitchCompile, ABridgeIsOneLinkUpAndOwned) {
    const kernel::State state = compile_bridge(
        {.name = name("virbr0"), .stp = false, .delay_seconds = 0, .mac = "52:54:00:00:00:01"_mac, .mtu = 1400},
        "network:x");
    EXPECT_EQ(kernel::dump(state),
              "link virbr0 bridge owner network:x up mac 52:54:00:00:00:01 mtu 1400 stp off forward-delay 0.00 s\n");
}

TEST(SwitchCompile, WithSpanningTreeTheDelayIsWhatTheKernelWillHave) {
    EXPECT_EQ(effective_forward_delay_cs(true, 0), 200U);
    EXPECT_EQ(effective_forward_delay_cs(true, 2), 200U);
    EXPECT_EQ(effective_forward_delay_cs(true, 15), 1500U);
    EXPECT_EQ(effective_forward_delay_cs(true, 30), 3000U);
    EXPECT_EQ(effective_forward_delay_cs(true, 31), 3000U);
    EXPECT_EQ(effective_forward_delay_cs(true, 4'294'967'295U), 3000U);
}

TEST(SwitchCompile, WithoutSpanningTreeTheDelayIsKept) {
    EXPECT_EQ(effective_forward_delay_cs(false, 0), 0U);
    EXPECT_EQ(effective_forward_delay_cs(false, 1), 100U);
    EXPECT_EQ(effective_forward_delay_cs(false, 40), 4000U);
    EXPECT_EQ(effective_forward_delay_cs(false, 4'294'967'295U), 360000U);
}

TEST(SwitchCompile, APortIsATapInItsBridgeAndDoesNotRepeatTheBridge) {
    const kernel::State state = compile_port({.name = name("vnet0"),
                                              .bridge = name("virbr0"),
                                              .guest_mac = "52:54:00:12:34:56"_mac,
                                              .mtu = 9000,
                                              .queues = 4},
                                             "port:vnet0");
    EXPECT_EQ(kernel::dump(state),
              "link vnet0 tap owner port:vnet0 up mac fe:54:00:12:34:56 mtu 9000 master virbr0 queues 4\n");
}

TEST(SwitchCompile, APortWhoseLinkIsDownIsThereAndDown) {
    const kernel::State state = compile_port(
        {.name = name("vnet0"), .bridge = name("br0"), .guest_mac = "52:54:00:12:34:56"_mac, .mtu = {}, .up = false},
        "port:vnet0");
    EXPECT_FALSE(state.links.at(name("vnet0")).up);
    EXPECT_EQ(state.links.at(name("vnet0")).master, name("br0"));
}

TEST(SwitchShaping, WhatComesInHasARateAPeakAndABurst) {
    const Bandwidth bandwidth{.inbound = {}, .outbound = Rate{.average = 1000, .peak = 4000, .burst = 5120}};
    kernel::State state;
    state.shapings.emplace(name("vnet0"), *shaping_of(bandwidth, false));
    EXPECT_EQ(kernel::dump(state), "shaping vnet0 in 1000000 burst 5242880 peak 4000000\n");
    limit_by_rules(state);
    EXPECT_TRUE(state.shapings.empty());
    const auto& chains = state.rules.at(kernel::Family::netdev).chains;
    ASSERT_EQ(chains.size(), 1U);
    EXPECT_EQ(chains.begin()->second.rules,
              (std::vector<std::string>{"limit rate over 4000000 bytes/second burst 1 bytes drop",
                                        "limit rate over 1000000 bytes/second burst 4242880 bytes drop"}));
}

TEST(SwitchShaping, AtAPeakThatIsTheAverageNothingComesInABurst) {
    const Bandwidth bandwidth{.inbound = {}, .outbound = Rate{.average = 1000, .peak = 1000, .burst = 5120}};
    EXPECT_EQ(shaping_of(bandwidth, false)->in,
              (kernel::Shaping::In{.rate = 1'000'000, .burst = 66 * 1024, .peak = 0}));
}

}  // namespace
}  // namespace bascule::vswitch
