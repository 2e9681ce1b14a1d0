// SPDX-License-Identifier: GPL-2.0-or-later
#include <array>
#include <limits>

#include "daemon/handlers.h"
#include "daemon/network_ports.h"
#include "rpc/constants.h"
#include "rpc/proto_network.h"

namespace bascule::daemon {

namespace proto = rpc::proto;
using rpc::Call;
using rpc::Responder;

namespace {

namespace create_flags = rpc::network_port_create_flags;

// One number of a <bandwidth>, by its parameter's name.
struct Field {
    std::string_view name;
    std::optional<Rate> Bandwidth::* direction;
    std::uint64_t Rate::* number;
};
constexpr std::array<Field, 7> kFields{{
    {rpc::typed_param_field::network_port_bandwidth_in_average, &Bandwidth::inbound, &Rate::average},
    {rpc::typed_param_field::network_port_bandwidth_in_peak, &Bandwidth::inbound, &Rate::peak},
    {rpc::typed_param_field::network_port_bandwidth_in_burst, &Bandwidth::inbound, &Rate::burst},
    {rpc::typed_param_field::network_port_bandwidth_in_floor, &Bandwidth::inbound, &Rate::floor},
    {rpc::typed_param_field::network_port_bandwidth_out_average, &Bandwidth::outbound, &Rate::average},
    {rpc::typed_param_field::network_port_bandwidth_out_peak, &Bandwidth::outbound, &Rate::peak},
    {rpc::typed_param_field::network_port_bandwidth_out_burst, &Bandwidth::outbound, &Rate::burst},
}};

std::vector<rpc::TypedParam> params_of(const Bandwidth& bandwidth) {
    std::vector<rpc::TypedParam> out;
    for (const Field& field : kFields) {
        const auto& rate = bandwidth.*field.direction;
        const std::uint64_t value = rate ? (*rate).*field.number : 0;
        constexpr std::uint64_t most = std::numeric_limits<std::uint32_t>::max();
        out.push_back({std::string(field.name), static_cast<std::uint32_t>(std::min(value, most))});
    }
    return out;
}

Result<void> change(Bandwidth& bandwidth, const rpc::TypedParam& param) {
    const auto field = std::ranges::find(kFields, param.field, &Field::name);
    if (field == kFields.end()) {
        return fail(Code::invalid_argument, fmt::format("parameter '{}' not supported", param.field));
    }
    const auto* const value = std::get_if<std::uint32_t>(&param.value);
    if (value == nullptr) {
        return fail(Code::invalid_argument,
                    fmt::format("invalid type for parameter '{}', expected 'uint'", param.field));
    }
    auto& rate = bandwidth.*field->direction;
    rate = rate ? rate : std::optional(Rate{});
    (*rate).*field->number = *value;
    return {};
}

// What is left of a direction must make sense; without a rate there is no limit.
Result<void> settle(std::optional<Rate>& rate, std::string_view direction) {
    if (!rate || (rate->average == 0 && rate->floor == 0)) {
        rate.reset();
        return {};
    }
    if (rate->average == 0 && (rate->peak != 0 || rate->burst != 0)) {
        return fail(Code::invalid_argument, fmt::format("{}: peak and burst need an average", direction));
    }
    if (rate->peak != 0 && rate->peak < rate->average) {
        return fail(Code::invalid_argument, fmt::format("{}: the peak is below the average", direction));
    }
    return {};
}

Result<void> set_parameters(NetworkPorts& ports, const proto::network_port_set_parameters_args& args) {
    TRY_OK(check_flags(args.flags, 0, "networkPortSetParameters"));
    TRY(const network::Port port, ports.find(args.port.net.uuid, args.port.uuid));
    Bandwidth bandwidth = port.bandwidth;
    for (const rpc::TypedParam& param : args.params) {
        TRY_OK(change(bandwidth, param));
    }
    TRY_OK(settle(bandwidth.inbound, "inbound"));
    TRY_OK(settle(bandwidth.outbound, "outbound"));
    return ports.set_bandwidth(args.port.net.uuid, args.port.uuid, bandwidth);
}

}  // namespace

void add_network_port_handlers(rpc::Handlers& h, Services& s, NetworkPorts& ports) {
    h.add<proto::network_list_all_ports>(
        [&s, &ports](Call&,
                     const proto::network_list_all_ports_args& args) -> Result<proto::network_list_all_ports_ret> {
            TRY_OK(check_flags(args.flags, 0, "networkListAllPorts"));
            TRY(const Network* const network, s.networks.by_uuid(args.network.uuid));
            TRY(const auto all, ports.of(args.network.uuid));
            proto::network_list_all_ports_ret ret;
            ret.ret = static_cast<std::uint32_t>(all.size());
            for (const network::Port& port : all) {
                if (args.need_results != 0) {
                    ret.ports.push_back({to_wire(*network), port.uuid});
                }
            }
            return ret;
        });
    h.add<proto::network_port_lookup_by_uuid>([&s, &ports](Call&, const proto::network_port_lookup_by_uuid_args& args)
                                                  -> Result<proto::network_port_lookup_by_uuid_ret> {
        TRY(const Network* const network, s.networks.by_uuid(args.network.uuid));
        TRY(const network::Port port, ports.find(args.network.uuid, args.uuid));
        return proto::network_port_lookup_by_uuid_ret{{to_wire(*network), port.uuid}};
    });
    h.add<proto::network_port_create_xml>([&s, &ports](Call&, const proto::network_port_create_xml_args& args,
                                                       Responder<proto::network_port_create_xml> responder) {
        if (auto ok = check_flags(args.flags, create_flags::reclaim | create_flags::validate, "networkPortCreateXML");
            !ok) {
            return responder.fail(ok.error());
        }
        ports.create(args.network.uuid, args.xml, (args.flags & create_flags::reclaim) != 0,
                     [&s, network = args.network.uuid, r = std::move(responder)](Result<Uuid> uuid) mutable {
                         const auto found = s.networks.by_uuid(network);
                         if (!uuid || !found) {
                             return r.fail(uuid ? found.error() : uuid.error());
                         }
                         r.ok({{to_wire(**found), *uuid}});
                     });
    });
    h.add<proto::network_port_delete>([&ports](Call&, const proto::network_port_delete_args& args) -> Result<void> {
        TRY_OK(check_flags(args.flags, 0, "networkPortDelete"));
        return ports.remove(args.port.net.uuid, args.port.uuid);
    });
    h.add<proto::network_port_get_xml_desc>(
        [&ports](Call&,
                 const proto::network_port_get_xml_desc_args& args) -> Result<proto::network_port_get_xml_desc_ret> {
            TRY_OK(check_flags(args.flags, 0, "networkPortGetXMLDesc"));
            TRY(const network::Port port, ports.find(args.port.net.uuid, args.port.uuid));
            return proto::network_port_get_xml_desc_ret{network::format(port)};
        });
    h.add<proto::network_port_get_parameters>([&ports](Call&, const proto::network_port_get_parameters_args& args)
                                                  -> Result<proto::network_port_get_parameters_ret> {
        TRY_OK(check_flags(args.flags, kStringOkay, "networkPortGetParameters"));
        TRY(const network::Port port, ports.find(args.port.net.uuid, args.port.uuid));
        return sized<proto::network_port_get_parameters_ret>(params_of(port.bandwidth), args.nparams);
    });
    h.add<proto::network_port_set_parameters>(
        [&ports](Call&, const proto::network_port_set_parameters_args& args) { return set_parameters(ports, args); });
}

}  // namespace bascule::daemon
