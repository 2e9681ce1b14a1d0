// SPDX-License-Identifier: GPL-2.0-or-later
// What a running guest is told and asked, and what QEMU is asked before there is any.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/fake_io.h"
#include "tests/vmm/peer.h"
#include "tests/vmm/support.h"
#include "vmm/guest.h"
#include "vmm/probe.h"
#include "vmm/xml.h"

namespace bascule::vmm {
namespace {

using namespace std::chrono_literals;
using Story = std::vector<std::string>;

struct GuestCommands : testing::Test {
    void start(const char* balloon = "<memballoon model='virtio'/>") {
        auto spec =
            parse(fmt::format("<domain type='qemu'><name>g</name><memory>65536</memory><os><type>hvm</type></os>"
                              "<devices>{}</devices></domain>",
                              balloon));
        ASSERT_TRUE(spec);
        ASSERT_TRUE(complete(*spec, test::counted()));
        StartPlan plan{.spec = *spec};
        plan.launch = *compile(*spec, {});
        for (std::size_t i = 0; i < plan.launch.slots.size(); ++i) {
            plan.fds.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
        }
        plan.monitor = "/run/x/g.monitor";
        guest =
            std::make_unique<Guest>(Guest::Deps{loop, spawner, [this](const std::string&) { return peer.stream(); }},
                                    Guest::Callbacks{.changed = [this](Status) { story.push_back("changed"); },
                                                     .rebooted = [this] { story.push_back("rebooted"); },
                                                     .resized = [this] { story.push_back("resized"); },
                                                     .ended = [this](Guest::Ended) { story.push_back("ended"); }});
        guest->start(std::move(plan), note("start"));
        peer.greet();
        settle();
        ASSERT_EQ(story, Story{"start: ok"});
        story.clear();
        peer.commands.clear();
    }
    void settle() {
        for (int quiet = 0; quiet < 3;) {
            const bool any = loop.turn();
            quiet = peer.turn() || any ? 0 : quiet + 1;
        }
    }
    Done note(const std::string& what) {
        return [this, what](const Result<void>& result) {
            story.push_back(what + ": " + (result ? "ok" : result.error().message));
        };
    }
    // The answer to that command from now on, on one line.
    void answers(const std::string& command, std::string value) {
        std::ranges::replace(value, '\n', ' ');
        peer.instead[command] = [this, value](const qmp::Json& id) {
            peer.say("{\"return\": " + value + ", \"id\": " + id.dump() + "}\r\n");
        };
    }

