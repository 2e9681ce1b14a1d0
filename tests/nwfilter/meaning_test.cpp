// SPDX-License-Identifier: GPL-2.0-or-later
// What a filter means is checked, not believed: a reference interpreter of the rules as they were written, the policy
// with values in place, the class's policy with the port's rows, and the text of the rules that nft is handed decide
// alike, on random trees over the whole language and a million packets at the boundaries of their rules.
#include <gtest/gtest.h>

#include <memory>

#include <fmt/format.h>

#include "nwfilter/compile.h"
#include "nwfilter/flatten.h"
#include "nwfilter/fold.h"
#include "nwfilter/render.h"
#include "tests/nwfilter/random_rules.h"
#include "tests/nwfilter/reference.h"
#include "tests/nwfilter/rules_evaluator.h"

namespace bascule::nwfilter {
namespace {

namespace policy = kernel::policy;
using policy::Field;

// The packet as the policy's evaluator sees it.
policy::Packet packet_of(const Bytes& frame, const reference::Tracked& tracked) {
    auto packet = policy::Packet::decode(frame);
    constexpr std::array<std::uint32_t, 4> kBits{policy::ct_state::kInvalid, policy::ct_state::kEstablished,
                                                 policy::ct_state::kRelated, policy::ct_state::kNew};
    packet.set(Field::ct_state, policy::Value::of(Field::ct_state, kBits[tracked.state]));
    packet.set(Field::ct_direction, policy::Value::of(Field::ct_direction, tracked.reply ? 1 : 0));
    packet.set(Field::ct_count, policy::Value::of(Field::ct_count, tracked.connections));
    return packet;
}

std::string hex(const Bytes& frame) {
    std::string out;
    for (const std::byte b : frame) {
        out += fmt::format("{:02x}", static_cast<unsigned>(b));
    }
    return out;
}

struct Sum {
    std::uint64_t packets = 0, passed = 0, ahead = 0, trees = 0;
    reference::Coverage coverage;
};

// The tree, its port and all three ways to decide.
struct Subject {
    std::unique_ptr<Filters> filters;  // the interpreter walks its rules
    Compiled in_place, classed;
    reference::Interpreter interpreter;
    RulesEvaluator rules;
    std::string text;
};

std::optional<Subject> subject(Random& random, Protocol theme) {
    auto kept = std::make_unique<Filters>();
    const Filters& filters = *kept;
    RandomRules make(random);
    const std::string name = make.tree(*kept, theme);
    Port port = nwfilter::port(name, make.parameters());
    port.bridge = IfName::parse("br0");
    const auto flat = flatten(name, filters.lookup());
    const auto interpreter = reference::Interpreter::of(port, filters.lookup());
    if (!flat || !interpreter) {
        EXPECT_TRUE(!flat || !compile(*flat, port, Values::in_place)) << "compiled what the reference refuses";
        return std::nullopt;
    }
    auto in_place = compile(*flat, port, Values::in_place);
    auto classed = compile(*flat, port, Values::tables);
    EXPECT_TRUE(in_place && classed) << in_place.error().message;
    fold(*classed);
    RulesEvaluator rules(render(*classed, port, kAble), port.ifname.str());
    EXPECT_EQ(rules.problem(), "");
    std::string text;
    for (unsigned i = 0; i < 4; ++i) {
        const Filter* const filter = filters.lookup()(i == 3 ? name : "sub" + std::to_string(i));
        text += filter == nullptr ? "" : format(*filter);
    }
    return Subject{std::move(kept), std::move(*in_place), std::move(*classed),
                   *interpreter,    std::move(rules),     std::move(text)};
}

// False when there is a difference.
bool compare(const Subject& subject, const Bytes& frame, const reference::Tracked& tracked, Sum& sum) {
    const policy::Packet packet = packet_of(frame, tracked);
    for (const bool out : {true, false}) {
        const auto way = out ? reference::Direction::from_guest : reference::Direction::to_guest;
        const bool wanted = subject.interpreter.passes(frame, way, tracked, &sum.coverage);
        const auto& plain = out ? subject.in_place.out.policy : subject.in_place.in.policy;
        const auto& classed = out ? subject.classed.out.policy : subject.classed.in.policy;
        const bool pass = policy::evaluate(plain, packet, {}).pass;
        const bool class_pass = policy::evaluate(classed, packet, subject.classed.rows).pass;
        bool rules_pass = subject.rules.passes(frame, out, tracked);
        if (!out && subject.rules.has_ahead()) {
            // Where frames come in they fare as where they go out.
            ++sum.ahead;
            rules_pass = subject.rules.passes_ahead(frame, tracked) == rules_pass ? rules_pass : !pass;
        }
        // What is behind a tag, which the reference does not look at, may only add reasons to drop.
        const bool tagged = packet.get(Field::vlan_id).has_value();
        const bool same = tagged ? wanted || !pass : wanted == pass;
        ++sum.packets;
        sum.passed += pass ? 1 : 0;
        if (!same || pass != class_pass || pass != rules_pass) {
            ADD_FAILURE() << (out ? "from" : "to") << " the guest: the reference " << (wanted ? "passes" : "drops")
                          << " it, the policy " << (pass ? "passes" : "drops") << ", the class "
                          << (class_pass ? "passes" : "drops") << ", the rules " << (rules_pass ? "pass" : "drop")
                          << "\nstate " << tracked.state << " reply " << tracked.reply << " connections "
                          << tracked.connections << "\n"
                          << hex(frame) << "\n"
                          << subject.text << policy::dump(plain) << "-- class\n"
                          << policy::dump(classed);
            return false;
        }
    }
    return true;
}

TEST(Meaning, OfAMillionPacketsIsWhatTheReferenceSays) {
    constexpr std::uint64_t kPackets = 1200000;
    constexpr unsigned kFramesATree = 160;
    Random random(20);
    Sum sum;
    for (unsigned turn = 0; sum.packets < kPackets; ++turn) {
        const auto theme = static_cast<Protocol>(turn % 25);
        const auto one = subject(random, theme);
        ++sum.trees;
        if (!one) {
            continue;
        }
        BoundaryFrames frames(random, turn % 2 == 0);
        for (unsigned i = 0; i < kFramesATree; ++i) {
            const Bytes frame = frames.frame(theme);
            if (!compare(*one, frame, frames.tracked(), sum)) {
                return;
            }
        }
    }
    EXPECT_GT(sum.passed, sum.packets * 15 / 100);
    EXPECT_LT(sum.passed, sum.packets * 85 / 100);
    EXPECT_GT(sum.ahead, sum.packets / 10);
    // Every attribute of every element was met and missed.
    for (auto p = static_cast<unsigned>(Protocol::mac); p <= static_cast<unsigned>(Protocol::all_ipv6); ++p) {
        for (const AttributeRow& attribute : attribute_rows()) {
            const bool condition = attribute.role != Role::mask && attribute.role != Role::range_end &&
                                   attribute.role != Role::comment && attribute.role != Role::state &&
                                   attribute.role != Role::ipset && attribute.role != Role::ipset_flags;
            if ((attribute.protocols & 1U << p) == 0 || !condition) {
                continue;
            }
            const std::string name = std::string(name_of(static_cast<Protocol>(p))) + " " + std::string(attribute.name);
            const reference::Seen seen = sum.coverage[name];
            EXPECT_GE(seen.met, 1000U) << name;
            EXPECT_GE(seen.missed, 1000U) << name;
        }
    }
}

}  // namespace
}  // namespace bascule::nwfilter
