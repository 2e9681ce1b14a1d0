// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "daemon/host.h"
#include "vmm/capabilities.h"

namespace bascule::daemon {

// What the installed QEMU says of itself. Asked once, when somebody first wants to know: running it takes longer than
// starting the daemon.
class Emulator {
public:
    struct Facts {
        std::uint64_t version = 0;  // major * 1000000 + minor * 1000 + micro, as libvirt counts; 0: it did not run
        std::vector<vmm::MachineType> machines;
    };
    using Asked = std::move_only_function<void(const Facts&)>;

    Emulator(Host& host, std::string program) : host_(host), program_(std::move(program)) {}
    void ask(Asked asked);

private:
    void run(const std::vector<std::string>& args, std::function<void(std::string)> then);
    void answer();

    Host& host_;
    std::string program_;
    Facts facts_;
    bool known_ = false;
    std::vector<Asked> waiting_;
    UniqueFd output_;
    std::unique_ptr<kernel::Process> process_;
    std::unique_ptr<kernel::Watch> watch_;
};

// "QEMU emulator version 7.2.22 (Debian …)" gives 7002022; 0 for anything else.
std::uint64_t parse_qemu_version(std::string_view text);

}  // namespace bascule::daemon
