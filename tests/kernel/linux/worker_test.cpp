// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/worker.h"

#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "kernel/linux/loop.h"

namespace bascule::kernel::os {
namespace {

TEST(Worker, WorksElsewhereAndAnswersOnTheLoop) {
    const auto loop = make_loop();
    ASSERT_TRUE(loop);
    const auto worker = make_worker(**loop, 2);
    const auto here = std::this_thread::get_id();
    int left = 20;
    for (int i = 0; i < 20; ++i) {
        run_on(
            *worker, [i, here] { return std::pair(i, std::this_thread::get_id() != here); },
            [&, i](std::pair<int, bool> value) {
                EXPECT_EQ(value, std::pair(i, true));
                EXPECT_EQ(std::this_thread::get_id(), here);
                if (--left == 0) {
                    (*loop)->stop();
                }
            });
    }
    ASSERT_TRUE((*loop)->run());
    EXPECT_EQ(left, 0);
}

TEST(Worker, ThatGoesDropsWhatWaits) {
    const auto loop = make_loop();
    ASSERT_TRUE(loop);
    auto worker = make_worker(**loop, 1);
    auto token = std::make_shared<int>();
    bool ran = false;
    worker->run([] { std::this_thread::sleep_for(std::chrono::milliseconds(50)); }, [&] { ran = true; });
    worker->run([token] {}, [token, &ran] { ran = true; });
    worker.reset();
    (*loop)->defer([&] { (*loop)->stop(); });
    ASSERT_TRUE((*loop)->run());
    EXPECT_FALSE(ran);
}

}  // namespace
}  // namespace bascule::kernel::os
