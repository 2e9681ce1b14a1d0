// SPDX-License-Identifier: GPL-2.0-or-later
// Making volumes. In a folder: an empty file that is marked as unfinished (make), what it is to hold (fill), owner,
// format and the way to the disk (finish). In a group: LVM makes it, and the rest is the same.
#include <fmt/format.h>

#include "daemon/storage.h"
#include "daemon/storage_busy.h"
#include "storage/lvm.h"
#include "storage/xml.h"

namespace bascule::daemon {

namespace os = kernel::os;

namespace {

// virStorageVolCreateFlags; 4, to validate the document, is done anyway.
constexpr std::uint32_t kPreallocMetadata = 1, kReflink = 2;
constexpr std::chrono::minutes kMakePatience{10};
constexpr std::chrono::hours kCopyPatience{24};

}  // namespace

struct Storage::Birth {
    storage::PoolSpec place;
    storage::VolumeSpec spec;
    storage::Wanted wanted;
    storage::NewImage image;
    std::optional<storage::Volume> source;
    std::optional<VolumeName> source_name;  // in use meanwhile
    bool reflink = false;
    bool made = false;  // there is something to take back
    Busy busy;
    Reply<FoundVolume> reply{};

    bool in_group() const { return place.type == storage::PoolType::logical; }
};

// All that can be said without asking the disk; the name is taken from here on.
Result<std::shared_ptr<Storage::Birth>> Storage::conceive(const Uuid& uuid, std::string_view xml,
                                                          const VolumeName* source, std::uint32_t flags) {
    TRY(Pool* const pool, active(uuid));
    const storage::PoolSpec place = *pool->live;
    if (pool->implied) {
        return fail(Code::invalid_state,
                    fmt::format("there is no pool for {}: define one to make volumes there", place.target));
    }
    TRY(storage::VolumeSpec spec, storage::parse_volume(xml, place.type));
    if (pool->volumes.contains(spec.name)) {
        return fail(Code::storage_vol_exists, fmt::format("storage volume '{}' exists already", spec.name));
    }
    std::optional<storage::Volume> from;
    if (source != nullptr) {
        TRY(from, volume(*source));
        if (find_name(source->pool)->volumes.at(source->name).building) {
            return fail(Code::invalid_state, fmt::format("volume '{}' is still being allocated.", source->name));
        }
        if (from->type == storage::VolumeType::dir || !storage::can_make(from->format)) {
            return fail(Code::unsupported, fmt::format("volume '{}' of the format '{}' cannot be copied", source->name,
                                                       storage::kFormats.name(from->format)));
        }
    }
    std::optional<std::uint64_t> base;
    if (spec.backing) {
        for (const Pool* const other : all()) {
            for (const auto& [name, entry] : other->volumes) {
                if (other->active() && entry.volume.path == spec.backing->path) {
                    base = entry.volume.capacity;
                    spec.backing->format = spec.backing->format.value_or(entry.volume.format);
                }
            }
        }
        if (!spec.backing->format) {
            return fail(Code::invalid_xml, fmt::format("<backingStore>: '{}' is no volume of an active pool: say its "
                                                       "<format>, which is not guessed from its content",
                                                       spec.backing->path));
        }
    }
    TRY(const storage::Wanted wanted, storage::settle(spec, place.type, from ? &*from : nullptr, base));
    if (from && spec.backing && (!from->backing || from->backing->path != spec.backing->path)) {
        return fail(Code::internal, "a different backing store cannot be specified.");
    }
    const bool full = wanted.allocation >= wanted.capacity;
    const auto preallocation = wanted.format == storage::Format::raw
                                   ? (full ? storage::Preallocation::full : storage::Preallocation::none)
                               : (flags & kPreallocMetadata) == 0 ? storage::Preallocation::none
                               : full                             ? storage::Preallocation::full
                                                                  : storage::Preallocation::metadata;
    const std::string path = (place.target == "/" ? "" : place.target) + "/" + spec.name;
    storage::NewImage image{.path = path,
                            .format = wanted.format,
                            .capacity = wanted.capacity,
                            .details = spec.details,
                            .backing = spec.backing,
                            .chain = {},
                            .preallocation = preallocation};
    pool->volumes[spec.name] = {
        .volume = {.name = spec.name, .key = path, .path = path, .format = wanted.format, .capacity = wanted.capacity},
        .building = true};
    if (source != nullptr) {
        ++find_name(source->pool)->volumes.at(source->name).in_use;
        ++find_name(source->pool)->jobs;
    }
    return std::make_shared<Birth>(Birth{.place = place,
                                         .spec = std::move(spec),
                                         .wanted = wanted,
                                         .image = std::move(image),
                                         .source = std::move(from),
                                         .source_name = source != nullptr ? std::optional(*source) : std::nullopt,
                                         .reflink = (flags & kReflink) != 0,
                                         .busy = Busy(*this, uuid)});
}

void Storage::create_volume(const Uuid& pool, std::string_view xml, std::uint32_t flags, Reply<FoundVolume> reply) {
    auto birth = conceive(pool, xml, nullptr, flags);
    if (!birth) {
        reply(std::unexpected(std::move(birth).error()));
        return;
    }
    (*birth)->reply = std::move(reply);
    make_volume(std::move(*birth));
}

void Storage::copy_volume(const Uuid& pool, std::string_view xml, const VolumeName& source, std::uint32_t flags,
                          Reply<FoundVolume> reply) {
    auto birth = conceive(pool, xml, &source, flags);
    if (!birth) {
        reply(std::unexpected(std::move(birth).error()));
        return;
    }
    (*birth)->reply = std::move(reply);
    make_volume(std::move(*birth));
}

// The place of it, and every file that qemu-img will have to open.
void Storage::make_volume(std::shared_ptr<Birth> birth) {
    struct Chains {
        std::vector<std::string> source, backing;
    };
    kernel::run_on(
        *slow_,
        [birth, managed = managed()]() -> Result<Chains> {
            Chains out;
            if (birth->source) {
                TRY(out.source, chain_of(birth->source->path, birth->source->format, false, managed));
            }
            if (birth->image.backing) {
                TRY(out.backing, chain_of(birth->image.backing->path, *birth->image.backing->format, true, managed));
            }
            if (birth->in_group()) {
                return out;
            }
            const std::string& folder = birth->place.target;
            if (birth->wanted.format == storage::Format::dir) {
                TRY_OK(os::make_subfolder(folder, birth->spec.name, ownership_of(birth->spec.permissions)));
                return out;
            }
            TRY_OK(begin_file(folder, birth->spec.name));
            birth->made = true;
            if (birth->wanted.format == storage::Format::raw && !birth->source) {
                TRY(const UniqueFd fd, os::open_disk(birth->image.path, true));
                TRY_OK(os::set_size(fd, birth->wanted.capacity));
                TRY_OK(os::allocate(fd, 0, birth->wanted.allocation));
            }
            if (birth->reflink) {
                TRY(const UniqueFd from, os::open_disk(birth->source->path, false));
                TRY(const UniqueFd to, os::open_disk(birth->image.path, true));
                TRY_OK(os::share_blocks(from, to));
            }
            return out;
        },
        [this, birth](Result<Chains> chains) {
            if (!chains) {
                fail_volume(birth, std::move(chains).error());
                return;
            }
            if (birth->source) {
                // Of what is below the source, itself is named apart.
                birth->image.chain = std::move(chains->source);
            }
            birth->image.chain.insert(birth->image.chain.end(), chains->backing.begin(), chains->backing.end());
            if (!birth->in_group()) {
                fill_volume(birth);
                return;
            }
            tools_.run({storage::make_volume(birth->place.group, birth->spec.name, birth->wanted.capacity)},
                       kMakePatience, [this, birth](Result<std::string> made) {
                           if (!made) {
                               fail_volume(birth, std::move(made).error());
                           } else {
                               birth->made = true;
                               fill_volume(birth);
                           }
                       });
        });
}

void Storage::fill_volume(std::shared_ptr<Birth> birth) {
    std::vector<storage::Run> runs;
    const storage::Format format = birth->wanted.format;
    if (birth->source && !birth->reflink) {
        runs.push_back(storage::copy_image({.path = birth->source->path, .format = birth->source->format, .chain = {}},
                                           birth->image, birth->in_group()));
    } else if (!birth->source && format != storage::Format::raw && format != storage::Format::dir) {
        runs.push_back(storage::make_image(birth->image));
    }
    if (birth->source && !birth->in_group() && format != storage::Format::raw &&
        birth->wanted.capacity > birth->source->capacity) {
        runs.push_back(storage::resize_image(birth->image.path, format, birth->wanted.capacity, false, false));
        runs.back().reads = birth->image.chain;
    }
    tools_.run(std::move(runs), birth->source ? std::chrono::seconds(kCopyPatience) : kMakePatience,
               [this, birth](Result<std::string> filled) {
                   if (!filled) {
                       fail_volume(birth, std::move(filled).error());
                   } else {
                       finish_volume(birth);
                   }
               });
}

void Storage::finish_volume(std::shared_ptr<Birth> birth) {
    if (birth->in_group()) {
        end_birth(*birth);
        const VolumeName name{birth->place.name.str(), birth->spec.name};
        ++find_name(name.pool)->jobs;  // of finish_change()
        finish_change(name, {}, [this, birth, name](const Result<void>&) {
            const auto made = volume(name);
            birth->reply(made ? Result<FoundVolume>(FoundVolume{name.pool, *made}) : std::unexpected(made.error()));
        });
        return;
    }
    struct Seen {
        storage::Volume volume;
        storage::Room room;
    };
    kernel::run_on(
        *slow_,
        [birth]() -> Result<Seen> {
            Seen out;
            if (birth->wanted.format == storage::Format::raw && birth->source) {
                // qemu-img makes whole sectors.
                TRY(const UniqueFd fd, os::open_disk(birth->image.path, true));
                TRY_OK(os::set_size(fd, birth->wanted.capacity));
            }
            if (birth->wanted.format == storage::Format::dir) {
                TRY(out.volume, look_at_volume(birth->image.path));
            } else {
                TRY(out.volume, finish_file(birth->image.path, birth->wanted.format, birth->spec.permissions));
            }
            TRY(out.room, room_of(birth->place.target));
            return out;
        },
        [this, birth](Result<Seen> seen) {
            if (!seen) {
                fail_volume(birth, std::move(seen).error());
                return;
            }
            Pool& pool = pools_[birth->place.uuid];
            pool.room = seen->room;
            pool.volumes[birth->spec.name] = {.volume = seen->volume};
            end_birth(*birth);
            birth->reply(FoundVolume{birth->place.name.str(), std::move(seen->volume)});
        });
}

// Its pool and its source are free again.
void Storage::end_birth(Birth& birth) {
    birth.busy.release();
    if (birth.source_name) {
        end_transfer(*std::exchange(birth.source_name, std::nullopt), false);
    }
}

void Storage::fail_volume(std::shared_ptr<Birth> birth, Error error) {
    auto gone = [this, birth, error = std::move(error)] {
        pools_[birth->place.uuid].volumes.erase(birth->spec.name);
        end_birth(*birth);
        birth->reply(std::unexpected(error));
    };
    if (!birth->made) {
        gone();
    } else if (birth->in_group()) {
        tools_.run({storage::drop_volume(birth->place.group, birth->spec.name)}, kMakePatience,
                   [gone = std::move(gone)](const Result<std::string>&) { gone(); });
    } else {
        kernel::run_on(
            *slow_,
            [folder = birth->place.target, name = birth->spec.name] { return os::remove_entry(folder, name, false); },
            [gone = std::move(gone)](const Result<void>&) { gone(); });
    }
}

}  // namespace bascule::daemon
