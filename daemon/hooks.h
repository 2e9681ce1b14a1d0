// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "daemon/command_chain.h"
#include "daemon/host.h"

namespace bascule::daemon {

// The administrator's programs that are told what happens, the peer's way: /etc/bascule/hooks/DRIVER, then those in
// /etc/bascule/hooks/DRIVER.d in the order of their names, each as `PROGRAM NAME OPERATION SUBOPERATION -` with
// <hookData> on its standard input. One after another; the first that fails ends it, and its words are the error.
//
// They are the administrator's own, so they run as we do, but with nothing of ours: no descriptor, an empty environment
// but for PATH, a session of their own, and half a minute. The daemon serves on meanwhile, so a hook may ask it
// something; what the hook is about waits.
class Hooks {
public:
    using Done = std::move_only_function<void(Result<void>)>;
    static constexpr std::chrono::seconds kTime{30};

    Hooks(Host& host, std::string driver) : host_(host), driver_(std::move(driver)) {}

    // `documents`: what <hookData> holds. `done` comes from the loop, or at once where there is no hook.
    void run(const std::string& name, const std::string& operation, const std::string& suboperation,
             const std::string& documents, Done done);
    // The same as errands of somebody's who has more to run; nothing where there is no hook.
    Result<std::vector<Errand>> errands(const std::string& name, const std::string& operation,
                                        const std::string& suboperation, const std::string& documents) const;

private:
    std::vector<std::string> programs() const;  // real paths

    Host& host_;
    std::string driver_;
    std::map<unsigned, std::unique_ptr<CommandChain>> jobs_;
    unsigned last_ = 0;
};

}  // namespace bascule::daemon
