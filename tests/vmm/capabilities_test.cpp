// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/capabilities.h"

#include <gtest/gtest.h>

#include "tests/support/golden.h"

namespace bascule::vmm {
namespace {

TEST(Capabilities, OnlyMachinesWeCanRunAreOfferedAliasesFirstThenTheNewest) {
    EXPECT_TRUE(is_our_machine("q35"));
    EXPECT_TRUE(is_our_machine("pc-i440fx-7.2"));
    EXPECT_FALSE(is_our_machine("microvm"));
    EXPECT_FALSE(is_our_machine(""));
    std::vector<MachineType> machines{{.name = "pc-q35-2.12"}, {.name = "pc-i440fx-7.2"}, {.name = "pc"},
                                      {.name = "pc-q35-7.2"},  {.name = "pc-q35-2.4"},    {.name = "q35"}};
    sort_machines(machines);
    std::vector<std::string> names;
    for (const MachineType& machine : machines) {
        names.push_back(machine.name);
    }
    EXPECT_EQ(names,
              (std::vector<std::string>{"q35", "pc", "pc-q35-7.2", "pc-q35-2.12", "pc-q35-2.4", "pc-i440fx-7.2"}));
}

TEST(Capabilities, ProcessorsAreCountedFromTheKernelsText) {
    const std::string one =
        "vendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 85\nmodel name\t: Xeon\nstepping\t: 7\n"
        "microcode\t: 0x5003006\ncpu MHz\t\t: 2199.998\nsiblings\t: 4\ncpu cores\t: 2\n"
        "flags\t\t: fpu vme sse4_1\naddress sizes\t: 46 bits physical, 48 bits virtual\n";
    std::string text;
    for (int i = 0; i < 8; ++i) {
        text += "processor\t: " + std::to_string(i) + "\nphysical id\t: " + std::to_string(i / 4) + "\n" + one + "\n";
    }
    EXPECT_EQ(parse_cpuinfo(text), (CpuInfo{.vendor = "Intel",
                                            .model = "Xeon",
                                            .cpus = 8,
                                            .sockets = 2,
                                            .cores = 2,
                                            .threads = 2,
                                            .mhz = 2199,
                                            .family = 6,
                                            .model_number = 85,
                                            .stepping = 7,
                                            .address_bits = 46,
                                            .microcode = 0x5003006,
                                            .flags = {"fpu", "vme", "sse4_1"}}));
}

TEST(Capabilities, AnInconsistentOrEmptyTextStillCountsWhatIsOnline) {
    EXPECT_EQ(parse_cpuinfo("processor\t: 0\nprocessor\t: 1\nprocessor\t: 2\n"), (CpuInfo{.cpus = 3, .cores = 3}));
    EXPECT_EQ(parse_cpuinfo(""), CpuInfo{});
}

TEST(Capabilities, MemoryIsReadFromTheKernelsText) {
    EXPECT_EQ(parse_memory_kib("MemFree: 1 kB\nMemTotal:       24574412 kB\n"), 24574412U);
    EXPECT_EQ(parse_memory_kib("nothing"), 0U);
}

TEST(Capabilities, TheDocumentHasWhatClientsCannotDoWithout) {
    HostFacts host;
    host.uuid = *Uuid::parse("11223344-5566-4788-99aa-bbccddeeff00");
    host.cpu = {.vendor = "AMD",
                .model = "AMD EPYC",
                .cpus = 2,
                .cores = 2,
                .mhz = 2400,
                .family = 25,
                .model_number = 1,
                .stepping = 1,
                .address_bits = 48,
                .microcode = 167776729};
    host.cpu_model = "EPYC";
    host.cpu_features = {"fsrm", "sse4.1"};
    host.topology.cpus = {{.id = 0, .core = 0, .siblings = {0}}, {.id = 1, .core = 1, .siblings = {1}}};
    host.topology.nodes = {{.id = 0,
                            .memory_kib = 24574412,
                            .cpus = {0, 1},
                            .distances = {{0, 10}},
                            .pages = {{4, 6143603, 100}, {2048, 0, 0}}}};
    host.memory_kib = 24574412;
    host.kvm = true;
    host.machines = {{.name = "q35", .canonical = "pc-q35-7.2", .max_cpus = 288},
                     {.name = "pc-q35-7.2", .max_cpus = 288},
                     {.name = "pc-i440fx-1.7", .deprecated = true}};
    test::expect_golden(std::string(TEST_SOURCE_DIR) + "/tests/golden/vmm/capabilities.out", capabilities_xml(host));
    host.kvm = false;
    EXPECT_EQ(capabilities_xml(host).find("'kvm'"), std::string::npos);
    host.machines.clear();
    EXPECT_EQ(capabilities_xml(host).find("<guest>"), std::string::npos) << "there is no QEMU";
}

}  // namespace
}  // namespace bascule::vmm
