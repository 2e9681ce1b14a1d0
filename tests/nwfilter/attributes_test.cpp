// SPDX-License-Identifier: GPL-2.0-or-later
// Every attribute of every element: the ends of its range, values beyond, its masks and lists, misspelt, negated, and
// as a variable. The table here is written from libvirt's schema, not from ours.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <algorithm>

#include "nwfilter/classes.h"
#include "nwfilter/compile.h"
#include "nwfilter/flatten.h"
#include "nwfilter/xml.h"
#include "tests/nwfilter/filters.h"

namespace bascule::nwfilter {
namespace {

using Words = std::vector<std::string>;

const Words kFour{"tcp", "udp", "udplite", "esp", "ah", "sctp", "icmp", "igmp", "all"};
const Words kSix{"tcp-ipv6", "udp-ipv6", "udplite-ipv6", "esp-ipv6", "ah-ipv6", "sctp-ipv6", "icmpv6", "all-ipv6"};
const Words kPorts{"tcp", "udp", "sctp", "tcp-ipv6", "udp-ipv6", "sctp-ipv6"};
const Words kTcp{"tcp", "tcp-ipv6"}, kArp{"arp", "rarp"}, kStp{"stp"};

Words operator+(Words a, const Words& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}
const Words kEther = Words{"mac", "vlan", "ip", "ipv6"} + kArp, kIp = kFour + kSix;

struct Case {
    Words elements;
    std::string attribute;
    Words good, bad;
    std::string beside = {};  // attributes that it needs
    bool literal = false;     // never a variable, nor negated
};

const Words kMac{"52:54:00:aa:bb:cc", "0:0:0:0:0:0", "FF:ff:FF:ff:FF:ff"},
    kNoMac{"52:54:00:aa:bb", "g0:54:00:0:0:0", ""};
const Words kMask{"ff:ff:ff:00:00:00", "FF:FF:FF:FC:00:00", "ff:ff:ff:ff:ff:ff"}, kNoMask{"ff:00:ff:00:00:00", "24"};
const Words kIp4{"0.0.0.0", "255.255.255.255", "10.0.0.1"}, kNoIp4{"10.0.0.256", "10.0.0", "::1", "", "10.0.0.1/24"};
const Words kMask4{"0", "32", "255.255.255.0", "0.0.0.0"}, kNoMask4{"33", "-1", "255.0.255.0", "/24"};
const Words kIp6{"::", "2001:DB8::1", "::ffff:10.0.0.1"}, kNoIp6{"10.0.0.1", "fe80::1%eth0", "", ":::"};
const Words kMask6{"0", "128", "ffff:ffff::"}, kNoMask6{"129", "255.255.255.0", "ffff:0:ffff::"};
const Words kU8{"0", "255", "0xFF", "0x0"}, kNoU8{"256", "-1", "", "0x", "1.5", "abc", "0x100"};
const Words kU16{"0", "65535", "0xffff"}, kNoU16{"65536", "-1", "", "0x10000"};
const Words kPort{"0", "65535", "0x50"}, kNoPort{"65536", "-1", "http"};

std::vector<Case> stp_cases() {
    std::vector<Case> out{{kStp, "type", kU8, kNoU8}, {kStp, "flags", kU8, kNoU8}};
    for (const std::string name :
         {"root-priority", "sender-priority", "port", "age", "max-age", "hello-time", "forward-delay"}) {
        out.push_back({kStp, name, kU16, kNoU16});
        out.push_back({kStp, name + "-hi", {"5", "65535"}, {"65536", "4"}, name + "='5'"});
    }
    out.push_back({kStp, "root-cost", {"0", "4294967295", "0xffffffff"}, {"4294967296", "-1"}});
    out.push_back({kStp, "root-cost-hi", {"5", "0xffffffff"}, {"4294967296", "4"}, "root-cost='5'"});
    for (const std::string name : {"root-address", "sender-address"}) {
        out.push_back({kStp, name, kMac, kNoMac});
        out.push_back({kStp, name + "-mask", kMask, kNoMask, name + "='52:54:00:0:0:0'"});
    }
    return out;
}

std::vector<Case> address_cases() {
    std::vector<Case> out;
    for (const std::string end : {"src", "dst"}) {
        out.push_back({kArp, "arp" + end + "macaddr", kMac, kNoMac});
        out.push_back({kArp, "arp" + end + "ipaddr", kIp4, kNoIp4});
        out.push_back({kArp, "arp" + end + "ipmask", kMask4, kNoMask4, "arp" + end + "ipaddr='10.0.0.0'"});
        out.push_back({kEther, end + "macaddr", kMac, kNoMac});
        out.push_back({kEther, end + "macmask", kMask, kNoMask, end + "macaddr='52:54:00:0:0:0'"});
        out.push_back({Words{"ip"} + kFour, end + "ipaddr", kIp4, kNoIp4});
        out.push_back({Words{"ip"} + kFour, end + "ipmask", kMask4, kNoMask4, end + "ipaddr='10.0.0.0'"});
        out.push_back({Words{"ipv6"} + kSix, end + "ipaddr", kIp6, kNoIp6});
        out.push_back({Words{"ipv6"} + kSix, end + "ipmask", kMask6, kNoMask6, end + "ipaddr='2001:db8::'"});
        out.push_back({kFour, end + "ipfrom", kIp4, kNoIp4});
        out.push_back({kFour, end + "ipto", {"10.0.0.1", "10.0.0.9"}, {"10.0.0.0", "::1"}, end + "ipfrom='10.0.0.1'"});
        out.push_back({kSix, end + "ipfrom", kIp6, kNoIp6});
        out.push_back(
            {kSix, end + "ipto", {"2001:db8::1", "ffff::"}, {"::9", "10.0.0.1"}, end + "ipfrom='2001:db8::1'"});
        out.push_back({kPorts, end + "portstart", kPort, kNoPort});
        out.push_back({kPorts, end + "portend", {"80", "65535"}, {"79", "65536"}, end + "portstart='80'"});
        for (const std::string transport : {"tcp", "udp", "sctp", "33", "0x11"}) {
            const std::string beside = "protocol='" + transport + "'";
            out.push_back({{"ip", "ipv6"}, end + "portstart", kPort, kNoPort, beside});
            out.push_back(
                {{"ip", "ipv6"}, end + "portend", {"80", "65535"}, {"79"}, beside + " " + end + "portstart='80'"});
        }
    }
    out.push_back({kStp + kIp, "srcmacaddr", kMac, kNoMac});
    return out;
}

std::vector<Case> all_cases() {
    const Words types{"arp", "rarp", "ipv4", "ipv6", "vlan", "IPv4", "0xffff"};
    const Words transports{"0", "255", "tcp", "udp", "udplite", "esp", "ah", "icmp", "igmp", "sctp", "icmpv6", "TCP"};
    std::vector<Case> out = address_cases();
    for (Case& one : stp_cases()) {
        out.push_back(std::move(one));
    }
    const std::vector<Case> others{
        {{"mac"}, "protocolid", types + Words{"0x600", "1536"}, {"0x5ff", "65536", "ip"}},
        {{"vlan"}, "vlanid", {"0", "4095", "0xfff"}, {"4096", "-1"}},
        {{"vlan"}, "encap-protocol", types + Words{"0x3c"}, {"0x3b", "65536", "ip"}},
        {kArp, "hwtype", kU16, kNoU16},
        {kArp, "protocoltype", kU16, kNoU16},
        {kArp, "opcode",
         kU16 + Words{"Request", "Reply", "Request_Reverse", "Reply_Reverse", "DRARP_Request", "DRARP_Reply",
                      "DRARP_Error", "InARP_Request", "ARP_NAK", "request"},
         kNoU16 + Words{"Answer"}},
        {kArp, "gratuitous", {"true", "false", "yes", "no", "1", "0"}, {"maybe", "", "2"}},
        {{"ip", "ipv6"}, "protocol", transports, {"256", "dccp", "tpc", ""}},
        {Words{"ip"} + kIp, "dscp", {"0", "63", "0x3f"}, {"64", "-1"}},
        {{"ipv6"}, "type", kU8, kNoU8, "protocol='icmpv6'"},
        {{"ipv6"}, "typeend", {"5", "255"}, {"4", "256"}, "protocol='icmpv6' type='5'"},
        {{"ipv6"}, "code", kU8, kNoU8, "protocol='icmpv6'"},
        {{"ipv6"}, "codeend", {"5", "255"}, {"4", "256"}, "protocol='icmpv6' code='5'"},
        {{"icmp", "icmpv6"}, "type", kU8, kNoU8},
        {{"icmp", "icmpv6"}, "code", kU8, kNoU8},
        {kIp, "connlimit-above", {"0", "65535"}, {"65536", "-1"}},
        {kIp, "state", {"NEW", "NEW,ESTABLISHED", "new, related", "INVALID"}, {"NEW,", "", "NEW,NONE", "OLD"}},
        {kIp, "ipset", {"a", "abc_.:+ -", std::string(31, 'x')}, {"", "a/b", std::string(32, 'x')}},
        {kIp,
         "ipsetflags",
         {"src", "DST", "src,dst,src,dst,src,dst"},
         {"", "src,", "all", "src,src,src,src,src,src,src"},
         "ipset='a'"},
        {kTcp,
         "flags",
         {"SYN/SYN", "SYN,ACK/SYN", "ALL/NONE", "all/syn, ack"},
         {"SYN", "ECE/ECE", "SYN/SYN/SYN", "/SYN"}},
        {kTcp, "option", kU8, kNoU8},
        {kEther + kStp + kIp,
         "comment",
         {"", "it is a remark", "$V", std::string(256, 'x')},
         {std::string(257, 'x')},
         {},
         true},
    };
    out.insert(out.end(), others.begin(), others.end());
    return out;
}

std::string filter_of(const std::string& element, const std::string& attributes) {
    return fmt::format("<filter name='f'>\n<rule action='drop' direction='inout'>\n<{} {}/>\n</rule></filter>", element,
                       attributes);
}

// Empty: taken, and the same when it is written and read again.
std::string trouble(const std::string& xml, const Parameters& parameters = {}) {
    const auto filter = parse(xml);
    if (!filter) {
        return filter.error().message;
    }
    const auto again = parse(format(*filter));
    if (!again || format(*again) != format(*filter)) {
        return "reads otherwise when it was written: " + format(*filter);
    }
    const Lookup lookup = [&](const std::string& name) { return name == "f" ? &*filter : nullptr; };
    const auto attached = attach(port("f", parameters), lookup, kAble);
    return attached ? "" : attached.error().message;
}

TEST(FilterAttributes, AreTakenWithinTheirRangesAndRefusedBeyondWithTheirLine) {
    std::size_t tried = 0;
    for (const Case& one : all_cases()) {
        for (const std::string& element : one.elements) {
            const auto with = [&](const std::string& value, const std::string& name) {
                return filter_of(element, fmt::format("{} {}='{}'", one.beside, name, value));
            };
            const std::string place = fmt::format("line 3: <{} {}", element, one.attribute);
            for (const std::string& value : one.good) {
                EXPECT_EQ(trouble(with(value, one.attribute)), "") << with(value, one.attribute);
                ++tried;
            }
            for (const std::string& value : one.bad) {
                const std::string said = trouble(with(value, one.attribute));
                EXPECT_TRUE(said.starts_with(place)) << with(value, one.attribute) << said;
                ++tried;
            }
            EXPECT_TRUE(trouble(with(one.good.front(), one.attribute + "s")).starts_with(place)) << place;
        }
    }
    EXPECT_GT(tried, 2500U);
}

TEST(FilterAttributes, MayBeNegatedAndBeVariables) {
    for (const Case& one : all_cases()) {
        for (const std::string& element : one.elements) {
            if (one.literal) {
                continue;
            }
            const std::string& good = one.good.back();
            // A protocol that is not the one has no ports, nor types.
            if (!one.beside.starts_with("protocol")) {
                const std::string negated =
                    filter_of(element, fmt::format("match='no' {} {}='{}'", one.beside, one.attribute, good));
                EXPECT_EQ(trouble(negated), "") << negated;
            }
            for (const char* const variable : {"$V", "$V[1]", "$V[@2]"}) {
                const std::string xml =
                    filter_of(element, fmt::format("{} {}='{}'", one.beside, one.attribute, variable));
                EXPECT_EQ(trouble(xml, {{"V", {one.good.front(), good}}}), "") << xml;
                EXPECT_NE(trouble(xml), "") << xml;  // without a value
                const std::string said = trouble(xml, {{"V", {one.bad.front(), one.bad.front()}}});
                EXPECT_TRUE(said.starts_with("filter f: f/rule 1: ")) << xml << said;
            }
        }
    }
}

std::string policy_of(const std::string& attributes, const Parameters& parameters) {
    Filters filters;
    filters.add("<filter name='f'><rule action='accept' direction='out'><tcp " + attributes + "/></rule></filter>");
    const auto compiled = compile(*flatten("f", filters.lookup()), port("f", parameters), Values::tables);
    return compiled ? kernel::policy::dump(compiled->out.policy) : compiled.error().message;
}

std::string::size_type times(const std::string& text, const std::string& words) {
    std::string::size_type count = 0;
    for (auto at = text.find(words); at != std::string::npos; at = text.find(words, at + 1)) {
        ++count;
    }
    return count;
}

// Whatever is a variable, lists of one iterator advance together and those of two meet in all combinations.
TEST(FilterAttributes, StatesAndFlagsThatAreListsMakeARuleForEachValue) {
    const Parameters lists{{"F", {"SYN/SYN", "ALL/NONE"}}, {"P", {"80", "90"}}, {"S", {"NEW", "ESTABLISHED"}}};
    const std::string pairs = policy_of("flags='$F' dstportstart='$P'", lists);
    EXPECT_EQ(times(pairs, "f/rule 1"), 2U) << pairs;
    const std::string all = policy_of("flags='$F[@1]' state='$S[@2]'", lists);
    EXPECT_EQ(times(all, "f/rule 1"), 4U) << all;
    EXPECT_EQ(policy_of("state='$S'", {{"S", {"NEU"}}}),
              "f/rule 1: parameter S: state needs a list of NEW, ESTABLISHED, RELATED and INVALID, or NONE, got 'NEU'");
}

TEST(FilterAttributes, PortsThatDifferInThemAreOfTwoClasses) {
    Filters filters;
    filters.add(
        "<filter name='f'><rule action='accept' direction='out'><tcp flags='$F' dstportstart='$P'/></rule></filter>");
    const Lookup lookup = filters.lookup();
    const kernel::Ruleset known;
    Classes classes(lookup, kAble, known);
    const auto class_of = [&](const std::string& flags, const std::string& to) {
        const auto member = classes.attach(port("f", {{"F", {flags}}, {"P", {to}}}));
        return member ? member->common->name : member.error().message;
    };
    EXPECT_EQ(class_of("SYN/SYN", "80"), class_of("SYN/SYN", "90"));
    EXPECT_NE(class_of("SYN/SYN", "80"), class_of("ALL/NONE", "80"));
    EXPECT_EQ(class_of("ALL/SOME", "80").substr(0, 35), "filter f: f/rule 1: parameter F: fl");
}

TEST(FilterAttributes, NegatedStatesAreTheOthers) {
    EXPECT_EQ(policy_of("match='no' state='NEW,INVALID'", {}), policy_of("state='ESTABLISHED,RELATED'", {}));
}

}  // namespace
}  // namespace bascule::nwfilter
