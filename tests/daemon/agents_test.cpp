// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/agents.h"

#include <gtest/gtest.h>

#include <sys/socket.h>

#include "daemon/addresses.h"
#include "kernel/linux/stream.h"
#include "tests/support/fake_io.h"

namespace bascule::daemon {
namespace {

using vmm::qmp::Json;

// The guest's end of a channel is the test.
class AgentsTest : public testing::Test {
protected:
    void ask(Agents::Command command = {.name = "guest-info"}) {
        agents_.ask("/channel", std::move(command),
                    [this](Result<Json> answer) { answers_.push_back(std::move(answer)); });
        loop_.turn();
    }
    void say(const std::string& text) {
        EXPECT_EQ(::send(guest_.get(), text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
        while (loop_.turn()) {
        }
    }
    std::string hear() {
        std::string out(4096, '\0');
        const auto got = ::recv(guest_.get(), out.data(), out.size(), 0);
        out.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
        return out;
    }
    void synchronise() {
        const std::string opening = hear();
        const auto at = opening.find("\"id\":");
        ASSERT_NE(at, std::string::npos) << opening;
        say("\xff{\"return\": " + opening.substr(at + 5, opening.find('}', at) - at - 5) + "}\n");
    }

    static vmm::Spec guest_spec() {
        vmm::Spec guest{.name = *ObjectName::parse("vm")};
        vmm::Channel channel;
        channel.name = "org.qemu.guest_agent.0";
        channel.live = vmm::ChannelLive{.path = "/channel", .connected = false};
        guest.channels = {channel};
        return guest;
    }

    test::FakeLoop loop_;
    UniqueFd guest_;
    bool refuse_ = false;
    std::vector<Result<Json>> answers_;
    Agents agents_{loop_, [this](const std::string&) -> Result<std::unique_ptr<kernel::Stream>> {
                       if (refuse_) {
                           return fail(Code::unreachable, "nobody listens there");
                       }
                       std::array<int, 2> ends{};
                       EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()), 0);
                       guest_ = UniqueFd(ends[1]);
                       return kernel::os::stream_over(UniqueFd(ends[0]));
                   }};
};

TEST_F(AgentsTest, AsksOneAfterTheOther) {
    ask();
    ask();
    for (int n = 1; n <= 2; ++n) {
        synchronise();
        EXPECT_EQ(hear(), "{\"execute\":\"guest-info\"}\n");
        say("{\"return\": " + std::to_string(n) + "}\n");
        ASSERT_EQ(answers_.size(), static_cast<std::size_t>(n));
        EXPECT_EQ(answers_.back().value(), Json(n));
    }
    EXPECT_EQ(loop_.watches(), 0U);
    EXPECT_EQ(loop_.timers(), 0U);
}

TEST_F(AgentsTest, NobodyWaitsForAGuestThatIsSilentOrHangsUp) {
    ask();
    loop_.advance(Agents::kPatience + std::chrono::seconds(1));
    ask();
    guest_.reset();
    while (loop_.turn()) {
    }
    refuse_ = true;
    ask();
    while (loop_.turn()) {
    }
    ASSERT_EQ(answers_.size(), 3U);
    for (const auto& answer : answers_) {
        EXPECT_FALSE(answer);
    }
    EXPECT_EQ(answers_[0].error().code, Code::agent_unresponsive);
    EXPECT_EQ(answers_[1].error().code, Code::agent_unresponsive);
}

TEST_F(AgentsTest, WhoHasPatienceWaitsForTheAnswerButNotForTheFirstWord) {
    const Agents::Command patient{.name = "guest-fstrim", .arguments = {{"minimum", 7}}, .patience = std::nullopt};
    ask(patient);
    loop_.advance(Agents::kPatience + std::chrono::seconds(1));
    ASSERT_EQ(answers_.size(), 1U);
    EXPECT_EQ(answers_[0].error().code, Code::agent_unresponsive);
    ask(patient);
    synchronise();
    EXPECT_EQ(hear(), "{\"arguments\":{\"minimum\":7},\"execute\":\"guest-fstrim\"}\n");
    ask();  // has none, and waits behind it
    loop_.advance(std::chrono::hours(1));
    ASSERT_EQ(answers_.size(), 2U);
    EXPECT_EQ(answers_[1].error().code, Code::agent_unresponsive);
    say("{\"return\": {}}\n");
    ASSERT_EQ(answers_.size(), 3U);
    EXPECT_TRUE(answers_[2]);
    EXPECT_EQ(loop_.timers(), 0U);
}

TEST_F(AgentsTest, ASilentCommandEndsWithWhatTheGuestThenDoes) {
    const Agents::Command silent{.name = "guest-suspend-ram", .patience = std::nullopt, .silent = true};
    agents_.happened(guest_spec());  // nobody asked for anything
    ask(silent);
    agents_.happened(guest_spec());  // before the agent heard of it
    EXPECT_TRUE(answers_.empty());
    synchronise();
    agents_.happened(guest_spec());
    ASSERT_EQ(answers_.size(), 1U);
    EXPECT_TRUE(answers_[0]);

    ask(silent);
    synchronise();
    guest_.reset();  // it went down
    while (loop_.turn()) {
    }
    ASSERT_EQ(answers_.size(), 2U);
    EXPECT_TRUE(answers_[1]);

    ask(silent);
    guest_.reset();  // before it heard
    while (loop_.turn()) {
    }
    ask(silent);
    synchronise();
    say("{\"error\": {\"class\": \"CommandDisabled\", \"desc\": \"not here\"}}\n");
    ASSERT_EQ(answers_.size(), 4U);
    EXPECT_EQ(answers_[2].error().code, Code::agent_unresponsive);
    EXPECT_EQ(answers_[3].error().code, Code::unsupported);
}

TEST_F(AgentsTest, AFewMayWaitAndNoMore) {
    for (std::size_t i = 0; i < Agents::kMostWaiting; ++i) {
        ask();
    }
    EXPECT_TRUE(answers_.empty());
    ask();
    ASSERT_EQ(answers_.size(), 1U);
    EXPECT_EQ(answers_[0].error().code, Code::agent_unresponsive);
}

TEST(AgentChannel, IsThatOfItsNameWhenAProgramIsThere) {
    vmm::Spec guest{.name = *ObjectName::parse("vm")};
    EXPECT_EQ(agent_channel(guest).error().code, Code::unsupported);
    vmm::Channel channel;
    channel.name = "org.qemu.guest_agent.0";
    channel.live = vmm::ChannelLive{.path = "/run/agent", .connected = false};
    guest.channels = {vmm::Channel{}, channel};
    EXPECT_EQ(agent_channel(guest).error().code, Code::agent_unresponsive);
    guest.channels[1].live->connected = true;
    EXPECT_EQ(agent_channel(guest), "/run/agent");
}

TEST(MergedAddresses, AreOneAnAddressWithAllWhoKnowIt) {
    const MacAddr one{{2, 0, 0, 0, 0, 1}}, two{{2, 0, 0, 0, 0, 2}};
    const Ip a = *parse_ip("10.0.0.5"), b = *parse_ip("fe80::1");
    using Source = Sighting::Source;
    const std::chrono::seconds old{90}, young{3};
    EXPECT_EQ(merged({{two, a, 0, Source::arp, old},
                      {one, a, 0, Source::arp, young},
                      {one, b, 64, Source::agent, std::chrono::seconds(0)},
                      {one, a, 24, Source::lease, old},
                      {one, a, 0, Source::arp, old}}),
              (std::vector<SeenAddress>{{one, a, 24, "lease arp", young},
                                        {one, b, 64, "agent", std::chrono::seconds(0)},
                                        {two, a, 0, "arp", old}}));
    EXPECT_EQ(merged({{one, a, 24, Source::lease, std::nullopt}}),
              (std::vector<SeenAddress>{{one, a, 24, "lease", std::nullopt}}));
}

}  // namespace
}  // namespace bascule::daemon
