// SPDX-License-Identifier: GPL-2.0-or-later
// When our tables are read again and when not, and what nft's errors look like.
#include "kernel/linux/nft.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "kernel/linux/clock.h"
#include "kernel/linux/nft_counters.h"
#include "kernel/linux/nft_elements.h"
#include "kernel/linux/nft_model.h"
#include "tests/kernel/linux/netns.h"

namespace bascule::kernel::os {

namespace {

Ruleset rules() {
    Table table;
    table.sets["ports"] = SetDef{.key = "ifname", .data = "verdict"};
    table.sets["known"] = SetDef{.key = "ifname . ether_addr . ipv4_addr", .data = "", .timeouts = true};
    table.sets["timed"] = SetDef{.key = "ifname", .data = "verdict", .timeouts = true};
    const std::string name = table.add_chain("class", {.hook = {}, .rules = {"ether type arp accept", "drop"}});
    table.add_chain("pre",
                    {.hook = Hook{"filter", "prerouting", -300, "", "accept"}, .rules = {"iifname vmap @ports"}});
    table.elements["ports"]["vnet0"] = {"jump " + name, {}};
    return {{Family::bridge, table}};
}

RuleBatch adding(Ruleset what) {
    RuleBatch batch;
    batch.add = std::move(what);
    return batch;
}

Scope everything() {
    Scope scope;
    scope.everything = true;
    return scope;
}

class NftTest : public Netns {
protected:
    void SetUp() override {
        Netns::SetUp();
        if (IsSkipped()) {
            return;
        }
        auto opened = Nft::open();
        ASSERT_TRUE(ok(opened));
        nft_ = *std::move(opened);
    }
    Ruleset seen() {
        auto out = nft_->observe(everything());
        EXPECT_TRUE(ok(out));
        return out ? *std::move(out) : Ruleset{};
    }
    // The element of "known" as it would be after a batch that sets its expiry.
    RuleBatch element(const std::string& key, std::optional<Time> expires) {
        RuleBatch batch;
        batch.add[Family::bridge].elements["known"][key] = {"", expires};
        batch.types[Family::bridge]["known"] = rules().at(Family::bridge).sets.at("known");
        return batch;
    }

