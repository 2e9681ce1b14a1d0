// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/guest.h"

#include <gtest/gtest.h>

#include <csignal>

#include "tests/support/fake_io.h"
#include "tests/vmm/peer.h"
#include "tests/vmm/support.h"
#include "vmm/xml.h"

namespace bascule::vmm {
namespace {

using namespace std::chrono_literals;

constexpr const char* kXml = R"(<domain type='qemu'>
  <name>g</name>
  <memory unit='MiB'>64</memory>
  <currentMemory unit='MiB'>32</currentMemory>
  <os><type>hvm</type></os>
  <devices>
    <interface type='network'><source network='default'/><link state='down'/></interface>
    <serial type='pty'/>
    <channel type='unix'><target type='virtio' name='agent'/></channel>
    <memballoon model='virtio'/>
  </devices>
</domain>)";

Spec a_spec() {
    auto spec = parse(kXml);
    EXPECT_TRUE(spec) << spec.error().message;
    EXPECT_TRUE(complete(*spec, test::counted()));
    test::pretend_running(*spec);
    spec->serials[0].tty.clear();
    return *spec;
}

class GuestTest : public testing::Test {
protected:
    Guest::Deps deps() {
        return {loop, spawner, [this](const std::string& path) -> Result<std::unique_ptr<kernel::Stream>> {
                    connected_to = path;
                    if (refuse_connection) {
                        return fail(Code::unreachable, "nobody listens there");
                    }
                    return peer->stream();
                }};
    }
    std::unique_ptr<Guest> a_guest() {
        return std::make_unique<Guest>(
            deps(), Guest::Callbacks{
                        .changed = [this](Status s) { story.push_back("changed " + text(s)); },
                        .rebooted = [this] { story.push_back("rebooted"); },
                        .ended = [this](Guest::Ended e) { story.push_back("ended " + text(e.status) + " " + e.words); },
                        .monitor_lost = [this](const Error& e) { story.push_back("lost " + e.message); },
                        .channel_changed = [this](std::size_t i) { story.push_back(fmt::format("channel {}", i)); }});
    }
    StartPlan plan() {
        StartPlan out{.spec = a_spec()};
        out.launch = *compile(out.spec, {{}});
        for (std::size_t i = 0; i < out.launch.slots.size(); ++i) {
            out.fds.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
        }
        out.id = 4;
        out.monitor = "/run/x/g.monitor";
        out.last_words = [this] { return words; };
        out.uid = 64055;
        return out;
    }
    Done note(const std::string& what) {
        return [this, what](const Result<void>& result) {
            story.push_back(what + ": " + (result ? "ok" : result.error().message));
            codes.push_back(result ? std::nullopt : std::optional(result.error().code));
        };
    }
    void settle() {
        for (int quiet = 0; quiet < 3;) {
            const bool any = loop.turn();
            quiet = peer->turn() || any ? 0 : quiet + 1;
        }
    }
    std::unique_ptr<Guest> started() {
        auto guest = a_guest();
        guest->start(plan(), note("start"));
        peer->greet();
        settle();
        EXPECT_EQ(story, std::vector<std::string>{"start: ok"});
        story.clear();
        return guest;
    }
    static std::string text(Status s) {
        return std::to_string(static_cast<int>(s.state)) + "/" + std::to_string(s.reason);
    }
    int pid() const { return spawner.children.rbegin()->first; }
    bool alive() const { return spawner.children.rbegin()->second.running; }
    using Story = std::vector<std::string>;

