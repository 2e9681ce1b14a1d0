// SPDX-License-Identifier: GPL-2.0-or-later
// What a mode's rules are, in full, is read in tests/golden/network; that they do what they say on a real kernel is
// tests/netns/network_rules.sh. Here is what must hold between them.
#include "nat/compile.h"

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
    return table(state).chains.at(verdict.substr(5)).rules;
}

TEST(NatCompile, NatLetsOwnAddressesOutAndOnlyAnswersIn) {
    const State state = compile(spec("virbr0", Mode::nat, {"192.168.122.0/24"_prefix}));
    EXPECT_EQ(rules(state, "net_from", "virbr0"),
              (std::vector<std::string>{"oifname \"virbr0\" accept", "ip saddr 192.168.122.0/24 return", "reject"}));
    EXPECT_EQ(rules(state, "net_to", "virbr0"),
              (std::vector<std::string>{"iifname \"virbr0\" accept",
                                        "ip daddr 192.168.122.0/24 ct state established,related accept", "reject"}));
    EXPECT_EQ(rules(state, "net_masq", "virbr0"),
              (std::vector<std::string>{"ip saddr 192.168.122.0/24 ip daddr { 224.0.0.0/24, 255.255.255.255 } return",
                                        "ip saddr 192.168.122.0/24 meta l4proto { tcp, udp } masquerade to :1024-65535",
                                        "ip saddr 192.168.122.0/24 masquerade"}));
}

TEST(NatCompile, WhatLeavesANetworkIsNeverAcceptedBeforeTheOtherSideIsAsked) {
    for (const Mode mode : {Mode::isolated, Mode::nat, Mode::route}) {
        const State state = compile(spec("virbr0", mode, {"10.0.0.0/24"_prefix, "fd00::/64"_prefix}));
        for (const std::string& rule : rules(state, "net_from", "virbr0")) {
            EXPECT_TRUE(!rule.ends_with("accept") || rule == "oifname \"virbr0\" accept") << rule;
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
    EXPECT_EQ(rules(state, "net_to", "b"),
              (std::vector<std::string>{"iifname \"b\" accept", "ip6 daddr fd00::/64 accept", "reject"}));
}

TEST(NatCompile, ADeviceIsTheOnlyWayInAndOut) {
    Spec s = spec("b", Mode::route, {"10.0.0.0/24"_prefix});
    s.device = IfName::parse("eth1");
    const State state = compile(s);
    EXPECT_EQ(rules(state, "net_from", "b")[1], "oifname \"eth1\" ip saddr 10.0.0.0/24 return");
    EXPECT_EQ(rules(state, "net_to", "b")[1], "iifname \"eth1\" ip daddr 10.0.0.0/24 accept");
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
    EXPECT_EQ(table(a).sets, table(b).sets);
    for (const auto& [name, chain] : table(a).chains) {
        EXPECT_EQ(chain.hook.has_value(), table(b).chains.contains(name)) << name;
    }
}

TEST(NatCompile, ADeviceNameGivesAChainNameThatNftTakes) {
    const State state = compile(spec("br-\xc3\xa4+@.5%", Mode::nat, {"10.0.0.0/24"_prefix}));
    for (const auto& [name, chain] : table(state).chains) {
        for (const char c : name) {
            EXPECT_TRUE((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_') << name;
        }
    }
}

}  // namespace
}  // namespace bascule::nat
