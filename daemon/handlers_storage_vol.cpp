// SPDX-License-Identifier: GPL-2.0-or-later
// Volumes.
#include "daemon/handlers.h"
#include "daemon/handlers_storage.h"
#include "daemon/storage_transfer.h"
#include "rpc/proto_storage.h"
#include "rpc/session.h"
#include "storage/xml.h"

namespace bascule::daemon {

namespace proto = rpc::proto;
using rpc::Call;
using rpc::Responder;

namespace {

constexpr std::uint32_t kCreateFlags = 7;  // virStorageVolCreateFlags
constexpr std::uint32_t kResizeFlags = 7;  // virStorageVolResizeFlags
constexpr std::uint32_t kSparse = 1;       // of uploads and downloads
constexpr std::uint32_t kGetPhysical = 1;  // VIR_STORAGE_VOL_GET_PHYSICAL

proto::StorageVol to_wire(const std::string& pool, const storage::Volume& volume) {
    return {.pool = pool, .name = volume.name, .key = volume.key};
}
VolumeName name_of(const proto::StorageVol& volume) { return {volume.pool, volume.name}; }

template <class P>
Reply<void> plain(Responder<P> responder) {
    return [r = std::move(responder)](Result<void> done) mutable { r.answer(done); };
}
// The answer of a call that ends with a volume.
template <class P>
Reply<FoundVolume> found(Responder<P> responder) {
    return [r = std::move(responder)](Result<FoundVolume> volume) mutable {
        r.answer(volume ? Result<typename P::Ret>({to_wire(volume->pool, volume->volume)})
                        : std::unexpected(volume.error()));
    };
}

void add_lookups(rpc::Handlers& h, Storage& s) {
    add_settled<proto::storage_vol_lookup_by_name>(
        h, s,
        [&s](const proto::storage_vol_lookup_by_name_args& args) -> Result<proto::storage_vol_lookup_by_name_ret> {
            TRY(const Pool* const pool, s.by_uuid(args.pool.uuid, args.pool.name));
            const std::string name = pool->shown().name.str();
            TRY(const storage::Volume volume, s.volume({name, args.name}));
            return proto::storage_vol_lookup_by_name_ret{to_wire(name, volume)};
        });
    add_settled<proto::storage_vol_lookup_by_key>(
        h, s, [&s](const proto::storage_vol_lookup_by_key_args& args) -> Result<proto::storage_vol_lookup_by_key_ret> {
            TRY(const FoundVolume volume, s.by_key(args.key));
            return proto::storage_vol_lookup_by_key_ret{to_wire(volume.pool, volume.volume)};
        });
    h.add<proto::storage_vol_lookup_by_path>([&s](Call& call, const proto::storage_vol_lookup_by_path_args& args,
                                                  Responder<proto::storage_vol_lookup_by_path> responder) {
        // Whether there is a file somewhere on the host is not for those who may only look at pools.
        const bool any_file = !call.session.read_only();
        s.settled([&s, path = args.path, any_file, r = std::move(responder)]() mutable {
            s.by_path(path, any_file, found(std::move(r)));
        });
    });
    add_settled<proto::storage_pool_num_of_volumes>(
        h, s,
        [&s](const proto::storage_pool_num_of_volumes_args& args) -> Result<proto::storage_pool_num_of_volumes_ret> {
            TRY(const auto volumes, s.volumes(args.pool.uuid));
            return proto::storage_pool_num_of_volumes_ret{static_cast<std::int32_t>(volumes.size())};
        });
    add_settled<proto::storage_pool_list_volumes>(
        h, s, [&s](const proto::storage_pool_list_volumes_args& args) -> Result<proto::storage_pool_list_volumes_ret> {
            TRY(const auto volumes, s.volumes(args.pool.uuid));
            proto::storage_pool_list_volumes_ret ret;
            for (const storage::Volume& volume : volumes) {
                if (ret.names.size() < static_cast<std::size_t>(std::max(args.maxnames, 0))) {
                    ret.names.push_back(volume.name);
                }
            }
            return ret;
        });
    add_settled<proto::storage_pool_list_all_volumes>(
        h, s,
        [&s](
            const proto::storage_pool_list_all_volumes_args& args) -> Result<proto::storage_pool_list_all_volumes_ret> {
            TRY_OK(check_flags(args.flags, 0, "storagePoolListAllVolumes"));
            TRY(const Pool* const pool, s.by_uuid(args.pool.uuid, args.pool.name));
            TRY(const auto volumes, s.volumes(args.pool.uuid));
            proto::storage_pool_list_all_volumes_ret ret;
            ret.ret = static_cast<std::uint32_t>(volumes.size());
            for (const storage::Volume& volume : volumes) {
                if (args.need_results != 0) {
                    ret.vols.push_back(to_wire(pool->shown().name.str(), volume));
                }
            }
            return ret;
        });
}

// A fact of a volume as it is now.
template <class P, class Tell>
void add_fact(rpc::Handlers& h, Storage& s, Tell tell) {
    h.add<P>([&s, tell](Call&, const typename P::Args& args, Responder<P> responder) {
        s.settled([&s, tell, args, r = std::move(responder)]() mutable {
            s.look(name_of(args.vol), [tell, args, r = std::move(r)](Result<storage::Volume> volume) mutable {
                r.answer(volume ? tell(args, *volume)
                                : Result<typename P::Ret>(std::unexpected(std::move(volume).error())));
            });
        });
    });
}

void add_facts(rpc::Handlers& h, Storage& s) {
    add_fact<proto::storage_vol_get_info>(h, s,
                                          [](const proto::storage_vol_get_info_args&,
                                             const storage::Volume& volume) -> Result<proto::storage_vol_get_info_ret> {
                                              return proto::storage_vol_get_info_ret{
                                                  .type = static_cast<std::int8_t>(volume.type),
                                                  .capacity = volume.capacity,
                                                  .allocation = volume.allocation};
                                          });
    add_fact<proto::storage_vol_get_info_flags>(
        h, s,
        [](const proto::storage_vol_get_info_flags_args& args,
           const storage::Volume& volume) -> Result<proto::storage_vol_get_info_flags_ret> {
            TRY_OK(check_flags(args.flags, kGetPhysical, "storageVolGetInfoFlags"));
            const bool physical = (args.flags & kGetPhysical) != 0;
            return proto::storage_vol_get_info_flags_ret{
                .type = static_cast<std::int8_t>(volume.type),
                .capacity = volume.capacity,
                .allocation = physical ? volume.physical.value_or(volume.allocation) : volume.allocation};
        });
    add_fact<proto::storage_vol_get_xml_desc>(
        h, s,
        [](const proto::storage_vol_get_xml_desc_args& args,
           const storage::Volume& volume) -> Result<proto::storage_vol_get_xml_desc_ret> {
            TRY_OK(check_flags(args.flags, 0, "storageVolGetXMLDesc"));
            return proto::storage_vol_get_xml_desc_ret{storage::format(volume)};
        });
    add_settled<proto::storage_vol_get_path>(
        h, s, [&s](const proto::storage_vol_get_path_args& args) -> Result<proto::storage_vol_get_path_ret> {
            TRY(const storage::Volume volume, s.volume(name_of(args.vol)));
            return proto::storage_vol_get_path_ret{volume.path};
        });
}

// A change that waits for the first look; its flags are checked before.
template <class P, class Do>
void add_change(rpc::Handlers& h, Storage& s, std::uint32_t flags, const char* function, Do act) {
    h.add<P>([&s, flags, function, act](Call&, const typename P::Args& args, Responder<P> responder) {
        if (auto fine = check_flags(args.flags, flags, function); !fine) {
            responder.fail(fine.error());
            return;
        }
        s.settled([args, act, r = std::move(responder)]() mutable { act(args, std::move(r)); });
    });
}

void add_changes(rpc::Handlers& h, Storage& s) {
    add_change<proto::storage_vol_create_xml>(
        h, s, kCreateFlags, "storageVolCreateXML",
        [&s](const auto& args, auto r) { s.create_volume(args.pool.uuid, args.xml, args.flags, found(std::move(r))); });
    add_change<proto::storage_vol_create_xml_from>(
        h, s, kCreateFlags, "storageVolCreateXMLFrom", [&s](const auto& args, auto r) {
            s.copy_volume(args.pool.uuid, args.xml, name_of(args.clonevol), args.flags, found(std::move(r)));
        });
    add_change<proto::storage_vol_delete>(h, s, 0, "virStorageBackendVolDeleteLocal", [&s](const auto& args, auto r) {
        s.erase_volume(name_of(args.vol), plain(std::move(r)));
    });
    add_change<proto::storage_vol_resize>(h, s, kResizeFlags, "storageVolResize", [&s](const auto& args, auto r) {
        s.resize_volume(name_of(args.vol), args.capacity, args.flags, plain(std::move(r)));
    });
    add_change<proto::storage_vol_wipe>(h, s, 0, "storageVolWipe", [&s](const auto& args, auto r) {
        s.wipe_volume(name_of(args.vol), storage::kWipeZero, plain(std::move(r)));
    });
    add_change<proto::storage_vol_wipe_pattern>(h, s, 0, "storageVolWipePattern", [&s](const auto& args, auto r) {
        s.wipe_volume(name_of(args.vol), args.algorithm, plain(std::move(r)));
    });
}

template <class P, class Open>
void add_transfer(rpc::Handlers& h, Storage& s, const char* function, Open open) {
    add_change<P>(h, s, kSparse, function, [&s, open](const typename P::Args& args, Responder<P> responder) {
        const TransferRange range{.offset = args.offset, .length = args.length, .sparse = (args.flags & kSparse) != 0};
        open(s, name_of(args.vol), range, [r = std::move(responder)](Result<std::unique_ptr<Transfer>> made) mutable {
            if (!made) {
                r.fail(made.error());
                return;
            }
            Transfer& transfer = **made;
            if (rpc::Stream stream = r.open({}, std::move(*made)); stream.alive()) {
                transfer.attach(std::move(stream));
            }
        });
    });
}

}  // namespace

void add_volume_handlers(rpc::Handlers& handlers, Storage& storage) {
    add_lookups(handlers, storage);
    add_facts(handlers, storage);
    add_changes(handlers, storage);
    add_transfer<proto::storage_vol_upload>(handlers, storage, "storageVolUpload", open_upload);
    add_transfer<proto::storage_vol_download>(handlers, storage, "storageVolDownload", open_download);
}

}  // namespace bascule::daemon
