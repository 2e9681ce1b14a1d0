// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/agent_facts.h"

#include <gtest/gtest.h>

namespace bascule::vmm::agent {
namespace {

using qmp::Json;

Json read(const char* text) { return Json::parse(text); }

// As QEMU 7.2's agent says them.
TEST(AgentFacts, AreWhatTheAgentSays) {
    const auto mounts = file_systems_from(read(R"([{"name": "vda1", "mountpoint": "/", "type": "ext4", "used-bytes": 5,
"total-bytes": 9, "disk": [{"serial": "s", "bus-type": "virtio", "bus": 0, "unit": 0, "target": 0, "dev": "/dev/vda1",
"pci-controller": {"bus": 4, "slot": 0, "domain": 0, "function": 0}}]}, {"name": "sr0", "mountpoint": "/m", "type":
"iso9660", "disk": []}])"));
    ASSERT_TRUE(mounts) << mounts.error().message;
    ASSERT_EQ(mounts->size(), 2U);
    EXPECT_EQ(
        (*mounts)[0],
        (FileSystem{
            .name = "vda1",
            .mountpoint = "/",
            .type = "ext4",
            .total_bytes = 9,
            .used_bytes = 5,
            .disks = {{.pci = PciAddress{0, 4, 0, 0}, .serial = "s", .device = "/dev/vda1", .bus_type = "virtio"}}}));
    const auto disks = block_devices_from(read(R"([{"name": "/dev/vda1", "partition": true, "dependencies":
["/dev/vda"]}, {"name": "/dev/dm-0", "partition": false, "alias": "root", "address": {"bus-type": "unknown",
"pci-controller": {"bus": -1, "slot": -1, "domain": -1, "function": -1}}}])"));
    ASSERT_TRUE(disks) << disks.error().message;
    EXPECT_EQ(*disks, (std::vector<BlockDevice>{
                          {.name = "/dev/vda1", .partition = true, .dependencies = {"/dev/vda"}},
                          {.name = "/dev/dm-0", .alias = "root", .address = DiskAddress{.bus_type = "unknown"}}}));
    EXPECT_EQ(users_from(read(R"([{"login-time": 1700000000.25, "user": "fred"}])")).value(),
              (std::vector<User>{{"fred", "", 1700000000250U}}));
    EXPECT_EQ(cpus_from(read(R"([{"logical-id": 0, "online": true, "can-offline": false}])")).value(),
              (std::vector<GuestCpu>{{0, true, false}}));
    EXPECT_EQ(time_zone_from(read(R"({"zone": "CET", "offset": 3600})")).value(), (TimeZone{"CET", 3600}));
    EXPECT_EQ(load_from(read(R"({"load1m": 1.5, "load5m": 2, "load15m": 0.25})")).value(),
              (std::vector<double>{1.5, 2, 0.25}));
    EXPECT_EQ(system_from(read(R"({"id": "debian", "machine": "x86_64", "nonsense": "x"})")).value(),
              (std::vector<std::pair<std::string_view, std::string>>{{"id", "debian"}, {"machine", "x86_64"}}));
    EXPECT_EQ(host_name_from(read(R"({"host-name": "fred"})")).value(), "fred");
    EXPECT_EQ(time_from(read("1700000000000000001")).value(), 1700000000000000001);
    EXPECT_EQ(time_from(read("-5")).value(), -5);
    EXPECT_EQ(count_from(read("3")).value(), 3);
    EXPECT_EQ(keys_from(read(R"({"keys": ["ssh-rsa A", "ssh-rsa B"]})")).value().size(), 2U);
}

TEST(AgentFacts, ADiskIsFoundWhereTheGuestSeesItOrByItsSerial) {
    Spec guest{.name = *ObjectName::parse("vm")};
    guest.disks = {Disk{.target = "vda", .address = PciAddress{0, 4, 0, 0, true}},
                   Disk{.target = "sda", .bus = Disk::Bus::sata, .serial = "42"}};
    EXPECT_EQ(target_of(guest, {.pci = PciAddress{0, 4, 0, 0}}), "vda");
    EXPECT_EQ(target_of(guest, {.pci = PciAddress{0, 5, 0, 0}, .serial = "42"}), "sda");
    EXPECT_EQ(target_of(guest, {.pci = PciAddress{0, 5, 0, 0}}), std::nullopt);
    EXPECT_EQ(target_of(guest, {}), std::nullopt);
}

TEST(AgentFacts, WhatIsNoneIsRefusedAndLongListsEnd) {
    for (const char* const text :
         {"7.5", "\"x\"", "{}", "[7]", "[[]]", "[{}]", "null", R"([{"logical-id": 5000, "online": true}])",
          R"([{"user": "x", "login-time": "y"}])", R"({"host-name": "", "offset": 100000, "keys": [7], "load1m": "x"})",
          R"([{"mountpoint": "/", "disk": 7}])", R"([{"name": "x", "dependencies": [7]}])"}) {
        const Json answer = read(text);
        EXPECT_FALSE(file_systems_from(answer)) << text;
        EXPECT_FALSE(users_from(answer)) << text;
        EXPECT_FALSE(cpus_from(answer)) << text;
        EXPECT_FALSE(time_zone_from(answer)) << text;
        EXPECT_FALSE(load_from(answer)) << text;
        EXPECT_FALSE(host_name_from(answer)) << text;
        EXPECT_FALSE(time_from(answer)) << text;
        EXPECT_FALSE(count_from(answer)) << text;
        EXPECT_FALSE(keys_from(answer)) << text;
        EXPECT_FALSE(block_devices_from(answer)) << text;
    }
    EXPECT_FALSE(time_from(read("18446744073709551615")));
    EXPECT_FALSE(count_from(read("4294967295")));
    Json many = Json::array();
    for (int i = 0; i < 5000; ++i) {
        many.push_back({{"mountpoint", "/"}, {"logical-id", 0}, {"online", true}});
    }
    EXPECT_EQ(file_systems_from(many).value().size(), kMostFacts);
    EXPECT_FALSE(cpus_from(many));
}

}  // namespace
}  // namespace bascule::vmm::agent
