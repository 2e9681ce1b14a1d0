// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/cpu_models.h"

#include <gtest/gtest.h>

namespace bascule::vmm {
namespace {

using Comparison = CpuModels::Comparison;

struct CpuModelsTest : testing::Test {
    CpuModelsTest() {
        models.add({.name = "486", .vendor = "GenuineIntel"}, {"fpu"});
        models.add({.name = "Old", .vendor = "AuthenticAMD"}, {"fpu", "sse", "pni"});
        models.add(
            {.name = "New", .vendor = "AuthenticAMD", .missing = {"avx512f"}},
            {"fpu", "sse", "pni", "sse4.1", "sse4_1", "sse4-1", "avx512f", "check", "hv-relaxed", "kvm_asyncpf"});
        models.add({.name = "Other", .vendor = "GenuineIntel"}, {"fpu", "sse", "pni", "ssse3", "vme"});
        models.learn({"tsc-deadline", "lahf-lm", "cr8legacy", "avx", "vme"});
        models.set_guest({"fpu", "sse", "pni", "sse4.1", "x2apic"}, "AuthenticAMD");
    }
    CpuDescription cpu(const std::string& xml) {
        auto read = models.read(xml);
        EXPECT_TRUE(read) << read.error().message;
        return read.value_or(CpuDescription{});
    }
    CpuModels models;
};

TEST_F(CpuModelsTest, OneFeatureHasOneSpellingInsideAndLibvirtsOutside) {
    EXPECT_EQ(models.names(models.find("New")->features),
              (std::vector<std::string>{"avx512f", "fpu", "pni", "sse", "sse4.1"}));
    EXPECT_EQ(models.set_of({"sse4_1", "sse4.1", "sse3"}), models.set_of({"pni", "sse4-1"}));
    EXPECT_EQ(models.names(models.set_of({"tsc_deadline_timer", "lahf_lm", "cr8_legacy"})),
              (std::vector<std::string>{"cr8legacy", "lahf_lm", "tsc-deadline"}));
    EXPECT_EQ(models.set_of({"rep_good", "constant_tsc"}), FeatureSet()) << "the kernel's own marks are no features";
}

TEST_F(CpuModelsTest, ADocumentIsItsModelWithItsPolicies) {
    EXPECT_EQ(models.names(cpu("<cpu><model>Old</model><feature name='avx' policy='require'/>"
                               "<feature name='sse' policy='disable'/><feature name='x' policy='optional'/></cpu>")
                               .features),
              (std::vector<std::string>{"avx", "fpu", "pni"}));
    EXPECT_EQ(cpu("<cpu mode='host-model'/>"), models.guest());
    EXPECT_EQ(cpu("<cpu><arch>x86_64</arch><model>Old</model><vendor>AMD</vendor><topology sockets='1' cores='1' "
                  "threads='1'/><feature name='vme'/></cpu>")
                  .vendor,
              "AMD");
}

TEST_F(CpuModelsTest, WhatCannotBeUnderstoodIsRefusedWithItsLine) {
    EXPECT_EQ(models.read("<cpu>\n<model>Nonesuch</model></cpu>").error().message,
              "line 2: Unknown CPU model Nonesuch");
    EXPECT_EQ(models.read("<domain/>").error().code, Code::invalid_xml);
    EXPECT_EQ(models.read("<cpu").error().code, Code::xml_syntax);
    EXPECT_EQ(models.read("<cpu><feature policy='require'/></cpu>").error().code, Code::invalid_xml);
    EXPECT_EQ(models.read("<cpu><feature name='a' policy='perhaps'/></cpu>").error().code, Code::invalid_xml);
    EXPECT_EQ(models.read("<cpu><feature name='warp'/></cpu>").error().message, "line 1: unknown CPU feature: warp");
    EXPECT_EQ(models.read("<cpu><vendor>Nobody</vendor></cpu>").error().code, Code::unsupported_config);
}

TEST_F(CpuModelsTest, AProcessorWillDoWhenItHasAllThatIsWanted) {
    const CpuDescription host = cpu("<cpu><model>Old</model></cpu>");
    EXPECT_EQ(CpuModels::compare(host, host), Comparison::identical);
    EXPECT_EQ(CpuModels::compare(host, cpu("<cpu><model>486</model></cpu>")), Comparison::superset);
    EXPECT_EQ(CpuModels::compare(host, cpu("<cpu><model>New</model></cpu>")), Comparison::incompatible);
    EXPECT_EQ(CpuModels::compare(host, cpu("<cpu><model>486</model><vendor>Intel</vendor></cpu>")),
              Comparison::incompatible);
    EXPECT_EQ(CpuModels::compare(host, cpu("<cpu><model>486</model><feature name='sse' policy='forbid'/></cpu>")),
              Comparison::incompatible);
}

TEST_F(CpuModelsTest, TheBaselineIsTheLargestModelInWhatAllHaveAndTheRest) {
    const auto both = CpuModels::baseline(
        {cpu("<cpu><model>New</model></cpu>"), cpu("<cpu><model>Old</model><feature name='sse4.1'/></cpu>")});
    EXPECT_EQ(*models.document(both, false),
              "<cpu mode='custom' match='exact'>\n  <model fallback='forbid'>Old</model>\n  <vendor>AMD</vendor>\n"
              "  <feature policy='require' name='sse4.1'/>\n</cpu>\n");
    EXPECT_NE(models.document(both, true)->find("name='fpu'"), std::string::npos);
    const auto strangers =
        CpuModels::baseline({cpu("<cpu><model>Other</model></cpu>"), cpu("<cpu><model>Old</model></cpu>")});
    EXPECT_EQ(models.best(strangers)->name, "486") << "a model of a vendor is not for both";
    EXPECT_EQ(models.document({}, false).error().code, Code::unsupported);
}

}  // namespace
}  // namespace bascule::vmm
