// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/host.h"
#include "vmm/probe.h"
#include "vmm/spec.h"

namespace bascule::daemon {

// What the installed QEMU says of itself, by accelerator. Asked when somebody first wants to know, and again when the
// program has become another one: running it takes longer than starting the daemon. It runs as guests do: as their
// user, under their sandbox.
class Emulator {
public:
    struct Account {
        std::uint32_t uid = 0, gid = 0;
        std::vector<std::uint32_t> groups{};  // for /dev/kvm
    };
    using Facts = std::shared_ptr<const vmm::EmulatorFacts>;
    using Asked = std::move_only_function<void(Result<Facts>)>;

    Emulator(Host& host, std::string program, Account account)
        : host_(host), program_(std::move(program)), account_(std::move(account)) {}

    const std::string& program() const { return program_; }
    // Answers at once when it is known, later otherwise. Under KVM an answer means that guests can use it.
    void ask(vmm::Accelerator accelerator, Asked asked);
    // KVM where it can be used, else TCG.
    void ask_best(std::move_only_function<void(vmm::Accelerator, const Result<Facts>&)> asked);

private:
    struct Asking {
        std::string stamp{};  // of the program that is being asked
        std::vector<Asked> waiting{};
        std::unique_ptr<kernel::Process> process{};
        std::unique_ptr<kernel::Watch> patience{};
        std::shared_ptr<vmm::Probe> probe{};
    };
    struct Known {
        std::string stamp{};
        Result<Facts> facts;
    };
    struct Leaving {  // a process that is to be seen off
        std::unique_ptr<kernel::Process> process;
        std::unique_ptr<kernel::Watch> watch;
    };

    std::string stamp(vmm::Accelerator accelerator) const;
    void see_off(std::unique_ptr<kernel::Process> process);
    Result<void> start(vmm::Accelerator accelerator, Asking& asking);
    void answered(vmm::Accelerator accelerator, Result<vmm::EmulatorFacts> facts);

    Host& host_;
    std::string program_;
    Account account_;
    std::map<vmm::Accelerator, Known> known_;
    std::map<vmm::Accelerator, Asking> asking_;
    std::map<int, Leaving> leaving_;  // by process id
};

}  // namespace bascule::daemon
