// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/support/fake_io.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

namespace bascule::test {

using namespace kernel;

class FakeLoop::Handle : public Watch {
public:
    explicit Handle(std::shared_ptr<Entry> entry) : entry_(std::move(entry)) {}
    ~Handle() override { entry_->alive = false; }

private:
    std::shared_ptr<Entry> entry_;
};

std::unique_ptr<Watch> FakeLoop::add(std::vector<std::shared_ptr<Entry>>& to, std::shared_ptr<Entry> entry) {
    std::erase_if(to, [](const auto& old) { return !old->alive; });
    to.push_back(entry);
    return std::make_unique<Handle>(std::move(entry));
}

std::unique_ptr<Watch> FakeLoop::watch(int fd, bool read, bool write, std::move_only_function<void(Ready)> on) {
    auto entry = std::make_shared<Entry>();
    entry->fd = fd;
    entry->read = read;
    entry->write = write;
    entry->on_ready = std::move(on);
    return add(fds_, std::move(entry));
}

std::unique_ptr<Watch> FakeLoop::at(Time when, std::move_only_function<void()> on) {
    auto entry = std::make_shared<Entry>();
    entry->when = when;
    entry->on = std::move(on);
    return add(timers_, std::move(entry));
}

std::unique_ptr<Watch> FakeLoop::on_signal(int number, std::move_only_function<void()> on) {
    auto entry = std::make_shared<Entry>();
    entry->signal = number;
    entry->on = std::move(on);
    return add(signals_, std::move(entry));
}

bool FakeLoop::run_deferred() {
    const std::size_t now = deferred_.size();  // what these defer runs in the next turn
    for (std::size_t i = 0; i < now; ++i) {
        auto on = std::move(deferred_.front());
        deferred_.pop_front();
        on();
    }
    return now > 0;
}

bool FakeLoop::run_due() {
    auto entries = timers_;
    std::ranges::stable_sort(entries, {}, [](const auto& entry) { return entry->when; });
    bool any = false;
    for (const auto& entry : entries) {
        if (entry->alive && entry->on && entry->when <= time.now()) {
            auto on = std::move(entry->on);  // once; and it stays valid when its Watch goes meanwhile
            entry->on = nullptr;
            on();
            any = true;
        }
    }
    return any;
}

bool FakeLoop::poll_once() {
    const auto entries = fds_;
    bool any = false;
    for (const auto& entry : entries) {
        if (!entry->alive) {
            continue;
        }
        pollfd p{entry->fd, static_cast<short>((entry->read ? POLLIN : 0) | (entry->write ? POLLOUT : 0)), 0};
        if (::poll(&p, 1, 0) == 1) {
            entry->on_ready({.readable = (p.revents & POLLIN) != 0,
                             .writable = (p.revents & POLLOUT) != 0,
                             .hangup = (p.revents & (POLLHUP | POLLERR)) != 0});
            any = true;
        }
    }
    return any;
}

bool FakeLoop::turn() {
    bool any = run_deferred();
    any = run_due() || any;
    return poll_once() || any;
}

Result<void> FakeLoop::run() {
    stopped_ = false;
    while (!stopped_ && turn()) {
    }
    return {};
}

void FakeLoop::advance(std::chrono::nanoseconds by) {
    const Time end = time.now() + std::chrono::duration_cast<Time::duration>(by);
    while (true) {
        run_due();
        run_deferred();
        Time next = end;
        for (const auto& entry : timers_) {
            if (entry->alive && entry->on && entry->when < next) {
                next = std::max(entry->when, time.now());
            }
        }
        if (next >= end) {
            break;
        }
        time.advance(next - time.now());
    }
    time.advance(end - time.now());
    run_due();
    run_deferred();
}

bool FakeLoop::fire(int fd, Ready ready) {
    bool any = false;
    for (const auto& entry : std::vector(fds_)) {
        if (entry->alive && entry->fd == fd) {
            entry->on_ready(ready);
            any = true;
        }
    }
    return any;
}

bool FakeLoop::raise(int number) {
    bool any = false;
    for (const auto& entry : std::vector(signals_)) {
        if (entry->alive && entry->signal == number) {
            entry->on();
            any = true;
        }
    }
    return any;
}

std::size_t FakeLoop::timers() const {
    return static_cast<std::size_t>(
        std::ranges::count_if(timers_, [](const auto& entry) { return entry->alive && entry->on; }));
}

std::size_t FakeLoop::watches() const {
    return static_cast<std::size_t>(std::ranges::count_if(fds_, [](const auto& entry) { return entry->alive; }));
}

Result<std::string> FakeFiles::read(const std::string& path, std::size_t limit) const {
    auto found = files.find(path);
    if (found != files.end() && !found->second.target.empty()) {
        found = files.find(found->second.target);
    }
    if (found == files.end()) {
        return fail_errno(path, ENOENT);
    }
    if (found->second.content.size() > limit) {
        return fail_errno(path, EFBIG);
    }
    return found->second.content;
}

Result<void> FakeFiles::write(const std::string& path, std::string_view content, unsigned mode) {
    if (write_errno != 0) {
        return fail_errno(path, write_errno);
    }
    files[path] = {std::string(content), mode, {}};
    return {};
}

Result<void> FakeFiles::remove(const std::string& path) {
    if (write_errno != 0) {
        return fail_errno(path, write_errno);
    }
    files.erase(path);
    return {};
}

Result<void> FakeFiles::symlink(const std::string& target, const std::string& path) {
    if (write_errno != 0) {
        return fail_errno(path, write_errno);
    }
    files[path] = {{}, 0777, target};
    return {};
}

Result<std::vector<std::string>> FakeFiles::list(const std::string& folder) const {
    const std::string prefix = folder.ends_with('/') ? folder : folder + "/";
    std::set<std::string> names;
    for (auto file = files.lower_bound(prefix); file != files.end() && file->first.starts_with(prefix); ++file) {
        const std::string rest = file->first.substr(prefix.size());
        names.insert(rest.substr(0, rest.find('/')));
    }
    return std::vector<std::string>(names.begin(), names.end());
}

bool FakeFiles::exists(const std::string& path) const {
    const auto below = files.lower_bound(path + "/");
    return files.contains(path) || (below != files.end() && below->first.starts_with(path + "/"));
}

int FakeProcess::pidfd() const { return spawner_.children.at(pid_).ended.get(); }
bool FakeProcess::running() const { return spawner_.children.at(pid_).running; }

Result<void> FakeProcess::signal(int number) {
    FakeSpawner::Child& child = spawner_.children.at(pid_);
    if (!child.running) {
        return fail_errno(fmt::format("process {}", pid_), ESRCH);
    }
    child.signals.push_back(number);
    if (number == SIGKILL || (number == SIGTERM && !spawner_.ignores_sigterm)) {
        spawner_.end(pid_);
    }
    return {};
}

Result<std::unique_ptr<Process>> FakeSpawner::spawn(const Command& command) {
    if (missing.contains(command.program)) {
        return fail_errno(command.program, ENOENT);
    }
    int ends[2] = {-1, -1};
    if (::pipe2(ends, O_CLOEXEC) != 0) {
        return fail_errno("pipe");
    }
    const int pid = next_pid_++;
    Child& child = children[pid];
    child.command = command;
    child.ended = UniqueFd(ends[0]);
    child.other_end = UniqueFd(ends[1]);
    return std::make_unique<FakeProcess>(*this, pid);
}

Result<std::unique_ptr<Process>> FakeSpawner::adopt(int pid, const std::string& executable) {
    const auto child = children.find(pid);
    if (child == children.end() || !child->second.running || child->second.command.program != executable) {
        return fail(Code::unreachable, fmt::format("process {} is not {}", pid, executable));
    }
    return std::make_unique<FakeProcess>(*this, pid);
}

void FakeSpawner::end(int pid) {
    Child& child = children.at(pid);
    child.running = false;
    child.other_end.reset();  // the other side reads end of file, like a pidfd becomes readable
}

std::optional<Command> FakeSpawner::last() const {
    return children.empty() ? std::nullopt : std::optional(children.rbegin()->second.command);
}

Result<Bytes> FakeStream::read(std::size_t limit) {
    if (incoming.empty() && closed) {
        return fail(Code::unreachable, "the peer has closed the connection");
    }
    const ByteView now = as_bytes(incoming).first(std::min(limit, incoming.size()));
    Bytes out(now.begin(), now.end());
    incoming.erase(0, out.size());
    return out;
}

Result<std::size_t> FakeStream::write(ByteView bytes) {
    if (closed) {
        return fail(Code::unreachable, "the peer has closed the connection");
    }
    const std::size_t taken = std::min(room, bytes.size());
    outgoing += as_text(bytes.first(taken));
    room -= taken;
    return taken;
}

Result<UniqueFd> FakeTaps::open_tap(const IfName& name, bool multi_queue) {
    if (missing.contains(name.str())) {
        return fail_errno("tap " + name.str(), ENODEV);
    }
    unsigned& queues = opened[name.str()];
    if (queues > 0 && !multi_queue) {
        return fail_errno("tap " + name.str(), EBUSY);
    }
    ++queues;
    return UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC));
}

Result<UniqueFd> FakeTaps::open_vhost_net() {
    if (!has_vhost_net) {
        return fail(Code::unsupported, "this host has no /dev/vhost-net");
    }
    return UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC));
}

}  // namespace bascule::test
