// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/host_side.h"

#include <gtest/gtest.h>

#include "network/xml.h"

namespace bascule::daemon {
namespace {

using State = kernel::os::Firewalld::State;

network::Spec network_with(const std::string& bridge) {
    return network::parse("<network><name>n</name>" + bridge + "</network>").value();
}

TEST(HostSideZone, IsTheOneThatIsAskedForElseOurs) {
    const std::set<std::string> zones{"bascule", "dmz"};
    EXPECT_EQ(zone_of(network_with("<bridge name='b' zone='dmz'/>"), zones), "dmz");
    EXPECT_EQ(zone_of(network_with("<bridge name='b'/>"), zones), "bascule");
    EXPECT_EQ(zone_of(network_with("<bridge name='b'/>"), {"public"}), "");
    EXPECT_EQ(zone_of(network_with("<forward mode='bridge'/><bridge name='b'/>"), zones), "");
}

TEST(HostSideZone, ThatCannotBeHadIsRefused) {
    const network::Spec asks = network_with("<bridge name='b' zone='dmz'/>"), silent = network_with("");
    EXPECT_TRUE(check_zone(asks, State::running, {"dmz"}));
    EXPECT_TRUE(check_zone(asks, State::unknown, {}));
    EXPECT_TRUE(check_zone(silent, State::absent, {}));
    EXPECT_TRUE(check_zone(asks, State::absent, {}).error().message.contains("firewalld does not run"));
    EXPECT_TRUE(check_zone(asks, State::running, {"a", "b"}).error().message.contains("no such zone; it has: a, b"));
}

TEST(HostSideManagers, AreToldOfBridgesThatTheInstalledFilesDoNotKnow) {
    const std::set<IfName> bridges{*IfName::parse("lab0"), *IfName::parse("virbr0"), *IfName::parse("work")};
    EXPECT_TRUE(network_manager_file(bridges).ends_with(
        "[keyfile]\nunmanaged-devices+=interface-name:=lab0;interface-name:=work\n"));
    EXPECT_TRUE(networkd_file(bridges).contains("[Match]\nName=lab0 work\n"));
    EXPECT_EQ(network_manager_file({*IfName::parse("virbr7")}), "");
    EXPECT_EQ(networkd_file({}), "");
}

}  // namespace
}  // namespace bascule::daemon
