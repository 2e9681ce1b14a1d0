// SPDX-License-Identifier: GPL-2.0-or-later
// Memory units, addresses and the saved state: what a golden file does not show.
#include <gtest/gtest.h>

#include <set>

#include "tests/vmm/support.h"
#include "vmm/addresses.h"
#include "vmm/live.h"
#include "vmm/xml.h"

namespace bascule::vmm {
namespace {

std::uint64_t kib(const std::string& memory) {
    const auto spec = parse("<domain type='qemu'><name>m</name>" + memory + "<os><type>hvm</type></os></domain>");
    EXPECT_TRUE(spec) << memory << spec.error().message;
    return spec ? spec->memory_kib : 0;
}

TEST(VmmXml, EveryUnitOfMemoryIsUnderstood) {
    const std::vector<std::pair<std::string, std::uint64_t>> rows{
        {"b", 977},        {"bytes", 977},    {"BYTE", 977},       {"KB", 976563},
        {"kb", 976563},    {"k", 1000000},    {"K", 1000000},      {"KiB", 1000000},
        {"MB", 976562500}, {"M", 1024000000}, {"MiB", 1024000000}, {"mib", 1024000000},
    };
    for (const auto& [unit, expected] : rows) {
        EXPECT_EQ(kib("<memory unit='" + unit + "'>1000000</memory>"), expected) << unit;
    }
    EXPECT_EQ(kib("<memory unit='GB'>1</memory>"), 976563U);
    EXPECT_EQ(kib("<memory unit='GiB'>1</memory>"), 1048576U);
    EXPECT_EQ(kib("<memory unit='G'>1</memory>"), 1048576U);
    EXPECT_EQ(kib("<memory unit='TiB'>1</memory>"), 1073741824U);
    EXPECT_EQ(kib("<memory>7</memory>"), 7U);
    EXPECT_FALSE(
        parse("<domain type='qemu'><name>m</name><memory unit='GiB'>18446744073709551615</memory>"
              "<os><type>hvm</type></os></domain>"));
}

Spec with_nics(std::size_t count) {
    auto spec =
        parse("<domain type='qemu'><name>m</name><memory unit='MiB'>64</memory><os><type>hvm</type></os></domain>");
    EXPECT_TRUE(spec);
    for (std::size_t i = 0; i < count; ++i) {
        spec->interfaces.push_back({.source = "default"});
    }
    return *spec;
}

TEST(VmmAddresses, AllDevicesThatFitGetSlotsOfTheirOwn) {
    Spec spec = with_nics(24);
    ASSERT_TRUE(complete(spec, test::counted()));
    std::set<PciAddress> seen;
    for (const Interface& nic : spec.interfaces) {
        EXPECT_TRUE(seen.insert(*nic.address).second);
        EXPECT_GE(nic.address->slot, 2);
        EXPECT_LE(nic.address->slot, 0x19);
    }
}

TEST(VmmAddresses, TheOneTooManyIsNamed) {
    Spec spec = with_nics(25);
    const auto done = complete(spec, test::counted());
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().message, "net24: no PCI slot is left for it");
}

TEST(VmmAddresses, ANewDeviceNeverMovesTheOthers) {
    Spec spec = with_nics(3);
    ASSERT_TRUE(complete(spec, test::counted()));
    const auto second = spec.interfaces[1].address;
    const auto first = spec.interfaces[0].address;
    spec.interfaces.erase(spec.interfaces.begin());
    spec.interfaces.push_back({.source = "default"});
    ASSERT_TRUE(complete(spec, test::counted()));
    EXPECT_EQ(spec.interfaces[0].address, second);
    EXPECT_EQ(spec.interfaces[2].address, first) << "the freed slot is used again";
    EXPECT_EQ(format(*first), "0000:00:02.0");
}

TEST(VmmDefaults, OneMacOnTwoNetworksIsABondAndOnOneAMistake) {
    Spec spec = with_nics(2);
    spec.interfaces[0].mac = spec.interfaces[1].mac = parse_mac("52:54:00:00:00:77");
    EXPECT_FALSE(complete(spec, test::counted()));
    spec.interfaces[1].source = "other";
    EXPECT_TRUE(complete(spec, test::counted()));
}

TEST(VmmCompile, AnIncompleteSpecIsRefusedNotGuessed) {
    Spec spec = with_nics(1);
    EXPECT_FALSE(compile(spec, {{}}));
    ASSERT_TRUE(complete(spec, test::counted()));
    EXPECT_FALSE(compile(spec, {}));
    spec.interfaces[0].model = NicModel::rtl8139;
    EXPECT_FALSE(compile(spec, {{.vhost = true}})) << "an rtl8139 on vhost";
    EXPECT_TRUE(compile(spec, {{}}));
}

TEST(VmmLive, WhatIsSavedComesBack) {
    Live live{.spec = with_nics(2),
              .id = 3,
              .pid = 4711,
              .executable = "/usr/bin/q",
              .monitor = "/run/m",
              .persistent = false,
              .agent_timeout = kAgentBlock};
    ASSERT_TRUE(complete(live.spec, test::counted()));
    live.spec.serials.push_back({});
    test::pretend_running(live.spec);
    live.spec.interfaces[1].live.reset();
    const auto back = live_from_text(to_text(live));
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(*back, live);
}

TEST(VmmLive, WhatIsDamagedIsRefused) {
    Live live{.spec = with_nics(1), .id = 3, .pid = 4711, .executable = "/q", .monitor = "/m"};
    const std::string good = to_text(live);
    ASSERT_TRUE(live_from_text(good));
    const auto without = [&](const std::string& what, const std::string& instead) {
        std::string text = good;
        const auto at = text.find(what);
        EXPECT_NE(at, std::string::npos) << what;
        return live_from_text(text.replace(at, what.size(), instead));
    };
    for (const auto& [what, instead] :
         std::vector<std::pair<std::string, std::string>>{{"\"pid\": 4711", "\"pid\": 1"},
                                                          {"\"pid\": 4711", "\"pid\": -4"},
                                                          {"\"version\": 1", "\"version\": 9"},
                                                          {"\"nics\": [", "\"nics\": [null, "},
                                                          {"\"ttys\": []", "\"ttys\": {}"},
                                                          {"<domain", "<domin"},
                                                          {"\"persistent\": true", "\"persistent\": 1"}}) {
        EXPECT_FALSE(without(what, instead)) << instead;
    }
    for (std::size_t n = 0; n + 2 < good.size(); n += 7) {
        EXPECT_FALSE(live_from_text(std::string_view(good).substr(0, n)));
    }
}

}  // namespace
}  // namespace bascule::vmm
