// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "vmm/spec.h"

namespace bascule::vmm {

// All that a new daemon needs to take over a running guest: /run/bascule/guests/NAME.json.
// libvirt's time-outs of a guest's agent that are no seconds: as long as it takes, and whatever fits the question.
inline constexpr int kAgentBlock = -2, kAgentDefault = -1;

struct Live {
    Spec spec;  // with its live members
    int id = 0;
    int pid = 0;
    std::string executable{};  // what /proc/PID/exe must show
    std::string monitor{};     // path of the QMP socket
    bool persistent = true;    // false: made by create, gone when it stops
    int agent_timeout = kAgentDefault;
    bool operator==(const Live&) const = default;
};

// JSON, one object, "version": 1. The spec is inside as its XML.
std::string to_text(const Live& live);
Result<Live> live_from_text(std::string_view text);

}  // namespace bascule::vmm
