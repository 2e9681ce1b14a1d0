// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/monitor.h"

#include <utility>

#include <fmt/format.h>

namespace bascule::vmm {

namespace {

constexpr std::size_t kReadAtOnce = 64 << 10;
constexpr std::size_t kMaxUnsent = std::size_t{1} << 20;
constexpr int kMaxDrainReads = 64;  // a QEMU that never stops talking is not listened to for ever

}  // namespace

std::shared_ptr<Monitor> Monitor::over(kernel::Loop& loop, std::unique_ptr<kernel::Stream> stream, Handlers handlers) {
    std::shared_ptr<Monitor> monitor(new Monitor(loop, std::move(stream), std::move(handlers)));
    monitor->watch();
    return monitor;
}

void Monitor::watch() {
    watching_write_ = !out_.empty();
    watch_.reset();
    watch_ = loop_.watch(stream_->fd(), true, watching_write_, [weak = weak_from_this()](kernel::Ready ready) {
        if (const auto self = weak.lock()) {
            self->on_ready(ready);
        }
    });
}

void Monitor::on_ready(kernel::Ready ready) {
    if (ready.writable) {
        flush();
    }
    if (open() && (ready.readable || ready.hangup)) {
        read_once();
    }
    if (open() && watching_write_ == out_.empty()) {
        watch();
    }
}

bool Monitor::read_once() {
    auto bytes = stream_->read(kReadAtOnce);
    if (!bytes) {
        lose(std::move(bytes).error());
        return false;
    }
    if (bytes->empty()) {
        return false;
    }
    for (ByteView view = *bytes; open(); view = {}) {
        auto messages = decoder_.feed(view);
        if (!messages) {
            lose(std::move(messages).error());
            return false;
        }
        if (messages->empty()) {
            break;
        }
        for (qmp::Message& message : *messages) {
            if (open()) {
                dispatch(std::move(message));
            }
        }
    }
    return open();
}

void Monitor::drain() {
    const auto self = shared_from_this();
    for (int i = 0; i < kMaxDrainReads && open() && read_once(); ++i) {
    }
}

void Monitor::dispatch(qmp::Message message) {
    if (std::holds_alternative<qmp::Greeting>(message) == greeted_) {
        lose({Code::malformed, greeted_ ? "QEMU's monitor greeted twice" : "QEMU's monitor did not greet first", 0});
        return;
    }
    if (std::holds_alternative<qmp::Greeting>(message)) {
        greeted_ = true;
        greeted();
    } else if (auto* const reply = std::get_if<qmp::Reply>(&message)) {
        answer(reply->id, std::move(reply->value));
    } else if (const auto* const refusal = std::get_if<qmp::Refusal>(&message)) {
        answer(refusal->id, fail(Code::internal, refusal->words));
    } else if (const auto on_event = handlers_.event) {  // a copy: it may close us
        on_event(std::get<qmp::Event>(message));
    }
}

void Monitor::greeted() {
    execute("qmp_capabilities", nullptr, [this](const Result<qmp::Json>& result) {
        if (!result) {
            lose(result.error());
            return;
        }
        negotiated_ = true;
        if (const auto ready = std::exchange(handlers_.ready, nullptr)) {
            ready();
        }
    });
}

void Monitor::execute(std::string_view name, const qmp::Json& arguments, Answer answer,
                      std::chrono::milliseconds timeout, UniqueFd fd) {
    if (lost() || !open()) {
        loop_.defer([answer = std::move(answer), error = failure_]() mutable {
            answer(fail(Code::unreachable, "QEMU's monitor is gone: " + error.message));
        });
        return;
    }
    const std::uint64_t id = next_id_++;
    auto deadline = loop_.at(loop_.clock().now() + timeout, [weak = weak_from_this(), id, timeout] {
        if (const auto self = weak.lock()) {
            const double seconds = std::chrono::duration<double>(timeout).count();
            self->answer(id, fail(Code::timeout, fmt::format("no answer within {} s", seconds)));
        }
    });
    pending_.emplace(id, Pending{std::string(name), std::move(answer), std::move(deadline)});
    send(qmp::command(id, name, arguments), std::move(fd));
}

void Monitor::answer(std::uint64_t id, Result<qmp::Json> result) {
    if (id >= next_id_ || id == 0) {
        lose({Code::malformed, fmt::format("QEMU's monitor answered command {}, which was never given", id), 0});
        return;
    }
    auto node = pending_.extract(id);
    if (node.empty()) {
        return;  // too late: its deadline has passed
    }
    Pending pending = std::move(node.mapped());
    if (!result) {
        result = std::unexpected(std::move(result).error().in(fmt::format("QEMU, '{}'", pending.name)));
    }
    pending.answer(std::move(result));
}

void Monitor::send(std::string_view text, UniqueFd fd) {
    if (fd) {
        carried_.push_back({out_.size(), std::move(fd)});
    }
    out_ += text;
    if (out_.size() > kMaxUnsent) {
        lose({Code::timeout, "QEMU does not read its monitor", 0});
        return;
    }
    flush();
    if (open() && watching_write_ == out_.empty()) {
        watch();
    }
}

void Monitor::flush() {
    while (open() && !out_.empty()) {
        const bool carries = !carried_.empty() && carried_.front().before == 0;
        const std::size_t index = carries ? 1 : 0;
        const std::size_t until = carried_.size() > index ? carried_[index].before : out_.size();
        const ByteView part = as_bytes(out_).first(until);
        const auto taken = carries ? stream_->write_with(part, carried_.front().fd.get()) : stream_->write(part);
        if (!taken) {
            // The reader tells why: QEMU's last events may still be there.
            out_.clear();
            carried_.clear();
            return;
        }
        if (*taken == 0) {
            return;
        }
        if (carries) {
            carried_.pop_front();
        }
        out_.erase(0, *taken);
        for (Carried& one : carried_) {
            one.before -= *taken;
        }
    }
}

void Monitor::lose(Error error) {
    if (!open()) {
        return;
    }
    const auto self = shared_from_this();
    failure_ = std::move(error);
    const auto lost = handlers_.lost;
    auto pending = std::exchange(pending_, {});
    close();
    for (auto& [id, one] : pending) {
        one.deadline.reset();
        one.answer(std::unexpected(failure_));
    }
    if (lost) {
        lost(failure_);
    }
}

void Monitor::close() {
    watch_.reset();
    stream_.reset();
    carried_.clear();
    pending_.clear();
    handlers_ = {};
}

}  // namespace bascule::vmm
