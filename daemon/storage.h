// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "daemon/host.h"
#include "daemon/storage_disk.h"
#include "daemon/store.h"
#include "storage/spec.h"
#include "storage/wipe.h"

namespace bascule::daemon {

// One pool: what is on the disk and what runs, as of networks (daemon/networks.h), and the volumes that the last look
// found. An implied pool has no definition and is in no list: it is there for files that somebody named by path.
struct Pool {
    struct Entry {
        storage::Volume volume;
        bool building = false;  // being made: its name is taken
        unsigned in_use = 0;    // being read or written for a client
    };
    std::optional<storage::PoolSpec> definition, live;
    bool autostart = false, implied = false;
    storage::Room room;
    std::optional<storage::Permissions> permissions;
    std::map<std::string, Entry> volumes;
    unsigned jobs = 0;  // under way: it stays until they are done

    bool active() const { return live.has_value(); }
    bool persistent() const { return definition.has_value(); }
    const storage::PoolSpec& shown() const { return live ? *live : *definition; }
};

// A volume as calls name it.
struct VolumeName {
    std::string pool, name;
};
struct FoundVolume {
    std::string pool;
    storage::Volume volume;
};

struct PoolEvent {
    std::string name;
    Uuid uuid;
    bool refresh = false;  // its volumes changed; else `event` of its life
    int event = 0;         // virStoragePoolEventLifecycleType
};

// The storage use cases. What touches a disk or runs a program answers later, through its Reply; meanwhile the pool
// keeps a job, and a volume that is being made or used is refused to others. Pointers are valid until the next change.
class Storage {
public:
    static constexpr int kDefined = 0, kUndefined = 1, kStarted = 2, kStopped = 3, kCreated = 4, kDeleted = 5;

    using Tell = std::function<void(const PoolEvent&)>;
    Storage(Host& host, Tell tell);
    Storage(const Storage&) = delete;
    Storage& operator=(const Storage&) = delete;
    ~Storage() { ending_ = true; }

    std::vector<std::string> load();  // definitions and what was active, from the disk
    Result<void> install_default();   // what a fresh installation has: the pool `default`, which starts with the host
    // Looks at what was active and starts what starts with the host; each problem is reported once known.
    void autostart(std::function<void(std::string)> report);
    std::vector<std::string> reload();
    // Now, or once all pools that were active at start have been looked at: until then their volumes are not known.
    void settled(std::move_only_function<void()> then);

    Result<const Pool*> define(std::string_view xml);
    void create(std::string_view xml, std::uint32_t flags, Reply<const Pool*> reply);
    void start(const Uuid& uuid, std::uint32_t flags, Reply<void> reply);
    void build(const Uuid& uuid, std::uint32_t flags, Reply<void> reply);
    void destroy(const Uuid& uuid, Reply<void> reply);
    void erase(const Uuid& uuid, Reply<void> reply);  // what build made
    Result<void> undefine(const Uuid& uuid);
    void refresh(const Uuid& uuid, Reply<void> reply);
    Result<void> set_autostart(const Uuid& uuid, bool on);
    void find_sources(const std::string& type, const std::string& source, Reply<std::string> reply);

    Result<const Pool*> by_name(const std::string& name) const;
    Result<const Pool*> by_uuid(const Uuid& uuid, const std::string& name = {}) const;
    Result<const Pool*> by_target(const std::string& path) const;
    std::vector<const Pool*> all() const;  // by name, without the implied ones
    std::string format(const Pool& pool, bool inactive) const;

    Result<std::vector<storage::Volume>> volumes(const Uuid& uuid) const;
    Result<storage::Volume> volume(const VolumeName& name) const;
    Result<FoundVolume> by_key(const std::string& key) const;
    // `any_file`: also one that is in no pool.
    void by_path(const std::string& path, bool any_file, Reply<FoundVolume> reply);
    void look(const VolumeName& name, Reply<storage::Volume> reply);  // as it is now

    void create_volume(const Uuid& pool, std::string_view xml, std::uint32_t flags, Reply<FoundVolume> reply);
    void copy_volume(const Uuid& pool, std::string_view xml, const VolumeName& source, std::uint32_t flags,
                     Reply<FoundVolume> reply);
    void erase_volume(const VolumeName& name, Reply<void> reply);
    void resize_volume(const VolumeName& name, std::uint64_t capacity, std::uint32_t flags, Reply<void> reply);
    void wipe_volume(const VolumeName& name, std::uint32_t algorithm, Reply<void> reply);

    // A volume that a stream reads or writes: in use until end_transfer().
    Result<storage::Volume> begin_transfer(const VolumeName& name);
    void end_transfer(const VolumeName& name, bool changed);
    kernel::Worker& files() { return *quick_; }
    kernel::Worker& disks() { return *slow_; }

private:
    class Busy;    // a pool's job
    struct Birth;  // a volume that is being made (storage_births.cpp)

    Pool* find(const Uuid& uuid);
    Result<const Pool*> at_rest(const Uuid& uuid, std::string_view now) const;
    Pool* find_name(const std::string& name);
    Result<Pool*> active(const Uuid& uuid);
    Result<std::pair<Pool*, Pool::Entry*>> idle_volume(const VolumeName& name);
    Result<void> check_identity(const storage::PoolSpec& spec) const;
    Result<void> check_clashes(const storage::PoolSpec& spec) const;
    void keep_name(const storage::PoolSpec& spec);
    void forget_if_gone(const Uuid& uuid);
    void survey(const storage::PoolSpec& spec, Reply<Survey> reply);
    void take(Pool& pool, Survey survey);
    void bring_up(const storage::PoolSpec& spec, std::uint32_t flags, Reply<void> reply);
    void finish_start(const storage::PoolSpec& spec, Reply<void> reply);
    void make_place(const storage::PoolSpec& spec, std::uint32_t flags, Reply<void> reply);
    Result<void> read_file(const Store::Entry& entry);
    void emit(const storage::PoolSpec& spec, int event);
    Managed managed() const;
    Pool& imply(const Uuid& uuid, const std::string& folder);
    static void begin_change(Pool& pool, Pool::Entry& entry);

    void make_volume(std::shared_ptr<Birth> birth);
    void fill_volume(std::shared_ptr<Birth> birth);
    void finish_volume(std::shared_ptr<Birth> birth);
    void fail_volume(std::shared_ptr<Birth> birth, Error error);
    void end_birth(Birth& birth);
    Result<std::shared_ptr<Birth>> conceive(const Uuid& pool, std::string_view xml, const VolumeName* source,
                                            std::uint32_t flags);
    void finish_change(const VolumeName& name, Result<void> result, Reply<void> reply);

    Host& host_;
    Tell tell_;
    Store definitions_, live_;
    std::map<Uuid, Pool> pools_;
    std::map<std::string, Uuid, std::less<>> names_;
    std::vector<Uuid> implied_;  // oldest first
    unsigned unsettled_ = 0;
    bool ending_ = false;
    std::vector<std::move_only_function<void()>> waiting_;
    // Last, so that what they still hold goes first.
    Tools tools_;
    std::unique_ptr<kernel::Worker> quick_, slow_;
};

}  // namespace bascule::daemon
