// SPDX-License-Identifier: GPL-2.0-or-later
// What a running guest can be asked and told besides its life cycle. Answers are QEMU's words: each is checked for the
// types it promises before anything is made of it.
#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "vmm/guest_machine.h"

namespace bascule::vmm {

namespace {

using qmp::Json;

std::string balloon_path(const Spec& spec) { return "/machine/peripheral/" + balloon_alias(spec); }

// "stats" of virtio-balloon-device: what the driver did not report is all ones, which as a signed number is -1.
std::optional<std::uint64_t> reported(const Json& stats, std::string_view member, std::uint64_t unit) {
    const auto value = qmp::unsigned_of(stats, member);
    return !value || *value == ~std::uint64_t{0} ? std::nullopt : std::optional(*value / unit);
}

void read_statistics(const Json& answer, MemoryReport& report) {
    report.last_update = qmp::unsigned_of(answer, "last-update").value_or(0);
    if (!answer.is_object() || !answer.contains("stats") || report.last_update == 0) {
        return;
    }
    constexpr std::uint64_t kKib = 1024, kOne = 1;
    const Json& stats = answer["stats"];
    report.swap_in = reported(stats, "stat-swap-in", kKib);
    report.swap_out = reported(stats, "stat-swap-out", kKib);
    report.major_fault = reported(stats, "stat-major-faults", kOne);
    report.minor_fault = reported(stats, "stat-minor-faults", kOne);
    report.unused = reported(stats, "stat-free-memory", kKib);
    report.available = reported(stats, "stat-total-memory", kKib);
    report.usable = reported(stats, "stat-available-memory", kKib);
    report.disk_caches = reported(stats, "stat-disk-caches", kKib);
    report.hugetlb_pgalloc = reported(stats, "stat-htlb-pgalloc", kOne);
    report.hugetlb_pgfail = reported(stats, "stat-htlb-pgfail", kOne);
}

DiskCounters counters_of(const Json& stats) {
    const auto number = [&](std::string_view member) { return qmp::unsigned_of(stats, member).value_or(0); };
    return {.read = {number("rd_operations"), number("rd_bytes"), number("rd_total_time_ns")},
            .written = {number("wr_operations"), number("wr_bytes"), number("wr_total_time_ns")},
            .flushed = {number("flush_operations"), 0, number("flush_total_time_ns")}};
}

Error no_balloon() {
    return {Code::invalid_state, "the guest has no memory balloon: its definition says <memballoon model='none'/>", 0};
}

}  // namespace

void Guest::inject_nmi(Done done) { machine_->command("inject-nmi", nullptr, std::move(done)); }
void Guest::wake_up(Done done) { machine_->command("system_wakeup", nullptr, std::move(done)); }

void Guest::send_keys(const std::vector<std::uint32_t>& keys, std::chrono::milliseconds hold, Done done) {
    Json codes = Json::array();
    for (const std::uint32_t key : keys) {
        codes.push_back({{"type", "number"}, {"data", key}});
    }
    Json arguments{{"keys", std::move(codes)}};
    if (hold.count() > 0) {
        arguments["hold-time"] = hold.count();
    }
    machine_->command("send-key", arguments, std::move(done));
}

void Guest::set_memory(std::uint64_t kib, Done done) {
    if (!spec().balloon) {
        machine_->later([done = std::move(done)](Machine&) mutable { done(std::unexpected(no_balloon())); });
        return;
    }
    machine_->command("balloon", {{"value", kib * 1024}}, std::move(done));
}

void Guest::set_memory_period(std::chrono::seconds period, Done done) {
    if (!spec().balloon) {
        machine_->later([done = std::move(done)](Machine&) mutable { done(std::unexpected(no_balloon())); });
        return;
    }
    machine_->command(
        "qom-set",
        {{"path", balloon_path(spec())}, {"property", "guest-stats-polling-interval"}, {"value", period.count()}},
        std::move(done));
}

void Guest::memory(std::move_only_function<void(Result<MemoryReport>)> done) {
    if (!spec().balloon) {
        machine_->later([done = std::move(done)](Machine& machine) mutable {
            done(MemoryReport{.actual = machine.live().spec.memory_kib});
        });
        return;
    }
    const auto weak = std::weak_ptr(machine_);
    machine_->ask("query-balloon", nullptr, [weak, done = std::move(done)](Result<Json> answer) mutable {
        const auto machine = weak.lock();
        const auto actual = answer ? qmp::unsigned_of(*answer, "actual") : std::nullopt;
        if (!answer || !actual || !machine) {
            done(!answer ? std::unexpected(std::move(answer).error())
                         : fail(Code::internal, "QEMU does not say how much memory the guest has"));
            return;
        }
        MemoryReport report{.actual = *actual / 1024};
        machine->ask("qom-get", {{"path", balloon_path(machine->live().spec)}, {"property", "guest-stats"}},
                     [report, done = std::move(done)](Result<Json> stats) mutable {
                         if (stats) {
                             read_statistics(*stats, report);
                         }
                         done(report);
                     });
    });
}

void Guest::disk_counters(std::move_only_function<void(Result<std::vector<std::optional<DiskCounters>>>)> done) {
    const std::size_t disks = spec().disks.size();
    machine_->ask("query-blockstats", nullptr, [disks, done = std::move(done)](Result<Json> answer) mutable {
        if (!answer || !answer->is_array()) {
            done(answer ? fail(Code::internal, "QEMU's account of its disks is no list")
                        : std::unexpected(std::move(answer).error()));
            return;
        }
        std::vector<std::optional<DiskCounters>> out(disks);
        for (std::size_t i = 0; i < disks; ++i) {
            const auto mine = std::ranges::find_if(
                *answer, [&](const Json& entry) { return qmp::text_of(entry, "node-name") == disk_node(i); });
            if (mine != answer->end() && mine->contains("stats")) {
                out[i] = counters_of((*mine)["stats"]);
            }
        }
        done(std::move(out));
    });
}

void Guest::resize_disk(std::size_t index, std::uint64_t bytes, Done done) {
    machine_->command("block_resize", {{"node-name", disk_node(index)}, {"size", bytes}}, std::move(done));
}

void Guest::monitor_command(std::string_view command, bool human,
                            std::move_only_function<void(Result<std::string>)> done) {
    const auto refuse = [&](std::string words) {
        machine_->later([done = std::move(done), words = std::move(words)](Machine&) mutable {
            done(fail(Code::invalid_argument, std::move(words)));
        });
    };
    if (human) {
        machine_->ask("human-monitor-command", {{"command-line", command}},
                      [done = std::move(done)](Result<Json> answer) mutable {
                          if (!answer || !answer->is_string()) {
                              done(answer ? fail(Code::internal, "QEMU's answer is no text")
                                          : std::unexpected(std::move(answer).error()));
                          } else {
                              done(answer->get<std::string>());
                          }
                      });
        return;
    }
    const Json parsed = Json::parse(command, nullptr, false);
    if (!parsed.is_object() || qmp::text_of(parsed, "execute").empty()) {
        return refuse("the command is not a JSON object with a member 'execute'; for QEMU's human monitor use --hmp");
    }
    const auto arguments = parsed.find("arguments");
    machine_->ask(qmp::text_of(parsed, "execute"), arguments == parsed.end() ? Json() : *arguments,
                  [done = std::move(done)](Result<Json> answer) mutable {
                      if (answer) {
                          done(Json{{"return", *answer}}.dump(-1, ' ', false, Json::error_handler_t::replace));
                      } else {
                          done(std::unexpected(std::move(answer).error()));
                      }
                  });
}

// ---- powering down and up again ----------------------------------------------------------------

// QEMU ends when the guest powers itself off, unless it was told to pause then (what -no-shutdown does from the start).
void Guest::Machine::reboot(Done done) {
    const auto weak = weak_from_this();
    command("set-action", {{"shutdown", "pause"}}, [weak, done = std::move(done)](Result<void> result) mutable {
        const auto self = weak.lock();
        if (!result || !self) {
            done(result ? fail(Code::invalid_state, "the guest is not running") : std::move(result));
            return;
        }
        self->reboot_asked_ = true;
        self->command("system_powerdown", nullptr, std::move(done));
    });
}

void Guest::Machine::press_power_button(Done done) {
    if (!std::exchange(reboot_asked_, false)) {
        command("system_powerdown", nullptr, std::move(done));
        return;
    }
    const auto weak = weak_from_this();
    command("set-action", {{"shutdown", "poweroff"}}, [weak, done = std::move(done)](Result<void> result) mutable {
        const auto self = weak.lock();
        if (!result || !self) {
            done(result ? fail(Code::invalid_state, "the guest is not running") : std::move(result));
            return;
        }
        self->command("system_powerdown", nullptr, std::move(done));
    });
}

// The guest is down and QEMU has paused it. Each command is independent of the others' success: a guest that cannot be
// reset is better paused, where it can be seen, than gone.
void Guest::Machine::start_again() {
    reboot_asked_ = false;
    restarting_ = true;
    command("system_reset", nullptr, [](const Result<void>&) {});
    command("set-action", {{"shutdown", "poweroff"}}, [](const Result<void>&) {});
    command("cont", nullptr, [](const Result<void>&) {});
    if (const auto rebooted = callbacks_.rebooted) {
        rebooted();
    }
}

void Guest::Machine::on_balloon(const qmp::Event& event) {
    const auto actual = qmp::unsigned_of(event.data, "actual");
    if (!actual || *actual / 1024 > live_.spec.memory_kib) {
        return;
    }
    live_.spec.current_memory_kib = *actual / 1024;
    if (const auto resized = callbacks_.resized) {
        resized();
    }
}

// ---- keys --------------------------------------------------------------------------------------

namespace {

// QEMU's numbers are those of the AT keyboard's scan codes, set 1, with 0x80 for a leading 0xe0 byte. Linux' numbers
// (linux/input-event-codes.h) are the same up to F12; the others that keyboards have are here.
struct Key {
    std::uint32_t linux_code, number;
};
constexpr std::array kKeys{
    Key{96, 0x9c},  Key{97, 0x9d},  Key{98, 0xb5},  Key{99, 0x54},  Key{100, 0xb8}, Key{102, 0xc7}, Key{103, 0xc8},
    Key{104, 0xc9}, Key{105, 0xcb}, Key{106, 0xcd}, Key{107, 0xcf}, Key{108, 0xd0}, Key{109, 0xd1}, Key{110, 0xd2},
    Key{111, 0xd3}, Key{113, 0xa0}, Key{114, 0xae}, Key{115, 0xb0}, Key{116, 0xde}, Key{117, 0x59}, Key{119, 0xc6},
    Key{125, 0xdb}, Key{126, 0xdc}, Key{127, 0xdd}, Key{142, 0xdf}, Key{143, 0xe3}};
constexpr std::uint32_t kLastCommon = 88;  // F12

}  // namespace

std::optional<std::uint32_t> key_number(std::uint32_t codeset, std::uint32_t key) {
    constexpr std::uint32_t kLinux = 0, kXt = 1, kAtSet1 = 2, kQnum = 9;
    constexpr std::uint32_t kExtended = 0xe000;
    switch (codeset) {
        case kLinux: {
            if (key >= 1 && key <= kLastCommon) {
                return key;
            }
            const auto it = std::ranges::find(kKeys, key, &Key::linux_code);
            return it == kKeys.end() ? std::nullopt : std::optional(it->number);
        }
        case kXt:
        case kAtSet1:
            if ((key & 0xff00) == kExtended) {
                return (key & 0x7f) | 0x80;
            }
            return key >= 1 && key <= 0x7f ? std::optional(key) : std::nullopt;
        case kQnum: return key >= 1 && key <= 0xff ? std::optional(key) : std::nullopt;
        default: return std::nullopt;
    }
}

}  // namespace bascule::vmm
