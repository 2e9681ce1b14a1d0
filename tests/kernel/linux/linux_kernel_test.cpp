// SPDX-License-Identifier: GPL-2.0-or-later
// What the conformance suite leaves open because a fake cannot know it: aliases, foreign links, what the kernel says.
#include "kernel/linux/linux_kernel.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "kernel/linux/clock.h"
#include "kernel/plan.h"
#include "tests/kernel/linux/netns.h"

namespace bascule::kernel::os {

namespace {

using namespace literals;

IfName name(const char* text) { return *IfName::parse(text); }

Link bridge(const char* owner = "network:one") {
    Link link;
    link.kind = LinkKind::bridge;
    link.owner = owner;
    link.mac = "52:54:00:01:02:03"_mac;
    link.mtu = 1400;
    link.bridge = BridgeSettings{.stp = true, .forward_delay_cs = 200};
    return link;
}

Link tap(const char* owner = "port:vnet0") {
    Link link;
    link.kind = LinkKind::tap;
    link.owner = owner;
    link.mac = "fe:54:00:01:02:03"_mac;
    link.master = name("virbr0");
    return link;
}

State network_state() {
    State state;
    state.links.emplace(name("virbr0"), bridge());
    state.links.emplace(name("vnet0"), tap());
    state.addresses.insert({name("virbr0"), {"192.168.122.1"_ip, 24}});
    state.addresses.insert({name("virbr0"), {"fd00:1::1"_ip, 64}});
    state.routes.insert({"10.7.0.0/16"_prefix, "192.168.122.9"_ip, name("virbr0"), 0});
    state.routes.insert({"10.8.0.0/16"_prefix, "192.168.122.9"_ip, std::nullopt, 5});
    state.routes.insert({"fd00:2::/64"_prefix, "fd00:1::9"_ip, name("virbr0"), 0});
    state.routes.insert({"fd00:3::/64"_prefix, "fd00:1::9"_ip, std::nullopt, 1024});
    state.sysctls.emplace("net/ipv4/ip_forward", "1");
    state.sysctls.emplace("net/ipv6/conf/virbr0/accept_ra", "0");
    Table& inet = state.rules[Family::inet];
    inet.sets.emplace("networks", SetDef{.key = "ifname", .data = "verdict"});
    const std::string chain =
        inet.add_chain("nat", {.hook = {}, .rules = {"ip saddr 192.168.122.0/24 accept", "drop"}});
    inet.elements["networks"].emplace("virbr0", Element{.data = "jump " + chain, .expires = {}});
    inet.add_chain("forward",
                   {.hook = Hook{.type = "filter", .hook = "forward", .priority = 0, .device = {}, .policy = "accept"},
                    .rules = {"iifname vmap @networks"}});
    return state;
}

Scope links_scope(std::set<IfName> links) {
    Scope scope;
    scope.links = std::move(links);
    return scope;
}

void apply_all(Kernel& kernel, const State& wanted) {
    auto actual = kernel.observe(Scope::of(wanted));
    ASSERT_TRUE(ok(actual));
    for (const Op& op : plan(*actual, wanted)) {
        ASSERT_TRUE(ok(kernel.apply(op))) << format(op);
    }
}

std::string planned(Kernel& kernel, const Scope& scope, const State& wanted) {
    const auto actual = kernel.observe(scope);
    if (!actual) {
        return actual.error().message;
    }
    std::string out;
    for (const Op& op : plan(*actual, wanted)) {
        out += format(op) + "\n";
    }
    return out;
}

class LinuxKernelTest : public Netns {};

}  // namespace

TEST_F(LinuxKernelTest, AWholeNetworkIsMadeAndThenNothingIsLeftToDo) {
    const auto kernel = needed_kernel();
    const State wanted = network_state();
    apply_all(*kernel, wanted);
    EXPECT_EQ(planned(*kernel, Scope::of(wanted), wanted), "");
}

TEST_F(LinuxKernelTest, AFreshProcessFindsItAllThereAndPlansNothing) {
    const State wanted = network_state();
    apply_all(*needed_kernel(), wanted);

    const auto restarted = needed_kernel();
    Scope everything = Scope::of(wanted);
    everything.everything = true;
    EXPECT_EQ(planned(*restarted, Scope::of(wanted), wanted), "");
    EXPECT_EQ(planned(*restarted, everything, wanted), "");
}

TEST_F(LinuxKernelTest, AnEmptyWishTakesEverythingAwayAgain) {
    const auto kernel = needed_kernel();
    apply_all(*kernel, network_state());
    Scope everything;
    everything.everything = true;
    const auto actual = kernel->observe(everything);
    ASSERT_TRUE(ok(actual));
    for (const Op& op : plan(*actual, {})) {
        ASSERT_TRUE(ok(kernel->apply(op))) << format(op);
    }
    EXPECT_EQ(*kernel->observe(everything), State{});
    EXPECT_EQ(sh("nft list tables"), "");
    EXPECT_EQ(sh("ip -o link | wc -l"), "1\n");
}

TEST_F(LinuxKernelTest, LinksCarryTheirOwner) {
    const auto kernel = needed_kernel();
    apply_all(*kernel, network_state());
    EXPECT_EQ(sh("cat /sys/class/net/virbr0/ifalias /sys/class/net/vnet0/ifalias"),
              "bascule:network:one\nbascule:port:vnet0\n");
}

TEST_F(LinuxKernelTest, ABridgeHasItsSettings) {
    const auto kernel = needed_kernel();
    ASSERT_TRUE(ok(kernel->apply(PutLink{name("virbr0"), bridge()})));
    EXPECT_EQ(sh("cd /sys/class/net/virbr0; cat address mtu bridge/stp_state bridge/forward_delay"),
              "52:54:00:01:02:03\n1400\n1\n200\n");
}

TEST_F(LinuxKernelTest, StpCanBeTurnedOffTogetherWithTheDelay) {
    const auto kernel = needed_kernel();
    ASSERT_TRUE(ok(kernel->apply(PutLink{name("virbr0"), bridge()})));
    ASSERT_TRUE(ok(kernel->apply(LinkUp{name("virbr0"), true})));
    Link quick = bridge();
    quick.bridge = BridgeSettings{.stp = false, .forward_delay_cs = 0};
    ASSERT_TRUE(ok(kernel->apply(PutLink{name("virbr0"), quick})));
    EXPECT_EQ(sh("cd /sys/class/net/virbr0; cat bridge/stp_state bridge/forward_delay"), "0\n0\n");
    ASSERT_TRUE(ok(kernel->apply(PutLink{name("virbr0"), bridge()})));
    EXPECT_EQ(sh("cd /sys/class/net/virbr0; cat bridge/stp_state bridge/forward_delay"), "1\n200\n");
}

TEST_F(LinuxKernelTest, ATapHasNoIpv6OfTheHosts) {
    const auto kernel = needed_kernel();
    Link lone = tap();
    lone.master.reset();
    ASSERT_TRUE(ok(kernel->apply(PutLink{name("vnet0"), lone})));
    ASSERT_TRUE(ok(kernel->apply(LinkUp{name("vnet0"), true})));
    EXPECT_EQ(sh("cat /proc/sys/net/ipv6/conf/vnet0/disable_ipv6"), "1\n");
    EXPECT_EQ(sh("ip -6 addr show dev vnet0"), "");
}

TEST_F(LinuxKernelTest, TheNumberOfQueuesIsReadBack) {
    const auto kernel = needed_kernel();
    Link many = tap();
    many.master.reset();
    many.queues = 4;
    ASSERT_TRUE(ok(kernel->apply(PutLink{name("vnet0"), many})));
    const auto seen = kernel->observe(links_scope({name("vnet0")}));
    ASSERT_TRUE(ok(seen));
    EXPECT_EQ(seen->links.at(name("vnet0")).queues, 4);
    EXPECT_EQ(seen->links.at(name("vnet0")).owner, "port:vnet0");
    many.queues = 1;
    const auto refused = kernel->apply(PutLink{name("vnet0"), many});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::invalid_state);
}

