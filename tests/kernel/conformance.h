// SPDX-License-Identifier: GPL-2.0-or-later
// What every Kernel must do, whether it is Linux or the fake of tests/support. Include this in one file of a
// test program and instantiate it there:
//
//   INSTANTIATE_TEST_SUITE_P(Fake, Conformance, testing::Values(make_fake_host));
//
// A host is fresh for each test: no link of ours, no table, loopback down. Tests see a real kernel only
// through observe() and what Host offers, so the suite says nothing about how a thing is done.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <set>
#include <string>

#include "kernel/plan.h"
#include "kernel/reconcile.h"

namespace bascule::test {

// A kernel, and what other people do to it behind our back.
class Host {
public:
    virtual ~Host() = default;
    virtual kernel::Kernel& kernel() = 0;
    virtual std::chrono::steady_clock::time_point now() = 0;  // on the clock of Element::expires
    virtual void add_foreign(const std::string& link, bool bridge) = 0;
    virtual void set_master(const std::string& link, const std::string& bridge) = 0;  // `ip link set … master …`
    virtual void flush_rules() = 0;                                                   // nft flush ruleset
    virtual void flush_chain(kernel::Family family, const std::string& chain) = 0;
    virtual bool has_table(kernel::Family family) = 0;  // one called bascule
};
using HostFactory = std::function<std::unique_ptr<Host>()>;  // null: not possible on this machine

using namespace kernel;

inline IfName link_name(std::string_view text) { return IfName::parse(text).value(); }

class Conformance : public testing::TestWithParam<HostFactory> {
protected:
    void SetUp() override {
        host_ = GetParam()();
        if (!host_) {
            GTEST_SKIP() << "needs root and a network namespace of its own";
        }
    }

    static Link bridge(const std::string& owner = "network:a") {
        Link link;
        link.kind = LinkKind::bridge;
        link.owner = owner;
        link.bridge = BridgeSettings{true, 200};
        return link;
    }
    static Link tap(const std::string& master, const std::string& owner = "port:a") {
        Link link;
        link.kind = LinkKind::tap;
        link.owner = owner;
        if (!master.empty()) {
            link.master = link_name(master);
        }
        return link;
    }
    static Address address(const std::string& link, const std::string& ip, unsigned length) {
        return {link_name(link), {parse_ip(ip).value(), length}};
    }

    // One bridge with everything that a network has.
    static State network() {
        State state;
        state.links[link_name("br0")] = bridge();
        state.links[link_name("br0")].mac = parse_mac("52:54:00:00:00:01");
        state.links[link_name("br0")].mtu = 1400;
        state.addresses.insert(address("br0", "192.168.122.1", 24));
        state.addresses.insert(address("br0", "fd00:122::1", 64));
        state.routes.insert({*parse_prefix("10.1.0.0/16"), parse_ip("192.168.122.2"), link_name("br0"), 0});
        state.sysctls[sysctl_key("ipv4", link_name("br0"), "accept_redirects")] = "0";
        state.rules = guard("br0");
        return state;
    }
    static State port() {
        State state;
        state.links[link_name("vnet0")] = tap("br0");
        state.rules = guard("vnet0");
        return state;
    }
    // Rules as the compilers make them: a base chain, a verdict map, a chain of a class.
    static Ruleset guard(const std::string& link, const std::string& verdict = "drop") {
        Table table;
        table.sets["from"] = {.key = "ifname", .data = "verdict"};
        table.sets["known"] = {.key = "ifname . ether_addr . ipv4_addr", .data = "", .timeouts = true};
        Chain klass;
        klass.rules = {"iifname . ether saddr . ip saddr @known accept", verdict};
        const std::string name = table.add_chain("class", klass);
        Chain base;
        base.hook = Hook{"filter", "prerouting", -200, "", "accept"};
        base.rules = {"iifname vmap @from"};
        table.add_chain("prerouting", base);
        table.elements["from"][link] = {"jump " + name, {}};
        table.elements["known"][link + " . 52:54:00:00:00:02 . 192.168.122.5"] = {};
        Table bridge_table = table;  // a set of three with ip saddr works in both
        return {{Family::inet, table}, {Family::bridge, bridge_table}};
    }
    static RuleBatch adding(const Ruleset& rules) {
        RuleBatch batch;
        batch.add = rules;
        return batch;
    }

