// SPDX-License-Identifier: GPL-2.0-or-later
// How a guest comes up: start() and attach() of Guest::Machine.
#include <algorithm>
#include <charconv>
#include <utility>

#include <fmt/format.h>

#include "vmm/guest_machine.h"

namespace bascule::vmm {

namespace {

constexpr auto kAttachPatience = std::chrono::seconds(10);
constexpr unsigned kFirstDisplay = 5900, kFirstWebsocket = 5700;  // QEMU's ports of display 0

// QEMU gives the path of a pseudo-terminal, and the daemon will open it as root: nothing else will do.
bool is_pty(std::string_view path) {
    constexpr std::string_view kFolder = "/dev/pts/";
    if (!path.starts_with(kFolder)) {
        return false;
    }
    path.remove_prefix(kFolder.size());
    return !path.empty() && path.size() <= 9 && std::ranges::all_of(path, [](char c) { return c >= '0' && c <= '9'; });
}

// The states that query-status knows. What is not running stands still; why, only some say.
Status status_from(std::string_view word) {
    if (word == "running") {
        return {State::running, reason::kRunningUnknown};
    }
    if (word == "shutdown") {
        return {State::shutdown, reason::kShutdownUnknown};
    }
    if (word == "suspended") {
        return {State::pmsuspended, reason::kPmSuspendedUnknown};
    }
    const int why = word == "io-error"                                     ? reason::kPausedIoError
                    : word == "guest-panicked" || word == "internal-error" ? reason::kPausedCrashed
                    : word == "prelaunch"                                  ? reason::kPausedStartingUp
                                                                           : reason::kPausedUnknown;
    return {State::paused, why};
}

}  // namespace

void Guest::Machine::start(StartPlan plan, Done done) {
    if (phase_ != Phase::idle) {
        later([done = std::move(done)](Machine&) mutable { done(fail(Code::invalid_state, "already started")); });
        return;
    }
    phase_ = Phase::starting;
    status_ = {State::paused, reason::kPausedStartingUp};
    opening_ = std::move(done);
    last_words_ = std::move(plan.last_words);
    live_ = Live{.spec = std::move(plan.spec),
                 .id = plan.id,
                 .pid = 0,
                 .executable = plan.launch.program,
                 .monitor = plan.monitor,
                 .persistent = plan.persistent};
    plan_start_steps(plan.paused);
    arm(plan.timeout, "QEMU is not ready");
    auto begun = spawn(plan);
    if (begun) {
        begun = open_monitor();
    }
    if (!begun) {
        later([error = std::move(begun).error()](Machine& m) mutable { m.opening_failed(std::move(error)); });
    }
}

void Guest::Machine::attach(Live live, Done done) {
    if (phase_ != Phase::idle) {
        later([done = std::move(done)](Machine&) mutable { done(fail(Code::invalid_state, "already started")); });
        return;
    }
    phase_ = Phase::attaching;
    status_ = {State::running, reason::kRunningUnknown};
    opening_ = std::move(done);
    live_ = std::move(live);
    if (!live_.spec.channels.empty()) {  // their state may have changed meanwhile
        steps_.push_back({"query-chardev", nullptr, [this](const qmp::Json& answer) { return use_chardevs(answer); }});
    }
    steps_.push_back({"query-status", nullptr, [this](const qmp::Json& answer) { return use_status(answer); }});
    arm(kAttachPatience, "QEMU does not answer");
    auto process = deps_.spawner.adopt(live_.pid, live_.executable);
    Result<void> begun;
    if (process) {
        process_ = std::move(*process);
        process_watch_ = deps_.loop.watch(process_->pidfd(), true, false, [weak = weak_from_this()](kernel::Ready) {
            if (const auto self = weak.lock()) {
                self->on_exit();
            }
        });
        begun = open_monitor();
    } else {
        begun = std::unexpected(std::move(process).error());
    }
    if (!begun) {
        later([error = std::move(begun).error()](Machine& m) mutable { m.opening_failed(std::move(error)); });
    }
}

Result<void> Guest::Machine::spawn(StartPlan& plan) {
    if (plan.fds.size() < plan.launch.slots.size()) {  // behind them: files that QEMU may not open itself
        return fail(Code::internal, fmt::format("{} descriptors for {} slots of the command line", plan.fds.size(),
                                                plan.launch.slots.size()));
    }
    kernel::Command command;
    command.program = plan.launch.program;
    command.args = plan.launch.args;
    command.environment = {"LC_ALL=C", "PATH=/usr/bin:/bin"};
    command.uid = plan.uid;
    command.gid = plan.gid;
    command.groups = plan.groups;
    for (const UniqueFd& fd : plan.fds) {
        command.fds.push_back(fd.get());
    }
    command.stdout_fd = plan.log.get();
    command.stderr_fd = plan.log.get();
    TRY(process_, deps_.spawner.spawn(command));
    live_.pid = process_->pid();
    process_watch_ = deps_.loop.watch(process_->pidfd(), true, false, [weak = weak_from_this()](kernel::Ready) {
        if (const auto self = weak.lock()) {
            self->on_exit();
        }
    });
    // Ours must close: while somebody holds the listening socket, a connection that QEMU never took does not end.
    plan.fds.clear();
    plan.log.reset();
    return {};
}

Result<void> Guest::Machine::open_monitor() {
    TRY(auto stream, deps_.connect(live_.monitor));
    const auto weak = weak_from_this();
    monitor_ = Monitor::over(deps_.loop, std::move(stream),
                             {.ready =
                                  [weak] {
                                      if (const auto self = weak.lock()) {
                                          self->next_step();
                                      }
                                  },
                              .event =
                                  [weak](const qmp::Event& event) {
                                      if (const auto self = weak.lock()) {
                                          self->on_event(event);
                                      }
                                  },
                              .lost =
                                  [weak](const Error& error) {
                                      if (const auto self = weak.lock()) {
                                          self->on_monitor_lost(error);
                                      }
                                  }});
    return {};
}

void Guest::Machine::arm(std::chrono::milliseconds timeout, std::string what) {
    opening_deadline_ =
        deps_.loop.at(deps_.loop.clock().now() + timeout, [weak = weak_from_this(), timeout, what = std::move(what)] {
            if (const auto self = weak.lock()) {
                const double seconds = std::chrono::duration<double>(timeout).count();
                self->opening_failed({Code::timeout, fmt::format("{} after {} s", what, seconds), 0});
            }
        });
}

void Guest::Machine::plan_start_steps(bool paused) {
    const Spec& spec = live_.spec;
    if (!spec.serials.empty() || !spec.channels.empty()) {
        steps_.push_back({"query-chardev", nullptr, [this](const qmp::Json& answer) { return use_chardevs(answer); }});
    }
    for (std::size_t i = 0; i < spec.interfaces.size(); ++i) {
        if (!spec.interfaces[i].link_up) {
            steps_.push_back({"set_link", {{"name", nic_alias(spec, i)}, {"up", false}}, nullptr});
        }
    }
    plan_display_steps();
    if (spec.balloon && spec.balloon->stats_period) {
        steps_.push_back({"qom-set",
                          {{"path", "/machine/peripheral/" + balloon_alias(spec)},
                           {"property", "guest-stats-polling-interval"},
                           {"value", *spec.balloon->stats_period}},
                          nullptr});
    }
    if (spec.current_memory_kib < spec.memory_kib && spec.balloon) {
        steps_.push_back({"balloon", {{"value", spec.current_memory_kib * 1024}}, nullptr});
    }
    if (!paused) {
        steps_.push_back({"cont", nullptr, nullptr});
    }
    steps_.push_back({"query-status", nullptr, [this, paused](const qmp::Json& answer) -> Result<void> {
                          TRY_OK(use_status(answer));
                          if (status_.state == State::running) {
                              status_.reason = reason::kRunningBooted;
                          } else if (paused) {
                              status_ = {State::paused, reason::kPausedUser};
                          }
                          return {};
                      }});
}

// A display with a password lets nobody in before it has been set.
void Guest::Machine::plan_display_steps() {
    for (const Graphics& display : live_.spec.graphics) {
        if (display.password) {
            steps_.push_back({"set_password", {{"protocol", "vnc"}, {"password", *display.password}}, nullptr});
        }
        if (const auto until = parse_utc(display.password_valid_to)) {
            steps_.push_back({"expire_password", {{"protocol", "vnc"}, {"time", std::to_string(*until)}}, nullptr});
        }
        steps_.push_back({"query-vnc", nullptr, [this](const qmp::Json& answer) { return use_display(answer); }});
    }
}

// {"enabled": true, "host": "127.0.0.1", "service": "5900", "family": "ipv4", …}
Result<void> Guest::Machine::use_display(const qmp::Json& answer) {
    for (Graphics& display : live_.spec.graphics) {
        if (display.listen == Graphics::Listen::socket) {
            continue;
        }
        const std::string service = qmp::text_of(answer, "service");
        unsigned port = 0;
        const auto [stop, ec] = std::from_chars(service.data(), service.data() + service.size(), port);
        if (ec != std::errc() || stop != service.data() + service.size() || port < kFirstDisplay || port > 65535) {
            return fail(Code::malformed, fmt::format("QEMU does not say where its display listens, but '{}'",
                                                     qmp::printable(service, 100)));
        }
        GraphicsLive live = display.live.value_or(GraphicsLive{});
        live.port = port;
        if (display.websocket) {
            live.websocket = *display.websocket == 0 ? port - kFirstDisplay + kFirstWebsocket : *display.websocket;
        }
        display.live = live;
    }
    return {};
}

void Guest::Machine::next_step() {
    if (phase_ != Phase::starting && phase_ != Phase::attaching) {
        return;
    }
    if (steps_.empty()) {
        opened();
        return;
    }
    Step step = std::move(steps_.front());
    steps_.pop_front();
    monitor_->execute(step.name, step.arguments,
                      [weak = weak_from_this(), use = std::move(step.use)](const Result<qmp::Json>& answer) {
                          const auto self = weak.lock();
                          // A lost monitor tells its reason to on_monitor_lost(), which knows more.
                          if (!self || (!answer && self->monitor_->lost())) {
                              return;
                          }
                          Result<void> used;
                          if (!answer) {
                              used = std::unexpected(answer.error());
                          } else if (use) {
                              used = use(*answer);
                          }
                          if (used) {
                              self->next_step();
                          } else {
                              self->opening_failed(std::move(used).error());
                          }
                      });
}

// [{"label": "charserial0", "filename": "pty:/dev/pts/3", "frontend-open": true}, …]
Result<void> Guest::Machine::use_chardevs(const qmp::Json& answer) {
    const auto find = [&answer](const std::string& label) -> const qmp::Json* {
        if (!answer.is_array()) {
            return nullptr;
        }
        const auto it = std::ranges::find_if(
            answer, [&label](const qmp::Json& one) { return qmp::text_of(one, "label") == label; });
        return it == answer.end() ? nullptr : &*it;
    };
    const auto pty_of = [&](const std::string& label) -> Result<std::string> {
        const qmp::Json* const found = find(label);
        const std::string file = found != nullptr ? qmp::text_of(*found, "filename") : "";
        constexpr std::string_view kKind = "pty:";
        if (!file.starts_with(kKind) || !is_pty(std::string_view(file).substr(kKind.size()))) {
            return fail(Code::malformed, fmt::format("QEMU does not say which pseudo-terminal {} has, but '{}'", label,
                                                     qmp::printable(file, 100)));
        }
        return file.substr(kKind.size());
    };
    Spec& spec = live_.spec;
    for (std::size_t i = 0; i < spec.serials.size() && phase_ == Phase::starting; ++i) {
        TRY(spec.serials[i].tty, pty_of("char" + serial_alias(spec, i)));
    }
    for (std::size_t i = 0; i < spec.channels.size(); ++i) {
        const std::string label = "char" + channel_alias(spec, i);
        ChannelLive live = spec.channels[i].live.value_or(ChannelLive{});
        if (spec.channels[i].backend == Channel::Backend::pty && phase_ == Phase::starting) {
            TRY(live.path, pty_of(label));
        }
        const qmp::Json* const found = find(label);
        live.connected = found != nullptr && qmp::flag_of(*found, "frontend-open");
        spec.channels[i].live = live;
    }
    return {};
}

Result<void> Guest::Machine::use_status(const qmp::Json& answer) {
    const std::string word = qmp::text_of(answer, "status");
    if (word.empty()) {
        return fail(Code::malformed, "QEMU does not say whether the guest runs");
    }
    status_ = status_from(word);
    return {};
}

void Guest::Machine::opened() {
    phase_ = Phase::up;
    finish_opening({});
}

// A start takes its process down with it; an attach leaves it, if there is one, running without a monitor.
void Guest::Machine::opening_failed(Error error) {
    if (phase_ != Phase::starting && phase_ != Phase::attaching) {
        return;
    }
    steps_.clear();
    if (monitor_) {
        monitor_->close();
    }
    if (phase_ == Phase::attaching) {
        if (!process_) {
            phase_ = Phase::ended;
            status_ = {State::shutoff, reason::kShutoffUnknown};
            destroy_answered({});
        } else {
            phase_ = Phase::up;
            monitor_.reset();
        }
        finish_opening(std::unexpected(std::move(error)));
        return;
    }
    phase_ = Phase::failing;
    opening_error_ = std::move(error);
    if (!process_ || !process_->running()) {
        ended();
        return;
    }
    kill();  // no guest has run in it
}

void Guest::Machine::finish_opening(Result<void> result) {
    opening_deadline_.reset();
    if (Done done = std::exchange(opening_, nullptr)) {
        done(std::move(result));
    }
}

}  // namespace bascule::vmm