TEST_F(LinuxKernelTest, AForeignLinkOfThatNameIsAConflictAndStaysAsItWas) {
    sh("ip link add virbr0 type bridge; ip link set virbr0 up");
    const auto kernel = needed_kernel();
    const std::string before = sh("ip -o link show virbr0");
    for (const Link& wanted : {bridge(), tap()}) {
        const auto refused = kernel->apply(PutLink{name("virbr0"), wanted});
        ASSERT_FALSE(refused);
        EXPECT_EQ(refused.error().code, Code::conflict);
        EXPECT_TRUE(refused.error().message.contains("ip link delete virbr0")) << refused.error().message;
    }
    const auto dropped = kernel->apply(DropLink{name("virbr0")});
    ASSERT_FALSE(dropped);
    EXPECT_EQ(dropped.error().code, Code::conflict);
    EXPECT_EQ(sh("ip -o link show virbr0"), before);
}

TEST_F(LinuxKernelTest, ABridgeThatWasNotSignedBeforeACrashIsTakenOver) {
    sh("ip link add virbr0 address 52:54:00:01:02:03 type bridge");
    const auto kernel = needed_kernel();
    ASSERT_TRUE(ok(kernel->apply(PutLink{name("virbr0"), bridge()})));
    EXPECT_EQ(sh("cat /sys/class/net/virbr0/ifalias"), "bascule:network:one\n");
    EXPECT_EQ(sh("cd /sys/class/net/virbr0; cat bridge/stp_state bridge/forward_delay mtu"), "1\n200\n1400\n");
}

