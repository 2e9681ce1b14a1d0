// SPDX-License-Identifier: GPL-2.0-or-later
// Who decides what a local process may do: polkit, behind an interface.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace bascule::kernel {

// A process of this host. Its number alone could be a later one's: the time it started tells.
struct LocalProcess {
    int pid = 0;
    std::uint64_t start_time = 0;  // ticks since boot
    std::uint32_t uid = 0;
};

struct Question {
    std::string action;  // "org.libvirt.unix.manage"
    std::vector<std::pair<std::string, std::string>> details;
    LocalProcess who;
    bool may_ask_user = false;  // for a password, through the agent of his session
};

class Authority {
public:
    virtual ~Authority() = default;
    // The answer comes later and once, also when nobody answers. Code::auth_failed: no; auth_cancelled: the user
    // would not prove who he is; auth_unavailable: he could not be asked; unreachable: nobody is there to decide.
    using Done = std::move_only_function<void(Result<void>)>;
    virtual void ask(const Question& question, Done done) = 0;
};

}  // namespace bascule::kernel
