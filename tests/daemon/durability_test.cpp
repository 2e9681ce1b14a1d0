// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/durability.h"

#include <gtest/gtest.h>

#include <deque>
#include <filesystem>

#include "kernel/linux/files.h"

namespace bascule::daemon {
namespace {

// Works when it is told to.
struct SlowWorker : kernel::Worker {
    struct Job {
        std::move_only_function<void()> work, done;
    };
    void run(std::move_only_function<void()> work, std::move_only_function<void()> done) override {
        jobs.push_back({std::move(work), std::move(done)});
    }
    void turn() {
        Job job = std::move(jobs.front());
        jobs.pop_front();
        job.work();
        job.done();
    }
    std::deque<Job> jobs;
};

class DurabilityTest : public testing::Test {
protected:
    DurabilityTest() {
        std::string folder = "/tmp/durability.XXXXXX";
        root_ = ::mkdtemp(folder.data());
        files_ = *kernel::os::make_file_tree(root_);
        EXPECT_TRUE(files_->write("/a/x", "0"));
        EXPECT_TRUE(files_->write("/b/x", "0"));
    }
    ~DurabilityTest() override { std::filesystem::remove_all(root_); }
    void ask(Durability& durability, const std::string& what) {
        durability.when_safe(
            [this, what](const Result<void>& safe) { story_.push_back(what + (safe ? "" : ": not safe")); });
    }

    std::string root_;
    std::unique_ptr<kernel::FileTree> files_;
    SlowWorker worker_;
    std::vector<std::string> story_;
};

TEST_F(DurabilityTest, AChangeIsThereAtOnceAndSafeAfterItsFolderWasSynced) {
    Durability durability(*files_, worker_);
    EXPECT_FALSE(durability.pending());
    ASSERT_TRUE(files_->write("/a/x", "1"));
    EXPECT_EQ(files_->read("/a/x", 100), "1");
    EXPECT_TRUE(durability.pending());
    ask(durability, "first");
    ASSERT_EQ(worker_.jobs.size(), 1u);
    EXPECT_TRUE(story_.empty());
    worker_.turn();
    EXPECT_EQ(story_, std::vector<std::string>{"first"});
    EXPECT_FALSE(durability.pending());
}

TEST_F(DurabilityTest, AllThatChangesDuringOneSyncSharesTheNext) {
    Durability durability(*files_, worker_);
    ASSERT_TRUE(files_->write("/a/x", "1"));
    ask(durability, "first");
    ASSERT_TRUE(files_->write("/b/x", "1"));
    ask(durability, "second");
    ASSERT_TRUE(files_->remove("/a/x"));
    ask(durability, "third");
    EXPECT_EQ(worker_.jobs.size(), 1u);
    worker_.turn();
    EXPECT_EQ(story_, std::vector<std::string>{"first"});
    EXPECT_EQ(worker_.jobs.size(), 1u);
    worker_.turn();
    EXPECT_EQ(story_, (std::vector<std::string>{"first", "second", "third"}));
    EXPECT_TRUE(worker_.jobs.empty());
}

TEST_F(DurabilityTest, NothingIsLeftUnsafeWhenItEnds) {
    {
        Durability durability(*files_, worker_);
        ASSERT_TRUE(files_->write("/a/x", "1"));
        ask(durability, "never told");
    }
    EXPECT_TRUE(story_.empty());
    ASSERT_TRUE(files_->write("/a/x", "2"));  // synced by the files themselves again
    EXPECT_EQ(worker_.jobs.size(), 1u);
}

}  // namespace
}  // namespace bascule::daemon
