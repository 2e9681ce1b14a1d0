// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/guest.h"

#include <fmt/format.h>

#include "vmm/guest_machine.h"

namespace bascule::vmm {

Guest::Guest(Deps deps, Callbacks callbacks)
    : machine_(std::make_shared<Machine>(std::move(deps), std::move(callbacks))) {}

Guest::~Guest() { machine_->abandon(); }

void Guest::start(StartPlan plan, Done done) { machine_->start(std::move(plan), std::move(done)); }
void Guest::attach(Live live, Done done) { machine_->attach(std::move(live), std::move(done)); }
void Guest::destroy(bool graceful, Done done) { machine_->destroy(graceful, std::move(done)); }
void Guest::suspend(Done done) { machine_->suspend(std::move(done)); }
void Guest::resume(Done done) { machine_->resume(std::move(done)); }
void Guest::reset(Done done) { machine_->command("system_reset", nullptr, std::move(done)); }
void Guest::press_power_button(Done done) { machine_->press_power_button(std::move(done)); }
void Guest::reboot(Done done) { machine_->reboot(std::move(done)); }
void Guest::set_link(std::size_t index, bool up, Done done) { machine_->set_link(index, up, std::move(done)); }

Status Guest::status() const { return machine_->status(); }
bool Guest::active() const { return machine_->active(); }
int Guest::pid() const { return machine_->pid(); }
const Spec& Guest::spec() const { return machine_->live().spec; }
Spec& Guest::spec() { return machine_->live().spec; }
Live Guest::live() const { return machine_->live(); }

Result<std::string> Guest::console_path() const {
    if (!active()) {
        return fail(Code::invalid_state, "the guest is not running");
    }
    if (spec().serials.empty() || spec().serials.front().tty.empty()) {
        return fail(Code::invalid_state, "the guest has no console: its definition has neither <console> nor <serial>");
    }
    return spec().serials.front().tty;
}

// ---- commands ----------------------------------------------------------------------------------

Result<void> Guest::Machine::ready_for_commands() const {
    if (phase_ != Phase::up || destroy_asked_) {
        return fail(Code::invalid_state, "the guest is not running");
    }
    if (!monitor_ || monitor_->lost()) {
        return fail(Code::unreachable, fmt::format("QEMU's monitor is gone: {}",
                                                   monitor_ ? monitor_->failure().message : "it was never there"));
    }
    return {};
}

void Guest::Machine::ask(std::string_view name, const qmp::Json& arguments, Monitor::Answer answer, UniqueFd fd) {
    if (const auto ready = ready_for_commands(); !ready) {
        later([answer = std::move(answer), ready](Machine&) mutable { answer(std::unexpected(ready.error())); });
        return;
    }
    monitor_->execute(name, arguments, std::move(answer), std::chrono::seconds(30), std::move(fd));
}

void Guest::Machine::command(std::string_view name, const qmp::Json& arguments, Done done) {
    ask(name, arguments, [done = std::move(done)](Result<qmp::Json> answer) mutable {
        done(answer ? Result<void>() : std::unexpected(std::move(answer).error()));
    });
}

void Guest::Machine::suspend(Done done) {
    if (status_.state == State::paused) {
        later([done = std::move(done)](Machine& m) mutable { done(m.ready_for_commands()); });
        return;
    }
    pause_asked_ = true;
    const auto weak = weak_from_this();
    command("stop", nullptr, [weak, done = std::move(done)](Result<void> result) mutable {
        if (const auto self = weak.lock()) {
            self->pause_asked_ = false;
            if (result) {
                self->set_status({State::paused, reason::kPausedUser});
            }
        }
        done(std::move(result));
    });
}

void Guest::Machine::resume(Done done) {
    if (phase_ == Phase::up && status_.state == State::running) {
        later([done = std::move(done)](Machine&) mutable {
            done(fail(Code::invalid_state, "the guest is already running"));
        });
        return;
    }
    const auto weak = weak_from_this();
    command("cont", nullptr, [weak, done = std::move(done)](Result<void> result) mutable {
        if (const auto self = weak.lock(); self && result) {
            self->set_status({State::running, reason::kRunningUnpaused});
        }
        done(std::move(result));
    });
}

void Guest::Machine::set_link(std::size_t index, bool up, Done done) {
    if (index >= live_.spec.interfaces.size()) {
        later([done = std::move(done)](Machine&) mutable {
            done(fail(Code::invalid_argument, "the guest has no such interface"));
        });
        return;
    }
    const auto weak = weak_from_this();
    command("set_link", {{"name", nic_alias(live_.spec, index)}, {"up", up}},
            [weak, index, up, done = std::move(done)](Result<void> result) mutable {
                const auto self = weak.lock();
                if (self && result && index < self->live_.spec.interfaces.size()) {
                    Interface& nic = self->live_.spec.interfaces[index];
                    nic.link_up = up;
                    nic.link_state = up;
                }
                done(std::move(result));
            });
}

}  // namespace bascule::vmm
