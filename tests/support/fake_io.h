// SPDX-License-Identifier: GPL-2.0-or-later
// The interfaces of kernel/io.h, in memory and with time that only the test moves.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "kernel/io.h"

namespace bascule::test {

class FakeClock : public kernel::Clock {
public:
    kernel::Time now() const override { return now_; }
    kernel::WallTime wall() const override { return wall_; }
    void advance(std::chrono::nanoseconds by) {
        now_ += std::chrono::duration_cast<kernel::Time::duration>(by);
        wall_ += std::chrono::duration_cast<kernel::WallTime::duration>(by);
    }
    void set_wall(kernel::WallTime wall) { wall_ = wall; }  // the host's clock was set: now() does not follow

private:
    kernel::Time now_{std::chrono::hours(1)};
    kernel::WallTime wall_{std::chrono::sys_days(std::chrono::January / 1 / 2030)};
};

// Runs nothing by itself. turn() does what is due now and polls the watched descriptors once, without
// waiting; advance() moves time from timer to timer. fire() and raise() pretend that something happened.
class FakeLoop : public kernel::Loop {
public:
    const kernel::Clock& clock() const override { return time; }
    std::unique_ptr<kernel::Watch> watch(int fd, bool read, bool write,
                                         std::move_only_function<void(kernel::Ready)> on) override;
    std::unique_ptr<kernel::Watch> at(kernel::Time when, std::move_only_function<void()> on) override;
    void defer(std::move_only_function<void()> on) override { deferred_.push_back(std::move(on)); }
    std::unique_ptr<kernel::Watch> on_signal(int number, std::move_only_function<void()> on) override;
    // Turns until stop() or until nothing happens any more (a real loop would wait then).
    Result<void> run() override;
    void stop() override { stopped_ = true; }

    bool turn();  // whether anything happened
    void advance(std::chrono::nanoseconds by);
    bool fire(int fd, kernel::Ready ready);  // whether anybody watched
    bool raise(int number);
    std::size_t timers() const;  // armed
    std::size_t watches() const;

    FakeClock time;

private:
    // Shared with the Watch, which takes `alive` back when it is destroyed, perhaps from within `on`.
    struct Entry {
        bool alive = true;
        int fd = -1, signal = 0;
        bool read = false, write = false;
        kernel::Time when{};
        std::move_only_function<void(kernel::Ready)> on_ready;
        std::move_only_function<void()> on;
    };
    class Handle;
    std::unique_ptr<kernel::Watch> add(std::vector<std::shared_ptr<Entry>>& to, std::shared_ptr<Entry> entry);
    bool run_deferred();
    bool run_due();
    bool poll_once();

    std::vector<std::shared_ptr<Entry>> fds_, timers_, signals_;
    std::deque<std::move_only_function<void()>> deferred_;
    bool stopped_ = false;
};

// Files in a map. Folders exist by having files.
class FakeFiles : public kernel::FileTree {
public:
    Result<std::string> read(const std::string& path, std::size_t limit) const override;
    Result<void> write(const std::string& path, std::string_view content, unsigned mode) override;
    Result<void> remove(const std::string& path) override;
    Result<void> symlink(const std::string& target, const std::string& path) override;
    Result<std::vector<std::string>> list(const std::string& folder) const override;
    bool exists(const std::string& path) const override;
    std::string real(const std::string& path) const override { return "/fake-root" + path; }

    struct File {
        std::string content;
        unsigned mode = 0600;
        std::string target;  // of a symbolic link
    };
    std::map<std::string, File> files;
    int write_errno = 0;  // what writes, removals and links fail with, e.g. ENOSPC
};

class FakeSpawner;

class FakeProcess : public kernel::Process {
public:
    FakeProcess(FakeSpawner& spawner, int pid) : spawner_(spawner), pid_(pid) {}
    int pid() const override { return pid_; }
    int pidfd() const override;
    bool running() const override;
    Result<void> signal(int number) override;

private:
    FakeSpawner& spawner_;
    int pid_;
};

// Must outlive its processes. A process runs until the test ends it, or it is sent SIGKILL or SIGTERM.
class FakeSpawner : public kernel::Spawner {
public:
    Result<std::unique_ptr<kernel::Process>> spawn(const kernel::Command& command) override;
    Result<std::unique_ptr<kernel::Process>> adopt(int pid, const std::string& executable) override;

    void end(int pid);

    struct Child {
        kernel::Command command;
        bool running = true;
        std::vector<int> signals;
        UniqueFd ended, other_end;  // the first is readable once it has ended
    };
    std::map<int, Child> children;  // by pid, ended ones too
    std::set<std::string> missing;  // programs that cannot be executed
    bool ignores_sigterm = false;
    std::optional<kernel::Command> last() const;

private:
    int next_pid_ = 1000;
};

// What the program under test reads is `incoming`, what it writes collects in `outgoing`.
class FakeStream : public kernel::Stream {
public:
    int fd() const override { return number; }
    Result<Bytes> read(std::size_t limit) override;
    Result<std::size_t> write(ByteView bytes) override;

    int number = -1;  // for FakeLoop::fire(); one that nothing else has open
    std::string incoming, outgoing;
    bool closed = false;                              // by the peer, once incoming is empty
    std::size_t room = static_cast<std::size_t>(-1);  // that the peer still takes
};

class FakeTaps : public kernel::Taps {
public:
    Result<UniqueFd> open_tap(const IfName& name, bool multi_queue) override;
    Result<UniqueFd> open_vhost_net() override;

    std::map<std::string, unsigned> opened;  // queues by tap
    std::set<std::string> missing;           // taps that do not exist
    bool has_vhost_net = false;
};

}  // namespace bascule::test
