// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/output.h"

#include <gtest/gtest.h>

#include <set>

#include "cli/commands.h"

namespace bascule::cli {
namespace {

const Table kTable{{{"name", "NAME"}, {"bridge", "BRIDGE"}}, {{"default", "virbr0"}, {"grün", "br1"}}};

TEST(Output, TablesAreAlignedWhateverTheLetters) {
    EXPECT_EQ(render(kTable, Format::table),
              "NAME     BRIDGE\n"
              "default  virbr0\n"
              "grün     br1\n");
}

TEST(Output, JsonHasOneObjectARowUnderItsKeys) {
    EXPECT_EQ(render(kTable, Format::json),
              "[\n  {\n    \"name\": \"default\",\n    \"bridge\": \"virbr0\"\n  },\n"
              "  {\n    \"name\": \"grün\",\n    \"bridge\": \"br1\"\n  }\n]\n");
    EXPECT_EQ(render(Table{kTable.columns, {}}, Format::json), "[]\n");
}

TEST(Output, FactsAreAColumnOrAnObject) {
    const Facts facts{{{"version", "Version", "1"}, {"dns", "DHCP and DNS", "process 2"}}};
    EXPECT_EQ(render(facts, Format::table), "Version:       1\nDHCP and DNS:  process 2\n");
    EXPECT_EQ(render(facts, Format::json), "{\n  \"version\": \"1\",\n  \"dns\": \"process 2\"\n}\n");
}

TEST(Output, ANameFromAGuestCannotDriveTheTerminal) {
    EXPECT_EQ(printable("a\x1b[31mb\nc"), "a?[31mb?c");
    EXPECT_EQ(render(Table{{{"n", "N"}}, {{"x\ty"}}}, Format::table), "N\nx?y\n");
    // JSON escapes control bytes and replaces what is not UTF-8.
    EXPECT_EQ(render(Facts{{{"n", "N", "\x01\xff"}}}, Format::json), "{\n  \"n\": \"\\u0001\xef\xbf\xbd\"\n}\n");
}

TEST(Commands, EachIsThereOnceWithItsHelp) {
    std::set<std::pair<std::string_view, std::string_view>> seen;
    for (const Command& command : commands()) {
        EXPECT_TRUE(seen.emplace(command.noun, command.verb).second) << command.noun << " " << command.verb;
        EXPECT_FALSE(command.help.empty());
        EXPECT_NE(command.run, nullptr);
        EXPECT_TRUE(help().contains(command.help)) << command.verb;
        EXPECT_TRUE(help(command).contains(command.verb));
    }
    for (const auto& [noun, verb] :
         std::initializer_list<std::pair<std::string_view, std::string_view>>{{"", "status"},
                                                                              {"", "reload"},
                                                                              {"net", "list"},
                                                                              {"net", "define"},
                                                                              {"net", "dumpxml"},
                                                                              {"net", "start"},
                                                                              {"net", "stop"},
                                                                              {"net", "leases"},
                                                                              {"nwfilter", "list"},
                                                                              {"nwfilter", "define"},
                                                                              {"nwfilter", "dumpxml"},
                                                                              {"nwfilter", "undefine"},
                                                                              {"guest", "list"}}) {
        EXPECT_TRUE(seen.contains({noun, verb})) << noun << " " << verb;
    }
}

TEST(Commands, ExitStatusesAreWhatScriptsRelyOn) {
    const auto status = [](Code code) { return static_cast<int>(exit_code({code, "", 0})); };
    EXPECT_EQ(status(Code::internal), 1);
    EXPECT_EQ(status(Code::invalid_xml), 1);
    EXPECT_EQ(status(Code::no_network), 3);
    EXPECT_EQ(status(Code::no_nwfilter), 3);
    EXPECT_EQ(status(Code::exists), 4);
    EXPECT_EQ(status(Code::conflict), 4);
    EXPECT_EQ(status(Code::invalid_state), 4);
    EXPECT_EQ(status(Code::read_only), 5);
    EXPECT_EQ(status(Code::denied), 5);
    EXPECT_EQ(status(Code::unreachable), 6);
}

}  // namespace
}  // namespace bascule::cli