    Kernel& kernel() { return host_->kernel(); }
    Result<void> apply(const Op& op) { return kernel().apply(op); }
    State observe(const Scope& scope) {
        auto seen = kernel().observe(scope);
        EXPECT_TRUE(seen) << seen.error().message;
        return seen ? *std::move(seen) : State();
    }
    State all() {
        Scope scope;
        scope.everything = true;
        return observe(scope);
    }
    Link link(const std::string& name) {
        Scope scope;
        scope.links.insert(link_name(name));
        const State seen = observe(scope);
        const auto found = seen.links.find(link_name(name));
        EXPECT_NE(found, seen.links.end()) << name;
        return found == seen.links.end() ? Link{} : found->second;
    }
    bool exists(const std::string& name) {
        Scope scope;
        scope.links.insert(link_name(name));
        return !observe(scope).links.empty();
    }
    // Brings the kernel to the wish, by plan, and checks that nothing is left to do.
    void bring(const State& wanted, const State& former = {}) {
        Scope scope = Scope::of(wanted);
        scope.add(former);
        for (const Op& op : plan(observe(scope), wanted)) {
            const auto done = apply(op);
            ASSERT_TRUE(done) << format(op) << ": " << done.error().message;
        }
        expect_settled(wanted, scope);
    }
    void expect_settled(const State& wanted, const Scope& scope) {
        const State seen = observe(scope);
        for (const Op& op : plan(seen, wanted)) {
            ADD_FAILURE() << "still to do: " << format(op) << "\nseen:\n"
                          << dump(seen) << "\nwanted:\n"
                          << dump(wanted);
        }
    }

