// SPDX-License-Identifier: GPL-2.0-or-later
// What a mode's rules are, in full, is read in tests/golden/network; that they do what they say on a real kernel is
// tests/netns/network_rules.sh. Here is what must hold between them.
#include "nat/compile.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace bascule::nat {
namespace {

using namespace literals;
using kernel::Family;
using kernel::State;
using kernel::Table;

Spec spec(std::string_view bridge, Mode mode, std::vector<Prefix> subnets) {
    return {.bridge = *IfName::parse(bridge), .mode = mode, .subnets = std::move(subnets), .device = {}};
}

const Table& table(const State& state) { return state.rules.at(Family::inet); }

// The rules of the chain that a verdict map sends the bridge to.
std::vector<std::string> rules(const State& state, const std::string& map, const std::string& bridge) {
    const auto& elements = table(state).elements;
    const auto found = elements.find(map);
    if (found == elements.end() || !found->second.contains(bridge)) {
        return {"(no element)"};
    }
    const std::string verdict = found->second.at(bridge).data;
    EXPECT_TRUE(verdict.starts_with("jump ")) << verdict;
    return table(state).chains.at(verdict.substr(5)).rules.all();
}

// The chain that all networks share for what passes between two of them.
std::string cross(const State& state) {
    for (const auto& [name, chain] : table(state).chains) {
        if (name.starts_with("net_cross_")) {
            return name;
        }
    }
    return "(none)";
}

TEST(NatCompile, NatLetsOwnAddressesOutAndOnlyAnswersIn) {
    const State state = compile(spec("virbr0", Mode::nat, {"192.168.122.0/24"_prefix}));
    EXPECT_EQ(
        rules(state, "net_from", "virbr0"),
        (std::vector<std::string>{"iifname . oifname @net_self accept", "oifname @net_bridges jump " + cross(state),
                                  "iifname . ip saddr & 255.255.255.0 @net_own4_24 return", "reject"}));
    EXPECT_EQ(rules(state, "net_to", "virbr0"),
              (std::vector<std::string>{
                  "iifname @net_bridges jump " + cross(state),
                  "iifname @net_bridges oifname . ip daddr & 255.255.255.0 @net_own4_24 accept",
                  "oifname . ip daddr & 255.255.255.0 @net_own4_24 ct state established,related accept", "reject"}));
    EXPECT_EQ(rules(state, "net_masq", "virbr0"),
              (std::vector<std::string>{
                  "iifname . ip saddr & 255.255.255.0 @net_own4_24 ip daddr { 224.0.0.0/24, 255.255.255.255 } return",
                  "iifname . ip saddr & 255.255.255.0 @net_own4_24 meta l4proto { tcp, udp } masquerade to :1024-65535",
                  "iifname . ip saddr & 255.255.255.0 @net_own4_24 masquerade"}));
}

TEST(NatCompile, NetworksAreClosedToEachOtherButForThoseThatAreAdmitted) {
    Spec s = spec("virbr0", Mode::nat, {"10.0.0.0/24"_prefix});
    EXPECT_FALSE(table(compile(s)).elements.contains("net_admits"));
    s.admits = {{.bridge = *IfName::parse("virbr7"), .subnets = {"10.7.0.0/24"_prefix}}};
    const State state = compile(s);
    EXPECT_TRUE(table(state).elements.at("net_admits").contains("virbr7 . virbr0"));
    EXPECT_EQ(table(state).chains.at(cross(state)).rules,
              (std::vector<std::string>{"iifname . oifname @net_admits return", "ct state established,related return",
                                        "reject"}));
}

TEST(NatCompile, GuestsReachOnlyWhatTheirNetworkServesOnTheHost) {
    Spec s = spec("virbr0", Mode::nat, {"10.0.0.0/24"_prefix});
    s.gateways = {"10.0.0.1"_ip};
    s.host = {.dhcp4 = true, .dns = true, .more = {{"tcp", {22, 22}}}};
    const auto chain = rules(compile(s), "net_host", "virbr0");
    const auto count = [&](const std::string& rule) { return std::ranges::count(chain, rule); };
    EXPECT_EQ(count("meta nfproto ipv4 udp dport 67 accept"), 1);
    EXPECT_EQ(count("iifname . ip daddr @net_gate4 meta l4proto { tcp, udp } th dport 53 accept"), 1);
    EXPECT_EQ(count("tcp dport 22 accept"), 1);
    EXPECT_EQ(count("iifname . ip daddr @net_gate4 udp dport 69 accept"), 0);
    EXPECT_EQ(chain.back(), "reject");
    s.host.all = true;
    EXPECT_FALSE(table(compile(s)).elements.contains("net_host"));
}

TEST(NatCompile, AnOpenNetworkHasNoRulesButIsNotTranslatedInto) {
    const State state = compile(spec("virbr0", Mode::open, {"10.0.0.0/24"_prefix, "fd00::/64"_prefix}));
    EXPECT_EQ(table(state).elements.size(), 1U);
    EXPECT_TRUE(table(state).elements.at("net_bridges").contains("virbr0"));
    EXPECT_EQ(state.sysctls.size(), 2U);
}

TEST(NatCompile, Nat66TranslatesIpv6AndLetsOnlyAnswersIn) {
    Spec s = spec("b", Mode::nat, {"fd00::/64"_prefix});
    s.nat66 = true;
    const State state = compile(s);
    EXPECT_EQ(
        rules(state, "net_masq", "b"),
        (std::vector<std::string>{"iifname . ip6 saddr & ffff:ffff:ffff:ffff:: @net_own6_64 ip6 daddr ff00::/8 return",
                                  "iifname . ip6 saddr & ffff:ffff:ffff:ffff:: @net_own6_64 meta l4proto { tcp, udp } "
                                  "masquerade to :1024-65535",
                                  "iifname . ip6 saddr & ffff:ffff:ffff:ffff:: @net_own6_64 masquerade"}));
    EXPECT_EQ(rules(state, "net_to", "b")[2],
              "oifname . ip6 daddr & ffff:ffff:ffff:ffff:: @net_own6_64 ct state established,related accept");
}

TEST(NatCompile, SourcesBecomeTheAddressesOfTheDefinition) {
    Spec s = spec("b", Mode::nat, {"10.0.0.0/24"_prefix});
    s.source = IpRange{"192.0.2.10"_ip, "192.0.2.20"_ip};
    EXPECT_EQ(rules(compile(s), "net_masq", "b")[1],
              "iifname . ip saddr & 255.255.255.0 @net_own4_24 meta l4proto { tcp, udp } snat ip to "
              "192.0.2.10-192.0.2.20:1024-65535");
    EXPECT_EQ(rules(compile(s), "net_masq", "b")[2],
              "iifname . ip saddr & 255.255.255.0 @net_own4_24 snat ip to 192.0.2.10-192.0.2.20");
    s.source = IpRange{"192.0.2.10"_ip, "192.0.2.10"_ip};
    EXPECT_EQ(rules(compile(s), "net_masq", "b")[2],
              "iifname . ip saddr & 255.255.255.0 @net_own4_24 snat ip to 192.0.2.10");
}

TEST(NatCompile, WhatLeavesANetworkIsNeverAcceptedBeforeTheOtherSideIsAsked) {
    for (const Mode mode : {Mode::isolated, Mode::nat, Mode::route}) {
        const State state = compile(spec("virbr0", mode, {"10.0.0.0/24"_prefix, "fd00::/64"_prefix}));
        for (const std::string& rule : rules(state, "net_from", "virbr0")) {
            EXPECT_TRUE(!rule.ends_with("accept") || rule == "iifname . oifname @net_self accept") << rule;
        }
    }
}

TEST(NatCompile, EveryNetworkEndsInRejectBothWays) {
    for (const Mode mode : {Mode::isolated, Mode::nat, Mode::route}) {
        const State state = compile(spec("virbr0", mode, {"10.0.0.0/24"_prefix}));
        EXPECT_EQ(rules(state, "net_from", "virbr0").back(), "reject");
        EXPECT_EQ(rules(state, "net_to", "virbr0").back(), "reject");
    }
}

TEST(NatCompile, OnlyIpv4OfNatIsTranslated) {
    const std::vector<std::string> none{"(no element)"};
    EXPECT_EQ(rules(compile(spec("b", Mode::route, {"10.0.0.0/24"_prefix})), "net_masq", "b"), none);
    EXPECT_EQ(rules(compile(spec("b", Mode::isolated, {"10.0.0.0/24"_prefix})), "net_masq", "b"), none);
    EXPECT_EQ(rules(compile(spec("b", Mode::nat, {"fd00::/64"_prefix})), "net_masq", "b"), none);
}

TEST(NatCompile, Ipv6OfANatNetworkIsRouted) {
    const State state = compile(spec("b", Mode::nat, {"fd00::/64"_prefix}));
    EXPECT_EQ(rules(state, "net_to", "b")[2], "oifname . ip6 daddr & ffff:ffff:ffff:ffff:: @net_own6_64 accept");
}

TEST(NatCompile, ADeviceIsTheOnlyWayInAndOutAndTheOnlyOneThatForwards) {
    Spec s = spec("b", Mode::route, {"10.0.0.0/24"_prefix});
    s.device = IfName::parse("eth1");
    const State state = compile(s);
    EXPECT_EQ(rules(state, "net_from", "b")[3],
              "oifname \"eth1\" iifname . ip saddr & 255.255.255.0 @net_own4_24 return");
    EXPECT_EQ(rules(state, "net_to", "b")[2],
              "iifname \"eth1\" oifname . ip daddr & 255.255.255.0 @net_own4_24 accept");
    EXPECT_EQ(state.sysctls, (std::map<std::string, std::string>{{"net/ipv4/conf/b/forwarding", "1"},
                                                                 {"net/ipv4/conf/eth1/forwarding", "1"}}));
}

TEST(NatCompile, PortsOfTheDefinitionAreUsed) {
    Spec s = spec("b", Mode::nat, {"10.0.0.0/24"_prefix});
    s.ports = {2000, 2999};
    EXPECT_TRUE(rules(compile(s), "net_masq", "b")[1].ends_with("masquerade to :2000-2999"));
    s.ports = {2000, 2000};
    EXPECT_TRUE(rules(compile(s), "net_masq", "b")[1].ends_with("masquerade to :2000"));
}

TEST(NatCompile, ForwardingIsTurnedOnForTheFamiliesThatAreForwarded) {
    using Sysctls = std::map<std::string, std::string>;
    EXPECT_EQ(compile(spec("b", Mode::isolated, {"10.0.0.0/24"_prefix, "fd00::/64"_prefix})).sysctls, Sysctls{});
    EXPECT_EQ(compile(spec("b", Mode::nat, {"10.0.0.0/24"_prefix})).sysctls, (Sysctls{{"net/ipv4/ip_forward", "1"}}));
    EXPECT_EQ(compile(spec("b", Mode::route, {"fd00::/64"_prefix})).sysctls,
              (Sysctls{{"net/ipv6/conf/all/forwarding", "1"}}));
}

// Base chains and sets are wished for by every network, so all must wish for the same.
TEST(NatCompile, WhatNetworksShareIsTheSameForAllOfThem) {
    const State a = compile(spec("virbr0", Mode::nat, {"10.0.0.0/24"_prefix}));
    const State b = compile(spec("br-x.5", Mode::isolated, {"fd00::/64"_prefix}));
    for (const auto& [name, set] : table(a).sets) {
        EXPECT_EQ(!name.starts_with("net_own"), table(b).sets.contains(name)) << name;
    }
    for (const auto& [name, chain] : table(a).chains) {
        const bool shared = chain.hook.has_value() || name.starts_with("net_cross_") || name.starts_with("host_");
        EXPECT_EQ(shared, table(b).chains.contains(name)) << name;
    }
}

// A network more beside one of its kind is elements and nothing else.
TEST(NatCompile, NetworksThatAreAlikeShareTheirChains) {
    Spec one = spec("virbr0", Mode::nat, {"10.0.0.0/24"_prefix, "fd00::/64"_prefix});
    one.gateways = {"10.0.0.1"_ip, "fd00::1"_ip};
    one.host = {.dhcp4 = true, .dns = true};
    Spec other = spec("br-\xc3\xa4+@.5%", Mode::nat, {"fd07::/64"_prefix, "10.7.0.0/24"_prefix});
    other.gateways = {"10.7.0.1"_ip};
    other.host = one.host;
    const State a = compile(one), b = compile(other);
    EXPECT_EQ(table(a).chains, table(b).chains);
    const auto& elements = table(a).elements;
    EXPECT_TRUE(elements.at("net_own4_24").contains("virbr0 . 10.0.0.0"));
    EXPECT_TRUE(elements.at("net_own6_64").contains("virbr0 . fd00::"));
    EXPECT_TRUE(elements.at("net_gate4").contains("virbr0 . 10.0.0.1"));
    EXPECT_TRUE(elements.at("net_gate6").contains("virbr0 . fd00::1"));
    EXPECT_TRUE(elements.at("net_self").contains("virbr0 . virbr0"));
}

TEST(NatCompile, SubnetsAreNamedBySize) {
    const State state =
        compile(spec("b", Mode::route,
                     {"10.0.0.7/32"_prefix, "10.0.0.0/24"_prefix, "10.1.0.0/19"_prefix, "198.51.100.7/32"_prefix}));
    const auto keys = [&](const std::string& set) {
        std::vector<std::string> out;
        for (const auto& [key, element] : table(state).elements.at(set)) {
            out.push_back(key);
        }
        return out;
    };
    EXPECT_EQ(keys("net_own4_32"), (std::vector<std::string>{"b . 10.0.0.7", "b . 198.51.100.7"}));
    EXPECT_EQ(keys("net_own4_24"), std::vector<std::string>{"b . 10.0.0.0"});
    EXPECT_EQ(
        rules(state, "net_from", "b"),
        (std::vector<std::string>{"iifname . oifname @net_self accept", "oifname @net_bridges jump " + cross(state),
                                  "iifname . ip saddr & 255.255.224.0 @net_own4_19 return",
                                  "iifname . ip saddr & 255.255.255.0 @net_own4_24 return",
                                  "iifname . ip saddr @net_own4_32 return", "reject"}));
}

// ---- revoked ------------------------------------------------------------------------------------

TEST(NatRevoked, AStoppedNetworkLosesWhatItForwarded) {
    const Spec s = spec("b", Mode::nat, {"10.0.0.0/24"_prefix});
    EXPECT_EQ(revoked(s, nullptr),
              (std::vector<kernel::FlowFilter>{{.end = "10.0.0.0/24"_prefix, .other_outside = true}}));
}

TEST(NatRevoked, AddingARightTakesNoneAway) {
    const Spec before = spec("b", Mode::nat, {"10.0.0.0/24"_prefix});
    Spec after = before;
    after.subnets.push_back("10.1.0.0/24"_prefix);
    after.host.more.push_back({"tcp", {22, 22}});
    after.admits.push_back({.bridge = *IfName::parse("x"), .subnets = {"10.2.0.0/24"_prefix}});
    EXPECT_TRUE(revoked(before, &after).empty());
    EXPECT_TRUE(revoked(before, &before).empty());
}

TEST(NatRevoked, OnlyWhatIsNoLongerAllowedIsCut) {
    Spec before = spec("b", Mode::nat, {"10.0.0.0/24"_prefix, "10.1.0.0/24"_prefix});
    before.admits = {{.bridge = *IfName::parse("x"), .subnets = {"10.2.0.0/24"_prefix}}};
    before.host.more = {{"tcp", {22, 22}}};
    Spec after = before;
    after.subnets.pop_back();
    EXPECT_EQ(revoked(before, &after),
              (std::vector<kernel::FlowFilter>{{.end = "10.1.0.0/24"_prefix, .other_outside = true}}));
    after = before;
    after.admits.clear();
    EXPECT_EQ(revoked(before, &after).size(), 2U);
    EXPECT_EQ(revoked(before, &after)[0].other, "10.2.0.0/24"_prefix);
    after = before;
    after.host.more.clear();
    EXPECT_EQ(revoked(before, &after)[0].service, (PortRange{22, 22}));
    after = before;
    after.mode = Mode::isolated;
    EXPECT_EQ(revoked(before, &after).size(), 2U);
}

}  // namespace
}  // namespace bascule::nat
