// SPDX-License-Identifier: GPL-2.0-or-later
#include "storage/spec.h"

#include <gtest/gtest.h>

namespace bascule::storage {
namespace {

TEST(Units, AreThePeers) {
    EXPECT_EQ(scaled(7, ""), 7U);
    EXPECT_EQ(scaled(7, "bytes"), 7U);
    EXPECT_EQ(scaled(7, "B"), 7U);
    EXPECT_EQ(scaled(2, "k"), 2048U);
    EXPECT_EQ(scaled(2, "KiB"), 2048U);
    EXPECT_EQ(scaled(2, "kb"), 2000U);
    EXPECT_EQ(scaled(1, "MB"), 1000000U);
    EXPECT_EQ(scaled(1, "G"), std::uint64_t{1} << 30);
    EXPECT_EQ(scaled(1, "TiB"), std::uint64_t{1} << 40);
    EXPECT_EQ(scaled(15, "E"), std::uint64_t{15} << 60);
    EXPECT_EQ(scaled(16, "E"), std::nullopt);
    for (const char* unit : {"x", "Kx", "KiBs", "ib", "Z", " "}) {
        EXPECT_EQ(scaled(1, unit), std::nullopt) << unit;
    }
}

TEST(Names, AreThoseOfFilesThatXmlCanHold) {
    for (const char* name : {"a", "disk.qcow2", "with space", "ümlaut", "..x", "\xF0\x9F\x92\xBE"}) {
        EXPECT_TRUE(is_volume_name(name)) << name;
    }
    for (const char* name :
         {"", ".", "..", "a/b", "a\nb", "\x7f", "\xff\xfe", "\xc0\xaf", "\xed\xa0\x80", "\xef\xbf\xbf"}) {
        EXPECT_FALSE(is_volume_name(name)) << name;
    }
}

TEST(Paths, AreTidiedButNeverReinterpreted) {
    EXPECT_EQ(tidy_path("/"), "/");
    EXPECT_EQ(tidy_path("//a///b/"), "/a/b");
    for (const char* path : {"", "a", "./a", "/a/../b", "/a/./b", "/a/\n"}) {
        EXPECT_EQ(tidy_path(path), std::nullopt) << path;
    }
    EXPECT_EQ(folder_of("/a/b"), "/a");
    EXPECT_EQ(folder_of("/a"), "/");
    EXPECT_EQ(name_of("/a/b"), "b");
}

TEST(ImpliedPools, HaveNamesThatTellThemApart) {
    EXPECT_EQ(implied_name("/srv/vm"), ":srv:vm");
    EXPECT_NE(implied_name("/srv:vm"), implied_name("/srv/vm"));
    EXPECT_NE(implied_uuid("/srv/vm"), implied_uuid("/srv/vn"));
    EXPECT_EQ(implied_uuid("/srv/vm"), implied_uuid("/srv/vm"));
    const std::string far = "/" + std::string(240, 'x') + "/" + std::string(240, 'y');
    EXPECT_TRUE(ObjectName::parse(implied_name(far)));
}

}  // namespace
}  // namespace bascule::storage
