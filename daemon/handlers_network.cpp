// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>

#include "daemon/handlers.h"
#include "daemon/metadata.h"
#include "rpc/constants.h"
#include "rpc/program.h"
#include "rpc/proto_network.h"
#include "rpc/session.h"

namespace bascule::daemon {

namespace proto = rpc::proto;
using rpc::Call;
using rpc::Responder;

namespace {

// virConnectListAllNetworksFlags
constexpr std::uint32_t kInactive = 1, kActive = 2, kPersistent = 4, kTransient = 8, kAutostart = 16, kNoAutostart = 32;
constexpr std::uint32_t kInactiveXml = 1;  // VIR_NETWORK_XML_INACTIVE
constexpr std::uint32_t kValidate = 1;     // VIR_NETWORK_DEFINE_VALIDATE: every document is checked anyway

bool active(const Network& network) { return network.active(); }
bool inactive(const Network& network) { return !network.active(); }
std::string name_of(const Network& network) { return network.shown().name.str(); }

proto::NetworkDhcpLease to_wire(const dhcp::Lease& lease, const Network& network) {
    constexpr std::int64_t kInfinite = 0;
    constexpr std::int32_t kIpv4 = 0, kIpv6 = 1;  // virIPAddrType
    std::string client_id;
    for (const std::uint8_t octet : lease.client_id) {
        client_id += fmt::format("{}{:02x}", client_id.empty() ? "" : ":", octet);
    }
    return {.iface = network.shown().bridge ? network.shown().bridge->str() : std::string(),
            .expirytime =
                lease.expires == dhcp::kNever ? kInfinite : std::int64_t{lease.expires.time_since_epoch().count()},
            .type = lease.address.is_v4() ? kIpv4 : kIpv6,
            .mac = format(lease.port),
            .iaid = lease.iaid ? std::optional(std::to_string(*lease.iaid)) : std::nullopt,
            .ipaddr = format(lease.address),
            .prefix = lease.prefix_length,
            .hostname = lease.hostname.empty() ? std::nullopt : std::optional(lease.hostname),
            .clientid = client_id.empty() ? std::nullopt : std::optional(client_id)};
}

Result<proto::network_get_dhcp_leases_ret> leases_of(Services& s, const proto::network_get_dhcp_leases_args& args) {
    TRY_OK(check_flags(args.flags, 0, "networkGetDHCPLeases"));
    TRY(const Network* const network, s.networks.by_uuid(args.net.uuid));
    const auto wanted = args.mac ? parse_mac(*args.mac) : std::nullopt;
    if (args.mac && !wanted) {
        return fail(Code::invalid_argument,
                    fmt::format("Given MAC Address doesn't comply with the standard IEEE 802 format: '{}'", *args.mac));
    }
    proto::network_get_dhcp_leases_ret ret;
    for (const dhcp::Lease& lease : s.netsvc.leases(args.net.uuid)) {
        if (!lease.delegated && (!wanted || lease.port == *wanted)) {
            ++ret.ret;
            if (args.need_results != 0) {
                ret.leases.push_back(to_wire(lease, *network));
            }
        }
    }
    return ret;
}

void add_lookups(rpc::Handlers& h, Services& s) {
    h.add<proto::network_lookup_by_name>(
        [&s](Call&, const proto::network_lookup_by_name_args& args) -> Result<proto::network_lookup_by_name_ret> {
            TRY(const Network* const network, s.networks.by_name(args.name));
            return proto::network_lookup_by_name_ret{to_wire(*network)};
        });
    h.add<proto::network_lookup_by_uuid>(
        [&s](Call&, const proto::network_lookup_by_uuid_args& args) -> Result<proto::network_lookup_by_uuid_ret> {
            TRY(const Network* const network, s.networks.by_uuid(args.uuid));
            return proto::network_lookup_by_uuid_ret{to_wire(*network)};
        });
    h.add<proto::connect_list_all_networks>(
        [&s](Call&, const proto::connect_list_all_networks_args& args) -> Result<proto::connect_list_all_networks_ret> {
            TRY_OK(check_flags(args.flags, 63, "networkConnectListAllNetworks"));
            proto::connect_list_all_networks_ret ret;
            for (const Network* const network : s.networks.all()) {
                if (passes(args.flags, kActive, kInactive, network->active()) &&
                    passes(args.flags, kPersistent, kTransient, network->persistent()) &&
                    passes(args.flags, kAutostart, kNoAutostart, network->autostart)) {
                    ++ret.ret;
                    if (args.need_results != 0) {
                        ret.nets.push_back(to_wire(*network));
                    }
                }
            }
            return ret;
        });
    h.add<proto::connect_num_of_networks>(
        [&s](Call&, const proto::connect_num_of_networks::Args&) -> Result<proto::connect_num_of_networks_ret> {
            return proto::connect_num_of_networks_ret{static_cast<std::int32_t>(
                std::ranges::count_if(s.networks.all(), active, [](auto* n) -> auto& { return *n; }))};
        });
    h.add<proto::connect_num_of_defined_networks>([&s](Call&, const proto::connect_num_of_defined_networks::Args&)
                                                      -> Result<proto::connect_num_of_defined_networks_ret> {
        return proto::connect_num_of_defined_networks_ret{static_cast<std::int32_t>(
            std::ranges::count_if(s.networks.all(), inactive, [](auto* n) -> auto& { return *n; }))};
    });
    h.add<proto::connect_list_networks>(
        [&s](Call&, const proto::connect_list_networks_args& args) -> Result<proto::connect_list_networks_ret> {
            return proto::connect_list_networks_ret{names_of(s.networks.all(), args.maxnames, active, name_of)};
        });
    h.add<proto::connect_list_defined_networks>([&s](Call&, const proto::connect_list_defined_networks_args& args)
                                                    -> Result<proto::connect_list_defined_networks_ret> {
        return proto::connect_list_defined_networks_ret{names_of(s.networks.all(), args.maxnames, inactive, name_of)};
    });
}

// Answers with the network as it then is.
template <class P>
Networks::Done answering_network(const Services& s, Responder<P> responder) {
    return [&s, r = std::move(responder)](Result<Uuid> started) mutable {
        if (!started) {
            return r.fail(started.error());
        }
        const auto network = s.networks.by_uuid(*started);
        network ? r.ok({to_wire(**network)}) : r.fail(network.error());
    };
}

void add_life_cycle(rpc::Handlers& h, Services& s) {
    h.add<proto::network_define_xml>(
        [&s](Call&, const proto::network_define_xml_args& args) -> Result<proto::network_define_xml_ret> {
            TRY(const Network* const network, s.networks.define(args.xml));
            return proto::network_define_xml_ret{to_wire(*network)};
        });
    h.add<proto::network_define_xml_flags>(
        [&s](Call&, const proto::network_define_xml_flags_args& args) -> Result<proto::network_define_xml_flags_ret> {
            TRY_OK(check_flags(args.flags, kValidate | rpc::kDefineLive, "networkDefineXMLFlags"));
            TRY(const Network* const network, s.networks.define(args.xml, (args.flags & rpc::kDefineLive) != 0));
            return proto::network_define_xml_flags_ret{to_wire(*network)};
        });
    h.add<proto::network_create_xml>(
        [&s](Call&, const proto::network_create_xml_args& args, Responder<proto::network_create_xml> responder) {
            s.networks.create(args.xml, answering_network(s, std::move(responder)));
        });
    h.add<proto::network_create_xml_flags>([&s](Call&, const proto::network_create_xml_flags_args& args,
                                                Responder<proto::network_create_xml_flags> responder) {
        if (auto ok = check_flags(args.flags, kValidate, "networkCreateXMLFlags"); !ok) {
            return responder.fail(ok.error());
        }
        s.networks.create(args.xml, answering_network(s, std::move(responder)));
    });
    h.add<proto::network_create>(
        [&s](Call&, const proto::network_create_args& args, Responder<proto::network_create> responder) {
            s.networks.start(args.net.uuid, [r = std::move(responder)](Result<Uuid> started) mutable {
                started ? r.ok({}) : r.fail(started.error());
            });
        });
    h.add<proto::network_destroy>(
        [&s](Call&, const proto::network_destroy_args& args) { return s.networks.destroy(args.net.uuid); });
    h.add<proto::network_undefine>(
        [&s](Call&, const proto::network_undefine_args& args) { return s.networks.undefine(args.net.uuid); });
    h.add<proto::network_update>([&s](Call&, const proto::network_update_args& args) -> Result<void> {
        TRY_OK(check_flags(args.flags, kAffectLive | kAffectConfig, "networkUpdate"));
        TRY(const network::Order order, network::order_of(args.section, args.command, args.xml));
        return s.networks.update(args.net.uuid, (args.flags & kAffectLive) != 0, (args.flags & kAffectConfig) != 0,
                                 {order.section, order.command, args.parent_index, args.xml});
    });
    h.add<proto::network_set_autostart>([&s](Call&, const proto::network_set_autostart_args& args) {
        return s.networks.set_autostart(args.net.uuid, args.autostart != 0);
    });
}

void add_facts(rpc::Handlers& h, Services& s) {
    h.add<proto::network_get_xml_desc>(
        [&s](Call&, const proto::network_get_xml_desc_args& args) -> Result<proto::network_get_xml_desc_ret> {
            TRY_OK(check_flags(args.flags, kInactiveXml, "networkGetXMLDesc"));
            TRY(const Network* const network, s.networks.by_uuid(args.net.uuid));
            return proto::network_get_xml_desc_ret{s.networks.format(*network, (args.flags & kInactiveXml) != 0)};
        });
    h.add<proto::network_get_bridge_name>(
        [&s](Call&, const proto::network_get_bridge_name_args& args) -> Result<proto::network_get_bridge_name_ret> {
            TRY(const Network* const network, s.networks.by_uuid(args.net.uuid));
            if (!network->shown().bridge) {
                return fail(Code::internal,
                            fmt::format("network '{}' does not have a bridge name.", name_of(*network)));
            }
            return proto::network_get_bridge_name_ret{network->shown().bridge->str()};
        });
    h.add<proto::network_get_autostart>(
        [&s](Call&, const proto::network_get_autostart_args& args) -> Result<proto::network_get_autostart_ret> {
            TRY(const Network* const network, s.networks.by_uuid(args.net.uuid));
            return proto::network_get_autostart_ret{network->autostart ? 1 : 0};
        });
    h.add<proto::network_is_active>(
        [&s](Call&, const proto::network_is_active_args& args) -> Result<proto::network_is_active_ret> {
            TRY(const Network* const network, s.networks.by_uuid(args.net.uuid));
            return proto::network_is_active_ret{network->active() ? 1 : 0};
        });
    h.add<proto::network_is_persistent>(
        [&s](Call&, const proto::network_is_persistent_args& args) -> Result<proto::network_is_persistent_ret> {
            TRY(const Network* const network, s.networks.by_uuid(args.net.uuid));
            return proto::network_is_persistent_ret{network->persistent() ? 1 : 0};
        });
    h.add<proto::network_get_dhcp_leases>([&s](Call&, const proto::network_get_dhcp_leases_args& args,
                                               Responder<proto::network_get_dhcp_leases> responder) {
        s.netsvc.when_known(
            [&s, args, responder = std::move(responder)]() mutable { responder.answer(leases_of(s, args)); });
    });
}

Notes notes_of(network::Spec& spec) {
    return {.title = spec.title, .description = spec.description, .metadata = spec.metadata};
}

void add_notes(rpc::Handlers& h, Services& s) {
    h.add<proto::network_get_metadata>(
        [&s](Call&, const proto::network_get_metadata_args& args) -> Result<proto::network_get_metadata_ret> {
            TRY_OK(check_flags(args.flags, kAffectLive | kAffectConfig, "networkGetMetadata"));
            TRY(const Network* const network, s.networks.by_uuid(args.network.uuid));
            if ((args.flags & kAffectLive) != 0 && !network->active()) {
                return fail(Code::invalid_state, "network is not running");
            }
            const bool config = (args.flags & kAffectConfig) != 0 && network->persistent();
            network::Spec spec = config ? *network->definition : network->shown();
            TRY(std::string text, get_note(notes_of(spec), args.type, args.uri, Code::no_network_metadata));
            return proto::network_get_metadata_ret{std::move(text)};
        });
    h.add<proto::network_set_metadata>([&s](Call&, const proto::network_set_metadata_args& args) -> Result<void> {
        TRY_OK(check_flags(args.flags, kAffectLive | kAffectConfig, "networkSetMetadata"));
        const auto set = [&](network::Spec& spec) {
            return set_note(notes_of(spec), args.type, args.metadata, args.key, args.uri);
        };
        TRY_OK(s.networks.annotate(args.network.uuid, (args.flags & kAffectLive) != 0,
                                   (args.flags & kAffectConfig) != 0, set));
        TRY(const Network* const network, s.networks.by_uuid(args.network.uuid));
        s.subscriptions.publish<proto::network_event_callback_metadata_change>(
            {.net = to_wire(*network), .type = args.type, .nsuri = args.uri});
        return {};
    });
}

}  // namespace

proto::Network to_wire(const Network& network) {
    return {.name = network.shown().name.str(), .uuid = network.shown().uuid};
}

void add_network_handlers(rpc::Handlers& handlers, Services& services) {
    add_lookups(handlers, services);
    add_life_cycle(handlers, services);
    add_facts(handlers, services);
    add_notes(handlers, services);
}

}  // namespace bascule::daemon
