// SPDX-License-Identifier: GPL-2.0-or-later
// The property that classes of ports rest on: for any filter, port and frame, the class's policy with the
// port's rows decides as the policy with the port's values in place does.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include "nwfilter/compile.h"
#include "nwfilter/flatten.h"
#include "nwfilter/fold.h"
#include "tests/nwfilter/random_filters.h"

namespace bascule::nwfilter {
namespace {

namespace policy = kernel::policy;

std::string hex(const Bytes& frame) {
    std::string out;
    for (const std::byte b : frame) {
        out += fmt::format("{:02x}", static_cast<unsigned>(b));
    }
    return out;
}

struct Tally {
    unsigned trees = 0, refused = 0, passed = 0, dropped = 0, with_tables = 0;
};

// Compares the two on some frames; false when they differ.
void compare(const Filters& filters, const Port& port, Random& random, Tally& tally) {
    const auto flat = flatten(port.filter, filters.lookup());
    ASSERT_TRUE(flat) << flat.error().message;
    const auto judge = compile(*flat, port, Values::in_place);
    auto shared = compile(*flat, port, Values::tables);
    ASSERT_EQ(judge.has_value(), shared.has_value());
    if (!judge) {
        EXPECT_EQ(judge.error(), shared.error());
        ++tally.refused;
        return;
    }
    EXPECT_TRUE(judge->rows.empty());
    fold(*shared);
    ++tally.trees;
    tally.with_tables += shared->rows.empty() ? 0 : 1;
    RandomFrames frames(random);
    for (int i = 0; i < 60; ++i) {
        const Bytes frame = frames.frame();
        const auto packet = policy::Packet::decode(frame);
        for (const bool out : {true, false}) {
            const policy::Policy& plain = out ? judge->out.policy : judge->in.policy;
            const policy::Policy& classed = out ? shared->out.policy : shared->in.policy;
            const bool pass = policy::evaluate(plain, packet, {}).pass;
            ++(pass ? tally.passed : tally.dropped);
            ASSERT_EQ(pass, policy::evaluate(classed, packet, shared->rows).pass)
                << (out ? "from" : "to") << " the guest " << hex(frame) << "\n"
                << policy::dump(plain) << "-- class\n"
                << policy::dump(classed);
        }
    }
}

TEST(Classes, DecideAsThePoliciesWithValuesInPlace) {
    Random random(1);
    Tally tally;
    for (int i = 0; i < 1500 && !testing::Test::HasFailure(); ++i) {
        Filters filters;
        RandomFilters make(random);
        const std::string name = make.tree(filters);
        compare(filters, port(name, make.parameters()), random, tally);
    }
    // The comparison is worth something only when both verdicts, and look-ups, are common.
    EXPECT_GT(tally.trees, 350U) << tally.refused;
    EXPECT_GT(tally.with_tables, tally.trees / 2);
    EXPECT_GT(tally.passed, (tally.passed + tally.dropped) * 15 / 100);
    EXPECT_GT(tally.dropped, (tally.passed + tally.dropped) * 15 / 100);
}

TEST(Classes, OfTheStockFiltersDecideAlikeToo) {
    Random random(2);
    Tally tally;
    const Filters filters;
    for (const Filter& stock : builtin_filters()) {
        for (int i = 0; i < 20 && !testing::Test::HasFailure(); ++i) {
            Parameters parameters{
                {"IP", {"10.0.0.1"}}, {"IPV6", {"2001:db8::1"}}, {"GATEWAY_MAC", {"52:54:00:00:00:02"}}};
            parameters["DHCPSERVER"] = {stock.name.contains("v6") ? "fe80::1" : "10.0.0.2"};
            if (i % 2 == 1) {
                parameters["IP"].push_back("10.0.0.2");
            }
            compare(filters, port(stock.name, parameters), random, tally);
        }
    }
    EXPECT_EQ(tally.refused, 0U);
}

// The fast look-up may only be there when no frame that it takes would have been dropped.
TEST(Classes, TheFastLookUpIsLeftOutWhereItWouldTakeTooMuch) {
    const auto first_of = [](const std::string& inside) {
        Filters filters;
        filters.add("<filter name='f'><filterref filter='no-mac-spoofing'/><filterref filter='no-ip-spoofing'/>" +
                    inside + "</filter>");
        auto compiled = compile(*flatten("f", filters.lookup()), port("f", {{"IP", {"10.0.0.1"}}}), Values::tables);
        fold(*compiled);
        return compiled->out.policy.sections[0].decisions[0].origin;
    };
    EXPECT_EQ(first_of(""), "own MAC and IPv4 address");
    EXPECT_EQ(first_of("<filterref filter='no-ip-multicast'/>"), "");
    EXPECT_EQ(first_of("<filterref filter='no-other-l2-traffic'/>"), "");
    EXPECT_EQ(first_of("<filterref filter='no-other-rarp-traffic'/>"), "own MAC and IPv4 address");
}

TEST(Classes, AnAddressLearnedDecidesAsOneGiven) {
    Random random(3);
    RandomFrames frames(random);
    const Filters filters;
    const auto flat = flatten("clean-traffic", filters.lookup());
    auto waiting = compile(*flat, port("clean-traffic"), Values::tables);
    fold(*waiting);
    const auto given = compile(*flat, port("clean-traffic", {{"IP", {"10.0.0.1"}}}), Values::in_place);
    policy::Tables rows = waiting->rows;
    unsigned passed_before = 0, differ = 0;
    for (int i = 0; i < 5000; ++i) {
        const auto packet = policy::Packet::decode(frames.frame());
        const bool own_ip = packet.get(policy::Field::ip4_src) == policy::Value::of(*parse_ip("10.0.0.1"));
        const bool before = policy::evaluate(waiting->out.policy, packet, rows).pass;
        EXPECT_FALSE(before && own_ip);
        passed_before += before ? 1 : 0;
        policy::Tables learned_rows = rows;
        for (const auto& [table, awaiting] : waiting->awaiting) {
            for (const AwaitingRow& row : awaiting) {
                policy::Row complete;
                for (const auto& column : row) {
                    complete.push_back(column.value_or(policy::Value::of(*parse_ip("10.0.0.1"))));
                }
                learned_rows[table].insert(complete);
            }
        }
        const bool after = policy::evaluate(waiting->out.policy, packet, learned_rows).pass;
        EXPECT_EQ(after, policy::evaluate(given->out.policy, packet, {}).pass);
        differ += before != after ? 1 : 0;
    }
    EXPECT_GT(passed_before, 0U);  // DHCP from 0.0.0.0
    EXPECT_GT(differ, 10U);
}

}  // namespace
}  // namespace bascule::nwfilter
