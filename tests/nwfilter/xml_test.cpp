// SPDX-License-Identifier: GPL-2.0-or-later
#include "nwfilter/xml.h"

#include <gtest/gtest.h>

#include <set>

#include "nwfilter/protocols.h"
#include "tests/nwfilter/filters.h"
#include "tests/support/golden.h"

namespace bascule::nwfilter {
namespace {

std::string rule(const std::string& inside, const std::string& attributes = "action='drop' direction='out'") {
    return "<filter name='f'>\n<rule " + attributes + ">\n" + inside + "\n</rule></filter>";
}

std::string error_of(const std::string& xml) {
    const auto filter = parse(xml);
    return filter ? "accepted" : filter.error().message;
}

TEST(FilterXml, EveryStockFilterFormatsBackToItself) {
    std::set<Uuid> uuids;
    for (const Filter& filter : builtin_filters()) {
        const auto again = parse(format(filter));
        ASSERT_TRUE(again) << again.error().message;
        EXPECT_EQ(*again, filter);
        EXPECT_FALSE(filter.uuid.is_nil());
        uuids.insert(filter.uuid);
    }
    EXPECT_EQ(builtin_filters().size(), 24U + 2U);  // the peer's and ours
    EXPECT_EQ(uuids.size(), builtin_filters().size());
}

TEST(FilterXml, GoldenFiltersFormatBackToThemselves) {
    for (const auto& file : test::cases("golden/nwfilter", ".xml")) {
        const auto filter = parse(test::read_file(file));
        ASSERT_TRUE(filter) << file << filter.error().message;
        EXPECT_EQ(parse(format(*filter)), *filter) << file;
    }
}

TEST(FilterXml, DefaultsAreSpeltOutAsThePeerDoes) {
    const auto filter = parse(
        "<filter name='f' chain='arp-x'><uuid>5c6d49af-b071-6127-b4ec-6f8ed4b55335</uuid>"
        "<rule action='accept' direction='in' statematch='0'><arp srcmacaddr='1:2:3:4:5:6' opcode='1'/></rule>"
        "<rule action='drop' direction='inout'/><filterref filter='g'><parameter name='b' value='2'/>"
        "<parameter name='a' value='1'/><parameter name='b' value='3'/></filterref></filter>");
    ASSERT_TRUE(filter) << filter.error().message;
    EXPECT_EQ(format(*filter), R"(<filter name='f' chain='arp-x'>
  <uuid>5c6d49af-b071-6127-b4ec-6f8ed4b55335</uuid>
  <rule action='accept' direction='in' priority='500' statematch='false'>
    <arp srcmacaddr='01:02:03:04:05:06' opcode='Request'/>
  </rule>
  <rule action='drop' direction='inout' priority='500'/>
  <filterref filter='g'>
    <parameter name='a' value='1'/>
    <parameter name='b' value='2'/>
    <parameter name='b' value='3'/>
  </filterref>
</filter>
)");
}

TEST(FilterXml, AttributesWithAndWithoutMatchNoMixInOneRule) {
    const auto filter = parse(rule(
        "<ip match='no' srcipaddr='10.1.2.3'/><ip dstipaddr='10.0.0.0' dstipmask='255.0.0.0'/><ip srcipmask='24'/>"));
    ASSERT_TRUE(filter) << filter.error().message;
    const std::string text = format(*filter);
    EXPECT_NE(text.find("    <ip match='no' srcipaddr='10.1.2.3' srcipmask='24'/>\n"
                        "    <ip dstipaddr='10.0.0.0' dstipmask='8'/>\n"),
              std::string::npos)
        << text;
    EXPECT_EQ(parse(text), *filter);
}

TEST(FilterXml, HexadecimalNumbersKeepTheirSpelling) {
    const auto filter = parse(rule("<mac protocolid='0x1234'/>"));
    ASSERT_TRUE(filter);
    EXPECT_NE(format(*filter).find("protocolid='0x1234'"), std::string::npos);
}

// What table 4.5 of the reference says the peer loses.
TEST(FilterXml, ConditionsThatThePeerLosesAreKept) {
    const std::vector<std::string> elements{
        "<tcp srcipaddr='10.0.0.1' ipset='trusted' ipsetflags='src,dst'/>",
        "<udp-ipv6 ipset='trusted' ipsetflags='dst'/>",
        "<tcp match='no' dstportstart='22'/>",
        "<tcp-ipv6 flags='SYN,ACK/SYN'/>",
        "<all-ipv6 dstipfrom='2001:db8::1' dstipto='2001:db8::ff'/>",
        "<sctp match='no' dstportstart='22' dstportend='23'/>",
        "<vlan vlanid='0x0' encap-protocol='0x3c'/>",
    };
    for (const std::string& element : elements) {
        const auto filter = parse(rule(element));
        ASSERT_TRUE(filter) << filter.error().message;
        EXPECT_NE(format(*filter).find(element), std::string::npos) << format(*filter);
    }
}

TEST(FilterXml, TheManualsSpellingsAreKnown) {
    const auto filter = parse(rule("<stp msg-age='1' msg-age-hi='2' port='3' port_hi='4'/>"));
    ASSERT_TRUE(filter) << filter.error().message;
    EXPECT_NE(format(*filter).find("<stp port='3' port-hi='4' age='1' age-hi='2'/>"), std::string::npos);
    EXPECT_TRUE(parse(rule("<vlan vlan-id='5'/>")));
    const auto spaced = parse(rule("<tcp srcipaddr='$A[ @2 ] ' dstipaddr='$B[ 1]' dstportstart='$C[@0]'/>"));
    ASSERT_TRUE(spaced) << spaced.error().message;
    EXPECT_NE(format(*spaced).find("<tcp srcipaddr='$A[@2]' dstipaddr='$B[1]' dstportstart='$C'/>"), std::string::npos);
}

// As the peer does.
TEST(FilterXml, WordsAreReadInAnyCase) {
    const auto filter = parse(rule("<tcp state='new, Established' flags='syn, ack/Syn'/>") + "<!-- -->");
    ASSERT_TRUE(filter) << filter.error().message;
    EXPECT_NE(format(*filter).find("<tcp state='NEW,ESTABLISHED' flags='SYN,ACK/SYN'/>"), std::string::npos)
        << format(*filter);
    EXPECT_NE(format(*parse(rule("<arp opcode='reply'/>"))).find("opcode='Reply'"), std::string::npos);
    EXPECT_NE(format(*parse(rule("<mac protocolid='IPv4'/>"))).find("protocolid='ipv4'"), std::string::npos);
}

struct Fault {
    std::string xml, message;
};

std::string no_variable(const std::string& where, const std::string& got) {
    return "line 3: <" + where +
           ">: expected $NAME, $NAME[@ITERATOR] or $NAME[ELEMENT] with a name of letters, digits and '_' and a number "
           "of at most 1000, got '" +
           got + "'";
}

TEST(FilterXml, WhatThePeerWouldLoseInSilenceIsAnErrorWithItsLine) {
    const std::vector<Fault> faults{
        {rule("<mac protocolid='15'/>"),
         "line 3: <mac protocolid>: expected a number from 1536 to 65535 or one of 'arp', 'rarp', 'ipv4', 'ipv6', "
         "'vlan' or a $VARIABLE, got '15'"},
        {rule("<arp opcode='65536'/>"),
         "line 3: <arp opcode>: expected a number from 0 to 65535 or one of 'Request', 'Reply', 'Request_Reverse', "
         "'Reply_Reverse', 'DRARP_Request', 'DRARP_Reply', 'DRARP_Error', 'InARP_Request', 'ARP_NAK' or a $VARIABLE, "
         "got '65536'"},
        {rule("<ip srcipaddr='10.0.0.1' srcipmask='255.255.255.127'/>"),
         "line 3: <ip srcipmask>: expected an IPv4 mask, such as 24 or 255.255.255.0 or a $VARIABLE, got "
         "'255.255.255.127'"},
        {rule("<ip srcipmask='24'/>"), "line 3: <ip srcipmask>: needs srcipaddr, got 'none'"},
        {rule("<ip dscp='64'/>"), "line 3: <ip dscp>: expected a number from 0 to 63 or a $VARIABLE, got '64'"},
        {rule("<ip protocol='icmp' srcportstart='1'/>"),
         "line 3: <ip srcportstart>: ports need protocol 'tcp', 'udp', 'sctp' or 33 (dccp), got 'icmp'"},
        {rule("<ip protocol='tcp' srcportstart='5' srcportend='4'/>"),
         "line 3: <ip srcportend>: is before srcportstart, got '4'"},
        {rule("<ipv6 protocol='tcp' type='5'/>"),
         "line 3: <ipv6 type>: ICMPv6 types, codes and targets need protocol 'icmpv6', got 'tcp'"},
        {rule("<mac srcmacaddr='1:2:3:4:5:6' srcmacmask='ff:00:ff:00:00:00'/>"),
         "line 3: <mac srcmacmask>: expected a MAC mask of leading ones, such as ff:ff:ff:00:00:00 or a $VARIABLE, "
         "got 'ff:00:ff:00:00:00'"},
        {rule("<mac srcmacadr='1:2:3:4:5:6'/>"),
         "line 3: <mac srcmacadr>: unknown attribute, did you mean 'srcmacaddr'?"},
        {rule("<mak/>"), "line 3: <mak>: unknown element, did you mean 'mac'?"},
        {rule("<mac match='maybe'/>"), "line 3: <mac match>: expected 'yes' or 'no', got 'maybe'"},
        {rule("<mac/><arp/>"), "line 3: <arp>: a rule holds one protocol, got 'arp beside mac'"},
        {rule("<mac srcmacaddr='$MAC'/><mac srcmacaddr='$MAC'/>"),
         "line 3: <mac srcmacaddr>: an attribute may be given once a rule, got '$MAC'"},
        {rule("<tpc/>"), "line 3: <tpc>: unknown element, did you mean 'tcp'?"},
        {rule("<vlan vlanid='4096'/>"),
         "line 3: <vlan vlanid>: expected a number from 0 to 4095 or a $VARIABLE, got '4096'"},
        {rule("<ip srcipaddr='$'/>"), no_variable("ip srcipaddr", "$")},
        {rule("<ip srcipaddr='$IP[@1001]'/>"), no_variable("ip srcipaddr", "$IP[@1001]")},
        {rule("<tcp srcipaddr='$IP[x]'/>"), no_variable("tcp srcipaddr", "$IP[x]")},
        {rule("<tcp srcipaddr='$IP[1'/>"), no_variable("tcp srcipaddr", "$IP[1")},
        {rule("<tcp state='NEW,SOME'/>"),
         "line 3: <tcp state>: expected a list of NEW, ESTABLISHED, RELATED and INVALID, or NONE or a $VARIABLE, got "
         "'NEW,SOME'"},
        {rule("<tcp match='no' state='NEW,ESTABLISHED,RELATED,INVALID'/>"),
         "line 3: <tcp state>: leaves no state over under match='no', got 'NEW,ESTABLISHED,RELATED,INVALID'"},
        {rule("<tcp match='no' state='NONE'/>"),
         "line 3: <tcp state>: leaves no state over under match='no', got 'NONE'"},
        {rule("<tcp flags='SYN'/>"),
         "line 3: <tcp flags>: expected MASK/FLAGS of SYN, ACK, URG, PSH, FIN, RST, ALL and NONE, such as SYN,ACK/SYN "
         "or a $VARIABLE, got 'SYN'"},
        {rule("<udp flags='SYN/SYN'/>"), "line 3: <udp flags>: this attribute is not supported"},
        {rule("<all ipsetflags='src'/>"), "line 3: <all ipsetflags>: needs ipset, got 'none'"},
        {rule("<all ipset='a' ipsetflags='source'/>"),
         "line 3: <all ipsetflags>: expected one to six of 'src' and 'dst', such as src,dst or a $VARIABLE, got "
         "'source'"},
        {rule("<all srcipfrom='10.0.0.9' srcipto='10.0.0.8'/>"),
         "line 3: <all srcipto>: is before srcipfrom, got '10.0.0.8'"},
        {rule("<tcp-ipv6 dstipfrom='::1' dstipto='10.0.0.8'/>"),
         "line 3: <tcp-ipv6 dstipto>: expected an IPv6 address or a $VARIABLE, got '10.0.0.8'"},
        {rule("<tcp connlimit-above='65536'/>"),
         "line 3: <tcp connlimit-above>: expected a number from 0 to 65535 or a $VARIABLE, got '65536'"},
        {rule("<icmp type='256'/>"), "line 3: <icmp type>: expected a number from 0 to 255 or a $VARIABLE, got '256'"},
        {rule("<stp dstmacaddr='1:2:3:4:5:6'/>"),
         "line 3: <stp dstmacaddr>: unknown attribute, did you mean 'srcmacaddr'?"},
        {rule("<stp root-cost='4294967296'/>"),
         "line 3: <stp root-cost>: expected a number from 0 to 4294967295 or a $VARIABLE, got '4294967296'"},
        {rule("", "action='drop' direction='out' priority='5000'"),
         "line 2: <rule priority>: expected a number from -1000 to 1000, got '5000'"},
        {rule("", "action='drop' direction='out' statematch='no'"),
         "line 2: <rule statematch>: expected 'false', 'true', '0' or '1', got 'no'"},
        {rule("", "action='drop'"),
         "line 2: <rule direction>: the attribute is missing (expected 'in', 'out' or 'inout')"},
        {"<filter name='f' chain='rootx'/>",
         "line 1: <filter chain>: expected 'root' or a name of at most 12 letters, digits and '_.:-' that starts "
         "with stp, mac, vlan, arp, rarp, ipv4 or ipv6, got 'rootx'"},
        {"<filter/>",
         "line 1: <filter name>: the attribute is missing (expected a filter's name without '/', at most 200 bytes)"},
        {"<network/>", "line 1: expected <filter>, got <network>"},
    };
    for (const Fault& fault : faults) {
        EXPECT_EQ(error_of(fault.xml), fault.message) << fault.xml;
    }
}

TEST(FilterXml, EveryRowOfTheTableIsReadAndWrittenByItsElements) {
    for (auto p = static_cast<unsigned>(Protocol::mac); p <= static_cast<unsigned>(Protocol::all_ipv6); ++p) {
        const auto protocol = static_cast<Protocol>(p);
        for (const AttributeRow& attribute : attribute_rows()) {
            const std::uint8_t index = find_row(protocol, attribute.name);
            if ((attribute.protocols & 1U << static_cast<unsigned>(protocol)) == 0) {
                continue;
            }
            ASSERT_NE(index, 0xff) << attribute.name;
            EXPECT_EQ(row(index).name, attribute.name);
            EXPECT_FALSE(expected(attribute).empty());
            if (attribute.role == Role::mask || attribute.role == Role::range_end) {
                EXPECT_EQ(row(static_cast<std::uint8_t>(index - 1)).role, Role::value) << attribute.name;
            }
        }
    }
}

TEST(BindingXml, ABindingFormatsBackToItself) {
    const std::string text = R"(<filterbinding>
  <owner>
    <name>guest</name>
    <uuid>d54df46f-1ab5-4a22-8618-4560ef5fac2c</uuid>
  </owner>
  <portdev name='vnet0'/>
  <linkdev name='eth0'/>
  <mac address='52:54:00:7b:35:93'/>
  <filterref filter='clean-traffic'>
    <parameter name='MAC' value='52:54:00:7b:35:93'/>
  </filterref>
</filterbinding>
)";
    const auto binding = parse_binding(text);
    ASSERT_TRUE(binding) << binding.error().message;
    EXPECT_EQ(format(*binding), text);
}

TEST(BindingXml, MissingPartsAreNamed) {
    const auto binding = parse_binding("<filterbinding><portdev name='vnet0'/></filterbinding>");
    ASSERT_FALSE(binding);
    EXPECT_EQ(binding.error().message, "line 1: <filterbinding>: is missing (expected an element <mac>)");
    const auto device = parse_binding("<filterbinding><portdev name='a b'/></filterbinding>");
    ASSERT_FALSE(device);
    EXPECT_EQ(device.error().message, "line 1: <portdev name>: expected the name of a network device, got 'a b'");
}

}  // namespace
}  // namespace bascule::nwfilter
