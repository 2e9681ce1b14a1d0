// SPDX-License-Identifier: GPL-2.0-or-later
#include "network/defaults.h"

#include <random>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "network/compile.h"
#include "network/xml.h"

namespace bascule::network {
namespace {

using namespace literals;

IfName name(std::string_view text) { return *IfName::parse(text); }

Spec parsed(std::string_view text) {
    auto spec = parse(text);
    EXPECT_TRUE(spec) << spec.error().message;
    return spec ? *spec : *parse("<network><name>broken</name></network>");
}

Spec net(std::string_view which, std::string_view bridge, std::string_view address, unsigned length) {
    const auto ip = *parse_ip(address);
    Spec spec = parsed(
        fmt::format("<network><name>{}</name><bridge name='{}'/><ip family='{}' address='{}' prefix='{}'/></network>",
                    which, bridge, ip.is_v4() ? "ipv4" : "ipv6", address, length));
    EXPECT_TRUE(complete(spec, {}));
    return spec;
}

Result<void> check(const Spec& spec, std::vector<const Spec*> others, std::vector<HostRoute> routes = {}) {
    return check_clashes(spec, others, routes);
}

// ---- complete ----------------------------------------------------------------------------------

TEST(NetworkComplete, FillsInUuidBridgeAndMac) {
    Spec spec = parsed("<network><name>n</name></network>");
    ASSERT_TRUE(complete(spec, {}));
    EXPECT_FALSE(spec.uuid.is_nil());
    EXPECT_EQ(spec.bridge, name("virbr0"));
    EXPECT_TRUE(format(*spec.mac).starts_with("52:54:00:"));
}

TEST(NetworkComplete, LeavesWhatIsThere) {
    Spec spec = parsed(
        "<network><name>n</name><uuid>5a6c7d1e-0b2f-4c3d-8e4f-1a2b3c4d5e01</uuid><bridge name='virbr0'/>"
        "<mac address='52:54:00:00:00:01'/></network>");
    const Spec before = spec;
    ASSERT_TRUE(complete(spec, {.links = {name("virbr0")}}));
    EXPECT_EQ(spec, before);
}

TEST(NetworkComplete, TakesTheFirstFreeBridgeName) {
    Spec spec = parsed("<network><name>n</name></network>");
    ASSERT_TRUE(complete(spec, {.links = {name("virbr0"), name("virbr1"), name("virbr3"), name("eth0")}}));
    EXPECT_EQ(spec.bridge, name("virbr2"));
}

TEST(NetworkComplete, FillsTheNumberIntoATemplate) {
    Spec spec = parsed("<network><name>n</name><bridge name='lab%d-br'/></network>");
    ASSERT_TRUE(complete(spec, {.links = {name("lab0-br")}}));
    EXPECT_EQ(spec.bridge, name("lab1-br"));
}

TEST(NetworkComplete, SaysSoWhenNoBridgeNameIsLeft) {
    Taken taken;
    for (int i = 0; i <= 256; ++i) {
        taken.links.insert(name(fmt::format("virbr{}", i)));
    }
    Spec spec = parsed("<network><name>n</name></network>");
    const auto done = complete(spec, taken);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, Code::conflict);
    EXPECT_EQ(
        done.error().message,
        "network 'n': no free bridge name of the form 'virbr%d' is left; write <bridge name='…'/> with one that is "
        "not in use");
}

TEST(NetworkComplete, ATemplateThatOnlyFitsShortNumbersEndsThere) {
    Taken taken;
    for (int i = 0; i < 100; ++i) {
        taken.links.insert(name(fmt::format("thirteen-char{}", i)));
    }
    Spec spec = parsed("<network><name>n</name><bridge name='thirteen-char%d'/></network>");
    EXPECT_FALSE(complete(spec, taken));
}

TEST(NetworkDefault, IsTheNetworkThatEverybodyKnows) {
    Spec spec = parsed(default_definition());
    ASSERT_TRUE(complete(spec, {}));
    EXPECT_EQ(spec.name.str(), "default");
    EXPECT_EQ(spec.mode, Mode::nat);
    EXPECT_EQ(spec.bridge, name("virbr0"));
    EXPECT_TRUE(spec.stp);
    EXPECT_EQ(spec.delay_seconds, 0U);
    const auto service = compile(spec).service;
    ASSERT_TRUE(service);
    ASSERT_EQ(service->subnets.size(), 1U);
    EXPECT_EQ(service->subnets[0].server, (IpInterface{"192.168.122.1"_ip, 24}));
    EXPECT_EQ(service->subnets[0].ranges, (std::vector<dhcp::Range>{{"192.168.122.2"_ip, "192.168.122.254"_ip}}));
}

TEST(NetworkDefault, EachHostMakesItsOwnUuidAndMac) {
    Spec a = parsed(default_definition());
    Spec b = a;
    ASSERT_TRUE(complete(a, {}));
    ASSERT_TRUE(complete(b, {}));
    EXPECT_NE(a.uuid, b.uuid);
}

// ---- clashes -----------------------------------------------------------------------------------

TEST(NetworkClashes, TheSameNameWithAnotherUuidIsRefusedInThePeersWords) {
    const Spec old = net("n", "b0", "10.0.0.1", 24);
    const Spec spec = net("n", "b1", "10.0.1.1", 24);
    const auto done = check(spec, {&old});
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, Code::exists);
    EXPECT_EQ(done.error().message, "network 'n' already exists with uuid " + format(old.uuid));
}

