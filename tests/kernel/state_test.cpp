// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/state.h"

#include <gtest/gtest.h>

#include "kernel/kernel.h"
#include "tests/support/states.h"

namespace bascule::test {
namespace {

using namespace kernel;

IfName name(std::string_view text) { return IfName::parse(text).value(); }

State sample() {
    State state;
    Link& bridge = state.links[name("virbr0")];
    bridge.kind = LinkKind::bridge;
    bridge.owner = "network:1f";
    bridge.mac = parse_mac("52:54:00:00:00:01");
    bridge.mtu = 9000;
    bridge.bridge = BridgeSettings{true, 205};
    Link& tap = state.links[name("vnet0")];
    tap.kind = LinkKind::tap;
    tap.owner = "port:vnet0";
    tap.up = false;
    tap.master = name("virbr0");
    tap.queues = 4;
    state.links[name("eth0")].master = name("br9");
    state.addresses.insert({name("virbr0"), {*parse_ip("192.168.122.1"), 24}});
    state.routes.insert({*parse_prefix("10.0.0.0/8"), parse_ip("192.168.122.2"), name("virbr0"), 5});
    state.routes.insert({*parse_prefix("fd00::/8"), {}, {}, 0});
    state.sysctls["net/ipv4/ip_forward"] = "1";
    return state;
}

TEST(State, DumpsOneFactALine) {
    EXPECT_EQ(dump(sample()),
              "link eth0 foreign up master br9\n"
              "link virbr0 bridge owner network:1f up mac 52:54:00:00:00:01 mtu 9000 stp on forward-delay 2.05 s\n"
              "link vnet0 tap owner port:vnet0 down master virbr0 queues 4\n"
              "address 192.168.122.1/24 on virbr0\n"
              "route 10.0.0.0/8 via 192.168.122.2 on virbr0 metric 5\n"
              "route fd00::/8\n"
              "sysctl net/ipv4/ip_forward = 1\n");
    EXPECT_EQ(dump(State()), "");
}

TEST(State, SysctlKeysHoldDeviceNamesWithDots) {
    EXPECT_EQ(sysctl_key("ipv4", name("eth0.100"), "forwarding"), "net/ipv4/conf/eth0.100/forwarding");
}

TEST(Scope, OfAStateNamesAllOfIt) {
    const Scope scope = Scope::of(sample());
    EXPECT_EQ(restrict(sample(), scope), sample());
    EXPECT_TRUE(scope.links.contains(name("br9"))) << "whose bridge a foreign link is in matters";
    EXPECT_EQ(scope.routes.size(), 1U) << "only the one that names no link";
    EXPECT_FALSE(scope.everything);
}

TEST(Scope, RestrictsAStateToWhatItNames) {
    Scope scope;
    scope.links.insert(name("virbr0"));
    const State part = restrict(sample(), scope);
    EXPECT_EQ(dump(part),
              "link virbr0 bridge owner network:1f up mac 52:54:00:00:00:01 mtu 9000 stp on forward-delay 2.05 s\n"
              "address 192.168.122.1/24 on virbr0\n"
              "route 10.0.0.0/8 via 192.168.122.2 on virbr0 metric 5\n");
    EXPECT_EQ(restrict(sample(), Scope()), State());
    Scope all;
    all.everything = true;
    EXPECT_EQ(restrict(sample(), all), sample());
}

TEST(Scope, OfRandomStatesSelectsExactlyThem) {
    std::mt19937 random(3);
    for (int i = 0; i < 50; ++i) {
        const State one = random_state(random);
        EXPECT_EQ(restrict(one, Scope::of(one)), one);
        const auto wishes = random_wishes(random, 3);
        State all;
        for (const State& wish : wishes) {
            unite(all, wish);
        }
        State part = restrict(all, Scope::of(wishes[0]));
        EXPECT_EQ(part.links, wishes[0].links);
        EXPECT_EQ(part.rules.at(Family::bridge).chains, wishes[0].rules.at(Family::bridge).chains);
    }
}

TEST(OpFormat, IsOneLineEach) {
    EXPECT_EQ(format(Op(LinkUp{name("vnet0"), true})), "set vnet0 up");
    EXPECT_EQ(format(Op(DropRoute{{*parse_prefix("fd00::/8"), {}, {}, 0}})), "drop route fd00::/8");
    RuleBatch batch;
    batch.add = guard("vnet0", "drop");
    batch.remove[Family::inet].whole_table = true;
    EXPECT_EQ(format(Op(batch)), "change rules: bridge +2 sets +3 chains +2 elements inet -table");
}

}  // namespace
}  // namespace bascule::test
