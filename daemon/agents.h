// SPDX-License-Identifier: GPL-2.0-or-later
// Asks the agents of guests. One exchange at a time on a channel, over a connection of its own, so that the channel is
// free for others between them; what else is asked meanwhile waits its turn. Nothing waits for a guest: an answer comes
// from the loop, and a caller whose patience ends, in the queue or after, hears that.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "kernel/io.h"
#include "vmm/agent.h"
#include "vmm/spec.h"

namespace bascule::daemon {

class Agents {
public:
    static constexpr std::chrono::seconds kPatience{5};  // also for the agent's first word, whatever is asked then
    static constexpr std::size_t kMostWaiting = 8;       // on one channel
    using Connect = std::function<Result<std::unique_ptr<kernel::Stream>>(const std::string& path)>;
    using Answer = std::move_only_function<void(Result<vmm::qmp::Json>)>;

    Agents(kernel::Loop& loop, Connect connect);

    struct Command {
        std::string name{};
        vmm::qmp::Json arguments = nullptr;
        // For everything, waiting for others included. Not set: as long as somebody has the channel open.
        std::optional<std::chrono::milliseconds> patience = kPatience;
        // The agent answers only when it fails (guest-shutdown, guest-suspend-*): what the guest then does is the
        // answer, see happened(), or that its channel closes.
        bool silent = false;
    };
    // `path`: the socket of the guest's channel (agent_channel()).
    void ask(const std::string& path, Command command, Answer answer);
    // The guest was suspended or reset: a silent command that its agent was asked for has done its work.
    void happened(const vmm::Spec& guest);

private:
    struct Question {
        std::uint32_t id = 0;
        Command command;
        Answer answer;
        std::unique_ptr<kernel::Watch> deadline;
    };
    struct Talk {
        std::deque<Question> questions;  // the first is being asked
        std::unique_ptr<kernel::Stream> stream;
        std::optional<vmm::agent::Exchange> exchange;
        std::string out;
        std::unique_ptr<kernel::Watch> watch, first_word;
    };
    void begin(const std::string& path);
    void expire(std::string path, std::uint32_t id);
    void watch(const std::string& path, Talk& talk);
    void ready(const std::string& path, kernel::Ready ready);
    Result<std::optional<vmm::qmp::Json>> go_on(Talk& talk);
    void end(std::string path, Result<vmm::qmp::Json> result);  // a copy: whose callback this is in goes with the talk

    kernel::Loop& loop_;
    Connect connect_;
    std::uint32_t next_id_;
    std::map<std::string, Talk> talks_;  // by path
};

// The socket of the agent's channel of a running guest, when its program is there. Code::unsupported when the guest has
// no such channel, Code::agent_unresponsive when nobody in the guest has opened it.
Result<std::string> agent_channel(const vmm::Spec& guest);

}  // namespace bascule::daemon
