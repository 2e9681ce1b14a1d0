// SPDX-License-Identifier: GPL-2.0-or-later
// Lists and counts, of what the caller may see.
#include <algorithm>

#include "daemon/access.h"
#include "rpc/proto_connect.h"
#include "rpc/proto_domain.h"
#include "rpc/proto_interface.h"
#include "rpc/proto_network.h"
#include "rpc/proto_node_device.h"
#include "rpc/proto_nwfilter.h"
#include "rpc/proto_secret.h"
#include "rpc/proto_storage.h"

namespace bascule::daemon {

namespace proto = rpc::proto;
using rpc::Call;
using rpc::Responder;

namespace {

constexpr std::int32_t kMost = 16384;  // of an older list

struct Item {
    ObjectClass object;
    Details details;
};
Item item(const proto::Domain& x) { return {ObjectClass::domain, details_of(ObjectClass::domain, {x.name, x.uuid})}; }
Item item(const proto::DomainStatsRecord& x) { return item(x.dom); }
Item item(const proto::Network& x) {
    return {ObjectClass::network, details_of(ObjectClass::network, {x.name, x.uuid})};
}
Item item(const proto::NetworkPort& x) {
    Details details = details_of(ObjectClass::network_port, {x.net.name, x.net.uuid});
    details.emplace_back("network_port_uuid", format(x.uuid));
    return {ObjectClass::network_port, std::move(details)};
}
Item item(const proto::Nwfilter& x) {
    return {ObjectClass::nwfilter, details_of(ObjectClass::nwfilter, {x.name, x.uuid})};
}
Item item(const proto::NwfilterBinding& x) {
    Details details = details_of(ObjectClass::nwfilter_binding, {x.portdev, {}});
    details.emplace_back("nwfilter_binding_filter", x.filtername);
    return {ObjectClass::nwfilter_binding, std::move(details)};
}
Item item(const proto::Interface& x) {
    Details details = details_of(ObjectClass::interface, {x.name, {}});
    details.emplace_back("interface_macaddr", x.mac);
    return {ObjectClass::interface, std::move(details)};
}
Item item(const proto::StoragePool& x) {
    return {ObjectClass::storage_pool, details_of(ObjectClass::storage_pool, {x.name, x.uuid})};
}
Item item(const proto::NodeDevice& x) {
    return {ObjectClass::node_device, details_of(ObjectClass::node_device, {x.name, {}})};
}
Item item(const proto::Secret& x) { return {ObjectClass::secret, details_of(ObjectClass::secret, {{}, x.uuid})}; }

template <class T>
void keep(std::vector<T>& list, const std::vector<bool>& allowed) {
    std::size_t i = 0;
    std::erase_if(list, [&](const T&) { return !allowed[i++]; });
}

}  // namespace

// The ones that travel by name only, or by id. None: gone meanwhile.
std::optional<Details> Access::details_of_item(ObjectClass object, const std::string& name,
                                               const std::optional<Directory::Named>& pool) const {
    if (object == ObjectClass::storage_vol) {
        const auto known = pool ? directory_.volume(*pool, name) : std::nullopt;
        return known ? std::optional(details_of(*known)) : std::nullopt;
    }
    if (object == ObjectClass::secret) {
        const auto uuid = Uuid::parse(name);
        return uuid ? std::optional(details_of(object, {{}, *uuid})) : std::nullopt;
    }
    const auto* const kind = kind_of(object);
    if (kind == nullptr) {
        return details_of(object, {name, {}});
    }
    const auto known = kind->by_name(name);
    return known ? std::optional(details_of(object, *known)) : std::nullopt;
}

std::optional<Details> Access::details_of_item(ObjectClass object, std::int32_t id,
                                               const std::optional<Directory::Named>&) const {
    const auto known = directory_.domain_by_id(id);
    return known ? std::optional(details_of(object, *known)) : std::nullopt;
}

template <class T>
auto Access::item_of(const T& one) const {
    if constexpr (std::is_same_v<T, proto::StorageVol>) {
        const auto pool = directory_.pools.by_name(one.pool).value_or(Directory::Named{one.pool, {}});
        return Item{ObjectClass::storage_vol, details_of(Directory::Volume{pool, one.name, one.key})};
    } else {
        return item(one);
    }
}

// Calls that answer objects and how many there are: the inner call always lists them.
template <class P, class T>
void Access::wrap_all(rpc::Handlers& handlers, std::vector<T> P::Ret::* list, std::string_view permission) {
    handlers.wrap<P>(
        [this, list, permission](Call& call, const typename P::Args& args, auto next, Responder<P> responder) {
            typename P::Args full = args;
            bool wanted = true;
            if constexpr (requires { full.need_results; }) {
                wanted = std::exchange(full.need_results, 1) != 0;
            }
            const rpc::Peer peer = call.session.peer();
            next(call, full, [=, this, r = std::move(responder)](Result<typename P::Ret> all) mutable {
                if (!all || peer.uid == 0) {
                    if (all && !wanted) {
                        ((*all).*list).clear();
                    }
                    return r.answer(all);
                }
                std::vector<kernel::Question> questions;
                for (const T& one : (*all).*list) {
                    Item it = item_of(one);
                    questions.push_back(question(peer, it.object, permission, std::move(it.details)));
                }
                ask_each(std::move(questions),
                         [=, ret = *std::move(all), r = std::move(r)](const std::vector<bool>& allowed) mutable {
                             keep(ret.*list, allowed);
                             if constexpr (requires { ret.ret; }) {
                                 ret.ret = static_cast<std::uint32_t>((ret.*list).size());
                             }
                             if (!wanted) {
                                 (ret.*list).clear();
                             }
                             r.ok(ret);
                         });
            });
        });
}

// What `inner` lists, less what the caller may not see.
template <class P, class T, class Inner, class Then>
void Access::visible(Call& call, const typename P::Args& args, Inner inner, std::vector<T> P::Ret::* list,
                     ObjectClass object, Then then) {
    const rpc::Peer peer = call.session.peer();
    std::optional<Directory::Named> pool;
    if constexpr (requires { args.pool; }) {
        pool = directory_.pools.by_uuid(args.pool.uuid);
    }
    inner(call, args, [=, this, then = std::move(then)](Result<typename P::Ret> all) mutable {
        if (!all || peer.uid == 0) {
            return then(std::move(all));
        }
        std::vector<kernel::Question> questions;
        std::erase_if((*all).*list, [&](const T& one) {
            auto details = details_of_item(object, one, pool);
            if (details) {
                questions.push_back(question(peer, object, "getattr", *std::move(details)));
            }
            return !details;
        });
        ask_each(std::move(questions),
                 [list, ret = *std::move(all), then = std::move(then)](const std::vector<bool>& allowed) mutable {
                     keep(ret.*list, allowed);
                     then(Result<typename P::Ret>(std::move(ret)));
                 });
    });
}

// Older ones: names, at most so many. The inner call lists all, so that what may not be seen takes nobody's place.
template <class P, class T>
void Access::wrap_old(rpc::Handlers& handlers, std::int32_t P::Args::* most, std::vector<T> P::Ret::* list,
                      ObjectClass object) {
    handlers.wrap<P>(
        [this, most, list, object](Call& call, const typename P::Args& args, auto next, Responder<P> responder) {
            typename P::Args full = args;
            full.*most = kMost;
            const auto limit = static_cast<std::size_t>(std::max(args.*most, 0));
            this->template visible<P, T>(call, full, next, list, object,
                                         [limit, list, r = std::move(responder)](Result<typename P::Ret> ret) mutable {
                                             if (ret && ((*ret).*list).size() > limit) {
                                                 ((*ret).*list).resize(limit);
                                             }
                                             r.answer(ret);
                                         });
        });
}

// Counts are the lengths of lists, which are filtered already.
template <class Count, class P, class T>
void Access::wrap_count(rpc::Handlers& handlers, std::int32_t P::Args::* most, std::vector<T> P::Ret::* list) {
    handlers.wrap<Count>([&handlers, most, list](Call& call, const typename Count::Args& args, auto next,
                                                 Responder<Count> responder) {
        if (call.session.peer().uid == 0) {
            return next(call, args,
                        [r = std::move(responder)](const Result<typename Count::Ret>& ret) mutable { r.answer(ret); });
        }
        typename P::Args full{};
        full.*most = kMost;
        if constexpr (requires { full.cap = args.cap; }) {
            full.cap = args.cap;
            full.flags = args.flags;
        }
        if constexpr (requires { full.pool = args.pool; }) {
            full.pool = args.pool;
        }
        handlers.invoke<P>(call, full, [list, r = std::move(responder)](const Result<typename P::Ret>& ret) mutable {
            if (!ret) {
                return r.fail(ret.error());
            }
            r.ok({.num = static_cast<std::int32_t>(((*ret).*list).size())});
        });
    });
}

template <class List, class Count, class T>
void Access::wrap_pair(rpc::Handlers& handlers, std::int32_t List::Args::* most, std::vector<T> List::Ret::* list,
                       ObjectClass object) {
    wrap_old<List>(handlers, most, list, object);
    wrap_count<Count, List>(handlers, most, list);
}

void Access::wrap_lists(rpc::Handlers& h) {
    namespace p = proto;
    using enum ObjectClass;
    wrap_all<p::connect_list_all_domains>(h, &p::connect_list_all_domains_ret::domains);
    wrap_all<p::connect_get_all_domain_stats>(h, &p::connect_get_all_domain_stats_ret::ret_stats, "read");
    wrap_all<p::connect_list_all_networks>(h, &p::connect_list_all_networks_ret::nets);
    wrap_all<p::network_list_all_ports>(h, &p::network_list_all_ports_ret::ports);
    wrap_all<p::connect_list_all_nwfilters>(h, &p::connect_list_all_nwfilters_ret::filters);
    wrap_all<p::connect_list_all_nwfilter_bindings>(h, &p::connect_list_all_nwfilter_bindings_ret::bindings);
    wrap_all<p::connect_list_all_interfaces>(h, &p::connect_list_all_interfaces_ret::ifaces);
    wrap_all<p::connect_list_all_storage_pools>(h, &p::connect_list_all_storage_pools_ret::pools);
    wrap_all<p::storage_pool_list_all_volumes>(h, &p::storage_pool_list_all_volumes_ret::vols);
    wrap_all<p::connect_list_all_node_devices>(h, &p::connect_list_all_node_devices_ret::devices);
    wrap_all<p::connect_list_all_secrets>(h, &p::connect_list_all_secrets_ret::secrets);

    wrap_pair<p::connect_list_defined_domains, p::connect_num_of_defined_domains>(
        h, &p::connect_list_defined_domains_args::maxnames, &p::connect_list_defined_domains_ret::names, domain);
    wrap_pair<p::connect_list_domains, p::connect_num_of_domains>(h, &p::connect_list_domains_args::maxids,
                                                                  &p::connect_list_domains_ret::ids, domain);
    wrap_pair<p::connect_list_networks, p::connect_num_of_networks>(h, &p::connect_list_networks_args::maxnames,
                                                                    &p::connect_list_networks_ret::names, network);
    wrap_pair<p::connect_list_defined_networks, p::connect_num_of_defined_networks>(
        h, &p::connect_list_defined_networks_args::maxnames, &p::connect_list_defined_networks_ret::names, network);
    wrap_pair<p::connect_list_nwfilters, p::connect_num_of_nwfilters>(h, &p::connect_list_nwfilters_args::maxnames,
                                                                      &p::connect_list_nwfilters_ret::names, nwfilter);
    wrap_pair<p::connect_list_interfaces, p::connect_num_of_interfaces>(
        h, &p::connect_list_interfaces_args::maxnames, &p::connect_list_interfaces_ret::names, interface);
    wrap_pair<p::connect_list_defined_interfaces, p::connect_num_of_defined_interfaces>(
        h, &p::connect_list_defined_interfaces_args::maxnames, &p::connect_list_defined_interfaces_ret::names,
        interface);
    wrap_pair<p::connect_list_storage_pools, p::connect_num_of_storage_pools>(
        h, &p::connect_list_storage_pools_args::maxnames, &p::connect_list_storage_pools_ret::names, storage_pool);
    wrap_pair<p::connect_list_defined_storage_pools, p::connect_num_of_defined_storage_pools>(
        h, &p::connect_list_defined_storage_pools_args::maxnames, &p::connect_list_defined_storage_pools_ret::names,
        storage_pool);
    wrap_pair<p::storage_pool_list_volumes, p::storage_pool_num_of_volumes>(
        h, &p::storage_pool_list_volumes_args::maxnames, &p::storage_pool_list_volumes_ret::names, storage_vol);
    wrap_pair<p::node_list_devices, p::node_num_of_devices>(h, &p::node_list_devices_args::maxnames,
                                                            &p::node_list_devices_ret::names, node_device);
    wrap_pair<p::connect_list_secrets, p::connect_num_of_secrets>(h, &p::connect_list_secrets_args::maxuuids,
                                                                  &p::connect_list_secrets_ret::uuids, secret);
}

}  // namespace bascule::daemon