    test::FakeLoop loop;
    test::FakeSpawner spawner;
    test::Peer peer;
    std::unique_ptr<Guest> guest;
    Story story;
};

TEST_F(GuestCommands, ARebootPowersTheGuestDownAndBringsItUpAgainInTheSameProcess) {
    start();
    guest->reboot(note("reboot"));
    settle();
    EXPECT_EQ(peer.commands, (Story{R"(set-action {"shutdown":"pause"})", "system_powerdown"}));
    peer.commands.clear();
    peer.event("SHUTDOWN", {{"guest", true}, {"reason", "guest-shutdown"}});
    peer.event("STOP");
    settle();
    EXPECT_EQ(peer.commands, (Story{"system_reset", R"(set-action {"shutdown":"poweroff"})", "cont"}));
    EXPECT_EQ(story, (Story{"reboot: ok", "rebooted"})) << "in between it is neither stopped nor paused to anybody";
    EXPECT_EQ(guest->status().state, State::running);
}

TEST_F(GuestCommands, AShutdownForgetsAnEarlierReboot) {
    start();
    guest->reboot(note("reboot"));
    settle();
    peer.commands.clear();
    guest->press_power_button(note("shutdown"));
    settle();
    EXPECT_EQ(peer.commands, (Story{R"(set-action {"shutdown":"poweroff"})", "system_powerdown"}));
    peer.event("SHUTDOWN", {{"guest", true}, {"reason", "guest-shutdown"}});
    settle();
    EXPECT_EQ(guest->status().state, State::shutdown);
}

TEST_F(GuestCommands, AGuestThatSleepsIsNeitherPausedNorRunning) {
    start();
    peer.event("SUSPEND");
    settle();
    EXPECT_EQ(guest->status(), (Status{State::pmsuspended, reason::kPmSuspendedUnknown}));
    guest->wake_up(note("wake"));
    peer.event("WAKEUP");
    settle();
    EXPECT_EQ(guest->status(), (Status{State::running, reason::kRunningWakeup}));
    EXPECT_EQ(peer.commands.back(), "system_wakeup");
}

TEST_F(GuestCommands, KeysAreQemusNumbersPressedTogether) {
    start();
    guest->send_keys({29, 56, 0xd3}, 50ms, note("keys"));
    settle();
    EXPECT_EQ(peer.commands, (Story{R"(send-key {"hold-time":50,"keys":[{"data":29,"type":"number"},{"data":56,"type":)"
                                    R"("number"},{"data":211,"type":"number"}]})"}));
    EXPECT_EQ(key_number(0, 30), 30U);        // KEY_A
    EXPECT_EQ(key_number(0, 111), 0xd3U);     // KEY_DELETE
    EXPECT_EQ(key_number(2, 0xe053), 0xd3U);  // its scan code
    EXPECT_EQ(key_number(0, 0), std::nullopt);
    EXPECT_EQ(key_number(0, 700), std::nullopt);
    EXPECT_EQ(key_number(8, 30), std::nullopt);
}

TEST_F(GuestCommands, TheBalloonIsToldAndSaysWhatCameOfIt) {
    start();
    guest->set_memory(32768, note("memory"));
    settle();
    EXPECT_EQ(peer.commands, Story{R"(balloon {"value":33554432})"});
    peer.event("BALLOON_CHANGE", {{"actual", 40000 * 1024}});
    settle();
    EXPECT_EQ(guest->spec().current_memory_kib, 40000U);
    peer.event("BALLOON_CHANGE", {{"actual", "much"}});
    peer.event("BALLOON_CHANGE", {{"actual", std::uint64_t{1} << 60}});
    settle();
    EXPECT_EQ(guest->spec().current_memory_kib, 40000U) << "more than there is";
    EXPECT_EQ(story, (Story{"memory: ok", "resized"}));
}

TEST_F(GuestCommands, WhatTheDriverDidNotReportIsNotThere) {
    start();
    answers("query-balloon", R"({"actual": 67108864})");
    answers("qom-get", R"({"stats": {"stat-swap-in": 18446744073709551615, "stat-major-faults": 7,
                           "stat-total-memory": 60000000, "stat-free-memory": "x"}, "last-update": 5})");
    std::optional<MemoryReport> report;
    guest->memory([&](Result<MemoryReport> r) { report = r.value_or(MemoryReport{}); });
    settle();
    ASSERT_TRUE(report);
    EXPECT_EQ(report->actual, 65536U);
    EXPECT_EQ(report->major_fault, 7U);
    EXPECT_EQ(report->available, 58593U);
    EXPECT_FALSE(report->swap_in || report->unused || report->minor_fault);
    EXPECT_EQ(report->last_update, 5U);
}

TEST_F(GuestCommands, WithoutABalloonThereIsNothingToResize) {
    start("<memballoon model='none'/>");
    guest->set_memory(1, note("memory"));
    std::uint64_t actual = 0;
    guest->memory([&](Result<MemoryReport> r) { actual = r ? r->actual : 0; });
    settle();
    EXPECT_EQ(actual, 65536U);
    ASSERT_EQ(story.size(), 1U);
    EXPECT_NE(story[0].find("no memory balloon"), std::string::npos);
    EXPECT_TRUE(peer.commands.empty());
}

TEST_F(GuestCommands, DisksAreCountedByTheirOutermostImage) {
    start(
        "<memballoon model='none'/><disk type='file' device='cdrom'><target dev='sda' bus='scsi'/></disk>"
        "<disk type='file'><driver name='qemu' type='raw'/><source file='/x/a'/><target dev='vda'/></disk>");
    answers("query-blockstats", R"([{"device": "", "qdev": "x"}, {"device": "", "node-name": "drive1-0", "stats":
        {"rd_bytes": 512, "rd_operations": 1, "rd_total_time_ns": 77, "wr_bytes": 18446744073709551615,
         "wr_operations": -1, "flush_operations": "many"}}])");
    std::vector<std::optional<DiskCounters>> disks;
    guest->disk_counters([&](Result<std::vector<std::optional<DiskCounters>>> r) { disks = r.value_or(disks); });
    settle();
    ASSERT_EQ(disks.size(), 2U);
    EXPECT_FALSE(disks[0]) << "no medium, nothing to count";
    ASSERT_TRUE(disks[1]);
    EXPECT_EQ(disks[1]->read, (DiskCounters::Way{1, 512, 77}));
    EXPECT_EQ(disks[1]->written, (DiskCounters::Way{0, ~std::uint64_t{0}, 0}));
    EXPECT_EQ(disks[1]->flushed, DiskCounters::Way{});
    answers("query-blockstats", R"({"node-name": "drive1-0"})");
    std::string refusal;
    guest->disk_counters(
        [&](Result<std::vector<std::optional<DiskCounters>>> r) { refusal = r ? "" : r.error().message; });
    guest->resize_disk(1, 4096, note("resize"));
    settle();
    EXPECT_NE(refusal.find("no list"), std::string::npos);
    EXPECT_EQ(peer.commands.back(), R"(block_resize {"node-name":"drive1-0","size":4096})");
}