TEST_F(LinuxKernelTest, AForeignLinkIsPutIntoABridgeAndTakenOutAndNothingElse) {
    sh("ip link add eth7 address 02:00:00:00:00:07 type veth peer name eth8; ip link set eth7 mtu 1234");
    const auto kernel = needed_kernel();
    ASSERT_TRUE(ok(kernel->apply(PutLink{name("virbr0"), bridge()})));
    Link port;
    port.master = name("virbr0");
    port.mac = "02:00:00:00:00:99"_mac;
    ASSERT_TRUE(ok(kernel->apply(PutLink{name("eth7"), port})));
    const Scope scope = links_scope({name("eth7")});
    auto seen = kernel->observe(scope);
    ASSERT_TRUE(ok(seen));
    EXPECT_EQ(seen->links.at(name("eth7")).master, name("virbr0"));
    EXPECT_EQ(seen->links.at(name("eth7")).mac, "02:00:00:00:00:07"_mac);
    EXPECT_EQ(seen->links.at(name("eth7")).mtu, 1234U);
    port.master.reset();
    ASSERT_TRUE(ok(kernel->apply(PutLink{name("eth7"), port})));
    seen = kernel->observe(scope);
    ASSERT_TRUE(ok(seen));
    EXPECT_EQ(seen->links.at(name("eth7")).master, std::nullopt);
}

TEST_F(LinuxKernelTest, AForeignLinkThatIsMissingIsNamed) {
    const auto kernel = needed_kernel();
    const auto refused = kernel->apply(PutLink{name("eth7"), Link{}});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().sys_errno, ENODEV);
    EXPECT_TRUE(refused.error().message.contains("eth7")) << refused.error().message;
}

TEST_F(LinuxKernelTest, AddressesTheKernelMadeAreNobodysWish) {
    const auto kernel = needed_kernel();
    Link quick = bridge();
    quick.bridge = BridgeSettings{};
    ASSERT_TRUE(ok(kernel->apply(PutLink{name("virbr0"), quick})));
    sh("ip link add eth7 type veth peer name eth8; ip link set eth8 up; ip link set eth7 master virbr0 up");
    ASSERT_TRUE(ok(kernel->apply(LinkUp{name("virbr0"), true})));
    ASSERT_TRUE(eventually([] { return sh("ip -6 -o addr show dev virbr0").contains("fe80::"); }));
    const auto seen = kernel->observe(links_scope({name("virbr0")}));
    ASSERT_TRUE(ok(seen));
    EXPECT_TRUE(seen->addresses.empty());
}

