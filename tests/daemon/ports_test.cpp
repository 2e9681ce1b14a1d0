// SPDX-License-Identifier: GPL-2.0-or-later
// Ports of a class share its rules in the ledger and in the kernel: they come with the first and go with the last, and
// an edit touches what it changes.
#include "daemon/ports.h"

#include <gtest/gtest.h>

#include <fmt/format.h>

#include "nwfilter/xml.h"
#include "tests/support/fake_kernel.h"

namespace bascule::daemon {
namespace {

using kernel::Family;

class PortClasses : public testing::Test {
protected:
    PortClasses() {
        small(4242);
        define(
            "<filter name='one'><filterref filter='small'/>"
            "<rule action='drop' direction='out'><mac srcmacaddr='$MAC' match='no'/></rule></filter>");
        define(
            "<filter name='net'><filterref filter='small'/>"
            "<rule action='drop' direction='out'><ip dstipaddr='$NET' dstipmask='24'/></rule></filter>");
        define(
            "<filter name='other'><rule action='drop' direction='out'><ip srcipaddr='$IP' match='no'/></rule>"
            "</filter>");
    }

    void define(const std::string& xml) {
        auto filter = nwfilter::parse(xml);
        ASSERT_TRUE(filter) << filter.error().message;
        filters_[filter->name] = *filter;
    }
    void small(int port) {
        define(
            fmt::format("<filter name='small' chain='ipv4'><rule action='drop' direction='out'>"
                        "<ip protocol='udp' dstportstart='{}'/></rule>"
                        "<rule action='drop' direction='out'><ip protocol='1'/></rule>"
                        "<rule action='drop' direction='out'><ip protocol='47'/></rule></filter>",
                        port));
    }

    Result<void> plug(unsigned number, const std::string& filter, nwfilter::Parameters parameters = {}) {
        const auto name = *IfName::parse(fmt::format("vnet{}", number));
        const MacAddr mac = *parse_mac(fmt::format("52:54:00:00:00:{:02x}", number));
        kernel_.add_foreign(name.str());
        return ports_.plug({.ifname = name,
                            .mac = mac,
                            .network = {},
                            .link = {},
                            .filter = nwfilter::Port{name, mac, filter, std::move(parameters), std::nullopt}});
    }
    Result<void> unplug(unsigned number) { return ports_.unplug(*IfName::parse(fmt::format("vnet{}", number))); }

    // The keys that an op adds to sets, or takes out of them, with their sets.
    std::set<std::string> touched(const kernel::Op& op) const {
        std::set<std::string> out;
        const auto& batch = std::get<kernel::RuleBatch>(op);
        for (const auto& [family, table] : batch.add) {
            for (const auto& [set, elements] : table.elements) {
                for (const auto& [key, element] : elements) {
                    out.insert(set + " " + key);
                }
            }
        }
        for (const auto& [family, removal] : batch.remove) {
            for (const auto& [set, keys] : removal.elements) {
                for (const std::string& key : keys) {
                    out.insert(set + " " + key);
                }
            }
        }
        return out;
    }
    std::string from(unsigned number) const {
        return kernel_.state.rules.at(Family::bridge).elements.at("nwf_from").at(fmt::format("vnet{}", number)).data;
    }

