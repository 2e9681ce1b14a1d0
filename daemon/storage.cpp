// SPDX-License-Identifier: GPL-2.0-or-later
// Pools: what is defined, what runs.
#include "daemon/storage.h"

#include <algorithm>

#include <fmt/format.h>

#include "daemon/storage_busy.h"
#include "kernel/linux/worker.h"
#include "storage/lvm.h"
#include "storage/xml.h"

namespace bascule::daemon {

namespace os = kernel::os;

namespace {

constexpr const char* kDefinitions = "/etc/bascule/storage";
constexpr const char* kLive = "/run/bascule/storage";
constexpr std::uint32_t kPoolMode = 0711;  // as the peer's
constexpr std::chrono::minutes kLvmPatience{10};
constexpr std::size_t kQuickThreads = 4, kSlowThreads = 4;

// virStoragePoolBuildFlags, virStoragePoolCreateFlags
constexpr std::uint32_t kNoOverwrite = 4, kOverwrite = 8;
constexpr std::uint32_t kWithBuild = 1, kWithOverwrite = 2, kWithNoOverwrite = 4;

Error not_active(const storage::PoolSpec& spec) {
    return {Code::invalid_state, fmt::format("storage pool '{}' is not active", spec.name.str()), 0};
}

Error has_jobs(const std::string& name) {
    return {Code::internal, fmt::format("pool '{}' has asynchronous jobs running.", name), 0};
}

}  // namespace

Storage::Storage(Host& host, Tell tell)
    : host_(host),
      tell_(std::move(tell)),
      definitions_(host.files, kDefinitions),
      live_(host.files, kLive),
      tools_(host),
      quick_(os::make_worker(host.loop, kQuickThreads)),
      slow_(os::make_worker(host.loop, kSlowThreads)) {}

// ---- looking up ---------------------------------------------------------------------------------

Pool* Storage::find(const Uuid& uuid) {
    const auto it = pools_.find(uuid);
    const bool there = it != pools_.end() && (it->second.active() || it->second.persistent());
    return there ? &it->second : nullptr;
}

Pool* Storage::find_name(const std::string& name) {
    const auto it = names_.find(name);
    return it == names_.end() ? nullptr : find(it->second);
}

Result<const Pool*> Storage::by_name(const std::string& name) const {
    const auto it = names_.find(name);
    const auto pool = it == names_.end() ? pools_.end() : pools_.find(it->second);
    if (pool == pools_.end() || (!pool->second.active() && !pool->second.persistent())) {
        return fail(Code::no_storage_pool, fmt::format("no storage pool with matching name '{}'", name));
    }
    return &pool->second;
}

Result<const Pool*> Storage::by_uuid(const Uuid& uuid, const std::string& name) const {
    const auto it = pools_.find(uuid);
    if (it == pools_.end() || (!it->second.active() && !it->second.persistent())) {
        return fail(Code::no_storage_pool, fmt::format("no storage pool with matching uuid '{}'{}",
                                                       bascule::format(uuid), name.empty() ? "" : " (" + name + ")"));
    }
    return &it->second;
}

Result<const Pool*> Storage::by_target(const std::string& path) const {
    const auto tidy = storage::tidy_path(path);
    for (const Pool* const pool : all()) {
        if (tidy && pool->active() && pool->live->target == *tidy) {
            return pool;
        }
    }
    return fail(Code::no_storage_pool, fmt::format("no storage pool with matching target path '{}'", path));
}

std::vector<const Pool*> Storage::all() const {
    std::vector<const Pool*> out;
    for (const auto& [name, uuid] : names_) {
        const auto pool = by_uuid(uuid);
        if (pool && !(*pool)->implied) {
            out.push_back(*pool);
        }
    }
    return out;
}

std::string Storage::format(const Pool& pool, bool inactive) const {
    if (inactive && pool.persistent()) {
        return storage::format(*pool.definition);
    }
    return storage::format(pool.shown(), pool.room, pool.active() ? pool.permissions : std::nullopt);
}

Result<Pool*> Storage::active(const Uuid& uuid) {
    TRY(const Pool* const found, by_uuid(uuid));
    if (!found->active()) {
        return std::unexpected(not_active(found->shown()));
    }
    return find(uuid);
}

Managed Storage::managed() const {
    Managed out;
    for (const Pool* const pool : all()) {
        if (pool->active() && pool->live->type == storage::PoolType::dir) {
            out.folders.insert(pool->live->target);
        }
        for (const auto& [name, entry] : pool->volumes) {
            if (pool->active() && pool->live->type == storage::PoolType::logical) {
                out.paths.insert(entry.volume.path);
            }
        }
    }
    return out;
}

// ---- checks -------------------------------------------------------------------------------------

Result<void> Storage::check_identity(const storage::PoolSpec& spec) const {
    const auto named = names_.find(spec.name.str());
    if (named != names_.end() && named->second != spec.uuid) {
        return fail(Code::exists, fmt::format("pool '{}' already exists with uuid {}", spec.name.str(),
                                              bascule::format(named->second)));
    }
    const auto same = by_uuid(spec.uuid);
    if (same && (*same)->shown().name != spec.name) {
        return fail(Code::exists, fmt::format("pool '{}' is already defined with uuid {}", (*same)->shown().name.str(),
                                              bascule::format(spec.uuid)));
    }
    return {};
}

// Two pools over one place would hand out the same volume twice.
Result<void> Storage::check_clashes(const storage::PoolSpec& spec) const {
    for (const Pool* const pool : all()) {
        for (const auto* const other : {&pool->definition, &pool->live}) {
            if (*other && (*other)->uuid != spec.uuid && (*other)->target == spec.target) {
                return fail(Code::conflict, fmt::format("Storage source conflict with pool: '{}': both are for {}",
                                                        (*other)->name.str(), spec.target));
            }
        }
    }
    return {};
}

void Storage::keep_name(const storage::PoolSpec& spec) { names_.insert_or_assign(spec.name.str(), spec.uuid); }

void Storage::forget_if_gone(const Uuid& uuid) {
    const auto it = pools_.find(uuid);
    if (it != pools_.end() && !it->second.active() && !it->second.persistent() && it->second.jobs == 0) {
        pools_.erase(it);
        std::erase_if(names_, [&](const auto& entry) { return entry.second == uuid; });
    }
}

void Storage::emit(const storage::PoolSpec& spec, int event) {
    tell_({.name = spec.name.str(), .uuid = spec.uuid, .event = event});
}

// ---- what is there ------------------------------------------------------------------------------

void Storage::survey(const storage::PoolSpec& spec, Reply<Survey> reply) {
    if (spec.type == storage::PoolType::dir) {
        kernel::run_on(*quick_, [folder = spec.target] { return survey_folder(folder); }, std::move(reply));
        return;
    }
    auto volumes = [reply = std::move(reply), group = spec.group](storage::Room room,
                                                                  Result<std::string> text) mutable {
        auto listed = text ? storage::parse_volumes(*text, group)
                           : Result<std::vector<storage::Volume>>(std::unexpected(text.error()));
        reply(listed ? Result<Survey>(Survey{
                           .room = room, .permissions = std::nullopt, .volumes = std::move(*listed), .unfinished = {}})
                     : Result<Survey>(std::unexpected(listed.error())));
    };
    auto room = [this, group = spec.group, volumes = std::move(volumes)](Result<std::string> text) mutable {
        const auto known =
            text ? storage::parse_group(*text, group) : Result<storage::Room>(std::unexpected(text.error()));
        if (!known) {
            volumes({}, std::unexpected(known.error()));
            return;
        }
        tools_.run({storage::list_volumes(group)}, kLvmPatience,
                   [volumes = std::move(volumes), room = *known](Result<std::string> listed) mutable {
                       volumes(room, std::move(listed));
                   });
    };
    tools_.run({storage::list_group(spec.group)}, kLvmPatience, std::move(room));
}

// Volumes that are being made or used stay, whatever the look has seen of them.
void Storage::take(Pool& pool, Survey survey) {
    pool.room = survey.room;
    pool.permissions = survey.permissions;
    std::map<std::string, Pool::Entry> next;
    for (auto& [name, entry] : pool.volumes) {
        if (entry.building || entry.in_use > 0) {
            next.emplace(name, std::move(entry));
        }
    }
    for (storage::Volume& volume : survey.volumes) {
        const std::string name = volume.name;
        next.try_emplace(name, Pool::Entry{.volume = std::move(volume)});
    }
    pool.volumes = std::move(next);
    for (const std::string& name : survey.unfinished) {
        if (!pool.volumes.contains(name)) {
            quick_->run([folder = pool.live->target, name] { drop_unfinished(folder, name); }, [] {});
        }
    }
}

// ---- up and down --------------------------------------------------------------------------------

void Storage::make_place(const storage::PoolSpec& spec, std::uint32_t flags, Reply<void> reply) {
    if (spec.type == storage::PoolType::logical) {
        if (spec.devices.empty()) {
            reply(fail(Code::invalid_argument,
                       fmt::format("pool '{}': the volume group '{}' cannot be made without a <source> with devices",
                                   spec.name.str(), spec.group)));
            return;
        }
        tools_.run(storage::build_group(spec, (flags & kOverwrite) != 0), kLvmPatience,
                   [reply = std::move(reply)](Result<std::string> done) mutable {
                       reply(done ? Result<void>() : std::unexpected(std::move(done).error()));
                   });
        return;
    }
    kernel::run_on(
        *quick_,
        [path = spec.target, permissions = spec.permissions] {
            return os::make_folders(path, kPoolMode, ownership_of(permissions));
        },
        std::move(reply));
}

void Storage::finish_start(const storage::PoolSpec& spec, Reply<void> reply) {
    auto done = [this, spec, reply = std::move(reply), busy = Busy(*this, spec.uuid)](Result<Survey> seen) mutable {
        if (!seen) {
            busy.release();
            forget_if_gone(spec.uuid);
            reply(std::unexpected(std::move(seen).error()));
            return;
        }
        if (auto saved = live_.save(spec.name, storage::format(spec)); !saved) {
            busy.release();
            forget_if_gone(spec.uuid);
            reply(std::move(saved));
            return;
        }
        Pool& pool = pools_[spec.uuid];
        pool.live = spec;
        take(pool, std::move(*seen));
        emit(spec, kStarted);
        reply({});
    };
    if (spec.type == storage::PoolType::dir) {
        survey(spec, std::move(done));
        return;
    }
    tools_.run({storage::start_group(spec)}, kLvmPatience,
               [this, spec, done = std::move(done)](Result<std::string> started) mutable {
                   if (!started) {
                       done(std::unexpected(std::move(started).error()));
                   } else {
                       survey(spec, std::move(done));
                   }
               });
}

void Storage::bring_up(const storage::PoolSpec& spec, std::uint32_t flags, Reply<void> reply) {
    if ((flags & kWithOverwrite) != 0 && (flags & kWithNoOverwrite) != 0) {
        forget_if_gone(spec.uuid);
        reply(fail(Code::invalid_argument, "the flags to overwrite and not to overwrite exclude each other"));
        return;
    }
    if ((flags & (kWithBuild | kWithOverwrite | kWithNoOverwrite)) == 0) {
        finish_start(spec, std::move(reply));
        return;
    }
    make_place(spec, (flags & kWithOverwrite) != 0 ? kOverwrite : 0,
               [this, spec, reply = std::move(reply), busy = Busy(*this, spec.uuid)](Result<void> built) mutable {
                   if (!built) {
                       busy.release();
                       forget_if_gone(spec.uuid);
                       reply(std::move(built));
                   } else {
                       finish_start(spec, std::move(reply));
                   }
               });
}

// ---- the use cases ------------------------------------------------------------------------------

Result<const Pool*> Storage::define(std::string_view xml) {
    TRY(storage::PoolSpec spec, storage::parse_pool(xml));
    if (spec.uuid.is_nil()) {
        const auto named = names_.find(spec.name.str());
        spec.uuid = named != names_.end() ? named->second : Uuid::random();
    }
    TRY_OK(check_identity(spec));
    TRY_OK(check_clashes(spec));
    TRY_OK(definitions_.save(spec.name, storage::format(spec)));
    keep_name(spec);
    Pool& pool = pools_[spec.uuid];
    pool.autostart = definitions_.autostart(spec.name);
    pool.definition = std::move(spec);
    emit(*pool.definition, kDefined);
    return &pool;
}

void Storage::create(std::string_view xml, std::uint32_t flags, Reply<const Pool*> reply) {
    auto checked = [&]() -> Result<storage::PoolSpec> {
        TRY(storage::PoolSpec spec, storage::parse_pool(xml));
        if (spec.uuid.is_nil()) {
            const auto named = names_.find(spec.name.str());
            spec.uuid = named != names_.end() ? named->second : Uuid::random();
        }
        TRY_OK(check_identity(spec));
        TRY_OK(check_clashes(spec));
        if (const auto known = pools_.find(spec.uuid); known != pools_.end()) {
            if (known->second.active()) {
                return fail(Code::invalid_state, fmt::format("pool is already active as '{}'", spec.name.str()));
            }
            if (known->second.jobs > 0) {
                return std::unexpected(has_jobs(spec.name.str()));
            }
        }
        return spec;
    }();
    if (!checked) {
        reply(std::unexpected(std::move(checked).error()));
        return;
    }
    keep_name(*checked);
    pools_.try_emplace(checked->uuid);
    bring_up(*checked, flags, [this, uuid = checked->uuid, reply = std::move(reply)](Result<void> started) mutable {
        reply(started ? by_uuid(uuid) : std::unexpected(std::move(started).error()));
    });
}

// A pool that nothing is done with; `now` is "already" or "still", for the error of an active one.
Result<const Pool*> Storage::at_rest(const Uuid& uuid, std::string_view now) const {
    TRY(const Pool* const found, by_uuid(uuid));
    if (found->active()) {
        return fail(Code::invalid_state, fmt::format("storage pool '{}' is {} active", found->shown().name.str(), now));
    }
    if (found->jobs > 0) {
        return std::unexpected(has_jobs(found->shown().name.str()));
    }
    return found;
}

void Storage::start(const Uuid& uuid, std::uint32_t flags, Reply<void> reply) {
    const auto found = at_rest(uuid, "already");
    if (!found) {
        reply(std::unexpected(found.error()));
        return;
    }
    bring_up(*(*found)->definition, flags, std::move(reply));
}

void Storage::build(const Uuid& uuid, std::uint32_t flags, Reply<void> reply) {
    const auto found = at_rest(uuid, "already");
    if (!found) {
        reply(std::unexpected(found.error()));
        return;
    }
    if ((flags & kOverwrite) != 0 && (flags & kNoOverwrite) != 0) {
        reply(fail(Code::invalid_argument, "the flags to overwrite and not to overwrite exclude each other"));
        return;
    }
    const storage::PoolSpec spec = *(*found)->definition;
    make_place(spec, flags,
               [this, spec, reply = std::move(reply), busy = Busy(*this, uuid)](Result<void> built) mutable {
                   if (built) {
                       emit(spec, kCreated);
                   }
                   reply(std::move(built));
               });
}

void Storage::destroy(const Uuid& uuid, Reply<void> reply) {
    const auto found = active(uuid);
    if (!found || (*found)->jobs > 0 || (*found)->implied) {
        reply(!found              ? std::unexpected(found.error())
              : (*found)->implied ? fail(Code::invalid_state,
                                         "this pool is only implied by a file in its folder: there is nothing to stop")
                                  : std::unexpected(has_jobs((*found)->live->name.str())));
        return;
    }
    const storage::PoolSpec spec = *(*found)->live;
    auto stop = [this, spec, reply = std::move(reply), busy = Busy(*this, uuid)](Result<std::string> stopped) mutable {
        auto done = stopped ? live_.remove(spec.name) : std::unexpected(std::move(stopped).error());
        if (!done) {
            reply(std::move(done));
            return;
        }
        Pool& pool = pools_[spec.uuid];
        pool.live.reset();
        pool.volumes.clear();
        pool.room = {};
        emit(spec, kStopped);
        busy.release();
        forget_if_gone(spec.uuid);
        reply({});
    };
    if (spec.type == storage::PoolType::dir) {
        stop(std::string());
    } else {
        tools_.run({storage::stop_group(spec)}, kLvmPatience, std::move(stop));
    }
}

void Storage::erase(const Uuid& uuid, Reply<void> reply) {
    const auto found = at_rest(uuid, "still");
    if (!found) {
        reply(std::unexpected(found.error()));
        return;
    }
    const storage::PoolSpec spec = *(*found)->definition;
    auto done = [this, spec, reply = std::move(reply), busy = Busy(*this, uuid)](Result<void> gone) mutable {
        if (gone) {
            emit(spec, kDeleted);
        }
        reply(std::move(gone));
    };
    if (spec.type == storage::PoolType::dir) {
        kernel::run_on(*quick_, [path = spec.target] { return os::remove_folder(path); }, std::move(done));
        return;
    }
    tools_.run(storage::drop_group(spec), kLvmPatience, [done = std::move(done)](Result<std::string> gone) mutable {
        done(gone ? Result<void>() : std::unexpected(std::move(gone).error()));
    });
}

Result<void> Storage::undefine(const Uuid& uuid) {
    TRY(const Pool* const found, at_rest(uuid, "still"));
    const storage::PoolSpec spec = found->shown();
    TRY_OK(definitions_.remove(spec.name));
    find(uuid)->definition.reset();
    forget_if_gone(uuid);
    emit(spec, kUndefined);
    return {};
}

// A pool that cannot be looked at any more is not active any more, as with the peer.
void Storage::refresh(const Uuid& uuid, Reply<void> reply) {
    const auto found = active(uuid);
    if (!found) {
        reply(std::unexpected(found.error()));
        return;
    }
    const storage::PoolSpec spec = *(*found)->live;
    survey(spec, [this, spec, reply = std::move(reply), busy = Busy(*this, spec.uuid)](Result<Survey> seen) mutable {
        Pool& pool = pools_[spec.uuid];
        if (seen && pool.active()) {
            take(pool, std::move(*seen));
            tell_({.name = spec.name.str(), .uuid = spec.uuid, .refresh = true});
            reply({});
            return;
        }
        if (!seen && !pool.implied && pool.active() && pool.jobs == 1) {
            pool.live.reset();
            pool.volumes.clear();
            pool.room = {};
            (void)live_.remove(spec.name);  // what is wrong with the pool is what the client should hear
            emit(spec, kStopped);
        }
        busy.release();
        forget_if_gone(spec.uuid);
        reply(seen ? Result<void>() : std::unexpected(std::move(seen).error()));
    });
}

Result<void> Storage::set_autostart(const Uuid& uuid, bool on) {
    TRY(const Pool* const found, by_uuid(uuid));
    if (!found->persistent()) {
        return fail(Code::invalid_argument, "pool has no config file");
    }
    TRY_OK(definitions_.set_autostart(found->definition->name, on));
    find(uuid)->autostart = on;
    return {};
}

void Storage::find_sources(const std::string& type, const std::string& source, Reply<std::string> reply) {
    if (type != "logical") {
        reply(fail(Code::not_implemented, fmt::format("pool type '{}' does not support source discovery", type)));
        return;
    }
    if (auto fine = storage::check_source_spec(source); !fine) {
        reply(std::unexpected(std::move(fine).error()));
        return;
    }
    tools_.run({storage::list_groups()}, kLvmPatience, [reply = std::move(reply)](Result<std::string> text) mutable {
        auto groups =
            text ? storage::parse_groups(*text) : Result<std::vector<storage::PoolSpec>>(std::unexpected(text.error()));
        reply(groups ? Result<std::string>(storage::format_groups(*groups)) : std::unexpected(groups.error()));
    });
}

}  // namespace bascule::daemon
