// SPDX-License-Identifier: GPL-2.0-or-later
// The life of one QEMU process, as a machine fed by the loop; it never blocks.
//
//   idle ──start──▶ starting ──cont──▶ up ──▶ ended
//     └───attach──▶ attaching ─────────▲ │destroy
//                                        └▶ stopping ──▶ ended
//
// * idle: start() or attach(), once. A Guest is not used again after it has ended: make a new one.
// * starting, attaching: a step that does not answer in time, a QEMU that dies or talks nonsense ends in an error
//   with QEMU's own words; by then the process is gone (start) or left as it was (attach).
// * up: running or paused. If the monitor breaks while the process lives, the guest keeps running and only
//   commands fail; destroy() still works, since it signals the process.
// * ended: the process is gone. Callbacks::ended is called once, whatever ended it, but not for a failed start:
//   there only `done` is.
//
// A Guest may be destroyed inside `ended` and inside any `done`; not inside another callback. Destroying it while
// its process runs leaves the process running (that is how a daemon steps down).
//
//   auto guest = std::make_unique<vmm::Guest>(
//       vmm::Guest::Deps{loop, spawner, [](const std::string& path) { return kernel::os::connect_unix(path); }},
//       vmm::Guest::Callbacks{.changed = …, .rebooted = …, .ended = …, .monitor_lost = …});
//   TRY(auto launch, vmm::compile(spec, plans));
//   guest->start({.spec = spec, .launch = launch, .id = 1, .fds = std::move(fds), .monitor = path, .log = …},
//                [](Result<void> started) { … });
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "kernel/io.h"
#include "vmm/compile.h"
#include "vmm/live.h"
#include "vmm/spec.h"

namespace bascule::vmm {

// libvirt's numbers (virDomainState), as they travel.
enum class State { nostate = 0, running = 1, paused = 3, shutdown = 4, shutoff = 5, crashed = 6, pmsuspended = 7 };

// libvirt's reason numbers, by state; only those that we give.
namespace reason {
inline constexpr int kRunningUnknown = 0, kRunningBooted = 1, kRunningUnpaused = 5, kRunningWakeup = 8;
inline constexpr int kPausedUnknown = 0, kPausedUser = 1, kPausedIoError = 5, kPausedCrashed = 10,
                     kPausedStartingUp = 11;
inline constexpr int kPmSuspendedUnknown = 0;
inline constexpr int kShutdownUnknown = 0, kShutdownUser = 1;
inline constexpr int kShutoffUnknown = 0, kShutoffShutdown = 1, kShutoffDestroyed = 2, kShutoffCrashed = 3,
                     kShutoffFailed = 6;
}  // namespace reason

struct Status {
    State state = State::shutoff;
    int reason = reason::kShutoffUnknown;
    bool operator==(const Status&) const = default;
};

// What Guest::start needs beyond the spec.
struct StartPlan {
    Spec spec;  // complete; interfaces' `live` filled by whoever made the taps
    Launch launch{};
    int id = 1;                   // libvirt's id of the running guest
    std::vector<UniqueFd> fds{};  // one a slot of launch.slots, in that order: closed here once the child has them
    std::string monitor{};        // path of the socket that slot `monitor` listens on
    UniqueFd log{};               // QEMU's standard output and error
    std::function<std::string()> last_words{};  // what the log got since; may be empty
    std::optional<std::uint32_t> uid{}, gid{};
    std::vector<std::uint32_t> groups{};
    bool paused = false;  // leave it paused (virsh start --paused)
    bool persistent = true;
    std::chrono::milliseconds timeout{30'000};  // of the whole start
};

using Done = std::move_only_function<void(Result<void>)>;

// What a guest's balloon says of its memory, in KiB. Without a driver in the guest only `actual` is known.
struct MemoryReport {
    std::uint64_t actual = 0;  // what the guest has
    std::optional<std::uint64_t> swap_in{}, swap_out{}, major_fault{}, minor_fault{}, unused{}, available{}, usable{},
        disk_caches{}, hugetlb_pgalloc{}, hugetlb_pgfail{};  // faults and hugetlb: counts
    std::uint64_t last_update = 0;                           // seconds since 1970; 0: never
};

// What a disk did since its QEMU started: requests, bytes and the time they took together, in ns.
struct DiskCounters {
    struct Way {
        std::uint64_t requests = 0, bytes = 0, time = 0;
        bool operator==(const Way&) const = default;
    };
    Way read{}, written{}, flushed{};  // flushes have no bytes
    bool operator==(const DiskCounters&) const = default;
};

// The number that QEMU gives to a key of libvirt's code set (0 linux, 1 xt, 2 atset1, 9 qnum); none: no such key.
std::optional<std::uint32_t> key_number(std::uint32_t codeset, std::uint32_t key);

class Guest {
public:
    using Connect = std::function<Result<std::unique_ptr<kernel::Stream>>(const std::string& path)>;

