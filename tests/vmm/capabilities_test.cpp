// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/capabilities.h"

#include <gtest/gtest.h>

#include "tests/support/golden.h"

namespace bascule::vmm {
namespace {

constexpr std::string_view kMachineHelp = R"(Supported machines are:
microvm              microvm (i386)
pc                   Standard PC (i440FX + PIIX, 1996) (alias of pc-i440fx-7.2)
pc-i440fx-7.2        Standard PC (i440FX + PIIX, 1996) (default)
q35                  Standard PC (Q35 + ICH9, 2009) (alias of pc-q35-7.2)
pc-q35-7.2           Standard PC (Q35 + ICH9, 2009)
isapc                ISA-only PC
x-remote             Experimental remote machine
)";

TEST(Capabilities, OnlyMachinesWeCanRunAreOfferedQ35First) {
    EXPECT_EQ(parse_machines(kMachineHelp), (std::vector<MachineType>{{"q35", "pc-q35-7.2", 255},
                                                                      {"pc", "pc-i440fx-7.2", 255},
                                                                      {"pc-i440fx-7.2", "", 255},
                                                                      {"pc-q35-7.2", "", 255}}));
    EXPECT_EQ(parse_machines("").size(), 2U);
    EXPECT_EQ(parse_machines("garbage\n(alias of\nq35").size(), 2U);
}

TEST(Capabilities, ProcessorsAreCountedFromTheKernelsText) {
    const std::string one =
        "vendor_id\t: GenuineIntel\nmodel name\t: Xeon\ncpu MHz\t\t: 2199.998\nsiblings\t: 4\n"
        "cpu cores\t: 2\n";
    std::string text;
    for (int i = 0; i < 8; ++i) {
        text += "processor\t: " + std::to_string(i) + "\nphysical id\t: " + std::to_string(i / 4) + "\n" + one + "\n";
    }
    EXPECT_EQ(parse_cpuinfo(text), (CpuInfo{"Intel", "Xeon", 8, 2, 2, 2, 2199}));
}

TEST(Capabilities, AnInconsistentOrEmptyTextStillCountsWhatIsOnline) {
    EXPECT_EQ(parse_cpuinfo("processor\t: 0\nprocessor\t: 1\nprocessor\t: 2\n"), (CpuInfo{"", "", 3, 1, 3, 1, 0}));
    EXPECT_EQ(parse_cpuinfo(""), (CpuInfo{"", "", 1, 1, 1, 1, 0}));
}

TEST(Capabilities, MemoryIsReadFromTheKernelsText) {
    EXPECT_EQ(parse_memory_kib("MemFree: 1 kB\nMemTotal:       24574412 kB\n"), 24574412U);
    EXPECT_EQ(parse_memory_kib("nothing"), 0U);
}

TEST(Capabilities, TheDocumentHasWhatClientsCannotDoWithout) {
    HostFacts host;
    host.uuid = *Uuid::parse("11223344-5566-4788-99aa-bbccddeeff00");
    host.cpu = {"AMD", "AMD EPYC", 2, 1, 2, 1, 2400};
    host.memory_kib = 24574412;
    host.kvm = true;
    host.machines = parse_machines(kMachineHelp);
    test::expect_golden(std::string(TEST_SOURCE_DIR) + "/tests/golden/vmm/capabilities.out", capabilities_xml(host));
    host.kvm = false;
    EXPECT_EQ(capabilities_xml(host).find("'kvm'"), std::string::npos);
}

}  // namespace
}  // namespace bascule::vmm