    test::FakeKernel kernel_;
    kernel::Ledger ledger_;
    std::map<std::string, nwfilter::Filter> filters_;
    Ports ports_{kernel_, ledger_, [this](const std::string& name) {
                     const auto found = filters_.find(name);
                     return found == filters_.end() ? nullptr : &found->second;
                 }};
};

TEST_F(PortClasses, ComeWithTheirFirstPortAndGoWithTheirLast) {
    ASSERT_TRUE(plug(0, "one"));
    const auto chains = kernel_.state.rules.at(Family::bridge).chains;
    ASSERT_TRUE(plug(1, "one"));
    EXPECT_EQ(kernel_.state.rules.at(Family::bridge).chains, chains);
    EXPECT_EQ(touched(kernel_.ops.back()),
              (std::set<std::string>{"nwf_from vnet1", "nwf_mac_MAC vnet1 . 52:54:00:00:00:01"}));
    ASSERT_TRUE(unplug(0));
    EXPECT_EQ(kernel_.state.rules.at(Family::bridge).chains, chains);
    EXPECT_TRUE(from(1).starts_with("jump nwf_out_"));
    ASSERT_TRUE(unplug(1));
    EXPECT_TRUE(kernel_.state.rules.empty());
    EXPECT_TRUE(ledger_.wishes().empty());
}

TEST_F(PortClasses, AnEditTouchesOnlyPortsThatItConcerns) {
    ASSERT_TRUE(plug(0, "one"));
    ASSERT_TRUE(plug(1, "other", {{"IP", {"10.0.0.1"}}}));
    ASSERT_TRUE(plug(2, "net", {{"NET", {"10.1.0.0"}}}));
    ASSERT_TRUE(plug(3, "net", {{"NET", {"10.2.0.0"}}}));
    const std::size_t before = kernel_.ops.size();
    const std::string other = from(1);
    small(4243);
    ASSERT_TRUE(ports_.refilter({"small"}));
    ASSERT_EQ(kernel_.ops.size(), before + 1);
    EXPECT_EQ(touched(kernel_.ops.back()),
              (std::set<std::string>{"nwf_from vnet0", "nwf_from vnet2", "nwf_from vnet3"}));
    EXPECT_EQ(from(1), other);
    // Nothing in it changed: nothing is done.
    ASSERT_TRUE(ports_.refilter({"small"}));
    EXPECT_EQ(kernel_.ops.size(), before + 1);
    EXPECT_EQ(kernel_.state.rules, ledger_.wanted().rules);
}

TEST_F(PortClasses, AnEditThatThePolicyOfOnePortCannotHaveChangesNone) {
    ASSERT_TRUE(plug(0, "one"));
    ASSERT_TRUE(plug(1, "net", {{"NET", {"10.1.0.0"}}}));
    const auto rules = kernel_.state.rules;
    const auto wishes = ledger_.wishes();
    define(
        "<filter name='small' chain='ipv4'><rule action='drop' direction='out'><ip dstipaddr='$NET'/></rule>"
        "</filter>");
    const auto refused = ports_.refilter({"small"});
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message.find("port vnet0: "), std::string::npos) << refused.error().message;
    EXPECT_EQ(kernel_.state.rules, rules);
    small(4243);
    kernel_.refuse(0);
    ASSERT_FALSE(ports_.refilter({"small"}));
    EXPECT_EQ(kernel_.state.rules, rules);
    EXPECT_EQ(ledger_.wishes(), wishes);
    ASSERT_TRUE(ports_.refilter({"small"}));
    ASSERT_TRUE(unplug(0));
    ASSERT_TRUE(unplug(1));
    EXPECT_TRUE(kernel_.state.rules.empty());
}

TEST_F(PortClasses, APortThatTheKernelRefusesLeavesNothing) {
    kernel_.refuse(0);
    ASSERT_FALSE(plug(0, "one"));
    EXPECT_TRUE(kernel_.state.rules.empty());
    EXPECT_TRUE(ledger_.wishes().empty());
    ASSERT_TRUE(plug(0, "one"));
    kernel_.refuse(0);
    ASSERT_FALSE(plug(0, "net", {{"NET", {"10.1.0.0"}}}));
    ASSERT_TRUE(unplug(0));
    EXPECT_TRUE(kernel_.state.rules.empty());
    EXPECT_TRUE(ledger_.wishes().empty());
}

TEST_F(PortClasses, APortThatChangesItsValuesChangesItsClass) {
    ASSERT_TRUE(plug(0, "net", {{"NET", {"10.1.0.0"}}}));
    ASSERT_TRUE(plug(1, "net", {{"NET", {"10.1.0.0"}}}));
    EXPECT_EQ(from(0), from(1));
    ASSERT_TRUE(plug(1, "net", {{"NET", {"10.2.0.0"}}}));
    EXPECT_EQ(kernel_.state.rules, ledger_.wanted().rules);
    ASSERT_TRUE(plug(1, "net", {{"NET", {"10.1.0.0"}}}));
    EXPECT_EQ(from(0), from(1));
    ASSERT_TRUE(unplug(1));
    ASSERT_TRUE(unplug(0));
    EXPECT_TRUE(kernel_.state.rules.empty());
}

TEST_F(PortClasses, OneOfThePortsWithAMacAddressIsKnownByIt) {
    const auto bridge = *IfName::parse("br0");
    const MacAddr mac = *parse_mac("52:54:00:00:00:01");
    const auto plug_in = [&](unsigned number) {
        const auto name = *IfName::parse(fmt::format("vnet{}", number));
        return ports_.plug({.ifname = name,
                            .mac = mac,
                            .network = {},
                            .link = {},
                            .filter = nwfilter::Port{name, mac, "one", {}, bridge}});
    };
    ASSERT_TRUE(plug_in(0));
    ASSERT_TRUE(plug_in(1));
    ASSERT_NE(ports_.by_mac(bridge, mac), nullptr);
    EXPECT_EQ(ports_.by_mac(bridge, mac)->ifname.str(), "vnet0");
    ASSERT_TRUE(plug_in(0));  // the same again
    EXPECT_EQ(ports_.by_mac(bridge, mac)->ifname.str(), "vnet0");
    EXPECT_EQ(ports_.by_mac(*IfName::parse("br1"), mac), nullptr);
    ASSERT_TRUE(unplug(0));
    EXPECT_EQ(ports_.by_mac(bridge, mac), nullptr);
    small(4243);
    ASSERT_TRUE(ports_.refilter({"small"}));
    ASSERT_NE(ports_.by_mac(bridge, mac), nullptr);
    EXPECT_EQ(ports_.by_mac(bridge, mac)->ifname.str(), "vnet1");
    // Of two that might have it in one edit the first does, and the other one's rules do without.
    ASSERT_TRUE(plug_in(2));
    ASSERT_TRUE(plug_in(3));
    ASSERT_TRUE(unplug(1));
    small(4244);
    const auto edited = ports_.refilter({"small"});
    ASSERT_TRUE(edited) << edited.error().message;
    ASSERT_NE(ports_.by_mac(bridge, mac), nullptr);
    EXPECT_EQ(ports_.by_mac(bridge, mac)->ifname.str(), "vnet2");
    ASSERT_TRUE(unplug(3));
    ASSERT_NE(ports_.by_mac(bridge, mac), nullptr);
    ASSERT_TRUE(unplug(2));
    EXPECT_EQ(ports_.by_mac(bridge, mac), nullptr);
}

}  // namespace
}  // namespace bascule::daemon
