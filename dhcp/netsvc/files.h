// SPDX-License-Identifier: GPL-2.0-or-later
// Files below a network's root, for TFTP and HTTP.
//
// The process that reads guests' packets may open nothing outside its lease folder (sandbox.h), and which roots there
// will be is not known when it gives that right up. So a second process, forked before and just as unprivileged, does
// nothing but open: it gets a root's descriptor and a path, and hands back a regular file opened for reading below that
// root, or an error number. There is no way out of the root: openat2(2) with RESOLVE_BENEATH, which follows symbolic
// links only as far as they stay inside. A process that was taken over reads what the roots hold, which is what it
// serves to everybody anyway. Its name is netsvc-files; it ends with the one that it serves.
//
// Opening can take as long as the disk or the file server below a root likes, so nobody waits for it: a question is
// sent, and its answer is one more event of the loop. What is not answered in kPatience has failed. Reading is done by
// the loop itself, from what the kernel was asked to fetch when the file was opened and reads ahead from then on: a
// disk that is slower than a guest's download makes others wait for it.
#pragma once

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/fd.h"
#include "base/result.h"
#include "dhcp/leases.h"

namespace bascule::netsvc {

struct File {
    UniqueFd fd;
    std::uint64_t size = 0;
};

class Files {
public:
    static constexpr std::chrono::seconds kPatience{2};
    // Questions at once, of everybody. Who asks has smaller bounds of his own.
    static constexpr std::size_t kMostWaiting = 512;
    // ENOENT in the error, Code::denied, or Code::system when the other process does not answer.
    using Done = std::function<void(Result<File>, const dhcp::Now&)>;

    // `opener`: the connection to the other process; none: nothing is ever found.
    explicit Files(UniqueFd opener) : opener_(std::move(opener)) {}

    int fd() const { return opener_.get(); }
    // `done` is called once and later, from hear() or tick(). An error of the same kinds when nothing can be asked.
    Result<void> open(int root, const std::string& path, dhcp::Time now, Done done);
    // The answers that have come.
    void hear(const dhcp::Now& now);
    void tick(const dhcp::Now& now);
    dhcp::Time next_tick() const { return waiting_.empty() ? dhcp::kEndOfTime : waiting_.front().deadline; }

private:
    struct Waiting {
        std::uint32_t sequence;
        dhcp::Time deadline;
        Done done;
    };
    std::optional<Done> take(std::uint32_t sequence);

    UniqueFd opener_;
    std::uint32_t sequence_ = 0;
    std::deque<Waiting> waiting_;  // in the order of their numbers, and so of their deadlines
};

inline bool is_absent(const Error& error) { return error.sys_errno == ENOENT; }

// Up to `most` bytes from there; fewer only at the end of the file.
Result<Bytes> read_at(const File& file, std::uint64_t at, std::size_t most);

// Forks the process that opens. Before any other thread, and before the sandbox.
Result<UniqueFd> start_opener();
// What it does until the connection ends, given as its only descriptor but the standard ones.
[[noreturn]] void serve_files(int socket);

}  // namespace bascule::netsvc
