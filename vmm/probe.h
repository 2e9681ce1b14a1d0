// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <memory>

#include "kernel/io.h"
#include "vmm/capabilities.h"
#include "vmm/cpu_models.h"
#include "vmm/monitor.h"

namespace bascule::vmm {

// What one QEMU says of itself under one accelerator.
struct EmulatorFacts {
    std::uint64_t version = 0;  // major * 1000000 + minor * 1000 + micro, as libvirt counts; 0: it did not answer
    std::vector<MachineType> machines{};
    CpuModels cpus{};
};

// The arguments of a QEMU that is only to be asked: no machine, its monitor on the listening descriptor `fd`.
std::vector<std::string> probe_arguments(std::string_view accelerator, int fd);

// Asks a QEMU that was started so, over its monitor: version, machine types, processor models and the features of each.
// One question after the other; `done` is called once, from the loop, and may drop the probe. A QEMU that stops
// answering ends it with an error.
class Probe : public std::enable_shared_from_this<Probe> {
public:
    using Done = std::move_only_function<void(Result<EmulatorFacts>)>;
    // `best`: the model of all that a guest can have, "host" under KVM and "max" under TCG.
    static std::shared_ptr<Probe> over(kernel::Loop& loop, std::unique_ptr<kernel::Stream> stream, std::string best,
                                       Done done);

private:
    explicit Probe(std::string best, Done done) : best_(std::move(best)), done_(std::move(done)) {}

    void ask(std::string_view command, const qmp::Json& arguments, std::function<Result<void>(const qmp::Json&)> use,
             std::move_only_function<void()> next);
    void expand(std::size_t model);
    Result<void> use_version(const qmp::Json& answer);
    Result<void> use_machines(const qmp::Json& answer);
    Result<void> use_models(const qmp::Json& answer);
    void finish(Result<void> result);

    std::shared_ptr<Monitor> monitor_;
    std::string best_;
    Done done_;
    EmulatorFacts facts_;
    std::vector<CpuModel> models_;  // still to be expanded
};

}  // namespace bascule::vmm
