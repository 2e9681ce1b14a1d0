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

// Null: the guest has none.
const vmm::ChannelLive* channel_in(const vmm::Spec& guest) {
    const auto channel = std::ranges::find_if(guest.channels, [](const vmm::Channel& one) {
        return one.name == vmm::agent::kPortName && one.backend == vmm::Channel::Backend::socket && one.live;
    });
    return channel == guest.channels.end() ? nullptr : &*channel->live;
}

std::unexpected<Error> silence() {
    return fail(Code::agent_unresponsive, "the guest's agent does not answer, or another program holds its channel");
}
}  // namespace

// Ids differ from those of a daemon before, whose answers may still come.
Agents::Agents(kernel::Loop& loop, Connect connect)
    : loop_(loop),
      connect_(std::move(connect)),
      next_id_(static_cast<std::uint32_t>(loop.clock().wall().time_since_epoch() / std::chrono::milliseconds(1))) {}

void Agents::ask(const std::string& path, Command command, Answer answer) {
    Talk& talk = talks_[path];
    if (talk.questions.size() >= kMostWaiting) {
        return answer(fail(Code::agent_unresponsive,
                           fmt::format("{} questions wait for the guest's agent already", talk.questions.size())));
    }
    const std::uint32_t id = ++next_id_;
    auto deadline = command.patience
                        ? loop_.at(loop_.clock().now() + *command.patience, [this, path, id] { expire(path, id); })
                        : nullptr;
    talk.questions.push_back({id, std::move(command), std::move(answer), std::move(deadline)});
    if (talk.questions.size() == 1) {
        begin(path);
    }
}

void Agents::expire(std::string path, std::uint32_t id) {
    auto& questions = talks_.at(path).questions;
    if (questions.front().id == id) {
        return end(std::move(path), silence());
    }
    const auto waiting = std::ranges::find(questions, id, &Question::id);
    Answer answer = std::move(waiting->answer);
    questions.erase(waiting);
    answer(silence());
}

void Agents::happened(const vmm::Spec& guest) {
    // Its driver may have closed the channel on the way down.
    const vmm::ChannelLive* const channel = channel_in(guest);
    const auto found = channel == nullptr ? talks_.end() : talks_.find(channel->path);
    const Talk* const talk = found == talks_.end() ? nullptr : &found->second;
    if (talk != nullptr && talk->questions.front().command.silent && talk->exchange && talk->exchange->asked()) {
        end(channel->path, Json());
    }
}

void Agents::begin(const std::string& path) {
    Talk& talk = talks_.at(path);
    auto stream = connect_(path);
    if (!stream) {
        // From the loop, as every other answer.
        talk.watch = loop_.at(loop_.clock().now(), [this, path, error = std::move(stream).error()]() mutable {
            end(path, std::unexpected(std::move(error).in("the guest's agent")));
        });
        return;
    }
    const Question& question = talk.questions.front();
    talk.stream = std::move(*stream);
    talk.exchange.emplace(question.id, question.command.name, question.command.arguments);
    talk.out = talk.exchange->opening();
    talk.first_word = loop_.at(loop_.clock().now() + kPatience, [this, path] { end(path, silence()); });
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
    if (!bytes && talk.questions.front().command.silent && talk.exchange->asked()) {
        return Json();
    }
    if (!bytes) {
        return fail(Code::agent_unresponsive, "the guest's agent hung up: " + bytes.error().message);
    }
    if (!bytes->empty()) {
        TRY(Exchange::Next next, talk.exchange->feed(*bytes));
        talk.out += next.send;
        answer = std::move(next.answer);
        if (talk.exchange->asked()) {
            talk.first_word.reset();
        }
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
    const vmm::ChannelLive* const channel = channel_in(guest);
    if (channel == nullptr) {
        return fail(Code::unsupported, "QEMU guest agent is not configured");
    }
    if (!channel->connected) {
        return fail(Code::agent_unresponsive, "QEMU guest agent is not connected");
    }
    return channel->path;
}

}  // namespace bascule::daemon
