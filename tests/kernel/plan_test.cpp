// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/plan.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "kernel/reconcile.h"
#include "tests/support/fake_kernel.h"
#include "tests/support/states.h"

namespace bascule::test {
namespace {

using namespace kernel;

IfName name(std::string_view text) { return IfName::parse(text).value(); }

std::vector<std::string> lines(const std::vector<Op>& ops) {
    std::vector<std::string> out;
    for (const Op& op : ops) {
        out.push_back(format(op));
    }
    return out;
}

// What ownership and the promises of plan.h leave: both named, foreign links and sysctls only where wanted says so.
std::vector<Op> left_to_do(const FakeKernel& kernel, const State& wanted) { return plan(kernel.state, wanted); }

Result<void> apply_all(FakeKernel& kernel, const std::vector<Op>& ops) {
    for (const Op& op : ops) {
        if (auto done = kernel.apply(op); !done) {
            return std::unexpected(std::move(done).error().in(format(op)));
        }
    }
    return {};
}

FakeKernel host() {
    FakeKernel kernel;
    for (const char* const link : kForeign) {
        kernel.add_foreign(link);
    }
    return kernel;
}

// The class chains that an element of a wanted verdict map sends a link's packets to are there.
bool is_guarded(const Ruleset& rules, const Ruleset& wanted, const std::string& link) {
    for (const auto& [family, table] : wanted) {
        const auto now = rules.find(family);
        const auto from = table.elements.find("from");
        const bool wants = from != table.elements.end() && from->second.contains(link);
        if (wants) {
            if (now == rules.end() || !now->second.elements.contains("from") ||
                !now->second.elements.at("from").contains(link) ||
                now->second.elements.at("from").at(link).data != from->second.at(link).data) {
                return false;
            }
        }
        for (const auto& [chain, content] : table.chains) {
            const bool about = content.hook && content.hook->device == link;
            if ((wants || about) && (now == rules.end() || !now->second.chains.contains(chain))) {
                return false;
            }
        }
    }
    return true;
}

// Checks the order of each op as it is applied.
void watch_order(FakeKernel& kernel, const State& actual, const State& wanted) {
    kernel.on_apply = [&kernel, &actual, &wanted](const State& before, const Op& op) {
        const auto fail_with = [&](const char* what) {
            ADD_FAILURE() << what << ": " << format(op) << "\nfrom\n" << dump(actual) << "\nto\n" << dump(wanted);
        };
        if (const auto* const up = std::get_if<LinkUp>(&op); up != nullptr && up->up) {
            if (!is_guarded(before.rules, wanted.rules, up->name.str())) {
                fail_with("a link comes up before its rules");
            }
        }
        if (const auto* const put = std::get_if<PutLink>(&op); put != nullptr && put->link.kind == LinkKind::tap) {
            const auto former = before.links.find(put->name);
            const bool joins =
                put->link.master && (former == before.links.end() || former->second.master != put->link.master);
            if (joins && !is_guarded(before.rules, wanted.rules, put->name.str())) {
                fail_with("a link is put into a bridge before its rules");
            }
            if (joins && former != before.links.end() && former->second.master && former->second.up) {
                fail_with("a link moves while it is up");
            }
        }
        if (std::holds_alternative<RuleBatch>(op)) {
            for (const auto& [link, settings] : kernel.state.links) {
                if (settings.kind == LinkKind::tap && settings.up &&
                    is_guarded(before.rules, actual.rules, link.str()) &&
                    !is_guarded(kernel.state.rules, actual.rules, link.str()) && !wanted.links.contains(link)) {
                    fail_with("a link outlives its rules");
                }
            }
        }
    };
}

// ---- single promises ---------------------------------------------------------------------------

State simple_network() {
    State state;
    Link link;
    link.kind = LinkKind::bridge;
    link.owner = "network:a";
    link.bridge = BridgeSettings{true, 200};
    state.links[name("virbr0")] = link;
    state.addresses.insert({name("virbr0"), {*parse_ip("192.168.122.1"), 24}});
    state.routes.insert({*parse_prefix("10.0.0.0/8"), parse_ip("192.168.122.2"), name("virbr0"), 0});
    state.sysctls["net/ipv4/ip_forward"] = "1";
    state.rules = guard("virbr0", "drop");
    return state;
}

State simple_port() {
    State state;
    Link link;
    link.kind = LinkKind::tap;
    link.owner = "port:vnet0";
    link.master = name("virbr0");
    state.links[name("vnet0")] = link;
    state.rules = guard("vnet0", "drop");
    return state;
}

TEST(Plan, ABareHostGetsANetworkInThisOrder) {
    EXPECT_EQ(lines(plan({}, simple_network())), (std::vector<std::string>{
                                                     "put bridge virbr0",
                                                     "change rules: bridge +2 sets +3 chains +2 elements",
                                                     "set net/ipv4/ip_forward to 1",
                                                     "put address 192.168.122.1/24 on virbr0",
                                                     "set virbr0 up",
                                                     "put route 10.0.0.0/8 via 192.168.122.2 on virbr0",
                                                 }));
}

TEST(Plan, APortGetsItsRulesFirstAndGoesUpLast) {
    EXPECT_EQ(lines(plan({}, simple_port())), (std::vector<std::string>{
                                                  "change rules: bridge +2 sets +3 chains +2 elements",
                                                  "put tap vnet0 into virbr0",
                                                  "set vnet0 up",
                                              }));
}

TEST(Plan, WhatIsNoLongerWantedGoesLinksFirst) {
    State actual = simple_network();
    unite(actual, simple_port());
    EXPECT_EQ(lines(plan(actual, {})), (std::vector<std::string>{
                                           "drop link vnet0",
                                           "drop link virbr0",
                                           "change rules: bridge -2 sets -3 chains",
                                       }))
        << "addresses and routes go with their link, elements with their set, sysctls stay";
}

TEST(Plan, WhatIsThereNeedsNothing) {
    EXPECT_TRUE(plan(simple_network(), simple_network()).empty());
    State more = simple_network();
    more.links.at(name("virbr0")).mac = parse_mac("52:54:00:00:00:01");
    more.links.at(name("virbr0")).mtu = 1500;
    EXPECT_TRUE(plan(more, simple_network()).empty()) << "what a wish leaves open is as it should be";
    EXPECT_EQ(lines(plan(simple_network(), more)), (std::vector<std::string>{"put bridge virbr0"}));
}

TEST(Plan, AChainIsKnownByItsNameAndItsNumberOfRules) {
    State observed = simple_network();
    for (auto& [chain, content] : observed.rules.at(Family::bridge).chains) {
        content.rules = RuleTexts(std::vector<std::string>(content.rules.size()));
    }
    EXPECT_TRUE(plan(observed, simple_network()).empty());
    for (auto& [chain, content] : observed.rules.at(Family::bridge).chains) {
        content.rules.clear();
    }
    EXPECT_EQ(lines(plan(observed, simple_network())), (std::vector<std::string>{"change rules: bridge +3 chains"}));
}

TEST(Plan, AnExpiryIsTheSameWithinTwoSeconds) {
    using std::chrono::milliseconds;
    const auto at = [](milliseconds time) {
        State state = simple_port();
        Table& table = state.rules.at(Family::bridge);
        table.elements["known"]["vnet0 . 192.168.0.1"].expires = std::chrono::steady_clock::time_point(time);
        return state;
    };
    EXPECT_TRUE(plan(at(milliseconds(10000)), at(milliseconds(12000))).empty());
    EXPECT_TRUE(plan(at(milliseconds(12000)), at(milliseconds(10000))).empty());
    const auto ops = plan(at(milliseconds(10000)), at(milliseconds(12001)));
    EXPECT_EQ(lines(ops), (std::vector<std::string>{"change rules: bridge +1 elements bridge -1 elements"}));
    EXPECT_EQ(plan(at(milliseconds(10000)), simple_port()).size(), 1U);
    EXPECT_EQ(plan(simple_port(), at(milliseconds(10000))).size(), 1U);
}

TEST(Plan, ABatchKnowsTheTypesOfTheKeysItHolds) {
    State fewer = simple_port();
    fewer.rules.at(Family::bridge).elements.erase("known");
    const auto ops = plan(simple_port(), fewer);
    ASSERT_EQ(ops.size(), 1U);
    const auto& batch = std::get<RuleBatch>(ops[0]);
    EXPECT_TRUE(batch.add.empty());
    EXPECT_EQ(batch.types.at(Family::bridge).at("known").key, "ifname . ipv4_addr");
}

TEST(Plan, AClassIsSwappedInOneTransaction) {
    State before = simple_port();
    State after = simple_port();
    after.rules = guard("vnet0", "accept");
    const auto ops = plan(before, after);
    EXPECT_EQ(lines(ops),
              (std::vector<std::string>{"change rules: bridge +2 chains +1 elements bridge -2 chains -1 elements"}));
}

TEST(Plan, AForeignLinkIsOnlyEverGivenAMaster) {
    State wanted;
    Link member;
    member.master = name("virbr0");
    member.up = true;
    wanted.links[name("eth0")] = member;
    EXPECT_EQ(lines(plan({}, wanted)), (std::vector<std::string>{"put foreign eth0 into virbr0"}))
        << "one that is absent is left for apply to complain about";
    State actual;
    actual.links[name("eth0")] = {};
    actual.links[name("eth0")].up = false;
    EXPECT_EQ(lines(plan(actual, wanted)), (std::vector<std::string>{"put foreign eth0 into virbr0"}));
}

TEST(Plan, AForeignLinkLeavesOurBridgeButNoOther) {
    State actual = simple_network();
    actual.links[name("eth0")].master = name("virbr0");
    EXPECT_EQ(lines(plan(actual, simple_network())), (std::vector<std::string>{"put foreign eth0"}));
    EXPECT_EQ(lines(plan(actual, {})),
              (std::vector<std::string>{"drop link virbr0", "change rules: bridge -2 sets -3 chains"}))
        << "with its bridge it goes free by itself";
    State foreign;
    foreign.links[name("br0")] = {};
    foreign.links[name("eth0")].master = name("br0");
    EXPECT_TRUE(plan(foreign, {}).empty());
}

TEST(Plan, AnAddressThatGoesMayTakeOthersAlong) {
    State actual = simple_network();
    actual.addresses.insert({name("virbr0"), {*parse_ip("192.168.122.9"), 24}});
    State wanted = simple_network();
    wanted.addresses = {{name("virbr0"), {*parse_ip("192.168.122.9"), 24}}};
    EXPECT_EQ(lines(plan(actual, wanted)), (std::vector<std::string>{
                                               "drop address 192.168.122.1/24 on virbr0",
                                               "put address 192.168.122.9/24 on virbr0",
                                               "put route 10.0.0.0/8 via 192.168.122.2 on virbr0",
                                           }));
}

TEST(Plan, ATapWithAnotherNumberOfQueuesIsMadeAnew) {
    State wanted = simple_port();
    wanted.links.at(name("vnet0")).queues = 2;
    EXPECT_EQ(lines(plan(simple_port(), wanted)),
              (std::vector<std::string>{"drop link vnet0", "put tap vnet0 into virbr0", "set vnet0 up"}));
}

TEST(Plan, ANetdevChainGoesBeforeItsDeviceAndComesBeforeItsBridge) {
    State wanted = simple_port();
    wanted.rules.clear();
    Chain chain;
    chain.hook = Hook{"filter", "ingress", 0, "vnet0", "accept"};
    wanted.rules[Family::netdev].add_chain("ingress", chain);
    EXPECT_EQ(lines(plan({}, wanted)), (std::vector<std::string>{"put tap vnet0", "change rules: netdev +1 chains",
                                                                 "put tap vnet0 into virbr0", "set vnet0 up"}));
    EXPECT_EQ(lines(plan(wanted, {})),
              (std::vector<std::string>{"set vnet0 down", "change rules: netdev -1 chains", "drop link vnet0"}));
}

// A VLAN of a bond of two devices, in a bridge: as a host's definitions want it.
State stacked() {
    State state;
    Link bond;
    bond.kind = LinkKind::bond;
    bond.owner = "interface:bond0";
    bond.bond = BondSettings{.mode = 1, .miimon = 100};
    state.links[name("bond0")] = bond;
    state.links[name("eth0")].master = name("bond0");
    Link vlan;
    vlan.kind = LinkKind::vlan;
    vlan.owner = "interface:br0";
    vlan.vlan = VlanSettings{name("bond0"), 42};
    vlan.master = name("br0");
    state.links[name("bond0.42")] = vlan;
    Link bridge;
    bridge.kind = LinkKind::bridge;
    bridge.owner = "interface:br0";
    state.links[name("br0")] = bridge;
    return state;
}

TEST(Plan, WhatAVlanIsOfComesBeforeIt) {
    State actual;
    actual.links[name("eth0")] = Link{};
    EXPECT_EQ(
        lines(plan(actual, stacked())),
        (std::vector<std::string>{"put bridge br0", "put bond bond0", "put vlan bond0.42 into br0",
                                  "put foreign eth0 into bond0", "set br0 up", "set bond0 up", "set bond0.42 up"}));
    EXPECT_TRUE(plan(stacked(), stacked()).empty());
}

TEST(Plan, AVlanIsMadeAnewWithWhatItIsOf) {
    State other = stacked();
    other.links.at(name("bond0")).bond->mode = 4;
    EXPECT_EQ(lines(plan(stacked(), other)),
              (std::vector<std::string>{"drop link bond0.42", "drop link bond0", "put bond bond0",
                                        "put vlan bond0.42 into br0", "put foreign eth0 into bond0", "set bond0 up",
                                        "set bond0.42 up"}));
    other = stacked();
    other.links.at(name("bond0")).bond->miimon = 50;
    EXPECT_EQ(lines(plan(stacked(), other)), (std::vector<std::string>{"put bond bond0"}));
    other = stacked();
    other.links.at(name("bond0.42")).vlan->tag = 43;
    EXPECT_EQ(lines(plan(stacked(), other)),
              (std::vector<std::string>{"drop link bond0.42", "put vlan bond0.42 into br0", "set bond0.42 up"}));
}

// ---- properties --------------------------------------------------------------------------------

class PlanProperty : public testing::TestWithParam<unsigned> {};

TEST_P(PlanProperty, AnyStateLeadsToAnyOther) {
    std::mt19937 random(GetParam());
    FakeKernel kernel = host();
    State former;
    for (int step = 0; step < 60; ++step) {
        const State wanted = random_state(random);
        EXPECT_TRUE(plan(wanted, wanted).empty()) << dump(wanted);
        Scope scope = Scope::of(wanted);
        scope.add(former);
        const auto actual = kernel.observe(scope);
        ASSERT_TRUE(actual);
        watch_order(kernel, *actual, wanted);
        const auto done = apply_all(kernel, plan(*actual, wanted));
        ASSERT_TRUE(done) << done.error().message << "\nfrom\n" << dump(*actual) << "\nto\n" << dump(wanted);
        const auto left = plan(*kernel.observe(scope), wanted);
        ASSERT_TRUE(left.empty()) << format(left.front()) << "\nfrom\n" << dump(*actual) << "\nto\n" << dump(wanted);
        EXPECT_EQ(kernel.state.rules, wanted.rules);
        EXPECT_EQ(kernel.state.addresses, wanted.addresses);
        EXPECT_EQ(kernel.state.routes, wanted.routes);
        former = wanted;
    }
}

TEST_P(PlanProperty, ScopesOfEverythingLeadThereToo) {
    std::mt19937 random(GetParam());
    FakeKernel kernel = host();
    State former;
    for (int step = 0; step < 30; ++step) {
        const State wanted = random_state(random);
        Scope scope = Scope::of(wanted);
        scope.add(former);  // foreign links that are to be released are only seen when named
        scope.everything = true;
        ASSERT_TRUE(apply_all(kernel, plan(*kernel.observe(scope), wanted)));
        EXPECT_TRUE(plan(*kernel.observe(scope), wanted).empty());
        EXPECT_EQ(kernel.state.rules, wanted.rules);
        former = wanted;
    }
}

TEST_P(PlanProperty, AFailureAtAnyStepCanBeUndoneOrRepeated) {
    std::mt19937 random(GetParam());
    const State before = random_state(random);
    const State after = random_state(random);
    Scope scope = Scope::of(before);
    scope.add(after);
    for (std::size_t k = 0;; ++k) {
        FakeKernel kernel = host();
        ASSERT_TRUE(apply_all(kernel, plan(*kernel.observe(scope), before)));
        const auto ops = plan(*kernel.observe(scope), after);
        if (k >= ops.size()) {
            break;
        }
        kernel.refuse(k);
        ASSERT_FALSE(apply_all(kernel, ops));
        // Half-way; back or onward, both from a fresh observation.
        const State& goal = k % 2 == 0 ? before : after;
        const auto done = apply_all(kernel, plan(*kernel.observe(scope), goal));
        ASSERT_TRUE(done) << done.error().message << "\nto\n" << dump(goal);
        EXPECT_TRUE(left_to_do(kernel, goal).empty()) << k;
        EXPECT_EQ(kernel.state.rules, goal.rules);
    }
}

TEST_P(PlanProperty, ThereAreAtMostTwoBatchesAndOneWithoutNetdevChains) {
    std::mt19937 random(GetParam());
    for (int step = 0; step < 40; ++step) {
        State from = random_state(random);
        State to = random_state(random);
        const auto count = [](const std::vector<Op>& ops) {
            return std::ranges::count_if(ops, [](const Op& op) { return std::holds_alternative<RuleBatch>(op); });
        };
        EXPECT_LE(count(plan(from, to)), 2);
        from.rules.erase(Family::netdev);
        to.rules.erase(Family::netdev);
        EXPECT_LE(count(plan(from, to)), 1);
    }
}

INSTANTIATE_TEST_SUITE_P(Seeds, PlanProperty, testing::Range(1U, 13U));

}  // namespace
}  // namespace bascule::test
