// SPDX-License-Identifier: GPL-2.0-or-later
// Theory of operation
//
// A change of a definition is answered when it would survive a power cut. Its file is written and synced at once, under
// a temporary name, then renamed. That the name is on the disk, too, is the sync of the folder, and that is waited for
// here and not on the loop: meanwhile events of the change go out, and other clients' calls. All that changed while one
// sync was running is made safe by the next, however many clients it was: one sync a folder for all of them.
//
// What was changed is there for everybody at once. Only the answer to the call that changed it waits.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "kernel/io.h"

namespace bascule::daemon {

class Durability {
public:
    using Then = std::move_only_function<void(Result<void>)>;

    // Takes over the folders' syncs from `files`, and gives them back when it ends.
    Durability(kernel::FileTree& files, kernel::Worker& worker);
    Durability(const Durability&) = delete;
    Durability& operator=(const Durability&) = delete;
    ~Durability();

    bool pending() const { return running_ || !changed_.empty(); }
    // Calls it, later, when all that is pending now is on the disk. The error says which folder is not.
    void when_safe(Then then) { (changed_.empty() ? under_way_ : waiting_).push_back(std::move(then)); }

private:
    using Folders = std::map<std::string, std::shared_ptr<UniqueFd>>;
    void run();
    void done(const Result<void>& result);

    kernel::FileTree& files_;
    kernel::Worker& worker_;
    Folders changed_, syncing_;              // since the sync that runs began; what that one is for
    std::vector<Then> waiting_, under_way_;  // for each of the two
    bool running_ = false;
};

}  // namespace bascule::daemon
