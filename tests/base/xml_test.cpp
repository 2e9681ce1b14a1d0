// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/xml.h"

#include <gtest/gtest.h>

namespace bascule::xml {
namespace {

std::string nested(int levels) {
    std::string text;
    for (int i = 0; i < levels; ++i) {
        text += "<a>";
    }
    for (int i = 0; i < levels; ++i) {
        text += "</a>";
    }
    return text;
}

TEST(XmlParse, GivesElementsWithTheirLines) {
    const auto root =
        parse("<network>\n  <name>  default\n</name>\n  <ip address='10.0.0.1' prefix=\"8\"/>\n</network>\n");
    ASSERT_TRUE(root) << root.error().message;
    EXPECT_EQ(root->name, "network");
    EXPECT_EQ(root->line, 1);
    ASSERT_EQ(root->children.size(), 2U);
    EXPECT_EQ(root->children[0].text, "default") << "trimmed";
    EXPECT_EQ(root->children[0].line, 2);
    const Node* const ip = root->child("ip");
    ASSERT_NE(ip, nullptr);
    EXPECT_EQ(ip->line, 4);
    EXPECT_EQ(*ip->attr("prefix"), "8");
    EXPECT_EQ(ip->attr("netmask"), nullptr);
    EXPECT_EQ(root->child("nothing"), nullptr);
}

TEST(XmlParse, JoinsTextAroundCommentsAndCdata) {
    const auto root = parse("<a>one<!-- comment --><![CDATA[ <two> ]]>&amp;three&#x21;</a>");
    ASSERT_TRUE(root);
    EXPECT_EQ(root->text, "one <two> &three!");
}

TEST(XmlParse, SaysWhatIsWrongAndWhere) {
    const auto bad = parse("<network>\n<name>x</nam>\n</network>");
    ASSERT_FALSE(bad);
    EXPECT_EQ(bad.error().code, Code::xml_syntax);
    EXPECT_TRUE(bad.error().message.starts_with("line 2: ")) << bad.error().message;
    for (const char* const text :
         {"", "   ", "no xml", "<a>", "<a/><b/>", "<a b=c/>", "<a b='1' b='2'/>", "<a>&nope;</a>", "\xff\xfe<a/>"}) {
        const auto result = parse(text);
        ASSERT_FALSE(result) << text;
        EXPECT_EQ(result.error().code, Code::xml_syntax) << text;
        EXPECT_FALSE(result.error().message.empty());
    }
    EXPECT_FALSE(parse(std::string_view("<a>\0</a>", 8)));
}

TEST(XmlParse, RefusesDoctypesAndSoEntities) {
    for (const char* const text : {"<!DOCTYPE a><a/>", "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>",
                                   "<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>",
                                   "<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>",
                                   "<!DOCTYPE a [<!ENTITY a '0123456789'><!ENTITY b "
                                   "'&a;&a;&a;&a;&a;&a;&a;&a;'><!ENTITY c '&b;&b;&b;&b;&b;'>]><a>&c;</a>"}) {
        const auto result = parse(text);
        ASSERT_FALSE(result) << text;
        EXPECT_EQ(result.error().code, Code::xml_syntax);
    }
    EXPECT_EQ(parse("<!DOCTYPE a><a/>").error().message, "a DOCTYPE is not allowed here");
}

TEST(XmlParse, BoundsDepthAndSize) {
    EXPECT_TRUE(parse(nested(64)));
    const auto deep = parse(nested(65));
    ASSERT_FALSE(deep);
    EXPECT_TRUE(deep.error().message.contains("more than 64 levels")) << deep.error().message;
    EXPECT_FALSE(parse(nested(100000)));
    EXPECT_TRUE(parse("<a>" + std::string((4U << 20) - 7, 'x') + "</a>"));
    EXPECT_FALSE(parse("<a>" + std::string((4U << 20) - 6, 'x') + "</a>"));
}

TEST(XmlParse, KeepsNamespacesApart) {
    const auto root =
        parse("<network xmlns:b='urn:bascule:1'><b:name>ours</b:name><name b:x='1'>theirs</name></network>");
    ASSERT_TRUE(root);
    EXPECT_EQ(root->child("name")->text, "theirs");
    EXPECT_EQ(root->children[0].ns, "urn:bascule:1");
    EXPECT_EQ(root->children[0].prefix, "b");
    EXPECT_EQ(*root->child("name")->attr("b:x"), "1");
    EXPECT_EQ(root->child("name")->attr("x"), nullptr);
}

TEST(XmlParse, KeepsMetadataAsTextThatStandsAlone) {
    const auto root =
        parse("<domain xmlns:m='urn:m'><metadata><m:os id='1'><m:v>9</m:v></m:os></metadata><name>x</name></domain>");
    ASSERT_TRUE(root);
    const Node* const metadata = root->child("metadata");
    ASSERT_NE(metadata, nullptr);
    const auto alone = parse(metadata->children.at(0).raw);
    ASSERT_TRUE(alone) << metadata->children.at(0).raw;
    EXPECT_EQ(alone->ns, "urn:m");
    EXPECT_EQ(alone->children.at(0).text, "9");
    EXPECT_TRUE(root->child("name")->raw.empty());
}

TEST(XmlWriter, IndentsAndEscapes) {
    Writer w;
    w.open("network", {{"connections", "1"}});
    w.leaf("name", "a<b>&'c'");
    w.open("dns");
    w.empty("host", {{"ip", "10.0.0.1"}, {"name", "it's"}});
    w.raw("  <x:y xmlns:x='u'/>\n");
    w.close();
    EXPECT_EQ(w.take(),
              "<network connections='1'>\n"
              "  <name>a&lt;b&gt;&amp;&apos;c&apos;</name>\n"
              "  <dns>\n"
              "    <host ip='10.0.0.1' name='it&apos;s'/>\n"
              "    <x:y xmlns:x='u'/>\n"
              "  </dns>\n"
              "</network>\n")
        << "take() closes what is open";
}

TEST(XmlWriter, WhatItWritesIsReadBack) {
    const std::string odd = "<&>'\" \t x";
    Writer w;
    w.open("a", {{"b", odd}});
    w.leaf("c", odd);
    const auto root = parse(w.take());
    ASSERT_TRUE(root);
    EXPECT_EQ(root->child("c")->text, odd);
    EXPECT_EQ(*root->attr("b"), "<&>'\"   x") << "a tab in an attribute is read as a space (XML 1.0, 3.3.3)";
}

}  // namespace
}  // namespace bascule::xml
