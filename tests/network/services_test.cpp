// SPDX-License-Identifier: GPL-2.0-or-later
// What a definition says about DHCP in our own namespace and in lines for dnsmasq, as it reaches the service.
#include "network/services.h"

#include <gtest/gtest.h>

#include <fmt/format.h>

#include "dhcp/told.h"
#include "network/dnsmasq.h"

namespace bascule::network {
namespace {

using namespace literals;

Result<ServiceExtras> read(std::string_view element) {
    TRY(const xml::Node node, xml::parse(fmt::format("<{}/>", element)));
    ServiceExtras out;
    TRY(const bool known, read_service(node, out));
    EXPECT_TRUE(known) << element;
    return out;
}

dhcp::Spec service() {
    return {.uuid = {},
            .network = "n",
            .bridge = *IfName::parse("br0"),
            .subnets = {{.server = {"10.0.0.1"_ip, 24}}, {.server = {"2001:db8:1::1"_ip, 64}}}};
}

TEST(NetworkServices, EveryElementIsReadAndApplied) {
    dhcp::Spec spec = service();
    for (const char* const element :
         {"dhcp rapid-commit='no' probe='yes' ipv6-only='1800' dns='10.0.0.5' ntp='10.0.0.6' search='a.example b' "
          "portal='https://p/'",
          "boot file='x.efi' arch='7 9' ipxe='no'", "option code='224' type='u16' value='1 2' force='yes'",
          "route to='10.8.0.0/16' via='10.0.0.7'",
          "relayed router='10.9.0.1' prefix='24' start='10.9.0.10' end='10.9.0.20' lease='0'",
          "delegate from='2001:db8:f00::/56'",
          "advertise managed='yes' interval='60' preference='high' nat64='64:ff9b::/96' routes='2001:db8:f::/48'",
          "prefix of='2001:db8:1::/64' autonomous='yes' valid='600' preferred='300'",
          "alias name='ftp' target='web.example'", "forwarder domain='corp.example' addr='10.1.0.1' port='5353'",
          "forwarder addr='2001:db8::53'", "names private-answers='yes'", "dhcp key='client-id'",
          "reserve ip='10.0.0.9' circuit-id='hex:0a0b' remote-id='rack 7' name='web' lease='600'",
          "pool start='10.0.0.9' end='10.0.0.12' circuit-id='hex:0a0b' remote-id='rack 7' lease='600'"}) {
        const auto extras = read(element);
        ASSERT_TRUE(extras) << extras.error().message;
        dhcp::Spec one = service();
        apply(*extras, one);
        EXPECT_FALSE(one == service()) << element;
    }
    apply(*read("option code='6' type='ip' value='10.0.0.1 10.0.0.2'"), spec);
    EXPECT_EQ(spec.options[0].value, (std::vector<std::uint8_t>{10, 0, 0, 1, 10, 0, 0, 2}));
    EXPECT_EQ(read("option code='43' type='hex' value='01:ff'")->options[0].value, (std::vector<std::uint8_t>{1, 255}));
    EXPECT_EQ(read("option code='59' type='text' value='x' family='ipv6'")->options6.size(), 1U);
}

TEST(NetworkServices, WhatIsWrongIsRefusedWithItsPlace) {
    for (const char* const element : {"alias name='a'",
                                      "alias name='a' target='a'",
                                      "forwarder domain='a'",
                                      "forwarder addr='0.0.0.0'",
                                      "forwarder addr='10.0.0.1' port='0'",
                                      "names private-answers='1'",
                                      "dhcp probe='maybe'",
                                      "dhcp key='mac'",
                                      "reserve ip='10.0.0.9'",
                                      "reserve circuit-id='x'",
                                      "reserve ip='10.0.0.9' circuit-id='hex:abc'",
                                      "reserve ip='2001:db8:1::9' circuit-id='x'",
                                      "pool start='10.0.0.9' end='10.0.0.12'",
                                      "pool start='10.0.0.9' end='10.0.0.8' circuit-id='x'",
                                      "pool start='2001:db8:1::9' end='2001:db8:1::a' circuit-id='x'",
                                      "pool start='10.0.0.9' circuit-id='x'",
                                      "boot",
                                      "option code='53' type='u8' value='1'",
                                      "option code='300' type='u8' value='1'",
                                      "option code='224' type='u8' value='256'",
                                      "option code='224' type='odd' value='1'",
                                      "option code='224' type='hex' value='123'",
                                      "route to='2001:db8::/32' via='10.0.0.1'",
                                      "route to='10.0.0.0/8'",
                                      "relayed router='10.9.0.1' prefix='24' start='10.8.0.10' end='10.9.0.20'",
                                      "delegate from='10.0.0.0/8'",
                                      "delegate from='2001:db8::/56' length='48'",
                                      "advertise interval='1'",
                                      "advertise interval='600' lifetime='599'",
                                      "advertise nat64='64:ff9b::/95'",
                                      "prefix of='2001:db8::/64' preferred='9' valid='5'",
                                      "dhcp nonsense='1'",
                                      "option code='7' type='ip' value='2001:db8::1'",
                                      "option code='7' type='ip' value='10.0.0.1' family='ipv6'",
                                      "option code='43' sub='0' type='u8' value='1'",
                                      "option code='43' sub='255' type='u8' value='1'",
                                      "option code='43' sub='1' enterprise='5' type='u8' value='1'",
                                      "option code='125' sub='1' type='u8' value='1'",
                                      "option code='23' family='ipv6' sub='1' type='u8' value='1'",
                                      "reserve ip='10.0.0.9' iaid='7'",
                                      "reserve ip='2001:db8:1::9' iaid='4294967296'"}) {
        const auto extras = read(element);
        EXPECT_FALSE(extras) << element;
        EXPECT_NE(extras.error().message.find("line 1"), std::string::npos) << extras.error().message;
    }
}

TEST(NetworkServices, OptionsInOptionsAreTypedAndJoined) {
    ServiceExtras extras;
    for (const char* const element :
         {"option code='43' sub='6' type='u8' value='8' vendor='PXEClient'",
          "option code='43' sub='8' type='ip' value='10.0.0.9' vendor='PXEClient'",
          "option code='43' sub='1' type='text' value='x' vendor='other'",
          "option code='125' enterprise='3561' sub='5' type='text' value='ab' force='yes'",
          "option code='125' enterprise='9' sub='1' type='u8' value='7' force='yes'",
          "option code='17' family='ipv6' enterprise='4491' sub='32' type='ip' value='2001:db8::9'"}) {
        const auto one = read(element);
        ASSERT_TRUE(one) << element << ": " << one.error().message;
        extras.suboptions.push_back(one->suboptions.at(0));
    }
    dhcp::Spec spec = service();
    apply(extras, spec);
    ASSERT_EQ(spec.options.size(), 3U);
    EXPECT_EQ(spec.options[0].when.vendor_class, "PXEClient");
    EXPECT_EQ(spec.options[0].value, (std::vector<std::uint8_t>{6, 1, 8, 8, 4, 10, 0, 0, 9}));
    EXPECT_EQ(spec.options[1].value, (std::vector<std::uint8_t>{1, 1, 'x'}));
    EXPECT_EQ(spec.options[2].value,
              (std::vector<std::uint8_t>{0, 0, 0x0d, 0xe9, 4, 5, 2, 'a', 'b', 0, 0, 0, 9, 3, 1, 1, 7}));
    ASSERT_EQ(spec.options6.size(), 1U);
    EXPECT_EQ(spec.options6[0].value.size(), 4U + 4U + 16U);
    EXPECT_EQ(spec.options6[0].value[5], 32);
}

TEST(NetworkServices, WhatIsForNoSubnetIsSaid) {
    const std::vector<IpInterface> subnets{{"10.0.0.1"_ip, 24}};
    EXPECT_EQ(misplaced(*read("prefix of='2001:db8:9::/64'"), subnets), "<prefix of='2001:db8:9::/64'>");
    EXPECT_EQ(misplaced(*read("delegate from='2001:db8::/56'"), subnets), "<delegate from='2001:db8::/56'>");
    EXPECT_EQ(misplaced(*read("reserve ip='10.0.1.9' name='x'"), subnets), "<reserve ip='10.0.1.9'>");
    EXPECT_EQ(misplaced(*read("reserve ip='10.0.0.9' name='x'"), subnets), "");
}

TEST(NetworkServices, OptionLinesForDnsmasqAreEncodedByWhatTheyHold) {
    using Octets = std::vector<std::uint8_t>;
    const struct {
        std::string line;
        std::uint8_t code;
        Octets value;
    } kCases[] = {
        {"dhcp-option=3", 3, {}},
        {"dhcp-option = 3 , 10.0.0.7", 3, {10, 0, 0, 7}},
        {"dhcp-option=option:router,0.0.0.0", 3, {10, 0, 0, 1}},
        {"dhcp-option=6,8.8.8.8, 8.8.4.4", 6, {8, 8, 8, 8, 8, 8, 4, 4}},
        {"dhcp-option=option:mtu,1450", 26, {5, 170}},
        {"dhcp-option=26,1450", 26, {5, 170}},
        {"dhcp-option=19,0", 19, {0}},
        {"dhcp-option=23,50", 23, {50}},
        {"dhcp-option=option:time-offset,3600", 2, {0, 0, 14, 16}},
        {"dhcp-option=46,8", 46, {8}},
        {"dhcp-option=210,\"a,b\"", 210, {'a', ',', 'b'}},
        {"dhcp-option=252,http://w/p", 252, {'h', 't', 't', 'p', ':', '/', '/', 'w', '/', 'p'}},
        {"dhcp-option=128,e4:45:74:68:00:00", 128, {0xe4, 0x45, 0x74, 0x68, 0, 0}},
        {"dhcp-option=211,1200i", 211, {0, 0, 4, 176}},
        {"dhcp-option=211,300", 211, {1, 44}},
        {"dhcp-option=option:tftp-server,10.0.0.9", 66, {'1', '0', '.', '0', '.', '0', '.', '9'}},
        {"dhcp-option=150,10.0.0.9", 150, {10, 0, 0, 9}},
        {"dhcp-option=121,10.8.0.0/16,10.0.0.7,0.0.0.0/0,10.0.0.1", 121, {16, 10, 8, 10, 0, 0, 7, 0, 10, 0, 0, 1}},
        {"dhcp-option=119,a.b", 119, {1, 'a', 1, 'b', 0}},
        {"dhcp-option=vendor:PXEClient,6,2b", 43, {6, 1, 2}},
        {"dhcp-option=encap:175,190,user", 175, {190, 4, 'u', 's', 'e', 'r'}},
        {"dhcp-option=vi-encap:2,10,text", 125, {0, 0, 0, 2, 6, 10, 4, 't', 'e', 'x', 't'}},
    };
    for (const auto& [line, code, value] : kCases) {
        dhcp::Spec spec = service();
        const auto added = add_dnsmasq({line}, spec);
        ASSERT_TRUE(added) << line << ": " << added.error().message;
        ASSERT_EQ(spec.options.size(), 1U) << line;
        EXPECT_EQ(spec.options[0].code, code) << line;
        EXPECT_EQ(spec.options[0].value, value) << line;
    }
    dhcp::Spec spec = service();
    ASSERT_TRUE(add_dnsmasq({"dhcp-option=vendor:PXEClient,6,2b", "dhcp-option=vendor:PXEClient,8,10.0.0.9"}, spec));
    EXPECT_EQ(spec.options[0].value, (Octets{6, 1, 2, 8, 4, 10, 0, 0, 9}));
    for (const char* const line :
         {"dhcp-option=", "dhcp-option=0,1", "dhcp-option=255,1", "dhcp-option=53,1", "dhcp-option=option:nonsense,1",
          "dhcp-option=option6:dns-server,[::]", "dhcp-option=26,70000", "dhcp-option=23,256",
          "dhcp-option=121,10.0.0.1", "dhcp-option=119,a..b", "dhcp-option=210,a,b", "dhcp-option=vi-encap:x,1,2",
          "dhcp-option=encap:0,1,2", "dhcp-option=tag:nobody,3,10.0.0.1", "dhcp-option=vendor:X"}) {
        dhcp::Spec refused = service();
        const auto added = add_dnsmasq({line}, refused);
        ASSERT_FALSE(added) << line;
        EXPECT_NE(added.error().message.find(line), std::string::npos) << added.error().message;
    }
}

TEST(NetworkServices, HostLinesForDnsmasqAreReservations) {
    dhcp::Spec spec = service();
    const auto added = add_dnsmasq({"dhcp-host=52:54:00:00:00:01,10.0.0.9,web,12h",
                                    "dhcp-host=id:01:02,10.0.0.10,infinite", "dhcp-host=mail,[2001:db8:1::9]"},
                                   spec);
    ASSERT_TRUE(added) << added.error().message;
    ASSERT_EQ(spec.subnets[0].hosts.size(), 2U);
    const dhcp::Reservation& web = spec.subnets[0].hosts[0];
    EXPECT_EQ(web.mac, "52:54:00:00:00:01"_mac);
    EXPECT_EQ(web.name, "web");
    EXPECT_EQ(web.address, "10.0.0.9"_ip);
    EXPECT_EQ(web.lease, std::chrono::hours(12));
    EXPECT_EQ(spec.subnets[0].hosts[1].client_id, (std::vector<std::uint8_t>{1, 2}));
    EXPECT_EQ(spec.subnets[0].hosts[1].lease, std::chrono::seconds(0));
    EXPECT_EQ(spec.subnets[1].hosts.at(0).name, "mail");
    for (const char* const line :
         {"dhcp-host=52:54:00:00:00:01", "dhcp-host=52:54:00:00:00:02,10.9.9.9", "dhcp-host=10.0.0.11",
          "dhcp-host=52:54:00:00:00:02,10.0.0.11,set:red", "dhcp-host=52:54:00:00:00:02,10.0.0.9",
          "dhcp-host=52:54:00:00:00:02,10.0.0.11,ignore,x", "dhcp-host=52:54:00:00:00:02,10.0.0.11,30s"}) {
        EXPECT_FALSE(add_dnsmasq({line}, spec)) << line;
    }
}

TEST(NetworkServices, BootLinesForDnsmasqFollowTheirTags) {
    dhcp::Spec spec = service();
    const auto added = add_dnsmasq({"dhcp-boot=undionly.kpxe", "dhcp-match=set:efi,option:client-arch,7",
                                    "dhcp-match=set:efi,option:client-arch,9", "dhcp-userclass=set:ipxe,iPXE",
                                    "dhcp-boot=tag:efi,tag:!ipxe,ipxe.efi", "dhcp-boot=tag:ipxe,http://10.0.0.1/x",
                                    "dhcp-option=tag:efi,option:ntp-server,10.0.0.3"},
                                   spec);
    ASSERT_TRUE(added) << added.error().message;
    dhcp::ClientFacts bios, efi, ipxe;
    bios.archs = {0};
    efi.archs = ipxe.archs = {9};
    ipxe.ipxe = true;
    EXPECT_EQ(dhcp::boot_for(spec, bios)->file, "undionly.kpxe");
    EXPECT_EQ(dhcp::boot_for(spec, efi)->file, "ipxe.efi");
    EXPECT_EQ(dhcp::boot_for(spec, ipxe)->file, "http://10.0.0.1/x");
    EXPECT_EQ(spec.options[0].when.archs, (std::vector<std::uint16_t>{7, 9}));
}

}  // namespace
}  // namespace bascule::network