    std::unique_ptr<Host> host_;
};

TEST_P(Conformance, ABareHostHasNothingOfOurs) { EXPECT_EQ(dump(all()), ""); }

TEST_P(Conformance, ABridgeThatWasPutIsObserved) {
    Link wanted = bridge("network:1f");
    wanted.mac = parse_mac("52:54:00:00:00:01");
    wanted.mtu = 1400;
    ASSERT_TRUE(apply(PutLink{link_name("br0"), wanted}));
    const Link seen = link("br0");
    EXPECT_EQ(seen.kind, LinkKind::bridge);
    EXPECT_EQ(seen.owner, "network:1f");
    EXPECT_EQ(seen.mac, wanted.mac);
    EXPECT_EQ(seen.mtu, 1400U);
    EXPECT_EQ(seen.bridge, (BridgeSettings{true, 200}));
    EXPECT_FALSE(seen.up) << "PutLink never sets a link up";
}

TEST_P(Conformance, ALinkGoesUpAndDownWhenToldTo) {
    ASSERT_TRUE(apply(PutLink{link_name("br0"), bridge()}));
    ASSERT_TRUE(apply(LinkUp{link_name("br0"), true}));
    EXPECT_TRUE(link("br0").up);
    ASSERT_TRUE(apply(PutLink{link_name("br0"), bridge()}));
    EXPECT_TRUE(link("br0").up) << "nor down";
    ASSERT_TRUE(apply(LinkUp{link_name("br0"), false}));
    EXPECT_FALSE(link("br0").up);
    EXPECT_FALSE(apply(LinkUp{link_name("nothere"), true}));
}

TEST_P(Conformance, PuttingAnExistingLinkChangesWhatDiffers) {
    ASSERT_TRUE(apply(PutLink{link_name("br0"), bridge("network:a")}));
    Link changed = bridge("network:b");
    changed.bridge = BridgeSettings{false, 1500};
    changed.mtu = 9000;
    ASSERT_TRUE(apply(PutLink{link_name("br0"), changed}));
    const Link seen = link("br0");
    EXPECT_EQ(seen.owner, "network:b");
    EXPECT_EQ(seen.bridge, (BridgeSettings{false, 1500}));
    EXPECT_EQ(seen.mtu, 9000U);
}

TEST_P(Conformance, WhatPassesALinkIsLimitedAndReadBack) {
    State wish;
    wish.links[link_name("br0")] = bridge();
    wish.links[link_name("tap0")] = tap("br0");
    wish.links[link_name("tap0")].port = BridgePort{.isolated = true, .learning = false, .flood = false};
    wish.links[link_name("tap0")].station = MacAddr{{0x52, 0x54, 0, 0, 0, 7}};
    wish.shapings[link_name("tap0")].out = Shaping::Out{1'000'000, 2'000'000, 65536};
    Shaping& shared = wish.shapings[link_name("br0")];
    shared.out = Shaping::Out{5'000'000'000, 6'000'000'000, 100'000};
    shared.shared = true;
    wish.floors[{link_name("br0"), MacAddr{{0x52, 0x54, 0, 0, 0, 1}}}] = 200'000;
    wish.floors[{link_name("br0"), MacAddr{{0x52, 0x54, 0, 0, 0, 2}}}] = 300'000;
    bring(wish);
    State former = wish;
    // A change in place, one station fewer, then nothing.
    wish.floors.erase(wish.floors.begin());
    wish.shapings[link_name("tap0")].out->rate = 1'500'000;
    wish.links[link_name("tap0")].port = BridgePort{};
    wish.links[link_name("tap0")].station.reset();
    bring(wish, former);
    former = wish;
    wish.shapings.clear();
    wish.floors.clear();
    bring(wish, former);
    EXPECT_TRUE(all().shapings.empty());
}

TEST_P(Conformance, ATapIsMadeInItsBridge) {
    ASSERT_TRUE(apply(PutLink{link_name("br0"), bridge()}));
    Link wanted = tap("br0", "port:vnet0");
    wanted.mac = parse_mac("fe:54:00:00:00:02");
    wanted.queues = 4;
    ASSERT_TRUE(apply(PutLink{link_name("vnet0"), wanted}));
    const Link seen = link("vnet0");
    EXPECT_EQ(seen.kind, LinkKind::tap);
    EXPECT_EQ(seen.owner, "port:vnet0");
    EXPECT_EQ(seen.master, link_name("br0"));
    EXPECT_EQ(seen.mac, wanted.mac);
    EXPECT_EQ(seen.queues, 4);
    EXPECT_FALSE(seen.up);
}

TEST_P(Conformance, ATapMovesToAnotherBridge) {
    ASSERT_TRUE(apply(PutLink{link_name("br0"), bridge()}));
    ASSERT_TRUE(apply(PutLink{link_name("br1"), bridge()}));
    ASSERT_TRUE(apply(PutLink{link_name("vnet0"), tap("br0")}));
    ASSERT_TRUE(apply(PutLink{link_name("vnet0"), tap("br1")}));
    EXPECT_EQ(link("vnet0").master, link_name("br1"));
}

TEST_P(Conformance, AMasterThatIsAbsentOrNoBridgeIsRefusedByName) {
    const auto absent = apply(PutLink{link_name("vnet0"), tap("nobridge")});
    ASSERT_FALSE(absent);
    EXPECT_TRUE(absent.error().message.contains("nobridge")) << absent.error().message;
    host_->add_foreign("eth9", false);
    const auto no_bridge = apply(PutLink{link_name("vnet1"), tap("eth9")});
    ASSERT_FALSE(no_bridge);
    EXPECT_TRUE(no_bridge.error().message.contains("eth9")) << no_bridge.error().message;
}

TEST_P(Conformance, ALinkOfSomebodyElseIsAConflictAndStaysAsItWas) {
    host_->add_foreign("eth9", false);
    host_->add_foreign("br9", true);
    const Link before = link("br9");
    EXPECT_EQ(before.kind, LinkKind::foreign);
    const auto put = apply(PutLink{link_name("br9"), bridge()});
    ASSERT_FALSE(put);
    EXPECT_EQ(put.error().code, Code::conflict) << put.error().message;
    EXPECT_TRUE(put.error().message.contains("br9")) << put.error().message;
    EXPECT_FALSE(apply(PutLink{link_name("eth9"), tap("")}));
    EXPECT_FALSE(apply(DropLink{link_name("br9")})) << "nothing of others is dropped";
    EXPECT_EQ(link("br9"), before);
}

TEST_P(Conformance, AForeignLinkIsPutIntoOurBridgeAndTakenOutAgain) {
    host_->add_foreign("eth9", false);
    const Link before = link("eth9");
    ASSERT_TRUE(apply(PutLink{link_name("br0"), bridge()}));
    Link member;
    member.master = link_name("br0");
    member.mtu = 1200;  // not ours to change
    ASSERT_TRUE(apply(PutLink{link_name("eth9"), member}));
    Link expected = before;
    expected.master = link_name("br0");
    EXPECT_EQ(link("eth9"), expected);
    ASSERT_TRUE(apply(PutLink{link_name("eth9"), Link{}}));
    EXPECT_EQ(link("eth9"), before);
    const auto absent = apply(PutLink{link_name("eth8"), member});
    ASSERT_FALSE(absent);
    EXPECT_TRUE(absent.error().message.contains("eth8")) << absent.error().message;
}

TEST_P(Conformance, OurTapGoesIntoAForeignBridge) {
    host_->add_foreign("br9", true);
    ASSERT_TRUE(apply(PutLink{link_name("vnet0"), tap("br9")}));
    EXPECT_EQ(link("vnet0").master, link_name("br9"));
}

TEST_P(Conformance, DroppingWhatIsGoneIsFine) {
    EXPECT_TRUE(apply(DropLink{link_name("br0")}));
    ASSERT_TRUE(apply(PutLink{link_name("br0"), bridge()}));
    EXPECT_TRUE(apply(DropAddress{address("br0", "10.0.0.1", 8)}));
    EXPECT_TRUE(apply(DropRoute{{*parse_prefix("10.0.0.0/8"), {}, link_name("br0"), 0}}));
    EXPECT_TRUE(apply(DropLink{link_name("br0")}));
    EXPECT_FALSE(exists("br0"));
}

TEST_P(Conformance, ADroppedBridgeLetsItsPortsGo) {
    ASSERT_TRUE(apply(PutLink{link_name("br0"), bridge()}));
    ASSERT_TRUE(apply(PutLink{link_name("vnet0"), tap("br0")}));
    ASSERT_TRUE(apply(DropLink{link_name("br0")}));
    EXPECT_EQ(link("vnet0").master, std::nullopt);
    ASSERT_TRUE(apply(DropLink{link_name("vnet0")}));
    EXPECT_FALSE(exists("vnet0"));
}

TEST_P(Conformance, AddressesComeAndGoInBothFamilies) {
    ASSERT_TRUE(apply(PutLink{link_name("br0"), bridge()}));
    const Address v4 = address("br0", "192.168.122.1", 24);
    const Address v6 = address("br0", "fd00::1", 64);
    for (int twice = 0; twice < 2; ++twice) {
        EXPECT_TRUE(apply(PutAddress{v4}));
        EXPECT_TRUE(apply(PutAddress{v6}));
    }
    ASSERT_TRUE(apply(LinkUp{link_name("br0"), true}));
    Scope scope;
    scope.links.insert(link_name("br0"));
    EXPECT_EQ(observe(scope).addresses, (std::set<Address>{v4, v6})) << "link-local ones are the kernel's";
    EXPECT_TRUE(apply(DropAddress{v4}));
    EXPECT_EQ(observe(scope).addresses, (std::set<Address>{v6}));
    EXPECT_FALSE(apply(PutAddress{address("nothere", "10.0.0.1", 8)}));
}

TEST_P(Conformance, RoutesNeedALinkThatIsUpAndAGatewayThatIsNear) {
    ASSERT_TRUE(apply(PutLink{link_name("br0"), bridge()}));
    ASSERT_TRUE(apply(PutAddress{address("br0", "192.168.122.1", 24)}));
    const Route near{*parse_prefix("10.0.0.0/8"), parse_ip("192.168.122.2"), link_name("br0"), 0};
    const Route far{*parse_prefix("10.0.0.0/8"), parse_ip("172.16.0.1"), link_name("br0"), 0};
    const Route direct{*parse_prefix("10.2.0.0/16"), {}, link_name("br0"), 7};
    EXPECT_FALSE(apply(PutRoute{near}));
    ASSERT_TRUE(apply(LinkUp{link_name("br0"), true}));
    EXPECT_FALSE(apply(PutRoute{far}));
    for (int twice = 0; twice < 2; ++twice) {
        EXPECT_TRUE(apply(PutRoute{near}));
        EXPECT_TRUE(apply(PutRoute{direct}));
    }
    Scope scope;
    scope.links.insert(link_name("br0"));
    EXPECT_EQ(observe(scope).routes, (std::set<Route>{near, direct})) << "the kernel's own are not listed";
    EXPECT_TRUE(apply(DropRoute{near}));
    EXPECT_EQ(observe(scope).routes, (std::set<Route>{direct}));
    ASSERT_TRUE(apply(LinkUp{link_name("br0"), false}));
    EXPECT_TRUE(observe(scope).routes.empty()) << "they go when their link goes down";
}

TEST_P(Conformance, SysctlsAreSetAndObserved) {
    ASSERT_TRUE(apply(PutLink{link_name("br0.1"), bridge()}));
    const std::string key = sysctl_key("ipv4", link_name("br0.1"), "accept_redirects");
    for (const char* const value : {"0", "1"}) {
        ASSERT_TRUE(apply(SetSysctl{key, value}));
        Scope scope;
        scope.sysctls = {key};
        EXPECT_EQ(observe(scope).sysctls, (std::map<std::string, std::string>{{key, value}}));
    }
    EXPECT_FALSE(apply(SetSysctl{sysctl_key("ipv4", link_name("nothere"), "forwarding"), "1"}));
}

TEST_P(Conformance, RulesThatWerePutAreObserved) {
    const Ruleset rules = guard("vnet0");
    const auto done = apply(adding(rules));
    ASSERT_TRUE(done) << done.error().message;
    State wanted;
    wanted.rules = rules;
    expect_settled(wanted, Scope::of(wanted));
    Scope everything;
    everything.everything = true;
    expect_settled(wanted, everything);
    const State seen = all();
    EXPECT_EQ(seen.rules.at(Family::inet).sets, rules.at(Family::inet).sets);
    EXPECT_EQ(seen.rules.at(Family::bridge).elements, rules.at(Family::bridge).elements);
}

TEST_P(Conformance, ABatchIsAllOrNothing) {
    const Ruleset rules = guard("vnet0");
    ASSERT_TRUE(apply(adding(rules)));
    const std::string before = dump(all());
    RuleBatch batch;
    batch.add[Family::inet].chains["harmless"] = Chain{};
    batch.add[Family::inet].sets["from"] = rules.at(Family::inet).sets.at("from");
    batch.add[Family::inet].elements["from"]["vnet1"] = {"jump not_there", {}};
    EXPECT_FALSE(apply(batch));
    RuleBatch removal;
    removal.remove[Family::inet].chains = {rules.at(Family::inet).chains.begin()->first, "not_there"};
    EXPECT_FALSE(apply(removal));
    EXPECT_EQ(dump(all()), before);
}

TEST_P(Conformance, AChainInUseIsNotDropped) {
    const Ruleset rules = guard("vnet0");
    ASSERT_TRUE(apply(adding(rules)));
    RuleBatch batch;
    for (const auto& [name, chain] : rules.at(Family::bridge).chains) {
        if (!chain.hook) {
            batch.remove[Family::bridge].chains.insert(name);
        }
    }
    EXPECT_FALSE(apply(batch));
}

TEST_P(Conformance, AChangedClassIsSwappedInOneBatch) {
    State before;
    before.rules = guard("vnet0", "drop");
    State after;
    after.rules = guard("vnet0", "counter drop");
    bring(before);
    Scope scope = Scope::of(before);
    scope.add(after);
    EXPECT_EQ(plan(observe(scope), after).size(), 1U);
    bring(after, before);
    bring(before, after);
}

TEST_P(Conformance, ElementsAreAddedAndRemovedByThemselves) {
    State one;
    one.rules = guard("vnet0");
    State two = one;
    two.rules.at(Family::bridge).elements["known"]["vnet1 . 52:54:00:00:00:03 . 192.168.122.6"] = {};
    two.rules.at(Family::bridge).elements["from"]["vnet1"] = {"drop", {}};
    bring(one);
    bring(two, one);
    bring(one, two);
}

TEST_P(Conformance, AnElementHasItsExpiry) {
    const auto end = host_->now() + std::chrono::minutes(10);
    State wanted;
    wanted.rules = guard("vnet0");
    const std::string key = "vnet0 . 52:54:00:00:00:02 . 192.168.122.9";
    wanted.rules.at(Family::bridge).elements["known"][key].expires = end;
    bring(wanted);
    const auto seen = observe(Scope::of(wanted)).rules.at(Family::bridge).elements.at("known").at(key);
    ASSERT_TRUE(seen.expires);
    EXPECT_LE(std::chrono::abs(*seen.expires - end), std::chrono::seconds(1));

    State later = wanted;
    later.rules.at(Family::bridge).elements["known"][key].expires = end + std::chrono::hours(1);
    bring(later, wanted);
    State never = wanted;
    never.rules.at(Family::bridge).elements["known"][key].expires.reset();
    bring(never, later);
    bring(wanted, never);
}

TEST_P(Conformance, ATimedElementThatIsGoneCanBeRemoved) {
    const Ruleset rules = guard("vnet0");
    ASSERT_TRUE(apply(adding(rules)));
    RuleBatch batch;
    batch.remove[Family::bridge].elements["known"] = {"vnet7 . 52:54:00:00:00:07 . 192.168.122.7"};
    batch.types[Family::bridge]["known"] = rules.at(Family::bridge).sets.at("known");
    const auto done = apply(batch);
    EXPECT_TRUE(done) << done.error().message;
}

TEST_P(Conformance, AnEmptyTableIsNotLeftBehind) {
    State wanted;
    wanted.rules = guard("vnet0");
    bring(wanted);
    EXPECT_TRUE(host_->has_table(Family::inet));
    State fewer = wanted;
    fewer.rules.erase(Family::inet);
    bring(fewer, wanted);
    EXPECT_FALSE(host_->has_table(Family::inet));
    EXPECT_TRUE(host_->has_table(Family::bridge));
    bring({}, fewer);
    EXPECT_FALSE(host_->has_table(Family::bridge));
}

TEST_P(Conformance, AWholeTableGoesUnread) {
    ASSERT_TRUE(apply(adding(guard("vnet0"))));
    RuleBatch batch;
    batch.remove[Family::inet].whole_table = true;
    batch.remove[Family::netdev].whole_table = true;  // absent is fine
    const auto done = apply(batch);
    EXPECT_TRUE(done) << done.error().message;
    EXPECT_FALSE(host_->has_table(Family::inet));
    EXPECT_TRUE(host_->has_table(Family::bridge));
}

TEST_P(Conformance, FlushedRulesAreNoticedAndPutBack) {
    State wanted;
    wanted.rules = guard("vnet0");
    bring(wanted);
    host_->flush_rules();
    EXPECT_EQ(dump(observe(Scope::of(wanted))), "");
    bring(wanted);
    for (const auto& [name, chain] : wanted.rules.at(Family::bridge).chains) {
        host_->flush_chain(Family::bridge, name);
    }
    EXPECT_FALSE(plan(observe(Scope::of(wanted)), wanted).empty());
    bring(wanted);
}

TEST_P(Conformance, ANetdevChainComesAndGoesWithItsDevice) {
    State wanted;
    wanted.links[link_name("br0")] = bridge();
    wanted.links[link_name("vnet0")] = tap("br0");
    Chain chain;
    chain.hook = Hook{"filter", "ingress", 0, "vnet0", "accept"};
    chain.rules = {"ether type arp drop"};
    Table table;
    table.add_chain("ingress_vnet0", chain);
    wanted.rules[Family::netdev] = table;
    bring(wanted);
    bring({}, wanted);
    EXPECT_FALSE(host_->has_table(Family::netdev));
    RuleBatch batch;
    batch.add[Family::netdev] = table;
    EXPECT_FALSE(apply(batch)) << "the device is gone";
}

TEST_P(Conformance, OnlyTheScopeIsObserved) {
    State both = network();
    const State guest = port();
    bring(both);
    bring(guest);
    const State seen = observe(Scope::of(guest));
    EXPECT_EQ(seen.links.size(), 1U);
    EXPECT_TRUE(seen.addresses.empty());
    EXPECT_TRUE(seen.sysctls.empty());
    EXPECT_EQ(seen.rules.at(Family::bridge).elements.at("from").size(), 1U);
}

TEST_P(Conformance, EverythingIsAllThatIsOursAndNothingElse) {
    host_->add_foreign("eth9", false);
    host_->add_foreign("br9", true);
    bring(network());
    bring(port());
    const State seen = all();
    EXPECT_EQ(seen.links.size(), 2U) << dump(seen);
    EXPECT_EQ(seen.addresses, network().addresses);
    EXPECT_EQ(seen.routes, network().routes);
    EXPECT_EQ(seen.rules.at(Family::bridge).elements.at("from").size(), 2U);
    Scope more;
    more.everything = true;
    more.links.insert(link_name("eth9"));
    EXPECT_TRUE(observe(more).links.contains(link_name("eth9")));
}

TEST_P(Conformance, OwnersCommitAndWithdrawAndNothingIsLeft) {
    host_->add_foreign("eth9", false);
    Ledger ledger;
    State uplink;
    uplink.links[link_name("eth9")].master = link_name("br0");
    for (int twice = 0; twice < 2; ++twice) {
        for (const auto& [owner, wish] :
             {std::pair{"network:a", network()}, {"port:a", port()}, {"uplink:a", uplink}}) {
            const auto done = commit(kernel(), ledger, owner, wish);
            ASSERT_TRUE(done) << owner << ": " << done.error().message;
        }
        Scope scope = Scope::of(ledger.wanted());
        scope.everything = true;
        expect_settled(ledger.wanted(), scope);
        EXPECT_EQ(link("eth9").master, link_name("br0"));
        for (const char* const owner : {"uplink:a", "port:a", "network:a"}) {
            const auto done = withdraw(kernel(), ledger, owner);
            ASSERT_TRUE(done) << owner << ": " << done.error().message;
        }
        EXPECT_EQ(dump(all()), "");
        EXPECT_EQ(link("eth9").master, std::nullopt);
        EXPECT_FALSE(host_->has_table(Family::inet));
        EXPECT_FALSE(host_->has_table(Family::bridge));
    }
}

TEST_P(Conformance, AMemberThatSomebodyElseAddedIsLeftAlone) {
    host_->add_foreign("eth9", false);
    bring(network());
    host_->set_master("eth9", "br0");
    Scope scope = Scope::of(network());
    scope.everything = true;
    expect_settled(network(), scope);
    EXPECT_EQ(link("eth9").master, link_name("br0"));
}

}  // namespace bascule::test
