// SPDX-License-Identifier: GPL-2.0-or-later
#include "storage/plan.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "storage/wipe.h"

namespace bascule::storage {
namespace {

std::string line(const Run& run) { return fmt::format("{} {}", run.program, fmt::join(run.args, " ")); }

TEST(QemuImg, IsToldEveryFormatAndHeldToItsFiles) {
    const NewImage image{.path = "/p/o",
                         .format = Format::qcow2,
                         .capacity = 1000,
                         .details = {"1.1", 131072, true, true},
                         .backing = Backing{"/p/b", Format::qcow2},
                         .chain = {"/p/b", "/p/bb"}};
    const auto made = make_image(image);
    EXPECT_EQ(line(made),
              "qemu-img create -q -f qcow2 -b /p/b -F qcow2 -o "
              "compat=1.1,cluster_size=131072,lazy_refcounts=on,extended_l2=on /p/o 1000");
    EXPECT_TRUE(made.confined);
    EXPECT_EQ(made.writes, (std::vector<std::string>{"/p/o"}));
    EXPECT_EQ(made.reads, (std::vector<std::string>{"/p/b", "/p/bb"}));

    const auto copied =
        copy_image({.path = "/p/s", .format = Format::raw, .chain = {}},
                   {.path = "/p/t", .format = Format::raw, .preallocation = Preallocation::full}, false);
    EXPECT_EQ(line(copied), "qemu-img convert -q -f raw -O raw -S 0 /p/s /p/t");
    EXPECT_EQ(copied.reads, (std::vector<std::string>{"/p/s"}));
    EXPECT_EQ(line(copy_image({.path = "/p/s", .format = Format::qcow2, .chain = {}}, {.path = "/dev/vg/t"}, true)),
              "qemu-img convert -q -f qcow2 -O raw -n /p/s /dev/vg/t");
    EXPECT_EQ(line(resize_image("/p/s", Format::qcow2, 5, true, true)),
              "qemu-img resize -q -f qcow2 --shrink --preallocation=falloc /p/s 5");
}

TEST(NewVolumes, AreAllocatedInFullUnlessAskedOtherwise) {
    VolumeSpec spec{.name = "x", .capacity = 100};
    EXPECT_EQ(settle(spec, PoolType::dir, nullptr, {})->allocation, 100U);
    spec.allocation = 7;
    EXPECT_EQ(settle(spec, PoolType::dir, nullptr, {})->allocation, 7U);
    spec.allocation = 700;
    EXPECT_EQ(settle(spec, PoolType::dir, nullptr, {})->allocation, 100U);
}

TEST(NewVolumes, TakeTheirSizeFromWhatTheyAreMadeOf) {
    const VolumeSpec spec{.name = "x", .capacity = 100};
    const Volume source{.name = "s", .capacity = 500};
    EXPECT_EQ(settle(spec, PoolType::dir, &source, {})->capacity, 500U);
    EXPECT_EQ(settle({.name = "x"}, PoolType::dir, nullptr, 300)->capacity, 300U);
    EXPECT_EQ(settle({.name = "x"}, PoolType::dir, nullptr, {}).error().message, "missing capacity element");
}

TEST(NewVolumes, ThatCannotBeAreRefused) {
    const auto refused = [](VolumeSpec spec, PoolType pool) {
        const auto settled = settle(spec, pool, nullptr, {});
        return settled ? Code::internal : settled.error().code;
    };
    EXPECT_EQ(refused({.name = "x", .capacity = 1, .format = Format::qcow2}, PoolType::logical),
              Code::unsupported_config);
    EXPECT_EQ(refused({.name = "x", .capacity = 1, .format = Format::iso}, PoolType::dir), Code::unsupported_config);
    EXPECT_EQ(refused({.name = "x", .capacity = ~std::uint64_t{0}}, PoolType::dir), Code::invalid_argument);
    EXPECT_EQ(refused({.name = "x", .capacity = 1, .backing = Backing{"/b", {}}}, PoolType::dir),
              Code::unsupported_config);
    EXPECT_EQ(refused({.name = "x", .capacity = 0}, PoolType::logical), Code::invalid_argument);
}

TEST(Resizing, GrowsAndShrinksAsThePeer) {
    const Volume volume{.name = "x", .capacity = 100, .allocation = 60};
    EXPECT_EQ(*resized(volume, 200, 0, 0), 200U);
    EXPECT_EQ(*resized(volume, 10, kResizeDelta, 0), 110U);
    EXPECT_EQ(*resized(volume, 10, kResizeDelta | kResizeShrink, 0), 90U);
    EXPECT_EQ(*resized(volume, 10, kResizeShrink, 0), 10U);
    EXPECT_EQ(resized(volume, 50, 0, 0).error().message, "can't shrink capacity below existing allocation");
    EXPECT_EQ(resized(volume, 80, 0, 0).error().message,
              "Can't shrink capacity below current capacity unless shrink flag explicitly specified");
    EXPECT_EQ(resized(volume, 200, kResizeAllocate, 99).error().message, "Not enough space left in storage pool");
    EXPECT_FALSE(resized(volume, 101, kResizeDelta | kResizeShrink, 0));
    EXPECT_FALSE(resized(volume, ~std::uint64_t{0}, kResizeDelta, 0));
}

TEST(Wiping, MakesThePassesOfItsAlgorithm) {
    const auto count = [](std::uint32_t algorithm) { return wipe_passes(algorithm)->size(); };
    EXPECT_EQ(count(0), 1U);
    EXPECT_EQ(count(1), 3U);   // nnsa, without its check
    EXPECT_EQ(count(2), 3U);   // dod, likewise
    EXPECT_EQ(count(3), 9U);   // bsi
    EXPECT_EQ(count(4), 35U);  // gutmann
    EXPECT_EQ(count(5), 7U);   // schneier
    EXPECT_EQ(count(6), 7U);
    EXPECT_EQ(count(7), 33U);
    EXPECT_EQ(count(8), 1U);
    EXPECT_EQ(count(9), 0U);
    EXPECT_FALSE(wipe_passes(10));
}

}  // namespace
}  // namespace bascule::storage
