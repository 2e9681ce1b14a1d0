// SPDX-License-Identifier: GPL-2.0-or-later
// What passes a guest's NIC: asked and set.
#include <algorithm>

#include "daemon/handlers.h"
#include "daemon/plug.h"
#include "rpc/constants.h"
#include "rpc/proto_domain.h"
#include "rpc/session.h"

namespace bascule::daemon {

namespace proto = rpc::proto;
namespace field = rpc::typed_param_field;
using rpc::Call;
using rpc::TypedParam;

namespace {

TypedParam param(std::string_view name, std::uint32_t value) { return {std::string(name), value}; }

Result<std::size_t> find_nic(const vmm::Spec& spec, const std::string& device) {
    for (std::size_t i = 0; i < spec.interfaces.size(); ++i) {
        const vmm::Interface& nic = spec.interfaces[i];
        const bool named =
            (nic.live && nic.live->target.str() == device) || (nic.target && nic.target->str() == device);
        if (named || (nic.mac && format(*nic.mac) == device)) {
            return i;
        }
    }
    return fail(Code::invalid_argument, fmt::format("'{}' is not a known interface", device));
}

// What limits it: the running one's with what its network says.
Result<Bandwidth> bandwidth_of(const Services& s, const proto::domain_get_interface_parameters_args& args) {
    TRY(const Domain* const domain, s.guests.by_uuid(args.dom.uuid));
    const bool live = (args.flags & kAffectLive) != 0 || ((args.flags & kAffectConfig) == 0 && domain->active());
    const vmm::Spec& spec = live || !domain->persistent() ? domain->shown() : *domain->definition;
    TRY(const std::size_t index, find_nic(spec, args.device));
    const vmm::Interface& nic = spec.interfaces[index];
    if (live && nic.has_tap()) {
        if (const auto plug = plug_of(nic, s.networks)) {
            return plug->bandwidth;
        }
    }
    return nic.bandwidth.value_or(Bandwidth{});
}

std::vector<TypedParam> params_of(const Bandwidth& bandwidth) {
    const auto number = [](std::uint64_t value) {
        return static_cast<std::uint32_t>(std::min<std::uint64_t>(value, UINT32_MAX));
    };
    const Rate in = bandwidth.inbound.value_or(Rate{}), out = bandwidth.outbound.value_or(Rate{});
    return {param(field::domain_bandwidth_in_average, number(in.average)),
            param(field::domain_bandwidth_in_peak, number(in.peak)),
            param(field::domain_bandwidth_in_burst, number(in.burst)),
            param(field::domain_bandwidth_in_floor, number(in.floor)),
            param(field::domain_bandwidth_out_average, number(out.average)),
            param(field::domain_bandwidth_out_peak, number(out.peak)),
            param(field::domain_bandwidth_out_burst, number(out.burst))};
}

Result<void> put(const std::optional<Rate>& said, std::optional<Rate>& into) {
    if (!said) {
        return {};
    }
    if (said->average == 0 && said->floor == 0) {
        if (said->peak != 0 || said->burst != 0) {
            return fail(Code::invalid_argument, "peak and burst need an average");
        }
        into.reset();
        return {};
    }
    if (said->peak != 0 && said->peak < said->average) {
        return fail(Code::invalid_argument,
                    fmt::format("the peak of {} is below the average of {}", said->peak, said->average));
    }
    into = said;
    return {};
}

// A direction of which something is said is said anew; without average and floor it is unlimited.
Result<void> take(const std::vector<TypedParam>& params, Bandwidth& bandwidth) {
    Rate in, out;
    bool has_in = false, has_out = false;
    struct Field {
        std::string_view name;
        std::uint64_t* value;
        bool* has;
    } const fields[] = {{field::domain_bandwidth_in_average, &in.average, &has_in},
                        {field::domain_bandwidth_in_peak, &in.peak, &has_in},
                        {field::domain_bandwidth_in_burst, &in.burst, &has_in},
                        {field::domain_bandwidth_in_floor, &in.floor, &has_in},
                        {field::domain_bandwidth_out_average, &out.average, &has_out},
                        {field::domain_bandwidth_out_peak, &out.peak, &has_out},
                        {field::domain_bandwidth_out_burst, &out.burst, &has_out}};
    for (const TypedParam& p : params) {
        const auto* const known = std::ranges::find(fields, std::string_view(p.field), &Field::name);
        const auto* const value = std::get_if<std::uint32_t>(&p.value);
        if (known == std::end(fields) || value == nullptr) {
            return fail(Code::invalid_argument,
                        fmt::format("'{}' is no bandwidth parameter, or not an unsigned number", p.field));
        }
        *known->value = *value;
        *known->has = true;
    }
    TRY_OK(put(has_in ? std::optional(in) : std::nullopt, bandwidth.inbound));
    return put(has_out ? std::optional(out) : std::nullopt, bandwidth.outbound);
}

}  // namespace

void add_domain_bandwidth_handlers(rpc::Handlers& h, Services& s) {
    h.add<proto::domain_get_interface_parameters>([&s](Call&, const proto::domain_get_interface_parameters_args& args)
                                                      -> Result<proto::domain_get_interface_parameters_ret> {
        TRY_OK(check_target(s, args.dom, args.flags, "qemuDomainGetInterfaceParameters"));
        TRY(const Bandwidth bandwidth, bandwidth_of(s, args));
        return sized<proto::domain_get_interface_parameters_ret>(params_of(bandwidth), args.nparams);
    });
    h.add<proto::domain_set_interface_parameters>(
        [&s](Call&, const proto::domain_set_interface_parameters_args& args) -> Result<void> {
            TRY_OK(check_target(s, args.dom, args.flags, "qemuDomainSetInterfaceParameters"));
            return s.guests.update_nic(
                args.dom.uuid, impact_of(args.flags),
                {.find = [&](const vmm::Spec& spec) { return find_nic(spec, args.device); },
                 .apply = [&](vmm::Interface& nic) -> Result<void> {
                     if (!nic.has_tap()) {
                         return fail(Code::unsupported,
                                     "QEMU's own networks are not limited: the interface has no device of the host");
                     }
                     Bandwidth bandwidth = nic.bandwidth.value_or(Bandwidth{});
                     TRY_OK(take(args.params, bandwidth));
                     nic.bandwidth = bandwidth.empty() ? std::nullopt : std::optional(bandwidth);
                     return {};
                 }});
        });
}

}  // namespace bascule::daemon
