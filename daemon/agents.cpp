// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/agents.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace bascule::daemon {

using vmm::agent::Exchange;
using vmm::qmp::Json;

namespace {
constexpr std::size_t kChunk = 65536;
}

// Ids differ from those of a daemon before, whose answers may still come.
Agents::Agents(kernel::Loop& loop, Connect connect)
    : loop_(loop),
      connect_(std::move(connect)),
      next_id_(static_cast<std::uint32_t>(loop.clock().wall().time_since_epoch() / std::chrono::milliseconds(1))) {}

void Agents::ask(const std::string& path, std::string command, Answer answer) {
    Talk& talk = talks_[path];
    if (talk.questions.size() >= kMostWaiting) {
        return answer(fail(Code::agent_unresponsive,
                           fmt::format("{} questions wait for the guest's agent already", talk.questions.size())));
    }
    talk.questions.push_back({std::move(command), std::move(answer)});
    if (talk.questions.size() == 1) {
        begin(path);
    }
}

void Agents::begin(const std::string& path) {
    Talk& talk = talks_.at(path);
    talk.deadline = loop_.at(loop_.clock().now() + kPatience, [this, path] {
        end(path,
            fail(Code::agent_unresponsive, "the guest's agent does not answer, or another program holds its channel"));
    });
    auto stream = connect_(path);
    if (!stream) {
        // From the loop, as every other answer.
        talk.watch = loop_.at(loop_.clock().now(), [this, path, error = std::move(stream).error()]() mutable {
            end(path, std::unexpected(std::move(error).in("the guest's agent")));
        });
        return;
    }
    talk.stream = std::move(*stream);
    talk.exchange.emplace(++next_id_, talk.questions.front().command);
    talk.out = talk.exchange->opening();
    watch(path, talk);
}

void Agents::watch(const std::string& path, Talk& talk) {
    talk.watch = loop_.watch(talk.stream->fd(), true, !talk.out.empty(),
                             [this, path](kernel::Ready ready) { this->ready(path, ready); });
}

void Agents::ready(const std::string& path, kernel::Ready) {
    Talk& talk = talks_.at(path);
    const bool wrote = !talk.out.empty();
    auto gone_on = go_on(talk);
    if (!gone_on) {
        return end(path, std::unexpected(std::move(gone_on).error()));
    }
    if (*gone_on) {
        return end(path, *std::move(*gone_on));
    }
    if (wrote != !talk.out.empty()) {
        watch(path, talk);
    }
}

Result<std::optional<Json>> Agents::go_on(Talk& talk) {
    std::optional<Json> answer;
    auto bytes = talk.stream->read(kChunk);
    if (!bytes) {
        return fail(Code::agent_unresponsive, "the guest's agent hung up: " + bytes.error().message);
    }
    if (!bytes->empty()) {
        TRY(Exchange::Next next, talk.exchange->feed(*bytes));
        talk.out += next.send;
        answer = std::move(next.answer);
    }
    if (!talk.out.empty()) {
        TRY(const std::size_t taken, talk.stream->write(as_bytes(talk.out)));
        talk.out.erase(0, taken);
    }
    return answer;
}

void Agents::end(std::string path, Result<Json> result) {
    const auto found = talks_.find(path);
    Answer answer = std::move(found->second.questions.front().answer);
    auto waiting = std::move(found->second.questions);
    waiting.pop_front();
    talks_.erase(found);
    if (!waiting.empty()) {
        talks_[path].questions = std::move(waiting);
        begin(path);
    }
    answer(std::move(result));
}

Result<std::string> agent_channel(const vmm::Spec& guest) {
    const auto channel = std::ranges::find_if(guest.channels, [](const vmm::Channel& one) {
        return one.name == vmm::agent::kPortName && one.backend == vmm::Channel::Backend::socket && one.live;
    });
    if (channel == guest.channels.end()) {
        return fail(Code::unsupported, "QEMU guest agent is not configured");
    }
    if (!channel->live->connected) {
        return fail(Code::agent_unresponsive, "QEMU guest agent is not connected");
    }
    return channel->live->path;
}

}  // namespace bascule::daemon
