// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/nft_listing.h"

#include <gtest/gtest.h>

#include <string>

namespace bascule::kernel::os {

namespace {

constexpr std::chrono::steady_clock::time_point kNow{std::chrono::hours(5)};

// As nft 1.0.6 prints it.
std::string listing(const std::string& objects) {
    return R"({"nftables": [{"metainfo": {"version": "1.0.6", "json_schema_version": 1}},
        {"table": {"family": "bridge", "name": "bascule", "handle": 2}})" +
           (objects.empty() ? "" : "," + objects) + "]}";
}

Table table(const std::string& objects) {
    auto parsed = parse_listing(listing(objects), kNow);
    EXPECT_TRUE(parsed) << parsed.error().message;
    return parsed ? *std::move(parsed) : Table{};
}

std::string error(const std::string& text) {
    const auto parsed = parse_listing(text, kNow);
    EXPECT_FALSE(parsed) << text;
    return parsed ? "" : parsed.error().message;
}

}  // namespace

TEST(NftListing, ASetOfConcatenationsWithTimeouts) {
    const Table got = table(R"({"set": {"family": "bridge", "name": "pairs", "table": "bascule",
        "type": ["ifname", "ether_addr", "ipv4_addr"], "handle": 1, "flags": ["timeout"], "elem": [
            {"elem": {"val": {"concat": ["vnet0", "52:54:00:00:00:01", "10.0.0.1"]}, "timeout": 100, "expires": 99}},
            {"concat": ["vnet0", "52:54:00:00:00:01", "10.0.0.2"]}]}})");
    Table wanted;
    wanted.sets["pairs"] = SetDef{.key = "ifname . ether_addr . ipv4_addr", .data = "", .timeouts = true};
    wanted.elements["pairs"]["vnet0 . 52:54:00:00:00:01 . 10.0.0.1"] = {"", kNow + std::chrono::seconds(99)};
    wanted.elements["pairs"]["vnet0 . 52:54:00:00:00:01 . 10.0.0.2"] = {};
    EXPECT_EQ(got, wanted);
}

TEST(NftListing, ObjectsThatRulesNameAreSetsWithoutElements) {
    const Table got =
        table(R"({"ct timeout": {"family": "bridge", "name": "timeout_udp", "table": "bascule", "handle": 2,
        "protocol": "udp", "l3proto": "bridge", "policy": {"unreplied": 10, "replied": 60}}},
        {"ct helper": {"family": "bridge", "name": "helper_sip_udp", "table": "bascule", "handle": 3, "type": "sip",
        "protocol": "udp", "l3proto": "inet"}})");
    Table wanted;
    wanted.sets["timeout_udp"] =
        SetDef{.key = "ct timeout", .data = "", .statement = "protocol udp; policy = { replied : 60, unreplied : 10 }"};
    wanted.sets["helper_sip_udp"] = SetDef{.key = "ct helper", .data = "", .statement = R"(type "sip" protocol udp)"};
    EXPECT_EQ(got, wanted);
    EXPECT_FALSE(error(listing(R"({"ct timeout": {"name": "timeout_udp", "protocol": "udp"}})")).empty());
}

TEST(NftListing, AVerdictMap) {
    const Table got = table(R"({"map": {"family": "bridge", "name": "ports", "table": "bascule", "type": "ifname",
        "handle": 2, "map": "verdict", "elem": [["vnet0", {"jump": {"target": "class_0011"}}],
            ["vnet1", {"goto": {"target": "class_0011"}}], ["vnet2", {"drop": null}], ["vnet3", {"accept": null}]]}})");
    Table wanted;
    wanted.sets["ports"] = SetDef{.key = "ifname", .data = "verdict"};
    wanted.elements["ports"] = {{"vnet0", {"jump class_0011", {}}},
                                {"vnet1", {"goto class_0011", {}}},
                                {"vnet2", {"drop", {}}},
                                {"vnet3", {"accept", {}}}};
    EXPECT_EQ(got, wanted);
}

