// SPDX-License-Identifier: GPL-2.0-or-later
// tests/golden/network: NAME.xml compiles to NAME.state and, when there is something to serve, NAME.dhcp;
// bad-NAME.xml is refused with bad-NAME.error.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include "network/compile.h"
#include "network/defaults.h"
#include "network/xml.h"
#include "tests/support/golden.h"

namespace bascule::network {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> some_cases(bool bad) {
    std::vector<fs::path> out = test::cases("golden/network", ".xml");
    std::erase_if(out, [bad](const fs::path& file) { return file.filename().string().starts_with("bad-") != bad; });
    return out;
}

std::string yes_no(bool value) { return value ? "yes" : "no"; }

std::string lease_text(const std::optional<std::chrono::seconds>& lease) {
    return lease ? fmt::format(" lease {} s", lease->count()) : std::string();
}

std::string dump(const dhcp::Subnet& subnet) {
    std::string out = fmt::format("subnet {} dhcp {} lease {} s\n", format(subnet.server), yes_no(subnet.serves_dhcp()),
                                  subnet.lease.count());
    for (const dhcp::Range& range : subnet.ranges) {
        out += fmt::format("  range {}{}\n", format(range.addresses()), lease_text(range.lease));
    }
    for (const dhcp::Reservation& host : subnet.hosts) {
        out += fmt::format("  host mac {} id {:02x} name '{}' address {}{}\n", host.mac ? format(*host.mac) : "-",
                           fmt::join(host.client_id, ":"), host.name, host.address ? format(*host.address) : "-",
                           lease_text(host.lease));
    }
    return out;
}

std::string dump(const dhcp::DnsSettings& dns) {
    std::string out;
    for (const dhcp::DnsText& txt : dns.texts) {
        out += fmt::format("dns txt {} '{}'\n", txt.name, txt.value);
    }
    for (const dhcp::DnsService& srv : dns.services) {
        out += fmt::format("dns srv {} {} domain '{}' target '{}' port {} priority {} weight {}\n", srv.service,
                           srv.protocol, srv.domain, srv.target, srv.port, srv.priority, srv.weight);
    }
    for (const dhcp::DnsForwarder& forwarder : dns.forwarders) {
        out += fmt::format("dns forwarder domain '{}' address {}\n", forwarder.domain,
                           forwarder.address ? format(*forwarder.address) : "-");
    }
    for (const dhcp::DnsAlias& alias : dns.aliases) {
        out += fmt::format("dns alias {} {}\n", alias.name, alias.target);
    }
    if (dns.forward_plain_names) {
        out += fmt::format("dns plain names forwarded {}\n", yes_no(*dns.forward_plain_names));
    }
    return out;
}

std::string dump(const dhcp::Spec& s) {
    std::string out = fmt::format("network '{}' {} on {}\n", s.network, format(s.uuid), s.bridge.str());
    for (const dhcp::Subnet& subnet : s.subnets) {
        out += dump(subnet);
    }
    out += fmt::format("domain '{}' local {}\nmtu {}\ngateway {}\ndns {} forward {}\n", s.domain,
                       yes_no(s.domain_local), s.mtu ? std::to_string(*s.mtu) : "-", yes_no(s.gateway),
                       yes_no(s.serve_dns), yes_no(s.forward_dns));
    for (const dhcp::DnsHost& host : s.dns_hosts) {
        out += fmt::format("dns host {} {}\n", format(host.address), fmt::join(host.names, " "));
    }
    out += dump(s.dns);
    if (!s.file_root.empty()) {
        out += fmt::format("files {}\n", s.file_root);
    }
    for (const dhcp::ExtraOption& option : s.options) {
        out += fmt::format("option {} {:02x}{}\n", option.code, fmt::join(option.value, ""),
                           option.force ? " forced" : "");
    }
    for (const dhcp::Boot& boot : s.boot) {
        out += fmt::format("boot '{}' from {}{}\n", boot.file, boot.server ? format(*boot.server) : "-",
                           boot.server_name.empty() ? "" : " name " + boot.server_name);
    }
    return out;
}

class NetworkGolden : public testing::TestWithParam<fs::path> {
protected:
    Spec spec() const {
        auto parsed = parse(test::read_file(GetParam()));
        EXPECT_TRUE(parsed) << parsed.error().message;
        return parsed ? *parsed : *parse("<network><name>none</name></network>");
    }
};

// Only a definition that has a bridge of ours compiles to anything.
TEST_P(NetworkGolden, CompilesToTheStateAndServiceBesideIt) {
    const Compiled compiled = compile(spec());
    test::expect_golden(fs::path(GetParam()).replace_extension(".state"), kernel::dump(compiled.state));
    const fs::path service = fs::path(GetParam()).replace_extension(".dhcp");
    if (compiled.service) {
        test::expect_golden(service, dump(*compiled.service));
    } else {
        EXPECT_FALSE(fs::exists(service));
    }
}

TEST_P(NetworkGolden, FormatsToWhatParsesToTheSame) {
    const Spec first = spec();
    const std::string text = format(first);
    const auto again = parse(text);
    ASSERT_TRUE(again) << again.error().message << "\n" << text;
    EXPECT_EQ(*again, first) << text;
    EXPECT_EQ(format(*again), text);
}

// The rules are given to nft itself, which asks the kernel as well.
TEST_P(NetworkGolden, NftAcceptsTheRules) {
    if (::geteuid() != 0) {
        GTEST_SKIP() << "needs root, for a network namespace";
    }
    if (std::system("unshare -n nft -c 'add table inet bascule' >/dev/null 2>&1") != 0) {
        GTEST_SKIP() << "needs unshare, nft and a kernel with nf_tables";
    }
    const fs::path file = fs::path(testing::TempDir()) / fmt::format("network-{}.nft", ::getpid());
    std::ofstream(file) << kernel::dump(compile(spec()).state.rules);
    FILE* const nft = ::popen(fmt::format("unshare -n nft -c -f {} 2>&1", file.string()).c_str(), "r");
    ASSERT_NE(nft, nullptr);
    std::string said;
    for (int c = std::fgetc(nft); c != EOF; c = std::fgetc(nft)) {
        said += static_cast<char>(c);
    }
    EXPECT_EQ(::pclose(nft), 0) << said;
    fs::remove(file);
}

INSTANTIATE_TEST_SUITE_P(Files, NetworkGolden, testing::ValuesIn(some_cases(false)),
                         [](const auto& one) { return test::case_name(one.param); });

class NetworkBad : public testing::TestWithParam<fs::path> {};

TEST_P(NetworkBad, IsRefusedWithTheErrorBesideIt) {
    const auto parsed = parse(test::read_file(GetParam()));
    ASSERT_FALSE(parsed) << format(*parsed);
    test::expect_golden(fs::path(GetParam()).replace_extension(".error"), parsed.error().message + "\n");
}

INSTANTIATE_TEST_SUITE_P(Files, NetworkBad, testing::ValuesIn(some_cases(true)),
                         [](const auto& one) { return test::case_name(one.param); });

TEST(NetworkFormat, PrintsElementsInThePeersOrder) {
    const auto spec = parse(test::read_file(fs::path(TEST_SOURCE_DIR) / "tests/golden/network/services.xml"));
    ASSERT_TRUE(spec) << spec.error().message;
    test::expect_golden(fs::path(TEST_SOURCE_DIR) / "tests/golden/network/services.formatted", format(*spec));
}

TEST(NetworkFormat, CountsConnectionsOfARunningNetworkOnly) {
    const auto spec = parse("<network connections='7'><name>n</name></network>");
    ASSERT_TRUE(spec) << spec.error().message;
    EXPECT_TRUE(format(*spec, {.inactive = false, .connections = 2}).starts_with("<network connections='2'>\n"));
    EXPECT_TRUE(format(*spec, {.inactive = false, .connections = 0}).starts_with("<network>\n"));
    EXPECT_TRUE(format(*spec, {.inactive = true, .connections = 2}).starts_with("<network>\n"));
}

}  // namespace
}  // namespace bascule::network
