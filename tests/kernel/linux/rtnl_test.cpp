// SPDX-License-Identifier: GPL-2.0-or-later
// Replies recorded from a kernel (tests/golden/kernel/linux/*.hex: one or more datagrams to a request with sequence
// number 1) as our values.
#include "kernel/linux/rtnl.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <sstream>

#include "tests/support/golden.h"

namespace bascule::kernel::os {

namespace {

using namespace literals;

std::vector<Bytes> recorded(const std::string& name) {
    std::vector<Bytes> out;
    std::istringstream lines(
        bascule::test::read_file(std::string(TEST_SOURCE_DIR) + "/tests/golden/kernel/linux/" + name + ".hex"));
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with('#')) {
            out.emplace_back();
            continue;
        }
        for (std::size_t i = 0; i + 1 < line.size(); i += 2) {
            out.back().push_back(static_cast<std::byte>(std::stoi(line.substr(i, 2), nullptr, 16)));
        }
    }
    return out;
}

Answer answer(const std::string& name, std::uint32_t first_sequence = 1) {
    std::array<Answer, 1> out;
    for (const Bytes& datagram : recorded(name)) {
        const auto sorted = sort_answers(datagram, first_sequence, out);
        EXPECT_TRUE(sorted) << sorted.error().message;
    }
    return std::move(out[0]);
}

LinkSeen link(const std::string& name) {
    const Answer found = answer(name);
    const auto seen = found.objects.empty() ? std::nullopt : parse_link(found.objects.front());
    EXPECT_TRUE(seen) << name;
    return seen.value_or(LinkSeen(*IfName::parse("none")));
}

}  // namespace

TEST(RecordedReplies, ABridgeOfOurs) {
    const LinkSeen seen = link("link-bridge");
    EXPECT_EQ(seen.name.str(), "virbr0");
    EXPECT_EQ(seen.kind, "bridge");
    EXPECT_TRUE(seen.ours());
    EXPECT_EQ(seen.facts.owner, "network:one");
    EXPECT_EQ(seen.facts.mac, "52:54:00:01:02:03"_mac);
    EXPECT_EQ(seen.facts.mtu, 1400U);
    EXPECT_TRUE(seen.facts.up);
    EXPECT_EQ(seen.facts.bridge, (BridgeSettings{.stp = true, .forward_delay_cs = 1500}));
}

TEST(RecordedReplies, ATapOfOursWithItsQueues) {
    const LinkSeen seen = link("link-tap");
    EXPECT_EQ(seen.facts.kind, LinkKind::tap);
    EXPECT_EQ(seen.facts.owner, "port:vnet0");
    EXPECT_EQ(seen.facts.queues, 4);
    EXPECT_EQ(seen.facts.mac, "fe:54:00:01:02:03"_mac);
    EXPECT_EQ(seen.master, link("link-bridge").index);
}

TEST(RecordedReplies, ALinkOfSomebodyElse) {
    const LinkSeen seen = link("link-foreign");
    EXPECT_FALSE(seen.ours());
    EXPECT_EQ(seen.kind, "veth");
    EXPECT_EQ(seen.facts.kind, LinkKind::foreign);
    EXPECT_EQ(seen.facts.owner, "");
    EXPECT_EQ(seen.facts.mtu, 1334U);
    EXPECT_EQ(seen.facts.bridge, std::nullopt);
}

TEST(RecordedReplies, ALinkThatIsNotThereIsANegativeErrno) {
    const Answer absent = answer("link-absent");
    EXPECT_TRUE(absent.done);
    EXPECT_EQ(absent.error, -ENODEV);
    EXPECT_TRUE(absent.failed_with(ENODEV));
    EXPECT_TRUE(absent.objects.empty());
}

TEST(RecordedReplies, ARefusalBringsTheKernelsWords) {
    const Answer refused = answer("refused");
    EXPECT_EQ(refused.error, -EINVAL);
    EXPECT_EQ(refused.text, "mtu less than device minimum");
    EXPECT_EQ(check(refused, "link virbr0").error(),
              (Error{Code::system, "link virbr0: Invalid argument (mtu less than device minimum)", EINVAL}));
}

TEST(RecordedReplies, AddressesOfOneLink) {
    const Answer found = answer("addresses");
    EXPECT_EQ(found.error, 0);
    std::vector<std::string> texts;
    for (const NlMsg& object : found.objects) {
        const auto address = parse_address(object);
        ASSERT_TRUE(address);
        EXPECT_FALSE(address->by_kernel);
        texts.push_back(format(address->address));
    }
    EXPECT_EQ(texts, (std::vector<std::string>{"192.168.122.1/24", "fd00:1::1/64"}));
}

TEST(RecordedReplies, AnAddressThatTheKernelMadeItself) {
    const Answer found = answer("addresses-of-the-kernel");
    ASSERT_EQ(found.objects.size(), 1U);
    const auto address = parse_address(found.objects.front());
    ASSERT_TRUE(address);
    EXPECT_TRUE(address->by_kernel);
    EXPECT_TRUE(address->address.address.is_link_local());
}

TEST(RecordedReplies, RoutesOfOurs) {
    const auto route = [](const std::string& name) {
        const Answer found = answer(name);
        EXPECT_EQ(found.objects.size(), 1U);
        const auto seen = parse_route(found.objects.front());
        EXPECT_TRUE(seen);
        return seen.value_or(RouteSeen{});
    };
    const RouteSeen linked = route("routes-v4");
    EXPECT_EQ(linked.route, (Route{"10.7.0.0/16"_prefix, "192.168.122.9"_ip, std::nullopt, 0}));
    EXPECT_TRUE(linked.link_named);
    EXPECT_EQ(linked.index, link("link-bridge").index);
    const RouteSeen unlinked = route("routes-v4-no-link");
    EXPECT_EQ(unlinked.route, (Route{"10.8.0.0/16"_prefix, "192.168.122.9"_ip, std::nullopt, 5}));
    EXPECT_FALSE(unlinked.link_named);
    const RouteSeen v6 = route("routes-v6");
    EXPECT_EQ(v6.route, (Route{"fd00:2::/64"_prefix, "fd00:1::9"_ip, std::nullopt, 0}))
        << "the kernel's default metric of 1024 is not a wish";
}

TEST(RecordedReplies, AnAnswerToSomethingElseIsSkipped) {
    const Answer other = answer("link-bridge", 7);
    EXPECT_FALSE(other.done);
    EXPECT_TRUE(other.objects.empty());
}

TEST(RecordedReplies, NoPrefixOfADatagramIsReadBeyondItsEnd) {
    for (const char* name : {"link-bridge", "link-tap", "addresses", "routes-v6", "refused", "link-absent"}) {
        for (const Bytes& datagram : recorded(name)) {
            for (std::size_t size = 0; size < datagram.size(); ++size) {
                const Bytes cut(datagram.begin(), datagram.begin() + static_cast<std::ptrdiff_t>(size));
                std::array<Answer, 1> out;
                (void)sort_answers(cut, 1, out).has_value();
            }
        }
    }
}

TEST(LinkAlias, SaysOwnerAndQueues) {
    Link link;
    link.owner = "port:vnet0";
    EXPECT_EQ(link_alias(link), "bascule:port:vnet0");
    link.queues = 2;
    EXPECT_EQ(link_alias(link), "bascule:port:vnet0 queues=2");
}

}  // namespace bascule::kernel::os
