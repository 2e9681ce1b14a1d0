// SPDX-License-Identifier: GPL-2.0-or-later
// The inside of Guest: only for vmm/guest*.cpp. It is shared, so that a Guest may be destroyed from inside a callback:
// what the loop still calls holds the machine, and an abandoned machine does nothing more.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "vmm/guest.h"
#include "vmm/monitor.h"

namespace bascule::vmm {

class Guest::Machine : public std::enable_shared_from_this<Guest::Machine> {
public:
    Machine(Deps deps, Callbacks callbacks) : deps_(std::move(deps)), callbacks_(std::move(callbacks)) {}

    void start(StartPlan plan, Done done);
    void attach(Live live, Done done);
    void destroy(bool graceful, Done done);
    void suspend(Done done);
    void resume(Done done);
    void set_link(std::size_t index, bool up, Done done);
    void reboot(Done done);
    void press_power_button(Done done);
    // A command whose answer has nothing to tell.
    void command(std::string_view name, const qmp::Json& arguments, Done done);
    // And one whose answer does.
    void ask(std::string_view name, const qmp::Json& arguments, Monitor::Answer answer, UniqueFd fd = {});
    void with_set(UniqueFd fd, std::move_only_function<void(Machine&, const std::string&, Done)> with, Done done);
    void with_named(std::string_view name, UniqueFd fd, std::string_view next, qmp::Json arguments, Done done);
    void dump(UniqueFd file, std::string_view format, Done done);
    // From the loop, unless the machine is abandoned by then.
    void later(std::move_only_function<void(Machine&)> what);
    // The Guest is gone: no callback any more, and the process is left alone.
    void abandon();

    Status status() const { return status_; }
    bool active() const { return phase_ != Phase::idle && phase_ != Phase::ended; }
    int pid() const { return process_ ? process_->pid() : 0; }
    Live& live() { return live_; }

private:
    enum class Phase {
        idle,       // nothing yet
        starting,   // the process may run; `opening_` waits
        attaching,  // it runs; `opening_` waits
        up,         // running or paused
        failing,    // a start went wrong: the process is being killed, then `opening_` is told
        ended,      // no process
    };

    // One command of a start or attach; `use` looks at its answer.
    struct Step {
        std::string name;
        qmp::Json arguments;
        std::function<Result<void>(const qmp::Json&)> use;
    };

    // guest_open.cpp
    Result<void> spawn(StartPlan& plan);
    Result<void> open_monitor();
    void arm(std::chrono::milliseconds timeout, std::string what);
    void plan_start_steps(bool paused);
    void plan_display_steps();
    void next_step();
    void opened();
    void opening_failed(Error error);
    void finish_opening(Result<void> result);
    Result<void> use_chardevs(const qmp::Json& answer);
    Result<void> use_display(const qmp::Json& answer);
    Result<void> use_status(const qmp::Json& answer);

    // guest_machine.cpp: what happens to it
    void on_event(const qmp::Event& event);
    void on_shutdown(const qmp::Event& event);
    void on_balloon(const qmp::Event& event);
    void on_dump_completed(const qmp::Event& event);
    void dumped(Result<void> result);
    void start_again();
    void on_port_change(const qmp::Event& event);
    void on_monitor_lost(const Error& error);
    void on_exit();
    void ended();
    void set_status(Status status);

    // guest_machine.cpp: destroy
    void terminate(bool graceful);  // SIGTERM, then kill() unless graceful
    void kill();                    // SIGKILL
    void destroy_answered(Result<void> result);

    std::string words() const;  // QEMU's last, on one line
    Result<void> ready_for_commands() const;

    Deps deps_;
    Callbacks callbacks_;
    Phase phase_ = Phase::idle;
    Status status_;
    Live live_{.spec = {.name = *ObjectName::parse("none")}};
    std::function<std::string()> last_words_;
    std::unique_ptr<kernel::Process> process_;
    std::unique_ptr<kernel::Watch> process_watch_, opening_deadline_, kill_deadline_, lost_notice_;
    std::shared_ptr<Monitor> monitor_;
    std::deque<Step> steps_;
    Done opening_;         // of start() or attach()
    Error opening_error_;  // while failing
    std::vector<Done> destroyers_;
    Done dump_done_;  // of dump(), until QEMU says that it is done
    bool destroy_asked_ = false, abandoned_ = false;
    bool pause_asked_ = false;    // the next STOP is ours
    bool reboot_asked_ = false;   // when it has shut down it is reset
    bool restarting_ = false;     // and until it runs again
    std::string shutdown_cause_;  // of the SHUTDOWN event; empty: there was none
};

}  // namespace bascule::vmm
