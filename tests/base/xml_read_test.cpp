// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/xml_read.h"

#include <gtest/gtest.h>

namespace bascule::xml {
namespace {

Node doc(std::string_view text) {
    auto root = parse(text);
    EXPECT_TRUE(root) << root.error().message;
    return root ? *root : Node();
}

std::string error_of(Result<void> result) { return result ? std::string() : result.error().message; }

constexpr Value<std::uint16_t> kPort{"a port number", parse_number<std::uint16_t, 1>};

TEST(Reader, ReadsAttributesChildrenAndText) {
    const Node node = doc("<nat from='1' on='yes'><name>x</name><port n='5'/><port n='6'/>words</nat>");
    Reader r(node);
    EXPECT_EQ(r.req("from", kPort), 1);
    EXPECT_EQ(r.opt("to", kPort), std::nullopt);
    EXPECT_EQ(r.get("to", kPort, 9), 9);
    EXPECT_EQ(r.get("on", kYesNo, false), true);
    EXPECT_EQ(r.child_text("name", kText), "x");
    EXPECT_EQ(r.text(), "words");
    const auto ports = r.parse_children("port", [](const Node& port) -> Result<int> {
        Reader in(port);
        const auto n = in.req("n", kPort);
        TRY_OK(in.finish());
        return *n;
    });
    EXPECT_EQ(ports, (std::vector<int>{5, 6}));
    EXPECT_EQ(error_of(r.finish()), "");
}

TEST(Reader, NamesAMalformedValueWithItsLine) {
    const Node node = doc("<nat>\n\n\n\n<port start='8O'/></nat>");
    Reader r(node.children.at(0));
    r.req("start", kPort);
    EXPECT_EQ(error_of(r.finish()), "line 5: <port start>: expected a port number, got '8O'");
}

TEST(Reader, NamesWhatIsMissing) {
    const Node node = doc("<port/>");
    Reader attr(node);
    attr.req("start", kPort);
    EXPECT_EQ(error_of(attr.finish()), "line 1: <port start>: the attribute is missing (expected a port number)");
    Reader child(node);
    EXPECT_EQ(child.req_child("name"), nullptr);
    EXPECT_EQ(error_of(child.finish()), "line 1: <port>: is missing (expected an element <name>)");
}

TEST(Reader, NamesTheChoices) {
    const Node node = doc("<dns enable='on'/>");
    Reader r(node);
    r.opt("enable", kYesNo);
    EXPECT_EQ(error_of(r.finish()), "line 1: <dns enable>: expected 'yes' or 'no', got 'on'");
}

TEST(Reader, TheFirstFaultLatches) {
    const Node node = doc("<a x='?' y='?'/>");
    Reader r(node);
    r.req("x", kPort);
    EXPECT_FALSE(r.ok());
    EXPECT_EQ(r.req("y", kPort), std::nullopt);
    r.report(Fault::Kind::inconsistent, "y", "later", "");
    EXPECT_EQ(error_of(r.finish()), "line 1: <a x>: expected a port number, got '?'");
}

TEST(Reader, NothingIsSilentlyDropped) {
    const Node attr = doc("<bridge\n name='virbr0' stpp='on'/>");
    Reader r(attr);
    r.opt("name", kText);
    r.opt("stp", kOnOff);
    const auto unknown = r.finish();
    ASSERT_FALSE(unknown);
    EXPECT_EQ(unknown.error().code, Code::unsupported_config);
    EXPECT_TRUE(unknown.error().message.ends_with("<bridge stpp>: unknown attribute, did you mean 'stp'?"))
        << unknown.error().message;

    const Node child = doc("<network>\n<forwrad/>\n</network>");
    Reader c(child);
    c.child("forward");
    c.child("bridge");
    EXPECT_EQ(error_of(c.finish()), "line 2: <forwrad>: unknown element, did you mean 'forward'?");

    const Node far = doc("<network><zzzzzzzz/></network>");
    Reader f(far);
    f.child("forward");
    EXPECT_EQ(error_of(f.finish()), "line 1: <zzzzzzzz>: this element is not supported");

    const Node foreign = doc("<network xmlns:d='urn:d'><d:options/></network>");
    Reader n(foreign);
    n.child("options");
    EXPECT_EQ(error_of(n.finish()),
              "line 1: <d:options>: not supported by this version (elements of the namespace urn:d)");
}

TEST(Reader, ASecondOneIsAFault) {
    const Node node = doc("<network><bridge/>\n<bridge/></network>");
    Reader r(node);
    r.child("bridge");
    EXPECT_EQ(error_of(r.finish()), "line 2: <bridge>: may stand here only once");
}

TEST(Reader, WhatIsKnownButNotRealisedIsRefusedByName) {
    const Node node = doc("<network ipv6='yes'>\n<vlan trunk='yes'/><uuid/></network>");
    Reader attr(node);
    attr.not_supported_attr("ipv6", "use routes");
    EXPECT_EQ(error_of(attr.finish()), "line 1: <network ipv6>: not supported by this version (use routes)");
    Reader child(node);
    child.ignore_attr("ipv6");
    child.ignore_child("uuid");
    child.not_supported_child("vlan");
    child.not_supported_child("bandwidth");
    const auto result = child.finish();
    EXPECT_EQ(error_of(result), "line 2: <vlan>: not supported by this version");
    EXPECT_EQ(result.error().code, Code::unsupported_config);
}

TEST(Reader, ErrorsOfSubParsersLatchToo) {
    const Node node = doc("<a><b/></a>");
    Reader r(node);
    EXPECT_EQ(r.parse_child("b", [](const Node&) -> Result<int> { return fail(Code::conflict, "inner"); }),
              std::nullopt);
    r.req("x", kPort);
    const auto result = r.finish();
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error(), (Error{Code::conflict, "inner", 0}));
}

TEST(Reader, FaultsAreComparedFieldByField) {
    const Fault fault{Fault::Kind::inconsistent, 3, "range", "end", "not before start", "10.0.0.1"};
    EXPECT_EQ(worded(fault), "line 3: <range end>: not before start, got '10.0.0.1'");
    EXPECT_EQ(to_error(fault).code, Code::invalid_xml);
    EXPECT_NE(fault, (Fault{Fault::Kind::inconsistent, 4, "range", "end", "not before start", "10.0.0.1"}));
}

TEST(ParseNumber, TakesWholeNumbersInRangeOnly) {
    EXPECT_EQ(kPort.parse("65535"), 65535);
    for (const char* const bad : {"", "0", "65536", "-1", "+1", " 1", "1 ", "0x10", "1.0", "99999999999999999999"}) {
        EXPECT_EQ(kPort.parse(bad), std::nullopt) << bad;
    }
    EXPECT_EQ((parse_number<int, -5, 5>("-5")), -5);
}

}  // namespace
}  // namespace bascule::xml
