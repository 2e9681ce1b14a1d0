// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/hooks.h"

#include "base/xml.h"
#include "kernel/linux/facts.h"

namespace bascule::daemon {

std::vector<std::string> Hooks::programs() const {
    const std::string base = "/etc/bascule/hooks/" + driver_;
    std::vector<std::string> out;
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

Result<std::vector<Errand>> Hooks::errands(const std::string& name, const std::string& operation,
                                           const std::string& suboperation, const std::string& documents) const {
    std::vector<Errand> out;
    for (const std::string& program : programs()) {
        xml::Writer w;
        w.open("hookData");
        w.raw(documents);
        w.close();
        TRY(UniqueFd input, kernel::os::input_file(w.take()));
        // The shell makes of descriptor 3 its input, and becomes the program.
        kernel::Command command{
            .program = "/bin/sh",
            .args = {"-c", "exec \"$0\" \"$@\" <&3 3<&-", program, name, operation, suboperation, "-"},
            .environment = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
            .uid = {},
            .gid = {},
            .groups = {},
            .fds = {}};
        out.push_back({"hook " + program, std::move(command), std::move(input)});
    }
    return out;
}

void Hooks::run(const std::string& name, const std::string& operation, const std::string& suboperation,
                const std::string& documents, Done done) {
    auto found = errands(name, operation, suboperation, documents);
    if (!found) {
        return done(std::unexpected(std::move(found).error().in("hook")));
    }
    if (found->empty()) {
        return done({});
    }
    const unsigned id = ++last_;
    auto chain = std::make_unique<CommandChain>(
        host_.spawner, host_.loop, std::move(*found), kTime,
        [this, id, call = std::move(done)](Result<void> ran) mutable {
            host_.loop.defer([this, id] { jobs_.erase(id); });
            call(ran ? Result<void>() : fail(Code::invalid_state, std::move(ran).error().message));
        });
    CommandChain& running = *chain;
    jobs_.emplace(id, std::move(chain));
    running.run();
}

}  // namespace bascule::daemon
