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
                                      "advertise nat64='64:ff9b::/95'",
                                      "prefix of='2001:db8::/64' preferred='9' valid='5'",
                                      "dhcp nonsense='1'"}) {
        const auto extras = read(element);
        EXPECT_FALSE(extras) << element;
        EXPECT_NE(extras.error().message.find("line 1"), std::string::npos) << extras.error().message;
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