TEST(NetworkClashes, TheSameUuidWithAnotherNameIsRefusedInThePeersWords) {
    const Spec old = net("old", "b0", "10.0.0.1", 24);
    Spec spec = net("new", "b1", "10.0.1.1", 24);
    spec.uuid = old.uuid;
    const auto done = check(spec, {&old});
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, Code::exists);
    EXPECT_EQ(done.error().message, "network 'old' is already defined with uuid " + format(old.uuid));
}

TEST(NetworkClashes, ADefinitionMayReplaceItself) {
    const Spec old = net("n", "b0", "10.0.0.1", 24);
    Spec spec = net("n", "b0", "10.0.0.1", 16);
    spec.uuid = old.uuid;
    EXPECT_TRUE(check(spec, {&old}));
}

TEST(NetworkClashes, ABridgeOfTwoNetworksIsRefused) {
    const Spec other = net("other", "b0", "10.0.0.1", 24);
    const auto done = check(net("n", "b0", "10.0.1.1", 24), {&other});
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, Code::conflict);
    EXPECT_EQ(
        done.error().message,
        "network 'n': the bridge name 'b0' is already used by network 'other'; choose another one or leave <bridge "
        "name=> out");
}

TEST(NetworkClashes, AnOverlapWithAnotherNetworkNamesBoth) {
    const Spec other = net("other", "b0", "10.1.2.1", 24);
    const auto done = check(net("n", "b1", "10.0.0.1", 8), {&other});
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, Code::conflict);
    EXPECT_EQ(done.error().message,
              "network 'n': its subnet 10.0.0.0/8 overlaps 10.1.2.0/24 of network 'other'; choose another subnet");
}

TEST(NetworkClashes, AnOverlapWithARouteNamesItsDevice) {
    const auto done = check(net("n", "b1", "192.168.122.1", 24), {}, {{"192.168.0.0/16"_prefix, "eth0"}});
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, Code::conflict);
    EXPECT_EQ(done.error().message,
              "network 'n': its subnet 192.168.122.0/24 overlaps the host's route to 192.168.0.0/16 by eth0; choose "
              "another subnet");
}

TEST(NetworkClashes, Ipv6OverlapsAreFoundAsWell) {
    const Spec other = net("other", "b0", "fd00:1:2::1", 64);
    EXPECT_FALSE(check(net("n", "b1", "fd00:1::1", 32), {&other}));
    EXPECT_TRUE(check(net("n", "b1", "fd00:1:3::1", 64), {&other}));
    EXPECT_FALSE(check(net("n", "b1", "fd00:1:3::1", 64), {}, {{"fd00:1:3::/120"_prefix, "tun0"}}));
}

TEST(NetworkClashes, DefaultRoutesAndTheirHalvesAreNone) {
    EXPECT_TRUE(check(net("n", "b1", "192.168.122.1", 24), {},
                      {{"0.0.0.0/0"_prefix, "eth0"}, {"0.0.0.0/1"_prefix, "tun0"}, {"128.0.0.0/1"_prefix, "tun0"}}));
    EXPECT_TRUE(check(net("n", "b1", "2001:db8::1", 64), {}, {{"::/0"_prefix, "eth0"}, {"2000::/3"_prefix, "tun0"}}));
}

TEST(NetworkClashes, RoutesByTheNetworksOwnBridgeAreNone) {
    EXPECT_TRUE(check(net("n", "b1", "10.0.0.1", 24), {}, {{"10.0.0.0/24"_prefix, "b1"}}));
    EXPECT_FALSE(check(net("n", "b1", "10.0.0.1", 24), {}, {{"10.0.0.0/24"_prefix, "b2"}}));
}

// Whether two prefixes overlap, by counting out a small world: addresses of 6 bits in the last octet.
TEST(NetworkClashes, OverlapIsWhatCountingSays) {
    std::mt19937 random(1);
    const auto draw = [&](bool v6) {
        const auto low = static_cast<std::uint8_t>(random() % 64);
        std::array<std::uint8_t, 16> octets{0xfd};
        octets[15] = low;
        return v6 ? Prefix::of(Ip::v6(octets), 122 + random() % 7)
                  : Prefix::of(Ip::v4({10, 0, 0, low}), 26 + random() % 7);
    };
    unsigned overlapping = 0;
    for (int i = 0; i < 4000; ++i) {
        const bool v6 = i % 2 == 0;
        const Prefix a = draw(v6);
        const Prefix b = draw(v6);
        bool common = false;
        for (Ip ip = a.first(); a.contains(ip) && !common; ip = ip.plus(1)) {
            common = b.contains(ip);
        }
        Spec spec = parsed("<network><name>n</name><bridge name='b1'/></network>");
        spec.addresses.push_back({.address = {a.network, a.length}});
        Spec other = parsed("<network><name>o</name><bridge name='b2'/></network>");
        other.addresses.push_back({.address = {b.network, b.length}});
        ASSERT_TRUE(complete(spec, {}) && complete(other, {}));
        ASSERT_EQ(!check(spec, {&other}), common) << format(a) << " " << format(b);
        ASSERT_EQ(!check(other, {&spec}), common) << format(a) << " " << format(b);
        ASSERT_EQ(!check(spec, {}, {{b, "eth0"}}), common) << format(a) << " " << format(b);
        overlapping += common ? 1 : 0;
    }
    EXPECT_GT(overlapping, 500U);
    EXPECT_LT(overlapping, 3500U);
}

TEST(NetworkClashes, TheFamiliesNeverOverlap) {
    EXPECT_FALSE("::/0"_prefix.overlaps("0.0.0.0/0"_prefix));
    const Spec six = net("six", "b0", "a00::1", 8);
    EXPECT_TRUE(check(net("four", "b1", "10.0.0.1", 8), {&six}));
}

}  // namespace
}  // namespace bascule::network
