// SPDX-License-Identifier: GPL-2.0-or-later
// The peer's own test data: what uses only elements that we have is accepted and formats back to what libvirt makes of
// it; everything else is refused by name. The data is not ours and not part of this project; where it is:
// $BASCULE_PEER or ../shared/peer/libvirt beside the project.
#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "network/xml.h"
#include "tests/support/golden.h"

namespace bascule::network {
namespace {

namespace fs = std::filesystem;

fs::path peer_folder() {
    const char* const env = std::getenv("BASCULE_PEER");
    return env != nullptr ? fs::path(env) : fs::path(TEST_SOURCE_DIR).parent_path() / "shared/peer/libvirt";
}

std::vector<fs::path> documents(const std::string& folder) {
    std::vector<fs::path> out;
    for (const auto& entry : fs::directory_iterator(peer_folder() / folder)) {
        if (entry.path().extension() == ".xml") {
            out.push_back(entry.path());
        }
    }
    std::ranges::sort(out);
    return out;
}

// Elements in order, attributes as a set, text without the white space around it.
bool same_tree(const xml::Node& a, const xml::Node& b) {
    const std::map<std::string, std::string> attrs_a(a.attrs.begin(), a.attrs.end());
    const std::map<std::string, std::string> attrs_b(b.attrs.begin(), b.attrs.end());
    return a.name == b.name && a.ns == b.ns && attrs_a == attrs_b && a.text == b.text &&
           std::ranges::equal(a.children, b.children, same_tree);
}

// What this version does not have: an error names it as <element> or <element attribute>.
bool names_something_of(const std::string& message, const std::string& text) {
    const auto open = message.find('<');
    const auto close = message.find_first_of(" >", open);
    if (open == std::string::npos || close == std::string::npos) {
        return false;
    }
    return text.contains("<" + message.substr(open + 1, close - open - 1));
}

class NetworkPeer : public testing::Test {
protected:
    void SetUp() override {
        if (!fs::is_directory(peer_folder() / "networkxml2xmlin")) {
            GTEST_SKIP() << "the peer's test data is not here: " << peer_folder();
        }
    }
};

TEST_F(NetworkPeer, DocumentsOfOursFormatAsThePeersDoAndAllOthersAreRefusedByName) {
    std::set<std::string> accepted;
    unsigned refused = 0;
    for (const fs::path& file : documents("networkxml2xmlin")) {
        SCOPED_TRACE(file.filename());
        const std::string text = test::read_file(file);
        const auto spec = parse(text);
        if (!spec) {
            ++refused;
            EXPECT_TRUE(spec.error().message.starts_with("line ")) << spec.error().message;
            EXPECT_TRUE(names_something_of(spec.error().message, text)) << spec.error().message;
            continue;
        }
        const fs::path expected = peer_folder() / "networkxml2xmlout" / file.filename();
        ASSERT_TRUE(fs::exists(expected)) << "the peer refuses this document";
        const auto ours = xml::parse(format(*spec));
        const auto theirs = xml::parse(test::read_file(expected));
        ASSERT_TRUE(ours && theirs);
        EXPECT_TRUE(same_tree(*ours, *theirs)) << format(*spec);
        accepted.insert(file.stem());
    }
    // These two numbers may only change in favour of the first.
    EXPECT_EQ(accepted.size(), 5U) << testing::PrintToString(accepted);
    EXPECT_EQ(refused, 32U);
}

// Inputs of the peer's rule and DHCP compilers: nothing is dropped there either.
TEST_F(NetworkPeer, OtherDocumentsAreAcceptedOrRefusedByName) {
    std::set<std::string> accepted;
    for (const char* const folder : {"networkxml2confdata", "networkxml2firewalldata"}) {
        for (const fs::path& file : documents(folder)) {
            const std::string text = test::read_file(file);
            const auto spec = parse(text);
            if (spec) {
                accepted.insert(file.stem());
                EXPECT_EQ(*parse(format(*spec)), *spec) << file;
            } else {
                EXPECT_TRUE(names_something_of(spec.error().message, text)) << file << ": " << spec.error().message;
            }
        }
    }
    EXPECT_EQ(accepted.size(), 8U) << testing::PrintToString(accepted);
}

}  // namespace
}  // namespace bascule::network
