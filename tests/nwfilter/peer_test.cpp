// SPDX-License-Identifier: GPL-2.0-or-later
// The peer's own test filters: they format back as the peer formats them, unless a value is out of range. The data lies
// outside the repository (BASCULE_PEER, or
// ../shared/peer/libvirt beside it).
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>

#include "base/xml.h"
#include "nwfilter/protocols.h"
#include "nwfilter/xml.h"
#include "tests/nwfilter/filters.h"
#include "tests/support/golden.h"

namespace bascule::nwfilter {
namespace {

namespace fs = std::filesystem;

fs::path peer_data() {
    const char* const named = std::getenv("BASCULE_PEER");
    return named != nullptr ? fs::path(named) : fs::path(TEST_SOURCE_DIR) / "../shared/peer/libvirt";
}

std::vector<fs::path> files(const fs::path& folder) {
    std::vector<fs::path> out;
    for (const auto& entry : fs::directory_iterator(folder)) {
        if (entry.path().extension() == ".xml") {
            out.push_back(entry.path());
        }
    }
    std::ranges::sort(out);
    return out;
}

// Elements and attributes without regard to white space.
std::string canonical(const xml::Node& node) {
    std::string out = "<" + node.name;
    for (const auto& [name, value] : node.attrs) {
        out += " " + name + "='" + value + "'";
    }
    out += ">" + node.text;
    for (const xml::Node& child : node.children) {
        out += canonical(child);
    }
    return out + "</>";
}

std::string canonical(const std::string& text) {
    const auto node = xml::parse(text);
    return node ? canonical(*node) : node.error().message;
}

// The rule alone in a filter.
std::string alone(const xml::Node& rule) {
    xml::Writer out;
    out.open("filter", {{"name", "f"}, {"chain", "root"}});
    xml::Writer::Attrs attrs;
    for (const auto& [name, value] : rule.attrs) {
        attrs.emplace_back(name, value);
    }
    out.open("rule", attrs);
    for (const xml::Node& element : rule.children) {
        xml::Writer::Attrs inner;
        for (const auto& [name, value] : element.attrs) {
            inner.emplace_back(name, value);
        }
        out.empty(element.name, inner);
    }
    out.close();
    return out.take();
}

std::vector<xml::Node> rules_of(const fs::path& file) {
    const auto node = xml::parse(test::read_file(file));
    EXPECT_TRUE(node) << file;
    std::vector<xml::Node> out;
    for (const xml::Node& child : node->children) {
        if (child.name == "rule") {
            out.push_back(child);
        }
    }
    return out;
}

TEST(PeerFilters, FormatBackAsThePeerDoesOrAreRefusedForAValue) {
    const fs::path in = peer_data() / "nwfilterxml2xmlin", expected = peer_data() / "nwfilterxml2xmlout";
    if (!fs::exists(in)) {
        GTEST_SKIP() << "needs the peer's test data at " << in;
    }
    std::map<std::string, unsigned> count;
    for (const fs::path& file : files(in)) {
        SCOPED_TRACE(file.filename());
        const std::string text = test::read_file(file);
        const auto node = xml::parse(text);
        ASSERT_TRUE(node);
        const auto filter = parse(text);
        std::string name = file.stem();
        const bool invalid = name.ends_with("-invalid");  // the peer's own schema refuses it
        name = invalid ? name.substr(0, name.size() - 8) : name;
        if (filter) {
            EXPECT_EQ(canonical(format(*filter)), canonical(test::read_file(expected / (name + ".xml"))));
            ++count["accepted"];
            continue;
        }
        // A value out of range, or a misspelt attribute: the peer drops it and widens the rule.
        EXPECT_TRUE(invalid) << filter.error().message;
        const std::string why = name == "quirks" ? "srcporttend>: unknown attribute" : "expected";
        EXPECT_NE(filter.error().message.find(why), std::string::npos) << filter.error().message;
        EXPECT_NE(filter.error().message.find("line "), std::string::npos) << filter.error().message;
        ++count["refused for a value"];
    }
    EXPECT_EQ(count["accepted"], 14U);
    EXPECT_EQ(count["refused for a value"], 17U);
}

// Rule by rule, so that one out-of-range value does not hide its neighbours.
TEST(PeerFilters, EachValidRuleFormatsBackAsThePeerDoes) {
    const fs::path in = peer_data() / "nwfilterxml2xmlin", expected = peer_data() / "nwfilterxml2xmlout";
    if (!fs::exists(in)) {
        GTEST_SKIP() << "needs the peer's test data at " << in;
    }
    unsigned same = 0, refused = 0;
    for (const fs::path& file : files(in)) {
        std::string name = file.stem();
        name = name.ends_with("-invalid") && fs::exists(expected / (name.substr(0, name.size() - 8) + ".xml"))
                   ? name.substr(0, name.size() - 8)
                   : name;
        const auto before = rules_of(file), after = rules_of(expected / (name + ".xml"));
        ASSERT_EQ(before.size(), after.size()) << file;
        for (std::size_t i = 0; i < before.size(); ++i) {
            const auto filter = parse(alone(before[i]));
            if (!filter) {
                ++refused;
                continue;
            }
            SCOPED_TRACE(testing::Message() << file << " rule " << i + 1);
            const auto out = xml::parse(format(*filter));
            ASSERT_TRUE(out);
            // The peer's expected output loses "ffff:" of this one address.
            std::string wanted = canonical(after[i]);
            if (const auto at = wanted.find("dstipaddr='::10.1.2.3'"); at != std::string::npos) {
                wanted.replace(at, 22, "dstipaddr='::ffff:10.1.2.3'");
            }
            EXPECT_EQ(canonical(*out->child("rule")), wanted);
            ++same;
        }
    }
    EXPECT_EQ(same, 92U);
    EXPECT_EQ(refused, 19U);
}

// The filters of the peer's rule compiler can be attached here too.
TEST(PeerFilters, ThoseOfItsRuleCompilerCanBeAttached) {
    const fs::path folder = peer_data() / "nwfilterxml2firewalldata";
    if (!fs::exists(folder)) {
        GTEST_SKIP() << "needs the peer's test data at " << folder;
    }
    unsigned attached = 0;
    for (const fs::path& file : files(folder)) {
        const auto filter = parse(test::read_file(file));
        ASSERT_TRUE(filter) << file << filter.error().message;
        Filters filters;
        filters.add(*filter);
        // The values that the peer's own test has.
        const Parameters parameters{{"A", {"1.1.1.1", "2.2.2.2", "3.3.3.3", "3.3.3.3"}},
                                    {"B", {"80", "90", "80", "80"}},
                                    {"C", {"1080", "1090", "1100", "1110"}},
                                    {"IPSETNAME", {"tck_test"}}};
        const auto attachment = attach(port(filter->name, parameters), filters.lookup(), kAble);
        EXPECT_TRUE(attachment) << file << attachment.error().message;
        ++attached;
    }
    EXPECT_EQ(attached, 31U);
}

TEST(PeerBindings, FormatBackAsTheyAre) {
    const fs::path folder = peer_data() / "virnwfilterbindingxml2xmldata";
    if (!fs::exists(folder)) {
        GTEST_SKIP() << "needs the peer's test data at " << folder;
    }
    for (const fs::path& file : files(folder)) {
        const auto binding = parse_binding(test::read_file(file));
        ASSERT_TRUE(binding) << file << binding.error().message;
        EXPECT_EQ(canonical(format(*binding)), canonical(test::read_file(file))) << file;
    }
}

}  // namespace
}  // namespace bascule::nwfilter
