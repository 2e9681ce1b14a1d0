// SPDX-License-Identifier: GPL-2.0-or-later
// Pools from and to the disk, at start and at a reload.
#include <set>

#include <fmt/format.h>

#include "base/xml.h"
#include "daemon/storage.h"
#include "daemon/storage_busy.h"
#include "storage/xml.h"

namespace bascule::daemon {

namespace {
constexpr const char* kDefaultTarget = "/var/lib/bascule/images";
}  // namespace

Result<void> Storage::read_file(const Store::Entry& entry) {
    TRY(const std::string text, entry.text);
    TRY(storage::PoolSpec spec, storage::parse_pool(text));
    if (spec.name.str() != entry.name) {
        return fail(Code::invalid_xml, fmt::format("the pool is called '{}', but the file's name says '{}': rename one "
                                                   "of them",
                                                   spec.name.str(), entry.name));
    }
    if (spec.uuid.is_nil()) {
        const auto named = names_.find(spec.name.str());
        spec.uuid = named != names_.end() ? named->second : Uuid::random();
        TRY_OK(definitions_.save(spec.name, storage::format(spec)));  // so that it stays
    }
    TRY_OK(check_identity(spec));
    TRY_OK(check_clashes(spec));
    keep_name(spec);
    Pool& pool = pools_[spec.uuid];
    pool.autostart = definitions_.autostart(spec.name);
    pool.definition = std::move(spec);
    return {};
}

std::vector<std::string> Storage::load() {
    std::vector<std::string> problems;
    const auto each = [&](const Store& store, auto read) {
        const auto entries = store.load();
        if (!entries) {
            problems.push_back(entries.error().message);
            return;
        }
        for (const Store::Entry& entry : *entries) {
            if (auto done = read(entry); !done) {
                problems.push_back(located(entry.path, std::move(done).error()).message);
            }
        }
    };
    each(definitions_, [&](const Store::Entry& entry) { return read_file(entry); });
    each(live_, [&](const Store::Entry& entry) -> Result<void> {
        TRY(const std::string text, entry.text);
        TRY(storage::PoolSpec spec, storage::parse_pool(text));
        TRY_OK(check_identity(spec));
        keep_name(spec);
        pools_[spec.uuid].live = std::move(spec);
        return {};
    });
    return problems;
}

Result<void> Storage::install_default() {
    const std::string target = host_.files.real(kDefaultTarget);
    TRY(const Pool* const pool, define("<pool type='dir'><name>default</name><target><path>" + xml::escape(target) +
                                       "</path></target></pool>"));
    return set_autostart(pool->definition->uuid, true);
}

void Storage::autostart(std::function<void(std::string)> report) {
    constexpr std::uint32_t kWithBuild = 1;
    auto settle = [this] {
        if (--unsettled_ == 0) {
            for (auto& then : std::exchange(waiting_, {})) {
                then();
            }
        }
    };
    for (auto& [uuid, pool] : pools_) {
        if (pool.active()) {
            ++unsettled_;
            refresh(uuid, [report, settle, name = pool.live->name.str()](Result<void> seen) {
                if (!seen) {
                    report(fmt::format("storage pool {}: {}", name, seen.error().message));
                }
                settle();
            });
        } else if (pool.autostart) {
            ++unsettled_;
            // The folder of the default pool is made the first time; an administrator's own may be a mount point that
            // is not there yet, and must not be made below it.
            const bool ours = pool.definition->target == host_.files.real(kDefaultTarget);
            bring_up(*pool.definition, ours ? kWithBuild : 0,
                     [report, settle, name = pool.definition->name.str()](Result<void> started) {
                         if (!started) {
                             report(fmt::format("storage pool {}: {}", name, started.error().message));
                         }
                         settle();
                     });
        }
    }
}

void Storage::settled(std::move_only_function<void()> then) {
    if (unsettled_ == 0) {
        then();
    } else {
        waiting_.push_back(std::move(then));
    }
}

std::vector<std::string> Storage::reload() {
    std::vector<std::string> problems;
    const auto entries = definitions_.load();
    if (!entries) {
        return {entries.error().message};
    }
    std::set<std::string> on_disk;
    for (const Store::Entry& entry : *entries) {
        on_disk.insert(entry.name);
        const Pool* const before = find_name(entry.name);
        const auto known = before != nullptr ? before->definition : std::nullopt;
        if (auto done = read_file(entry); !done) {
            problems.push_back(located(entry.path, std::move(done).error()).message);
        } else if (const Pool* const pool = find_name(entry.name); pool != nullptr && pool->definition != known) {
            emit(*pool->definition, kDefined);
        }
    }
    for (const Pool* const pool : all()) {
        if (pool->persistent() && !on_disk.contains(pool->definition->name.str())) {
            const storage::PoolSpec spec = *pool->definition;
            find(spec.uuid)->definition.reset();
            emit(spec, kUndefined);
            forget_if_gone(spec.uuid);
        }
    }
    return problems;
}

}  // namespace bascule::daemon
