// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/guest_disks.h"

#include <memory>
#include <utility>

#include <fmt/format.h>

#include "daemon/storage_disk.h"

namespace bascule::daemon {

namespace {

using Then = std::move_only_function<void(DiskReports)>;

// What is asked of several guests at once, and what has come of it. Held by every question: the last one that is
// answered, or forgotten because its guest is gone, lets it go.
struct Gathering {
    Then then;
    DiskReports reports;

    Gathering(Then what, DiskReports known) : then(std::move(what)), reports(std::move(known)) {}
    Gathering(const Gathering&) = delete;
    Gathering& operator=(const Gathering&) = delete;
    ~Gathering() { then(std::move(reports)); }
};

struct Wanted {
    Uuid uuid;
    std::vector<vmm::Disk> disks;
};

DiskReports measure(const std::vector<Wanted>& wanted) {
    DiskReports out;
    for (const auto& [uuid, disks] : wanted) {
        for (const vmm::Disk& disk : disks) {
            DiskReport& report = out[uuid].emplace_back(disk.target, disk.source);
            if (const auto size = disk.source.empty() ? fail(Code::invalid_state, "no medium")
                                                      : size_of_image(disk.source, disk.format)) {
                report.size = *size;
            }
        }
    }
    return out;
}

void count(const Guests& guests, DiskReports known, Then then) {
    const auto gathering = std::make_shared<Gathering>(std::move(then), std::move(known));
    for (const auto& [uuid, disks] : gathering->reports) {
        const auto domain = guests.running(uuid);
        if (!domain) {
            continue;
        }
        auto& mine = gathering->reports[uuid];
        (*domain)->guest->disk_counters([gathering, &mine](Result<std::vector<std::optional<vmm::DiskCounters>>> said) {
            for (std::size_t i = 0; said && i < std::min(said->size(), mine.size()); ++i) {
                mine[i].counters = (*said)[i];
            }
        });
    }
}

}  // namespace

Result<ImageSize> size_of_image(const std::string& path, vmm::Disk::Format format) {
    TRY(const storage::Volume volume, look_at_volume(path));
    // What a raw image begins with is the guest's: it says nothing about the image.
    const std::uint64_t length = volume.physical.value_or(volume.capacity);
    const bool raw = format == vmm::Disk::Format::raw;
    return ImageSize{raw ? length : volume.capacity, volume.allocation, length};
}

Result<std::size_t> find_disk(const vmm::Spec& spec, const std::string& name) {
    for (std::size_t i = 0; i < spec.disks.size(); ++i) {
        if (!name.empty() && (spec.disks[i].target == name || spec.disks[i].source == name)) {
            return i;
        }
    }
    return fail(Code::invalid_argument, fmt::format("invalid path {} not assigned to domain", name));
}

void report_disks(const Guests& guests, kernel::Worker& files, const std::vector<Uuid>& which, Then then) {
    std::vector<Wanted> wanted;
    for (const Uuid& uuid : which) {
        const auto domain = guests.by_uuid(uuid);
        if (domain && !(*domain)->shown().disks.empty()) {
            wanted.push_back({uuid, (*domain)->shown().disks});
        }
    }
    kernel::run_on(
        files, [wanted = std::move(wanted)] { return measure(wanted); },
        [&guests, then = std::move(then)](DiskReports known) mutable {
            count(guests, std::move(known), std::move(then));
        });
}

}  // namespace bascule::daemon
