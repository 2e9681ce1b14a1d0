// SPDX-License-Identifier: GPL-2.0-or-later
// The peer's own test data: what uses only elements that we have is accepted and formats back to what libvirt makes of
// it; everything else is refused by name. The data is not ours and not part of this project; where it is:
// $BASCULE_PEER or ../shared/peer/libvirt beside the project.
#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "network/port.h"
#include "network/update.h"
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

class NetworkPeer : public testing::Test {
protected:
    void SetUp() override {
        if (!fs::is_directory(peer_folder() / "networkxml2xmlin")) {
            GTEST_SKIP() << "the peer's test data is not here: " << peer_folder();
        }
    }
};

TEST_F(NetworkPeer, EveryDocumentFormatsAsThePeersDoesAndWhatThePeerRefusesIsRefused) {
    unsigned accepted = 0, refused = 0;
    for (const fs::path& file : documents("networkxml2xmlin")) {
        SCOPED_TRACE(file.filename());
        const auto spec = parse(test::read_file(file));
        const fs::path expected = peer_folder() / "networkxml2xmlout" / file.filename();
        EXPECT_EQ(spec.has_value(), fs::exists(expected)) << (spec ? format(*spec) : spec.error().message);
        if (!spec || !fs::exists(expected)) {
            ++refused;
            EXPECT_TRUE(spec || spec.error().message.starts_with("line ")) << spec.error().message;
            continue;
        }
        ++accepted;
        const auto ours = xml::parse(format(*spec));
        const auto theirs = xml::parse(test::read_file(expected));
        ASSERT_TRUE(ours && theirs);
        EXPECT_TRUE(same_tree(*ours, *theirs)) << format(*spec);
    }
    EXPECT_EQ(accepted, 33U);
    EXPECT_EQ(refused, 4U);
}

// Inputs of the peer's rule and DHCP compilers, and of its updates.
TEST_F(NetworkPeer, OtherDocumentsAreAcceptedAndFormatToWhatParsesToTheSame) {
    unsigned accepted = 0;
    for (const char* const folder : {"networkxml2confdata", "networkxml2firewalldata"}) {
        for (const fs::path& file : documents(folder)) {
            SCOPED_TRACE(file);
            const auto spec = parse(test::read_file(file));
            ASSERT_TRUE(spec) << spec.error().message;
            ++accepted;
            EXPECT_EQ(*parse(format(*spec)), *spec) << file;
        }
    }
    EXPECT_EQ(accepted, 26U);
}

// What meta.json says, by hand: it is three strings and a number.
std::string said(const std::string& meta, const std::string& key) {
    const auto at = meta.find("\"" + key + "\":");
    const auto start = meta.find_first_not_of(" \"", at + key.size() + 3);
    return at == std::string::npos ? std::string() : meta.substr(start, meta.find_first_of("\",\n}", start) - start);
}

TEST_F(NetworkPeer, UpdatesDoWhatThePeersDo) {
    const std::map<std::string, Section> sections{{"bridge", Section::bridge},
                                                  {"domain", Section::domain},
                                                  {"ip", Section::ip},
                                                  {"ip-dhcp-host", Section::ip_dhcp_host},
                                                  {"forward", Section::forward},
                                                  {"ip-dhcp-range", Section::ip_dhcp_range},
                                                  {"dns-host", Section::dns_host},
                                                  {"forward-interface", Section::forward_interface},
                                                  {"dns-txt", Section::dns_txt},
                                                  {"forward-pf", Section::forward_pf},
                                                  {"dns-srv", Section::dns_srv},
                                                  {"portgroup", Section::portgroup}};
    const std::map<std::string, Command> commands{{"modify", Command::modify},
                                                  {"delete", Command::remove},
                                                  {"add-last", Command::add_last},
                                                  {"add-first", Command::add_first}};
    unsigned done = 0, refused = 0;
    for (const auto& entry : fs::directory_iterator(peer_folder() / "networkxml2xmlupdate")) {
        SCOPED_TRACE(entry.path());
        const std::string meta = test::read_file(entry.path() / "meta.json");
        auto spec = parse(test::read_file(entry.path() / "network.xml"));
        ASSERT_TRUE(spec) << spec.error().message;
        const std::string xml = test::read_file(entry.path() / "update.xml");
        const std::string parent = said(meta, "parent_index");
        const auto updated = update(*spec, {sections.at(said(meta, "section")), commands.at(said(meta, "command")),
                                            parent == "null" ? -1 : std::stoi(parent), xml});
        const fs::path expected = entry.path() / "expected.xml";
        EXPECT_EQ(updated.has_value(), fs::exists(expected)) << (updated ? "" : updated.error().message);
        if (!updated || !fs::exists(expected)) {
            ++refused;
            continue;
        }
        ++done;
        const auto ours = xml::parse(format(*spec));
        const auto theirs = xml::parse(test::read_file(expected));
        ASSERT_TRUE(ours && theirs);
        EXPECT_TRUE(same_tree(*ours, *theirs)) << format(*spec);
    }
    EXPECT_EQ(done, 17U);
    EXPECT_EQ(refused, 13U);
}

TEST_F(NetworkPeer, PortsFormatAsThePeersDo) {
    unsigned count = 0;
    for (const fs::path& file : documents("virnetworkportxml2xmldata")) {
        SCOPED_TRACE(file);
        const std::string text = test::read_file(file);
        const auto port = parse_port(text);
        ASSERT_TRUE(port) << port.error().message;
        const auto ours = xml::parse(format(*port)), theirs = xml::parse(text);
        ASSERT_TRUE(ours && theirs);
        EXPECT_TRUE(same_tree(*ours, *theirs)) << format(*port);
        EXPECT_EQ(*parse_port(format(*port)), *port);
        ++count;
    }
    EXPECT_EQ(count, 8U);
}

}  // namespace
}  // namespace bascule::network
