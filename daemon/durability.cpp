// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/durability.h"

#include <utility>

#include "base/log.h"
#include "kernel/linux/disk_files.h"

namespace bascule::daemon {

namespace {

Result<void> sync_all(const std::map<std::string, std::shared_ptr<UniqueFd>>& folders) {
    Result<void> out;
    for (const auto& [path, folder] : folders) {
        if (auto synced = kernel::os::sync(*folder); !synced && out) {
            out = std::unexpected(std::move(synced).error().in(path));
        }
    }
    return out;
}

}  // namespace

Durability::Durability(kernel::FileTree& files, kernel::Worker& worker) : files_(files), worker_(worker) {
    files_.sync_folders_by([this](const std::string& path, UniqueFd folder) {
        changed_.insert_or_assign(path, std::make_shared<UniqueFd>(std::move(folder)));
        run();
    });
}

Durability::~Durability() {
    files_.sync_folders_by(nullptr);
    for (const Folders& folders : {syncing_, changed_}) {
        if (auto synced = sync_all(folders); !synced) {
            log::error("{}", synced.error().message);
        }
    }
}

void Durability::run() {
    if (running_ || changed_.empty()) {
        return;
    }
    running_ = true;
    under_way_ = std::exchange(waiting_, {});
    syncing_ = std::exchange(changed_, {});
    kernel::run_on(
        worker_, [folders = syncing_] { return sync_all(folders); },
        [this](const Result<void>& result) { done(result); });
}

void Durability::done(const Result<void>& result) {
    running_ = false;
    syncing_.clear();
    if (!result) {
        log::error("a change may be lost when the power fails: {}", result.error().message);
    }
    auto told = std::exchange(under_way_, {});
    run();
    for (Then& then : told) {
        then(result);
    }
}

}  // namespace bascule::daemon