    std::unique_ptr<Nft> nft_;
};

}  // namespace

TEST_F(NftTest, OwnChangesCostNoReading) {
    EXPECT_EQ(seen(), Ruleset{});
    const std::size_t before = nft_->listings();
    ASSERT_TRUE(ok(nft_->run(adding(rules()))));
    EXPECT_EQ(seen(), rules());
    ASSERT_TRUE(ok(nft_->run(element("vnet0 . 52:54:00:00:00:01 . 10.0.0.1", boot_now() + std::chrono::hours(1)))));
    EXPECT_EQ(seen().at(Family::bridge).elements.at("known").size(), 1U);
    EXPECT_EQ(nft_->listings(), before);
}

// Elements past libnftables, written and read back by nft itself.
TEST_F(NftTest, ElementsOfEachTypeGoStraightToTheKernelAndReadTheSame) {
    Ruleset start = rules();
    Table& table = start.at(Family::bridge);
    table.sets["own4"] = SetDef{.key = "ifname . ipv4_addr", .data = "", .intervals = true};
    table.sets["own6"] = SetDef{.key = "ifname . ipv6_addr", .data = "", .intervals = true};
    const std::string chain = table.elements.at("ports").at("vnet0").data;
    table.elements.clear();
    ASSERT_TRUE(ok(nft_->run(adding(start))));
    ASSERT_EQ(nft_->scripts(), 1U);
    Ruleset more;
    auto& elements = more[Family::bridge].elements;
    elements["ports"] = {
        {"vnet0", {chain, {}}}, {"br-\xc3\xa4+@.5%", {"drop", {}}}, {"fifteen-letters", {"accept", {}}}};
    elements["known"] = {{"vnet0 . 52:54:00:00:00:01 . 10.0.0.1", {"", boot_now() + std::chrono::hours(1)}},
                         {"vnet1 . 52:54:00:00:00:02 . 10.0.0.2", {"", {}}}};
    elements["timed"] = {{"vnet0", {chain, boot_now() + std::chrono::hours(1)}}};
    elements["own4"] = {{"a . 10.0.0.0/24", {"", {}}}, {"a . 10.1.2.3", {"", {}}}, {"b . 10.0.0.0/9", {"", {}}}};
    elements["own6"] = {{"a . fd00::/64", {"", {}}}, {"a . 2001:db8::7", {"", {}}}};
    for (int i = 0; i < 300; ++i) {  // more than one message
        elements["ports"][fmt::format("many{}", i)] = {chain, {}};
    }
    RuleBatch batch = adding(more);
    batch.types[Family::bridge] = table.sets;
    ASSERT_TRUE(ok(nft_->run(batch)));
    EXPECT_EQ(nft_->scripts(), 1U);
    EXPECT_EQ(nft_->listings(), 1U);
    auto other = Nft::open();
    ASSERT_TRUE(ok(other));
    auto read = (*other)->observe(everything());
    ASSERT_TRUE(ok(read));
    for (auto& [set, all] : read->at(Family::bridge).elements) {
        ASSERT_EQ(all.size(), elements.at(set).size()) << set;
        for (const auto& [key, element] : all) {
            ASSERT_TRUE(elements.at(set).contains(key)) << set << " " << key;
            EXPECT_EQ(element.data, elements.at(set).at(key).data) << key;
            EXPECT_EQ(element.expires.has_value(), elements.at(set).at(key).expires.has_value()) << key;
        }
    }
    RuleBatch none;
    none.types = batch.types;
    for (const auto& [set, all] : elements) {
        for (const auto& [key, element] : all) {
            none.remove[Family::bridge].elements[set].insert(key);
        }
    }
    ASSERT_TRUE(ok(nft_->run(none)));
    EXPECT_EQ(nft_->scripts(), 1U);
    EXPECT_TRUE((*(*other)->observe(everything())).at(Family::bridge).elements.empty());
}

TEST_F(NftTest, ARuleOfAFilterThatTheKernelRefusesIsNamed) {
    ASSERT_TRUE(ok(nft_->run(adding(rules()))));
    Ruleset wrong;
    Table& table = wrong[Family::bridge];
    // Bridges reject only what comes in.
    table.add_chain("in", {Hook{.type = "filter", .hook = "postrouting", .priority = 0, .device = {}},
                           {"ether type arp accept comment \"own/rule 1\"", "counter reject comment \"own/rule 2\"",
                            "ether type ip accept comment \"own/rule 3\""}});
    const auto refused = nft_->run(adding(wrong));
    ASSERT_FALSE(refused);
    EXPECT_TRUE(refused.error().message.starts_with("nftables: filter rule own/rule 2: line:"))
        << refused.error().message;
    EXPECT_EQ(seen(), rules()) << "nothing of it was done";
}

TEST_F(NftTest, WhatPacketsAddToASetIsCountedAndNotOurs) {
    Ruleset counting;
    Table& table = counting[Family::bridge];
    table.sets["drops"] =
        SetDef{.key = "iface_index . mark", .data = "", .statement = "counter; size 65535; flags dynamic"};
    table.add_chain("c", {std::nullopt, {"update @drops { iif . meta mark }", "drop"}});
    ASSERT_TRUE(ok(nft_->run(adding(counting))));
    ASSERT_EQ(counters_of("drops")->size(), 0U);
    sh("nft add element bridge bascule drops '{ \"lo\" . 0x80000001 }'");
    const auto counted = counters_of("drops");
    ASSERT_TRUE(ok(counted));
    EXPECT_EQ(*counted, (std::vector<Counted>{{.key = {"lo", "2147483649"}, .packets = 0, .bytes = 0}}));
    auto other = Nft::open();
    ASSERT_TRUE(ok(other));
    const auto read = (*other)->observe(everything());
    ASSERT_TRUE(ok(read));
    EXPECT_EQ(read->at(Family::bridge).sets, table.sets);
    EXPECT_TRUE(read->at(Family::bridge).elements.empty());
    EXPECT_TRUE(counters_of("no-such-set")->empty());
}

TEST_F(NftTest, AnElementThatTheKernelRefusesIsRefusedInNftsWords) {
    ASSERT_TRUE(ok(nft_->run(adding(rules()))));
    Ruleset wrong;
    wrong[Family::bridge].elements["ports"] = {{"vnet1", {"accept", {}}}, {"vnet2", {"jump nowhere", {}}}};
    RuleBatch batch = adding(wrong);
    batch.types[Family::bridge] = rules().at(Family::bridge).sets;
    const auto refused = nft_->run(batch);
    ASSERT_FALSE(refused);
    EXPECT_TRUE(refused.error().message.starts_with("nftables: line:")) << refused.error().message;
    EXPECT_EQ(seen(), rules()) << "nothing of it was done";
    ASSERT_TRUE(ok(nft_->run(element("vnet6 . 52:54:00:00:00:06 . 10.0.0.6", {})))) << "and work goes on";
    EXPECT_EQ(seen().at(Family::bridge).elements.at("known").size(), 1U);
}

TEST(NftElements, WhatIsNotKnownIsLeftToNft) {
    const SetDef ports{.key = "inet_service", .data = ""}, name{.key = "ifname", .data = ""};
    const SetDef spans{.key = "ipv4_addr", .data = "", .intervals = true};
    EXPECT_FALSE(encode_key(ports, "80"));
    EXPECT_FALSE(encode_key(spans, "10.0.0.0/8"));
    EXPECT_FALSE(encode_key(name, "vnet*"));
    EXPECT_FALSE(encode_key(name, "sixteen-letters-"));
    EXPECT_FALSE(encode_key(name, ""));
    EXPECT_FALSE(encode_key(name, "a . b"));
    const SetDef exact{.key = "ifname . ipv4_addr", .data = ""};
    EXPECT_TRUE(encode_key(exact, "a . 10.0.0.1"));
    EXPECT_FALSE(encode_key(exact, "a . 10.0.0.0/24"));
    EXPECT_FALSE(encode_key(exact, "a . fd00::1"));
    // Numbers, and bytes without a type: as many as the type says, of digits of either kind.
    const SetDef bytes{.key = "ifname . @nh,64,48", .data = ""}, counted{.key = "iface_index . mark", .data = ""};
    const auto decimal = encode_key(bytes, "a . 90520731923542");
    ASSERT_TRUE(decimal);
    EXPECT_EQ(decimal->first.size(), 24U);
    EXPECT_EQ(decimal->first[16], std::byte{0x52});
    EXPECT_EQ(decimal->first[21], std::byte{0x56});
    EXPECT_EQ(encode_key(bytes, "a . 0x525400123456"), decimal);
    for (const char* const wrong : {"a . ", "a . 0x", "a . 12a", "a . 281474976710656", "a . 0x1525400123456"}) {
        EXPECT_FALSE(encode_key(bytes, wrong)) << wrong;
    }
    const auto mark = encode_key(counted, "7 . 2147483650");
    ASSERT_TRUE(mark);
    EXPECT_EQ(mark->first.size(), 8U);
    EXPECT_FALSE(encode_key(counted, "vnet0 . 5"));
    EXPECT_FALSE(encode_key(counted, "7 . 4294967296"));
    const SetDef own{.key = "ifname . ipv4_addr", .data = "", .intervals = true};
    const auto key = encode_key(own, "a . 10.0.0.0/24");
    ASSERT_TRUE(key);
    EXPECT_EQ(key->first.size(), 20U);
    EXPECT_EQ(key->first.back(), std::byte{0});
    EXPECT_EQ(key->last.back(), std::byte{255});
    EXPECT_FALSE(encode_key(own, "a . 10.0.0.1/24"));
    EXPECT_FALSE(encode_key(own, "a . 10.0.0.0/33"));
    EXPECT_FALSE(encode_key(own, "a . 10.0.0.0-10.0.0.9"));
    RuleBatch chains;
    chains.add[Family::inet].add_chain("c", {});
    EXPECT_FALSE(encode_elements(chains, {}, boot_now(), 1, 1));
    EXPECT_FALSE(encode_elements({}, {}, boot_now(), 1, 1)) << "nothing to do is no transaction";
}

TEST_F(NftTest, WhatIsReadBackIsWhatWasWritten) {
    Ruleset wanted = rules();
    ASSERT_TRUE(ok(nft_->run(adding(wanted))));
    auto other = Nft::open();
    ASSERT_TRUE(ok(other));
    const auto read = (*other)->observe(everything());
    ASSERT_TRUE(ok(read));
    for (auto& [name, chain] : wanted.at(Family::bridge).chains) {
        chain.rules = RuleTexts(std::vector<std::string>(chain.rules.size()));
    }
    EXPECT_EQ(*read, wanted);
}

TEST_F(NftTest, AForeignTransactionAnywhereIsNoticedAndOursKeepTheirTexts) {
    ASSERT_TRUE(ok(nft_->run(adding(rules()))));
    const std::size_t before = nft_->listings();
    sh("nft add table ip somebody");
    EXPECT_EQ(seen(), rules());
    EXPECT_EQ(nft_->listings(), before + 1);
    EXPECT_EQ(seen(), rules());
    EXPECT_EQ(nft_->listings(), before + 1) << "once is enough";
}

TEST_F(NftTest, AForeignElementIsSeen) {
    ASSERT_TRUE(ok(nft_->run(adding(rules()))));
    sh("nft add element bridge bascule ports '{ \"vnet9\" : drop }'");
    EXPECT_EQ(seen().at(Family::bridge).elements.at("ports").at("vnet9").data, "drop");
}

TEST_F(NftTest, AForeignFlushOfEverythingIsSeen) {
    ASSERT_TRUE(ok(nft_->run(adding(rules()))));
    sh("nft flush ruleset");
    EXPECT_EQ(seen(), Ruleset{});
    ASSERT_TRUE(ok(nft_->run(adding(rules()))));
    EXPECT_EQ(seen(), rules());
}

TEST_F(NftTest, RulesThatSomebodyAddedOrRemovedShowInTheirNumber) {
    ASSERT_TRUE(ok(nft_->run(adding(rules()))));
    const std::string name = rules().at(Family::bridge).chains.begin()->first;
    ASSERT_TRUE(name.starts_with("class_"));
    sh("nft add rule bridge bascule " + name + " accept");
    EXPECT_EQ(seen().at(Family::bridge).chains.at(name).rules.size(), 3U);
    sh("nft flush chain bridge bascule " + name);
    EXPECT_EQ(seen().at(Family::bridge).chains.at(name).rules.size(), 0U);
    Ruleset again;
    again[Family::bridge].chains = rules().at(Family::bridge).chains;
    ASSERT_TRUE(ok(nft_->run(adding(again))));
    EXPECT_EQ(seen(), rules());
}

TEST_F(NftTest, AChangeBetweenObservationAndTransactionIsReadAfterwards) {
    ASSERT_TRUE(ok(nft_->run(adding(rules()))));
    auto other = Nft::open();
    ASSERT_TRUE(ok(other));
    ASSERT_TRUE(ok((*other)->run(element("vnet5 . 52:54:00:00:00:05 . 10.0.0.5", {}))));
    ASSERT_TRUE(ok(nft_->run(element("vnet6 . 52:54:00:00:00:06 . 10.0.0.6", {}))));
    EXPECT_EQ(seen().at(Family::bridge).elements.at("known").size(), 2U);
}

TEST_F(NftTest, ExpiryIsNoTransaction) {
    ASSERT_TRUE(ok(nft_->run(adding(rules()))));
    const std::string key = "vnet0 . 52:54:00:00:00:01 . 10.0.0.1";
    ASSERT_TRUE(ok(nft_->run(element(key, boot_now() + std::chrono::milliseconds(300)))));
    EXPECT_TRUE(seen().at(Family::bridge).elements.contains("known"));
    const std::size_t before = nft_->listings();
    EXPECT_TRUE(eventually([&] { return !seen().at(Family::bridge).elements.contains("known"); }));
    EXPECT_TRUE(eventually([&] { return !sh("nft list set bridge bascule known").contains("10.0.0.1"); }));
    Scope scope;
    scope.rules[Family::bridge].elements["known"] = {key};
    EXPECT_EQ(*nft_->observe(scope), Ruleset{});
    EXPECT_EQ(nft_->listings(), before);
}

TEST_F(NftTest, AnElementThatExpiredMeanwhileCanBeRemovedOrRenewed) {
    Ruleset start = rules();
    const std::string target = start.at(Family::bridge).chains.begin()->first;
    const std::string key = "vnet0 . 52:54:00:00:00:01 . 10.0.0.1";
    const Time soon = boot_now() + std::chrono::milliseconds(50);
    start.at(Family::bridge).elements["known"][key] = {"", soon};
    start.at(Family::bridge).elements["timed"]["vnet0"] = {"jump " + target, soon};
    ASSERT_TRUE(ok(nft_->run(adding(start))));
    ASSERT_TRUE(eventually([] {
        const std::string all = sh("nft list table bridge bascule");
        return !all.contains("10.0.0.1") && !all.contains("expires");
    }));
    RuleBatch batch;
    batch.remove[Family::bridge].elements["known"] = {key};
    batch.remove[Family::bridge].elements["timed"] = {"vnet0"};
    batch.types[Family::bridge] = start.at(Family::bridge).sets;
    batch.add[Family::bridge].elements["timed"]["vnet0"] = {"drop", boot_now() + std::chrono::hours(1)};
    ASSERT_TRUE(ok(nft_->run(batch)));
    EXPECT_EQ(seen().at(Family::bridge).elements.at("timed").at("vnet0").data, "drop");
    EXPECT_TRUE(sh("nft list map bridge bascule timed").contains("\"vnet0\" timeout 1h"));
}

TEST_F(NftTest, TheLastThingInATableTakesTheTableAlong) {
    ASSERT_TRUE(ok(nft_->run(adding(rules()))));
    sh("nft add counter bridge bascule somebodys");  // not ours, but in our table
    RuleBatch batch;
    RuleBatch::Removal& remove = batch.remove[Family::bridge];
    const Ruleset before = rules();
    const Table& table = before.at(Family::bridge);
    for (const auto& [name, chain] : table.chains) {
        remove.chains.insert(name);
    }
    for (const auto& [name, set] : table.sets) {
        remove.sets.insert(name);
    }
    ASSERT_TRUE(ok(nft_->run(batch)));
    EXPECT_EQ(seen(), Ruleset{});
    EXPECT_EQ(sh("nft list tables"), "");
}

TEST_F(NftTest, AnErrorHasNftsWordsAndTheLineTheyAreAbout) {
    Ruleset wrong = rules();
    wrong.at(Family::bridge)
        .add_chain("wrong", {.hook = {}, .rules = {"ether type arp accept", "ip saddr 10.0.0.300 drop"}});
    const auto refused = nft_->run(adding(wrong));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::system);
    EXPECT_TRUE(refused.error().message.starts_with("nftables: line:")) << refused.error().message;
    EXPECT_TRUE(refused.error().message.contains("ip saddr 10.0.0.300 drop")) << refused.error().message;
    EXPECT_TRUE(refused.error().message.contains("^^")) << refused.error().message;
    EXPECT_EQ(seen(), Ruleset{});
}

