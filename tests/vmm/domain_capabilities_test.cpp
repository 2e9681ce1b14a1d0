// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/domain_capabilities.h"

#include <gtest/gtest.h>

#include "base/xml.h"

namespace bascule::vmm {
namespace {

const xml::Node* find(const xml::Node& node, std::string_view name, std::string_view attr = {},
                      std::string_view value = {}) {
    for (const xml::Node& child : node.children) {
        const std::string* const has = attr.empty() ? nullptr : child.attr(attr);
        if (child.name == name && (attr.empty() || (has != nullptr && *has == value))) {
            return &child;
        }
    }
    return nullptr;
}

struct DomainCapabilities : testing::Test {
    DomainCapabilities() {
        models.add({.name = "qemu64"}, {"fpu", "sse"});
        models.add({.name = "New", .vendor = "AuthenticAMD", .missing = {"avx512f"}, .deprecated = true},
                   {"fpu", "avx512f"});
        models.set_guest({"fpu", "sse", "avx"}, "AuthenticAMD");
    }
    xml::Node document(Accelerator accelerator) {
        const auto parsed = xml::parse(domain_capabilities_xml({.emulator = "/usr/bin/qemu-system-x86_64",
                                                                .machine = "pc-q35-7.2",
                                                                .accelerator = accelerator,
                                                                .max_cpus = 288,
                                                                .cpus = models,
                                                                .firmware = {}}));
        EXPECT_TRUE(parsed);
        return *parsed;
    }
    CpuModels models;
};

TEST_F(DomainCapabilities, NamesWhatWasAskedAboutAndHowManyProcessorsItHas) {
    const xml::Node root = document(Accelerator::tcg);
    EXPECT_EQ(find(root, "path")->text, "/usr/bin/qemu-system-x86_64");
    EXPECT_EQ(find(root, "domain")->text, "qemu");
    EXPECT_EQ(find(root, "machine")->text, "pc-q35-7.2");
    EXPECT_EQ(*find(root, "vcpu")->attr("max"), "288");
    EXPECT_EQ(find(document(Accelerator::kvm), "domain")->text, "kvm");
}

TEST_F(DomainCapabilities, TheHostModelIsTheLargestNamedOneAndTheRest) {
    const xml::Node root = document(Accelerator::kvm);
    const xml::Node* const mode = find(*find(root, "cpu"), "mode", "name", "host-model");
    ASSERT_NE(mode, nullptr);
    EXPECT_EQ(*mode->attr("supported"), "yes");
    EXPECT_EQ(find(*mode, "model")->text, "qemu64");
    EXPECT_EQ(find(*mode, "vendor")->text, "AMD");
    EXPECT_NE(find(*mode, "feature", "name", "avx"), nullptr);
    EXPECT_EQ(find(*mode, "feature", "name", "sse"), nullptr);
}

// Whatever is named must be what a definition may say: the parser is asked for each, so a device that it learns is
// named here from that day on.
TEST_F(DomainCapabilities, OnlyWhatADefinitionMaySayIsNamed) {
    const xml::Node root = document(Accelerator::tcg);
    const xml::Node& devices = *find(root, "devices");
    const xml::Node* const rng = find(devices, "rng");
    ASSERT_NE(rng, nullptr);
    EXPECT_EQ(*rng->attr("supported"), "yes");
    EXPECT_EQ(find(*rng, "enum", "name", "backendModel")->children.front().text, "random");
    EXPECT_EQ(*find(devices, "redirdev")->attr("supported"), "no");
    EXPECT_EQ(*find(*find(root, "features"), "sev")->attr("supported"), "no");
}

TEST(Firmware, DescriptorsAreReadAndBrokenOnesPassedOver) {
    const std::string good =
        R"({"interface-types":["uefi"],"mapping":{"device":"flash","executable":{"filename":"/f/OVMF.fd",
        "format":"raw"}},"targets":[{"architecture":"x86_64","machines":["pc-q35-*"]}],"features":["secure-boot"]})";
    const std::string other = R"({"interface-types":["uefi"],"mapping":{"executable":{"filename":"/f/A.fd"}},
        "targets":[{"architecture":"aarch64","machines":["virt-*"]}]})";
    EXPECT_EQ(parse_firmware({good, other, "", "[1,2", "{}", R"({"targets":3,"mapping":[]})"}, "pc-q35-7.2"),
              (std::vector<Firmware>{{.kind = "efi", .path = "/f/OVMF.fd", .secure = true}}));
    EXPECT_TRUE(parse_firmware({good}, "pc-i440fx-7.2").empty());
}

}  // namespace
}  // namespace bascule::vmm
