// SPDX-License-Identifier: GPL-2.0-or-later
#include "network/check.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "network/xml.h"

namespace bascule::network {
namespace {

Spec network(std::string_view inner) {
    auto spec =
        parse(fmt::format("<network xmlns:dnsmasq='http://libvirt.org/schemas/network/dnsmasq/1.0'>"
                          "<name>n</name>{}</network>",
                          inner));
    EXPECT_TRUE(spec) << spec.error().message;
    return *spec;
}

std::string unrealisable(std::string_view inner) {
    const auto done = check_realisable(network(inner));
    return done ? std::string() : done.error().message;
}

TEST(NetworkRealisable, VlansAndSwitchesNeedALinkThatHasThem) {
    EXPECT_EQ(unrealisable("<vlan><tag id='5'/></vlan>"),
              "network 'n': <vlan> does not go with an isolated network: VLAN tags need mode 'bridge' with a bridge's "
              "name, 'passthrough' or 'hostdev'");
    EXPECT_EQ(unrealisable("<forward mode='bridge'/><bridge name='b'/><vlan><tag id='5'/></vlan>"), "");
    EXPECT_EQ(unrealisable("<forward mode='vepa' dev='e'/><portgroup name='p'><vlan><tag id='5'/></vlan></portgroup>"),
              "network 'n': <vlan> does not go with mode 'vepa': VLAN tags need mode 'bridge' with a bridge's name, "
              "'passthrough' or 'hostdev'");
    EXPECT_NE(unrealisable("<virtualport type='openvswitch'/>"), "");
    EXPECT_NE(unrealisable("<forward mode='vepa' dev='e'/><virtualport type='openvswitch'/>"), "");
    EXPECT_EQ(unrealisable("<forward mode='vepa' dev='e'/><virtualport type='802.1Qbg'/>"), "");
}

TEST(NetworkRealisable, AFloorIsAnInterfacesAndNotANetworks) {
    EXPECT_TRUE(unrealisable("<bandwidth><inbound average='10' floor='5'/></bandwidth>").contains("<inbound floor>"));
    EXPECT_EQ(unrealisable("<bandwidth><inbound average='10'/></bandwidth><portgroup name='p'><bandwidth><inbound "
                           "average='10' floor='5'/></bandwidth></portgroup>"),
              "");
}

TEST(NetworkRealisable, DnsmasqsLinesAreDoneOrRefusedByName) {
    const auto said = [](std::string_view line) {
        return unrealisable(fmt::format("<dnsmasq:options><dnsmasq:option value='{}'/></dnsmasq:options>", line));
    };
    for (const char* const line : {"cname=a.example,b.example",
                                   "txt-record=t.example,some text",
                                   "dhcp-option=42,10.0.0.1",
                                   "dhcp-option=option:ntp-server,10.0.0.1,10.0.0.2",
                                   "dhcp-option-force=66,&quot;10.0.0.9&quot;",
                                   "dhcp-option=3",
                                   "dhcp-option=option:mtu,1400",
                                   "dhcp-option=119,a.example,b.example",
                                   "dhcp-option=121,10.0.0.0/8,10.0.0.1",
                                   "dhcp-boot=pxelinux.0,tftp,10.0.0.9",
                                   "dhcp-authoritative",
                                   "log-queries",
                                   "cname=*.x.example,b.example",
                                   "address=/.apps.x.example/10.0.0.5",
                                   "address=/a/b/fd00::1",
                                   "host-record=a.example,b,10.0.0.5,fd00::5",
                                   "srv-host=_ldap._tcp.x.example,a.example,389,1,2",
                                   "srv-host=_ldap._tcp.x.example",
                                   "server=/corp.example/10.0.0.53#5353",
                                   "server=10.0.0.53",
                                   "server=/out.example/#",
                                   "server=/six.example/fd00::53",
                                   "dhcp-ignore-clid",
                                   "dhcp-option=224,7",
                                   "dhcp-match=set:x,60,PXE",
                                   "bogus-priv"}) {
        EXPECT_EQ(said(line), "") << line;
    }
    EXPECT_EQ(unrealisable("<domain name='x.example'/><dnsmasq:options>"
                           "<dnsmasq:option value='local=/x.example/'/></dnsmasq:options>"),
              "");
    for (const char* const line : {"foo=bar",
                                   "cname=a.example,*.x.example",
                                   "cname=a",
                                   "cname=x.*.example,a",
                                   "address=/a/",
                                   "address=10.0.0.1",
                                   "address=/a b/10.0.0.1",
                                   "address=/a/#",
                                   "host-record=a",
                                   "host-record=10.0.0.1",
                                   "host-record=a,10.0.0.1,b",
                                   "srv-host=ldap.tcp.x,a",
                                   "srv-host=_ldap",
                                   "srv-host=_ldap._tcp.x,a,99999",
                                   "srv-host=",
                                   "server=/a/",
                                   "server=#",
                                   "server=a.example",
                                   "server=10.0.0.1#0",
                                   "server=10.0.0.1@eth0",
                                   "local=/elsewhere.example/",
                                   "local=x",
                                   "txt-record=a b,c",
                                   "dhcp-option=0,10.0.0.1",
                                   "dhcp-option=option:nothing,x",
                                   "dhcp-option=42,x,y",
                                   "dhcp-option=tag:x,42,10.0.0.1",
                                   "dhcp-option=26,9",
                                   "dhcp-boot=",
                                   "dhcp-boot=a,b,c",
                                   "dhcp-match=x",
                                   "conf-file=/etc/passwd",
                                   ""}) {
        EXPECT_TRUE(said(line).starts_with("<dnsmasq:option value='")) << line;
    }
}

TEST(NetworkRealisable, AZoneIsTheHostsToJudgeAndAProxyNeedsTheDeviceThatItAnswersOn) {
    EXPECT_EQ(unrealisable("<bridge name='b' zone='work'/>"), "");
    const std::string guest =
        "<metadata><b:network xmlns:b='urn:bascule:1'>"
        "<b:guest-address ip='203.0.113.7' proxy='yes'/></b:network></metadata>";
    const std::string ip = "<ip address='10.0.0.1' prefix='24'/>";
    EXPECT_TRUE(unrealisable(guest + "<forward mode='route'/>" + ip).contains("the device on which the host answers"));
    EXPECT_EQ(unrealisable(guest + "<forward mode='route' dev='eth0'/>" + ip), "");
}

TEST(NetworkRealisable, TheHostLearnsADomainUnlessItIsNotTo) {
    EXPECT_EQ(unrealisable("<domain name='a.example' localOnly='yes' register='yes'/>"), "");
    EXPECT_EQ(unrealisable("<domain name='a.example' register='no'/>"), "");
}

TEST(NetworkLive, WhatGuestsWouldLoseIsRefusedWithTheReason) {
    const std::string ip = "<ip address='10.0.0.1' prefix='24'/>";
    const Spec nat = network("<forward mode='nat'/><bridge name='b'/><mac address='52:54:00:00:00:01'/>" + ip);
    const auto said = [&](std::string_view inner, unsigned plugged) {
        const auto done = check_live(nat, network(inner), plugged);
        return done ? std::string() : done.error().message;
    };
    const std::string mac = "<mac address='52:54:00:00:00:01'/>", other = "<mac address='52:54:00:00:00:02'/>";
    EXPECT_EQ(said("<forward mode='route'/><bridge name='b'/>" + mac + "<ip address='10.0.1.1' prefix='24'/>", 3), "");
    EXPECT_TRUE(said("<forward mode='nat'/><bridge name='c'/>" + mac + ip, 0)
                    .starts_with("network 'n': <bridge name> cannot change while the network runs: "));
    EXPECT_TRUE(said("<forward mode='bridge'/><bridge name='b'/>", 0)
                    .starts_with("network 'n': <forward mode> cannot change while the network runs: "));
    EXPECT_EQ(said("<forward mode='nat'/><bridge name='b'/>" + other + ip, 0), "");
    EXPECT_NE(said("<forward mode='nat'/><bridge name='b'/>" + other + ip, 1), "");
    EXPECT_NE(said("<forward mode='nat'/><bridge name='b'/><mtu size='9000'/>" + mac + ip, 1), "");
    EXPECT_NE(said("<forward mode='nat'/><bridge name='b'/><port isolated='yes'/>" + mac + ip, 1), "");
}

}  // namespace
}  // namespace bascule::network
