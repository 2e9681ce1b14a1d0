// SPDX-License-Identifier: GPL-2.0-or-later
// Ports that are attached together have what each has that is attached by itself: nothing of one port is another's.
#include "nwfilter/classes.h"

#include <gtest/gtest.h>

#include <fmt/format.h>

#include "tests/nwfilter/filters.h"
#include "tests/nwfilter/random_rules.h"

namespace bascule::nwfilter {
namespace {

struct Tally {
    unsigned ports = 0, refused = 0;
    std::size_t compiled = 0;
};

Port numbered(const std::string& filter, Parameters parameters, unsigned number) {
    Port out = port(filter, std::move(parameters), fmt::format("vnet{}", number),
                    fmt::format("52:54:00:00:{:02x}:{:02x}", number / 256, number % 256));
    if (number % 3 != 0) {
        out.bridge = IfName::parse(number % 3 == 1 ? "br0" : "br1");
    }
    return out;
}

void compare(const Filters& filters, const std::vector<Port>& ports, const Abilities& abilities, Tally& tally) {
    const Lookup lookup = filters.lookup();
    const kernel::Ruleset none;
    Classes classes(lookup, abilities, none);
    for (const Port& one : ports) {
        const auto alone = attach(one, lookup, abilities);
        const auto together = classes.attach(one);
        ++tally.ports;
        ASSERT_EQ(alone.has_value(), together.has_value());
        if (!alone) {
            EXPECT_EQ(alone.error(), together.error());
            ++tally.refused;
            continue;
        }
        kernel::Ruleset rules = together->common->rules;
        for (const auto& [family, table] : together->elements) {
            EXPECT_TRUE(table.chains.empty() && table.sets.empty()) << "a port has elements only";
        }
        kernel::merge(rules, together->elements);
        ASSERT_EQ(kernel::dump(rules), kernel::dump(alone->rules)) << one.ifname.str();
        EXPECT_EQ(together->learned, alone->learned);
        EXPECT_EQ(together->learning, alone->learning);
        EXPECT_EQ(together->common->sysctls, alone->sysctls);
        EXPECT_EQ(together->common->filters, alone->filters);
        EXPECT_EQ(together->common->sets, alone->sets);
        EXPECT_EQ(together->common->learns_ip, alone->learns_ip);
    }
    tally.compiled += classes.compiled();
}

TEST(SharedClasses, OfRandomTreesGiveEachPortWhatItHasByItself) {
    Random random(30);
    Tally tally;
    for (unsigned turn = 0; turn < 60 && !testing::Test::HasFailure(); ++turn) {
        Filters filters;
        RandomRules make(random);
        const std::string name = make.tree(filters, static_cast<Protocol>(turn % 25));
        std::vector<Port> ports;
        for (unsigned i = 0; i < 16; ++i) {
            Parameters parameters = make.parameters();
            if (i % 4 == 3) {
                parameters = ports.back().parameters;  // alike but for name and MAC
            }
            if (i % 8 == 5) {
                parameters["PORT"].front() = "none";  // of another type
            }
            ports.push_back(numbered(name, std::move(parameters), i));
        }
        compare(filters, ports, turn % 2 == 0 ? kAble : Abilities{}, tally);
    }
    // Worth something only when classes were shared, and more than one of a tree was needed.
    EXPECT_LT(tally.compiled - tally.refused, (tally.ports - tally.refused) * 9 / 10);
    EXPECT_GT(tally.compiled, 150U);
    EXPECT_LT(tally.refused, tally.ports * 3 / 4);
}

// Ports of a thousand different addresses are one class, and are all different.
TEST(SharedClasses, ValuesOfLookUpsMakeNoClass) {
    const Filters filters;
    std::vector<Port> ports;
    for (unsigned i = 0; i < 60; ++i) {
        ports.push_back(numbered("clean-traffic", {{"IP", {fmt::format("10.0.0.{}", i + 1)}}}, 3 * i));
    }
    Tally tally;
    compare(filters, ports, kAble, tally);
    EXPECT_EQ(tally.compiled, 1U);
}

TEST(SharedClasses, WhatStandsInRulesMakesOne) {
    Filters filters;
    filters.add(
        "<filter name='f'><filterref filter='clean-traffic'/>"
        "<rule action='drop' direction='out'><ip dstipaddr='$NET' dstipmask='$LENGTH'/></rule></filter>");
    std::vector<Port> ports;
    for (unsigned i = 0; i < 24; ++i) {
        ports.push_back(numbered("f",
                                 {{"IP", {fmt::format("10.0.0.{}", i + 1)}},
                                  {"NET", {fmt::format("10.{}.0.0", i % 3)}},
                                  {"LENGTH", {i % 2 == 0 ? "16" : "24"}}},
                                 3 * i));
    }
    Tally tally;
    compare(filters, ports, kAble, tally);
    EXPECT_EQ(tally.compiled, 6U);
}

TEST(SharedClasses, ListsOfOtherLengthsAndElementsOfListsStayApart) {
    Filters filters;
    filters.add(
        "<filter name='f'>"
        "<rule action='accept' direction='out'><ip srcipaddr='$IP[0]'/></rule>"
        "<rule action='drop' direction='out'><tcp srcipaddr='$IP[1]' dstportstart='$PORT[1]'/></rule>"
        "<rule action='accept' direction='inout'><tcp srcipaddr='$PEER[@1]' dstportstart='$PORT[@1]'/></rule>"
        "<rule action='accept' direction='inout'><udp srcipaddr='$PEER[@1]' dstportstart='$PORT[@2]'/></rule>"
        "<rule action='drop' direction='out'><mac srcmacaddr='$PEERMAC' match='no'/></rule></filter>");
    std::vector<Port> ports;
    for (unsigned i = 0; i < 40; ++i) {
        Parameters parameters;
        for (unsigned n = 0; n < 2 + i % 3; ++n) {
            parameters["IP"].push_back(fmt::format("10.0.{}.{}", i, n));
            parameters["PEER"].push_back(fmt::format("10.1.{}.{}", i, n));
            parameters["PORT"].push_back(fmt::format("{}", 1000 * i + n));
        }
        if (i % 5 == 4) {
            parameters["PORT"].pop_back();  // lists of an iterator that do not fit: refused, by name
        }
        if (i % 7 == 6) {
            parameters["IP"].resize(1);  // there is no second element
        }
        for (unsigned n = 0; n < 1 + i % 2; ++n) {
            parameters["PEERMAC"].push_back(fmt::format("52:54:01:00:{:02x}:{:02x}", i, n));
        }
        ports.push_back(numbered("f", std::move(parameters), i));
    }
    Tally tally;
    compare(filters, ports, kAble, tally);
    EXPECT_GT(tally.refused, 5U);
    EXPECT_LT(tally.compiled, tally.ports);
}

// A parameter that is there or not decides which rules there are, and who learns.
TEST(SharedClasses, AValueThatIsMissingIsAnotherClass) {
    const Filters filters;
    std::vector<Port> ports;
    for (unsigned i = 0; i < 48; ++i) {
        Parameters parameters;
        if (i % 2 == 0) {
            parameters["IP"] = {fmt::format("10.0.0.{}", i + 1)};
        }
        if (i % 3 == 0) {
            parameters["CTRL_IP_LEARNING"] = {i % 4 == 0 ? "dhcp" : "any"};
        }
        if (i % 5 == 0) {
            parameters["DHCPSERVER"] = {fmt::format("10.0.1.{}", i % 2)};
        }
        if (i % 7 == 0) {
            parameters["MAC"] = {fmt::format("52:54:02:00:00:{:02x}", i)};
        }
        if (i % 11 == 10) {
            parameters["CTRL_IP_LEARNING"] = {"none"};  // then without IP it is refused
        }
        ports.push_back(numbered(i % 4 < 2 ? "clean-traffic" : "clean-traffic-dual", std::move(parameters), i));
    }
    Tally tally;
    compare(filters, ports, kAble, tally);
    EXPECT_GT(tally.refused, 0U);
    EXPECT_LT(tally.compiled, tally.ports);
}

// What is learned goes where the port's own address goes, beside its own MAC.
TEST(SharedClasses, LearnedAddressesAreOfThePortThatLearnedThem) {
    const Filters filters;
    const Lookup lookup = filters.lookup();
    const kernel::Ruleset none;
    Classes classes(lookup, kAble, none);
    for (unsigned i = 0; i < 5; ++i) {
        const Port one = numbered("clean-traffic", {}, 3 * i);
        const auto member = classes.attach(one);
        ASSERT_TRUE(member) << member.error().message;
        const auto more = learned(member->learned, *parse_ip("10.0.0.9"), std::nullopt);
        const auto& elements = more.at(kernel::Family::bridge).elements;
        EXPECT_TRUE(elements.at("nwf_own_address")
                        .contains(fmt::format("{} . {} . 10.0.0.9", one.ifname.str(), format(one.mac))));
        for (const auto& [set, keys] : elements) {
            for (const auto& [key, element] : keys) {
                EXPECT_TRUE(key.starts_with(one.ifname.str() + " . ")) << set << " " << key;
            }
        }
    }
    EXPECT_EQ(classes.compiled(), 1U);
}

// The rule that counts connections knows its port by name, so that its chain is that port's alone.
TEST(SharedClasses, CountsOfConnectionsAreOnePortsOwn) {
    Filters filters;
    filters.add(
        "<filter name='f'><rule action='drop' direction='out'><tcp connlimit-above='5' dstportstart='$PORT'/></rule>"
        "</filter>");
    std::vector<Port> ports;
    for (unsigned i = 0; i < 6; ++i) {
        ports.push_back(numbered("f", {{"PORT", {"80"}}}, i));
    }
    Tally tally;
    compare(filters, ports, kAble, tally);
    EXPECT_EQ(tally.compiled, 6U);
}

}  // namespace
}  // namespace bascule::nwfilter
