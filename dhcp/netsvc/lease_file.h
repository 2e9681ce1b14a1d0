// SPDX-License-Identifier: GPL-2.0-or-later
// The lease journal of one network on disk: UUID.leases in the folder whose descriptor we were given.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/names.h"
#include "base/result.h"
#include "dhcp/journal.h"

namespace bascule::netsvc {

class LeaseFile {
public:
    struct Opened;
    // Reads what is there (bounded), cuts off a torn tail, makes a new file when there is none.
    static Result<Opened> open(int folder, const Uuid& network);

    // Collected in memory until commit().
    void append(std::string_view lines) { pending_ += lines; }
    bool has_pending() const { return !pending_.empty(); }
    // On the disk when it returns without error. After an error nothing can be said of the file's end any more (a
    // failed fdatasync forgets what it failed to write), so from then on only rewrite() makes it good again.
    Result<void> commit();
    bool broken() const { return broken_; }

    // The whole file afresh: beside the old one, synced, renamed over it, the folder synced. Replaces what is pending.
    Result<void> rewrite(std::string_view snapshot);
    // Worth writing afresh: mostly of lines that later ones made void.
    bool is_bloated(std::size_t leases) const;

private:
    LeaseFile(int folder, std::string name) : folder_(folder), name_(std::move(name)) {}

    int folder_;  // of the process, for its whole life
    std::string name_;
    UniqueFd file_;
    std::size_t size_ = 0;
    std::string pending_;
    bool broken_ = false;
};

struct LeaseFile::Opened {
    LeaseFile file;
    dhcp::journal::Replay replay;
};

// One process at a time works on a folder: held until the process ends. Code::conflict when another has it.
Result<UniqueFd> lock_folder(int folder);

}  // namespace bascule::netsvc
