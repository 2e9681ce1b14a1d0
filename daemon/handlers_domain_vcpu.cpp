// SPDX-License-Identifier: GPL-2.0-or-later
// Guests' processors: how many, where they run, and where they may run.
#include <algorithm>
#include <charconv>
#include <map>

#include "daemon/handlers.h"
#include "kernel/linux/host.h"
#include "rpc/constants.h"
#include "rpc/proto_domain.h"
#include "rpc/session.h"

namespace bascule::daemon {

namespace proto = rpc::proto;
namespace os = kernel::os;
namespace field = rpc::typed_param_field;
using rpc::Call;
using rpc::Responder;

namespace {

constexpr std::uint32_t kMaximum = rpc::domain_vcpu_flags::maximum, kGuest = rpc::domain_vcpu_flags::guest,
                        kHotpluggable = rpc::domain_vcpu_flags::hotpluggable;
constexpr std::size_t kMostMapBytes = 8192;

bool wants_live(const Domain& domain, std::uint32_t flags) {
    return (flags & kAffectLive) != 0 || ((flags & kAffectConfig) == 0 && domain.active());
}

Result<void> check_impact(const Domain& domain, std::uint32_t flags) {
    if ((flags & kAffectLive) != 0 && (flags & kAffectConfig) != 0) {
        return fail(Code::invalid_argument, "a question is about the running guest or its definition, not both");
    }
    if ((flags & kAffectLive) != 0 && !domain.active()) {
        return fail(Code::invalid_state, "domain is not running");
    }
    if ((flags & kAffectConfig) != 0 && !domain.persistent()) {
        return fail(Code::invalid_state, "transient domains do not have any persistent config");
    }
    return {};
}

const vmm::Spec& asked(const Domain& domain, std::uint32_t flags) {
    return wants_live(domain, flags) || !domain.persistent() ? domain.shown() : *domain.definition;
}

// Of every processor, as many bytes as the client made room for. `maps` times that must fit a packet.
Result<std::size_t> map_length(std::int32_t length, std::size_t maps) {
    if (length < 0 || (maps > 0 && static_cast<std::size_t>(length) > kMostMapBytes)) {
        return fail(Code::invalid_argument, fmt::format("a map of {} bytes", length));
    }
    return static_cast<std::size_t>(length);
}

void append(Bytes& to, const Bytes& what) { to.insert(to.end(), what.begin(), what.end()); }

std::vector<unsigned> all_cpus() {
    std::vector<unsigned> out;
    for (const kernel::HostCpu& cpu : host_topology().cpus) {
        if (cpu.online) {
            out.push_back(cpu.id);
        }
    }
    return out;
}

Result<proto::domain_get_vcpus_ret> vcpus(const Services& s, const proto::domain_get_vcpus_args& args) {
    TRY(const Domain* const domain, s.guests.running(args.dom.uuid));
    const auto threads = vcpu_threads(*domain);
    const auto count =
        std::min<std::size_t>(domain->guest->spec().vcpus, static_cast<std::size_t>(std::max(args.maxinfo, 0)));
    TRY(const std::size_t length, map_length(args.maplen, count));
    proto::domain_get_vcpus_ret ret;
    for (unsigned i = 0; i < count; ++i) {
        const auto thread = threads.find(i);
        const bool known = thread != threads.end();
        constexpr std::int32_t kRunning = 1;  // VIR_VCPU_RUNNING
        ret.info.push_back({.number = i,
                            .state = kRunning,
                            .cpu_time = known ? thread->second.user_ns + thread->second.kernel_ns : 0,
                            .cpu = known ? static_cast<std::int32_t>(thread->second.last_cpu) : -1});
        const auto cpus = known ? os::affinity(thread->second.id) : Result<std::vector<unsigned>>(all_cpus());
        append(ret.cpumaps, cpu_bitmap(cpus ? *cpus : all_cpus(), length));
    }
    return ret;
}

Result<proto::domain_get_vcpu_pin_info_ret> pins(const Services& s, const proto::domain_get_vcpu_pin_info_args& args) {
    TRY_OK(check_flags(args.flags, kAffectLive | kAffectConfig, "qemuDomainGetVcpuPinInfo"));
    TRY(const Domain* const domain, s.guests.by_uuid(args.dom.uuid));
    TRY_OK(check_impact(*domain, args.flags));
    const bool live = wants_live(*domain, args.flags);
    const auto threads = live ? vcpu_threads(*domain) : std::map<unsigned, os::ThreadUse>();
    const auto count =
        std::min<std::size_t>(asked(*domain, args.flags).vcpus, static_cast<std::size_t>(std::max(args.ncpumaps, 0)));
    TRY(const std::size_t length, map_length(args.maplen, count));
    proto::domain_get_vcpu_pin_info_ret ret;
    for (unsigned i = 0; i < count; ++i) {
        const auto thread = threads.find(i);
        const auto cpus =
            thread != threads.end() ? os::affinity(thread->second.id) : Result<std::vector<unsigned>>(all_cpus());
        append(ret.cpumaps, cpu_bitmap(cpus ? *cpus : all_cpus(), length));
    }
    ret.num = static_cast<std::int32_t>(count);
    return ret;
}

Result<std::vector<unsigned>> wanted_cpus(const Bytes& map) {
    auto cpus = cpus_of(map);
    const auto there = all_cpus();
    std::erase_if(cpus, [&](unsigned cpu) { return !std::ranges::binary_search(there, cpu); });
    if (cpus.empty()) {
        return fail(Code::invalid_argument, "none of these processors is online on this host");
    }
    return cpus;
}

Result<void> pin_vcpu(const Services& s, const proto::domain_pin_vcpu_flags_args& args) {
    TRY_OK(check_flags(args.flags, kAffectLive | kAffectConfig, "qemuDomainPinVcpuFlags"));
    TRY(const Domain* const domain, s.guests.by_uuid(args.dom.uuid));
    if ((args.flags & kAffectLive) != 0 && !domain->active()) {
        return fail(Code::invalid_state, "domain is not running");
    }
    if ((args.flags & kAffectConfig) != 0 || !domain->active()) {
        return fail(Code::unsupported_config,
                    "where processors run cannot be kept in a definition: pin the running guest");
    }
    TRY(const auto cpus, wanted_cpus(args.cpumap));
    const auto threads = vcpu_threads(*domain);
    const auto thread = threads.find(args.vcpu);
    if (thread == threads.end()) {
        return fail(Code::invalid_argument, fmt::format("vcpu {} is not present in the running guest", args.vcpu));
    }
    return os::set_affinity(thread->second.id, cpus);
}

Result<proto::domain_get_emulator_pin_info_ret> emulator_pins(const Services& s,
                                                              const proto::domain_get_emulator_pin_info_args& args) {
    TRY_OK(check_flags(args.flags, kAffectLive | kAffectConfig, "qemuDomainGetEmulatorPinInfo"));
    TRY(const Domain* const domain, s.guests.by_uuid(args.dom.uuid));
    TRY_OK(check_impact(*domain, args.flags));
    TRY(const std::size_t length, map_length(args.maplen, 1));
    const auto cpus = wants_live(*domain, args.flags) ? os::affinity(domain->guest->pid())
                                                      : Result<std::vector<unsigned>>(all_cpus());
    return proto::domain_get_emulator_pin_info_ret{.cpumaps = cpu_bitmap(cpus ? *cpus : all_cpus(), length), .ret = 1};
}

// Everything of QEMU's that is not a processor of the guest.
Result<void> pin_emulator(const Services& s, const proto::domain_pin_emulator_args& args) {
    TRY_OK(check_flags(args.flags, kAffectLive | kAffectConfig, "qemuDomainPinEmulator"));
    if ((args.flags & kAffectConfig) != 0) {
        return fail(Code::unsupported_config, "where QEMU runs cannot be kept in a definition: pin the running guest");
    }
    TRY(const Domain* const domain, s.guests.running(args.dom.uuid));
    TRY(const auto cpus, wanted_cpus(args.cpumap));
    for (const os::ThreadUse& thread : os::thread_uses(domain->guest->pid())) {
        if (!vcpu_of(thread.name)) {
            TRY_OK(os::set_affinity(thread.id, cpus));
        }
    }
    return {};
}

void add_pins(rpc::Handlers& h, Services& s) {
    h.add<proto::domain_get_vcpus>([&s](Call&, const proto::domain_get_vcpus_args& args) { return vcpus(s, args); });
    h.add<proto::domain_get_vcpu_pin_info>(
        [&s](Call&, const proto::domain_get_vcpu_pin_info_args& args) { return pins(s, args); });
    h.add<proto::domain_pin_vcpu>([&s](Call&, const proto::domain_pin_vcpu_args& args) {
        return pin_vcpu(s, {.dom = args.dom, .vcpu = args.vcpu, .cpumap = args.cpumap, .flags = kAffectLive});
    });
    h.add<proto::domain_pin_vcpu_flags>(
        [&s](Call&, const proto::domain_pin_vcpu_flags_args& args) { return pin_vcpu(s, args); });
    h.add<proto::domain_get_emulator_pin_info>(
        [&s](Call&, const proto::domain_get_emulator_pin_info_args& args) { return emulator_pins(s, args); });
    h.add<proto::domain_pin_emulator>(
        [&s](Call&, const proto::domain_pin_emulator_args& args) { return pin_emulator(s, args); });
    h.add<proto::domain_get_iothread_info>(
        [&s](Call&, const proto::domain_get_iothread_info_args& args) -> Result<proto::domain_get_iothread_info_ret> {
            TRY_OK(check_flags(args.flags, kAffectLive | kAffectConfig, "qemuDomainGetIOThreadInfo"));
            TRY(const Domain* const domain, s.guests.by_uuid(args.dom.uuid));
            TRY_OK(check_impact(*domain, args.flags));
            return proto::domain_get_iothread_info_ret{};  // none has any
        });
}

// ---- how many

Result<void> set_vcpus(const Services& s, const proto::domain_set_vcpus_flags_args& args) {
    if (args.nvcpus == 0) {
        return fail(Code::invalid_argument, "a guest needs a processor");
    }
    return s.guests.change(args.dom.uuid, impact_of(args.flags), [&](vmm::Spec& spec, bool live) -> Result<void> {
        if (live) {
            if (args.nvcpus == spec.vcpus && (args.flags & kMaximum) == 0) {
                return {};
            }
            return fail(Code::unsupported, "processors of a running guest stay as many as they are: use --config");
        }
        if ((args.flags & kMaximum) == 0 && args.nvcpus > spec.vcpus) {
            return fail(Code::invalid_argument,
                        fmt::format("requested vcpus is greater than max allowable vcpus for the persistent domain: "
                                    "{} > {}",
                                    args.nvcpus, spec.vcpus));
        }
        if ((args.flags & kMaximum) == 0 && args.nvcpus < spec.vcpus) {
            return fail(Code::unsupported_config,
                        "a guest starts with all its processors: use --maximum to give it fewer");
        }
        if (spec.cpu.topology && spec.cpu.topology->total() != args.nvcpus) {
            return fail(Code::unsupported_config,
                        fmt::format("the definition's <topology> has {} processors: change both with an edit",
                                    spec.cpu.topology->total()));
        }
        if (args.nvcpus > 255) {
            return fail(Code::invalid_argument, fmt::format("{} processors: machines have at most 255", args.nvcpus));
        }
        spec.vcpus = args.nvcpus;
        return {};
    });
}

Result<proto::domain_get_cpu_stats_ret> cpu_stats(const Services& s, const proto::domain_get_cpu_stats_args& args) {
    TRY_OK(check_flags(args.flags, kStringOkay, "qemuDomainGetCPUStats"));
    TRY(const Domain* const domain, s.guests.running(args.dom.uuid));
    if (args.start_cpu != -1) {
        if (args.ncpus == 0) {
            return proto::domain_get_cpu_stats_ret{
                .params = {}, .nparams = static_cast<std::int32_t>(host_topology().cpus.back().id + 1)};
        }
        return fail(Code::unsupported,
                    "the kernel counts a guest's time, not which of the host's processors it was: use --total");
    }
    constexpr std::int32_t kParams = 3;
    proto::domain_get_cpu_stats_ret ret{.params = {}, .nparams = kParams};
    if (args.nparams == 0) {
        return ret;
    }
    std::uint64_t user = 0, kernel = 0;
    for (const os::ThreadUse& thread : os::thread_uses(domain->guest->pid())) {
        user += thread.user_ns;
        kernel += thread.kernel_ns;
    }
    ret.params = {{std::string(field::domain_cpu_stats_cputime), user + kernel},
                  {std::string(field::domain_cpu_stats_usertime), user},
                  {std::string(field::domain_cpu_stats_systemtime), kernel}};
    ret.params.resize(std::min<std::size_t>(ret.params.size(), args.nparams));
    ret.nparams = static_cast<std::int32_t>(ret.params.size());
    return ret;
}

Result<proto::domain_get_vcpus_flags_ret> count_vcpus(const Services& s,
                                                      const proto::domain_get_vcpus_flags_args& args) {
    TRY(const Domain* const domain, s.guests.by_uuid(args.dom.uuid));
    TRY_OK(check_impact(*domain, args.flags));
    return proto::domain_get_vcpus_flags_ret{static_cast<std::int32_t>(asked(*domain, args.flags).vcpus)};
}

// Which of its processors a running guest uses, it says itself.
Result<void> check_guest_flags(std::uint32_t flags) {
    if ((flags & ~(kGuest | kAffectLive)) != 0) {
        return fail(Code::invalid_argument,
                    "what a guest uses of its processors is about the running one: only --live goes with --guest");
    }
    return {};
}

void vcpus_of_guest(Services& s, const proto::domain_get_vcpus_flags_args& args,
                    Responder<proto::domain_get_vcpus_flags> responder) {
    if (auto right = check_guest_flags(args.flags); !right) {
        return responder.fail(right.error());
    }
    guest_cpus_online(s, args.dom.uuid, [responder = std::move(responder)](Result<std::size_t> count) mutable {
        count ? responder.ok({static_cast<std::int32_t>(*count)}) : responder.fail(count.error());
    });
}

void set_vcpus_of_guest(Services& s, const proto::domain_set_vcpus_flags_args& args,
                        Responder<proto::domain_set_vcpus_flags> responder) {
    if (auto right = check_guest_flags(args.flags); !right) {
        return responder.fail(right.error());
    }
    set_guest_cpus_online(
        s, args.dom.uuid, args.nvcpus,
        [responder = std::move(responder)](const Result<void>& done) mutable { responder.answer(done); });
}

void add_counts(rpc::Handlers& h, Services& s) {
    h.add<proto::domain_get_vcpus_flags>([&s](Call&, const proto::domain_get_vcpus_flags_args& args,
                                              Responder<proto::domain_get_vcpus_flags> responder) {
        const auto right =
            check_flags(args.flags, kAffectLive | kAffectConfig | kMaximum | kGuest, "qemuDomainGetVcpusFlags");
        if (right && (args.flags & kGuest) != 0) {
            return vcpus_of_guest(s, args, std::move(responder));
        }
        responder.answer(right ? count_vcpus(s, args) : std::unexpected(right.error()));
    });
    h.add<proto::domain_set_vcpus>([&s](Call&, const proto::domain_set_vcpus_args& args) {
        return set_vcpus(s, {.dom = args.dom, .nvcpus = args.nvcpus, .flags = kAffectLive});
    });
    h.add<proto::domain_set_vcpus_flags>([&s](Call&, const proto::domain_set_vcpus_flags_args& args,
                                              Responder<proto::domain_set_vcpus_flags> responder) {
        const auto right = check_flags(args.flags, kAffectLive | kAffectConfig | kMaximum | kGuest | kHotpluggable,
                                       "qemuDomainSetVcpusFlags");
        if (right && (args.flags & kGuest) != 0) {
            return set_vcpus_of_guest(s, args, std::move(responder));
        }
        responder.answer(right ? set_vcpus(s, args) : right);
    });
    h.add<proto::domain_get_cpu_stats>(
        [&s](Call&, const proto::domain_get_cpu_stats_args& args) { return cpu_stats(s, args); });
}

}  // namespace

std::optional<unsigned> vcpu_of(std::string_view thread_name) {
    constexpr std::string_view kPrefix = "CPU ";
    unsigned number = 0;
    if (!thread_name.starts_with(kPrefix)) {
        return std::nullopt;
    }
    thread_name.remove_prefix(kPrefix.size());
    const auto [stop, ec] = std::from_chars(thread_name.data(), thread_name.data() + thread_name.size(), number);
    return ec == std::errc() && stop != thread_name.data() + thread_name.size() && *stop == '/' ? std::optional(number)
                                                                                                : std::nullopt;
}

std::map<unsigned, os::ThreadUse> vcpu_threads(const Domain& domain) {
    std::map<unsigned, os::ThreadUse> out;
    for (os::ThreadUse& use : os::thread_uses(domain.guest->pid())) {
        if (const auto number = vcpu_of(use.name)) {
            out.emplace(*number, std::move(use));
        }
    }
    return out;
}

void add_domain_vcpu_handlers(rpc::Handlers& handlers, Services& services) {
    add_pins(handlers, services);
    add_counts(handlers, services);
}

}  // namespace bascule::daemon
