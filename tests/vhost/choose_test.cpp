// SPDX-License-Identifier: GPL-2.0-or-later
#include "vhost/choose.h"

#include <gtest/gtest.h>

namespace bascule::vhost {
namespace {

struct Row {
    Asked asked;
    bool virtio, vhost_net;
    std::string_view path;  // empty: an error
};

TEST(VhostChoose, EveryRowOfTheTableHolds) {
    const Row rows[] = {
        {Asked::nothing, true, true, "vhost"},  {Asked::nothing, true, false, "plain"},
        {Asked::nothing, false, true, "plain"}, {Asked::nothing, false, false, "plain"},
        {Asked::qemu, true, true, "plain"},     {Asked::qemu, true, false, "plain"},
        {Asked::qemu, false, true, "plain"},    {Asked::qemu, false, false, "plain"},
        {Asked::vhost, true, true, "vhost"},    {Asked::vhost, true, false, ""},
        {Asked::vhost, false, true, ""},        {Asked::vhost, false, false, ""},
    };
    for (const Row& row : rows) {
        const auto path = choose({row.asked, row.virtio}, {row.vhost_net});
        EXPECT_EQ(path ? name(*path) : "", row.path) << static_cast<int>(row.asked) << row.virtio << row.vhost_net;
        if (!path) {
            EXPECT_EQ(path.error().code, Code::unsupported_config);
        }
    }
}

TEST(VhostChoose, AMissingDeviceIsNamedWithTheWayOut) {
    const auto path = choose({Asked::vhost, true}, {false});
    ASSERT_FALSE(path);
    EXPECT_NE(path.error().message.find("/dev/vhost-net"), std::string::npos);
    EXPECT_NE(path.error().message.find("vhost_net"), std::string::npos);
}

TEST(VhostChoose, AnotherModelIsNamedAsTheReason) {
    const auto path = choose({Asked::vhost, false}, {true});
    ASSERT_FALSE(path);
    EXPECT_NE(path.error().message.find("virtio"), std::string::npos);
}

}  // namespace
}  // namespace bascule::vhost
