// SPDX-License-Identifier: GPL-2.0-or-later
// For every tests/golden/nwfilter/*.port: its policy is the .policy beside it, its rules are the .nft, which nft
// itself must take; or attaching it fails with the words of the .error.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <unistd.h>

#include "nwfilter/compile.h"
#include "nwfilter/flatten.h"
#include "nwfilter/fold.h"
#include "tests/nwfilter/filters.h"
#include "tests/support/golden.h"

namespace bascule::nwfilter {
namespace {

namespace fs = std::filesystem;

Filters filters_of_goldens() {
    Filters filters;
    for (const fs::path& file : test::cases("golden/nwfilter", ".xml")) {
        filters.add(test::read_file(file));
    }
    return filters;
}

class Golden : public testing::TestWithParam<fs::path> {};

TEST_P(Golden, APortCompilesToPolicyAndRules) {
    const Filters filters = filters_of_goldens();
    const Port port = port_of(test::read_file(GetParam()));
    const auto attachment = attach(port, filters.lookup(), kAble);
    if (!attachment) {
        test::expect_golden(fs::path(GetParam()).replace_extension(".error"), attachment.error().message + "\n");
        return;
    }
    auto compiled = compile(*flatten(port.filter, filters.lookup()), port, Values::tables);
    ASSERT_TRUE(compiled) << compiled.error().message;
    fold(*compiled);
    test::expect_golden(fs::path(GetParam()).replace_extension(".policy"),
                        "== from the guest\n" + kernel::policy::dump(compiled->out.policy) + "== to the guest\n" +
                            kernel::policy::dump(compiled->in.policy));
    test::expect_golden(fs::path(GetParam()).replace_extension(".nft"), kernel::dump(attachment->rules));
}

TEST_P(Golden, NftTakesTheRules) {
    const fs::path rules = fs::path(GetParam()).replace_extension(".nft");
    if (!fs::exists(rules)) {
        EXPECT_TRUE(fs::exists(fs::path(GetParam()).replace_extension(".error")));  // refused: nothing to take
        return;
    }
    if (::geteuid() != 0 || std::system("command -v nft >/dev/null && unshare -n true") != 0) {
        GTEST_SKIP() << "needs root, nft and a network namespace";
    }
    const std::string text = test::read_file(rules);
    if (text.find("ct state") != std::string::npos || text.find("reject") != std::string::npos) {
        // Not every kernel can do these. nft itself must have nothing against them.
        const std::string command = "unshare -n nft -c -f '" + rules.string() + "' 2>&1 | grep Error: | ";
        EXPECT_NE(std::system((command + "grep -v 'Error: Could not process rule'").c_str()), 0) << rules;
        return;
    }
    // Listing them again matters too: nft 1.0.6 loads some rules that it then aborts on when it lists them.
    const std::string command = "nft -f '" + rules.string() + "' && nft list ruleset && nft -j list ruleset";
    EXPECT_EQ(std::system(("unshare -n sh -c \"" + command + "\" > /dev/null").c_str()), 0) << rules;
}

INSTANTIATE_TEST_SUITE_P(Files, Golden, testing::ValuesIn(test::cases("golden/nwfilter", ".port")),
                         [](const auto& file) { return test::case_name(file.param); });

}  // namespace
}  // namespace bascule::nwfilter
