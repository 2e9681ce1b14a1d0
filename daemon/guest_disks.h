// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "daemon/guests.h"

namespace bascule::daemon {

// Bytes: what the guest sees, what the image takes on the host, how long the file is.
struct ImageSize {
    std::uint64_t capacity = 0, allocation = 0, physical = 0;
};

struct DiskReport {
    std::string target{}, source{};  // as in the definition; a drive without a medium has no source
    std::optional<vmm::DiskCounters> counters{};
    std::optional<ImageSize> size{};

    DiskReport(std::string disk, std::string image) : target(std::move(disk)), source(std::move(image)) {}
};
using DiskReports = std::map<Uuid, std::vector<DiskReport>>;

// The disks of these guests: the counters of QEMU where it runs, and the images as they are now. Answers once, when the
// last is known; what cannot be had is left out. A guest that is gone by then is not in the answer.
void report_disks(const Guests& guests, kernel::Worker& files, const std::vector<Uuid>& which,
                  std::move_only_function<void(DiskReports)> then);

// The size of one image. May take as long as the disk does: call it on a Worker.
Result<ImageSize> size_of_image(const std::string& path, vmm::Disk::Format format);

// The disk that a client means by its target or by the path of its image.
Result<std::size_t> find_disk(const vmm::Spec& spec, const std::string& name);

}  // namespace bascule::daemon
