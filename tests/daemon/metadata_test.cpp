// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/metadata.h"

#include <gtest/gtest.h>

#include "base/xml.h"

namespace bascule::daemon {
namespace {

struct MetadataTest : testing::Test {
    Result<void> set(const std::string& element, const std::string& key = "k", const std::string& uri = "urn:one") {
        return set_note(notes, note::kElement, element, key, uri);
    }
    std::string get(const std::string& uri = "urn:one") {
        const auto text = get_note(notes, note::kElement, uri, Code::no_domain_metadata);
        return text ? *text : text.error().message;
    }
    std::string title, description;
    std::vector<std::string> metadata;
    Notes notes{.title = title, .description = description, .metadata = metadata};
};

TEST_F(MetadataTest, AnElementIsKeptUnderItsNamespaceAndGivenBackWithoutIt) {
    for (const std::string& element : {std::string("<a/>"), std::string("<a x='1'><b>text</b></a>"),
                                       std::string("<a x='/>'><b y=\">\"/> <a>inner</a></a>")}) {
        ASSERT_TRUE(set(element)) << element;
        ASSERT_EQ(metadata.size(), 1U);
        const auto kept = xml::parse(metadata.front());
        ASSERT_TRUE(kept) << metadata.front();
        EXPECT_EQ(kept->ns, "urn:one");
        EXPECT_EQ(kept->prefix, "k");
        EXPECT_EQ(get(), element);
    }
}

TEST_F(MetadataTest, OnlyTheElementItselfIsTakenOutOfADocument) {
    ASSERT_TRUE(set("<?xml version='1.0'?>\n<!-- <x/> -->\n<a>1</a>\n<!-- </a> /> --> "));
    EXPECT_EQ(get(), "<a>1</a>");
    ASSERT_TRUE(set("<old:a xmlns:old='urn:old'><old:b/></old:a>"));
    EXPECT_EQ(xml::parse(metadata.front())->ns, "urn:one");
}

TEST_F(MetadataTest, EachNamespaceHasOneElement) {
    ASSERT_TRUE(set("<a/>"));
    ASSERT_TRUE(set("<b/>", "other", "urn:two"));
    ASSERT_TRUE(set("<c/>"));
    EXPECT_EQ(metadata.size(), 2U);
    EXPECT_EQ(get(), "<c/>");
    EXPECT_EQ(get("urn:two"), "<b/>");
    ASSERT_TRUE(set_note(notes, note::kElement, std::nullopt, std::nullopt, "urn:one"));
    EXPECT_EQ(get(), "Requested metadata element is not present");
    EXPECT_EQ(get("urn:two"), "<b/>");
}

TEST_F(MetadataTest, TitleAndDescriptionArePlainTexts) {
    ASSERT_TRUE(set_note(notes, note::kTitle, "mine", std::nullopt, std::nullopt));
    ASSERT_TRUE(set_note(notes, note::kDescription, "two\nlines", std::nullopt, std::nullopt));
    EXPECT_EQ(title, "mine");
    EXPECT_EQ(*get_note(notes, note::kDescription, std::nullopt, Code::no_domain_metadata), "two\nlines");
    EXPECT_EQ(set_note(notes, note::kTitle, "two\nlines", std::nullopt, std::nullopt).error().code,
              Code::invalid_argument);
    ASSERT_TRUE(set_note(notes, note::kTitle, std::nullopt, std::nullopt, std::nullopt));
    EXPECT_EQ(get_note(notes, note::kTitle, std::nullopt, Code::no_network_metadata).error().code,
              Code::no_network_metadata);
}

TEST_F(MetadataTest, WhatIsNoElementIsRefusedAndNothingChanges) {
    ASSERT_TRUE(set("<a/>"));
    EXPECT_EQ(set("<b").error().code, Code::xml_syntax);
    EXPECT_EQ(set("").error().code, Code::xml_syntax);
    EXPECT_EQ(set("<b/>", "no prefix").error().code, Code::invalid_argument);
    EXPECT_EQ(set("<b/>", "xmlns").error().code, Code::invalid_argument);
    EXPECT_EQ(set("<b/>", "k", "").error().code, Code::invalid_argument);
    EXPECT_EQ(set_note(notes, 7, "x", "k", "urn:one").error().code, Code::invalid_argument);
    EXPECT_FALSE(set("<b xmlns:k='urn:else'/>"));
    EXPECT_EQ(get(), "<a/>");
}

}  // namespace
}  // namespace bascule::daemon
