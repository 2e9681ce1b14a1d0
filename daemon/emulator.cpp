// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/emulator.h"

#include <csignal>

#include <fmt/format.h>

#include "base/log.h"
#include "kernel/linux/host.h"
#include "kernel/linux/stream.h"

namespace bascule::daemon {

namespace os = kernel::os;

namespace {
// A hundred questions on a slow and busy host.
constexpr std::chrono::seconds kPatience{60};
constexpr int kFirstChildFd = 3;  // kernel/io.h, Command::fds

std::string_view name_of(vmm::Accelerator accelerator) { return accelerator == vmm::Accelerator::kvm ? "kvm" : "tcg"; }
}  // namespace

// What its answer rests on. That it cannot run is an answer, too, and good for as long.
std::string Emulator::stamp(vmm::Accelerator accelerator) const {
    return os::file_stamp(program_) + (accelerator == vmm::Accelerator::kvm ? os::file_stamp("/dev/kvm") : "");
}

void Emulator::ask_best(std::move_only_function<void(vmm::Accelerator, const Result<Facts>&)> asked) {
    if (os::file_stamp("/dev/kvm").empty()) {
        ask(vmm::Accelerator::tcg,
            [asked = std::move(asked)](const Result<Facts>& facts) mutable { asked(vmm::Accelerator::tcg, facts); });
        return;
    }
    ask(vmm::Accelerator::kvm, [this, asked = std::move(asked)](const Result<Facts>& facts) mutable {
        if (facts) {
            asked(vmm::Accelerator::kvm, facts);
            return;
        }
        ask(vmm::Accelerator::tcg,
            [asked = std::move(asked)](const Result<Facts>& other) mutable { asked(vmm::Accelerator::tcg, other); });
    });
}

void Emulator::ask(vmm::Accelerator accelerator, Asked asked) {
    const std::string stamp = this->stamp(accelerator);
    if (const auto known = known_.find(accelerator); known != known_.end() && known->second.stamp == stamp) {
        asked(known->second.facts);
        return;
    }
    if (const auto asking = asking_.find(accelerator); asking != asking_.end()) {
        asking->second.waiting.push_back(std::move(asked));
        return;
    }
    Asking& asking = asking_[accelerator];
    asking.stamp = stamp;
    asking.waiting.push_back(std::move(asked));
    if (auto started = start(accelerator, asking); !started) {
        answered(accelerator, std::unexpected(std::move(started).error()));
    }
}

Result<void> Emulator::start(vmm::Accelerator accelerator, Asking& asking) {
    const std::string path = fmt::format("/run/bascule/probe-{}", name_of(accelerator));
    const std::string socket = host_.files.real(path);
    TRY(const UniqueFd listener, os::listen_unix(socket));
    TRY(asking.process, host_.spawner.spawn({.program = program_,
                                             .args = vmm::probe_arguments(name_of(accelerator), kFirstChildFd),
                                             .environment = {},
                                             .uid = account_.uid,
                                             .gid = account_.gid,
                                             .groups = account_.groups,
                                             .fds = {listener.get()}}));
    auto stream = os::connect_unix(socket);
    TRY_OK(host_.files.remove(path));
    if (!stream) {
        return std::unexpected(std::move(stream).error());
    }
    asking.patience = host_.loop.at(host_.loop.clock().now() + kPatience, [this, accelerator] {
        answered(accelerator, fail(Code::timeout, "it does not answer"));
    });
    asking.probe = vmm::Probe::over(
        host_.loop, std::move(*stream), accelerator == vmm::Accelerator::kvm ? "host" : "max",
        [this, accelerator](Result<vmm::EmulatorFacts> facts) { answered(accelerator, std::move(facts)); });
    return {};
}

void Emulator::answered(vmm::Accelerator accelerator, Result<vmm::EmulatorFacts> facts) {
    Asking asking = std::move(asking_[accelerator]);
    asking_.erase(accelerator);
    if (asking.process) {
        see_off(std::move(asking.process));
    }
    Result<Facts> result = fail(Code::internal, "");
    if (facts) {
        result = std::make_shared<const vmm::EmulatorFacts>(std::move(*facts));
    } else {
        log::info("{} cannot be asked about itself under {}: {}", program_, name_of(accelerator),
                  facts.error().message);
        result = std::unexpected(
            std::move(facts).error().in(fmt::format("{} cannot be asked: is qemu-system-x86 installed?", program_)));
    }
    known_.insert_or_assign(accelerator, Known{.stamp = asking.stamp, .facts = result});
    for (Asked& asked : asking.waiting) {
        asked(result);
    }
    // The probe's own callback may be running: it goes from the loop.
    host_.loop.defer([asking = std::make_shared<Asking>(std::move(asking))] {});
}

void Emulator::see_off(std::unique_ptr<kernel::Process> process) {
    (void)process->signal(SIGKILL);  // it has nothing to lose
    const int pid = process->pid();
    auto watch = host_.loop.watch(process->pidfd(), true, false, [this, pid](kernel::Ready) {
        (void)leaving_.at(pid).process->running();
        leaving_.erase(pid);
    });
    leaving_[pid] = {.process = std::move(process), .watch = std::move(watch)};
}

}  // namespace bascule::daemon
