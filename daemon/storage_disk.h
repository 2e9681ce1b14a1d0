// SPDX-License-Identifier: GPL-2.0-or-later
// What the storage use cases ask of the host: looking at files, and running programs. The functions are for a Worker.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "daemon/host.h"
#include "kernel/linux/command.h"
#include "kernel/linux/disk_files.h"
#include "storage/plan.h"
#include "storage/spec.h"

namespace bascule::daemon {

namespace os = kernel::os;

template <class T>
using Reply = std::move_only_function<void(Result<T>)>;

// What a pool holds. `unfinished`: files that a daemon was making when it died.
struct Survey {
    storage::Room room;
    std::optional<storage::Permissions> permissions;
    std::vector<storage::Volume> volumes;
    std::vector<std::string> unfinished;
};
Result<Survey> survey_folder(const std::string& folder);
Result<storage::Room> room_of(const std::string& folder);
// Code::no_storage_vol where there is nothing that can be a volume.
Result<storage::Volume> look_at_volume(const std::string& path);

// Files whose name is known to belong to volumes: below these folders, or these paths.
struct Managed {
    std::set<std::string> folders, paths;
    bool has(const std::string& path) const;
};
// All files that an image of that format builds on, itself first. Only a format that is recorded, or that the caller
// vouches for (`told`), is trusted to name another file, and that must be a volume.
Result<std::vector<std::string>> chain_of(const std::string& path, storage::Format format, bool told,
                                          const Managed& managed);

// A new, empty file that is marked as unfinished until finish_file().
Result<void> begin_file(const std::string& folder, const std::string& name);
Result<storage::Volume> finish_file(const std::string& path, storage::Format format,
                                    const storage::Permissions& permissions);
void drop_unfinished(const std::string& folder, const std::string& name);
os::Ownership ownership_of(const storage::Permissions& permissions);

// Programs that run beside the loop.
class Tools {
public:
    explicit Tools(Host& host) : host_(host) {}
    // One after the other; `then` gets what the last one printed, or the first error.
    void run(std::vector<storage::Run> runs, std::chrono::seconds limit, Reply<std::string> then);

private:
    kernel::Command command_of(const storage::Run& run, std::chrono::seconds limit) const;

    Host& host_;
    std::map<std::uint64_t, std::unique_ptr<os::Running>> running_;
    std::uint64_t next_ = 1;
};

}  // namespace bascule::daemon
