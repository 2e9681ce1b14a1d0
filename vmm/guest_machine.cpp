// SPDX-License-Identifier: GPL-2.0-or-later
// What happens to a guest that is there, and how it goes: events, death, destroy.
#include "vmm/guest_machine.h"

#include <csignal>
#include <utility>

#include <fmt/format.h>

namespace bascule::vmm {

namespace {

using namespace std::chrono_literals;

// How long a QEMU may take from SIGTERM to its end, and from SIGKILL to it: the second can only be the kernel, busy
// with a device.
constexpr auto kTermPatience = 5s;
constexpr auto kKillPatience = 10s;
// From a closed monitor to the end of its process: QEMU gives the guest's memory back in between.
constexpr auto kLingering = 2s;

}  // namespace

// ---- what happens to it ------------------------------------------------------------------------

void Guest::Machine::on_event(const qmp::Event& event) {
    if (const auto told = callbacks_.monitor_event) {
        // Names and texts are QEMU's, and so perhaps a guest's: bytes that are no UTF-8 are replaced.
        told(qmp::printable(event.name, 100),
             event.data.empty() ? "" : event.data.dump(-1, ' ', false, qmp::Json::error_handler_t::replace));
    }
    if (event.name == "SHUTDOWN") {
        on_shutdown(event);
    } else if (event.name == "VSERPORT_CHANGE") {
        on_port_change(event);
    } else if (event.name == "DUMP_COMPLETED") {
        on_dump_completed(event);
    } else if (phase_ != Phase::up || !shutdown_cause_.empty()) {
        return;  // STOP and RESUME of a start, and of the way down
    } else if (event.name == "RESET" && qmp::flag_of(event.data, "guest")) {
        if (const auto rebooted = callbacks_.rebooted) {
            rebooted();
        }
    } else if (event.name == "BALLOON_CHANGE") {
        on_balloon(event);
    } else if (restarting_ && (event.name == "STOP" || event.name == "RESUME")) {
        restarting_ = event.name == "STOP";
    } else if (event.name == "STOP") {
        set_status({State::paused, pause_asked_ ? reason::kPausedUser : reason::kPausedUnknown});
    } else if (event.name == "RESUME") {
        set_status({State::running, reason::kRunningUnpaused});
    } else if (event.name == "SUSPEND") {
        set_status({State::pmsuspended, reason::kPmSuspendedUnknown});
    } else if (event.name == "WAKEUP") {
        set_status({State::running, reason::kRunningWakeup});
    }
}

void Guest::Machine::on_shutdown(const qmp::Event& event) {
    if (reboot_asked_ && phase_ == Phase::up && !destroy_asked_ && qmp::flag_of(event.data, "guest")) {
        start_again();
        return;
    }
    const std::string why = qmp::text_of(event.data, "reason");
    shutdown_cause_ = why.empty() ? "unknown" : qmp::printable(why, 100);
    if (phase_ == Phase::up && !destroy_asked_) {
        set_status({State::shutdown, reason::kShutdownUser});
    }
}

void Guest::Machine::on_port_change(const qmp::Event& event) {
    const std::string id = qmp::text_of(event.data, "id");
    const bool open = qmp::flag_of(event.data, "open");
    for (std::size_t i = 0; i < live_.spec.channels.size(); ++i) {
        auto& live = live_.spec.channels[i].live;
        if (channel_alias(live_.spec, i) != id || !live || live->connected == open) {
            continue;
        }
        live->connected = open;
        if (const auto tell = callbacks_.channel_changed; tell && phase_ == Phase::up) {
            tell(i);
        }
        return;
    }
}

void Guest::Machine::on_monitor_lost(const Error& error) {
    if (phase_ == Phase::starting || phase_ == Phase::attaching) {
        // The monitor closes when QEMU gives up: its log says more than "closed".
        opening_failed(error.code == Code::unreachable ? Error{Code::internal, "QEMU ended", 0} : error);
        return;
    }
    dumped(fail(Code::unreachable, "QEMU's monitor is gone before it said that the guest's memory is written"));
    if (phase_ != Phase::up || destroy_asked_ || !shutdown_cause_.empty()) {
        return;
    }
    // Closed usually means that the process is about to go: then `ended` tells, and this is not worth a word.
    lost_notice_ = deps_.loop.at(deps_.loop.clock().now() + kLingering, [weak = weak_from_this(), error] {
        const auto self = weak.lock();
        const auto lost = self ? self->callbacks_.monitor_lost : nullptr;
        if (lost && self->phase_ == Phase::up) {
            lost(error);
        }
    });
}

void Guest::Machine::on_exit() {
    const auto self = shared_from_this();
    process_watch_.reset();
    if (phase_ == Phase::starting || phase_ == Phase::attaching) {
        const bool starting = phase_ == Phase::starting;
        phase_ = Phase::failing;
        opening_error_ =
            starting ? Error{Code::internal, "QEMU ended", 0} : Error{Code::unreachable, "its process has ended", 0};
    } else if (phase_ == Phase::up && monitor_) {
        monitor_->drain();  // the last event says why
    }
    if (!abandoned_ && phase_ != Phase::ended) {
        ended();
    }
}

void Guest::Machine::ended() {
    const bool failed = phase_ == Phase::failing;
    phase_ = Phase::ended;
    opening_deadline_.reset();
    kill_deadline_.reset();
    lost_notice_.reset();
    if (monitor_) {
        monitor_->close();
    }
    Ended end;
    if (destroy_asked_) {
        end = {{State::shutoff, reason::kShutoffDestroyed}, "destroyed"};
    } else if (!shutdown_cause_.empty()) {
        end = {{State::shutoff, reason::kShutoffShutdown}, fmt::format("shut down ({})", shutdown_cause_)};
    } else {
        const std::string said = words();
        end = {{State::shutoff, failed ? reason::kShutoffFailed : reason::kShutoffCrashed},
               said.empty() ? "QEMU ended without a word" : "QEMU ended: " + said};
    }
    status_ = end.status;
    // From here on the Guest may be destroyed by any callback: everything needed is taken out first.
    auto destroyers = std::exchange(destroyers_, {});
    auto dump_done = std::exchange(dump_done_, nullptr);
    if (failed) {
        const std::string said = words();
        Error error = std::move(opening_error_);
        error.message += said.empty() ? "" : ": " + said;
        finish_opening(std::unexpected(std::move(error)));
    } else if (const auto tell = callbacks_.ended) {
        tell(std::move(end));
    }
    for (Done& done : destroyers) {
        done({});
    }
    if (dump_done) {
        dump_done(fail(Code::invalid_state, "the guest ended before its memory was written"));
    }
}

void Guest::Machine::set_status(Status status) {
    if (phase_ != Phase::up || status_.state == status.state) {
        return;
    }
    status_ = status;
    if (const auto changed = callbacks_.changed) {
        changed(status);
    }
}

// ---- destroy -----------------------------------------------------------------------------------

void Guest::Machine::destroy(bool graceful, Done done) {
    if (!active()) {
        later([done = std::move(done)](Machine&) mutable {
            done(fail(Code::invalid_state, "the guest is not running"));
        });
        return;
    }
    destroyers_.push_back(std::move(done));
    destroy_asked_ = true;
    if (phase_ == Phase::starting) {
        later([](Machine& m) { m.opening_failed({Code::invalid_state, "destroyed while it was being started", 0}); });
        return;
    }
    if (phase_ == Phase::attaching && !process_) {
        return;  // the attach is about to say so, and ended() with it
    }
    if (phase_ == Phase::failing) {
        return;  // on its way
    }
    terminate(graceful);
}

void Guest::Machine::terminate(bool graceful) {
    // An error here can only mean that the process is gone, and then the pidfd says so too.
    (void)process_->signal(SIGTERM);
    const auto weak = weak_from_this();
    kill_deadline_ = deps_.loop.at(deps_.loop.clock().now() + kTermPatience, [weak = weak_from_this(), graceful] {
        const auto self = weak.lock();
        if (self && graceful) {
            self->destroy_answered(fail(Code::timeout, "QEMU did not end on SIGTERM; destroy it without 'graceful'"));
        } else if (self) {
            self->kill();
        }
    });
}

void Guest::Machine::kill() {
    (void)process_->signal(SIGKILL);
    kill_deadline_ = deps_.loop.at(deps_.loop.clock().now() + kKillPatience, [weak = weak_from_this()] {
        if (const auto self = weak.lock()) {
            self->destroy_answered(fail(
                Code::timeout, fmt::format("process {} did not end on SIGKILL: the kernel holds it", self->pid())));
        }
    });
}

// Whoever waits is told; with an error the process is still there, and they may try again.
void Guest::Machine::destroy_answered(Result<void> result) {
    kill_deadline_.reset();
    destroy_asked_ = false;
    auto destroyers = std::exchange(destroyers_, {});
    if (phase_ == Phase::failing && !result) {
        Error error = opening_error_;
        error.message += "; " + result.error().message;
        finish_opening(std::unexpected(std::move(error)));
    }
    for (Done& done : destroyers) {
        done(result);
    }
}

// ---- small things ------------------------------------------------------------------------------

std::string Guest::Machine::words() const {
    std::string text = last_words_ ? last_words_() : std::string();
    while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) {
        text.pop_back();
    }
    constexpr std::size_t kMost = 1000;
    return qmp::printable(text.size() > kMost ? std::string_view(text).substr(text.size() - kMost) : text, kMost);
}

void Guest::Machine::later(std::move_only_function<void(Machine&)> what) {
    deps_.loop.defer([weak = weak_from_this(), what = std::move(what)]() mutable {
        if (const auto self = weak.lock(); self && !self->abandoned_) {
            what(*self);
        }
    });
}

void Guest::Machine::abandon() {
    abandoned_ = true;
    callbacks_ = {};
    opening_ = nullptr;
    destroyers_.clear();
    dump_done_ = nullptr;
    steps_.clear();
    process_watch_.reset();
    opening_deadline_.reset();
    kill_deadline_.reset();
    lost_notice_.reset();
    if (monitor_) {
        monitor_->close();
    }
}

}  // namespace bascule::vmm
