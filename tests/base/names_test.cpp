// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/names.h"

#include <gtest/gtest.h>

#include <set>

#include "base/enum_names.h"
#include "base/net.h"

namespace bascule {
namespace {

TEST(IfName, HoldsWhatTheKernelTakesAndNftReadsAsOneWord) {
    for (const char* const good : {"virbr0", "a", "eth0.100", "vnet0-x_y@z", "123456789012345", "...", "br+1"}) {
        EXPECT_TRUE(IfName::parse(good)) << good;
    }
    for (const char* const bad : {"",      "1234567890123456",
                                  ".",     "..",
                                  "a/b",   "a b",
                                  "a\tb",  "a\"b",
                                  "a'b",   "a\\b",
                                  "a*",    "a;b",
                                  "a{b",   "a}b",
                                  "a,b",   "a#b",
                                  "a$b",   "a:b",
                                  "a\x7f", "a\n"}) {
        EXPECT_FALSE(IfName::parse(bad)) << bad;
    }
    EXPECT_FALSE(IfName::parse(std::string_view("a\0b", 3)));
    EXPECT_EQ(IfName::parse("virbr0")->str(), "virbr0");
}

TEST(ObjectName, HoldsWhatAFileNameCan) {
    EXPECT_TRUE(ObjectName::parse("default"));
    EXPECT_TRUE(ObjectName::parse("my network \xc3\xa4"));
    EXPECT_TRUE(ObjectName::parse(std::string(200, 'x')));
    for (const std::string& bad : {std::string(), std::string(201, 'x'), std::string("."), std::string(".."),
                                   std::string("a/b"), std::string("a\nb"), std::string("a\0b", 3)}) {
        EXPECT_FALSE(ObjectName::parse(bad)) << bad;
    }
}

TEST(Uuid, IsReadWithAndWithoutHyphens) {
    const auto uuid = Uuid::parse("6E1bd1c5-d9fd-4a8a-9c3f-0123456789ab");
    ASSERT_TRUE(uuid);
    EXPECT_EQ(format(*uuid), "6e1bd1c5-d9fd-4a8a-9c3f-0123456789ab");
    EXPECT_EQ(Uuid::parse("6e1bd1c5d9fd4a8a9c3f0123456789ab"), uuid);
    for (const char* const bad : {"", "6e1bd1c5-d9fd-4a8a-9c3f-0123456789a", "6e1bd1c5-d9fd-4a8a-9c3f-0123456789abc",
                                  "-6e1bd1c5d9fd4a8a9c3f0123456789ab", "6e1bd1c5-d9fd-4a8a-9c3f-0123456789ag"}) {
        EXPECT_FALSE(Uuid::parse(bad)) << bad;
    }
}

TEST(Uuid, RandomOnesAreVersionFourAndDiffer) {
    std::set<Uuid> seen;
    for (int i = 0; i < 100; ++i) {
        const Uuid uuid = Uuid::random();
        EXPECT_EQ(uuid.octets[6] >> 4, 4);
        EXPECT_EQ(uuid.octets[8] >> 6, 2);
        EXPECT_FALSE(uuid.is_nil());
        EXPECT_EQ(Uuid::parse(format(uuid)), uuid);
        seen.insert(uuid);
    }
    EXPECT_EQ(seen.size(), 100U);
}

TEST(DnsName, IsLabelsOfLettersDigitsHyphensAndUnderscores) {
    for (const std::string& good :
         {std::string("vm1"), std::string("VM-1.example.org"), std::string("_srv._tcp"), std::string(63, 'a') + ".b"}) {
        EXPECT_TRUE(is_dns_name(good)) << good;
    }
    for (const std::string& bad :
         {std::string(), std::string("a..b"), std::string(".a"), std::string("a."), std::string("a b"),
          std::string(64, 'a'), std::string("a\xc3\xa4"), std::string("a/b")}) {
        EXPECT_FALSE(is_dns_name(bad)) << bad;
    }
    std::string longest;
    for (int i = 0; i < 126; ++i) {
        longest += "a.";
    }
    EXPECT_TRUE(is_dns_name(longest + "b"));
    EXPECT_FALSE(is_dns_name(longest + "bb"));
}

TEST(EditDistance, CountsSlipsOfTheFinger) {
    EXPECT_EQ(edit_distance("bridge", "bridge"), 0U);
    EXPECT_EQ(edit_distance("brigde", "bridge"), 1U) << "two letters swapped";
    EXPECT_EQ(edit_distance("bride", "bridge"), 1U);
    EXPECT_EQ(edit_distance("bridgee", "bridge"), 1U);
    EXPECT_EQ(edit_distance("", "abc"), 3U);
    EXPECT_EQ(edit_distance("forward", "bridge"), edit_distance("bridge", "forward"));
}

TEST(RandomMac, IsOfQemusBlock) {
    const MacAddr mac = random_mac();
    EXPECT_EQ(format(mac).substr(0, 9), "52:54:00:");
    EXPECT_NE(random_mac(), random_mac());
}

TEST(EnumNames, ReadAndWriteFromOneTable) {
    enum class Mode { nat, route, none };
    constexpr EnumNames<Mode, 3> kModes{{{{"nat", Mode::nat}, {"masquerade", Mode::nat}, {"route", Mode::route}}}};
    EXPECT_EQ(kModes.parse("masquerade"), Mode::nat);
    EXPECT_EQ(kModes.parse("NAT"), std::nullopt);
    EXPECT_EQ(kModes.name(Mode::nat), "nat");
    EXPECT_EQ(kModes.name(Mode::none), "");
    EXPECT_EQ(kModes.choices(), "'nat', 'masquerade' or 'route'");
}

}  // namespace
}  // namespace bascule
