// SPDX-License-Identifier: GPL-2.0-or-later
#include "nwfilter/flatten.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "nwfilter/compile.h"
#include "nwfilter/counters.h"
#include "tests/nwfilter/filters.h"

namespace bascule::nwfilter {
namespace {

std::string reference(const std::string& to, const std::string& inside = "") {
    return "<filterref filter='" + to + "'>" + inside + "</filterref>";
}
std::string filter(const std::string& name, const std::string& inside, const std::string& chain = "root") {
    return "<filter name='" + name + "' " + (chain.contains('=') ? chain : "chain='" + chain + "'") + ">" + inside +
           "</filter>";
}
std::string rule(int priority, const std::string& inside = "", const std::string& action = "accept") {
    return "<rule action='" + action + "' direction='out' priority='" + std::to_string(priority) + "'>" + inside +
           "</rule>";
}

// The origins of the policy's decisions for frames from the guest, chains in brackets where they are entered.
std::string order_of(const Filters& filters, const std::string& name) {
    const auto flat = flatten(name, filters.lookup());
    if (!flat) {
        return flat.error().message;
    }
    const auto compiled = compile(*flat, port(name), Values::tables);
    if (!compiled) {
        return compiled.error().message;
    }
    const auto& sections = compiled->out.policy.sections;
    std::string out;
    for (const auto& decision : sections[0].decisions) {
        out += out.empty() ? "" : " ";
        if (decision.action != kernel::policy::Action::enter) {
            out += decision.origin;
            continue;
        }
        out += sections[decision.section].name + "[";
        for (const auto& inner : sections[decision.section].decisions) {
            out += (out.ends_with('[') ? "" : " ") + inner.origin;
        }
        out += "]";
    }
    return out;
}

TEST(Flatten, GoesDepthFirstInDocumentOrder) {
    Filters filters;
    filters.add(filter("c", rule(500)));
    filters.add(filter("b", rule(500) + reference("c") + rule(500)));
    filters.add(filter("a", rule(500) + reference("b") + rule(500) + reference("c")));
    const auto flat = flatten("a", filters.lookup());
    ASSERT_TRUE(flat);
    std::string origins;
    for (const FlatRule& flat_rule : flat->rules) {
        origins += flat_rule.origin() + " ";
    }
    EXPECT_EQ(origins, "a/rule 1 b/rule 1 c/rule 1 b/rule 2 a/rule 2 c/rule 1 ");
    EXPECT_EQ(flat->filters, (std::set<std::string>{"a", "b", "c"}));
}

TEST(Flatten, ALoopIsRefusedWithItsPath) {
    Filters filters;
    filters.add(filter("a", reference("b")));
    filters.add(filter("b", reference("c")));
    filters.add(filter("c", reference("b")));
    const auto flat = flatten("a", filters.lookup());
    ASSERT_FALSE(flat);
    EXPECT_EQ(flat.error().message, "filter b: references form a loop: b -> c -> b");
    EXPECT_EQ(flat.error().code, Code::invalid_argument);
}

TEST(Flatten, AMissingFilterIsNamedWithWhoRefersToIt) {
    Filters filters;
    filters.add(filter("a", reference("b")));
    filters.add(filter("b", reference("gone")));
    const auto flat = flatten("a", filters.lookup());
    ASSERT_FALSE(flat);
    EXPECT_EQ(flat.error().message, "filter gone is not defined (a -> b -> gone)");
    EXPECT_EQ(flat.error().code, Code::no_nwfilter);
    EXPECT_EQ(flatten("nothing", filters.lookup()).error().message, "filter nothing is not defined");
}

TEST(Flatten, ReferencesThatMultiplyEndInAnError) {
    Filters filters;
    filters.add(filter("f0", rule(1)));
    for (int i = 1; i < 40; ++i) {
        const std::string below = "f" + std::to_string(i - 1);
        filters.add(filter("f" + std::to_string(i), reference(below) + reference(below)));
    }
    const auto flat = flatten("f39", filters.lookup());
    ASSERT_FALSE(flat);
    EXPECT_EQ(flat.error().code, Code::unsupported_config);
}

TEST(Reach, KnowsTheTreeAndTheLoopThatANewFilterWouldClose) {
    Filters filters;
    filters.add(filter("a", reference("b") + reference("gone")));
    filters.add(filter("b", rule(1)));
    const auto tree = reach(*filters.lookup()("a"), filters.lookup());
    ASSERT_TRUE(tree);
    EXPECT_EQ(*tree, (std::set<std::string>{"a", "b"}));
    const auto closing = parse(filter("b", reference("a")));
    const auto loop = reach(*closing, filters.lookup());
    ASSERT_FALSE(loop);
    EXPECT_EQ(loop.error().message, "filter b: references form a loop: b -> a -> b");
}

struct Order {
    std::string what;
    std::vector<std::string> filters;  // the last one is attached
    std::string expected;
};

TEST(Order, RootRulesAndChainsInterleaveByPriority) {
    const std::string some = "<mac protocolid='0x1234'/>";
    const std::vector<Order> cases{
        {"root rules by priority, equal ones in document order",
         {filter("a", rule(500, some) + rule(-5, some) + rule(500, some) + rule(100, some))},
         "a/rule 2 a/rule 4 a/rule 1 a/rule 3"},
        {"a chain stands before the root rule of its own priority",
         {filter("m", rule(500, some), "chain='mac' priority='100'"),
          filter("a", rule(99, some) + rule(100, some) + rule(101, some) + reference("m"))},
         "a/rule 1 mac[m/rule 1] a/rule 2 a/rule 3"},
        {"chains have the priorities of their protocols",
         {filter("r", rule(1, some), "rarp"), filter("p", rule(1, some), "arp"), filter("s", rule(1, some), "ipv6"),
          filter("f", rule(1, some), "ipv4"), filter("m", rule(1, some), "mac"),
          filter("a", reference("r") + reference("p") + reference("s") + reference("f") + reference("m"))},
         "mac[m/rule 1] ipv4[f/rule 1] ipv6[s/rule 1] arp[p/rule 1] rarp[r/rule 1]"},
        {"chains of one priority go by name",
         {filter("y", rule(1, some), "chain='mac-y' priority='7'"),
          filter("x", rule(1, some), "chain='mac-x' priority='7'"), filter("a", reference("y") + reference("x"))},
         "mac-x[x/rule 1] mac-y[y/rule 1]"},
        {"rules below their chain's priority are lifted to it",
         {filter("m", rule(300, some) + rule(-900, some) + rule(-800, some) + rule(-850, some), "mac"),
          filter("a", reference("m"))},
         "mac[m/rule 2 m/rule 3 m/rule 4 m/rule 1]"},
        {"rules of several filters meet in one chain",
         {filter("x", rule(200, some), "ipv4"), filter("y", rule(100, some), "ipv4"),
          filter("a", reference("x") + reference("y"))},
         "ipv4[y/rule 1 x/rule 1]"},
        {"a continue says nothing", {filter("a", rule(1, some, "continue") + rule(2, some))}, "a/rule 2"},
    };
    for (const Order& order : cases) {
        Filters filters;
        std::string last;
        for (const std::string& xml : order.filters) {
            last = filters.add(xml);
        }
        EXPECT_EQ(order_of(filters, last), order.expected) << order.what;
    }
}

TEST(Variables, OuterParametersOverrideInnerOnes) {
    Filters filters;
    filters.add(filter("leaf", rule(1, "<ip srcipaddr='$A'/>")));
    filters.add(filter("middle", reference("leaf", "<parameter name='A' value='10.0.0.1'/>")));
    filters.add(filter("outer", reference("middle", "<parameter name='A' value='10.0.0.2'/>")));
    const auto source = [&](const std::string& name, const Parameters& parameters) {
        const auto compiled = compile(*flatten(name, filters.lookup()), port(name, parameters), Values::in_place);
        return compiled ? kernel::policy::dump(compiled->out.policy) : compiled.error().message;
    };
    EXPECT_NE(source("middle", {}).find("ip4.src = 10.0.0.1:"), std::string::npos) << source("middle", {});
    EXPECT_NE(source("outer", {}).find("ip4.src = 10.0.0.2:"), std::string::npos);
    EXPECT_NE(source("outer", {{"A", {"10.0.0.3"}}}).find("ip4.src = 10.0.0.3:"), std::string::npos);
    EXPECT_EQ(source("leaf", {}), "leaf/rule 1: parameter A is missing: srcipaddr needs an IPv4 address");
    EXPECT_EQ(source("leaf", {{"A", {"x"}}}), "leaf/rule 1: parameter A: srcipaddr needs an IPv4 address, got 'x'");
}

TEST(Variables, ListsInOneRuleAdvanceTogether) {
    Filters filters;
    filters.add(filter("f", rule(1, "<ip srcipaddr='$A' protocol='tcp' dstportstart='$B'/>")));
    const auto attached = [&](const Parameters& parameters) { return attach(port("f", parameters), filters.lookup()); };
    const auto pairs = attached({{"A", {"10.0.0.1", "10.0.0.2", "10.0.0.1"}}, {"B", {"80", "90", "80"}}});
    ASSERT_TRUE(pairs) << pairs.error().message;
    const auto& elements = pairs->rules.at(kernel::Family::bridge).elements.at("nwf_ip4.port_A.B");
    EXPECT_EQ(elements.size(), 2U);
    EXPECT_TRUE(elements.contains("vnet0 . 10.0.0.2 . 90"));
    const auto uneven = attached({{"A", {"10.0.0.1", "10.0.0.2"}}, {"B", {"80"}}});
    ASSERT_FALSE(uneven);
    EXPECT_EQ(uneven.error().message,
              "filter f: f/rule 1: parameters A and B are used in parallel but have 2 and 1 values");
}

TEST(Attach, PortsOfOneShapeShareEveryChain) {
    const Filters filters;
    const auto chains = [&](const Port& p) {
        std::set<std::string> names;
        const auto attachment = attach(p, filters.lookup());
        for (const auto& [name, chain] : attachment->rules.at(kernel::Family::bridge).chains) {
            const bool copies = name.starts_with("nwf_cop") || name.starts_with("nwf_learn");  // of who learns
            if (!copies) {
                names.insert(name);
            }
        }
        return names;
    };
    const auto one = chains(port("clean-traffic", {{"IP", {"10.0.0.1"}}}, "vnet0", "52:54:00:00:00:01"));
    EXPECT_EQ(one.size(), 10U);
    EXPECT_EQ(one, chains(port("clean-traffic", {{"IP", {"10.0.0.2", "10.0.0.3"}}}, "vnet1", "52:54:00:00:00:02")));
    EXPECT_EQ(one, chains(port("clean-traffic", {}, "vnet2", "52:54:00:00:00:03")));  // to be learned
}

TEST(Attach, WithoutAnAddressNothingIsAllowedUntilOneIsLearned) {
    const Filters filters;
    const auto attachment = attach(port("clean-traffic"), filters.lookup());
    ASSERT_TRUE(attachment);
    EXPECT_TRUE(attachment->learns_ip);
    const auto& table = attachment->rules.at(kernel::Family::bridge);
    EXPECT_TRUE(table.sets.at("nwf_ip4_IP").timeouts);
    EXPECT_FALSE(table.elements.contains("nwf_ip4_IP"));

    const auto expiry = std::chrono::steady_clock::time_point(std::chrono::seconds(1000));
    const auto more = learned(*attachment, *parse_ip("10.0.0.7"), expiry).at(kernel::Family::bridge);
    EXPECT_EQ(more.elements.size(), 2U);
    EXPECT_EQ(more.elements.at("nwf_ip4_IP").at("vnet0 . 10.0.0.7").expires, expiry);
    EXPECT_TRUE(more.elements.at("nwf_own_address").contains("vnet0 . 52:54:00:00:00:01 . 10.0.0.7"));
    EXPECT_TRUE(learned(*attachment, *parse_ip("fe80::1"), {}).empty());

    const auto given = attach(port("clean-traffic", {{"IP", {"10.0.0.7"}}}), filters.lookup());
    EXPECT_FALSE(given->learns_ip);
    EXPECT_TRUE(learned(*given, *parse_ip("10.0.0.8"), {}).empty());
}

TEST(Attach, WhatALearnedAddressCannotDecideIsRefused) {
    Filters filters;
    filters.add(filter("mask", rule(1, "<ip srcipaddr='$IP' srcipmask='24'/>")));
    filters.add(filter("not", rule(1, "<ip match='no' srcipaddr='$IP'/>")));
    filters.add(filter("beside", rule(1, "<ip srcipaddr='$IP' dstipaddr='$PEER'/>")));
    EXPECT_EQ(attach(port("mask"), filters.lookup()).error().message,
              "filter mask: mask/rule 1: uses IP in a way that cannot follow a learned address (a mask, a range, "
              "RARP); give the "
              "parameter IP");
    EXPECT_EQ(attach(port("not"), filters.lookup()).error().message,
              "filter not: not/rule 1: lets pass what is not the learned address, which is everything as long as none "
              "is learned; give the parameter IP");
    EXPECT_EQ(attach(port("beside", {{"PEER", {"10.0.0.1", "10.0.0.2"}}}), filters.lookup()).error().code,
              Code::unsupported_config);
    EXPECT_TRUE(attach(port("mask", {{"IP", {"10.0.0.1"}}}), filters.lookup()));
}

TEST(Attach, WhoLearnsHasItsFramesCopiedUntilItKnowsAsMuchAsItMay) {
    const Filters filters;
    const auto table = [&](const Parameters& parameters) {
        return attach(port("clean-traffic-dual", parameters), filters.lookup())->rules.at(kernel::Family::bridge);
    };
    const auto has = [](const kernel::Table& in, std::string_view words) {
        return std::ranges::any_of(in.chains, [&](const auto& chain) {
            return chain.first.contains("_learn_") &&
                   std::ranges::any_of(chain.second.rules, [&](const std::string& r) { return r.contains(words); });
        });
    };
    const kernel::Table any = table({}), dhcp = table({{"CTRL_IP_LEARNING", {"dhcp"}}});
    for (const char* const words : {"udp dport 67", "udp dport 547", "ether daddr @nwf_learn_mac"}) {
        EXPECT_TRUE(has(any, words) && has(dhcp, words)) << words;
    }
    for (const char* const words : {"nd-router-advert", "nd-neighbor-solicit", "@nwf_unlearned"}) {
        EXPECT_TRUE(has(any, words) && !has(dhcp, words)) << words;
    }
    EXPECT_TRUE(any.elements.at("nwf_learn_mac").contains("vnet0 . 52:54:00:00:00:01"));
    EXPECT_TRUE(any.sets.at("nwf_copied_from").statement.starts_with("limit rate"));
    EXPECT_FALSE(any.elements.contains("nwf_unlearned"));

    const kernel::Table four = table({{"IPV6", {"2001:db8::1"}}, {"DHCPSERVER", {"10.0.0.1", "10.0.0.2"}}});
    EXPECT_TRUE(has(four, "udp dport 67") && !has(four, "udp dport 547") && !has(four, "nd-"));
    EXPECT_TRUE(has(four, "oifname . ip saddr @nwf_dhcp_servers"));
    EXPECT_EQ(four.elements.at("nwf_dhcp_servers").size(), 2U);
    const kernel::Table none = table({{"IP", {"10.0.0.1"}}, {"IPV6", {"2001:db8::1"}}});
    EXPECT_FALSE(none.sets.contains("nwf_copied_from"));

    const Learning learning{.any = true, .v4 = true};
    EXPECT_TRUE(first_frame(learning, *IfName::parse("vnet0"))
                    .at(kernel::Family::bridge)
                    .elements.at("nwf_unlearned")
                    .contains("vnet0"));
    EXPECT_TRUE(first_frame({.any = false, .v4 = true}, *IfName::parse("vnet0")).empty());
}

TEST(Attach, ALearnedAddressHoldsWhereFramesToThePortComeInToo) {
    Filters filters;
    filters.add(
        std::string("<filter name='told'><rule action='accept' direction='in' priority='1'>"
                    "<ip dstipaddr='$IP'/></rule><rule action='reject' direction='in'><ip/></rule></filter>"));
    Port told = port("told");
    const auto plain = attach(told, filters.lookup(), kAble);
    told.bridge = IfName::parse("br0");
    const auto ahead = attach(told, filters.lookup(), kAble);
    ASSERT_TRUE(plain && ahead);
    const kernel::Table one = learned(*plain, *parse_ip("10.0.0.1"), {}).at(kernel::Family::bridge);
    EXPECT_EQ(one.elements.size(), 1U);
    const kernel::Table two = learned(*ahead, *parse_ip("10.0.0.1"), {}).at(kernel::Family::bridge);
    EXPECT_TRUE(two.elements.at("nwf_ip4_IP").contains("vnet0 . 10.0.0.1"));
    EXPECT_TRUE(two.elements.at("nwf_ahead_ip4_IP").contains("br0 . 52:54:00:00:00:01 . 10.0.0.1"));
    // Without what it takes of the kernel nothing of it is there.
    const auto unable = attach(told, filters.lookup());
    ASSERT_TRUE(unable);
    EXPECT_FALSE(unable->rules.at(kernel::Family::bridge).sets.contains("nwf_ahead"));
}

TEST(Attach, ADhcpServerThatIsNoAddressIsRefused) {
    const auto attachment = attach(port("clean-traffic", {{"DHCPSERVER", {"dhcp.example"}}}), Filters().lookup());
    ASSERT_FALSE(attachment);
    EXPECT_TRUE(attachment.error().message.contains("parameter DHCPSERVER: expected a server's address"));
}

TEST(Attach, AnUnknownWayOfLearningIsRefused) {
    const auto attachment = attach(port("clean-traffic", {{"CTRL_IP_LEARNING", {"magic"}}}), Filters().lookup());
    ASSERT_FALSE(attachment);
    EXPECT_EQ(attachment.error().message,
              "filter clean-traffic: parameter CTRL_IP_LEARNING: expected 'any', 'dhcp' or 'none', got 'magic'");
}

TEST(Counters, EveryDropCountsAndSaysForWhichRule) {
    const Filters filters;
    for (const Filter& stock : builtin_filters()) {
        const auto attachment =
            attach(port(stock.name, {{"IP", {"10.0.0.1"}},
                                     {"IPV6", {"fe80::1"}},
                                     {"DHCPSERVER", {stock.name.contains("v6") ? "fe80::2" : "10.0.0.2"}},
                                     {"GATEWAY_MAC", {"52:54:00:00:00:fe"}}}),
                   filters.lookup());
        ASSERT_TRUE(attachment) << stock.name << attachment.error().message;
        if (attachment->rules.empty()) {
            continue;
        }
        for (const auto& [name, chain] : attachment->rules.at(kernel::Family::bridge).chains) {
            for (const std::string& text : chain.rules) {
                // A packet ends in the chains that count it, and nowhere else.
                if (!text.contains("goto nwf_drop_")) {
                    EXPECT_TRUE(name.starts_with("nwf_drop_") || !text.ends_with("drop")) << text;
                    continue;
                }
                EXPECT_TRUE(text.contains("counter meta mark set 0x")) << text;
                const auto at = text.find("comment \"") + 9;
                const auto origin = origin_of(text.substr(at, text.size() - at - 1));
                if (!text.contains("a second VLAN tag")) {
                    ASSERT_TRUE(origin) << text;
                    EXPECT_NE(filters.lookup()(origin->filter), nullptr) << text;
                }
            }
        }
    }
    EXPECT_EQ(origin_of("no-mac-spoofing/rule 2"), (RuleOrigin{"no-mac-spoofing", 2}));
    EXPECT_EQ(origin_of("own MAC and IPv4 address"), std::nullopt);
    EXPECT_EQ(origin_of("x/rule two"), std::nullopt);
}

TEST(Counters, AFilterNameCannotBreakOutOfItsComment) {
    Filter odd;
    odd.name = "a\" accept; \\x";
    Rule drop;
    odd.entries.emplace_back(drop);
    Filters filters;
    filters.add(odd);
    const auto attachment = attach(port(odd.name), filters.lookup());
    ASSERT_TRUE(attachment);
    for (const auto& [name, chain] : attachment->rules.at(kernel::Family::bridge).chains) {
        if (name.starts_with("nwf_out")) {
            ASSERT_EQ(chain.rules.size(), 1U);
            EXPECT_TRUE(chain.rules.front().ends_with(" comment \"a? accept; ?x/rule 1\"")) << chain.rules.front();
        }
    }
}

TEST(Counters, EveryReasonToEndAPacketIsKnownByItsMark) {
    const Filters filters;
    const Port clean = port("clean-traffic", {{"IP", {"10.0.0.1"}}});
    const auto known = reasons(clean, filters.lookup());
    ASSERT_TRUE(known);
    const auto attachment = attach(clean, filters.lookup());
    ASSERT_TRUE(attachment);
    unsigned found = 0;
    for (const auto& [name, chain] : attachment->rules.at(kernel::Family::bridge).chains) {
        for (const std::string& text : chain.rules) {
            const auto at = text.find("meta mark set ");
            if (at == std::string::npos || !text.contains(" goto ")) {
                continue;
            }
            const auto mark = std::stoul(text.substr(at + std::string_view("meta mark set ").size()), nullptr, 16);
            ASSERT_TRUE(known->contains(static_cast<std::uint32_t>(mark))) << text;
            EXPECT_TRUE(text.contains('"' + known->at(static_cast<std::uint32_t>(mark)) + '"')) << text;
            ++found;
        }
    }
    EXPECT_GT(found, 5U);
}

}  // namespace
}  // namespace bascule::nwfilter
