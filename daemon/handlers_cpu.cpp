// SPDX-License-Identifier: GPL-2.0-or-later
// What guests can be given: capabilities of the host and of a combination of emulator, machine and accelerator, and
// processor models. All of it rests on what QEMU says when asked.
#include <algorithm>
#include <filesystem>

#include "daemon/handlers.h"
#include "kernel/linux/facts.h"
#include "rpc/constants.h"
#include "rpc/proto_connect.h"
#include "rpc/proto_domain.h"
#include "rpc/session.h"
#include "vmm/domain_capabilities.h"

namespace bascule::daemon {

namespace proto = rpc::proto;
namespace os = kernel::os;
using rpc::Call;
using rpc::Responder;

namespace {

// The host's processor by the kernel's names of its features.
vmm::CpuDescription host_cpu(const vmm::CpuInfo& info, const vmm::CpuModels& models) {
    return {.vendor = info.vendor, .features = models.set_of(info.flags)};
}

void add_capabilities(rpc::Handlers& h, Services& s) {
    h.add<proto::connect_get_capabilities>([&s](Call&, const proto::connect_get_capabilities::Args&,
                                                Responder<proto::connect_get_capabilities> responder) {
        s.emulator.ask_best([&s, r = std::move(responder)](vmm::Accelerator accelerator,
                                                           const Result<Emulator::Facts>& emulator) mutable {
            vmm::HostFacts facts = s.facts;
            facts.topology = host_topology();
            facts.kvm = accelerator == vmm::Accelerator::kvm;
            if (emulator) {
                facts.machines = (*emulator)->machines;
                const vmm::CpuModels& models = (*emulator)->cpus;
                const auto cpu = host_cpu(facts.cpu, models);
                if (const vmm::CpuModel* const model = models.best(cpu)) {
                    facts.cpu_model = model->name;
                    facts.cpu_features = models.names(models.beyond(cpu, *model));
                }
            }
            r.ok({vmm::capabilities_xml(facts)});
        });
    });
    h.add<proto::connect_get_version>([&s](Call&, const proto::connect_get_version::Args&,
                                           Responder<proto::connect_get_version> responder) {
        s.emulator.ask(vmm::Accelerator::tcg, [r = std::move(responder)](const Result<Emulator::Facts>& facts) mutable {
            if (facts) {
                r.ok({(*facts)->version});
            } else {
                r.fail(facts.error());
            }
        });
    });
    h.add<proto::connect_get_max_vcpus>([&s](Call&, const proto::connect_get_max_vcpus_args& args,
                                             Responder<proto::connect_get_max_vcpus> responder) {
        if (args.type && *args.type != "qemu" && *args.type != "kvm" && *args.type != "QEMU") {
            return responder.fail({Code::invalid_argument, fmt::format("unknown type '{}'", *args.type), 0});
        }
        s.emulator.ask(vmm::Accelerator::tcg, [r = std::move(responder)](const Result<Emulator::Facts>& facts) mutable {
            constexpr std::int32_t kUsual = 255;  // of QEMU's pc machines
            r.ok({facts ? static_cast<std::int32_t>((*facts)->machines.front().max_cpus) : kUsual});
        });
    });
}

// ---- what was asked about

struct Target {
    std::optional<vmm::Accelerator> accelerator{};  // none: the best
    std::string machine{};                          // as given; empty: the default
};

// Only the emulator that guests get is asked: a client names it, but we run no program of a client's choice.
Result<Target> target_of(const Services& s, const std::optional<std::string>& emulator,
                         const std::optional<std::string>& arch, const std::optional<std::string>& machine,
                         const std::optional<std::string>& type) {
    if (emulator && *emulator != s.emulator.program()) {
        return fail(Code::invalid_argument,
                    fmt::format("the emulator is {}, not '{}'", s.emulator.program(), *emulator));
    }
    if (arch && *arch != "x86_64") {
        return fail(Code::invalid_argument,
                    fmt::format("the emulator {} is for x86_64, not '{}'", s.emulator.program(), *arch));
    }
    Target target{.accelerator = std::nullopt, .machine = machine.value_or("")};
    if (type && *type != "kvm" && *type != "qemu") {
        return fail(Code::invalid_argument, fmt::format("unknown virttype: {}", *type));
    }
    if (type) {
        target.accelerator = *type == "kvm" ? vmm::Accelerator::kvm : vmm::Accelerator::tcg;
    }
    return target;
}

std::vector<std::string> firmware_descriptors() {
    std::vector<std::string> paths, texts;
    std::error_code error;
    for (std::filesystem::directory_iterator it("/usr/share/qemu/firmware", error), end; !error && it != end;
         it.increment(error)) {
        if (it->path().extension() == ".json") {
            paths.push_back(it->path().string());
        }
    }
    std::ranges::sort(paths);
    for (const std::string& path : paths) {
        texts.push_back(os::read_text(path, 65536));
    }
    return texts;
}

Result<std::string> domain_capabilities(const Services& s, const Target& target, vmm::Accelerator accelerator,
                                        const vmm::EmulatorFacts& facts) {
    const std::string wanted = target.machine.empty() ? "q35" : target.machine;
    const auto machine = std::ranges::find(facts.machines, wanted, &vmm::MachineType::name);
    if (machine == facts.machines.end()) {
        return fail(Code::invalid_argument,
                    fmt::format("the machine '{}' is not supported by emulator '{}'", wanted, s.emulator.program()));
    }
    const std::string name = machine->canonical.empty() ? machine->name : machine->canonical;
    return vmm::domain_capabilities_xml({.emulator = s.emulator.program(),
                                         .machine = name,
                                         .accelerator = accelerator,
                                         .max_cpus = machine->max_cpus,
                                         .cpus = facts.cpus,
                                         .firmware = vmm::parse_firmware(firmware_descriptors(), name)});
}

// Asks the emulator and answers with what `make` makes of the accelerator and its facts.
template <class P, class Make>
void from_emulator(Services& s, const Result<Target>& target, Responder<P> responder, Make make) {
    if (!target) {
        return responder.fail(target.error());
    }
    auto answer = [&s, explicitly = target->accelerator.has_value(), r = std::move(responder), make = std::move(make)](
                      vmm::Accelerator accelerator, const Result<Emulator::Facts>& facts) mutable {
        if (!facts && explicitly && accelerator == vmm::Accelerator::kvm) {
            return r.fail({Code::invalid_argument,
                           fmt::format("KVM is not supported by '{}' on this host", s.emulator.program()), 0});
        }
        r.answer(facts ? Result<typename P::Ret>(make(accelerator, **facts)) : std::unexpected(facts.error()));
    };
    if (!target->accelerator) {
        return s.emulator.ask_best(std::move(answer));
    }
    s.emulator.ask(*target->accelerator,
                   [accelerator = *target->accelerator, answer = std::move(answer)](
                       const Result<Emulator::Facts>& facts) mutable { answer(accelerator, facts); });
}

void add_domain_capabilities(rpc::Handlers& h, Services& s) {
    h.add<proto::connect_get_domain_capabilities>([&s](Call&, const proto::connect_get_domain_capabilities_args& args,
                                                       Responder<proto::connect_get_domain_capabilities> responder) {
        constexpr std::uint32_t kNoDeprecated = 1;
        auto target = [&]() -> Result<Target> {
            TRY_OK(check_flags(args.flags, kNoDeprecated, "qemuConnectGetDomainCapabilities"));
            return target_of(s, args.emulatorbin, args.arch, args.machine, args.virttype);
        }();
        from_emulator(
            s, target, std::move(responder),
            [&s, target](vmm::Accelerator accelerator,
                         const vmm::EmulatorFacts& facts) -> Result<proto::connect_get_domain_capabilities_ret> {
                TRY(std::string xml, domain_capabilities(s, *target, accelerator, facts));
                return proto::connect_get_domain_capabilities_ret{std::move(xml)};
            });
    });
    h.add<proto::connect_get_cpu_model_names>([&s](Call&, const proto::connect_get_cpu_model_names_args& args,
                                                   Responder<proto::connect_get_cpu_model_names> responder) {
        auto target = [&]() -> Result<Target> {
            TRY_OK(check_flags(args.flags, 0, "qemuConnectGetCPUModelNames"));
            return target_of(s, std::nullopt, args.arch, std::nullopt, "qemu");
        }();
        const bool names = args.need_results != 0;
        from_emulator(s, target, std::move(responder),
                      [names](vmm::Accelerator,
                              const vmm::EmulatorFacts& facts) -> Result<proto::connect_get_cpu_model_names_ret> {
                          proto::connect_get_cpu_model_names_ret ret;
                          for (const vmm::CpuModel& model : facts.cpus.models()) {
                              ++ret.ret;
                              if (names) {
                                  ret.models.push_back(model.name);
                              }
                          }
                          return ret;
                      });
    });
}

// ---- comparing

// Which processor is compared with: the host's own, or the best that its guests can have.
enum class Against { host, guest };

Result<std::int32_t> compare(const vmm::CpuInfo& info, const vmm::EmulatorFacts& facts, Against against,
                             const std::string& xml, std::uint32_t flags) {
    constexpr std::uint32_t kFailIncompatible = 1, kValidate = 2;
    TRY_OK(check_flags(flags, kFailIncompatible | kValidate, "qemuConnectCompareCPU"));
    const vmm::CpuModels& models = facts.cpus;
    TRY(const vmm::CpuDescription wanted, models.read(xml));
    const vmm::CpuDescription have = against == Against::host ? host_cpu(info, models) : models.guest();
    const auto result = vmm::CpuModels::compare(have, wanted);
    if (result == vmm::CpuModels::Comparison::incompatible && (flags & kFailIncompatible) != 0) {
        std::string missing;
        for (const std::string& name : models.names(wanted.features)) {
            const auto one = models.set_of({name});
            if (!std::ranges::includes(have.features, one)) {
                missing += (missing.empty() ? "" : ", ") + name;
            }
        }
        return fail(Code::unsupported, fmt::format("the CPU is incompatible with host CPU: {}",
                                                   missing.empty() ? "another vendor" : "it has no " + missing));
    }
    return static_cast<std::int32_t>(result);
}

Result<std::string> baseline(const vmm::EmulatorFacts& facts, const std::vector<std::string>& xmls, std::uint32_t flags,
                             Against against) {
    constexpr std::uint32_t kExpand = 1, kMigratable = 2;
    TRY_OK(check_flags(flags, kExpand | kMigratable, "qemuConnectBaselineCPU"));
    if (xmls.empty()) {
        return fail(Code::invalid_argument, "no CPU to take the baseline of");
    }
    const vmm::CpuModels& models = facts.cpus;
    std::vector<vmm::CpuDescription> cpus;
    for (const std::string& xml : xmls) {
        TRY(vmm::CpuDescription cpu, models.read(xml));
        cpus.push_back(std::move(cpu));
    }
    if (against == Against::guest) {  // nothing that this host's guests could not have
        vmm::CpuDescription guest = models.guest();
        guest.vendor = cpus.front().vendor;
        cpus.push_back(std::move(guest));
    }
    return models.document(vmm::CpuModels::baseline(cpus), (flags & kExpand) != 0);
}

void add_comparisons(rpc::Handlers& h, Services& s) {
    h.add<proto::connect_compare_cpu>([&s](Call&, const proto::connect_compare_cpu_args& args,
                                           Responder<proto::connect_compare_cpu> responder) {
        from_emulator(
            s, Target{.accelerator = vmm::Accelerator::tcg}, std::move(responder),
            [&s, args](vmm::Accelerator, const vmm::EmulatorFacts& facts) -> Result<proto::connect_compare_cpu_ret> {
                TRY(const std::int32_t result, compare(s.facts.cpu, facts, Against::host, args.xml, args.flags));
                return proto::connect_compare_cpu_ret{result};
            });
    });
    h.add<proto::connect_compare_hypervisor_cpu>([&s](Call&, const proto::connect_compare_hypervisor_cpu_args& args,
                                                      Responder<proto::connect_compare_hypervisor_cpu> responder) {
        from_emulator(s, target_of(s, args.emulator, args.arch, args.machine, args.virttype), std::move(responder),
                      [&s, args](vmm::Accelerator,
                                 const vmm::EmulatorFacts& facts) -> Result<proto::connect_compare_hypervisor_cpu_ret> {
                          TRY(const std::int32_t result,
                              compare(s.facts.cpu, facts, Against::guest, args.xml_cpu, args.flags));
                          return proto::connect_compare_hypervisor_cpu_ret{result};
                      });
    });
    h.add<proto::connect_baseline_cpu>(
        [&s](Call&, const proto::connect_baseline_cpu_args& args, Responder<proto::connect_baseline_cpu> responder) {
            from_emulator(
                s, Target{.accelerator = vmm::Accelerator::tcg}, std::move(responder),
                [args](vmm::Accelerator, const vmm::EmulatorFacts& facts) -> Result<proto::connect_baseline_cpu_ret> {
                    TRY(std::string xml, baseline(facts, args.xml_cpus, args.flags, Against::host));
                    return proto::connect_baseline_cpu_ret{std::move(xml)};
                });
        });
    h.add<proto::connect_baseline_hypervisor_cpu>([&s](Call&, const proto::connect_baseline_hypervisor_cpu_args& args,
                                                       Responder<proto::connect_baseline_hypervisor_cpu> responder) {
        from_emulator(s, target_of(s, args.emulator, args.arch, args.machine, args.virttype), std::move(responder),
                      [args](vmm::Accelerator,
                             const vmm::EmulatorFacts& facts) -> Result<proto::connect_baseline_hypervisor_cpu_ret> {
                          TRY(std::string xml, baseline(facts, args.xml_cpus, args.flags, Against::guest));
                          return proto::connect_baseline_hypervisor_cpu_ret{std::move(xml)};
                      });
    });
}

}  // namespace

void add_cpu_handlers(rpc::Handlers& handlers, Services& services) {
    add_capabilities(handlers, services);
    add_domain_capabilities(handlers, services);
    add_comparisons(handlers, services);
}

}  // namespace bascule::daemon
