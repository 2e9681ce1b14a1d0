// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/loop.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <systemd/sd-event.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <deque>
#include <map>
#include <utility>
#include <vector>

#include "base/log.h"
#include "kernel/linux/clock.h"

namespace bascule::kernel::os {

namespace {

struct UnrefEvent {
    void operator()(sd_event* event) const { sd_event_unref(event); }
};
struct UnrefSource {
    void operator()(sd_event_source* source) const { sd_event_source_disable_unref(source); }
};
using Source = std::unique_ptr<sd_event_source, UnrefSource>;

// The loop's callers cannot go on without their watch.
void needed(int error, const char* what) {
    if (error < 0) {
        log::error("event loop: {}: {}", what, errno_text(-error));
        std::abort();
    }
}

// What a source calls. Shared by the watch and a dispatch that is under way, since a callback may destroy its own
// watch, and with it itself.
template <class... Args>
struct Callback {
    std::move_only_function<void(Args...)> call;
    bool alive = true;
};

// A watch with an event source and a descriptor of its own, if it needed one.
template <class... Args>
class SourceWatch : public Watch {
public:
    using Shared = std::shared_ptr<Callback<Args...>>;

    explicit SourceWatch(std::move_only_function<void(Args...)> on)
        : callback_(std::make_shared<Callback<Args...>>(std::move(on))) {}
    ~SourceWatch() override { callback_->alive = false; }

    Shared& callback() { return callback_; }
    void take(sd_event_source* source) { source_.reset(source); }
    void take(UniqueFd fd) { fd_ = std::move(fd); }

private:
    Shared callback_;
    UniqueFd fd_;
    Source source_;  // goes before the descriptor that it watches
};

int on_io(sd_event_source*, int, std::uint32_t events, void* data) {
    const auto callback = *static_cast<SourceWatch<Ready>::Shared*>(data);
    callback->call(Ready{.readable = (events & EPOLLIN) != 0,
                         .writable = (events & EPOLLOUT) != 0,
                         .hangup = (events & (EPOLLHUP | EPOLLERR)) != 0});
    return 0;
}

int on_time(sd_event_source*, std::uint64_t, void* data) {
    const auto callback = *static_cast<SourceWatch<>::Shared*>(data);
    callback->call();
    return 0;
}

constexpr unsigned kSourcesATurn = 256;

class SdLoop : public Loop {
public:
    explicit SdLoop(sd_event* event) : event_(event) {}

    const Clock& clock() const override { return clock_; }
    std::unique_ptr<Watch> watch(int fd, bool read, bool write, std::move_only_function<void(Ready)> on) override;
    std::unique_ptr<Watch> at(Time when, std::move_only_function<void()> on) override;
    void defer(std::move_only_function<void()> on) override { deferred_.push_back(std::move(on)); }
    std::unique_ptr<Watch> on_signal(int number, std::move_only_function<void()> on) override;
    Result<void> run() override;
    void stop() override { stopped_ = true; }

private:
    class SignalWatch;
    // Everybody who waits for one signal: sd-event takes one source for each.
    struct Signal {
        Source source;
        std::vector<std::shared_ptr<Callback<>>> callbacks;
    };

    void run_deferred();
    static int on_signalled(sd_event_source* source, const signalfd_siginfo* info, void* data);