    test::FakeLoop loop;
    test::FakeSpawner spawner;
    std::unique_ptr<test::Peer> peer = std::make_unique<test::Peer>();
    std::string connected_to, words;
    bool refuse_connection = false;
    Story story;
    std::vector<std::optional<Code>> codes;
};

TEST_F(GuestTest, AStartSetsItUpOverQmpAndLetsItRun) {
    auto guest = started();
    EXPECT_EQ(connected_to, "/run/x/g.monitor");
    EXPECT_EQ(peer->commands, (Story{"qmp_capabilities", "query-chardev", R"(set_link {"name":"net0","up":false})",
                                     R"(balloon {"value":33554432})", "cont", "query-status"}));
    EXPECT_EQ(guest->status(), (Status{State::running, reason::kRunningBooted}));
    EXPECT_EQ(*guest->console_path(), "/dev/pts/17");
    EXPECT_EQ(guest->pid(), pid());
    EXPECT_EQ(guest->live().id, 4);
    EXPECT_EQ(loop.timers(), 0U);
}

TEST_F(GuestTest, QemuGetsItsDescriptorsItsUserAndNoEnvironmentOfOurs) {
    auto guest = started();
    const kernel::Command command = *spawner.last();
    EXPECT_EQ(command.program, "/usr/bin/qemu-system-x86_64");
    EXPECT_EQ(command.fds.size(), 3U);
    EXPECT_EQ(command.uid, 64055U);
    EXPECT_EQ(command.environment, (Story{"LC_ALL=C", "PATH=/usr/bin:/bin"}));
    for (const int fd : command.fds) {
        EXPECT_EQ(::fcntl(fd, F_GETFD), -1) << "our copy must be closed, or a dead QEMU's socket lives on";
    }
}

TEST_F(GuestTest, AProgramOfTheGuestOpensAndClosesItsChannel) {
    auto guest = started();
    const auto connected = [&] { return guest->spec().channels[0].live->connected; };
    EXPECT_FALSE(connected());
    for (const char* const id : {"channel1", "channel0", "channel0"}) {
        peer->event("VSERPORT_CHANGE", {{"id", id}, {"open", true}});
    }
    settle();
    EXPECT_EQ(story, Story{"channel 0"}) << "once, and not for a port that is not ours";
    EXPECT_TRUE(connected());
    EXPECT_EQ(live_from_text(to_text(guest->live())), guest->live());
    peer->event("VSERPORT_CHANGE", {{"id", "channel0"}, {"open", false}});
    settle();
    EXPECT_FALSE(connected());
}

TEST_F(GuestTest, WhoTakesItOverLearnsWhichChannelsAreOpen) {
    const Live live = started()->live();
    peer = std::make_unique<test::Peer>();
    peer->status = "running";
    peer->instead["query-chardev"] = [this](const qmp::Json& id) {
        peer->say(qmp::Json{{"id", id},
                            {"return", {{{"label", "charchannel0"}, {"filename", "unix"}, {"frontend-open", true}}}}}
                      .dump() +
                  "\n");
    };
    auto guest = a_guest();
    guest->attach(live, note("attach"));
    peer->greet();
    settle();
    EXPECT_EQ(story, Story{"attach: ok"});
    EXPECT_TRUE(guest->spec().channels[0].live->connected);
    EXPECT_EQ(guest->spec().channels[0].live->path, live.spec.channels[0].live->path);
    EXPECT_EQ(guest->spec().serials, live.spec.serials);
}

TEST_F(GuestTest, AStartCanLeaveItPaused) {
    auto guest = a_guest();
    StartPlan p = plan();
    p.paused = true;
    guest->start(std::move(p), note("start"));
    peer->greet();
    settle();
    EXPECT_EQ(story, Story{"start: ok"});
    EXPECT_EQ(guest->status(), (Status{State::paused, reason::kPausedUser}));
    guest->resume(note("resume"));
    settle();
    EXPECT_EQ(story, (Story{"start: ok", "changed 1/5", "resume: ok"}));
}

TEST_F(GuestTest, AProgramThatIsNotThereIsTheError) {
    spawner.missing.insert("/usr/bin/qemu-system-x86_64");
    auto guest = a_guest();
    guest->start(plan(), note("start"));
    EXPECT_TRUE(story.empty()) << "never from inside start()";
    settle();
    EXPECT_EQ(story, Story{"start: /usr/bin/qemu-system-x86_64: No such file or directory"});
    EXPECT_FALSE(guest->active());
}

TEST_F(GuestTest, AMonitorThatCannotBeReachedKillsTheStart) {
    refuse_connection = true;
    auto guest = a_guest();
    guest->start(plan(), note("start"));
    settle();
    EXPECT_EQ(story, Story{"start: nobody listens there"});
    EXPECT_FALSE(alive());
}

TEST_F(GuestTest, QemusOwnWordsAreInTheErrorWhenItGivesUp) {
    auto guest = a_guest();
    guest->start(plan(), note("start"));
    words = "qemu-system-x86_64: -device foo: 'foo' is not a valid device\x1b[1m name\n";
    spawner.end(pid());
    peer->close();
    settle();
    EXPECT_EQ(story, Story{"start: QEMU ended: qemu-system-x86_64: -device foo: 'foo' is not a valid device [1m name"});
    EXPECT_EQ(codes[0], Code::internal);
    EXPECT_FALSE(guest->active());
    EXPECT_EQ(guest->status(), (Status{State::shutoff, reason::kShutoffFailed}));
}

TEST_F(GuestTest, ADeathAtAnyStepOfTheStartIsAnErrorAndLeavesNothing) {
    for (const char* const step :
         {"qmp_capabilities", "query-chardev", "set_link", "balloon", "cont", "query-status"}) {
        for (const bool socket_first : {true, false}) {
            story.clear();
            peer = std::make_unique<test::Peer>();
            words = "out of luck";
            auto guest = a_guest();
            peer->instead[step] = [&](const qmp::Json&) {
                if (socket_first) {
                    peer->close();
                    settle();
                }
                if (alive()) {
                    spawner.end(pid());
                }
                peer->close();
            };
            guest->start(plan(), note("start"));
            peer->greet();
            settle();
            EXPECT_EQ(story, Story{"start: QEMU ended: out of luck"}) << step << socket_first;
            EXPECT_FALSE(guest->active());
            EXPECT_FALSE(alive());
            EXPECT_EQ(loop.timers(), 0U) << step;
            EXPECT_EQ(loop.watches(), 0U) << step;
        }
    }
}

TEST_F(GuestTest, ARefusalAtAnyStepIsTheErrorAndKillsIt) {
    for (const char* const step :
         {"qmp_capabilities", "query-chardev", "set_link", "balloon", "cont", "query-status"}) {
        story.clear();
        words.clear();
        peer = std::make_unique<test::Peer>();
        auto guest = a_guest();
        peer->instead[step] = [&](const qmp::Json& id) {
            peer->say(qmp::Json{{"error", {{"class", "GenericError"}, {"desc", "will not"}}}, {"id", id}}.dump() +
                      "\n");
        };
        guest->start(plan(), note("start"));
        peer->greet();
        settle();
        EXPECT_EQ(story, Story{std::string("start: QEMU, '") + step + "': will not"});
        EXPECT_FALSE(alive()) << step;
    }
}

TEST_F(GuestTest, SilenceAtAnyStepEndsAfterTheTimeOut) {
    for (const char* const step : {"", "qmp_capabilities", "query-chardev", "cont", "query-status"}) {
        story.clear();
        codes.clear();
        words.clear();
        peer = std::make_unique<test::Peer>();
        auto guest = a_guest();
        peer->instead[step] = [](const qmp::Json&) {};
        StartPlan p = plan();
        p.timeout = 20s;
        guest->start(std::move(p), note("start"));
        if (*step != '\0') {
            peer->greet();
        }
        settle();
        loop.advance(19s);
        settle();
        EXPECT_TRUE(story.empty()) << step;
        EXPECT_TRUE(guest->active());
        loop.advance(2s);
        settle();
        EXPECT_EQ(story, Story{"start: QEMU is not ready after 20 s"}) << step;
        EXPECT_EQ(codes[0], Code::timeout);
        EXPECT_FALSE(alive());
    }
}

TEST_F(GuestTest, NonsenseInsteadOfQmpEndsTheStart) {
    const std::string deep = std::string(100, '[') + std::string(100, ']') + "\n";
    const std::string huge = "{\"QMP\": \"" + std::string(300'000, 'x');
    for (const std::string& nonsense : {std::string("HTTP/1.1 400 Bad Request\n"), std::string("{}\n"),
                                        std::string("[1,2]\n"), deep, std::string("{\"event\": 7}\n"),
                                        std::string("{\"return\": {}, \"id\": 1}\n"), std::string("\xff\xfe\x00\n", 4),
                                        std::string(R"({"QMP": {"version": 7}})"
                                                    "\n")}) {
        story.clear();
        peer = std::make_unique<test::Peer>();
        auto guest = a_guest();
        guest->start(plan(), note("start"));
        peer->say(nonsense);
        settle();
        ASSERT_EQ(story.size(), 1U) << nonsense;
        EXPECT_TRUE(story[0].starts_with("start: QEMU's monitor ")) << story[0];
        EXPECT_FALSE(alive());
    }
    story.clear();
    peer = std::make_unique<test::Peer>();
    auto guest = a_guest();
    guest->start(plan(), note("start"));
    for (int i = 0; i < 200 && story.empty(); ++i) {
        peer->say(huge.substr(0, 30'000));
        settle();
    }
    EXPECT_EQ(story, Story{"start: QEMU's monitor sent a line of more than 1048576 bytes"});
}

TEST_F(GuestTest, OnlyAPseudoTerminalIsTakenForAConsole) {
    for (const char* const file : {"pty:/dev/pts/../../etc/shadow", "pty:/dev/sda", "file:/x", "pty:/dev/pts/", ""}) {
        story.clear();
        peer = std::make_unique<test::Peer>();
        auto guest = a_guest();
        peer->instead["query-chardev"] = [&](const qmp::Json& id) {
            peer->say(
                qmp::Json{{"return", qmp::Json::array({{{"label", "charserial0"}, {"filename", file}}})}, {"id", id}}
                    .dump() +
                "\n");
        };
        guest->start(plan(), note("start"));
        peer->greet();
        settle();
        ASSERT_EQ(story.size(), 1U);
        EXPECT_NE(story[0].find("pseudo-terminal"), std::string::npos) << story[0];
    }
}

TEST_F(GuestTest, SuspendAndResumeAreReportedOnceEach) {
    auto guest = started();
    guest->suspend(note("suspend"));
    settle();
    EXPECT_EQ(guest->status(), (Status{State::paused, reason::kPausedUser}));
    guest->suspend(note("again"));
    settle();
    guest->resume(note("resume"));
    settle();
    guest->resume(note("again"));
    settle();
    EXPECT_EQ(story, (Story{"changed 3/1", "suspend: ok", "again: ok", "changed 1/5", "resume: ok",
                            "again: the guest is already running"}));
}

TEST_F(GuestTest, APauseThatNobodyAskedForHasNoUserAsItsReason) {
    auto guest = started();
    peer->event("STOP");
    settle();
    EXPECT_EQ(story, Story{"changed 3/0"});
}

TEST_F(GuestTest, TheLinkFollowsTheCommandAndTheDefinitionRemembersIt) {
    auto guest = started();
    guest->set_link(0, true, note("link"));
    guest->set_link(7, true, note("none"));
    settle();
    EXPECT_EQ(peer->commands.back(), R"(set_link {"name":"net0","up":true})");
    EXPECT_TRUE(guest->spec().interfaces[0].link_up);
    EXPECT_EQ(story, (Story{"none: the guest has no such interface", "link: ok"}));
}

TEST_F(GuestTest, AGuestThatPowersOffIsReportedAsShutDown) {
    auto guest = started();
    peer->event("POWERDOWN");
    peer->event("SHUTDOWN", {{"guest", true}, {"reason", "guest-shutdown"}});
    peer->event("STOP");
    settle();
    EXPECT_EQ(story, Story{"changed 4/1"});
    peer->close();
    spawner.end(pid());
    settle();
    EXPECT_EQ(story, (Story{"changed 4/1", "ended 5/1 shut down (guest-shutdown)"}));
    EXPECT_FALSE(guest->active());
    EXPECT_EQ(loop.timers() + loop.watches(), 0U);
}

TEST_F(GuestTest, TheLastEventIsReadEvenWhenTheProcessIsAlreadyGone) {
    auto guest = started();
    peer->event("SHUTDOWN", {{"guest", true}, {"reason", "guest-shutdown"}});
    peer->close();
    spawner.end(pid());
    loop.fire(spawner.children.at(pid()).ended.get(), {.readable = true});
    EXPECT_EQ(story.back(), "ended 5/1 shut down (guest-shutdown)");
}

TEST_F(GuestTest, ADeathWithoutAWordIsACrash) {
    auto guest = started();
    words = "qemu-system-x86_64: Bus error\n";
    spawner.end(pid());
    peer->close();
    settle();
    EXPECT_EQ(story, Story{"ended 5/3 QEMU ended: qemu-system-x86_64: Bus error"});
}

TEST_F(GuestTest, AResetOfTheGuestsOwnIsTold) {
    auto guest = started();
    peer->event("RESET", {{"guest", true}, {"reason", "guest-reset"}});
    peer->event("RESET", {{"guest", false}, {"reason", "host-qmp-system-reset"}});
    settle();
    EXPECT_EQ(story, Story{"rebooted"});
}

TEST_F(GuestTest, DestroyTerminatesAndTellsTheEndBeforeItAnswers) {
    auto guest = started();
    guest->destroy(false, note("destroy"));
    settle();
    EXPECT_EQ(spawner.children.at(pid()).signals, std::vector<int>{SIGTERM});
    EXPECT_EQ(story, (Story{"ended 5/2 destroyed", "destroy: ok"}));
    guest->destroy(false, note("destroy"));
    settle();
    EXPECT_EQ(story.back(), "destroy: the guest is not running");
}

TEST_F(GuestTest, AQemuThatIgnoresSigtermIsKilledAfterFiveSeconds) {
    spawner.ignores_sigterm = true;
    auto guest = started();
    guest->destroy(false, note("destroy"));
    guest->destroy(false, note("another"));
    settle();
    loop.advance(4s);
    settle();
    EXPECT_TRUE(story.empty());
    guest->suspend(note("suspend"));
    settle();
    EXPECT_EQ(story, Story{"suspend: the guest is not running"});
    loop.advance(2s);
    settle();
    EXPECT_EQ(spawner.children.at(pid()).signals.back(), SIGKILL);
    EXPECT_EQ(story, (Story{"suspend: the guest is not running", "ended 5/2 destroyed", "destroy: ok", "another: ok"}));
}

TEST_F(GuestTest, AGracefulDestroyNeverKills) {
    spawner.ignores_sigterm = true;
    auto guest = started();
    guest->destroy(true, note("destroy"));
    loop.advance(6s);
    settle();
    EXPECT_TRUE(alive());
    EXPECT_EQ(story, Story{"destroy: QEMU did not end on SIGTERM; destroy it without 'graceful'"});
    EXPECT_TRUE(guest->active());
}

TEST_F(GuestTest, DestroyWhileStartingAnswersBoth) {
    auto guest = a_guest();
    guest->start(plan(), note("start"));
    guest->destroy(false, note("destroy"));
    settle();
    EXPECT_EQ(story, (Story{"start: destroyed while it was being started", "destroy: ok"}));
    EXPECT_FALSE(alive());
}

TEST_F(GuestTest, GarbageFromARunningGuestCostsTheMonitorAndNotTheGuest) {
    auto guest = started();
    guest->reset(note("reset"));
    peer->say("}{\n");
    settle();
    loop.advance(3s);
    settle();
    ASSERT_EQ(story.size(), 2U);
    EXPECT_TRUE(story[0].starts_with("reset: QEMU's monitor does not speak QMP")) << story[0];
    EXPECT_TRUE(story[1].starts_with("lost QEMU's monitor does not speak QMP")) << story[1];
    EXPECT_EQ(guest->status().state, State::running);
    guest->suspend(note("suspend"));
    settle();
    EXPECT_TRUE(story[2].starts_with("suspend: QEMU's monitor is gone: ")) << story[2];
    guest->destroy(false, note("destroy"));
    settle();
    EXPECT_EQ(story.back(), "destroy: ok");
}

TEST_F(GuestTest, AnAnswerToNothingCostsTheMonitor) {
    auto guest = started();
    peer->say(R"({"return": {}, "id": 999})"
              "\n");
    settle();
    loop.advance(3s);
    EXPECT_EQ(story, Story{"lost QEMU's monitor answered command 999, which was never given"});
}

TEST_F(GuestTest, ACommandThatIsNeverAnsweredTimesOutAndALateAnswerIsPassedOver) {
    auto guest = started();
    qmp::Json late;
    peer->instead["system_powerdown"] = [&](const qmp::Json& id) { late = id; };
    guest->press_power_button(note("power"));
    settle();
    loop.advance(31s);
    EXPECT_EQ(story, Story{"power: QEMU, 'system_powerdown': no answer within 30 s"});
    peer->say(qmp::Json{{"return", qmp::Json::object()}, {"id", late}}.dump() + "\n");
    guest->reset(note("reset"));
    settle();
    EXPECT_EQ(story.back(), "reset: ok");
}

TEST_F(GuestTest, AFloodOfEventsDoesNotKeepTheLoop) {
    auto guest = started();
    for (int i = 0; i < 300; ++i) {
        peer->event("NIC_RX_FILTER_CHANGED", {{"name", "net0"}});
    }
    settle();
    EXPECT_TRUE(story.empty());
    EXPECT_TRUE(guest->active());
}

TEST_F(GuestTest, ANewDaemonTakesARunningGuestOver) {
    Live saved{.spec = a_spec()};
    {
        auto guest = started();
        const auto back = live_from_text(to_text(guest->live()));
        ASSERT_TRUE(back) << back.error().message;
        EXPECT_EQ(*back, guest->live());
        saved = *back;
    }
    EXPECT_TRUE(alive()) << "a daemon that steps down leaves its guests";
    EXPECT_EQ(loop.watches() + loop.timers(), 0U);
    const std::string status = peer->status;
    peer = std::make_unique<test::Peer>();
    peer->status = status;
    auto again = a_guest();
    again->attach(saved, note("attach"));
    peer->greet();
    settle();
    EXPECT_EQ(story, Story{"attach: ok"});
    EXPECT_EQ(peer->commands, (Story{"qmp_capabilities", "query-chardev", "query-status"}));
    EXPECT_EQ(again->status(), (Status{State::running, reason::kRunningUnknown}));
    EXPECT_EQ(*again->console_path(), "/dev/pts/17");
    EXPECT_EQ(again->pid(), pid());
    spawner.end(pid());
    settle();
    EXPECT_EQ(story.back(), "ended 5/3 QEMU ended without a word");
}

TEST_F(GuestTest, AGuestThatIsGoneMeanwhileIsUnreachable) {
    const Live saved = started()->live();
    spawner.end(pid());
    auto again = a_guest();
    again->attach(saved, note("attach"));
    settle();
    EXPECT_EQ(codes.back(), Code::unreachable);
    EXPECT_FALSE(again->active());
}

TEST_F(GuestTest, AGuestThatDoesNotAnswerTheNewDaemonCanStillBeDestroyed) {
    const Live saved = started()->live();
    peer = std::make_unique<test::Peer>();
    auto again = a_guest();
    again->attach(saved, note("attach"));
    loop.advance(11s);
    settle();
    EXPECT_EQ(story, Story{"attach: QEMU does not answer after 10 s"});
    EXPECT_TRUE(again->active());
    again->suspend(note("suspend"));
    again->destroy(false, note("destroy"));
    settle();
    EXPECT_EQ(story,
              (Story{"attach: QEMU does not answer after 10 s", "suspend: QEMU's monitor is gone: it was never there",
                     "ended 5/2 destroyed", "destroy: ok"}));
}

TEST_F(GuestTest, AGuestMayBeDestroyedInsideItsCallbacks) {
    std::unique_ptr<Guest> guest;
    guest = std::make_unique<Guest>(deps(), Guest::Callbacks{.ended = [&](const Guest::Ended&) { guest.reset(); }});
    guest->start(plan(), note("start"));
    peer->greet();
    settle();
    guest->destroy(false, note("destroy"));
    settle();
    EXPECT_EQ(guest, nullptr);
    EXPECT_EQ(story, (Story{"start: ok", "destroy: ok"}));

    story.clear();
    peer = std::make_unique<test::Peer>();
    guest = a_guest();
    guest->start(plan(), [&](const Result<void>&) { guest.reset(); });
    peer->greet();
    settle();
    EXPECT_EQ(guest, nullptr);
    EXPECT_TRUE(alive());
}

}  // namespace
}  // namespace bascule::vmm
