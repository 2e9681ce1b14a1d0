// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/host_names.h"

#include <gtest/gtest.h>

namespace bascule::daemon {
namespace {

using namespace bascule::literals;

TEST(HostNames, ResolversAreTheHostsButNotOurselves) {
    const auto servers = [](const char* resolv, const char* resolved, std::multiset<Ip> ours = {}) {
        std::string out;
        for (const Ip& ip : resolvers_of(resolv, resolved, ours).servers) {
            out += (out.empty() ? "" : " ") + format(ip);
        }
        return out;
    };
    EXPECT_EQ(servers("nameserver 192.0.2.1\n# x\nnameserver 2001:db8::1%eth0\nnameserver 192.0.2.1\n", ""),
              "192.0.2.1 2001:db8::1");
    EXPECT_EQ(servers("nameserver 192.168.122.1\nnameserver 192.0.2.1\n", "", {"192.168.122.1"_ip}), "192.0.2.1");
    EXPECT_EQ(servers("nameserver 127.0.0.53\n", ""), "127.0.0.53");
    EXPECT_EQ(servers("nameserver 127.0.0.53\n", "nameserver 192.0.2.1\n"), "127.0.0.53");
    EXPECT_EQ(servers("nameserver 127.0.0.53\n", "nameserver 192.168.122.1\n", {"192.168.122.1"_ip}), "")
        << "systemd-resolved asks nobody but us";
    EXPECT_EQ(servers("", ""), "");
}

TEST(HostNames, SearchDomainsAreThoseOfTheLastLine) {
    EXPECT_EQ(resolvers_of("domain a.example\nsearch b.example C.example bad..name\n", "", {}).search,
              (std::vector<std::string>{"b.example", "C.example"}));
}

TEST(HostNames, DomainsOfANetwork) {
    dhcp::Spec spec{.uuid = {}, .network = "n", .bridge = *IfName::parse("br0")};
    spec.domain = "lab.example";
    spec.subnets = {
        {.server = {"192.168.122.1"_ip, 24}}, {.server = {"10.0.16.1"_ip, 23}}, {.server = {"fd00:1::1"_ip, 64}}};
    EXPECT_EQ(host_domains(spec),
              (std::vector<std::string>{"lab.example", "122.168.192.in-addr.arpa", "16.0.10.in-addr.arpa",
                                        "17.0.10.in-addr.arpa", "0.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa"}));
    spec.subnets = {{.server = {"10.0.0.1"_ip, 9}}};
    EXPECT_EQ(host_domains(spec).size(), 1U) << "too many zones";
    spec.serve_dns = false;
    EXPECT_TRUE(host_domains(spec).empty());
}

TEST(HostNames, FilesForNssModules) {
    dhcp::Lease lease{.network = {}, .port = "52:54:00:00:00:01"_mac, .address = "192.168.122.10"_ip};
    lease.expires = std::chrono::sys_seconds(std::chrono::seconds(1700000000));
    lease.hostname = "vm1";
    lease.client_id = {1, 0xab};
    dhcp::Lease endless = lease;
    endless.expires = dhcp::kNever;
    endless.hostname.clear();
    endless.client_id.clear();
    EXPECT_EQ(status_file({lease, endless}), R"([
  {
    "ip-address": "192.168.122.10",
    "mac-address": "52:54:00:00:00:01",
    "hostname": "vm1",
    "client-id": "01:ab",
    "expiry-time": 1700000000
  },
  {
    "ip-address": "192.168.122.10",
    "mac-address": "52:54:00:00:00:01",
    "expiry-time": 0
  }
]
)");
    EXPECT_EQ(
        macs_file({{"52:54:00:00:00:01"_mac, "b"}, {"52:54:00:00:00:02"_mac, "a"}, {"52:54:00:00:00:03"_mac, "b"}}),
        R"([
  {
    "domain": "a",
    "macs": [
      "52:54:00:00:00:02"
    ]
  },
  {
    "domain": "b",
    "macs": [
      "52:54:00:00:00:01",
      "52:54:00:00:00:03"
    ]
  }
]
)");
    EXPECT_EQ(status_file({}), "[]\n");
}

}  // namespace
}  // namespace bascule::daemon
