// SPDX-License-Identifier: GPL-2.0-or-later
// What a running QEMU is handed as a descriptor, since it opens nothing by itself: a file for a picture of the screen
// or for its memory, a socket for a display's client.
#include <utility>

#include <fmt/format.h>

#include "vmm/guest_machine.h"

namespace bascule::vmm {

namespace {

using qmp::Json;

// QEMU has a name for each descriptor; it is taken back from it when what it was for fails.
constexpr std::string_view kDisplayClient = "display-client", kCore = "core";

}  // namespace

// A set of one descriptor: with() gets its path within QEMU, and when it calls its `Done` the set is dropped again.
void Guest::Machine::with_set(UniqueFd fd, std::move_only_function<void(Machine&, const std::string&, Done)> with,
                              Done done) {
    const auto weak = weak_from_this();
    ask(
        "add-fd", nullptr,
        [weak, with = std::move(with), done = std::move(done)](Result<Json> answer) mutable {
            const auto self = weak.lock();
            const Json set = answer && answer->is_object() ? answer->value("fdset-id", Json()) : Json();
            if (!self || !set.is_number_unsigned()) {
                done(answer ? fail(Code::internal, "QEMU does not say where it put a descriptor")
                            : std::unexpected(std::move(answer).error()));
                return;
            }
            const auto number = set.get<std::uint64_t>();
            with(*self, fmt::format("/dev/fdset/{}", number),
                 [weak, number, done = std::move(done)](auto result) mutable {
                     if (const auto machine = weak.lock()) {
                         machine->command("remove-fd", {{"fdset-id", number}}, [](const Result<void>&) {});
                     }
                     done(std::move(result));
                 });
        },
        std::move(fd));
}

// A descriptor under a name, for the command that follows, which takes it over when it succeeds.
void Guest::Machine::with_named(std::string_view name, UniqueFd fd, std::string_view next, Json arguments, Done done) {
    const auto weak = weak_from_this();
    ask(
        "getfd", {{"fdname", name}},
        [weak, name = std::string(name), next = std::string(next), arguments = std::move(arguments),
         done = std::move(done)](Result<Json> answer) mutable {
            const auto self = weak.lock();
            if (!answer || !self) {
                done(answer ? fail(Code::invalid_state, "the guest is not running")
                            : std::unexpected(std::move(answer).error()));
                return;
            }
            self->command(next, arguments, [weak, name, done = std::move(done)](Result<void> result) mutable {
                if (const auto machine = weak.lock(); machine && !result) {
                    machine->command("closefd", {{"fdname", name}}, [](const Result<void>&) {});
                }
                done(std::move(result));
            });
        },
        std::move(fd));
}

void Guest::Machine::dump(UniqueFd file, std::string_view format, Done done) {
    if (dump_done_) {
        later([done = std::move(done)](Machine&) mutable {
            done(fail(Code::invalid_state, "the guest's memory is being written to a file already"));
        });
        return;
    }
    dump_done_ = std::move(done);
    const auto weak = weak_from_this();
    with_named(kCore, std::move(file), "dump-guest-memory",
               {{"paging", false}, {"protocol", fmt::format("fd:{}", kCore)}, {"detach", true}, {"format", format}},
               [weak](Result<void> begun) {
                   if (const auto self = weak.lock(); self && !begun) {
                       self->dumped(std::move(begun));
                   }
               });
}

void Guest::Machine::on_dump_completed(const qmp::Event& event) {
    const std::string error = qmp::text_of(event.data, "error");
    dumped(error.empty() ? Result<void>() : fail(Code::internal, "QEMU: " + qmp::printable(error)));
}

void Guest::Machine::dumped(Result<void> result) {
    if (auto done = std::exchange(dump_done_, nullptr)) {
        done(std::move(result));
    }
}

void Guest::screenshot(UniqueFd file, std::optional<VideoHead> head, Done done) {
    machine_->with_set(
        std::move(file),
        [head](Machine& machine, const std::string& path, Done then) {
            Json arguments{{"filename", path}};
            if (head) {
                arguments["device"] = video_alias(machine.live().spec, head->device);
                arguments["head"] = head->head;
            }
            machine.command("screendump", arguments, std::move(then));
        },
        std::move(done));
}

void Guest::add_display_client(UniqueFd socket, bool without_password, Done done) {
    machine_->with_named(kDisplayClient, std::move(socket), "add_client",
                         {{"protocol", "vnc"}, {"fdname", kDisplayClient}, {"skipauth", without_password}},
                         std::move(done));
}

void Guest::dump(UniqueFd file, std::string_view format, Done done) {
    machine_->dump(std::move(file), format, std::move(done));
}

}  // namespace bascule::vmm
