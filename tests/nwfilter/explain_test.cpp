// SPDX-License-Identifier: GPL-2.0-or-later
#include "nwfilter/explain.h"

#include <gtest/gtest.h>

#include "tests/nwfilter/filters.h"

namespace bascule::nwfilter {
namespace {

std::string why(const Port& port, std::string_view packet, const std::vector<Ip>& learned = {}) {
    const auto text = explain(port, Filters().lookup(), learned, packet);
    return text ? *text : text.error().message;
}

TEST(Explain, NamesTheRuleThatDecides) {
    const Port guest = port("clean-traffic", {{"IP", {"10.0.0.1"}}});
    const std::string text = why(guest, "out tcp src=10.0.0.9 dst=10.0.0.2 dport=22");
    EXPECT_EQ(text.find("from the guest at vnet0: is dropped\n"), 0U) << text;
    EXPECT_NE(text.find("# no-mac-spoofing/rule 1"), std::string::npos) << text;
    EXPECT_TRUE(text.ends_with("drop  # no-ip-spoofing/rule 3\n")) << text;
    EXPECT_NE(why(guest, "out udp src=10.0.0.1 dst=10.0.0.2").find(": passes"), std::string::npos);
    EXPECT_NE(why(guest, "out udp srcmac=2:2:2:2:2:2 src=10.0.0.1").find("no-mac-spoofing/rule 2"), std::string::npos);
    EXPECT_NE(why(guest, "out vlan=5 udp src=10.0.0.1").find("no-other-l2-traffic/rule 1"), std::string::npos);
    EXPECT_NE(why(guest, "in arp src=10.0.0.9 operation=2").find("to the guest at vnet0: passes"), std::string::npos);
    EXPECT_NE(why(guest, "out frame=ffffffffffff52540000000188b50000").find("no-other-l2"), std::string::npos);
}

TEST(Explain, KnowsWhatWasLearned) {
    const Port guest = port("clean-traffic");
    EXPECT_NE(why(guest, "out tcp src=10.0.0.1").find("is dropped"), std::string::npos);
    EXPECT_NE(why(guest, "out tcp src=10.0.0.1", {*parse_ip("10.0.0.1")}).find("passes"), std::string::npos);
}

TEST(Explain, TellsConnectionsApart) {
    Filters filters;
    filters.add(
        "<filter name='f'><rule action='accept' direction='in'><tcp dstportstart='22'/></rule>"
        "<rule action='reject' direction='inout' priority='900'><tcp/></rule></filter>");
    const auto ask = [&](std::string_view packet) {
        return explain(port("f"), filters.lookup(), {}, packet).value_or("refused");
    };
    EXPECT_NE(ask("in tcp src=10.0.0.9 dport=22").find("passes"), std::string::npos);
    EXPECT_NE(ask("in tcp src=10.0.0.9 dport=22 state=invalid").find("is rejected"), std::string::npos);
    EXPECT_NE(ask("out tcp src=10.0.0.1 sport=22").find("is rejected"), std::string::npos);
    EXPECT_NE(ask("out tcp src=10.0.0.1 sport=22 state=established reply").find("passes"), std::string::npos);
}

TEST(Explain, SaysWhatIsWrongWithTheQuestion) {
    const Port guest = port("clean-traffic");
    for (const auto& [packet, words] :
         std::vector<std::pair<std::string, std::string>>{{"", "expected 'in' or 'out'"},
                                                          {"tcp", "expected 'in' or 'out'"},
                                                          {"out tpc", "'tpc'"},
                                                          {"out tcp colour=red", "there is no field 'colour'"},
                                                          {"out tcp dport=70000", "dport='70000' is no value"},
                                                          {"out tcp src=ten", "src='ten' is no value"},
                                                          {"out tcp state=NONE,NEW", "is no value"},
                                                          {"out frame=123", "octets in hexadecimal"},
                                                          {"out tcp dport=1 dport=2", "dport= is given twice"},
                                                          {"out frame=", "octets in hexadecimal"},
                                                          {"out tcp frame=0011", "'tcp' beside frame="},
                                                          {"out arp operation=Answer", "is no value of arp.operation"},
                                                          {"out frame=" + std::string(40000, '0'), "more than"}}) {
        EXPECT_NE(why(guest, packet).find(words), std::string::npos) << packet << ": " << why(guest, packet);
    }
}

TEST(Explain, ArpIsTheGuestsOwnUnlessItSaysOtherwise) {
    const Port guest = port("clean-traffic", {{"IP", {"10.0.0.1"}}});
    EXPECT_NE(why(guest, "out arp src=10.0.0.1 dst=10.0.0.2").find("passes"), std::string::npos);
    EXPECT_NE(why(guest, "out arp src=10.0.0.1 operation=Reply").find("passes"), std::string::npos);
    EXPECT_NE(why(guest, "out arp src=10.0.0.9 dst=10.0.0.2").find("is dropped"), std::string::npos);
    EXPECT_NE(why(guest, "out arp src=10.0.0.1 arp.src_mac=2:2:2:2:2:2").find("is dropped"), std::string::npos);
    std::string jumbo = "525400000002525400000001080045000028000100004006000a0a0000010a000002";
    jumbo.append(2 * 9000, '0');
    EXPECT_NE(why(guest, "out frame=" + jumbo).find("passes"), std::string::npos);
}

TEST(Difference, ShowsWhatGoesAndWhatComes) {
    EXPECT_EQ(difference("a\nb\nc\n", "a\nb\nc\n"), "");
    EXPECT_EQ(difference("from the guest:\nlayer root:\n  one\n  two\nto the guest:\nlayer root:\n  three\n",
                         "from the guest:\nlayer root:\n  one\nto the guest:\nlayer root:\n  three\n  four\n"),
              "  from the guest:\n  layer root:\n-   two\n  to the guest:\n  layer root:\n+   four\n");
}

// The filter that is complete for IPv6: each packet with the rule that must decide.
TEST(CleanTrafficDual, HoldsTheGuestToItsAddresses) {
    const Port guest = port("clean-traffic-dual", {{"IP", {"10.0.0.1"}}, {"IPV6", {"2001:db8::5", "2001:db8::6"}}});
    constexpr std::string_view own = "fe80::5054:ff:fe00:1";
    const auto from = [&](std::string_view src, const std::string& rest) {
        return "out icmpv6 src=" + std::string(src) + " dst=ff02::1 " + rest;
    };
    const std::vector<std::pair<std::string, std::string>> cases{
        {"out tcp src=10.0.0.1 dst=10.0.0.2", "passes"},
        {"out tcp src=10.0.0.9 dst=10.0.0.2", "no-ip-spoofing/rule 3"},
        {"out tcp src=2001:db8::5 dst=2001:db8::9", "passes"},
        {"out tcp src=2001:db8::6 dst=2001:db8::9", "passes"},
        {"out tcp src=2001:db8::9 dst=2001:db8::5", "drop  # no-nd-spoofing/rule 15"},
        {"out tcp srcmac=2:2:2:2:2:2 src=2001:db8::5", "drop  # no-mac-spoofing/rule 2"},
        {from(own, "type=136 nd.target=" + std::string(own)), "passes"},
        {from("2001:db8::5", "type=136 nd.target=2001:db8::6"), "passes"},
        {from("2001:db8::5", "type=136 nd.target=2001:db8::1"), "drop  # no-nd-spoofing/rule 12"},
        {from(own, "type=136 nd.target=fe80::1"), "drop  # no-nd-spoofing/rule 12"},
        {from("fe80::1", "type=136 nd.target=fe80::1"), "drop  # no-nd-spoofing/rule 12"},
        {from(own, "type=134"), "drop  # no-nd-spoofing/rule 1\n"},
        {from(own, "type=137"), "drop  # no-nd-spoofing/rule 2"},
        {from("fe80::1", "type=134"), "drop  # no-nd-spoofing/rule 1\n"},
        {"out udp src=fe80::5054:ff:fe00:1 dst=fe80::9 sport=547 dport=546", "drop  # no-nd-spoofing/rule 3"},
        {"out udp src=fe80::5054:ff:fe00:1 dst=ff02::1:2 sport=546 dport=547", "passes"},
        {from("::", "type=135 nd.target=2001:db8::5"), "passes"},
        {from("::", "type=135 nd.target=2001:db8::1"), "drop  # no-nd-spoofing/rule 15"},
        {"out icmpv6 src=:: dst=ff02::2 type=133", "passes"},
        {"out icmpv6 src=:: dst=ff02::16 type=143", "passes"},
        {"out vlan=5 tcp src=2001:db8::5", "drop  # no-other-l2-traffic/rule 1"},
        {"in icmpv6 src=fe80::1 type=134", "passes"},
        {"in tcp src=2001:db8::9 dst=2001:db8::5", "passes"},
    };
    for (const auto& [packet, expected] : cases) {
        EXPECT_NE(why(guest, packet).find(expected), std::string::npos) << packet << "\n" << why(guest, packet);
    }
    const Port waiting = port("clean-traffic-dual", {{"IP", {"10.0.0.1"}}});
    EXPECT_NE(why(waiting, "out tcp src=2001:db8::5").find("drop"), std::string::npos);
    EXPECT_NE(why(waiting, "out tcp src=2001:db8::5", {*parse_ip("2001:db8::5")}).find("passes"), std::string::npos);
    const auto without =
        attach(port("clean-traffic-dual", {{"IP", {"10.0.0.1"}}, {"CTRL_IP_LEARNING", {"none"}}}), Filters().lookup());
    ASSERT_FALSE(without);
    EXPECT_NE(without.error().message.find("parameter IPV6 is missing"), std::string::npos);
}

}  // namespace
}  // namespace bascule::nwfilter
