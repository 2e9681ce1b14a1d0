// SPDX-License-Identifier: GPL-2.0-or-later
// Each kernel behaviour that we lean on and that no test of our own code proves by the way: docs/kernel-assumptions.md
// names them all, with the test.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <regex>
#include <set>
#include <thread>

#include "kernel/linux/clock.h"
#include "kernel/linux/nft.h"
#include "kernel/linux/tap.h"
#include "tests/kernel/linux/netns.h"
#include "tests/support/golden.h"

namespace bascule::kernel::os {

namespace {

IfName name(const char* text) { return *IfName::parse(text); }

class KernelAssumption : public Netns {
protected:
    // Three hosts: left – here – right, 10.1.0.2 – 10.1.0.1|10.2.0.1 – 10.2.0.2.
    void make_router() {
        sh("mount -t tmpfs tmpfs /run; ip netns add left; ip netns add right;"
           "ip link add a1 type veth peer name a0 netns left; ip link add b1 type veth peer name b0 netns right;"
           "ip addr add 10.1.0.1/24 dev a1; ip addr add 10.2.0.1/24 dev b1; ip link set a1 up; ip link set b1 up;"
           "ip -n left addr add 10.1.0.2/24 dev a0; ip -n left link set a0 up; ip -n left route add default via "
           "10.1.0.1;"
           "ip -n right addr add 10.2.0.2/24 dev b0; ip -n right link set b0 up;"
           "ip -n right route add default via 10.2.0.1; echo 1 > /proc/sys/net/ipv4/ip_forward");
    }
    void TearDown() override {
        if (!IsSkipped()) {
            sh("for n in left right; do ! test -e /run/netns/$n || ip netns delete $n; done; umount -l /run 2>&- || "
               "true");
        }
    }
    // Packets that the counter of a rule in this chain has seen.
    static std::string counters(const std::string& chain) {
        return sh("nft list chain " + chain + " | grep -o 'packets [0-9]*' | tr '\\n' ' '");
    }
};

// As often as it takes the first packets to find their way.
bool reaches(const std::string& from, const std::string& to, const std::function<bool()>& seen) {
    return eventually([&] {
        sh("ip netns exec " + from + " bash -c 'echo x > /dev/udp/" + to + "/9'");
        return seen();
    });
}

}  // namespace

TEST_F(KernelAssumption, ABridgeKeepsItsAddressesWhenItsLastPortGoes) {
    sh("ip link add br0 type bridge; ip addr add 10.1.0.1/24 dev br0; ip -6 addr add fd00:1::1/64 dev br0 nodad;"
       "ip link add p0 type veth peer name p1; ip link set p0 master br0 up; ip link set br0 up; ip link del p0");
    const std::string left = sh("ip -o addr show dev br0");
    EXPECT_TRUE(left.contains("10.1.0.1/24")) << left;
    EXPECT_TRUE(left.contains("fd00:1::1/64")) << left;
}

TEST_F(KernelAssumption, APersistentTapSurvivesItsLastDescriptorAndAnotherDoesNot) {
    {
        const auto kept = attach_tap(name("kept"), false), lost = attach_tap(name("lost"), false);
        ASSERT_TRUE(kept && lost);
        ASSERT_TRUE(keep_tap(*kept));
    }
    EXPECT_TRUE(eventually([] { return !sh("ip -o link").contains("lost"); }));
    EXPECT_TRUE(sh("ip -o link").contains("kept"));
}

TEST_F(KernelAssumption, WithStpTheForwardDelayIsAtLeastTwoSeconds) {
    sh("ip link add br0 type bridge forward_delay 0 stp_state 1; ip link add br1 type bridge forward_delay 0");
    EXPECT_EQ(sh("cat /sys/class/net/br0/bridge/forward_delay /sys/class/net/br1/bridge/forward_delay"), "200\n0\n");
}

TEST_F(KernelAssumption, ABridgesMtuFollowsItsPortsUnlessItWasChangedAfterwards) {
    sh("ip link add br0 mtu 1400 type bridge; ip link add br1 type bridge; ip link set br1 mtu 1400;"
       "for b in br0 br1; do ip link add p$b type veth peer name q$b; ip link set p$b master $b; done");
    EXPECT_EQ(sh("cat /sys/class/net/br0/mtu /sys/class/net/br1/mtu"), "1500\n1400\n");
}

TEST_F(KernelAssumption, AnAliasIsTakenOnlyByALinkThatExists) {
    sh("ip link add br0 alias hello type bridge");
    const std::string alias = sh("cat /sys/class/net/br0/ifalias");
    EXPECT_EQ(alias, "") << "one message would now be enough to make a bridge";
}

TEST_F(KernelAssumption, TheSecondAddressOfASubnetGoesWithTheFirst) {
    sh("ip link add br0 type bridge; ip addr add 10.1.0.1/24 dev br0; ip addr add 10.1.0.2/24 dev br0;"
       "ip addr del 10.1.0.1/24 dev br0");
    EXPECT_EQ(sh("ip -4 -o addr show dev br0"), "");
}

TEST_F(KernelAssumption, PostroutingSeesWhereARoutedPacketCameIn) {
    make_router();
    sh("nft -f - <<'E'\n"
       "table inet t {\n"
       "  chain post { type nat hook postrouting priority 100;\n"
       "    iifname \"a1\" oifname \"b1\" counter masquerade\n"
       "  }\n"
       "}\nE");
    EXPECT_TRUE(reaches("left", "10.2.0.2", [] { return !counters("inet t post").contains("packets 0 "); }));
}

TEST_F(KernelAssumption, ElementsNameLinksThatAreStillToCome) {
    sh("nft -f - <<'E'\n"
       "table bridge t {\n"
       "  map ports { type ifname : verdict; elements = { \"vnet9\" : drop } }\n"
       "  chain pre { type filter hook prerouting priority -300; iifname vmap @ports; }\n"
       "}\nE");
    sh("ip link add vnet9 type veth peer name peer9; ip link del vnet9");
    EXPECT_TRUE(sh("nft list map bridge t ports").contains("vnet9"));
}

TEST_F(KernelAssumption, ThePortOfABridgeIsMatchedWithMacAndAddressInOneTimedSet) {
    sh("mount -t tmpfs tmpfs /run; ip netns add left; ip link add br0 type bridge; ip addr add 10.1.0.1/24 dev br0;"
       "ip link set br0 up; ip link add vnet0 type veth peer name eth0 netns left; ip link set vnet0 master br0 up;"
       "ip -n left link set eth0 address 52:54:00:00:00:01; ip -n left addr add 10.1.0.5/24 dev eth0;"
       "ip -n left link set eth0 up");
    sh("nft -f - <<'E'\n"
       "table bridge t {\n"
       "  set known { type ifname . ether_addr . ipv4_addr; flags timeout;\n"
       "    elements = { \"vnet0\" . 52:54:00:00:00:01 . 10.1.0.5 timeout 1h }\n"
       "  }\n"
       "  chain good { counter accept; }\n"
       "  chain bad { counter drop; }\n"
       "  chain pre { type filter hook prerouting priority -300;\n"
       "    ether type ip iifname . ether saddr . ip saddr @known goto good\n"
       "    ether type ip goto bad\n"
       "  }\n"
       "}\nE");
    EXPECT_TRUE(reaches("left", "10.1.0.1", [] { return !counters("bridge t good").contains("packets 0 "); }));
    sh("ip -n left addr add 10.1.0.6/24 dev eth0; ip -n left addr del 10.1.0.5/24 dev eth0;"
       "ip -n left addr add 10.1.0.6/24 dev eth0 2>/dev/null || true");
    EXPECT_TRUE(reaches("left", "10.1.0.1", [] { return !counters("bridge t bad").contains("packets 0 "); }));
}

TEST_F(KernelAssumption, ATransactionIsOneGenerationAndAFailedOneAndAnExpiryAreNone) {
    auto nft = Nft::open();
    ASSERT_TRUE(ok(nft));
    Scope everything;
    everything.everything = true;
    RuleBatch batch;
    Table& table = batch.add[Family::inet];
    table.sets["timed"] = SetDef{.key = "ifname", .data = "", .timeouts = true};
    table.sets["other"] = SetDef{.key = "ifname", .data = ""};
    table.chains["plain"] = Chain{.hook = {}, .rules = {"iifname @timed accept", "drop"}};
    table.elements["timed"]["a"] = {"", boot_now() + std::chrono::milliseconds(20)};
    (void)(*nft)->observe(everything).has_value();
    const std::size_t before = (*nft)->listings();
    ASSERT_TRUE(ok((*nft)->run(batch)));
    EXPECT_TRUE(eventually([] { return !sh("nft list set inet bascule timed").contains("\"a\""); }));
    RuleBatch wrong;
    wrong.remove[Family::inet].chains = {"absent"};
    EXPECT_FALSE((*nft)->run(wrong));
    (void)(*nft)->observe(everything).has_value();
    EXPECT_EQ((*nft)->listings(), before) << "any other number would have made it read the tables again";
}

TEST_F(KernelAssumption, ADeletedElementThatIsAbsentFailsUnlessItIsAddedFirst) {
    sh("nft 'add table inet t; add set inet t s { type ipv4_addr; flags timeout; }'");
    sh("! nft 'delete element inet t s { 10.0.0.1 }'");
    sh("nft 'add element inet t s { 10.0.0.1 }; delete element inet t s { 10.0.0.1 }'");
    sh("nft 'add element inet t s { 10.0.0.1 timeout 1h }'");
    sh("nft 'add element inet t s { 10.0.0.1 }; delete element inet t s { 10.0.0.1 };"
       " add element inet t s { 10.0.0.1 timeout 2h }'");
    EXPECT_TRUE(sh("nft list set inet t s").contains("10.0.0.1 timeout 2h"));
}

// Packets flow all the time while the map's element is moved from one chain to the other.
TEST_F(KernelAssumption, AMapElementMovesBetweenTwoPackets) {
    sh("ip link set lo up");
    sh("nft -f - <<'E'\n"
       "table inet t {\n"
       "  map m { type ifname : verdict; }\n"
       "  chain one { counter accept; }\n"
       "  chain two { counter accept; }\n"
       "  chain out { type filter hook output priority 0;\n"
       "    udp dport != 9 accept\n"
       "    oifname vmap @m\n"
       "    counter comment \"nobody's\"\n"
       "  }\n"
       "}\n"
       "add element inet t m { \"lo\" : jump one }\nE");
    std::atomic<bool> stop = false;
    std::atomic<int> sent = 0;
    std::thread sender([&] {
        const UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_port = htons(9);
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        while (!stop) {
            ::sendto(fd.get(), "x", 1, 0, reinterpret_cast<const sockaddr*>(&to), sizeof(to));
            ++sent;
        }
    });
    EXPECT_TRUE(eventually([&] { return sent > 100; }));
    for (int i = 0; i < 100; ++i) {
        sh(std::string("nft 'delete element inet t m { \"lo\" }; add element inet t m { \"lo\" : jump ") +
           (i % 2 == 0 ? "two" : "one") + " }'");
    }
    stop = true;
    sender.join();
    EXPECT_EQ(counters("inet t out"), "packets 0 ");
    EXPECT_NE(counters("inet t one"), "packets 0 ");
    EXPECT_NE(counters("inet t two"), "packets 0 ");
}

TEST_F(KernelAssumption, RoutesGoDownWithTheirLinkAndDoNotComeBack) {
    sh("ip link add br0 type bridge; ip addr add 10.1.0.1/24 dev br0; ip link set br0 up;"
       "ip route add 10.9.0.0/16 via 10.1.0.9; ip link set br0 down; ip link set br0 up");
    EXPECT_FALSE(sh("ip route").contains("10.9.0.0/16"));
}

// The page and the tests name the same things.
TEST(KernelAssumptions, EveryLineOfThePageHasATestThatExists) {
    const std::string page = test::read_file(std::string(TEST_SOURCE_DIR) + "/docs/kernel-assumptions.md");
    std::set<std::string> tests, named;
    const testing::UnitTest& all = *testing::UnitTest::GetInstance();
    for (int i = 0; i < all.total_test_suite_count(); ++i) {
        const testing::TestSuite& suite = *all.GetTestSuite(i);
        for (int j = 0; j < suite.total_test_count(); ++j) {
            const std::string test = suite.GetTestInfo(j)->name();
            tests.insert(std::string(suite.name()) + "." + test.substr(0, test.find('/')));
        }
    }
    const std::regex test_name("`([A-Za-z/]+\\.[A-Za-z]+)`");
    for (auto it = std::sregex_iterator(page.begin(), page.end(), test_name); it != std::sregex_iterator(); ++it) {
        named.insert((*it)[1]);
    }
    EXPECT_FALSE(named.empty());
    for (const std::string& one : named) {
        const bool script = one.ends_with(".sh") && std::filesystem::exists(std::string(TEST_SOURCE_DIR) + "/" + one);
        EXPECT_TRUE(script || tests.contains(one))
            << "docs/kernel-assumptions.md names " << one << ", which does not exist";
    }
    for (const std::string& one : tests) {
        if (one.starts_with("KernelAssumption.")) {
            EXPECT_TRUE(named.contains(one)) << one << " is missing from docs/kernel-assumptions.md";
        }
    }
}

}  // namespace bascule::kernel::os