TEST(NftListing, NumbersPrefixesAndRanges) {
    const Table got =
        table(R"({"set": {"name": "nets", "type": ["ifname", "ipv4_addr"], "flags": ["interval"], "elem": [
            {"concat": ["virbr0", {"prefix": {"addr": "10.0.0.0", "len": 24}}]},
            {"concat": ["virbr0", {"range": ["10.1.0.0", "10.1.0.9"]}]}]}},
        {"map": {"name": "m", "type": ["ipv4_addr", "inet_service"], "map": "ipv4_addr . inet_service", "elem": [
            [{"concat": ["10.0.0.1", 80]}, {"concat": ["10.0.0.2", 8080]}]]}},
        {"set": {"name": "ports", "type": "inet_service", "flags": ["interval", "timeout"], "elem": [
            {"elem": {"val": {"range": [80, 90]}, "timeout": 3600, "expires": 5}}, 443]}})");
    EXPECT_TRUE(got.elements.at("nets").contains("virbr0 . 10.0.0.0/24"));
    EXPECT_TRUE(got.elements.at("nets").contains("virbr0 . 10.1.0.0-10.1.0.9"));
    EXPECT_EQ(got.elements.at("m").at("10.0.0.1 . 80").data, "10.0.0.2 . 8080");
    EXPECT_EQ(got.sets.at("m").data, "ipv4_addr . inet_service");
    EXPECT_EQ(got.sets.at("ports"), (SetDef{.key = "inet_service", .data = "", .timeouts = true, .intervals = true}));
    EXPECT_EQ(got.elements.at("ports").at("80-90").expires, kNow + std::chrono::seconds(5));
    EXPECT_TRUE(got.elements.at("ports").contains("443"));
}

TEST(NftListing, ChainsHaveTheirHookAndAsManyTextsAsRules) {
    const Table got = table(R"({"chain": {"name": "class_0011", "handle": 3}},
        {"chain": {"name": "pre_00", "handle": 5, "type": "filter", "hook": "prerouting", "prio": -300, "policy": "accept"}},
        {"rule": {"chain": "class_0011", "handle": 4, "expr": [{"accept": null}]}},
        {"rule": {"chain": "class_0011", "handle": 6, "expr": [{"drop": null}]}},
        {"rule": {"chain": "pre_00", "handle": 7, "expr": [{"vmap": {"key": {"meta": {"key": "iifname"}}, "data": "@ports"}}]}})");
    EXPECT_EQ(got.chains.at("class_0011"), (Chain{.hook = {}, .rules = {"", ""}}));
    EXPECT_EQ(got.chains.at("pre_00"),
              (Chain{.hook = Hook{"filter", "prerouting", -300, "", "accept"}, .rules = {""}}));
}

TEST(NftListing, ObjectsOfOtherKindsAreSkipped) {
    EXPECT_TRUE(table(R"({"counter": {"name": "c", "packets": 1, "bytes": 2}}, {"flowtable": {"name": "f"}})").empty());
    EXPECT_TRUE(table("").empty());
}

TEST(NftListing, WhatIsNoListingIsRefusedAndShown) {
    EXPECT_EQ(error("Error: No such file"), "nft's listing is not JSON");
    EXPECT_TRUE(error("{}").contains("no array"));
    EXPECT_TRUE(
        error(listing(R"({"set": {"name": "s", "type": "ifname", "elem": [{"weird": 1}]}})")).contains("weird"));
    EXPECT_TRUE(error(listing(R"({"set": {"name": "s"}})")).contains("without a type"));
    EXPECT_TRUE(error(listing(R"({"map": {"name": "m", "type": "ifname", "map": "verdict", "elem": ["x"]}})"))
                    .contains("without data"));
    EXPECT_TRUE(error(listing(R"({"a": {}, "b": {}})")).contains("no object"));
    EXPECT_EQ(error("{\"nftables\":" + std::string(5000, '[')), "nft's listing is nested too deep");
}

TEST(NftListing, OnlyOurTablesAreCounted) {
    const auto got = parse_tables(R"({"nftables": [{"table": {"family": "inet", "name": "bascule"}},
        {"table": {"family": "bridge", "name": "other"}}, {"table": {"family": "ip", "name": "bascule"}},
        {"table": {"family": "netdev", "name": "bascule"}}]})");
    ASSERT_TRUE(got);
    EXPECT_EQ(*got, (std::set<Family>{Family::inet, Family::netdev}));
}

}  // namespace bascule::kernel::os
