// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/hooks.h"

#include <fmt/format.h>

#include "base/xml.h"

namespace bascule::daemon {

std::deque<std::string> Hooks::programs() const {
    const std::string base = "/etc/bascule/hooks/" + driver_;
    std::deque<std::string> out;
    if (host_.files.exists(base)) {
        out.push_back(host_.files.real(base));
    }
    if (const auto names = host_.files.list(base + ".d")) {
        for (const std::string& name : *names) {
            out.push_back(host_.files.real(base + ".d/" + name));
        }
    }
    return out;
}

void Hooks::run(const std::string& name, const std::string& operation, const std::string& suboperation,
                const std::string& documents, Done done) {
    auto found = programs();
    if (found.empty()) {
        return done({});
    }
    const unsigned id = ++last_;
    const std::string input = fmt::format("/run/bascule/hooks/{}-{}.xml", driver_, id);
    xml::Writer w;
    w.open("hookData");
    w.raw(documents);
    w.close();
    if (auto written = host_.files.write(input, w.take()); !written) {
        return done(std::unexpected(std::move(written).error().in("hook")));
    }
    jobs_.emplace(id, Job{.programs = std::move(found),
                          .args = {name, operation, suboperation, "-"},
                          .input = input,
                          .done = std::move(done),
                          .running = {}});
    next(id);
}

void Hooks::next(unsigned id) {
    Job& job = jobs_.at(id);
    if (job.programs.empty()) {
        return finish(id, {});
    }
    const std::string program = job.programs.front();
    job.programs.pop_front();
    // The shell opens the input, and becomes the program.
    kernel::Command command{.program = "/bin/sh",
                            .args = {"-c", "exec \"$@\" <\"$0\"", host_.files.real(job.input), program},
                            .environment = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
                            .uid = {},
                            .gid = {},
                            .groups = {},
                            .fds = {}};
    command.args.insert(command.args.end(), job.args.begin(), job.args.end());
    job.running = kernel::os::run_command(
        host_.spawner, host_.loop, std::move(command), {.time = kTime},
        [this, id, program](Result<kernel::os::Output> output) {
            auto said = kernel::os::output_of("hook " + program, std::move(output));
            if (!said) {
                return finish(id, std::unexpected(Error{Code::invalid_state, std::move(said).error().message, 0}));
            }
            next(id);
        });
}

void Hooks::finish(unsigned id, Result<void> result) {
    auto job = jobs_.extract(id);
    auto done = std::move(job.mapped().done);
    if (auto gone = host_.files.remove(job.mapped().input); !gone && result) {
        result = std::unexpected(std::move(gone).error());
    }
    done(std::move(result));
}

}  // namespace bascule::daemon
