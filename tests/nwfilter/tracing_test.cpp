// SPDX-License-Identifier: GPL-2.0-or-later
#include "nwfilter/tracing.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace bascule::nwfilter {

namespace {

kernel::TraceStep step(std::string table, std::string chain, std::optional<std::uint64_t> rule, std::string verdict) {
    kernel::TraceStep out;
    out.packet = 7;
    out.family = "bridge";
    out.table = std::move(table);
    out.chain = std::move(chain);
    out.rule = rule;
    out.verdict = std::move(verdict);
    return out;
}

const std::string kHash = "_0123456789abcdef";

TEST(Tracing, SaysWhichRuleOfWhichFilterDropped) {
    const auto dropped = told(step("bascule", "nwf_out_mac" + kHash, 5, "goto nwf_drop_from" + kHash),
                              "counter packets 1 bytes 2 meta mark set 0x8 goto nwf_drop_from_0 comment "
                              "\"no-mac-spoofing/rule 2\"");
    EXPECT_EQ(dropped, (Told{"bridge bascule nwf_out_mac", "no-mac-spoofing/rule 2", "drop"}));
    const auto rejected = told(step("bascule", "nwf_in" + kHash, 5, "goto nwf_reject_tcp_from" + kHash),
                               "counter goto nwf_reject_tcp_from_0 comment \"mine/rule 1\"");
    EXPECT_EQ(rejected->verdict, "reject");
}

TEST(Tracing, LeavesOutWhatOnlyServesOthers) {
    EXPECT_FALSE(told(step("bascule", "nwf_drop_from" + kHash, 5, "drop"), "drop"));
    EXPECT_FALSE(told(step("bascule", "nwf_trace" + kHash, 5, "continue"), ""));
    EXPECT_FALSE(told(step("other", "guard", std::nullopt, "continue"), ""));
    EXPECT_TRUE(told(step("other", "nwf_drop_from" + kHash, 5, "drop"), "drop")) << "another program may call it so";
}

TEST(Tracing, ShowsOtherProgramsRulesByTheirWords) {
    EXPECT_EQ(told(step("filter", "FORWARD", 9, "drop"), "ip saddr 10.0.0.1\tdrop comment \"x\""),
              (Told{"bridge filter FORWARD", "ip saddr 10.0.0.1 drop comment \"x\"", "drop"}));
    EXPECT_EQ(told(step("filter", "FORWARD", 9, "drop"), "")->rule, "rule 9");
    EXPECT_EQ(told(step("filter", "FORWARD", std::nullopt, "drop"), "")->rule, "policy");
    EXPECT_EQ(told(step("bascule", "nwf_prerouting" + kHash, 3, "jump nwf_out" + kHash), "iifname vmap @nwf_from"),
              (Told{"bridge bascule nwf_prerouting", "iifname vmap @nwf_from", "jump nwf_out"}));
    EXPECT_EQ(told(step("bascule", "nwf_out" + kHash, 3, "jump nwf_out_mac" + kHash), "jump nwf_out_mac" + kHash)->rule,
              "jump nwf_out_mac");
}

TEST(Tracing, MarksWhatComesFromThePortAndWhatGoesToIt) {
    const Port port{*IfName::parse("vnet0"), *parse_mac("52:54:00:00:00:01"), "clean-traffic", {}};
    const auto rules = tracing(port, {*parse_ip("10.0.0.1"), *parse_ip("fd00::1")});
    std::vector<std::string> texts;
    for (const auto& [family, table] : rules) {
        for (const auto& [name, chain] : table.chains) {
            EXPECT_TRUE(name.starts_with("nwf_trace_")) << name;
            for (const std::string& text : chain.rules) {
                EXPECT_TRUE(text.contains("limit rate 10/second") && text.ends_with("meta nftrace set 1")) << text;
                texts.push_back(std::string(name_of(family)) + " " + chain.hook->hook + " " + text);
            }
        }
    }
    for (const char* const wanted :
         {"bridge prerouting iifname \"vnet0\"", "bridge prerouting iifname != \"vnet0\" ether daddr 52:54:00:00:00:01",
          "bridge forward oifname \"vnet0\"", "inet forward ip daddr 10.0.0.1", "inet output ip6 daddr fd00::1"}) {
        EXPECT_TRUE(std::ranges::any_of(texts, [&](const std::string& text) { return text.starts_with(wanted); }))
            << wanted;
    }
    EXPECT_TRUE(std::ranges::any_of(tracing(port, {}).at(kernel::Family::bridge).chains,
                                    [](const auto& chain) { return chain.second.hook->hook == "output"; }));
}

}  // namespace

}  // namespace bascule::nwfilter
