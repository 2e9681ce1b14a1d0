// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "vmm/spec.h"

namespace bascule::vmm {

// What a NIC will be given: the number of tap queues is Interface::queue_count(), and there are as many
// vhost descriptors when `vhost` (vhost/choose.h decides).
struct NicPlan {
    bool vhost = false;
    bool operator==(const NicPlan&) const = default;
};

// One descriptor that the child expects, at number 3 plus its index in Launch::slots.
struct Slot {
    enum class Kind { monitor, tap, vhost, channel };
    Kind kind = Kind::monitor;
    std::size_t index = 0;  // of the interface (tap and vhost) or the channel
    std::size_t queue = 0;  // tap and vhost
    bool operator==(const Slot&) const = default;
};

struct Launch {
    std::string program{};  // absolute
    std::vector<std::string> args{};
    std::vector<Slot> slots{};
    bool operator==(const Launch&) const = default;
};

// The command line of a completed spec (defaults.h). `nics` has one entry an interface. The guest is started
// stopped (-S); its links, balloon and run state are set over QMP by Guest. QEMU exits by itself when the guest
// powers off (no -no-shutdown), so that a power-off while the daemon is away leaves nothing running.
Result<Launch> compile(const Spec& spec, const std::vector<NicPlan>& nics);

}  // namespace bascule::vmm
