// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/storage_disk.h"

#include <algorithm>

#include <fmt/format.h>

#include "storage/image.h"

namespace bascule::daemon {

namespace {

constexpr std::string_view kUnfinished = "unfinished";  // in the place of a recorded format

Result<os::FileFacts> facts_of(const std::string& path) {
    return os::look_at(path, storage::kHead, storage::head_wanted);
}

storage::Instant instant(const os::FileTime& time) { return {time.seconds, time.nanoseconds}; }

std::optional<storage::Format> recorded(const os::FileFacts& facts) {
    return facts.format.empty() ? std::nullopt : storage::kFormats.parse(facts.format);
}

// Nothing for what is neither file, folder nor block device.
std::optional<storage::Volume> volume_of(const std::string& path, const os::FileFacts& facts) {
    using Kind = os::FileFacts::Kind;
    if (facts.kind == Kind::other) {
        return std::nullopt;
    }
    storage::Volume out{.name = storage::name_of(path), .key = path, .path = path};
    out.permissions = {.mode = facts.mode, .owner = facts.uid, .group = facts.gid};
    out.times = {instant(facts.access), instant(facts.change), instant(facts.modification)};
    out.allocation = facts.allocated;
    if (facts.kind == Kind::folder) {
        out.type = storage::VolumeType::dir;
        out.format = storage::Format::dir;
        return out;
    }
    out.type = facts.kind == Kind::block ? storage::VolumeType::block : storage::VolumeType::file;
    const storage::Image image = storage::describe(facts.head, recorded(facts));
    out.format = image.format;
    out.capacity = image.capacity.value_or(facts.size);
    out.physical = facts.size;
    out.details = image.details;
    out.encrypted = image.encrypted;
    out.external_data = image.external_data;
    if (image.backing) {
        // What is no local path is shown as it stands, so that nobody takes the image for a whole one.
        out.backing = storage::Backing{storage::resolve_backing(path, *image.backing).value_or(*image.backing),
                                       image.backing_format};
    }
    return out;
}

}  // namespace

Result<storage::Room> room_of(const std::string& folder) {
    TRY(const os::FileSystemRoom room, os::room_of(folder));
    return storage::Room{room.capacity, room.capacity - std::min(room.capacity, room.available), room.available};
}

Result<Survey> survey_folder(const std::string& folder) {
    Survey out;
    TRY(const auto names, os::names_in(folder));
    TRY(out.room, room_of(folder));
    TRY(const os::FileFacts itself, facts_of(folder));
    out.permissions = storage::Permissions{.mode = itself.mode, .owner = itself.uid, .group = itself.gid};
    for (const std::string& name : names) {
        const std::string path = (folder == "/" ? "" : folder) + "/" + name;
        // What cannot be looked at (a link to nothing, a file that has just gone) is not there.
        const auto facts = storage::is_volume_name(name) ? facts_of(path) : fail(Code::invalid_argument, name);
        if (!facts) {
            continue;
        }
        if (facts->format == kUnfinished) {
            out.unfinished.push_back(name);
        } else if (auto volume = volume_of(path, *facts)) {
            out.volumes.push_back(std::move(*volume));
        }
    }
    return out;
}

Result<storage::Volume> look_at_volume(const std::string& path) {
    auto facts = facts_of(path);
    if (!facts && facts.error().sys_errno != ENOENT && facts.error().sys_errno != ENOTDIR) {
        return std::unexpected(std::move(facts).error());
    }
    auto volume = facts && storage::is_volume_name(storage::name_of(path)) && facts->format != kUnfinished
                      ? volume_of(path, *facts)
                      : std::nullopt;
    if (!volume) {
        return fail(Code::no_storage_vol, fmt::format("no storage vol with matching path '{}'", path));
    }
    return std::move(*volume);
}

bool Managed::has(const std::string& path) const {
    return folders.contains(storage::folder_of(path)) || paths.contains(path);
}

Result<std::vector<std::string>> chain_of(const std::string& path, storage::Format format, bool told,
                                          const Managed& managed) {
    constexpr std::size_t kLongest = 64;
    std::vector<std::string> out;
    std::string at = path;
    while (out.size() < kLongest) {
        out.push_back(at);
        TRY(const os::FileFacts facts, facts_of(at));
        const auto known = recorded(facts);
        const storage::Image image = storage::describe(facts.head, format);
        if (image.external_data) {
            return fail(Code::unsupported, fmt::format("{}: the image keeps its data in another file", at));
        }
        if (!image.backing) {
            return out;
        }
        if (!told && known != format) {
            return fail(Code::unsupported,
                        fmt::format("{}: the image says that it builds on '{}', but it was not made here and may have "
                                    "been written by a guest: it is not followed",
                                    at, *image.backing));
        }
        const auto next = storage::resolve_backing(at, *image.backing);
        if (!next || !managed.has(*next)) {
            return fail(Code::unsupported,
                        fmt::format("{}: its backing file '{}' is no volume of an active pool", at, *image.backing));
        }
        if (!image.backing_format) {
            return fail(Code::unsupported,
                        fmt::format("{}: the image does not say which format its backing file '{}' has", at, *next));
        }
        at = *next;
        format = *image.backing_format;
        told = false;
    }
    return fail(Code::unsupported, fmt::format("{}: its chain of backing files has more than {}", path, kLongest));
}

os::Ownership ownership_of(const storage::Permissions& permissions) {
    return {.mode = permissions.mode, .uid = permissions.owner, .gid = permissions.group};
}

Result<void> begin_file(const std::string& folder, const std::string& name) {
    drop_unfinished(folder, name);
    TRY(const UniqueFd fd, os::make_file(folder, name));
    os::record_format(fd, std::string(kUnfinished));
    return {};
}

Result<storage::Volume> finish_file(const std::string& path, storage::Format format,
                                    const storage::Permissions& permissions) {
    {
        TRY(const UniqueFd fd, os::open_disk(path, true));
        os::Ownership ownership = ownership_of(permissions);
        ownership.mode = ownership.mode.value_or(0600);
        TRY_OK(os::set_owner(fd, ownership));
        os::record_format(fd, std::string(storage::kFormats.name(format)));
        TRY_OK(os::sync(fd));
    }
    TRY_OK(os::sync_folder(storage::folder_of(path)));
    return look_at_volume(path);
}

void drop_unfinished(const std::string& folder, const std::string& name) {
    const auto facts = facts_of(folder + "/" + name);
    if (facts && facts->format == kUnfinished) {
        (void)os::remove_entry(folder, name, false);  // whoever needs the name finds it taken, and says so
    }
}

kernel::Command Tools::command_of(const storage::Run& run, std::chrono::seconds limit) const {
    kernel::Command out{.program = run.program,
                        .args = run.args,
                        // LVM wants to know where its helpers are.
                        .environment = {"LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LVM_SUPPRESS_FD_WARNINGS=1"},
                        .uid = std::nullopt,
                        .gid = std::nullopt,
                        .groups = {},
                        .fds = {}};
    if (run.confined) {
        out.confine = kernel::Confinement{.reads = run.reads, .writes = run.writes, .processor = limit};
    }
    return out;
}

void Tools::run(std::vector<storage::Run> runs, std::chrono::seconds limit, Reply<std::string> then) {
    if (runs.empty()) {
        host_.loop.defer([then = std::move(then)]() mutable { then(std::string()); });
        return;
    }
    const std::uint64_t id = next_++;
    const kernel::Command command = command_of(runs.front(), limit);
    auto done = [this, id, runs = std::move(runs), limit, then = std::move(then)](Result<os::Output> output) mutable {
        auto text = os::output_of(runs.front().program, std::move(output));
        runs.erase(runs.begin());
        auto next = std::move(then);
        auto rest = std::move(runs);
        Tools& tools = *this;
        const auto time = limit;
        running_.erase(id);  // and this closure with it
        if (!text || rest.empty()) {
            next(std::move(text));
        } else {
            tools.run(std::move(rest), time, std::move(next));
        }
    };
    running_[id] = os::run_command(host_.spawner, host_.loop, command, {.time = limit}, std::move(done));
}

}  // namespace bascule::daemon
