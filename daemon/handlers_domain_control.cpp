// SPDX-License-Identifier: GPL-2.0-or-later
// What a running guest is told: keys, interrupts, reboot; and what is going on with it.
#include "daemon/handlers.h"
#include "rpc/constants.h"
#include "rpc/proto_domain.h"
#include "rpc/proto_qemu.h"
#include "rpc/session.h"

namespace bascule::daemon {

namespace proto = rpc::proto;
using rpc::Call;
using rpc::Responder;
using vmm::qmp::Json;

namespace {

// virDomainShutdownFlagValues and virDomainRebootFlagValues are the same.
constexpr std::uint32_t kAcpi = 1, kAgent = 2, kInitctl = 4, kSignal = 8, kParavirt = 16;

// Runs an operation after the flags, which may refuse, have been looked at.
template <class P, class Operation>
void run(Services& s, const Uuid& uuid, const Result<void>& flags, Responder<P> responder, Operation operation) {
    if (!flags) {
        return responder.fail(flags.error());
    }
    s.guests.operate(uuid, operation, answering(std::move(responder)));
}

Result<std::vector<std::uint32_t>> key_numbers(const proto::domain_send_key_args& args) {
    TRY_OK(check_flags(args.flags, 0, "qemuDomainSendKey"));
    std::vector<std::uint32_t> keys;
    for (const std::uint32_t key : args.keycodes) {
        const auto number = vmm::key_number(args.codeset, key);
        if (!number) {
            return fail(
                Code::invalid_argument,
                fmt::format("invalid keycode: {} of codeset {} (of the code sets linux, xt, atset1 and qnum are known)",
                            key, args.codeset));
        }
        keys.push_back(*number);
    }
    if (keys.empty()) {
        return fail(Code::invalid_argument, "no key to send");
    }
    return keys;
}

void add_power(rpc::Handlers& h, Services& s) {
    h.add<proto::domain_reboot>(
        [&s](Call&, const proto::domain_reboot_args& args, Responder<proto::domain_reboot> responder) {
            const auto by = power_by(args.flags, "qemuDomainReboot");
            if (by && *by == PowerBy::agent) {
                return power_by_agent(s, args.dom.uuid, "reboot",
                                      [responder = std::move(responder)](const Result<Json>& answer) mutable {
                                          responder.answer(answer ? Result<void>() : std::unexpected(answer.error()));
                                      });
            }
            run(s, args.dom.uuid, by ? Result<void>() : std::unexpected(by.error()), std::move(responder),
                [](vmm::Guest& guest, vmm::Done done) { guest.reboot(std::move(done)); });
        });
    h.add<proto::domain_inject_nmi>(
        [&s](Call&, const proto::domain_inject_nmi_args& args, Responder<proto::domain_inject_nmi> responder) {
            run(s, args.dom.uuid, check_flags(args.flags, 0, "qemuDomainInjectNMI"), std::move(responder),
                [](vmm::Guest& guest, vmm::Done done) { guest.inject_nmi(std::move(done)); });
        });
    h.add<proto::domain_pm_wakeup>(
        [&s](Call&, const proto::domain_pm_wakeup_args& args, Responder<proto::domain_pm_wakeup> responder) {
            run(s, args.dom.uuid, check_flags(args.flags, 0, "qemuDomainPMWakeup"), std::move(responder),
                [](vmm::Guest& guest, vmm::Done done) { guest.wake_up(std::move(done)); });
        });
    h.add<proto::domain_send_key>(
        [&s](Call&, const proto::domain_send_key_args& args, Responder<proto::domain_send_key> responder) {
            const auto keys = key_numbers(args);
            if (!keys) {
                return responder.fail(keys.error());
            }
            run(s, args.dom.uuid, {}, std::move(responder),
                [&keys, hold = args.holdtime](vmm::Guest& guest, vmm::Done done) {
                    guest.send_keys(*keys, std::chrono::milliseconds(hold), std::move(done));
                });
        });
}

// ---- QEMU's own words

void add_monitor(rpc::Handlers& h, Services& s) {
    h.add<proto::domain_monitor_command>([&s](Call&, const proto::domain_monitor_command_args& args,
                                              Responder<proto::domain_monitor_command> responder) {
        constexpr std::uint32_t kHuman = 1;  // VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP
        const auto flags = check_flags(args.flags, kHuman, "qemuDomainQemuMonitorCommand");
        const auto domain = flags ? s.guests.running(args.dom.uuid) : std::unexpected(flags.error());
        if (!domain) {
            return responder.fail(domain.error());
        }
        (*domain)->guest->monitor_command(args.cmd, (args.flags & kHuman) != 0,
                                          [r = std::move(responder)](Result<std::string> answer) mutable {
                                              if (answer) {
                                                  r.ok({std::move(*answer)});
                                              } else {
                                                  r.fail(answer.error());
                                              }
                                          });
    });
}

// ---- what is going on

void add_jobs(rpc::Handlers& h, Services& s) {
    // Nothing that we do with a guest takes so long that it would be a job.
    h.add<proto::domain_get_job_info>(
        [&s](Call&, const proto::domain_get_job_info_args& args) -> Result<proto::domain_get_job_info_ret> {
            TRY_OK(s.guests.running(args.dom.uuid));
            return proto::domain_get_job_info_ret{};
        });
    h.add<proto::domain_get_job_stats>(
        [&s](Call&, const proto::domain_get_job_stats_args& args) -> Result<proto::domain_get_job_stats_ret> {
            constexpr std::uint32_t kCompleted = 1, kKeepCompleted = 2;
            TRY_OK(check_flags(args.flags, kCompleted | kKeepCompleted, "qemuDomainGetJobStats"));
            TRY_OK((args.flags & kCompleted) != 0 ? s.guests.by_uuid(args.dom.uuid) : s.guests.running(args.dom.uuid));
            return proto::domain_get_job_stats_ret{};
        });
    const auto abort = [&s](const Uuid& uuid) -> Result<void> {
        TRY_OK(s.guests.running(uuid));
        return fail(Code::invalid_state, "no job is active on the domain");
    };
    h.add<proto::domain_abort_job>(
        [abort](Call&, const proto::domain_abort_job_args& args) { return abort(args.dom.uuid); });
    h.add<proto::domain_abort_job_flags>(
        [abort](Call&, const proto::domain_abort_job_flags_args& args) -> Result<void> {
            constexpr std::uint32_t kPostCopy = 1;
            TRY_OK(check_flags(args.flags, kPostCopy, "qemuDomainAbortJobFlags"));
            return abort(args.dom.uuid);
        });
    h.add<proto::domain_get_control_info>(
        [&s](Call&, const proto::domain_get_control_info_args& args) -> Result<proto::domain_get_control_info_ret> {
            TRY_OK(check_flags(args.flags, 0, "qemuDomainGetControlInfo"));
            TRY_OK(s.guests.running(args.dom.uuid));
            return proto::domain_get_control_info_ret{.state = 0, .details = 0, .state_time = 0};
        });
    h.add<proto::domain_get_disk_errors>(
        [&s](Call&, const proto::domain_get_disk_errors_args& args) -> Result<proto::domain_get_disk_errors_ret> {
            TRY_OK(check_flags(args.flags, 0, "qemuDomainGetDiskErrors"));
            TRY_OK(s.guests.running(args.dom.uuid));
            return proto::domain_get_disk_errors_ret{};
        });
}

// ---- labels: there is no security driver, so nothing has one

void add_labels(rpc::Handlers& h, Services& s) {
    h.add<proto::domain_get_launch_security_info>([&s](Call&, const proto::domain_get_launch_security_info_args& args)
                                                      -> Result<proto::domain_get_launch_security_info_ret> {
        TRY_OK(check_flags(args.flags, kStringOkay, "qemuDomainGetLaunchSecurityInfo"));
        TRY_OK(s.guests.running(args.dom.uuid));
        return proto::domain_get_launch_security_info_ret{};
    });
    h.add<proto::domain_get_security_label>(
        [&s](Call&, const proto::domain_get_security_label_args& args) -> Result<proto::domain_get_security_label_ret> {
            TRY_OK(s.guests.by_uuid(args.dom.uuid));
            return proto::domain_get_security_label_ret{.label = {0}, .enforcing = 0};  // the empty text's end
        });
    h.add<proto::domain_get_security_label_list>([&s](Call&, const proto::domain_get_security_label_list_args& args)
                                                     -> Result<proto::domain_get_security_label_list_ret> {
        TRY_OK(s.guests.by_uuid(args.dom.uuid));
        return proto::domain_get_security_label_list_ret{};
    });
}

}  // namespace

Result<PowerBy> power_by(std::uint32_t flags, std::string_view function) {
    TRY_OK(check_flags(flags, kAcpi | kAgent | kInitctl | kSignal | kParavirt, function));
    // Where a client leaves the choice to us it is the button, which needs nobody in the guest.
    if (flags == 0 || (flags & kAcpi) != 0) {
        return PowerBy::button;
    }
    if ((flags & kAgent) != 0) {
        return PowerBy::agent;
    }
    return fail(Code::unsupported, "a guest goes down by its power button or by its agent: use --mode acpi or agent");
}

void add_domain_control_handlers(rpc::Handlers& handlers, Services& services) {
    add_power(handlers, services);
    add_monitor(handlers, services);
    add_jobs(handlers, services);
    add_labels(handlers, services);
}

}  // namespace bascule::daemon