    BootClock clock_;
    std::unique_ptr<sd_event, UnrefEvent> event_;
    std::deque<std::move_only_function<void()>> deferred_;
    std::map<int, Signal> signals_;
    bool stopped_ = false;
};

std::unique_ptr<Watch> SdLoop::watch(int fd, bool read, bool write, std::move_only_function<void(Ready)> on) {
    auto out = std::make_unique<SourceWatch<Ready>>(std::move(on));
    const std::uint32_t events = (read ? EPOLLIN : 0U) | (write ? EPOLLOUT : 0U);
    sd_event_source* source = nullptr;
    int error = sd_event_add_io(event_.get(), &source, fd, events, on_io, &out->callback());
    if (error == -EEXIST) {  // epoll takes a descriptor once; a duplicate is another
        UniqueFd again(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
        error = sd_event_add_io(event_.get(), &source, again.get(), events, on_io, &out->callback());
        out->take(std::move(again));
    }
    needed(error, "watching a descriptor");
    out->take(source);
    return out;
}

std::unique_ptr<Watch> SdLoop::at(Time when, std::move_only_function<void()> on) {
    auto out = std::make_unique<SourceWatch<>>(std::move(on));
    // Rounded up: at least then, never a moment before.
    const auto usec = std::chrono::ceil<std::chrono::microseconds>(when.time_since_epoch()).count();
    constexpr std::uint64_t kAccuracy = 1;  // microseconds; sd-event's default is 250 ms
    sd_event_source* source = nullptr;
    needed(sd_event_add_time(event_.get(), &source, CLOCK_BOOTTIME, static_cast<std::uint64_t>(std::max<long>(usec, 0)),
                             kAccuracy, on_time, &out->callback()),
           "making a timer");
    out->take(source);
    return out;
}

// Those that are there now; what they defer runs in the next turn.
void SdLoop::run_deferred() {
    for (std::size_t left = deferred_.size(); left > 0 && !stopped_; --left) {
        auto on = std::move(deferred_.front());
        deferred_.pop_front();
        on();
    }
}

class SdLoop::SignalWatch : public Watch {
public:
    explicit SignalWatch(std::shared_ptr<Callback<>> callback) : callback_(std::move(callback)) {}
    ~SignalWatch() override { callback_->alive = false; }

private:
    std::shared_ptr<Callback<>> callback_;
};

std::unique_ptr<Watch> SdLoop::on_signal(int number, std::move_only_function<void()> on) {
    Signal& signal = signals_[number];
    if (!signal.source) {
        sigset_t one;
        sigemptyset(&one);
        sigaddset(&one, number);
        needed(-::pthread_sigmask(SIG_BLOCK, &one, nullptr), "blocking a signal");
        sd_event_source* source = nullptr;
        needed(sd_event_add_signal(event_.get(), &source, number, on_signalled, this), "watching a signal");
        signal.source.reset(source);
    }
    std::erase_if(signal.callbacks, [](const auto& old) { return !old->alive; });
    signal.callbacks.push_back(std::make_shared<Callback<>>(std::move(on)));
    return std::make_unique<SignalWatch>(signal.callbacks.back());
}

int SdLoop::on_signalled(sd_event_source* source, const signalfd_siginfo*, void* data) {
    auto& self = *static_cast<SdLoop*>(data);
    const auto callbacks = self.signals_[sd_event_source_get_signal(source)].callbacks;
    for (const auto& callback : callbacks) {
        if (callback->alive) {
            callback->call();
        }
    }
    return 0;
}

Result<void> SdLoop::run() {
    stopped_ = false;
    while (true) {
        // Not sd-event's own deferred sources: they come before all others, so that one which defers itself again
        // would keep descriptors waiting for ever.
        run_deferred();
        if (stopped_) {
            return {};
        }
        // Then all that is ready, before what was put off is looked at again: with one source a turn, a crowd of
        // clients that put much off would keep everybody else waiting for the whole of it, once for each of them.
        std::uint64_t longest = deferred_.empty() ? UINT64_MAX : 0;
        for (unsigned left = kSourcesATurn; left > 0 && !stopped_; --left) {
            const int dispatched = sd_event_run(event_.get(), std::exchange(longest, 0));
            if (dispatched < 0) {
                return fail_errno("event loop", -dispatched);
            }
            if (dispatched == 0) {
                break;
            }
        }
    }
}

}  // namespace

Result<std::unique_ptr<Loop>> make_loop() {
    sd_event* event = nullptr;
    if (const int error = sd_event_new(&event); error < 0) {
        return fail_errno("event loop", -error);
    }
    return std::make_unique<SdLoop>(event);
}

}  // namespace bascule::kernel::os