TEST_F(NftTest, ARefusalByTheKernelChangesNothing) {
    ASSERT_TRUE(ok(nft_->run(adding(rules()))));
    const std::size_t before = nft_->listings();
    RuleBatch batch = element("vnet6 . 52:54:00:00:00:06 . 10.0.0.6", {});
    batch.remove[Family::bridge].chains = {rules().at(Family::bridge).chains.begin()->first};  // in use
    const auto refused = nft_->run(batch);
    ASSERT_FALSE(refused);
    EXPECT_TRUE(refused.error().message.contains("Device or resource busy")) << refused.error().message;
    EXPECT_EQ(seen(), rules());
    EXPECT_EQ(nft_->listings(), before);
}

TEST(NftModel, ATableIsEmptyWhenItsChainsAndSetsAreGone) {
    const Ruleset all = rules();
    const Table& table = all.at(Family::bridge);
    RuleBatch::Removal remove;
    for (const auto& [name, set] : table.sets) {
        remove.sets.insert(name);
    }
    EXPECT_FALSE(leaves_empty(table, nullptr, remove));
    for (const auto& [name, chain] : table.chains) {
        remove.chains.insert(name);
    }
    EXPECT_TRUE(leaves_empty(table, nullptr, remove));
    Table more;
    EXPECT_TRUE(leaves_empty(table, &more, remove));
    more.sets["other"] = SetDef{.key = "ifname", .data = ""};
    EXPECT_FALSE(leaves_empty(table, &more, remove));
}

TEST(NftModel, ABatchChangesItLikeTheKernel) {
    Ruleset model = rules();
    RuleBatch batch;
    const std::string name = model.at(Family::bridge).chains.begin()->first;
    batch.remove[Family::bridge].elements["ports"] = {"vnet0", "vnet1"};
    batch.remove[Family::bridge].chains = {name};
    batch.remove[Family::inet].whole_table = true;
    batch.add[Family::bridge].elements["ports"]["vnet2"] = {"drop", {}};
    apply_to(model, batch);
    EXPECT_EQ(model.at(Family::bridge).elements.at("ports").size(), 1U);
    EXPECT_FALSE(model.at(Family::bridge).chains.contains(name));
    RuleBatch whole;
    whole.remove[Family::bridge].whole_table = true;
    apply_to(model, whole);
    EXPECT_EQ(model, Ruleset{});
}

}  // namespace bascule::kernel::os
