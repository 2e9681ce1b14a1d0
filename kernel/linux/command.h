// SPDX-License-Identifier: GPL-2.0-or-later
// Running a program to its end without waiting for it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "kernel/io.h"

namespace bascule::kernel::os {

struct Output {
    int status = 0;        // as of Process::exit_status
    std::string out, err;  // as much as was allowed; more ends the program's writing with an error of its own
};

struct CommandLimits {
    std::chrono::seconds time{60};  // then it is killed: Code::timeout
    std::size_t output = std::size_t{1} << 20;
};

// A program that is running. Destroying it kills the program and forgets `done`.
class Running {
public:
    virtual ~Running() = default;
};

// `done` is called from the loop, never from inside; with an error when it could not be started or took too long.
// The command's standard output and error are ours. It may destroy the Running.
std::unique_ptr<Running> run_command(Spawner& spawner, Loop& loop, Command command, const CommandLimits& limits,
                                     std::move_only_function<void(Result<Output>)> done);

// Success, or an error of the program's last words: "qemu-img: …".
Result<std::string> output_of(const std::string& program, Result<Output> output);

}  // namespace bascule::kernel::os
