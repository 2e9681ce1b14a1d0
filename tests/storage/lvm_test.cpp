// SPDX-License-Identifier: GPL-2.0-or-later
// What lvm2 2.03.16 (Debian 12) prints.
#include "storage/lvm.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace bascule::storage {
namespace {

constexpr const char* kGroup = R"json({
      "report": [
          {
              "vg": [
                  {"vg_name":"vg0", "vg_size":"1069547520", "vg_free":"834666496"}
              ]
          }
      ]
  })json";

constexpr const char* kVolumes = R"json({
      "report": [
          {
              "lv": [
                  {"lv_name":"root", "lv_uuid":"gO4xTc-6yaM-DXYk-BNGo-5U0z-jUPy-0Y4kqW", "lv_size":"104857600", "lv_path":"/dev/vg0/root", "lv_attr":"-wi-a-----", "devices":"/dev/loop0(0)"},
                  {"lv_name":"wide", "lv_uuid":"a", "lv_size":"125829120", "lv_path":"/dev/vg0/wide", "lv_attr":"-wi-------", "devices":"/dev/loop0(25)"},
                  {"lv_name":"wide", "lv_uuid":"a", "lv_size":"125829120", "lv_path":"/dev/vg0/wide", "lv_attr":"-wi-------", "devices":"/dev/loop1(0)"},
                  {"lv_name":"thin", "lv_uuid":"b", "lv_size":"4194304", "lv_path":"", "lv_attr":"twi-a-tz--", "devices":"thin_tdata(0)"}
              ]
          }
      ]
  })json";

std::string line(const Run& run) { return fmt::format("{} {}", run.program, fmt::join(run.args, " ")); }

TEST(Lvm, SaysHowLargeAGroupIs) {
    EXPECT_EQ(*parse_group(kGroup, "vg0"), (Room{1069547520, 1069547520 - 834666496, 834666496}));
    EXPECT_FALSE(parse_group(kGroup, "vg1"));
}

TEST(Lvm, ListsDisksAndNotTheirInnards) {
    const auto volumes = parse_volumes(kVolumes, "vg0");
    ASSERT_TRUE(volumes) << volumes.error().message;
    ASSERT_EQ(volumes->size(), 2U);
    EXPECT_EQ(volumes->at(0).path, "/dev/vg0/root");
    EXPECT_EQ(volumes->at(0).key, "gO4xTc-6yaM-DXYk-BNGo-5U0z-jUPy-0Y4kqW");
    EXPECT_EQ(volumes->at(0).type, VolumeType::block);
    EXPECT_EQ(volumes->at(1).devices, (std::vector<std::string>{"/dev/loop0", "/dev/loop1"}));
    EXPECT_EQ(volumes->at(1).capacity, 125829120U);
}

TEST(Lvm, FindsTheGroupsOfTheHost) {
    const auto groups = parse_groups(
        R"({"report":[{"pv":[{"vg_name":"vg0","pv_name":"/dev/loop0"},{"vg_name":"","pv_name":"/dev/loop2"},)"
        R"({"vg_name":"vg0","pv_name":"/dev/loop1"}]}]})");
    ASSERT_TRUE(groups) << groups.error().message;
    ASSERT_EQ(groups->size(), 1U);
    EXPECT_EQ(groups->at(0).devices, (std::vector<std::string>{"/dev/loop0", "/dev/loop1"}));
}

TEST(Lvm, NonsenseIsAnErrorAndNoCrash) {
    for (const std::string text :
         {"", "{", "[]", "null", "{\"report\":1}", "{\"report\":[1]}", "{\"report\":[{\"lv\":[1]}]}",
          "{\"report\":[{\"lv\":[{\"lv_name\":1}]}]}", "{\"report\":[{\"lv\":{}}]}"}) {
        EXPECT_FALSE(parse_volumes(text, "vg0") && !parse_volumes(text, "vg0")->empty()) << text;
        EXPECT_FALSE(parse_group(text, "vg0")) << text;
    }
    EXPECT_FALSE(parse_volumes(std::string(100000, '['), "vg0"));
}

TEST(Lvm, IsAskedInItsOwnWords) {
    EXPECT_EQ(line(make_volume("vg0", "x", 1048576)), "lvcreate --yes --wipesignatures y --name x --size 1048576b vg0");
    EXPECT_EQ(line(resize_volume("vg0", "x", 5, false)), "lvextend --size 5b vg0/x");
    EXPECT_EQ(line(resize_volume("vg0", "x", 5, true)), "lvreduce --force --size 5b vg0/x");
    EXPECT_EQ(line(drop_volume("vg0", "x")), "lvremove --force vg0/x");
    const auto pool = parse_groups(R"({"report":[{"pv":[{"vg_name":"vg0","pv_name":"/dev/sda"}]}]})")->at(0);
    EXPECT_EQ(line(build_group(pool, false).at(0)), "pvcreate /dev/sda");
    EXPECT_EQ(line(build_group(pool, true).at(0)), "pvcreate --yes --force /dev/sda");
    EXPECT_EQ(line(build_group(pool, false).at(1)), "vgcreate vg0 /dev/sda");
    EXPECT_EQ(line(drop_group(pool).at(0)), "vgremove --force vg0");
    EXPECT_EQ(line(start_group(pool)), "vgchange --activate ay vg0");
}

TEST(Lvm, NamesAreItsOwn) {
    for (const char* name : {"vg0", "a.b", "A+_-9", "_x"}) {
        EXPECT_TRUE(is_lvm_name(name)) << name;
    }
    for (const char* name : {"", ".", "..", "-x", "a/b", "a b", "a@b"}) {
        EXPECT_FALSE(is_lvm_name(name)) << name;
    }
}

}  // namespace
}  // namespace bascule::storage
