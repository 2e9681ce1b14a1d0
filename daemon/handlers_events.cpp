// SPDX-License-Identifier: GPL-2.0-or-later
// Registering for events, all classes.
#include "daemon/handlers.h"
#include "rpc/proto_bascule.h"
#include "rpc/proto_connect.h"
#include "rpc/proto_domain.h"
#include "rpc/proto_network.h"
#include "rpc/proto_node_device.h"
#include "rpc/proto_qemu.h"
#include "rpc/proto_secret.h"
#include "rpc/proto_storage.h"
#include "rpc/session.h"

namespace bascule::daemon {

namespace proto = rpc::proto;
using rpc::Call;
using Class = Subscriptions::Class;

namespace {

// virConnectDomainQemuMonitorEventRegisterFlags
constexpr std::uint32_t kRegex = 1, kAnyCase = 2;

// The pair of calls of a class; `object` is the member that names one object, where the client wants no more.
template <class Register, class Deregister, class Object>
void add_pair(rpc::Handlers& h, Services& s, Class what, Object Register::Args::* object) {
    h.add<Register>(
        [&s, what, object](Call& call, const typename Register::Args& args) -> Result<typename Register::Ret> {
            if (what == Class::node_device) {
                TRY_OK(s.device_events.begin());
            }
            TRY(const std::int32_t id, s.subscriptions.add(call.session, what, args.event_id, args.*object));
            return typename Register::Ret{.callback_id = id};
        });
    h.add<Deregister>([&s, what](Call& call, const typename Deregister::Args& args) {
        return s.subscriptions.remove(call.session, what, args.callback_id);
    });
}

// Calls of clients from before there were callback ids. The life cycle has a pair of its own, which answers how many
// registrations are left.
void add_old(rpc::Handlers& h, Services& s) {
    h.add<proto::connect_domain_event_register>(
        [&s](Call& call, const rpc::Nothing&) -> Result<proto::connect_domain_event_register_ret> {
            TRY_OK(s.subscriptions.add_old(call.session, 0));
            return proto::connect_domain_event_register_ret{.cb_registered = 1};
        });
    h.add<proto::connect_domain_event_deregister>(
        [&s](Call& call, const rpc::Nothing&) -> Result<proto::connect_domain_event_deregister_ret> {
            TRY_OK(s.subscriptions.remove_old(call.session, 0));
            return proto::connect_domain_event_deregister_ret{.cb_registered = 0};
        });
    h.add<proto::connect_domain_event_register_any>(
        [&s](Call& call, const proto::connect_domain_event_register_any_args& args) {
            return s.subscriptions.add_old(call.session, args.event_id);
        });
    h.add<proto::connect_domain_event_deregister_any>(
        [&s](Call& call, const proto::connect_domain_event_deregister_any_args& args) {
            return s.subscriptions.remove_old(call.session, args.event_id);
        });
}

void add_monitor(rpc::Handlers& h, Services& s) {
    h.add<proto::connect_domain_monitor_event_register>(
        [&s](Call& call, const proto::connect_domain_monitor_event_register_args& args)
            -> Result<proto::connect_domain_monitor_event_register_ret> {
            if ((args.flags & kRegex) != 0) {
                return fail(Code::unsupported,
                            "monitor events are not chosen by a regular expression here: name one, "
                            "or none for all of them");
            }
            TRY_OK(check_flags(args.flags, kAnyCase, "qemuConnectDomainQemuMonitorEventRegister"));
            TRY(const std::int32_t id,
                s.subscriptions.add_monitor(call.session, args.dom, args.event, (args.flags & kAnyCase) != 0));
            return proto::connect_domain_monitor_event_register_ret{.callback_id = id};
        });
    h.add<proto::connect_domain_monitor_event_deregister>(
        [&s](Call& call, const proto::connect_domain_monitor_event_deregister_args& args) {
            return s.subscriptions.remove(call.session, Class::monitor, args.callback_id);
        });
}

// Of our own program (daemon/lease_news.h).
void add_leases(rpc::Handlers& h, Services& s) {
    h.add<proto::connect_lease_event_register>(
        [&s](Call& call,
             const proto::connect_lease_event_register_args& args) -> Result<proto::connect_lease_event_register_ret> {
            TRY(const std::int32_t id, s.subscriptions.add(call.session, Class::lease, 0, args.net));
            return proto::connect_lease_event_register_ret{.callback_id = id};
        });
    h.add<proto::connect_lease_event_deregister>(
        [&s](Call& call, const proto::connect_lease_event_deregister_args& args) {
            return s.subscriptions.remove(call.session, Class::lease, args.callback_id);
        });
}

}  // namespace

void add_event_handlers(rpc::Handlers& h, Services& s) {
    add_pair<proto::connect_domain_event_callback_register_any, proto::connect_domain_event_callback_deregister_any>(
        h, s, Class::domain, &proto::connect_domain_event_callback_register_any_args::dom);
    add_pair<proto::connect_network_event_register_any, proto::connect_network_event_deregister_any>(
        h, s, Class::network, &proto::connect_network_event_register_any_args::net);
    add_pair<proto::connect_storage_pool_event_register_any, proto::connect_storage_pool_event_deregister_any>(
        h, s, Class::storage_pool, &proto::connect_storage_pool_event_register_any_args::pool);
    add_pair<proto::connect_node_device_event_register_any, proto::connect_node_device_event_deregister_any>(
        h, s, Class::node_device, &proto::connect_node_device_event_register_any_args::dev);
    add_pair<proto::connect_secret_event_register_any, proto::connect_secret_event_deregister_any>(
        h, s, Class::secret, &proto::connect_secret_event_register_any_args::secret);
    add_old(h, s);
    add_monitor(h, s);
    add_leases(h, s);
}

}  // namespace bascule::daemon
