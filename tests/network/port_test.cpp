// SPDX-License-Identifier: GPL-2.0-or-later
#include "network/port.h"

#include <map>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "network/xml.h"

namespace bascule::network {
namespace {

Spec network(std::string_view inner) {
    auto spec = parse(fmt::format("<network><name>n</name>{}</network>", inner));
    EXPECT_TRUE(spec) << spec.error().message;
    return *spec;
}

const std::function<unsigned(const std::string&)> kNobody = [](const std::string&) { return 0U; };

TEST(NetworkPort, WhatIsMisspeltOrMissingIsNamedWithItsLine) {
    const auto said = [](std::string_view inner) {
        const auto port = parse_port(fmt::format("<networkport>\n{}\n</networkport>", inner));
        return port ? std::string() : port.error().message;
    };
    const std::string owner = "<owner><name>a</name><uuid>d54df46f-1ab5-4a22-8618-4560ef5fac2c</uuid></owner>";
    EXPECT_EQ(said(owner), "");
    EXPECT_EQ(said(""), "line 1: <networkport>: is missing (expected an element <owner>)");
    EXPECT_EQ(said("<owner><name>a</name></owner>"), "line 2: <owner>: is missing (expected an element <uuid>)");
    EXPECT_EQ(said(owner + "<plug type='brigde' bridge='b'/>"),
              "line 2: <plug type>: expected 'network', 'bridge', 'direct' or 'hostdev-pci', got 'brigde'");
    EXPECT_EQ(said(owner + "<plug type='direct' bridge='b'/>"),
              "line 2: <plug dev>: the attribute is missing (expected a device name of 1 to 15 characters)");
    EXPECT_EQ(said(owner + "<mac address='01:00:00:00:00:01'/>"),
              "line 2: <mac address>: expected a unicast MAC address, got '01:00:00:00:00:01'");
}

TEST(NetworkPort, TheGroupsSettingsAreTheNetworksBefore) {
    const Spec spec = network(
        "<forward mode='bridge'/><bridge name='br0'/><vlan><tag id='5'/></vlan><port isolated='yes'/>"
        "<virtualport type='openvswitch'/>"
        "<portgroup name='std' default='yes'/>"
        "<portgroup name='slow'><vlan><tag id='7'/></vlan>"
        "<virtualport><parameters profileid='p'/></virtualport>"
        "<bandwidth><inbound average='10'/></bandwidth></portgroup>");
    Port plain, slow{.group = "slow"}, none{.group = "fast"};
    ASSERT_TRUE(allocate(plain, spec, kNobody));
    EXPECT_EQ(plain.vlan->tags[0].id, 5);
    EXPECT_EQ(plain.isolated, true);
    EXPECT_EQ(plain.plug, (PortPlug{.type = PortPlug::Type::bridge, .device = "br0"}));
    ASSERT_TRUE(allocate(slow, spec, kNobody));
    EXPECT_EQ(slow.vlan->tags[0].id, 7);
    EXPECT_EQ(slow.bandwidth.inbound->average, 10U);
    EXPECT_EQ(slow.virtual_port->profile, "p");
    EXPECT_TRUE(slow.virtual_port->interface);
    const auto refused = allocate(none, spec, kNobody);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message, "network 'n' has no portgroup 'fast'");
}

TEST(NetworkPort, APortAndItsNetworkMustAgreeOnTheSwitch) {
    const Spec spec = network("<forward mode='bridge'/><bridge name='br0'/><virtualport type='openvswitch'/>");
    Port port{.virtual_port = VirtualPort{.type = VirtualPort::Type::midonet}};
    EXPECT_FALSE(allocate(port, spec, kNobody));
}

TEST(NetworkPort, ASharedPoolGivesTheLeastUsedAndAnExclusiveOneTheFirstFree) {
    const std::string pool = "<interface dev='eth1'/><interface dev='eth2'/><interface dev='eth3'/></forward>";
    const std::map<std::string, unsigned> used{{"eth1", 2}, {"eth2", 1}, {"eth3", 1}};
    const auto users = [&](const std::string& name) { return used.at(name); };
    Port shared;
    ASSERT_TRUE(allocate(shared, network("<forward mode='vepa'>" + pool), users));
    EXPECT_EQ(shared.plug, (PortPlug{.type = PortPlug::Type::direct, .device = "eth2"}));
    Port exclusive;
    const auto refused = allocate(exclusive, network("<forward mode='passthrough'>" + pool), users);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message, "network 'n' requires exclusive access to interfaces, but none are available");
    ASSERT_TRUE(allocate(exclusive, network("<forward mode='passthrough'>" + pool), kNobody));
    EXPECT_EQ(exclusive.plug.device, "eth1");
    Port function;
    ASSERT_TRUE(
        allocate(function,
                 network("<forward mode='hostdev' managed='yes'><address type='pci' domain='0' bus='3' slot='0' "
                         "function='1'/></forward>"),
                 kNobody));
    EXPECT_EQ(format(function.plug.pci), "0000:03:00.1");
    EXPECT_TRUE(function.plug.managed);
}

}  // namespace
}  // namespace bascule::network
