// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/crowd.h"

#include <gtest/gtest.h>

#include <vector>

namespace bascule::daemon {
namespace {

// Lets in as many as it can, at most `most`.
std::vector<Crowd::Place> enter_all(Crowd& crowd, const Origin& origin, bool anonymous, std::size_t most) {
    std::vector<Crowd::Place> out;
    for (std::size_t i = 0; i < most; ++i) {
        auto place = crowd.enter(origin, anonymous);
        if (!place) {
            break;
        }
        out.push_back(std::move(*place));
    }
    return out;
}

TEST(Crowd, OneProcessHasAQuarterAndLeavesTheRestToOthers) {
    Crowd crowd({.clients = 100, .anonymous = 20});
    const auto hog = enter_all(crowd, LocalOrigin{0, 7}, false, 1000);
    EXPECT_EQ(hog.size(), 25U);
    EXPECT_EQ(crowd.enter(LocalOrigin{0, 7}, false).error().message,
              "this process has 25 of max_clients = 100 connections");
    EXPECT_TRUE(crowd.enter(LocalOrigin{0, 8}, false));
}

TEST(Crowd, AUserHasHalfHoweverManyProcessesHeStarts) {
    Crowd crowd({.clients = 100, .anonymous = 20});
    std::vector<std::vector<Crowd::Place>> taken;
    std::size_t all = 0;
    for (int pid = 1; pid < 20; ++pid) {
        taken.push_back(enter_all(crowd, LocalOrigin{1000, pid}, false, 10));
        all += taken.back().size();
    }
    EXPECT_EQ(all, 50U);
    EXPECT_TRUE(crowd.enter(LocalOrigin{1001, 99}, false));
    EXPECT_TRUE(crowd.enter(LocalOrigin{0, 100}, false));
}

TEST(Crowd, AFewAreOneProcesssWhenThereMayBeNoMore) {
    Crowd three({.clients = 3, .anonymous = 20});
    EXPECT_EQ(enter_all(three, LocalOrigin{1000, 7}, false, 10).size(), 3U);
    Crowd twenty({.clients = 20, .anonymous = 20});
    EXPECT_EQ(enter_all(twenty, LocalOrigin{1000, 7}, false, 100).size(), 10U);
}

TEST(Crowd, RootGetsInWhenAllPlacesAreTaken) {
    Crowd crowd({.clients = 4, .anonymous = 2});
    std::vector<Crowd::Place> all;
    for (int pid = 0; pid < 4; ++pid) {
        auto place = crowd.enter(LocalOrigin{static_cast<std::uint32_t>(1000 + pid), pid}, false);
        ASSERT_TRUE(place);
        all.push_back(std::move(*place));
    }
    EXPECT_EQ(crowd.enter(LocalOrigin{2000, 50}, false).error().message, "4 clients are connected (max_clients)");
    EXPECT_TRUE(crowd.enter(LocalOrigin{0, 51}, false));
}

TEST(Crowd, TheAnonymousHaveTheirOwnLimitUntilTheyAreKnown) {
    Crowd crowd({.clients = 1000, .anonymous = 4});
    const Ip one = *parse_ip("192.0.2.1"), two = *parse_ip("192.0.2.2"), three = *parse_ip("192.0.2.3");
    auto first = enter_all(crowd, one, true, 10);
    EXPECT_EQ(first.size(), 2U);
    auto second = enter_all(crowd, two, true, 10);
    EXPECT_EQ(second.size(), 2U);
    EXPECT_EQ(crowd.enter(three, true).error().message, "4 clients have not logged in yet (max_anonymous_clients)");
    EXPECT_TRUE(crowd.enter(LocalOrigin{0, 1}, false)) << "who needs no log-in is not held up";
    first.front().set_known();
    first.front().set_known();  // again: nothing
    EXPECT_EQ(crowd.anonymous(), 3U);
    EXPECT_TRUE(crowd.enter(three, true));
    first.clear();
    second.clear();
    EXPECT_EQ(crowd.clients(), 0U);
    EXPECT_EQ(crowd.anonymous(), 0U);
}

TEST(Crowd, APlaceIsGivenBackOnce) {
    Crowd crowd({.clients = 8, .anonymous = 2});
    auto place = crowd.enter(LocalOrigin{5, 6}, false);
    ASSERT_TRUE(place);
    Crowd::Place moved = std::move(*place);
    EXPECT_EQ(crowd.clients(), 1U);
    moved = Crowd::Place();
    EXPECT_EQ(crowd.clients(), 0U);
}

TEST(Crowd, SmallLimitsLeaveEverybodyOne) {
    Crowd crowd({.clients = 1, .anonymous = 1});
    const auto place = crowd.enter(LocalOrigin{1000, 1}, true);
    EXPECT_TRUE(place);
    EXPECT_FALSE(crowd.enter(LocalOrigin{1001, 2}, false));
}

}  // namespace
}  // namespace bascule::daemon
