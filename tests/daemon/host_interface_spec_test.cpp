// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/host_interface_spec.h"

#include <gtest/gtest.h>

namespace bascule::daemon {
namespace {

HostInterface parsed(std::string_view text) {
    auto spec = parse_host_interface(text);
    EXPECT_TRUE(spec) << spec.error().message;
    return spec ? *std::move(spec) : HostInterface{.name = *IfName::parse("none")};
}

TEST(HostInterfaceSpec, WhatIsWrittenIsReadAgainAsItWas) {
    for (const char* const text : {
             "<interface type='ethernet' name='eth0'><start mode='onboot'/><protocol family='ipv4'><ip "
             "address='192.0.2.1' "
             "prefix='24'/><route gateway='192.0.2.254'/></protocol></interface>",
             "<interface type='vlan' name='eth0.42'><vlan tag='42'><interface name='eth0'/></vlan></interface>",
             "<interface type='bond' name='bond0'><bond mode='active-backup'><miimon freq='100' updelay='10' "
             "downdelay='20' carrier='ioctl'/><interface type='ethernet' name='eth1'/><interface name='eth0'/></bond>"
             "</interface>",
             "<interface type='bond' name='bond0'><bond><arpmon interval='100' target='192.168.50.7' "
             "validate='backup'/></bond></interface>",
             "<interface type='bridge' name='br0'><bridge stp='on' delay='4.5'><interface type='ethernet' name='eth0'/>"
             "<interface type='vlan' name='eth1.2'><vlan tag='2'><interface name='eth1'/></vlan></interface>"
             "<interface type='bond' name='b'><bond mode='802.3ad'><interface name='eth3'/></bond></interface>"
             "</bridge></interface>",
         }) {
        const HostInterface spec = parsed(text);
        EXPECT_EQ(parsed(format(spec)), spec) << format(spec);
    }
}

TEST(HostInterfaceSpec, ABridgeBringsItsVlansAndBonds) {
    const HostInterface spec = parsed(
        "<interface type='bridge' name='br0'><mtu size='1400'/><bridge><interface type='vlan' name='eth1.2'><vlan "
        "tag='2'><interface name='eth1'/></vlan></interface><interface type='bond' name='b'><bond mode='active-backup'>"
        "<miimon freq='100' updelay='250'/><interface name='eth3'/></bond></interface></bridge></interface>");
    EXPECT_EQ(kernel::dump(compile(spec)),
              "link b bond owner interface:br0 up master br0 bond mode 1 miimon 100 updelay 200 downdelay 0\n"
              "link br0 bridge owner interface:br0 up mtu 1400 stp off forward-delay 0.00 s\n"
              "link eth1.2 vlan owner interface:br0 up master br0 vlan 2 of eth1\n"
              "link eth3 foreign up master b\n");
}

TEST(HostInterfaceSpec, ABondThatNothingWatchesIsWatched) {
    const kernel::State state = compile(parsed("<interface type='bond' name='b'><bond/></interface>"));
    EXPECT_EQ(state.links.at(*IfName::parse("b")).bond->miimon, 100U);
}

TEST(HostInterfaceSpec, WhatCannotBeIsRefusedByName) {
    const auto refuses = [](std::string_view text, std::string_view words) {
        const auto spec = parse_host_interface(text);
        ASSERT_FALSE(spec) << text;
        EXPECT_TRUE(spec.error().message.contains(words)) << spec.error().message;
    };
    refuses("<interface name='x'/>", "'ethernet', 'bridge', 'vlan' or 'bond'");
    refuses("<interface type='vlan' name='x'/>", "<vlan>");
    refuses("<interface type='vlan' name='x'><vlan tag='0'><interface name='eth0'/></vlan></interface>", "1 to 4094");
    refuses("<interface type='vlan' name='x'><vlan tag='1'/></interface>", "<interface>");
    refuses("<interface type='bond' name='x'><bond mode='6'/></interface>", "'balance-alb'");
    refuses(
        "<interface type='bond' name='x'><bond mode='balance-tlb'><arpmon interval='1' target='192.0.2.1'/></bond>"
        "</interface>",
        "use <miimon>");
    refuses("<interface type='bond' name='x'><bond><interface name='x'/></bond></interface>", "two places");
    refuses("<interface type='bridge' name='x'><bridge><interface type='bridge' name='y'/></bridge></interface>",
            "as a port");
    refuses("<interface type='bond' name='x'><bond><interface type='vlan' name='y'/></bond></interface>",
            "use 'ethernet'");
    refuses("<interface type='ethernet' name='x'><protocol family='ipv4'><dhcp/></protocol></interface>", "<dhcp>");
}

}  // namespace
}  // namespace bascule::daemon
