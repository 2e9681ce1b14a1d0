// SPDX-License-Identifier: GPL-2.0-or-later
// Limits and shares of guests. None is realised yet: guests run without any, and that is what questions are answered
// with; setting one is refused by name.
#include <fmt/format.h>

#include "daemon/handlers.h"
#include "rpc/constants.h"
#include "rpc/proto_domain.h"
#include "rpc/session.h"

namespace bascule::daemon {

namespace proto = rpc::proto;
namespace field = rpc::typed_param_field;
using rpc::Call;
using rpc::TypedParam;

namespace {

template <class T>
TypedParam param(std::string_view name, T value) {
    return {.field = std::string(name), .value = std::move(value)};
}

// ---- time of processors

std::vector<TypedParam> scheduler() {
    // 0: not set.
    const std::uint64_t none = 0;
    const std::int64_t no_quota = 0;
    return {
        param(field::domain_scheduler_cpu_shares, none),         param(field::domain_scheduler_vcpu_period, none),
        param(field::domain_scheduler_vcpu_quota, no_quota),     param(field::domain_scheduler_emulator_period, none),
        param(field::domain_scheduler_emulator_quota, no_quota), param(field::domain_scheduler_global_period, none),
        param(field::domain_scheduler_global_quota, no_quota),   param(field::domain_scheduler_iothread_period, none),
        param(field::domain_scheduler_iothread_quota, no_quota)};
}

template <class Ret>
Ret first(std::vector<TypedParam> params, std::int32_t most) {
    params.resize(std::min(params.size(), static_cast<std::size_t>(std::max(most, 0))));
    return Ret{std::move(params)};
}

std::unexpected<Error> no_limits(std::string_view what) {
    return fail(Code::unsupported_config, fmt::format("{} of guests cannot be limited yet", what));
}

void add_scheduler(rpc::Handlers& h, Services& s) {
    h.add<proto::domain_get_scheduler_type>(
        [&s](Call&, const proto::domain_get_scheduler_type_args& args) -> Result<proto::domain_get_scheduler_type_ret> {
            TRY_OK(s.guests.by_uuid(args.dom.uuid));
            return proto::domain_get_scheduler_type_ret{.type = "posix",
                                                        .nparams = static_cast<std::int32_t>(scheduler().size())};
        });
    h.add<proto::domain_get_scheduler_parameters>([&s](Call&, const proto::domain_get_scheduler_parameters_args& args)
                                                      -> Result<proto::domain_get_scheduler_parameters_ret> {
        TRY_OK(s.guests.by_uuid(args.dom.uuid));
        return first<proto::domain_get_scheduler_parameters_ret>(scheduler(), args.nparams);
    });
    h.add<proto::domain_get_scheduler_parameters_flags>(
        [&s](Call&, const proto::domain_get_scheduler_parameters_flags_args& args)
            -> Result<proto::domain_get_scheduler_parameters_flags_ret> {
            TRY_OK(check_target(s, args.dom, args.flags, "qemuDomainGetSchedulerParametersFlags"));
            return first<proto::domain_get_scheduler_parameters_flags_ret>(scheduler(), args.nparams);
        });
    h.add<proto::domain_set_scheduler_parameters>(
        [&s](Call&, const proto::domain_set_scheduler_parameters_args& args) -> Result<void> {
            TRY_OK(s.guests.by_uuid(args.dom.uuid));
            return no_limits("the processor time");
        });
    h.add<proto::domain_set_scheduler_parameters_flags>(
        [&s](Call&, const proto::domain_set_scheduler_parameters_flags_args& args) -> Result<void> {
            TRY_OK(check_target(s, args.dom, args.flags, "qemuDomainSetSchedulerParametersFlags"));
            return no_limits("the processor time");
        });
}

// ---- memory, NUMA nodes, disk time

std::vector<TypedParam> memory_limits() {
    constexpr std::uint64_t kUnlimited = 9007199254740991;  // VIR_DOMAIN_MEMORY_PARAM_UNLIMITED
    return {param(field::domain_memory_hard_limit, kUnlimited), param(field::domain_memory_soft_limit, kUnlimited),
            param(field::domain_memory_swap_hard_limit, kUnlimited)};
}

std::vector<TypedParam> numa() {
    const std::int32_t strict = 0;
    return {param(field::domain_numa_mode, strict), param(field::domain_numa_nodeset, std::string())};
}

std::vector<TypedParam> disk_shares() {
    const std::uint32_t none = 0;
    std::vector<TypedParam> out{param(field::domain_blkio_weight, none)};
    for (const auto name : {field::domain_blkio_device_weight, field::domain_blkio_device_read_iops,
                            field::domain_blkio_device_write_iops, field::domain_blkio_device_read_bps,
                            field::domain_blkio_device_write_bps}) {
        out.push_back(param(name, std::string()));
    }
    return out;
}

// Clients that do not know text parameters do not get any.
std::vector<TypedParam> understood(std::vector<TypedParam> params, std::uint32_t flags) {
    if ((flags & kStringOkay) == 0) {
        std::erase_if(params, [](const TypedParam& p) { return std::holds_alternative<std::string>(p.value); });
    }
    return params;
}

void add_resources(rpc::Handlers& h, Services& s) {
    h.add<proto::domain_get_memory_parameters>(
        [&s](Call&,
             const proto::domain_get_memory_parameters_args& args) -> Result<proto::domain_get_memory_parameters_ret> {
            TRY_OK(check_target(s, args.dom, args.flags, "qemuDomainGetMemoryParameters"));
            return sized<proto::domain_get_memory_parameters_ret>(memory_limits(), args.nparams);
        });
    h.add<proto::domain_get_numa_parameters>(
        [&s](Call&,
             const proto::domain_get_numa_parameters_args& args) -> Result<proto::domain_get_numa_parameters_ret> {
            TRY_OK(check_target(s, args.dom, args.flags, "qemuDomainGetNumaParameters"));
            return sized<proto::domain_get_numa_parameters_ret>(understood(numa(), args.flags), args.nparams);
        });
    h.add<proto::domain_get_blkio_parameters>(
        [&s](Call&,
             const proto::domain_get_blkio_parameters_args& args) -> Result<proto::domain_get_blkio_parameters_ret> {
            TRY_OK(check_target(s, args.dom, args.flags, "qemuDomainGetBlkioParameters"));
            return sized<proto::domain_get_blkio_parameters_ret>(understood(disk_shares(), args.flags), args.nparams);
        });
    h.add<proto::domain_set_memory_parameters>(
        [&s](Call&, const proto::domain_set_memory_parameters_args& args) -> Result<void> {
            TRY_OK(check_target(s, args.dom, args.flags, "qemuDomainSetMemoryParameters"));
            return no_limits("the memory");
        });
    h.add<proto::domain_set_numa_parameters>(
        [&s](Call&, const proto::domain_set_numa_parameters_args& args) -> Result<void> {
            TRY_OK(check_target(s, args.dom, args.flags, "qemuDomainSetNumaParameters"));
            return no_limits("the memory's place");
        });
    h.add<proto::domain_set_blkio_parameters>(
        [&s](Call&, const proto::domain_set_blkio_parameters_args& args) -> Result<void> {
            TRY_OK(check_target(s, args.dom, args.flags, "qemuDomainSetBlkioParameters"));
            return no_limits("the disk time");
        });
}

}  // namespace

Result<void> check_target(const Services& s, const proto::Domain& dom, std::uint32_t flags, std::string_view function) {
    TRY_OK(check_flags(flags, kAffectLive | kAffectConfig | kStringOkay, function));
    TRY(const Domain* const domain, s.guests.by_uuid(dom.uuid));
    if ((flags & kAffectLive) != 0 && !domain->active()) {
        return fail(Code::invalid_state,
                    fmt::format("domain is not running: '{}' is off; --config is about its definition", domain->name));
    }
    if ((flags & kAffectConfig) != 0 && !domain->persistent()) {
        return fail(Code::invalid_state, "transient domains do not have any persistent config");
    }
    return {};
}

void add_domain_tuning_handlers(rpc::Handlers& handlers, Services& services) {
    add_scheduler(handlers, services);
    add_resources(handlers, services);
}

}  // namespace bascule::daemon
