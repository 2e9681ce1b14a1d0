// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/emulator.h"

#include <array>
#include <charconv>

#include "kernel/linux/facts.h"

namespace bascule::daemon {

namespace os = kernel::os;

std::uint64_t parse_qemu_version(std::string_view text) {
    constexpr std::string_view kWord = "version ";
    const auto at = text.find(kWord);
    if (at == std::string_view::npos) {
        return 0;
    }
    text.remove_prefix(at + kWord.size());
    std::array<std::uint64_t, 3> parts{};
    for (std::uint64_t& part : parts) {
        const auto [stop, ec] = std::from_chars(text.data(), text.data() + text.size(), part);
        if (ec != std::errc() || part > 999) {
            break;
        }
        text.remove_prefix(static_cast<std::size_t>(stop - text.data()));
        if (!text.starts_with('.')) {
            break;
        }
        text.remove_prefix(1);
    }
    return parts[0] * 1'000'000 + parts[1] * 1'000 + parts[2];
}

void Emulator::ask(Asked asked) {
    if (known_) {
        asked(facts_);
        return;
    }
    waiting_.push_back(std::move(asked));
    if (waiting_.size() > 1) {
        return;  // being asked already
    }
    run({"--version"}, [this](const std::string& version) {
        facts_.version = parse_qemu_version(version);
        run({"-machine", "help"}, [this](const std::string& machines) {
            facts_.machines = vmm::parse_machines(machines);
            answer();
        });
    });
}

// Runs it and hands over what it printed; empty when it cannot be run.
void Emulator::run(const std::vector<std::string>& args, std::function<void(std::string)> then) {
    auto output = os::scratch_file();
    auto process = output ? host_.spawner.spawn({.program = program_,
                                                 .args = args,
                                                 .environment = {},
                                                 .uid = std::nullopt,
                                                 .gid = std::nullopt,
                                                 .groups = {},
                                                 .fds = {},
                                                 .stdout_fd = output->get()})
                          : std::unexpected(output.error());
    if (!process) {
        host_.loop.defer([then = std::move(then)] { then({}); });
        return;
    }
    output_ = std::move(*output);
    process_ = std::move(*process);
    watch_ = host_.loop.watch(process_->pidfd(), true, false, [this, then = std::move(then)](kernel::Ready) {
        const auto next = then;  // this closure goes with the watch
        std::string text = os::read_whole(output_);
        (void)process_->running();
        process_.reset();
        watch_.reset();
        next(std::move(text));
    });
}

void Emulator::answer() {
    known_ = facts_.version != 0;  // a QEMU that is installed later is found
    for (Asked& asked : std::exchange(waiting_, {})) {
        asked(facts_);
    }
}

}  // namespace bascule::daemon
