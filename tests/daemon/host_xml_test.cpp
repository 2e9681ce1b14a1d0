// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include "daemon/device_xml.h"
#include "daemon/interface_xml.h"

namespace bascule::daemon {
namespace {

using namespace literals;
using kernel::HostDevice;
using kernel::HostLink;

HostLink link(const char* name) {
    HostLink out{.name = *IfName::parse(name)};
    out.mac = "02:00:00:00:00:01"_mac;
    out.mtu = 1500;
    return out;
}

std::string xml_of(const HostLink& one, const std::vector<HostLink>& all) {
    return interface_xml(one, all, [](const HostLink& l) { return l.name.str() == "eth0" ? 1000U : 0U; });
}

TEST(InterfaceXml, ADeviceHasItsAddressesSpeedAndState) {
    HostLink eth = link("eth0");
    eth.carrier = true;
    eth.addresses = {{"192.0.2.1"_ip, 24}, {"2001:db8::1"_ip, 64}};
    EXPECT_EQ(xml_of(eth, {eth}),
              "<interface type='ethernet' name='eth0'>\n  <mtu size='1500'/>\n  <protocol family='ipv4'>\n    <ip "
              "address='192.0.2.1' prefix='24'/>\n  </protocol>\n  <protocol family='ipv6'>\n    <ip "
              "address='2001:db8::1' prefix='64'/>\n  </protocol>\n  <mac address='02:00:00:00:00:01'/>\n  <link "
              "speed='1000' state='up'/>\n</interface>\n");
}

TEST(InterfaceXml, ABridgeHoldsItsPorts) {
    HostLink bridge = link("br0"), eth = link("eth0"), vlan = link("eth1.5");
    bridge.kind = "bridge";
    bridge.stp = true;
    bridge.delay_centis = 250;
    eth.master = vlan.master = "br0";
    vlan.kind = "vlan";
    vlan.vlan = 5;
    vlan.parent = "eth1";
    EXPECT_EQ(xml_of(bridge, {bridge, eth, vlan}),
              "<interface type='bridge' name='br0'>\n  <mtu size='1500'/>\n  <bridge stp='on' delay='2.50'>\n    "
              "<interface type='ethernet' name='eth0'>\n      <mac address='02:00:00:00:00:01'/>\n      <link "
              "speed='1000' state='down'/>\n    </interface>\n    <interface type='vlan' name='eth1.5'>\n      <link "
              "state='down'/>\n      <vlan tag='5'>\n        <interface name='eth1'/>\n      </vlan>\n    "
              "</interface>\n  </bridge>\n</interface>\n");
}

TEST(InterfaceXml, ABondWithoutPortsIsShownAsADevice) {
    HostLink bond = link("bond0"), eth = link("eth0");
    bond.kind = "bond";
    EXPECT_NE(xml_of(bond, {bond, eth}).find("type='ethernet'"), std::string::npos);
    eth.master = "bond0";
    bond.bond = kernel::BondSettings{.mode = 1, .miimon = 100};
    EXPECT_NE(xml_of(bond, {bond, eth})
                  .find("<bond mode='active-backup'>\n    <miimon freq='100' carrier='netif'/>\n"
                        "    <interface type='ethernet' name='eth0'>"),
              std::string::npos);
}

TEST(DeviceXml, APciDeviceIsShownWithItsPlaceAndRelatives) {
    const HostDevice device{
        .kind = HostDevice::Kind::pci,
        .name = "pci_0000_03_10_1",
        .parent = "pci_0000_00_1c_0",
        .path = "/sys/devices/pci0000:00/0000:00:1c.0/0000:03:10.1",
        .driver = "igbvf",
        .facts = {{"slot", "0000:03:10.1"}, {"class", "0x020000"}, {"vendor", "0x8086"}, {"device", "0x10ca"}},
        .numa_node = 1,
        .iommu_group = 7,
        .iommu_members = {"0000:03:10.1"},
        .physical_function = "0000:03:00.0"};
    EXPECT_EQ(
        device_xml(device, {}),
        "<device>\n  <name>pci_0000_03_10_1</name>\n  <path>/sys/devices/pci0000:00/0000:00:1c.0/0000:03:10.1</path>\n"
        "  <parent>pci_0000_00_1c_0</parent>\n  <driver>\n    <name>igbvf</name>\n  </driver>\n  <capability "
        "type='pci'>\n    <class>0x020000</class>\n    <domain>0</domain>\n    <bus>3</bus>\n    <slot>16</slot>\n"
        "    <function>1</function>\n    <product id='0x10ca'/>\n    <vendor id='0x8086'/>\n    <capability "
        "type='phys_function'>\n      <address domain='0x0000' bus='0x03' slot='0x00' function='0x0'/>\n    "
        "</capability>\n    <iommuGroup number='7'>\n      <address domain='0x0000' bus='0x03' slot='0x10' "
        "function='0x1'/>\n    </iommuGroup>\n    <numa node='1'/>\n  </capability>\n</device>\n");
}

TEST(DeviceXml, TheComputerIsDescribedByItsFirmware) {
    const HostDevice device{.name = "computer", .facts = {{"sys_vendor", "A & B"}, {"bios_date", "04/01/2014"}}};
    EXPECT_EQ(device_xml(device, *Uuid::parse("11223344-5566-4788-99aa-bbccddeeff00")),
              "<device>\n  <name>computer</name>\n  <capability type='system'>\n    <hardware>\n      <vendor>A &amp; "
              "B</vendor>\n      <uuid>11223344-5566-4788-99aa-bbccddeeff00</uuid>\n    </hardware>\n    <firmware>\n"
              "      <release_date>04/01/2014</release_date>\n    </firmware>\n  </capability>\n</device>\n");
}

}  // namespace
}  // namespace bascule::daemon
