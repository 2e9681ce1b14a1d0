// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "kernel/io.h"
#include "kernel/linux/command.h"

namespace bascule::daemon {

// A program to run, and what it is for, in an error's words.
struct Errand {
    std::string what;
    kernel::Command command;
    UniqueFd input{};  // given to it as descriptor 3, where there is one
};

// Programs one after another, each to its end; the first that fails ends it. `done` comes from the loop, or at once
// when there is nothing to run. Destroying the chain ends what runs and forgets `done`.
class CommandChain {
public:
    CommandChain(kernel::Spawner& spawner, kernel::Loop& loop, std::vector<Errand> errands, std::chrono::seconds each,
                 std::move_only_function<void(Result<void>)> done)
        : spawner_(spawner),
          loop_(loop),
          errands_(std::make_move_iterator(errands.begin()), std::make_move_iterator(errands.end())),
          each_(each),
          done_(std::move(done)) {}
    void run();  // once; may destroy the chain

private:
    kernel::Spawner& spawner_;
    kernel::Loop& loop_;
    std::deque<Errand> errands_;
    std::chrono::seconds each_;
    std::move_only_function<void(Result<void>)> done_;
    std::unique_ptr<kernel::os::Running> running_;
};

}  // namespace bascule::daemon