TEST_F(GuestCommands, MonitorCommandsGoThroughAsTheyAreAndNonsenseDoesNot) {
    start();
    answers("query-kvm", R"({"enabled": false})");
    answers("human-monitor-command", R"("line one\r\n")");
    Story said;
    const auto note_text = [&](Result<std::string> r) { said.push_back(r ? *r : r.error().message); };
    guest->monitor_command(R"({"execute": "query-kvm"})", false, note_text);
    guest->monitor_command("info kvm", true, note_text);
    guest->monitor_command("info kvm", false, note_text);
    guest->monitor_command(R"({"execute": 5})", false, note_text);
    settle();
    ASSERT_EQ(said.size(), 4U);
    std::ranges::sort(said);
    EXPECT_EQ(said[0], "line one\r\n");
    EXPECT_EQ(said[3], R"({"return":{"enabled":false}})");
    EXPECT_EQ(peer.commands, (Story{"query-kvm", R"(human-monitor-command {"command-line":"info kvm"})"}));
}

// ---- asking a QEMU about itself

struct ProbeTest : GuestCommands {
    void ask() {
        probe = Probe::over(loop, peer.stream(), "max", [this](Result<EmulatorFacts> result) {
            done = true;
            facts = std::move(result);
        });
        peer.greet();
        settle();
    }
    std::shared_ptr<Probe> probe;
    bool done = false;
    Result<EmulatorFacts> facts = fail(Code::internal, "");
};

TEST_F(ProbeTest, MachinesModelsAndTheirFeaturesAreReadOneQuestionAfterTheOther) {
    answers("query-version", R"({"qemu": {"major": 7, "minor": 2, "micro": 22}, "package": ""})");
    answers("query-machines", R"([{"name": "pc-q35-7.2", "alias": "q35", "cpu-max": 288}, {"name": "microvm"},
                                  {"name": "pc-i440fx-2.0", "cpu-max": 255, "deprecated": true}, 5, {}])");
    answers("query-cpu-definitions", R"([{"name": "EPYC", "unavailable-features": ["svm"]}, {"name": "EPYC-v2"},
                                         {"name": "max"}, {"name": 7}])");
    answers(
        "query-cpu-model-expansion",
        R"({"model": {"name": "x", "props": {"sse4.1": true, "avx": false, "vendor": "AuthenticAMD", "level": 5}}})");
    ask();
    ASSERT_TRUE(facts) << facts.error().message;
    EXPECT_EQ(facts->version, 7002022U);
    Story machines;
    for (const MachineType& machine : facts->machines) {
        machines.push_back(machine.name + " " + machine.canonical + " " + std::to_string(machine.max_cpus) +
                           (machine.deprecated ? " deprecated" : ""));
    }
    EXPECT_EQ(machines, (Story{"q35 pc-q35-7.2 288", "pc-q35-7.2  288", "pc-i440fx-2.0  255 deprecated"}));
    ASSERT_EQ(facts->cpus.models().size(), 1U);
    EXPECT_EQ(facts->cpus.models()[0].vendor, "AMD");
    EXPECT_EQ(facts->cpus.models()[0].missing, Story{"svm"});
    EXPECT_EQ(facts->cpus.names(facts->cpus.guest().features), Story{"sse4.1"});
    EXPECT_EQ(peer.commands.back(), "quit");
}

TEST_F(ProbeTest, AQemuThatAnswersNonsenseOrGoesIsAnError) {
    answers("query-version", "[]");
    ask();
    EXPECT_TRUE(done);
    EXPECT_EQ(facts.error().code, Code::malformed);
}

TEST_F(ProbeTest, AQemuWithoutOurMachinesIsOfNoUse) {
    answers("query-version", R"({"qemu": {"major": 7, "minor": 2, "micro": 0}})");
    answers("query-machines", "[]");
    answers("query-cpu-definitions", "[]");
    ask();
    EXPECT_EQ(facts.error().code, Code::unsupported_config);
}

TEST_F(ProbeTest, OneThatEndsInBetweenIsAnErrorAndOnlyOne) {
    peer.instead["query-machines"] = [this](const qmp::Json&) { peer.close(); };
    answers("query-version", R"({"qemu": {"major": 7, "minor": 2, "micro": 0}})");
    ask();
    EXPECT_TRUE(done);
    EXPECT_FALSE(facts);
}

}  // namespace
}  // namespace bascule::vmm
