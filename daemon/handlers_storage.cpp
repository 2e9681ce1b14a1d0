// SPDX-License-Identifier: GPL-2.0-or-later
// Pools.
#include "daemon/handlers_storage.h"

#include "daemon/handlers.h"
#include "rpc/proto_storage.h"
#include "rpc/session.h"
#include "storage/xml.h"

namespace bascule::daemon {

namespace proto = rpc::proto;
using rpc::Call;
using rpc::Responder;

namespace {

// virConnectListAllStoragePoolsFlags. Those of types that there are none of match nothing.
constexpr std::uint32_t kInactive = 1, kActive = 2, kPersistent = 4, kTransient = 8, kAutostart = 16, kNoAutostart = 32;
constexpr std::uint32_t kDir = 64, kLogical = 512, kAllTypes = 0xFFFC0, kAllListFlags = 0xFFFFF;
constexpr std::uint32_t kInactiveXml = 1;  // VIR_STORAGE_XML_INACTIVE
constexpr std::uint32_t kValidate = 1;     // VIR_STORAGE_POOL_DEFINE_VALIDATE: every document is checked anyway
constexpr std::uint32_t kCreateFlags = 7;  // with-build, and whether to overwrite
constexpr std::uint32_t kBuildFlags = 12;  // no-overwrite, overwrite

proto::StoragePool to_wire(const Pool& pool) { return {.name = pool.shown().name.str(), .uuid = pool.shown().uuid}; }

bool active(const Pool& pool) { return pool.active(); }
bool inactive(const Pool& pool) { return !pool.active(); }
std::string name_of(const Pool& pool) { return pool.shown().name.str(); }

Result<const Pool*> find(const Storage& storage, const proto::StoragePool& pool) {
    return storage.by_uuid(pool.uuid, pool.name);
}

// An answer without content, for what answers later.
template <class P>
Reply<void> plain(Responder<P> responder) {
    return [r = std::move(responder)](Result<void> done) mutable { r.answer(done); };
}

bool has_type(std::uint32_t flags, const Pool& pool) {
    const std::uint32_t mine = pool.shown().type == storage::PoolType::dir ? kDir : kLogical;
    return (flags & kAllTypes) == 0 || (flags & mine) != 0;
}

void add_lists(rpc::Handlers& h, Storage& s) {
    h.add<proto::connect_list_all_storage_pools>([&s](Call&, const proto::connect_list_all_storage_pools_args& args)
                                                     -> Result<proto::connect_list_all_storage_pools_ret> {
        TRY_OK(check_flags(args.flags, kAllListFlags, "storageConnectListAllStoragePools"));
        proto::connect_list_all_storage_pools_ret ret;
        for (const Pool* const pool : s.all()) {
            if (passes(args.flags, kActive, kInactive, pool->active()) &&
                passes(args.flags, kPersistent, kTransient, pool->persistent()) &&
                passes(args.flags, kAutostart, kNoAutostart, pool->autostart) && has_type(args.flags, *pool)) {
                ++ret.ret;
                if (args.need_results != 0) {
                    ret.pools.push_back(to_wire(*pool));
                }
            }
        }
        return ret;
    });
    h.add<proto::connect_num_of_storage_pools>(
        [&s](Call&, const rpc::Nothing&) -> Result<proto::connect_num_of_storage_pools_ret> {
            return proto::connect_num_of_storage_pools_ret{
                static_cast<std::int32_t>(std::ranges::count_if(s.all(), active, [](auto* p) -> auto& { return *p; }))};
        });
    h.add<proto::connect_num_of_defined_storage_pools>(
        [&s](Call&, const rpc::Nothing&) -> Result<proto::connect_num_of_defined_storage_pools_ret> {
            return proto::connect_num_of_defined_storage_pools_ret{static_cast<std::int32_t>(
                std::ranges::count_if(s.all(), inactive, [](auto* p) -> auto& { return *p; }))};
        });
    h.add<proto::connect_list_storage_pools>(
        [&s](Call&,
             const proto::connect_list_storage_pools_args& args) -> Result<proto::connect_list_storage_pools_ret> {
            return proto::connect_list_storage_pools_ret{names_of(s.all(), args.maxnames, active, name_of)};
        });
    h.add<proto::connect_list_defined_storage_pools>(
        [&s](Call&, const proto::connect_list_defined_storage_pools_args& args)
            -> Result<proto::connect_list_defined_storage_pools_ret> {
            return proto::connect_list_defined_storage_pools_ret{names_of(s.all(), args.maxnames, inactive, name_of)};
        });
}

void add_lookups(rpc::Handlers& h, Storage& s) {
    h.add<proto::storage_pool_lookup_by_name>(
        [&s](Call&,
             const proto::storage_pool_lookup_by_name_args& args) -> Result<proto::storage_pool_lookup_by_name_ret> {
            TRY(const Pool* const pool, s.by_name(args.name));
            return proto::storage_pool_lookup_by_name_ret{to_wire(*pool)};
        });
    h.add<proto::storage_pool_lookup_by_uuid>(
        [&s](Call&,
             const proto::storage_pool_lookup_by_uuid_args& args) -> Result<proto::storage_pool_lookup_by_uuid_ret> {
            TRY(const Pool* const pool, s.by_uuid(args.uuid));
            return proto::storage_pool_lookup_by_uuid_ret{to_wire(*pool)};
        });
    h.add<proto::storage_pool_lookup_by_volume>([&s](Call&, const proto::storage_pool_lookup_by_volume_args& args)
                                                    -> Result<proto::storage_pool_lookup_by_volume_ret> {
        TRY(const Pool* const pool, s.by_name(args.vol.pool));
        return proto::storage_pool_lookup_by_volume_ret{to_wire(*pool)};
    });
    h.add<proto::storage_pool_lookup_by_target_path>(
        [&s](Call&, const proto::storage_pool_lookup_by_target_path_args& args)
            -> Result<proto::storage_pool_lookup_by_target_path_ret> {
            TRY(const Pool* const pool, s.by_target(args.path));
            return proto::storage_pool_lookup_by_target_path_ret{to_wire(*pool)};
        });
}

void add_life_cycle(rpc::Handlers& h, Storage& s) {
    h.add<proto::storage_pool_define_xml>(
        [&s](Call&, const proto::storage_pool_define_xml_args& args) -> Result<proto::storage_pool_define_xml_ret> {
            TRY_OK(check_flags(args.flags, kValidate, "storagePoolDefineXML"));
            TRY(const Pool* const pool, s.define(args.xml));
            return proto::storage_pool_define_xml_ret{to_wire(*pool)};
        });
    h.add<proto::storage_pool_create_xml>([&s](Call&, const proto::storage_pool_create_xml_args& args,
                                               Responder<proto::storage_pool_create_xml> responder) {
        if (auto fine = check_flags(args.flags, kCreateFlags, "storagePoolCreateXML"); !fine) {
            responder.fail(fine.error());
            return;
        }
        s.create(args.xml, args.flags, [r = std::move(responder)](Result<const Pool*> pool) mutable {
            r.answer(pool ? Result<proto::storage_pool_create_xml_ret>({to_wire(**pool)})
                          : std::unexpected(pool.error()));
        });
    });
    h.add<proto::storage_pool_create>(
        [&s](Call&, const proto::storage_pool_create_args& args, Responder<proto::storage_pool_create> responder) {
            if (auto fine = check_flags(args.flags, kCreateFlags, "storagePoolCreate"); !fine) {
                responder.fail(fine.error());
                return;
            }
            s.start(args.pool.uuid, args.flags, plain(std::move(responder)));
        });
    h.add<proto::storage_pool_build>(
        [&s](Call&, const proto::storage_pool_build_args& args, Responder<proto::storage_pool_build> responder) {
            if (auto fine = check_flags(args.flags, kBuildFlags, "virStorageBackendPoolBuild"); !fine) {
                responder.fail(fine.error());
                return;
            }
            s.build(args.pool.uuid, args.flags, plain(std::move(responder)));
        });
    h.add<proto::storage_pool_destroy>(
        [&s](Call&, const proto::storage_pool_destroy_args& args, Responder<proto::storage_pool_destroy> responder) {
            s.destroy(args.pool.uuid, plain(std::move(responder)));
        });
    h.add<proto::storage_pool_delete>(
        [&s](Call&, const proto::storage_pool_delete_args& args, Responder<proto::storage_pool_delete> responder) {
            if (auto fine = check_flags(args.flags, 0, "virStorageBackendDeleteLocal"); !fine) {
                responder.fail(fine.error());
                return;
            }
            s.erase(args.pool.uuid, plain(std::move(responder)));
        });
    h.add<proto::storage_pool_undefine>(
        [&s](Call&, const proto::storage_pool_undefine_args& args) { return s.undefine(args.pool.uuid); });
    h.add<proto::storage_pool_refresh>(
        [&s](Call&, const proto::storage_pool_refresh_args& args, Responder<proto::storage_pool_refresh> responder) {
            if (auto fine = check_flags(args.flags, 0, "storagePoolRefresh"); !fine) {
                responder.fail(fine.error());
                return;
            }
            s.refresh(args.pool.uuid, plain(std::move(responder)));
        });
    h.add<proto::storage_pool_set_autostart>([&s](Call&, const proto::storage_pool_set_autostart_args& args) {
        return s.set_autostart(args.pool.uuid, args.autostart != 0);
    });
}

void add_facts(rpc::Handlers& h, Storage& s) {
    add_settled<proto::storage_pool_get_info>(
        h, s, [&s](const proto::storage_pool_get_info_args& args) -> Result<proto::storage_pool_get_info_ret> {
            constexpr std::uint8_t kStateInactive = 0, kStateRunning = 2;  // virStoragePoolState
            TRY(const Pool* const pool, find(s, args.pool));
            return proto::storage_pool_get_info_ret{.state = pool->active() ? kStateRunning : kStateInactive,
                                                    .capacity = pool->room.capacity,
                                                    .allocation = pool->room.allocation,
                                                    .available = pool->room.available};
        });
    add_settled<proto::storage_pool_get_xml_desc>(
        h, s, [&s](const proto::storage_pool_get_xml_desc_args& args) -> Result<proto::storage_pool_get_xml_desc_ret> {
            TRY_OK(check_flags(args.flags, kInactiveXml, "storagePoolGetXMLDesc"));
            TRY(const Pool* const pool, find(s, args.pool));
            return proto::storage_pool_get_xml_desc_ret{s.format(*pool, (args.flags & kInactiveXml) != 0)};
        });
    h.add<proto::storage_pool_get_autostart>(
        [&s](Call&,
             const proto::storage_pool_get_autostart_args& args) -> Result<proto::storage_pool_get_autostart_ret> {
            TRY(const Pool* const pool, find(s, args.pool));
            return proto::storage_pool_get_autostart_ret{pool->autostart ? 1 : 0};
        });
    h.add<proto::storage_pool_is_active>(
        [&s](Call&, const proto::storage_pool_is_active_args& args) -> Result<proto::storage_pool_is_active_ret> {
            TRY(const Pool* const pool, find(s, args.pool));
            return proto::storage_pool_is_active_ret{pool->active() ? 1 : 0};
        });
    h.add<proto::storage_pool_is_persistent>(
        [&s](Call&,
             const proto::storage_pool_is_persistent_args& args) -> Result<proto::storage_pool_is_persistent_ret> {
            TRY(const Pool* const pool, find(s, args.pool));
            return proto::storage_pool_is_persistent_ret{pool->persistent() ? 1 : 0};
        });
    h.add<proto::connect_get_storage_pool_capabilities>(
        [](Call&, const proto::connect_get_storage_pool_capabilities_args& args)
            -> Result<proto::connect_get_storage_pool_capabilities_ret> {
            TRY_OK(check_flags(args.flags, 0, "storageConnectGetCapabilities"));
            return proto::connect_get_storage_pool_capabilities_ret{storage::capabilities()};
        });
    h.add<proto::connect_find_storage_pool_sources>(
        [&s](Call&, const proto::connect_find_storage_pool_sources_args& args,
             Responder<proto::connect_find_storage_pool_sources> responder) {
            if (auto fine = check_flags(args.flags, 0, "storageConnectFindStoragePoolSources"); !fine) {
                responder.fail(fine.error());
                return;
            }
            s.find_sources(args.type, args.src_spec.value_or(""),
                           [r = std::move(responder)](Result<std::string> xml) mutable {
                               r.answer(xml ? Result<proto::connect_find_storage_pool_sources_ret>({*xml})
                                            : std::unexpected(xml.error()));
                           });
        });
}

}  // namespace

void add_pool_handlers(rpc::Handlers& handlers, Storage& storage) {
    add_lists(handlers, storage);
    add_lookups(handlers, storage);
    add_life_cycle(handlers, storage);
    add_facts(handlers, storage);
}

}  // namespace bascule::daemon
