// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/host.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>

#include "kernel/linux/devices.h"

namespace bascule::kernel::os {
namespace {

namespace fs = std::filesystem;

// A /sys of another machine.
struct Sys : testing::Test {
    Sys() { fs::create_directories(root); }
    ~Sys() override { fs::remove_all(root); }
    void put(const std::string& path, const std::string& text) {
        fs::create_directories((root / path).parent_path());
        std::ofstream(root / path) << text << '\n';
    }
    void lead(const std::string& link, const std::string& to) {
        fs::create_directories((root / link).parent_path());
        fs::create_directories(root / to);
        fs::create_symlink(root / to, root / link);
    }
    fs::path root = fs::canonical(fs::temp_directory_path()) / ("bascule-sys." + std::to_string(::getpid()));
};

TEST(HostFacts, ListsOfProcessorsAreRangesAndNumbers) {
    EXPECT_EQ(parse_cpu_list("0-2,8"), (std::vector<unsigned>{0, 1, 2, 8}));
    EXPECT_TRUE(parse_cpu_list("").empty());
    EXPECT_TRUE(parse_cpu_list("x").empty());
    EXPECT_EQ(parse_cpu_list("3,x"), std::vector<unsigned>{3});
    EXPECT_EQ(parse_cpu_list("0-4000000000").size(), 65536U);
}

TEST(HostFacts, ProcessorTimesAreTicksOfTheKernel) {
    const auto tick = 1'000'000'000U / static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
    const auto times = parse_cpu_times("cpu  10 2 3 40 5 6 7 0 0 0\ncpu1 1 0 1 4 0 0 0 0 0 0\nintr 99\n");
    EXPECT_EQ(times.total, (CpuTimes{12 * tick, 16 * tick, 40 * tick, 5 * tick}));
    ASSERT_EQ(times.each.size(), 1U);
    EXPECT_EQ(times.each.at(1).idle, 4 * tick);
}

TEST(HostFacts, MemoryIsReadOfTheHostAndOfANode) {
    EXPECT_EQ(parse_memory_use("MemTotal: 100 kB\nMemFree:  40 kB\nBuffers: 3 kB\nCached: 20 kB\nSwapCached: 9 kB\n"),
              (MemoryUse{100, 40, 3, 20}));
    EXPECT_EQ(parse_memory_use("Node 1 MemTotal: 100 kB\nNode 1 MemFree: 40 kB\n"), (MemoryUse{100, 40, 0, 0}));
}

TEST_F(Sys, TwoNodesWithThreadsAreCountedAsTheyAre) {
    put("devices/system/cpu/present", "0-4");
    put("devices/system/cpu/online", "0-3");
    for (unsigned cpu = 0; cpu < 4; ++cpu) {
        const std::string topology = "devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
        put(topology + "physical_package_id", std::to_string(cpu / 2));
        put(topology + "core_id", "0");
        put(topology + "die_id", "0");
        put(topology + "thread_siblings_list", cpu / 2 == 0 ? "0-1" : "2-3");
    }
    put("devices/system/node/online", "0-1");
    for (unsigned node = 0; node < 2; ++node) {
        const std::string folder = "devices/system/node/node" + std::to_string(node) + "/";
        put(folder + "cpulist", node == 0 ? "0-1" : "2-3");
        put(folder + "distance", node == 0 ? "10 21" : "21 10");
        put(folder + "meminfo", "Node 0 MemTotal: 8192 kB\nNode 0 MemFree: 4096 kB");
        put(folder + "hugepages/hugepages-2048kB/nr_hugepages", "2");
        put(folder + "hugepages/hugepages-2048kB/free_hugepages", "1");
    }
    const HostTopology host = host_topology(root, {});
    EXPECT_EQ(host.online(), 4U);
    EXPECT_EQ(host.cpus.size(), 5U);
    EXPECT_EQ(host.sockets_per_node(), 1U);
    EXPECT_EQ(host.cores_per_die(), 1U);
    EXPECT_EQ(host.threads_per_core(), 2U);
    ASSERT_EQ(host.nodes.size(), 2U);
    EXPECT_EQ(host.nodes[1].distances, (std::vector<std::pair<unsigned, unsigned>>{{0, 21}, {1, 10}}));
    EXPECT_EQ(host.nodes[0].pages, (std::vector<PagePool>{{4, 1024, 1024}, {2048, 2, 1}}));
}

TEST_F(Sys, AHostWithoutNodesHasOneAndOneWithoutAnythingAProcessor) {
    const HostTopology host = host_topology(root, {.total_kib = 4096, .free_kib = 400});
    ASSERT_EQ(host.nodes.size(), 1U);
    EXPECT_EQ(host.nodes[0].memory_kib, 4096U);
    EXPECT_EQ(host.nodes[0].cpus, std::vector<unsigned>{0});
}

TEST_F(Sys, FirmwareAndPageMergingAreFilesByName) {
    EXPECT_TRUE(firmware_facts(root).empty());
    put("class/dmi/id/sys_vendor", "QEMU\x01\xff");
    put("class/dmi/id/board_name", "");
    put("class/dmi/id/modalias", "dmi:…");
    put("kernel/mm/ksm/pages_shared", "17");
    EXPECT_EQ(firmware_facts(root), (std::map<std::string, std::string>{{"sys_vendor", "QEMU??"}}));
    EXPECT_EQ(page_merging(root), (std::map<std::string, std::uint64_t>{{"pages_shared", 17}}));
}

TEST_F(Sys, DevicesKnowTheirParentsDriversAndGroups) {
    const std::string port = "devices/pci0000:00/0000:00:1c.0", nic = port + "/0000:03:00.0";
    put(port + "/class", "0x060400");
    put(nic + "/class", "0x020000");
    put(nic + "/vendor", "0x8086");
    put(nic + "/device", "0x10c9");
    put(nic + "/numa_node", "-1");
    put(nic + "/sriov_totalvfs", "8");
    lead("bus/pci/devices/0000:00:1c.0", port);
    lead("bus/pci/devices/0000:03:00.0", nic);
    lead(nic + "/driver", "bus/pci/drivers/igb");
    lead(nic + "/iommu_group", "kernel/iommu_groups/12");
    put("kernel/iommu_groups/12/devices/0000:03:00.0", "");
    put(nic + "/net/eth0/address", "02:00:00:00:00:01");
    lead("class/net/eth0", nic + "/net/eth0");
    lead("class/net/lo", "devices/virtual/net/lo");
    const auto devices = host_devices(root);
    std::vector<std::string> names;
    for (const HostDevice& device : devices) {
        names.push_back(device.name + " < " + device.parent);
    }
    EXPECT_EQ(names, (std::vector<std::string>{"computer < ", "net_eth0_02_00_00_00_00_01 < pci_0000_03_00_0",
                                               "net_lo_ < computer", "pci_0000_00_1c_0 < computer",
                                               "pci_0000_03_00_0 < pci_0000_00_1c_0"}));
    const HostDevice& found = devices.back();
    EXPECT_EQ(found.driver, "igb");
    EXPECT_EQ(found.iommu_group, 12U);
    EXPECT_EQ(found.iommu_members, std::vector<std::string>{"0000:03:00.0"});
    EXPECT_EQ(found.most_virtual_functions, 8U);
    EXPECT_FALSE(found.numa_node);
}

TEST(HostFacts, OurOwnThreadsAreFoundAndCanBePinned) {
    const auto threads = thread_uses(::getpid());
    ASSERT_FALSE(threads.empty());
    const auto cpus = affinity(threads.front().id);
    ASSERT_TRUE(cpus);
    ASSERT_FALSE(cpus->empty());
    EXPECT_TRUE(set_affinity(threads.front().id, {cpus->front()}));
    EXPECT_EQ(*affinity(threads.front().id), std::vector<unsigned>{cpus->front()});
    EXPECT_TRUE(set_affinity(threads.front().id, *cpus));
    EXPECT_GT(resident_kib(::getpid()), 0U);
    EXPECT_EQ(set_affinity(threads.front().id, {60000}).error().code, Code::system);
}

TEST(HostFacts, AProgramThatIsReplacedHasAnotherStamp) {
    const std::string path = fs::temp_directory_path() / ("bascule-stamp." + std::to_string(::getpid()));
    EXPECT_EQ(file_stamp(path), "");
    std::ofstream(path) << "one";
    const std::string before = file_stamp(path);
    EXPECT_NE(before, "");
    EXPECT_EQ(file_stamp(path), before);
    std::ofstream(path) << "another";
    EXPECT_NE(file_stamp(path), before);
    fs::remove(path);
}

TEST(HostFacts, EveryLinkOfTheNamespaceIsThere) {
    const auto links = host_links();
    ASSERT_TRUE(links);
    const auto lo = std::ranges::find(*links, "lo", [](const HostLink& link) { return link.name.str(); });
    ASSERT_NE(lo, links->end());
    EXPECT_GT(lo->mtu, 0U);
}

}  // namespace
}  // namespace bascule::kernel::os
