// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/command.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "kernel/linux/confine.h"
#include "kernel/linux/loop.h"
#include "kernel/linux/process.h"

namespace bascule::kernel::os {
namespace {

Command shell(const std::string& script) {
    return {.program = "/bin/sh",
            .args = {"-c", script},
            .environment = {"PATH=/usr/bin:/bin"},
            .uid = std::nullopt,
            .gid = std::nullopt,
            .groups = {},
            .fds = {}};
}

Result<Output> run(Command command, const CommandLimits& limits = {}) {
    const auto loop = make_loop();
    const auto spawner = make_spawner();
    Result<Output> out = fail(Code::internal, "never answered");
    auto running = run_command(*spawner, **loop, std::move(command), limits, [&](Result<Output> output) {
        out = std::move(output);
        (*loop)->stop();
    });
    EXPECT_TRUE((*loop)->run());
    running.reset();
    while (::waitpid(-1, nullptr, 0) > 0) {  // one that was killed is reaped by the next spawn(), which does not come
    }
    return out;
}

class Confined : public testing::Test {
protected:
    void SetUp() override {
        if (!can_confine_files()) {
            GTEST_SKIP() << "needs a kernel with Landlock";
        }
        folder_ = std::filesystem::temp_directory_path() / ("confined-" + std::to_string(::getpid()));
        std::filesystem::create_directories(folder_);
        for (const char* name : {"allowed", "other", "writable"}) {
            std::ofstream(folder_ / name) << name;
        }
    }
    void TearDown() override { std::filesystem::remove_all(folder_); }
    std::string path(const char* name) const { return (folder_ / name).string(); }
    Result<Output> run_confined(const std::string& script) const {
        Command command = shell(script);
        command.confine = Confinement{.reads = {path("allowed")}, .writes = {path("writable")}};
        return run(std::move(command));
    }

private:
    std::filesystem::path folder_;
};

TEST(RunCommand, GivesStatusAndOutput) {
    const auto output = run(shell("echo out; echo err >&2; exit 3"));
    ASSERT_TRUE(output) << output.error().message;
    EXPECT_EQ(output->status, 3);
    EXPECT_EQ(output->out, "out\n");
    EXPECT_EQ(output->err, "err\n");
    EXPECT_EQ(output_of("sh", output).error().message, "sh ended with status 3: err");
    EXPECT_EQ(*output_of("sh", run(shell("echo fine"))), "fine\n");
}

TEST(RunCommand, EndsWhatTakesTooLongOrTalksTooMuch) {
    const auto slow = run(shell("exec sleep 60"), {.time = std::chrono::seconds(1)});
    ASSERT_FALSE(slow);
    EXPECT_EQ(slow.error().code, Code::timeout);
    const auto loud = run(shell("exec yes"), {.output = 10000});
    ASSERT_TRUE(loud) << loud.error().message;
    EXPECT_NE(loud->status, 0);
    EXPECT_LE(loud->out.size(), 10000U);
    EXPECT_EQ(run(shell("kill -TERM $$"))->status, 128 + 15);
}

TEST(RunCommand, SaysWhatCouldNotBeStarted) {
    Command command = shell("");
    command.program = "no-such-program";
    const auto output = run(std::move(command));
    ASSERT_FALSE(output);
    EXPECT_EQ(output.error().sys_errno, ENOENT);
}

TEST_F(Confined, ReadsAndWritesItsFilesAndNoOthers) {
    EXPECT_EQ(run_confined("cat " + path("allowed"))->out, "allowed");
    EXPECT_EQ(run_confined("echo x > " + path("writable"))->status, 0);
    EXPECT_NE(run_confined("cat " + path("other"))->status, 0);
    EXPECT_NE(run_confined("cat /etc/passwd")->status, 0);
    EXPECT_NE(run_confined("echo x > " + path("allowed"))->status, 0);
    EXPECT_NE(run_confined("echo x > " + path("new"))->status, 0);
    EXPECT_NE(run_confined("rm " + path("writable"))->status, 0);
}

TEST_F(Confined, HasNoNetworkAndOneCapability) {
    EXPECT_EQ(run_confined("exec ip -o link show up")->out, "");
    Command command = shell("exec grep -E 'Cap(Prm|Eff|Bnd)|NoNewPrivs' /proc/self/status");
    command.confine = Confinement{.reads = {"/proc"}};
    EXPECT_EQ(run(std::move(command))->out,
              "CapPrm:\t0000000000000002\nCapEff:\t0000000000000002\nCapBnd:\t0000000000000002\nNoNewPrivs:\t1\n");
}

TEST_F(Confined, NamesTheFileThatIsNotThere) {
    Command command = shell("true");
    command.confine = Confinement{.reads = {"/nonexistent"}};
    const auto output = run(std::move(command));
    ASSERT_FALSE(output);
    EXPECT_NE(output.error().message.find("/nonexistent"), std::string::npos);
}

}  // namespace
}  // namespace bascule::kernel::os
