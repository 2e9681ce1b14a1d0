// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>

#include "daemon/handlers.h"
#include "kernel/linux/facts.h"
#include "rpc/proto_domain.h"
#include "rpc/session.h"
#include "vmm/agent_facts.h"

namespace bascule::daemon {

namespace proto = rpc::proto;
namespace os = kernel::os;
using rpc::Call;
using rpc::Responder;

namespace {

Result<const Domain*> running(const Services& s, const proto::Domain& dom) {
    TRY(const Domain* const domain, s.guests.by_uuid(dom.uuid));
    if (!domain->active()) {
        return fail(Code::invalid_state, "domain is not running");
    }
    return domain;
}

Result<proto::domain_interface_stats_ret> counters(const Domain& domain, const std::string& device) {
    const auto& interfaces = domain.guest->spec().interfaces;
    for (std::size_t i = 0; i < std::min(interfaces.size(), domain.nics.size()); ++i) {
        const auto& tap = domain.nics[i].tap;
        if ((!tap || tap->str() != device) && format(*interfaces[i].mac) != device) {
            continue;
        }
        if (!tap) {
            return fail(Code::unsupported, "QEMU's own networks are not counted: the interface has no device here");
        }
        TRY(const os::LinkCounters host, os::link_counters(*tap));
        const auto number = [](std::uint64_t value) { return static_cast<std::int64_t>(value); };
        // The guest's view: what it received is what the host sent to the tap.
        return proto::domain_interface_stats_ret{.rx_bytes = number(host.tx_bytes),
                                                 .rx_packets = number(host.tx_packets),
                                                 .rx_errs = number(host.tx_errors),
                                                 .rx_drop = number(host.tx_dropped),
                                                 .tx_bytes = number(host.rx_bytes),
                                                 .tx_packets = number(host.rx_packets),
                                                 .tx_errs = number(host.rx_errors),
                                                 .tx_drop = number(host.rx_dropped)};
    }
    return fail(Code::invalid_argument, fmt::format("'{}' is not a known interface", device));
}

// The name that the guest gave when it asked for an address.
Result<std::string> leased_name(const Services& s, const Domain& domain) {
    const auto& interfaces = domain.guest->spec().interfaces;
    for (std::size_t i = 0; i < std::min(interfaces.size(), domain.nics.size()); ++i) {
        for (const dhcp::Lease& lease :
             domain.nics[i].network ? s.netsvc.leases(*domain.nics[i].network) : std::vector<dhcp::Lease>()) {
            if (lease.port == *interfaces[i].mac && !lease.hostname.empty()) {
                return lease.hostname;
            }
        }
    }
    return fail(Code::unsupported, fmt::format("no hostname found for domain {}: no lease of it has one", domain.name));
}

void host_name(Services& s, const proto::domain_get_hostname_args& args,
               Responder<proto::domain_get_hostname> responder) {
    constexpr std::uint32_t kLease = 1, kAgent = 2;
    auto right = check_flags(args.flags, kLease | kAgent, "qemuDomainGetHostname");
    if (right && args.flags == (kLease | kAgent)) {
        right = fail(Code::invalid_argument, "the name is either a lease's or the agent's: give one of the flags");
    }
    const auto domain = right ? running(s, args.dom) : std::unexpected(right.error());
    if (!domain) {
        return responder.fail(domain.error());
    }
    const auto answer = [](auto& to, Result<std::string> name) {
        name ? to.ok({std::move(*name)}) : to.fail(name.error());
    };
    if ((args.flags & kLease) != 0) {
        return answer(responder, leased_name(s, **domain));
    }
    ask_agent(s, args.dom.uuid, {.name = "guest-get-host-name"},
              [answer, responder = std::move(responder)](const Result<vmm::qmp::Json>& said) mutable {
                  answer(responder, said ? vmm::agent::host_name_from(*said) : std::unexpected(said.error()));
              });
}

// Hands a device of a guest to a client's stream.
template <class P>
void connect_stream(Services& s, Result<Consoles::Device> device, Consoles::Kind kind, bool force,
                    Responder<P> responder) {
    auto opened = device ? s.consoles.open(*device, kind, force) : std::unexpected(device.error());
    if (!opened) {
        return responder.fail(opened.error());
    }
    s.consoles.attach(*device, responder.open({}, std::move(*opened)));
}

void open_console(Services& s, const proto::domain_open_console_args& args,
                  Responder<proto::domain_open_console> responder) {
    constexpr std::uint32_t kForce = 1, kSafe = 2;
    const auto device = [&]() -> Result<Consoles::Device> {
        TRY_OK(check_flags(args.flags, kForce | kSafe, "qemuDomainOpenConsole"));
        TRY(const Domain* const domain, running(s, args.dom));
        if (args.dev_name && *args.dev_name != vmm::serial_alias(domain->guest->spec(), 0)) {
            return fail(Code::invalid_argument, fmt::format("cannot find console device '{}'", *args.dev_name));
        }
        TRY(std::string terminal, domain->guest->console_path());
        return Consoles::Device{args.dom.uuid, std::move(terminal)};
    };
    connect_stream(s, device(), Consoles::Kind::terminal, (args.flags & kForce) != 0, std::move(responder));
}

// By the name that the guest finds it by, or by its alias; without either the first one.
void open_channel(Services& s, const proto::domain_open_channel_args& args,
                  Responder<proto::domain_open_channel> responder) {
    constexpr std::uint32_t kForce = 1;
    const auto device = [&]() -> Result<Consoles::Device> {
        TRY_OK(check_flags(args.flags, kForce, "qemuDomainOpenChannel"));
        TRY(const Domain* const domain, running(s, args.dom));
        const vmm::Spec& spec = domain->guest->spec();
        for (std::size_t i = 0; i < spec.channels.size(); ++i) {
            const vmm::Channel& channel = spec.channels[i];
            if (args.name && *args.name != channel.name && *args.name != vmm::channel_alias(spec, i)) {
                continue;
            }
            if (channel.backend != vmm::Channel::Backend::socket || !channel.live) {
                return fail(Code::internal, fmt::format("channel {} is not using a UNIX socket", channel.name));
            }
            return Consoles::Device{args.dom.uuid, channel.live->path};
        }
        return fail(Code::internal, fmt::format("cannot find channel {}", args.name.value_or("of any name")));
    };
    connect_stream(s, device(), Consoles::Kind::socket, (args.flags & kForce) != 0, std::move(responder));
}

}  // namespace

void add_domain_device_handlers(rpc::Handlers& h, Services& s) {
    h.add<proto::domain_interface_stats>(
        [&s](Call&, const proto::domain_interface_stats_args& args) -> Result<proto::domain_interface_stats_ret> {
            TRY(const Domain* const domain, running(s, args.dom));
            return counters(*domain, args.device);
        });
    h.add<proto::domain_get_hostname>(
        [&s](Call&, const proto::domain_get_hostname_args& args, Responder<proto::domain_get_hostname> responder) {
            host_name(s, args, std::move(responder));
        });
    h.add<proto::domain_open_console>(
        [&s](Call&, const proto::domain_open_console_args& args, Responder<proto::domain_open_console> responder) {
            open_console(s, args, std::move(responder));
        });
    h.add<proto::domain_open_channel>(
        [&s](Call&, const proto::domain_open_channel_args& args, Responder<proto::domain_open_channel> responder) {
            open_channel(s, args, std::move(responder));
        });
}

}  // namespace bascule::daemon
