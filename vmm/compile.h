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

// The images beneath a disk's own, outermost first: what a qcow2 image refers to.
struct DiskPlan {
    struct Layer {
        Disk::Format format = Disk::Format::raw;
        bool block = false;  // a device, not a file
        bool operator==(const Layer&) const = default;
    };
    std::vector<Layer> beneath{};
    bool operator==(const DiskPlan&) const = default;
};

// One descriptor that the child expects, at number 3 plus its index in Launch::slots.
struct Slot {
    enum class Kind { monitor, tap, vhost, channel, disk, passt };
    Kind kind = Kind::monitor;
    std::size_t index = 0;  // of the interface (tap, vhost and passt), the channel or the disk
    std::size_t queue = 0;  // tap and vhost; disk: the layer, 0 is the disk's own image
    bool operator==(const Slot&) const = default;
};

struct Launch {
    std::string program{};  // absolute
    std::vector<std::string> args{};
    std::vector<Slot> slots{};
    bool operator==(const Launch&) const = default;
};

// The command line of a completed spec (defaults.h). `nics` has one entry an interface, `disks` one a disk or none at
// all, which means that no image refers to another. The guest is started
// stopped (-S); its links, balloon and run state are set over QMP by Guest. QEMU exits by itself when the guest
// powers off (no -no-shutdown), so that a power-off while the daemon is away leaves nothing running.
Result<Launch> compile(const Spec& spec, const std::vector<NicPlan>& nics, const std::vector<DiskPlan>& disks = {});

}  // namespace bascule::vmm
