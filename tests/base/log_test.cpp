// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/log.h"

#include <gtest/gtest.h>

namespace bascule::log {
namespace {

std::string written(auto write_some) {
    testing::internal::CaptureStderr();
    write_some();
    return testing::internal::GetCapturedStderr();
}

TEST(Log, LinesCarryThePriorityTheJournalReads) {
    EXPECT_TRUE(written([] { warning("network {}: {}", "default", 5); }).ends_with("network default: 5\n"));
}

TEST(Log, ForeignTextForgesNoLinesAndDrivesNoTerminal) {
    const std::string out = written([] { error("name '{}'", "a\n<3>b\x1b[2J\x7f"); });
    EXPECT_TRUE(out.ends_with("name 'a | <3>b\\x1b[2J\\x7f'\n")) << out;
}

TEST(Log, WhatIsTooVerboseIsLeftOut) {
    EXPECT_EQ(written([] { debug("noise"); }), "");
    set_level(Level::debug);
    EXPECT_NE(written([] { debug("noise"); }), "");
    set_level(Level::info);
}

}  // namespace
}  // namespace bascule::log
