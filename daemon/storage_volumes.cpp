// SPDX-License-Identifier: GPL-2.0-or-later
// Volumes: found, deleted, resized, wiped. How they are made is in storage_births.cpp.
#include <algorithm>

#include <fmt/format.h>

#include "daemon/storage.h"
#include "daemon/storage_busy.h"
#include "storage/lvm.h"

namespace bascule::daemon {

namespace os = kernel::os;

namespace {

constexpr std::size_t kMostImplied = 64, kMostImpliedVolumes = 1024;
constexpr std::chrono::minutes kToolPatience{10};

Error no_volume(std::string_view what, const std::string& which) {
    return {Code::no_storage_vol, fmt::format("no storage vol with matching {} '{}'", what, which), 0};
}

Error being_made(const std::string& name) {
    return {Code::invalid_state, fmt::format("volume '{}' is still being allocated.", name), 0};
}

}  // namespace

// ---- looking up ---------------------------------------------------------------------------------

Result<std::vector<storage::Volume>> Storage::volumes(const Uuid& uuid) const {
    TRY(const Pool* const pool, by_uuid(uuid));
    if (!pool->active()) {
        return fail(Code::invalid_state, fmt::format("storage pool '{}' is not active", pool->shown().name.str()));
    }
    std::vector<storage::Volume> out;
    for (const auto& [name, entry] : pool->volumes) {
        if (!entry.building) {
            out.push_back(entry.volume);
        }
    }
    return out;
}

Result<storage::Volume> Storage::volume(const VolumeName& name) const {
    TRY(const Pool* const pool, by_name(name.pool));
    if (!pool->active()) {
        return fail(Code::invalid_state, fmt::format("storage pool '{}' is not active", name.pool));
    }
    const auto it = pool->volumes.find(name.name);
    if (it == pool->volumes.end()) {
        return std::unexpected(no_volume("name", name.name));
    }
    return it->second.volume;
}

Result<FoundVolume> Storage::by_key(const std::string& key) const {
    for (const Pool* const pool : all()) {
        for (const auto& [name, entry] : pool->volumes) {
            if (pool->active() && !entry.building && entry.volume.key == key) {
                return FoundVolume{pool->live->name.str(), entry.volume};
            }
        }
    }
    return fail(Code::no_storage_vol, fmt::format("no storage vol with matching key {}", key));
}

void Storage::by_path(const std::string& path, bool any_file, Reply<FoundVolume> reply) {
    const auto tidy = storage::tidy_path(path);
    const std::string folder = storage::folder_of(tidy.value_or("/"));
    const Pool* home = nullptr;
    for (const Pool* const pool : all()) {
        if (!tidy || !pool->active()) {
            continue;
        }
        for (const auto& [name, entry] : pool->volumes) {
            if (!entry.building && entry.volume.path == *tidy) {
                reply(FoundVolume{pool->live->name.str(), entry.volume});
                return;
            }
        }
        if (pool->live->type == storage::PoolType::dir && pool->live->target == folder) {
            home = pool;
        }
    }
    if (!tidy || (home == nullptr && !any_file)) {
        reply(std::unexpected(no_volume("path", path)));
        return;
    }
    // It may have come since the last look.
    const Uuid uuid = home != nullptr ? home->live->uuid : storage::implied_uuid(folder);
    struct Seen {
        storage::Volume volume;
        storage::Room room;
    };
    kernel::run_on(
        *quick_,
        [path = *tidy, folder]() -> Result<Seen> {
            TRY(storage::Volume volume, look_at_volume(path));
            TRY(const storage::Room room, room_of(folder));
            return Seen{std::move(volume), room};
        },
        [this, uuid, folder, reply = std::move(reply)](Result<Seen> seen) mutable {
            if (!seen) {
                reply(std::unexpected(std::move(seen).error()));
                return;
            }
            Pool& pool = imply(uuid, folder);
            pool.room = seen->room;
            pool.volumes.try_emplace(seen->volume.name, Pool::Entry{.volume = seen->volume});
            reply(FoundVolume{pool.shown().name.str(), std::move(seen->volume)});
        });
}

// The pool of that folder, made up where there is none.
Pool& Storage::imply(const Uuid& uuid, const std::string& folder) {
    if (Pool* const known = find(uuid); known != nullptr && known->active()) {
        if (known->implied && known->volumes.size() >= kMostImpliedVolumes) {
            std::erase_if(known->volumes, [](const auto& e) { return !e.second.building && e.second.in_use == 0; });
        }
        return *known;
    }
    // Those that nobody works with go when there are too many.
    for (std::size_t i = 0; i < implied_.size() && implied_.size() >= kMostImplied;) {
        Pool& old = pools_.at(implied_[i]);
        if (old.jobs > 0) {
            ++i;
            continue;
        }
        old.live.reset();
        forget_if_gone(implied_[i]);
        implied_.erase(implied_.begin() + static_cast<std::ptrdiff_t>(i));
    }
    implied_.push_back(storage::implied_uuid(folder));
    Pool& pool = pools_[implied_.back()];
    pool.implied = true;
    pool.live = storage::PoolSpec{.name = *ObjectName::parse(storage::implied_name(folder)),
                                  .uuid = implied_.back(),
                                  .type = storage::PoolType::dir,
                                  .target = folder};
    keep_name(*pool.live);
    return pool;
}

// ---- changing -----------------------------------------------------------------------------------

// A volume that nobody makes, reads or writes.
Result<std::pair<Pool*, Pool::Entry*>> Storage::idle_volume(const VolumeName& name) {
    TRY(const storage::Volume known, volume(name));
    Pool* const pool = find_name(name.pool);
    Pool::Entry* const entry = &pool->volumes.at(known.name);
    if (entry->in_use > 0) {
        return fail(Code::invalid_state, fmt::format("volume '{}' is still in use.", name.name));
    }
    if (entry->building) {
        return std::unexpected(being_made(name.name));
    }
    return std::pair(pool, entry);
}

// Looks at it again; the entry is the look's, and free, whatever has happened. Takes the volume's own job.
void Storage::finish_change(const VolumeName& name, Result<void> result, Reply<void> reply) {
    Pool* const pool = find_name(name.pool);
    const Uuid uuid = pool->live->uuid;
    auto seen = [this, name, uuid, result = std::move(result), reply = std::move(reply),
                 busy = Busy(*this, uuid)](Result<storage::Volume> volume) mutable {
        Pool& still = pools_[uuid];
        const auto entry = still.volumes.find(name.name);
        if (entry != still.volumes.end() && !volume) {
            still.volumes.erase(entry);
        } else if (entry != still.volumes.end()) {
            entry->second.volume = std::move(*volume);
            entry->second.building = false;
        }
        --still.jobs;
        reply(std::move(result));
    };
    if (pool->live->type == storage::PoolType::dir) {
        const std::string path = pool->volumes.at(name.name).volume.path;
        struct Seen {
            Result<storage::Volume> volume;
            Result<storage::Room> room;
        };
        kernel::run_on(
            *quick_, [path] { return Seen{look_at_volume(path), room_of(storage::folder_of(path))}; },
            [this, uuid, seen = std::move(seen)](Seen now) mutable {
                if (now.room) {
                    pools_[uuid].room = *now.room;
                }
                seen(std::move(now.volume));
            });
        return;
    }
    survey(*pool->live, [this, uuid, name, seen = std::move(seen)](Result<Survey> now) mutable {
        Result<storage::Volume> volume = std::unexpected(no_volume("name", name.name));
        if (now) {
            const auto it = std::ranges::find(now->volumes, name.name, &storage::Volume::name);
            if (it != now->volumes.end()) {
                volume = *it;
            }
            take(pools_[uuid], std::move(*now));
        }
        seen(std::move(volume));
    });
}

// The entry is taken until finish_change().
void Storage::begin_change(Pool& pool, Pool::Entry& entry) {
    entry.building = true;
    ++pool.jobs;
}

void Storage::erase_volume(const VolumeName& name, Reply<void> reply) {
    const auto found = idle_volume(name);
    if (!found) {
        reply(std::unexpected(found.error()));
        return;
    }
    auto [pool, entry] = *found;
    begin_change(*pool, *entry);
    auto done = [this, name, reply = std::move(reply)](Result<void> gone) mutable {
        finish_change(name, std::move(gone), std::move(reply));
    };
    if (pool->live->type == storage::PoolType::logical) {
        tools_.run({storage::drop_volume(pool->live->group, name.name)}, kToolPatience,
                   [done = std::move(done)](Result<std::string> gone) mutable {
                       done(gone ? Result<void>() : std::unexpected(std::move(gone).error()));
                   });
        return;
    }
    kernel::run_on(
        *slow_,
        [folder = pool->live->target, name = name.name,
         is_folder = entry->volume.type == storage::VolumeType::dir]() -> Result<void> {
            TRY_OK(os::remove_entry(folder, name, is_folder));
            return os::sync_folder(folder);
        },
        std::move(done));
}

void Storage::resize_volume(const VolumeName& name, std::uint64_t capacity, std::uint32_t flags, Reply<void> reply) {
    auto checked = [&]() -> Result<std::uint64_t> {
        TRY(const auto found, idle_volume(name));
        const storage::Volume& volume = found.second->volume;
        const bool resizable = volume.format == storage::Format::raw || volume.format == storage::Format::qcow2 ||
                               volume.format == storage::Format::qed;
        if (!resizable ||
            (volume.type == storage::VolumeType::block && found.first->live->type == storage::PoolType::dir)) {
            return fail(Code::not_implemented,
                        fmt::format("volume '{}': storage pool does not support changing of volume capacity for the "
                                    "format '{}'",
                                    name.name, storage::kFormats.name(volume.format)));
        }
        return storage::resized(volume, capacity, flags, found.first->room.available);
    }();
    if (!checked) {
        reply(std::unexpected(std::move(checked).error()));
        return;
    }
    auto [pool, entry] = *idle_volume(name);
    begin_change(*pool, *entry);
    const storage::Volume volume = entry->volume;
    auto done = [this, name, reply = std::move(reply)](Result<void> changed) mutable {
        finish_change(name, std::move(changed), std::move(reply));
    };
    auto ran = [done = std::move(done)](Result<std::string> text) mutable {
        done(text ? Result<void>() : std::unexpected(std::move(text).error()));
    };
    const bool shrink = *checked < volume.capacity, allocate = (flags & storage::kResizeAllocate) != 0;
    if (pool->live->type == storage::PoolType::logical) {
        std::vector<storage::Run> runs;
        if (*checked != volume.capacity) {
            runs.push_back(storage::resize_volume(pool->live->group, name.name, *checked, shrink));
        }
        tools_.run(std::move(runs), kToolPatience, std::move(ran));
        return;
    }
    // qemu-img opens what the image builds on, too.
    kernel::run_on(
        *slow_,
        [volume, bytes = *checked, allocate, managed = managed()]() -> Result<std::vector<std::string>> {
            if (volume.format != storage::Format::raw) {
                return chain_of(volume.path, volume.format, false, managed);
            }
            TRY(const UniqueFd fd, os::open_disk(volume.path, true));
            TRY_OK(os::set_size(fd, bytes));
            if (allocate && bytes > volume.capacity) {
                TRY_OK(os::allocate(fd, volume.capacity, bytes - volume.capacity));
            }
            TRY_OK(os::sync(fd));
            return std::vector<std::string>();
        },
        [this, volume, bytes = *checked, shrink, allocate,
         ran = std::move(ran)](Result<std::vector<std::string>> chain) mutable {
            if (!chain || chain->empty()) {
                ran(chain ? Result<std::string>(std::string()) : std::unexpected(std::move(chain).error()));
                return;
            }
            storage::Run run = storage::resize_image(volume.path, volume.format, bytes, shrink, allocate);
            run.reads.assign(chain->begin() + 1, chain->end());
            tools_.run({std::move(run)}, kToolPatience, std::move(ran));
        });
}

void Storage::wipe_volume(const VolumeName& name, std::uint32_t algorithm, Reply<void> reply) {
    const auto found = idle_volume(name);
    auto passes = storage::wipe_passes(algorithm);
    if (!found || !passes || found->second->volume.type == storage::VolumeType::dir) {
        reply(!found ? std::unexpected(found.error())
              : !passes
                  ? std::unexpected(std::move(passes).error())
                  : fail(Code::unsupported, fmt::format("volume '{}' is a folder: it cannot be wiped", name.name)));
        return;
    }
    auto [pool, entry] = *found;
    begin_change(*pool, *entry);
    kernel::run_on(
        *slow_,
        [path = entry->volume.path, passes = std::move(*passes)]() -> Result<void> {
            TRY(const UniqueFd fd, os::open_disk(path, true));
            TRY(const std::uint64_t size, os::size_of(fd));
            if (passes.empty()) {
                return os::discard(fd, size);
            }
            for (const storage::Pass& pass : passes) {
                const auto pattern = pass.pattern.value_or(std::array<std::uint8_t, 3>());
                const std::span<const std::uint8_t> bytes(pattern);
                TRY_OK(os::overwrite(fd, size, bytes.first(pass.pattern ? pattern.size() : 0)));
            }
            return {};
        },
        [this, name, reply = std::move(reply)](Result<void> wiped) mutable {
            finish_change(name, std::move(wiped), std::move(reply));
        });
}

void Storage::look(const VolumeName& name, Reply<storage::Volume> reply) {
    const auto known = volume(name);
    const Pool* const pool = find_name(name.pool);
    if (!known || pool->live->type == storage::PoolType::logical || pool->volumes.at(name.name).building) {
        reply(known);
        return;
    }
    const Uuid uuid = pool->live->uuid;
    kernel::run_on(
        *quick_, [path = known->path] { return look_at_volume(path); },
        [this, uuid, name = name.name, reply = std::move(reply)](Result<storage::Volume> now) mutable {
            if (Pool* const still = find(uuid); now && still != nullptr && still->volumes.contains(name)) {
                still->volumes.at(name).volume = *now;
            }
            reply(std::move(now));
        });
}

// ---- streams ------------------------------------------------------------------------------------

Result<storage::Volume> Storage::begin_transfer(const VolumeName& name) {
    TRY(const storage::Volume known, volume(name));
    Pool* const pool = find_name(name.pool);
    Pool::Entry& entry = pool->volumes.at(known.name);
    if (entry.building) {
        return std::unexpected(being_made(name.name));
    }
    if (known.type == storage::VolumeType::dir) {
        return fail(Code::unsupported,
                    fmt::format("volume '{}' is a folder: it has no content to transfer", name.name));
    }
    ++entry.in_use;
    ++pool->jobs;
    return known;
}

void Storage::end_transfer(const VolumeName& name, bool changed) {
    Pool* const pool = ending_ ? nullptr : find_name(name.pool);
    if (pool == nullptr || !pool->volumes.contains(name.name)) {
        return;
    }
    --pool->volumes.at(name.name).in_use;
    if (!changed) {
        --pool->jobs;
        return;
    }
    const storage::PoolSpec spec = *pool->live;
    finish_change(name, {}, [this, spec](const Result<void>&) {
        tell_({.name = spec.name.str(), .uuid = spec.uuid, .refresh = true});
    });
}

}  // namespace bascule::daemon
