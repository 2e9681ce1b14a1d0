// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/command_chain.h"

namespace bascule::daemon {

void CommandChain::run() {
    if (errands_.empty()) {
        auto done = std::move(done_);
        done({});
        return;
    }
    Errand errand = std::move(errands_.front());
    errands_.pop_front();
    const std::string program = errand.command.program;
    if (errand.input) {
        errand.command.fds.push_back(errand.input.get());
    }
    running_ =
        kernel::os::run_command(spawner_, loop_, std::move(errand.command), {.time = each_},
                                [this, program, what = std::move(errand.what)](Result<kernel::os::Output> output) {
                                    auto said = kernel::os::output_of(program, std::move(output));
                                    if (!said) {
                                        auto done = std::move(done_);
                                        done(std::unexpected(std::move(said).error().in(what)));
                                        return;
                                    }
                                    run();
                                });
}

}  // namespace bascule::daemon
