// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/ruleset.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "kernel/plan.h"
#include "tests/support/golden.h"
#include "tests/support/states.h"

namespace bascule::test {
namespace {

using namespace kernel;
namespace fs = std::filesystem;

constexpr std::chrono::steady_clock::time_point kNow{std::chrono::hours(1)};

fs::path golden(const std::string& name) { return fs::path(TEST_SOURCE_DIR) / "tests/golden/kernel" / name; }

// What nft thinks of scripts, one transaction each, in a namespace of its own; empty: fine.
std::string nft_says(const std::vector<std::string>& scripts) {
    const fs::path folder = fs::path(testing::TempDir()) / "bascule-nft";
    fs::create_directories(folder);
    std::string command = "unshare -rn sh -ec 'ip link add vnet0 type veth peer name vnet1";
    for (std::size_t i = 0; i < scripts.size(); ++i) {
        const fs::path file = folder / (std::to_string(i) + ".nft");
        std::ofstream(file) << scripts[i];
        command += "; nft -f " + file.string();
    }
    command += "' 2>&1";
    std::string out;
    FILE* const pipe = ::popen(command.c_str(), "r");
    if (pipe == nullptr) {
        return "popen failed";
    }
    char buffer[512];
    while (std::fgets(buffer, sizeof buffer, pipe) != nullptr) {
        out += buffer;
    }
    const int status = ::pclose(pipe);
    fs::remove_all(folder);
    return status == 0 ? std::string() : out + "(status " + std::to_string(status) + ")";
}

// Why the judge cannot be asked on this machine; empty: it can.
std::string no_judge() {
    return std::system(
               "unshare -rn sh -c 'nft list ruleset && ip link add vnet0 type veth peer name vnet1' >/dev/null 2>&1") ==
                   0
               ? std::string()
               : "needs nft, ip and user namespaces with nf_tables and veth";
}

// One of everything.
Ruleset sample(const std::string& verdict, std::chrono::steady_clock::time_point expires) {
    Ruleset rules = guard("vnet0", verdict);
    rules[Family::bridge].elements["known"]["vnet0 . 192.168.0.7"].expires = expires;
    Table& inet = rules[Family::inet];
    inet.sets["subnets"].key = "ipv4_addr";
    inet.sets["subnets"].data = "verdict";
    inet.sets["subnets"].intervals = true;
    inet.sets["uplink"].key = "ipv4_addr . ifname";
    inet.sets["uplink"].data = "ifname";
    inet.elements["uplink"]["10.0.0.1 . vnet0"] = {"vnet1", {}};
    Chain out;
    out.rules = {"oifname \"vnet1\" counter " + verdict};
    const std::string out_name = inet.add_chain("out", out);
    inet.elements["subnets"]["10.0.0.0/8"] = {"goto " + out_name, {}};
    inet.elements["subnets"]["192.168.1.5-192.168.1.9"] = {"goto " + out_name, {}};
    Chain forward;
    forward.hook = Hook{"filter", "forward", 10, "", "accept"};
    forward.rules = {"ip saddr vmap @subnets"};
    inet.add_chain("forward", forward);
    Chain ingress;
    ingress.hook = Hook{"filter", "ingress", -5, "vnet0", "accept"};
    ingress.rules = {"ether type arp drop"};
    rules[Family::netdev].add_chain("ingress", ingress);
    return rules;
}

State with(Ruleset rules) {
    State state;
    state.rules = std::move(rules);
    return state;
}

std::string script(const State& from, const State& to) {
    const auto ops = plan(from, to);
    return ops.empty() ? std::string() : render(std::get<RuleBatch>(ops.at(0)), kNow);
}

const State kBefore = with(sample("drop", kNow + std::chrono::milliseconds(90'061'250)));
const State kAfter = with(sample("accept", kNow + std::chrono::hours(24 * 4000)));

TEST(Render, MakingIsOneScript) { expect_golden(golden("make.nft"), script({}, kBefore)); }
TEST(Render, ChangingIsOneScript) { expect_golden(golden("change.nft"), script(kBefore, kAfter)); }
TEST(Render, RemovingIsOneScript) { expect_golden(golden("remove.nft"), script(kAfter, {})); }

TEST(Render, NftTakesWhatIsRenderedInTurn) {
    if (const std::string why = no_judge(); !why.empty()) {
        GTEST_SKIP() << why;
    }
    // Making twice: what exists is brought to the same content. Removing: all of it, known or not.
    RuleBatch tables;
    tables.remove[Family::inet].whole_table = true;
    tables.remove[Family::netdev].whole_table = true;
    tables.add = guard("vnet1", "drop");
    EXPECT_EQ(nft_says({script({}, kBefore), script({}, kBefore), script(kBefore, kAfter), script(kAfter, kBefore),
                        script(kBefore, {}), render(tables, kNow), render(tables, kNow)}),
              "");
}

TEST(Render, NftTakesRandomChangesInTurn) {
    if (const std::string why = no_judge(); !why.empty()) {
        GTEST_SKIP() << why;
    }
    std::mt19937 random(5);
    std::vector<std::string> scripts;
    State former;
    for (int i = 0; i < 60; ++i) {
        State state = with(random_state(random).rules);
        state.rules.erase(Family::netdev);  // their devices do not exist here
        if (std::string text = script(former, state); !text.empty()) {
            scripts.push_back(std::move(text));
        }
        former = std::move(state);
    }
    EXPECT_EQ(nft_says(scripts), "");
}

TEST(Render, NftTakesADumpWholeAndItIsStable) {
    expect_golden(golden("dump.nft"), dump(kBefore.rules));
    if (const std::string why = no_judge(); !why.empty()) {
        GTEST_SKIP() << why;
    }
    EXPECT_EQ(nft_says({dump(kBefore.rules)}), "");
}

TEST(Render, WhatHasExpiredIsLeftOut) {
    RuleBatch batch;
    SetDef set;
    set.key = "ifname";
    set.timeouts = true;
    batch.types[Family::bridge]["s"] = set;
    batch.add[Family::bridge].elements["s"]["vnet0"].expires = kNow;
    EXPECT_EQ(render(batch, kNow), "add table bridge bascule\n");
    EXPECT_EQ(render(batch, kNow - std::chrono::microseconds(1)),
              "add table bridge bascule\nadd element bridge bascule s { \"vnet0\" timeout 0s1ms }\n");
}

TEST(Render, AnEmptyBatchIsAnEmptyScript) { EXPECT_EQ(render({}, kNow), ""); }

TEST(Quoted, OnlyInterfaceNamesAre) {
    EXPECT_EQ(quoted("ifname", "vnet0"), "\"vnet0\"");
    EXPECT_EQ(quoted("ifname . ether_addr . ipv4_addr", "vnet0 . 52:54:00:00:00:01 . 10.0.0.1"),
              "\"vnet0\" . 52:54:00:00:00:01 . 10.0.0.1");
    EXPECT_EQ(quoted("ipv4_addr . ifname", "10.0.0.1 . a.b"), "10.0.0.1 . \"a.b\"");
    EXPECT_EQ(quoted("verdict", "jump class_a"), "jump class_a");
    EXPECT_EQ(quoted("", "a . b"), "a . b");
}

TEST(ChainName, SaysStemAndContent) {
    Chain chain;
    chain.rules = {"drop"};
    const std::string name = chain_name("class", chain);
    EXPECT_EQ(name.size(), std::string("class_").size() + 16);
    EXPECT_EQ(name, chain_name("class", chain));
    Chain other = chain;
    other.rules = {"drop", ""};
    EXPECT_NE(chain_name("class", other), name);
    other.rules = {"dro", "p"};
    EXPECT_NE(chain_name("class", other), name);
    other = chain;
    other.hook = Hook{"filter", "forward", 0, "", "accept"};
    EXPECT_NE(chain_name("class", other), name);
    EXPECT_LE(chain_name(std::string(500, 'x'), chain).size(), 127U) << "NFT_NAME_MAXLEN";
}

}  // namespace
}  // namespace bascule::test