    struct Deps {
        kernel::Loop& loop;
        kernel::Spawner& spawner;
        Connect connect;
    };

    struct Ended {
        Status status;      // shutoff with its reason
        std::string words;  // one line for the log: "the guest powered itself off", QEMU's last words …
    };

    // Each may be left empty.
    struct Callbacks {
        std::function<void(Status)> changed{};      // running to paused or back, or on the way down
        std::function<void()> rebooted{};           // the guest reset itself
        std::function<void()> resized{};            // its memory: spec().current_memory_kib says to what
        std::function<void(Ended)> ended{};         // once; the process is gone
        std::function<void(Error)> monitor_lost{};  // the process lives, QMP does not
        // A program of the guest opened or closed its end of a channel (spec().channels[index].live).
        std::function<void(std::size_t index)> channel_changed{};
        // Every event of QEMU's, as it came: its name, and its data as JSON (empty: it has none).
        std::function<void(const std::string& name, const std::string& data)> monitor_event{};
    };

    Guest(Deps deps, Callbacks callbacks);
    Guest(const Guest&) = delete;
    Guest& operator=(const Guest&) = delete;
    ~Guest();

    void start(StartPlan plan, Done done);
    // Takes over a guest of a former daemon. Code::unreachable: its process is gone. Any other error: it runs, but
    // its monitor does not answer; it can still be destroyed.
    void attach(Live live, Done done);
    // SIGTERM, and unless `graceful` SIGKILL after 5 s. Done once the process is gone. Allowed while starting.
    void destroy(bool graceful, Done done);

    void suspend(Done done);
    void resume(Done done);
    void reset(Done done);  // system_reset
    // The guest's power button (ACPI): done when QEMU took it, not when the guest is down.
    void press_power_button(Done done);
    // Powers it down in the same way, and when it is down resets it instead of ending QEMU. Forgotten by
    // press_power_button().
    void reboot(Done done);
    // Non-maskable interrupt.
    void inject_nmi(Done done);
    void wake_up(Done done);  // from suspend to RAM
    // Keys pressed together, by QEMU's numbers (key_number()), and let go after `hold`.
    void send_keys(const std::vector<std::uint32_t>& keys, std::chrono::milliseconds hold, Done done);
    // What the balloon is to leave the guest; the guest takes its time, `resized` says when.
    void set_memory(std::uint64_t kib, Done done);
    void memory(std::move_only_function<void(Result<MemoryReport>)> done);
    // How often the guest's balloon driver reports; 0: never.
    void set_memory_period(std::chrono::seconds period, Done done);
    // One a disk of spec(); none for a drive without a medium.
    void disk_counters(std::move_only_function<void(Result<std::vector<std::optional<DiskCounters>>>)> done);
    // What the guest sees of disk `index` has that many bytes from now on; its image grows with it.
    void resize_disk(std::size_t index, std::uint64_t bytes, Done done);
    // Whatever QEMU understands: a QMP object, or a line of its human monitor. The answer as QEMU gave it. For
    // finding faults: we do not know what it did.
    void monitor_command(std::string_view command, bool human, std::move_only_function<void(Result<std::string>)> done);
    // One output of one of its video devices, by their places; none: the first.
    struct VideoHead {
        std::size_t device = 0;
        unsigned head = 0;
    };
    // QEMU writes what the screen shows to the file (open for writing only), as a portable pixmap.
    void screenshot(UniqueFd file, std::optional<VideoHead> head, Done done);
    // A client of the (VNC) display that did not come through its socket.
    void add_display_client(UniqueFd socket, bool without_password, Done done);
    // The guest's memory and registers as a core file, in one of QEMU's formats: it stands still meanwhile. Done when
    // all is written, which may take minutes.
    void dump(UniqueFd file, std::string_view format, Done done);
    // The guest's view of the cable of interface `index`; kept in spec().
    void set_link(std::size_t index, bool up, Done done);

    Status status() const;
    bool active() const;  // from start() or attach() until ended
    int pid() const;      // 0: none
    // The running copy of the definition, with ttys and targets.
    const Spec& spec() const;
    Spec& spec();  // for the daemon's own changes to a running guest (metadata, filters)
    Live live() const;
    // Pseudo-terminal of the first serial port; Code::invalid_state when there is none.
    Result<std::string> console_path() const;

private:
    class Machine;
    std::shared_ptr<Machine> machine_;
};

}  // namespace bascule::vmm
