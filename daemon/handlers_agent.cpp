// SPDX-License-Identifier: GPL-2.0-or-later
// What a guest's own agent is told to do.
#include <gnutls/gnutls.h>

#include "daemon/handlers.h"
#include "kernel/linux/host.h"
#include "rpc/proto_domain.h"
#include "rpc/proto_qemu.h"
#include "rpc/session.h"
#include "vmm/agent_facts.h"

namespace bascule::daemon {

namespace proto = rpc::proto;
using rpc::Call;
using rpc::Responder;
using vmm::qmp::Json;
using Command = Agents::Command;

namespace {

// Freezing and trimming take as long as the guest's disks do.
Command patient(std::string name, Json arguments = nullptr) {
    return {.name = std::move(name), .arguments = std::move(arguments), .patience = std::nullopt};
}

std::optional<std::chrono::milliseconds> patience_of(std::int32_t timeout) {
    return timeout == vmm::kAgentBlock ? std::nullopt
                                       : std::optional<std::chrono::milliseconds>(std::chrono::seconds(timeout));
}

// What the agent answers is of no interest.
template <class P>
void tell(Services& s, const Uuid& guest, Result<Command> command, Responder<P> responder) {
    if (!command) {
        return responder.fail(command.error());
    }
    ask_agent(s, guest, std::move(*command), [responder = std::move(responder)](const Result<Json>& answer) mutable {
        responder.answer(answer ? Result<void>() : std::unexpected(answer.error()));
    });
}

std::string base64(std::string_view text) {
    const gnutls_datum_t in{reinterpret_cast<unsigned char*>(const_cast<char*>(text.data())),
                            static_cast<unsigned>(text.size())};
    gnutls_datum_t out{};
    if (gnutls_base64_encode2(&in, &out) != GNUTLS_E_SUCCESS) {
        throw std::bad_alloc();  // nothing else can go wrong there
    }
    std::string encoded(reinterpret_cast<const char*>(out.data), out.size);
    gnutls_free(out.data);
    return encoded;
}

// ---- the clock

constexpr std::int64_t kSecond = 1'000'000'000;

Result<Command> time_command(const proto::domain_set_time_args& args) {
    constexpr std::uint32_t kSync = 1;  // from the guest's own hardware clock
    constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max() / kSecond;
    TRY_OK(check_flags(args.flags, kSync, "qemuDomainSetTime"));
    Command command{.name = "guest-set-time"};
    if ((args.flags & kSync) != 0) {
        return command;
    }
    if (args.seconds < 0 || args.seconds >= kMost || args.nseconds >= kSecond) {
        return fail(Code::invalid_argument,
                    fmt::format("Time '{}.{:09}' does not fit the guest's agent", args.seconds, args.nseconds));
    }
    command.arguments = {{"time", args.seconds * kSecond + args.nseconds}};
    return command;
}

void add_time(rpc::Handlers& h, Services& s) {
    h.add<proto::domain_get_time>(
        [&s](Call&, const proto::domain_get_time_args& args, Responder<proto::domain_get_time> responder) {
            if (auto right = check_flags(args.flags, 0, "qemuDomainGetTime"); !right) {
                return responder.fail(right.error());
            }
            ask_agent(s, args.dom.uuid, {.name = "guest-get-time"},
                      [responder = std::move(responder)](const Result<Json>& answer) mutable {
                          const auto time = answer ? vmm::agent::time_from(*answer) : std::unexpected(answer.error());
                          if (!time) {
                              return responder.fail(time.error());
                          }
                          const std::chrono::nanoseconds since(*time);
                          const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
                          responder.ok({seconds.count(), static_cast<std::uint32_t>((since - seconds).count())});
                      });
        });
    h.add<proto::domain_set_time>(
        [&s](Call&, const proto::domain_set_time_args& args, Responder<proto::domain_set_time> responder) {
            auto command = time_command(args);
            if (!command) {
                return responder.fail(command.error());
            }
            ask_agent(s, args.dom.uuid, std::move(*command),
                      [&s, uuid = args.dom.uuid, responder = std::move(responder)](const Result<Json>& answer) mutable {
                          // Ticks that the guest missed are no longer owed to it. Not every machine owes any.
                          if (const auto domain = s.guests.running(uuid); answer && domain) {
                              (*domain)->guest->monitor_command(R"({"execute":"rtc-reset-reinjection"})", false,
                                                                [](const Result<std::string>&) {});
                          }
                          responder.answer(answer ? Result<void>() : std::unexpected(answer.error()));
                      });
        });
}

// ---- file systems

Result<Command> trim_command(const proto::domain_fstrim_args& args) {
    TRY_OK(check_flags(args.flags, 0, "qemuDomainFSTrim"));
    if (args.mount_point) {
        return fail(Code::unsupported, "the agent trims all file systems: one of them cannot be named");
    }
    return patient("guest-fstrim", {{"minimum", args.minimum}});
}

Result<Command> freeze_command(const proto::domain_fsfreeze_args& args) {
    TRY_OK(check_flags(args.flags, 0, "qemuDomainFSFreeze"));
    return args.mountpoints.empty() ? patient("guest-fsfreeze-freeze")
                                    : patient("guest-fsfreeze-freeze-list", {{"mountpoints", args.mountpoints}});
}

Result<Command> thaw_command(const proto::domain_fsthaw_args& args) {
    TRY_OK(check_flags(args.flags, 0, "qemuDomainFSThaw"));
    if (!args.mountpoints.empty()) {
        return fail(Code::unsupported, "the agent thaws all file systems: none of them can be named");
    }
    return patient("guest-fsfreeze-thaw");
}

// Answers with how many file systems it were.
template <class P>
void count(Services& s, const Uuid& guest, Result<Command> command, Responder<P> responder) {
    if (!command) {
        return responder.fail(command.error());
    }
    ask_agent(s, guest, std::move(*command), [responder = std::move(responder)](const Result<Json>& answer) mutable {
        const auto number = answer ? vmm::agent::count_from(*answer) : std::unexpected(answer.error());
        number ? responder.ok({*number}) : responder.fail(number.error());
    });
}

void add_file_systems(rpc::Handlers& h, Services& s) {
    h.add<proto::domain_fstrim>(
        [&s](Call&, const proto::domain_fstrim_args& args, Responder<proto::domain_fstrim> responder) {
            tell(s, args.dom.uuid, trim_command(args), std::move(responder));
        });
    h.add<proto::domain_fsfreeze>(
        [&s](Call&, const proto::domain_fsfreeze_args& args, Responder<proto::domain_fsfreeze> responder) {
            count(s, args.dom.uuid, freeze_command(args), std::move(responder));
        });
    h.add<proto::domain_fsthaw>(
        [&s](Call&, const proto::domain_fsthaw_args& args, Responder<proto::domain_fsthaw> responder) {
            count(s, args.dom.uuid, thaw_command(args), std::move(responder));
        });
}

// ---- users

Result<Command> keys_command(const proto::domain_authorized_ssh_keys_set_args& args) {
    constexpr std::uint32_t kAppend = 1, kRemove = 2;
    TRY_OK(check_flags(args.flags, kAppend | kRemove, "qemuDomainAuthorizedSSHKeysSet"));
    if ((args.flags & kAppend) != 0 && (args.flags & kRemove) != 0) {
        return fail(Code::invalid_argument, "keys are either added or removed, not both");
    }
    if (args.keys.empty() && args.flags != 0) {
        return fail(Code::invalid_argument, "no keys given");
    }
    Json arguments{{"username", args.user}, {"keys", args.keys}};
    if ((args.flags & kRemove) != 0) {
        return Command{.name = "guest-ssh-remove-authorized-keys", .arguments = std::move(arguments)};
    }
    arguments["reset"] = (args.flags & kAppend) == 0;
    return Command{.name = "guest-ssh-add-authorized-keys", .arguments = std::move(arguments)};
}

Result<Command> password_command(const proto::domain_set_user_password_args& args) {
    constexpr std::uint32_t kEncrypted = 1;
    TRY_OK(check_flags(args.flags, kEncrypted, "qemuDomainSetUserPassword"));
    if (!args.user || !args.password) {
        return fail(Code::invalid_argument, "a user and a password are needed");
    }
    return Command{.name = "guest-set-user-password",
                   .arguments = {{"username", *args.user},
                                 {"password", base64(*args.password)},
                                 {"crypted", (args.flags & kEncrypted) != 0}}};
}

void add_users(rpc::Handlers& h, Services& s) {
    h.add<proto::domain_set_user_password>([&s](Call&, const proto::domain_set_user_password_args& args,
                                                Responder<proto::domain_set_user_password> responder) {
        tell(s, args.dom.uuid, password_command(args), std::move(responder));
    });
    h.add<proto::domain_authorized_ssh_keys_get>([&s](Call&, const proto::domain_authorized_ssh_keys_get_args& args,
                                                      Responder<proto::domain_authorized_ssh_keys_get> responder) {
        if (auto right = check_flags(args.flags, 0, "qemuDomainAuthorizedSSHKeysGet"); !right) {
            return responder.fail(right.error());
        }
        ask_agent(s, args.dom.uuid, {.name = "guest-ssh-get-authorized-keys", .arguments = {{"username", args.user}}},
                  [responder = std::move(responder)](const Result<Json>& answer) mutable {
                      auto keys = answer ? vmm::agent::keys_from(*answer) : std::unexpected(answer.error());
                      keys ? responder.ok({std::move(*keys)}) : responder.fail(keys.error());
                  });
    });
    h.add<proto::domain_authorized_ssh_keys_set>([&s](Call&, const proto::domain_authorized_ssh_keys_set_args& args,
                                                      Responder<proto::domain_authorized_ssh_keys_set> responder) {
        tell(s, args.dom.uuid, keys_command(args), std::move(responder));
    });
}

// ---- sleep

// virNodeSuspendTarget
Result<Command> suspend_command(const Services& s, const proto::domain_pm_suspend_for_duration_args& args) {
    static constexpr std::array<std::string_view, 3> kCommands{"guest-suspend-ram", "guest-suspend-disk",
                                                               "guest-suspend-hybrid"};
    constexpr std::uint32_t kMemory = 0, kDisk = 1;
    TRY_OK(check_flags(args.flags, 0, "qemuDomainPMSuspendForDuration"));
    if (args.duration != 0) {
        return fail(Code::unsupported, "a guest sleeps until it is woken: the duration has to be 0");
    }
    if (args.target >= kCommands.size()) {
        return fail(Code::invalid_argument, fmt::format("unknown target of a suspend: {}", args.target));
    }
    TRY(const Domain* const domain, s.guests.running(args.dom.uuid));
    const vmm::PowerManagement& pm = domain->guest->spec().pm;
    if (args.target != kDisk && pm.suspend_to_mem == false) {
        return fail(Code::unsupported, "S3 state is disabled for this domain");
    }
    if (args.target != kMemory && pm.suspend_to_disk == false) {
        return fail(Code::unsupported, "S4 state is disabled for this domain");
    }
    return Command{.name = std::string(kCommands.at(args.target)), .patience = std::nullopt, .silent = true};
}

// ---- whatever a client says

Result<Command> raw_command(const proto::domain_agent_command_args& args) {
    constexpr std::int32_t kMost = 24 * 3600;
    TRY_OK(check_flags(args.flags, 0, "qemuDomainQemuAgentCommand"));
    if (args.timeout < vmm::kAgentBlock || args.timeout > kMost) {
        return fail(Code::invalid_argument,
                    fmt::format("a time-out of {} seconds: from 0 to {}, {} to block, {} for the default", args.timeout,
                                kMost, vmm::kAgentBlock, vmm::kAgentDefault));
    }
    auto object = vmm::qmp::parse_object(args.cmd);
    if (!object) {
        return fail(Code::invalid_argument, "the command is no JSON object: " + object.error().message);
    }
    const std::string name = vmm::qmp::text_of(*object, "execute");
    const Json* const arguments = vmm::qmp::member_of(*object, "arguments");
    if (name.empty() || object->size() > (arguments == nullptr ? 1U : 2U)) {
        return fail(Code::invalid_argument, R"(the command has to be {"execute": NAME, "arguments": {…}})");
    }
    return Command{.name = name, .arguments = arguments == nullptr ? Json() : *arguments};
}

void add_raw(rpc::Handlers& h, Services& s) {
    h.add<proto::domain_agent_command>(
        [&s](Call&, const proto::domain_agent_command_args& args, Responder<proto::domain_agent_command> responder) {
            auto command = raw_command(args);
            if (!command) {
                return responder.fail(command.error());
            }
            ask_agent(
                s, args.dom.uuid, std::move(*command),
                [responder = std::move(responder)](const Result<Json>& answer) mutable {
                    if (!answer) {
                        return responder.fail(answer.error());
                    }
                    responder.ok({Json{{"return", *answer}}.dump(-1, ' ', false, Json::error_handler_t::replace)});
                },
                args.timeout);
        });
    h.add<proto::domain_agent_set_response_timeout>([&s](Call&,
                                                         const proto::domain_agent_set_response_timeout_args& args)
                                                        -> Result<proto::domain_agent_set_response_timeout_ret> {
        TRY_OK(check_flags(args.flags, 0, "qemuDomainAgentSetResponseTimeout"));
        if (args.timeout < vmm::kAgentBlock) {
            return fail(Code::invalid_argument, fmt::format("guest agent timeout '{}' is less than the minimum '{}'",
                                                            args.timeout, vmm::kAgentBlock));
        }
        TRY_OK(s.guests.set_agent_timeout(args.dom.uuid, args.timeout));
        return proto::domain_agent_set_response_timeout_ret{0};
    });
}

}  // namespace

void ask_agent(Services& s, const Uuid& guest, Command command, Agents::Answer answer, std::int32_t timeout) {
    const auto domain = s.guests.running(guest);
    auto channel = domain ? agent_channel((*domain)->guest->spec()) : std::unexpected(domain.error());
    if (!channel) {
        return answer(std::unexpected(std::move(channel).error()));
    }
    timeout = timeout == vmm::kAgentDefault ? (*domain)->agent_timeout : timeout;
    if (timeout != vmm::kAgentDefault) {
        command.patience = patience_of(timeout);
    }
    s.agents.ask(*channel, std::move(command), std::move(answer));
}

void power_by_agent(Services& s, const Uuid& guest, std::string_view mode, Agents::Answer answer) {
    constexpr std::chrono::seconds kGoingDown{60};
    ask_agent(
        s, guest,
        {.name = "guest-shutdown", .arguments = {{"mode", std::string(mode)}}, .patience = kGoingDown, .silent = true},
        std::move(answer));
}

void add_agent_handlers(rpc::Handlers& h, Services& s) {
    add_time(h, s);
    add_file_systems(h, s);
    add_users(h, s);
    h.add<proto::domain_pm_suspend_for_duration>([&s](Call&, const proto::domain_pm_suspend_for_duration_args& args,
                                                      Responder<proto::domain_pm_suspend_for_duration> responder) {
        tell(s, args.dom.uuid, suspend_command(s, args), std::move(responder));
    });
    add_raw(h, s);
}

}  // namespace bascule::daemon