TEST_F(LinuxKernelTest, AnIpv6AddressCanBeBoundAtOnce) {
    const auto kernel = needed_kernel();
    ASSERT_TRUE(ok(kernel->apply(PutLink{name("virbr0"), bridge()})));
    ASSERT_TRUE(ok(kernel->apply(PutAddress{{name("virbr0"), {"fd00:1::1"_ip, 64}}})));
    ASSERT_TRUE(ok(kernel->apply(LinkUp{name("virbr0"), true})));
    EXPECT_FALSE(sh("ip -6 -o addr show dev virbr0 to fd00:1::1").contains("tentative"));
}

TEST_F(LinuxKernelTest, TheKernelsOwnWordsAreInTheError) {
    const auto kernel = needed_kernel();
    Link wrong = bridge();
    wrong.mac = "01:00:00:00:00:01"_mac;
    const auto refused = kernel->apply(PutLink{name("virbr0"), wrong});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message, "bridge virbr0: making it: Cannot assign requested address");
    EXPECT_EQ(refused.error().sys_errno, EADDRNOTAVAIL);
    wrong = bridge();
    wrong.mtu = 12;
    EXPECT_EQ(kernel->apply(PutLink{name("virbr0"), wrong}).error().message,
              "link virbr0: Invalid argument (mtu less than device minimum)");
    EXPECT_EQ(sh("ip -o link show type bridge"), "") << "half a bridge was left behind";
}

TEST_F(LinuxKernelTest, AForeignRouteToTheSamePlaceIsAConflict) {
    sh("ip link set lo up; ip route add 10.7.0.0/16 dev lo");
    const auto kernel = needed_kernel();
    const auto refused = kernel->apply(PutRoute{{"10.7.0.0/16"_prefix, std::nullopt, name("lo"), 0}});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::conflict);
    EXPECT_TRUE(refused.error().message.contains("10.7.0.0/16")) << refused.error().message;
    ASSERT_TRUE(ok(kernel->apply(DropRoute{{"10.7.0.0/16"_prefix, std::nullopt, name("lo"), 0}})));
    EXPECT_TRUE(sh("ip route").contains("10.7.0.0/16")) << "a foreign route was removed";
}

TEST_F(LinuxKernelTest, ASysctlLeadingOutOfItsFolderIsRefused) {
    const auto kernel = needed_kernel();
    for (const char* key : {"", "/etc/passwd", "net/../../etc/passwd", "net//ipv4", "net/ipv4/"}) {
        const auto refused = kernel->apply(SetSysctl{key, "1"});
        ASSERT_FALSE(refused) << key;
        EXPECT_EQ(refused.error().code, Code::invalid_argument) << key;
    }
}

TEST_F(LinuxKernelTest, ASysctlThatIsAbsentOrRefusesTheValueIsNamed) {
    const auto kernel = needed_kernel();
    EXPECT_EQ(kernel->apply(SetSysctl{"net/ipv4/no_such", "1"}).error().message,
              "sysctl net/ipv4/no_such: this kernel has no such setting (/proc/sys/net/ipv4/no_such is absent)");
    EXPECT_EQ(kernel->apply(SetSysctl{"net/ipv4/ip_forward", "maybe"}).error().message,
              "sysctl net/ipv4/ip_forward: setting it to 'maybe': Invalid argument");
}

TEST_F(LinuxKernelTest, OneNetworkCostsLittle) {
    const auto kernel = needed_kernel();
    State wanted = network_state();
    wanted.links.erase(name("vnet0"));
    (void)kernel->observe(Scope::of(wanted));  // the first reading of the tables
    for (int i = 0; i < 3; ++i) {
        const Time begin = boot_now();
        apply_all(*kernel, wanted);
        const Time made = boot_now();
        EXPECT_EQ(planned(*kernel, Scope::of(wanted), wanted), "");
        const Time looked = boot_now();
        apply_all(*kernel, {});
        Scope everything;
        everything.everything = true;
        const auto actual = kernel->observe(everything);
        for (const Op& op : plan(*actual, {})) {
            ASSERT_TRUE(ok(kernel->apply(op)));
        }
        const auto us = [](auto d) { return std::chrono::duration_cast<std::chrono::microseconds>(d).count(); };
        fmt::print("made in {} us, observed in {} us, removed in {} us\n", us(made - begin), us(looked - made),
                   us(boot_now() - looked));
    }
}

}  // namespace bascule::kernel::os
