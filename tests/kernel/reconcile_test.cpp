// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/reconcile.h"

#include <gtest/gtest.h>

#include "tests/support/fake_kernel.h"
#include "tests/support/states.h"

namespace bascule::test {
namespace {

using namespace kernel;

IfName name(std::string_view text) { return IfName::parse(text).value(); }

State network(std::uint32_t mtu) {
    State state;
    Link& link = state.links[name("virbr0")];
    link.kind = LinkKind::bridge;
    link.owner = "network:a";
    link.mtu = mtu;
    state.addresses.insert({name("virbr0"), {*parse_ip("192.168.122.1"), 24}});
    state.rules = guard("virbr0", mtu > 1400 ? "drop" : "accept");
    return state;
}

TEST(Reconcile, SaysHowManyOpsItTookAndThenNone) {
    FakeKernel kernel;
    Ledger ledger;
    const auto scope = ledger.put("network:a", network(1500));
    ASSERT_TRUE(scope);
    EXPECT_EQ(reconcile(kernel, ledger, *scope).value(), 4U);
    EXPECT_EQ(reconcile(kernel, ledger, *scope).value(), 0U);
    EXPECT_EQ(kernel.state, network(1500));
}

TEST(Reconcile, AForeignFlushIsRepaired) {
    FakeKernel kernel;
    Ledger ledger;
    ASSERT_TRUE(commit(kernel, ledger, "network:a", network(1500)));
    kernel.flush_rules();
    Scope everything = Scope::of(ledger.wanted());
    everything.everything = true;
    EXPECT_EQ(reconcile(kernel, ledger, everything).value(), 1U);
    EXPECT_EQ(kernel.state, network(1500));
}

TEST(Commit, OneThatFailsAnywhereLeavesNothingBehind) {
    for (std::size_t k = 0; k < 4; ++k) {
        FakeKernel kernel;
        Ledger ledger;
        kernel.refuse(k);
        const auto done = commit(kernel, ledger, "network:a", network(1500));
        ASSERT_FALSE(done) << k;
        EXPECT_EQ(done.error().sys_errno, EPERM);
        EXPECT_EQ(kernel.state, State()) << k;
        EXPECT_FALSE(ledger.has("network:a"));
    }
}

TEST(Commit, OneThatFailsAnywhereGoesBackToWhatWasBefore) {
    for (std::size_t k = 0; k < 2; ++k) {
        FakeKernel kernel;
        Ledger ledger;
        ASSERT_TRUE(commit(kernel, ledger, "network:a", network(1500)));
        kernel.refuse(k);
        ASSERT_FALSE(commit(kernel, ledger, "network:a", network(1400))) << k;
        EXPECT_EQ(kernel.state, network(1500)) << k;
        EXPECT_EQ(*ledger.wish("network:a"), network(1500));
    }
}

TEST(Commit, TheErrorSaysWhichStepItWas) {
    FakeKernel kernel;
    Ledger ledger;
    kernel.add_foreign("virbr0", true);
    const auto done = commit(kernel, ledger, "network:a", network(1500));
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error(), (Error{Code::conflict, "put bridge virbr0: link virbr0 exists and is not ours", 0}));
}

TEST(Commit, AContradictionIsRefusedBeforeTheKernelIsAsked) {
    FakeKernel kernel;
    Ledger ledger;
    ASSERT_TRUE(commit(kernel, ledger, "network:a", network(1500)));
    const std::size_t before = kernel.observations;
    EXPECT_EQ(commit(kernel, ledger, "network:b", network(1400)).error().code, Code::conflict);
    EXPECT_EQ(kernel.observations, before);
}

State shared_class(const std::string& link, const std::string& chain) {
    State state;
    state.rules = guard(link, "drop");
    Table& table = state.rules.at(Family::bridge);
    table.chains[chain] = {};
    table.elements["from"]["class"] = {"jump " + chain, {}};
    return state;
}

TEST(CommitAll, WhatOwnersShareChangesForAllInOneTransaction) {
    FakeKernel kernel;
    Ledger ledger;
    ASSERT_TRUE(commit_all(kernel, ledger, {{"a", shared_class("vnet0", "old")}, {"b", shared_class("vnet1", "old")}}));
    ASSERT_EQ(kernel.ops.size(), 1U);
    EXPECT_EQ(commit(kernel, ledger, "a", shared_class("vnet0", "new")).error().code, Code::conflict);
    ASSERT_TRUE(commit_all(kernel, ledger, {{"a", shared_class("vnet0", "new")}, {"b", shared_class("vnet1", "new")}}));
    EXPECT_EQ(kernel.ops.size(), 2U);
    EXPECT_FALSE(kernel.state.rules.at(Family::bridge).chains.contains("old"));
}

TEST(CommitAll, OneThatIsRefusedChangesNone) {
    FakeKernel kernel;
    Ledger ledger;
    ASSERT_TRUE(commit_all(kernel, ledger, {{"a", shared_class("vnet0", "old")}, {"b", shared_class("vnet1", "old")}}));
    const State before = kernel.state;
    const auto wishes = ledger.wishes();
    ASSERT_FALSE(
        commit_all(kernel, ledger, {{"a", shared_class("vnet0", "new")}, {"b", shared_class("vnet1", "other")}}));
    EXPECT_EQ(kernel.ops.size(), 1U) << "a contradiction never reaches the kernel";
    EXPECT_EQ(ledger.wishes(), wishes);
    kernel.refuse(0);
    ASSERT_FALSE(commit_all(kernel, ledger,
                            {{"a", shared_class("vnet0", "new")},
                             {"c", shared_class("vnet2", "old")},
                             {"b", shared_class("vnet1", "old")}}));
    ASSERT_FALSE(
        commit_all(kernel, ledger, {{"a", shared_class("vnet0", "new")}, {"c", shared_class("vnet2", "new")}}));
    EXPECT_EQ(kernel.state, before);
    EXPECT_EQ(ledger.wishes(), wishes);
    kernel.refuse(0);
    ASSERT_FALSE(commit_all(kernel, ledger,
                            {{"a", shared_class("vnet0", "new")},
                             {"b", shared_class("vnet1", "new")},
                             {"c", shared_class("vnet2", "new")}}));
    EXPECT_EQ(kernel.state, before);
    EXPECT_EQ(ledger.wishes(), wishes);
}

TEST(Withdraw, NothingIsLeftButSysctls) {
    FakeKernel kernel;
    Ledger ledger;
    State wish = network(1500);
    wish.sysctls["net/ipv4/ip_forward"] = "1";
    ASSERT_TRUE(commit(kernel, ledger, "network:a", wish));
    ASSERT_TRUE(withdraw(kernel, ledger, "network:a"));
    EXPECT_EQ(dump(kernel.state), "sysctl net/ipv4/ip_forward = 1\n");
    EXPECT_TRUE(withdraw(kernel, ledger, "network:a")) << "again is fine";
}

TEST(Withdraw, TheLedgerForgetsEvenWhenTheKernelRefuses) {
    FakeKernel kernel;
    Ledger ledger;
    ASSERT_TRUE(commit(kernel, ledger, "network:a", network(1500)));
    kernel.refuse(0);
    EXPECT_FALSE(withdraw(kernel, ledger, "network:a"));
    EXPECT_FALSE(ledger.has("network:a"));
    Scope everything;
    everything.everything = true;
    ASSERT_TRUE(reconcile(kernel, ledger, everything));
    EXPECT_EQ(kernel.state, State()) << "the next full pass finishes it";
}

TEST(Withdraw, SharedChainsStayForTheOthers) {
    FakeKernel kernel;
    Ledger ledger;
    State one, two;
    one.rules = guard("vnet0", "drop");
    two.rules = guard("vnet1", "drop");
    ASSERT_TRUE(commit(kernel, ledger, "port:a", one));
    ASSERT_TRUE(commit(kernel, ledger, "port:b", two));
    ASSERT_TRUE(withdraw(kernel, ledger, "port:a"));
    EXPECT_EQ(kernel.state, two);
}

}  // namespace
}  // namespace bascule::test
