// SPDX-License-Identifier: GPL-2.0-or-later
#include "network/update.h"

#include <gtest/gtest.h>

#include "network/check.h"
#include "network/xml.h"

namespace bascule::network {
namespace {

using namespace literals;

Spec sample() {
    auto spec = parse(R"(<network>
  <name>n</name>
  <forward mode='nat' dev='eth0'/>
  <bridge name='virbr5'/>
  <domain name='lab.example'/>
  <dns>
    <txt name='a' value='1'/>
    <srv service='sip' protocol='udp' target='x.example' port='5060'/>
    <srv service='sip' protocol='tcp'/>
    <host ip='10.0.0.9'><hostname>nine</hostname><hostname>nein</hostname></host>
    <host ip='10.0.0.8'><hostname>eight</hostname><hostname>both</hostname></host>
    <host ip='2001:db8::9'><hostname>nine6</hostname><hostname>both</hostname></host>
  </dns>
  <ip address='10.0.0.1' prefix='24'>
    <dhcp>
      <range start='10.0.0.100' end='10.0.0.200'/>
      <host mac='52:54:00:00:00:01' name='one' ip='10.0.0.11'/>
      <host mac='52:54:00:00:00:02' name='two' ip='10.0.0.12'/>
    </dhcp>
  </ip>
  <ip address='10.0.1.1' prefix='24'/>
  <ip family='ipv6' address='2001:db8::1' prefix='64'>
    <dhcp><host id='0:3:0:1:52:54' name='six' ip='2001:db8::6'/></dhcp>
  </ip>
  <portgroup name='p' default='yes'/>
</network>)");
    EXPECT_TRUE(spec) << spec.error().message;
    return *spec;
}

// What it says when it refuses, or "" when it is done.
std::string tried(Spec& spec, Section section, Command command, std::string_view xml, int parent = -1) {
    const Spec before = spec;
    const auto done = update(spec, {section, command, parent, xml});
    EXPECT_TRUE(done || spec == before);
    return done ? std::string() : done.error().message;
}

constexpr auto kAll = {Command::modify, Command::remove, Command::add_last, Command::add_first};

TEST(NetworkUpdate, AHostGoesToTheSubnetThatItsAddressIsIn) {
    Spec spec = sample();
    EXPECT_EQ(tried(spec, Section::ip_dhcp_host, Command::add_last, "<host mac='52:54:00:00:00:03' ip='10.0.0.13'/>"),
              "");
    EXPECT_EQ(tried(spec, Section::ip_dhcp_host, Command::add_first, "<host id='0:3:1' ip='2001:db8::7'/>"), "");
    ASSERT_EQ(spec.addresses[0].hosts.size(), 3U);
    EXPECT_EQ(spec.addresses[0].hosts[2].address, "10.0.0.13"_ip);
    ASSERT_EQ(spec.addresses[2].hosts.size(), 2U);
    EXPECT_EQ(spec.addresses[2].hosts[0].address, "2001:db8::7"_ip);
}

TEST(NetworkUpdate, AnIpv6HostIsKnownByItsPortAndForOneAssociationToo) {
    Spec spec = sample();
    const auto change = [&](Command command, std::string_view xml) {
        return tried(spec, Section::ip_dhcp_host, command, xml);
    };
    EXPECT_EQ(change(Command::add_last, "<host mac='52:54:00:00:00:07' ip='2001:db8::17'/>"), "");
    EXPECT_EQ(change(Command::add_last,
                     "<host mac='52:54:00:00:00:07' ip='2001:db8::18'><b:association xmlns:b='urn:bascule:1' "
                     "iaid='4294967295'/></host>"),
              "");
    EXPECT_EQ(change(Command::add_last, "<host mac='52:54:00:00:00:07' ip='2001:db8::19'/>"),
              "there is an existing dhcp host entry in network 'n' that matches \"<host mac='52:54:00:00:00:07' "
              "ip='2001:db8::19'/>\"");
    ASSERT_EQ(spec.addresses[2].hosts.size(), 3U);
    EXPECT_EQ(spec.addresses[2].hosts[2].iaid, 4294967295U);
    EXPECT_NE(change(Command::add_last, "<host id='1' ip='2001:db8::20'><association iaid='1'/></host>"), "");
    EXPECT_NE(change(Command::add_last,
                     "<host id='1' ip='2001:db8::20'><b:association xmlns:b='urn:bascule:1' "
                     "iaid='4294967296'/></host>"),
              "");
    EXPECT_EQ(change(Command::remove,
                     "<host mac='52:54:00:00:00:07'><b:association xmlns:b='urn:bascule:1' iaid='4294967295'/></host>"),
              "");
    EXPECT_EQ(change(Command::remove, "<host mac='52:54:00:00:00:07'/>"), "");
    EXPECT_EQ(spec.addresses[2].hosts.size(), 1U);
    EXPECT_EQ(spec.addresses[0].hosts.size(), 2U);
}

TEST(NetworkUpdate, EachSubnetMayHaveDhcp) {
    Spec spec = sample();
    EXPECT_EQ(tried(spec, Section::ip_dhcp_host, Command::add_last, "<host name='x' ip='10.0.1.5'/>"), "");
    EXPECT_EQ(tried(spec, Section::ip_dhcp_range, Command::add_last, "<range start='10.0.1.6' end='10.0.1.9'/>"), "");
    EXPECT_EQ(spec.addresses[1].hosts.size(), 1U);
    EXPECT_EQ(spec.addresses[1].ranges.size(), 1U);
    EXPECT_EQ(tried(spec, Section::ip_dhcp_host, Command::add_last, "<host mac='52:54:00:00:00:01' ip='10.0.1.7'/>"),
              "there is an existing dhcp host entry in network 'n' that matches \"<host mac='52:54:00:00:00:01' "
              "ip='10.0.1.7'/>\"");
}

TEST(NetworkUpdate, AParentThatIsNotThereIsNamed) {
    Spec spec = sample();
    EXPECT_EQ(tried(spec, Section::ip_dhcp_host, Command::add_last, "<host name='x' ip='10.0.0.5'/>", 3),
              "couldn't update dhcp host entry - no <ip> element found at index 3 in network 'n'");
    EXPECT_EQ(tried(spec, Section::ip_dhcp_host, Command::add_last, "<host name='x' ip='10.0.0.5'/>", 1),
              "line 1: <host ip>: 10.0.0.5 is not in the subnet 10.0.1.0/24");
}

TEST(NetworkUpdate, AHostLikeAnotherIsRefused) {
    Spec spec = sample();
    for (const char* const host :
         {"<host mac='52:54:00:00:00:01' ip='10.0.0.20'/>", "<host mac='52:54:00:00:00:20' ip='10.0.0.11'/>",
          "<host mac='52:54:00:00:00:20' name='one' ip='10.0.0.20'/>"}) {
        EXPECT_TRUE(tried(spec, Section::ip_dhcp_host, Command::add_last, host)
                        .starts_with("there is an existing dhcp host entry in network 'n' that matches \"<host mac="))
            << host;
    }
    // Modifying one into the other as well.
    EXPECT_TRUE(tried(spec, Section::ip_dhcp_host, Command::modify, "<host mac='52:54:00:00:00:01' ip='10.0.0.12'/>")
                    .starts_with("there is an existing dhcp host entry"));
}

TEST(NetworkUpdate, AHostIsFoundByMacIdOrNameAndReplaced) {
    Spec spec = sample();
    EXPECT_EQ(tried(spec, Section::ip_dhcp_host, Command::modify, "<host name='two' ip='10.0.0.99'/>"), "");
    EXPECT_EQ(spec.addresses[0].hosts[1], (DhcpHost{.name = "two", .address = "10.0.0.99"_ip}));
    EXPECT_EQ(tried(spec, Section::ip_dhcp_host, Command::modify, "<host id='00:03:00:01:52:54' ip='2001:db8::60'/>"),
              "");
    EXPECT_EQ(spec.addresses[2].hosts[0].address, "2001:db8::60"_ip);
    EXPECT_EQ(tried(spec, Section::ip_dhcp_host, Command::modify, "<host name='three' ip='10.0.0.98'/>"),
              "couldn't locate an existing dhcp host entry with \"name='three'\" in network 'n'");
}

TEST(NetworkUpdate, APartOfAHostIsEnoughToDeleteIt) {
    for (const char* const part : {"<host mac='52:54:00:00:00:02'/>", "<host name='two'/>", "<host ip='10.0.0.12'/>"}) {
        Spec spec = sample();
        EXPECT_EQ(tried(spec, Section::ip_dhcp_host, Command::remove, part), "");
        ASSERT_EQ(spec.addresses[0].hosts.size(), 1U);
        EXPECT_EQ(spec.addresses[0].hosts[0].name, "one");
    }
    Spec spec = sample();
    EXPECT_EQ(tried(spec, Section::ip_dhcp_host, Command::remove, "<host mac='52:54:00:00:00:02' name='one'/>"),
              "couldn't locate a matching dhcp host entry in network 'n'");
    EXPECT_EQ(tried(spec, Section::ip_dhcp_host, Command::remove, "<host/>"),
              "line 1: <host>: needs a mac, id or name to know the client by");
}

TEST(NetworkUpdate, RangesAreAddedAndDeletedButNotModified) {
    Spec spec = sample();
    const char* const range = "<range start='10.0.0.210' end='10.0.0.220'><lease expiry='3' unit='hours'/></range>";
    EXPECT_EQ(tried(spec, Section::ip_dhcp_range, Command::add_first, range), "");
    EXPECT_EQ(spec.addresses[0].ranges[0].lease, (LeaseTime{3, LeaseTime::Unit::hours}));
    EXPECT_TRUE(tried(spec, Section::ip_dhcp_range, Command::add_last, range)
                    .starts_with("there is an existing dhcp range entry in network 'n' that matches"));
    EXPECT_EQ(tried(spec, Section::ip_dhcp_range, Command::modify, range),
              "dhcp ranges cannot be modified, only added or deleted");
    EXPECT_EQ(tried(spec, Section::ip_dhcp_range, Command::remove, "<range start='10.0.0.210' end='10.0.0.220'/>"), "");
    EXPECT_EQ(tried(spec, Section::ip_dhcp_range, Command::remove, "<range start='10.0.0.210' end='10.0.0.220'/>"),
              "couldn't locate a matching dhcp range entry in network 'n'");
    EXPECT_EQ(spec, sample());
}

TEST(NetworkUpdate, ANameMayHaveSeveralAddressesButAnAddressOneEntry) {
    Spec spec = sample();
    EXPECT_EQ(
        tried(spec, Section::dns_host, Command::add_first, "<host ip='10.0.0.7'><hostname>nine</hostname></host>"), "");
    EXPECT_EQ(tried(spec, Section::dns_host, Command::add_last, "<host ip='10.0.0.7'><hostname>new</hostname></host>"),
              "there is already at least one DNS HOST record with a matching field in network n");
}

TEST(NetworkUpdate, ADnsHostIsDeletedByWhatIsSaidOfItWhereThatIsOne) {
    Spec spec = sample();
    EXPECT_EQ(tried(spec, Section::dns_host, Command::remove, "<host><hostname>both</hostname></host>"),
              "multiple matching DNS HOST records were found in network n");
    EXPECT_EQ(
        tried(spec, Section::dns_host, Command::remove, "<host ip='2001:db8::9'><hostname>both</hostname></host>"), "");
    EXPECT_EQ(tried(spec, Section::dns_host, Command::remove, "<host><hostname>both</hostname></host>"), "");
    EXPECT_EQ(tried(spec, Section::dns_host, Command::remove, "<host><hostname>both</hostname></host>"),
              "couldn't locate a matching DNS HOST record in network n");
    EXPECT_EQ(spec.dns_hosts.size(), 1U);
}

TEST(NetworkUpdate, RecordsAreFoundByWhatIsSaidOfThem) {
    Spec spec = sample();
    EXPECT_EQ(tried(spec, Section::dns_srv, Command::remove, "<srv service='sip'/>"),
              "multiple matching DNS SRV records were found in network n");
    EXPECT_EQ(tried(spec, Section::dns_srv, Command::remove, "<srv port='5060'/>"), "");
    EXPECT_EQ(tried(spec, Section::dns_srv, Command::add_last, "<srv service='sip' protocol='tcp'/>"),
              "there is already at least one DNS SRV record matching all specified fields in network n");
    EXPECT_EQ(tried(spec, Section::dns_txt, Command::modify, "<txt name='a' value='2'/>"), "");
    EXPECT_EQ(spec.dns_texts[0].value, "2");
    EXPECT_EQ(tried(spec, Section::dns_txt, Command::add_last, "<txt name='a' value='3'/>"),
              "there is already a DNS TXT record with name 'a' in network n");
    EXPECT_EQ(tried(spec, Section::dns_txt, Command::remove, "<txt name='a'/>"), "");
    EXPECT_TRUE(spec.dns_texts.empty());
}

TEST(NetworkUpdate, ASecondForwardInterfaceIsAContradictionOfNat) {
    Spec spec = sample();
    EXPECT_EQ(tried(spec, Section::forward_interface, Command::add_first, "<interface dev='eth1'/>"), "");
    const auto whole = check(spec);
    ASSERT_FALSE(whole);
    EXPECT_EQ(whole.error().message, "network 'n': <forward mode>: 'nat' goes by one <interface> only; 2 are given");
    EXPECT_EQ(tried(spec, Section::forward_interface, Command::remove, "<interface dev='eth0'/>"), "");
    EXPECT_TRUE(check(spec));
}

TEST(NetworkUpdate, WholeElementsAreReplaced) {
    Spec spec = sample();
    EXPECT_EQ(tried(spec, Section::bridge, Command::modify, "<bridge stp='off' delay='4'/>"), "");
    EXPECT_EQ(spec.bridge->str(), "virbr5");
    EXPECT_FALSE(spec.stp);
    EXPECT_EQ(tried(spec, Section::domain, Command::modify, "<domain name='new.example' localOnly='yes'/>"), "");
    EXPECT_EQ(spec.domain, "new.example");
    EXPECT_EQ(tried(spec, Section::forward, Command::modify, "<forward mode='route'/>"), "");
    EXPECT_EQ(spec.mode, Mode::route);
    EXPECT_TRUE(spec.forward_devices.empty());
    EXPECT_EQ(tried(spec, Section::ip, Command::remove, "<ip address='10.0.1.1' prefix='24'/>"), "");
    EXPECT_EQ(spec.addresses.size(), 2U);
    EXPECT_EQ(tried(spec, Section::ip, Command::add_last, "<ip address='10.0.0.1' prefix='16'/>"),
              "there is an existing ip entry in network 'n' that matches \"<ip address='10.0.0.1'>\"");
}

TEST(NetworkUpdate, EverySectionRefusesAnotherSectionsElementByName) {
    for (int section = 1; section <= 12; ++section) {
        for (const Command command : kAll) {
            Spec spec = sample();
            EXPECT_TRUE(
                tried(spec, static_cast<Section>(section), command, "\n<nonsense/>").starts_with("line 2: expected <"));
            EXPECT_TRUE(tried(spec, static_cast<Section>(section), command, "<host").starts_with("line 1: "));
        }
    }
}

TEST(NetworkUpdate, TheTwoNumbersInEachOthersPlaceAreUnderstood) {
    const auto order = [](std::uint32_t section, std::uint32_t command, std::string_view xml) {
        return order_of(section, command, xml);
    };
    const Order host{Section::ip_dhcp_host, Command::add_last};
    EXPECT_EQ(order(4, 3, "<host/>"), host);
    EXPECT_EQ(order(3, 4, "<host/>"), host);  // 3, 4 as they stand: <ip>, add-first
    EXPECT_EQ(order(3, 4, "<ip/>"), (Order{Section::ip, Command::add_first}));
    EXPECT_EQ(order(2, 10, "<host/>"), (Order{Section::dns_host, Command::remove}));
    EXPECT_EQ(order(10, 2, "<host/>"), (Order{Section::dns_host, Command::remove}));
    EXPECT_FALSE(order(0, 1, "<host/>"));
    EXPECT_FALSE(order(13, 1, "<host/>"));
    EXPECT_FALSE(order(12, 5, "<host/>"));
}

}  // namespace
}  // namespace bascule::network
