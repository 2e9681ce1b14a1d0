// SPDX-License-Identifier: GPL-2.0-or-later
// The effects that are not the kernel's network state, as interfaces with two implementations each: kernel/linux
// and the fakes of tests/support. One thread, one loop, no locks.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/fd.h"
#include "base/names.h"
#include "base/result.h"

namespace bascule::kernel {

using Time = std::chrono::steady_clock::time_point;      // monotonic: time-outs, expiry
using WallTime = std::chrono::system_clock::time_point;  // what is stored and shown

class Clock {
public:
    virtual ~Clock() = default;
    virtual Time now() const = 0;
    virtual WallTime wall() const = 0;
};

// Something armed on a Loop. Destroying it disarms it; that is allowed inside its own callback.
class Watch {
public:
    virtual ~Watch() = default;
};

struct Ready {
    bool readable = false, writable = false, hangup = false;
};

class Loop {
public:
    virtual ~Loop() = default;
    virtual const Clock& clock() const = 0;
    // Level-triggered. The descriptor must outlive the watch.
    virtual std::unique_ptr<Watch> watch(int fd, bool read, bool write, std::move_only_function<void(Ready)> on) = 0;
    virtual std::unique_ptr<Watch> at(Time when, std::move_only_function<void()> on) = 0;  // once
    virtual void defer(std::move_only_function<void()> on) = 0;  // soon, from the loop, in order
    virtual std::unique_ptr<Watch> on_signal(int number, std::move_only_function<void()> on) = 0;
    virtual Result<void> run() = 0;  // until stop()
    virtual void stop() = 0;
};

// Durable files below one root. Paths are absolute within the root ("/etc/bascule/networks/default.xml").
class FileTree {
public:
    virtual ~FileTree() = default;
    virtual Result<std::string> read(const std::string& path, std::size_t limit) const = 0;
    // All or nothing, and on the disk when it returns: temporary file, fsync, rename, fsync of the folder.
    // Makes missing parent folders (0755).
    virtual Result<void> write(const std::string& path, std::string_view content, unsigned mode = 0600) = 0;
    virtual Result<void> remove(const std::string& path) = 0;  // absent is fine
    virtual Result<void> symlink(const std::string& target, const std::string& path) = 0;
    virtual Result<std::vector<std::string>> list(const std::string& folder) const = 0;  // names, sorted; absent: empty
    virtual bool exists(const std::string& path) const = 0;  // symbolic links are not followed
    // The path for programs outside: root included.
    virtual std::string real(const std::string& path) const = 0;
    // From now on a change is whole when it returns, and on the disk when somebody has synced the folder that `sync`
    // gets, with its path. Null: as before.
    using SyncFolder = std::function<void(const std::string& path, UniqueFd folder)>;
    virtual void sync_folders_by(SyncFolder sync) { (void)sync; }
};

// What a program is held to that parses bytes which a guest wrote: these files and what it needs to run at all
// (programs, libraries), no network, no capability but that of opening those files whoever owns them, and limits. Where
// the kernel has no Landlock (landlock(7)) the first of these does not hold; kernel/linux/confine.h says whether it
// does.
struct Confinement {
    std::vector<std::string> reads{}, writes{};
    std::uint64_t memory = std::uint64_t{2} << 30;  // bytes of address space
    std::chrono::seconds processor{600};
};

// A process to start.
struct Command {
    std::string program;                    // absolute, or looked up in the standard PATH
    std::vector<std::string> args;          // without argv[0]
    std::vector<std::string> environment;   // complete; nothing is inherited
    std::optional<std::uint32_t> uid, gid;  // none: as we are
    std::vector<std::uint32_t> groups;      // supplementary
    // Descriptors the child gets, in order from 3 on; duplicated, so the caller keeps its own.
    std::vector<int> fds;
    int stdout_fd = -1, stderr_fd = -1;  // -1: /dev/null
    bool new_session = true;
    std::optional<Confinement> confine{};
};

// A running child or adopted process, held by a pidfd: never confused with a later one of the same number.
class Process {
public:
    virtual ~Process() = default;
    virtual int pid() const = 0;
    virtual int pidfd() const = 0;  // readable when it has ended
    virtual bool running() const = 0;
    virtual Result<void> signal(int number) = 0;
    // Of a child that has ended: its status, or 128 and the signal that ended it. Nothing while it runs, and for a
    // process that somebody else started.
    virtual std::optional<int> exit_status() const { return std::nullopt; }
};

class Spawner {
public:
    virtual ~Spawner() = default;
    // Fails when the program could not be executed (the child's errno, not just "exited 127").
    virtual Result<std::unique_ptr<Process>> spawn(const Command& command) = 0;
    // A process somebody started earlier (a former daemon). `executable` must be what /proc/PID/exe shows,
    // or the number was reused: Code::unreachable.
    virtual Result<std::unique_ptr<Process>> adopt(int pid, const std::string& executable) = 0;
};

// For what the kernel offers no way to wait for: reading, writing and syncing files, walking folders. `work` runs
// elsewhere, on values of its own; `done` runs on the loop afterwards, unless the Worker is gone by then. In any order.
class Worker {
public:
    virtual ~Worker() = default;
    virtual void run(std::move_only_function<void()> work, std::move_only_function<void()> done) = 0;
};

// The same with a value: `work` makes it, `done` gets it.
template <class Work, class Done>
void run_on(Worker& worker, Work work, Done done) {
    using Value = std::invoke_result_t<Work&>;
    auto value = std::make_shared<std::optional<Value>>();
    worker.run([work = std::move(work), value]() mutable { value->emplace(work()); },
               [done = std::move(done), value]() mutable { done(*std::move(*value)); });
}

// A connected stream socket that never blocks.
class Stream {
public:
    virtual ~Stream() = default;
    virtual int fd() const = 0;  // for Loop::watch
    // What is there now, at most `limit` bytes; empty: nothing yet. Code::unreachable: the peer has closed.
    virtual Result<Bytes> read(std::size_t limit) = 0;
    // Takes a prefix and says how long it was; 0: full, watch for writable.
    virtual Result<std::size_t> write(ByteView bytes) = 0;
    // The same, with a descriptor that goes with the first byte; when nothing was taken it was not sent either.
    // Code::unsupported where the stream carries none.
    virtual Result<std::size_t> write_with(ByteView bytes, int fd) {
        (void)bytes, (void)fd;
        return fail(Code::unsupported, "this stream carries no descriptors");
    }
};

// Descriptors of devices that State describes: the link exists before, by PutLink.
class Taps {
public:
    virtual ~Taps() = default;
    // One queue of a tap, with IFF_VNET_HDR.
    virtual Result<UniqueFd> open_tap(const IfName& name, bool multi_queue) = 0;
    // /dev/vhost-net; Code::unsupported where the host has none.
    virtual Result<UniqueFd> open_vhost_net() = 0;
};

}  // namespace bascule::kernel
