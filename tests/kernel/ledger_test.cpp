// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/ledger.h"

#include <gtest/gtest.h>

#include <chrono>

#include "tests/support/states.h"

namespace bascule::test {
namespace {

using namespace kernel;

IfName name(std::string_view text) { return IfName::parse(text).value(); }

State bridge(std::string_view link, const std::string& owner) {
    State state;
    Link& b = state.links[name(link)];
    b.kind = LinkKind::bridge;
    b.owner = owner;
    return state;
}

State element_until(std::optional<int> hour) {
    State state;
    state.rules = guard("vnet0", "drop");
    Element& element = state.rules.at(Family::bridge).elements["known"]["vnet0 . 10.0.0.1"];
    if (hour) {
        element.expires = std::chrono::steady_clock::time_point(std::chrono::hours(*hour));
    }
    return state;
}

Element united_element(const Ledger& ledger) {
    return ledger.wanted().rules.at(Family::bridge).elements.at("known").at("vnet0 . 10.0.0.1");
}

TEST(Ledger, AnEmptyOneWantsNothing) {
    Ledger ledger;
    EXPECT_EQ(ledger.wanted(), State());
    EXPECT_TRUE(ledger.withdraw("nobody").links.empty());
    EXPECT_EQ(ledger.wish("nobody"), nullptr);
}

TEST(Ledger, WhatOneOwnerPutIsWantedUntilItIsWithdrawn) {
    Ledger ledger;
    const State wish = element_until(1);
    ASSERT_TRUE(ledger.put("port:a", wish));
    EXPECT_TRUE(ledger.has("port:a"));
    EXPECT_EQ(*ledger.wish("port:a"), wish);
    EXPECT_EQ(ledger.wanted(), wish);
    const Scope scope = ledger.withdraw("port:a");
    EXPECT_TRUE(scope.rules.at(Family::bridge).elements.at("known").contains("vnet0 . 10.0.0.1"));
    EXPECT_EQ(ledger.wanted(), State());
    EXPECT_FALSE(ledger.has("port:a"));
}

TEST(Ledger, SharedThingsStayUntilTheLastLetsGo) {
    Ledger ledger;
    State one, two;
    one.rules = guard("vnet0", "drop");
    two.rules = guard("vnet1", "drop");
    one.sysctls["net/ipv4/ip_forward"] = two.sysctls["net/ipv4/ip_forward"] = "1";
    ASSERT_TRUE(ledger.put("port:a", one));
    ASSERT_TRUE(ledger.put("port:b", two));
    EXPECT_EQ(ledger.wanted().rules.at(Family::bridge).elements.at("from").size(), 2U);
    ledger.withdraw("port:a");
    EXPECT_EQ(ledger.wanted(), two);
}

TEST(Ledger, PuttingAgainReplacesAndTheScopeNamesOldAndNew) {
    Ledger ledger;
    ASSERT_TRUE(ledger.put("network:a", bridge("br0", "network:a")));
    const auto scope = ledger.put("network:a", bridge("br1", "network:a"));
    ASSERT_TRUE(scope);
    EXPECT_EQ(scope->links, (std::set<IfName>{name("br0"), name("br1")}));
    EXPECT_EQ(ledger.wanted(), bridge("br1", "network:a"));
}

TEST(Ledger, AContradictionNamesTheThingAndTheOtherOwnerAndChangesNothing) {
    Ledger ledger;
    ASSERT_TRUE(ledger.put("network:a", bridge("virbr0", "network:a")));
    ASSERT_TRUE(ledger.put("network:b", bridge("virbr1", "network:b")));
    const auto clash = ledger.put("network:b", bridge("virbr0", "network:b"));
    ASSERT_FALSE(clash);
    EXPECT_EQ(clash.error(), (Error{Code::conflict, "link virbr0 is already wanted, otherwise, by network:a", 0}));
    EXPECT_EQ(*ledger.wish("network:b"), bridge("virbr1", "network:b"));
    EXPECT_EQ(ledger.wanted().links.size(), 2U);
    State sysctl;
    sysctl.sysctls["net/ipv4/ip_forward"] = "1";
    ASSERT_TRUE(ledger.put("c", sysctl));
    sysctl.sysctls["net/ipv4/ip_forward"] = "0";
    EXPECT_TRUE(ledger.put("c", sysctl)) << "one's own former wish is no contradiction";
    EXPECT_FALSE(ledger.put(
        "d",
        State{.links = {}, .addresses = {}, .routes = {}, .sysctls = {{"net/ipv4/ip_forward", "1"}}, .rules = {}}));
}

TEST(Ledger, AnElementWithOtherDataIsAContradiction) {
    Ledger ledger;
    State one, two;
    one.rules = guard("vnet0", "drop");
    two.rules = guard("vnet0", "accept");
    ASSERT_TRUE(ledger.put("port:a", one));
    const auto clash = ledger.put("port:b", two);
    ASSERT_FALSE(clash);
    EXPECT_EQ(clash.error().message, "element bridge from vnet0 is already wanted, otherwise, by port:a");
}

TEST(Ledger, OfSeveralExpiriesTheLastCounts) {
    Ledger ledger;
    const auto hours = [](int n) { return std::chrono::steady_clock::time_point(std::chrono::hours(n)); };
    ASSERT_TRUE(ledger.put("a", element_until(2)));
    ASSERT_TRUE(ledger.put("b", element_until(1)));
    EXPECT_EQ(united_element(ledger).expires, hours(2));
    ASSERT_TRUE(ledger.put("c", element_until(std::nullopt)));
    EXPECT_EQ(united_element(ledger).expires, std::nullopt);
    ledger.withdraw("c");
    EXPECT_EQ(united_element(ledger).expires, hours(2));
    ASSERT_TRUE(ledger.put("b", element_until(3)));
    EXPECT_EQ(united_element(ledger).expires, hours(3));
    ASSERT_TRUE(ledger.put("b", element_until(1)));
    EXPECT_EQ(united_element(ledger).expires, hours(2)) << "one's own former expiry does not linger";
    ledger.withdraw("a");
    EXPECT_EQ(united_element(ledger).expires, hours(1));
}

TEST(Ledger, ElementsWithoutTheirSetAreABrokenPromise) {
    Ledger ledger;
    State wish;
    wish.rules[Family::bridge].elements["from"]["vnet0"] = {"drop", {}};
    const auto refused = ledger.put("port:a", wish);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::internal);
    EXPECT_EQ(ledger.wanted(), State());
}

TEST(Ledger, WantedIsRestrictedToTheScope) {
    Ledger ledger;
    ASSERT_TRUE(ledger.put("network:a", bridge("virbr0", "network:a")));
    State port;
    port.rules = guard("vnet0", "drop");
    const auto scope = ledger.put("port:a", port);
    ASSERT_TRUE(scope);
    EXPECT_EQ(ledger.wanted(*scope), port);
    Scope all;
    all.everything = true;
    EXPECT_EQ(ledger.wanted(all), ledger.wanted());
}

class LedgerProperty : public testing::TestWithParam<unsigned> {};

TEST_P(LedgerProperty, WhateverComesAndGoesItIsTheUnion) {
    std::mt19937 random(GetParam());
    Ledger ledger;
    std::map<std::string, State> reference;
    for (int step = 0; step < 200; ++step) {
        const std::size_t who = random() % 6;
        const std::string owner = "owner:" + std::to_string(who);
        if (random() % 3 == 0) {
            ledger.withdraw(owner);
            reference.erase(owner);
        } else {
            const State wish = random_wishes(random, 6)[who];
            const auto done = ledger.put(owner, wish);
            ASSERT_TRUE(done) << done.error().message;
            reference[owner] = wish;
        }
        State expected;
        for (const auto& [other, wish] : reference) {
            unite(expected, wish);
        }
        ASSERT_EQ(ledger.wanted(), expected) << dump(ledger.wanted()) << "expected\n" << dump(expected);
        ASSERT_EQ(ledger.wishes(), reference);
    }
}

// Refused or not, the ledger is what was accepted.
TEST_P(LedgerProperty, RefusedWishesLeaveNoTrace) {
    std::mt19937 random(GetParam());
    Ledger ledger;
    std::map<std::string, State> reference;
    int refused = 0;
    for (int step = 0; step < 100; ++step) {
        const std::string owner = "owner:" + std::to_string(random() % 4);
        const State wish = random_state(random);
        if (ledger.put(owner, wish)) {
            reference[owner] = wish;
        } else {
            ++refused;
        }
        if (random() % 3 == 0) {
            ledger.withdraw(owner);
            reference.erase(owner);
        }
        State expected;
        for (const auto& [other, accepted] : reference) {
            unite(expected, accepted);
        }
        ASSERT_EQ(ledger.wanted(), expected);
    }
    EXPECT_GT(refused, 0);
}

INSTANTIATE_TEST_SUITE_P(Seeds, LedgerProperty, testing::Range(1U, 9U));

// A class's rules, as one owner wishes for them, and the element of a port in them.
State class_of(const std::string& chain) {
    State state;
    Table& table = state.rules[Family::bridge];
    table.sets["nwf_from"] = {"ifname", "verdict"};
    table.chains[chain] = {};
    table.chains["base"] = {};
    return state;
}
State port_in(const std::string& chain) {
    State state;
    state.rules[Family::bridge].elements["nwf_from"]["vnet0"] = {"jump " + chain, {}};
    return state;
}

TEST(Exchange, ElementsMayBeOfASetThatIsInAnotherWish) {
    Ledger ledger;
    EXPECT_EQ(ledger.put("port:a", port_in("old")).error().code, Code::internal);
    EXPECT_EQ(ledger.wanted(), State());
    ASSERT_TRUE(ledger.put("class", class_of("old")));
    EXPECT_TRUE(ledger.put("port:a", port_in("old")));
}

TEST(Exchange, IsAboutWhatDiffersAndGoesBackWhenDoneAgain) {
    Ledger ledger;
    Ledger::Changes changes{
        {"class old", class_of("old")}, {"port:a", port_in("old")}, {"link", bridge("virbr0", "a")}};
    ASSERT_TRUE(ledger.exchange(changes));
    const auto before = ledger.wishes();
    const State wanted = ledger.wanted();
    changes = {{"class old", std::nullopt},
               {"class new", class_of("new")},
               {"port:a", port_in("new")},
               {"link", bridge("virbr0", "a")}};
    const auto scope = ledger.exchange(changes);
    ASSERT_TRUE(scope);
    EXPECT_TRUE(scope->links.empty());
    const Scope::Rules& rules = scope->rules.at(Family::bridge);
    EXPECT_EQ(rules.chains, (std::set<std::string>{"new", "old"})) << "the base chain is as it was";
    EXPECT_TRUE(rules.elements.at("nwf_from").contains("vnet0"));
    EXPECT_FALSE(ledger.wanted().rules.at(Family::bridge).chains.contains("old"));
    ASSERT_TRUE(ledger.exchange(changes));
    EXPECT_EQ(ledger.wishes(), before);
    EXPECT_EQ(ledger.wanted(), wanted);
}

TEST(Exchange, OneThatIsRefusedChangesNothingHoweverFarItCame) {
    Ledger ledger;
    ASSERT_TRUE(ledger.put("link", bridge("virbr0", "a")));
    ASSERT_TRUE(ledger.put("class old", class_of("old")));
    ASSERT_TRUE(ledger.put("port:a", port_in("old")));
    ASSERT_TRUE(ledger.put("port:b", element_until(1)));
    const auto before = ledger.wishes();
    const State wanted = ledger.wanted();
    Ledger::Changes changes{{"class old", std::nullopt},
                            {"class new", class_of("new")},
                            {"port:a", port_in("new")},
                            {"port:b", element_until(2)},
                            {"other", bridge("virbr0", "b")}};
    EXPECT_EQ(ledger.exchange(changes).error().message, "link virbr0 is already wanted, otherwise, by link");
    EXPECT_EQ(ledger.wishes(), before);
    EXPECT_EQ(ledger.wanted(), wanted);
    for (const auto& [owner, wish] : before) {
        ledger.withdraw(owner);
    }
    EXPECT_EQ(ledger.wanted(), State()) << "everything was counted right";
}

}  // namespace
}  // namespace bascule::test
