// SPDX-License-Identifier: GPL-2.0-or-later
// What clean-traffic must do to frames that somebody means ill with, written down frame by frame: the verdict
// and the rule that gives it.
#include <gtest/gtest.h>

#include "nwfilter/compile.h"
#include "nwfilter/flatten.h"
#include "nwfilter/fold.h"
#include "tests/nwfilter/frames.h"

namespace bascule::nwfilter {
namespace {

namespace policy = kernel::policy;

class CleanTraffic : public testing::TestWithParam<HostileFrame> {};

TEST_P(CleanTraffic, DecidesAsWrittenDown) {
    const Filters filters;
    auto compiled = compile(*flatten("clean-traffic", filters.lookup()), port("clean-traffic", {{"IP", {"10.0.0.1"}}}),
                            Values::tables);
    ASSERT_TRUE(compiled);
    fold(*compiled);
    const HostileFrame& frame = GetParam();
    const auto& directed = frame.out ? compiled->out : compiled->in;
    const auto outcome = policy::evaluate(directed.policy, policy::Packet::decode(frame.bytes), compiled->rows);
    ASSERT_NE(outcome.by, nullptr);
    EXPECT_EQ(outcome.pass ? "accept" : "drop", frame.pass ? "accept" : "drop") << outcome.by->origin;
    EXPECT_EQ(outcome.by->origin, frame.rule);
}

INSTANTIATE_TEST_SUITE_P(Frames, CleanTraffic, testing::ValuesIn(hostile_frames()),
                         [](const auto& frame) { return frame.param.name; });

}  // namespace
}  // namespace bascule::nwfilter
