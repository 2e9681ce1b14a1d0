// SPDX-License-Identifier: GPL-2.0-or-later
// Which addresses a guest's NICs have: by leases, by whom the host has talked to, by the guest's own agent.
#include <algorithm>
#include <chrono>

#include "daemon/addresses.h"
#include "daemon/handlers.h"
#include "kernel/linux/facts.h"
#include "rpc/proto_bascule.h"
#include "rpc/proto_domain.h"
#include "rpc/session.h"

namespace bascule::daemon {

namespace proto = rpc::proto;
namespace os = kernel::os;
using rpc::Call;
using rpc::Responder;
using vmm::qmp::Json;
using AgentInterfaces = std::vector<vmm::agent::Interface>;

namespace {

// virDomainInterfaceAddressesSource
constexpr std::uint32_t kFromAgent = 1, kFromArp = 2;  // 0: leases

proto::DomainIpAddr to_wire(const Ip& address, unsigned prefix) {
    constexpr std::int32_t kIpv4 = 0, kIpv6 = 1;  // virIPAddrType
    return {.type = address.is_v4() ? kIpv4 : kIpv6, .addr = format(address), .prefix = prefix};
}

struct Nic {
    std::optional<IfName> tap;
    std::optional<Uuid> network;
    MacAddr mac;
};
std::vector<Nic> nics_of(const Domain& domain) {
    std::vector<Nic> out;
    const auto& interfaces = domain.guest->spec().interfaces;
    for (std::size_t i = 0; i < std::min(interfaces.size(), domain.nics.size()); ++i) {
        out.push_back({domain.nics[i].tap, domain.nics[i].network, *interfaces[i].mac});
    }
    return out;
}

// The host's own tables know no prefix lengths: 0, as the peer says it.
std::vector<Sighting> by_arp(const MacAddr& mac, const std::vector<os::Neighbour>& seen) {
    std::vector<Sighting> out;
    for (const os::Neighbour& one : seen) {
        if (one.mac == mac) {
            out.push_back({mac, one.address, 0, Sighting::Source::arp, one.age});
        }
    }
    return out;
}

std::vector<Sighting> by_lease(const Services& s, const Nic& nic) {
    std::vector<Sighting> out;
    const auto now = s.host.loop.clock().now();
    for (const Netsvc::PortLease& one :
         nic.network ? s.netsvc.port_leases(*nic.network, nic.mac) : std::vector<Netsvc::PortLease>()) {
        if (!one.lease.delegated) {
            const auto age =
                one.since ? std::optional(std::chrono::floor<std::chrono::seconds>(now - *one.since)) : std::nullopt;
            out.push_back({nic.mac, one.lease.address, one.lease.prefix_length, Sighting::Source::lease, age});
        }
    }
    return out;
}

// From the leases of a network of ours, or from whom the host has talked to.
Result<proto::domain_interface_addresses_ret> by_host(const Services& s, const Domain& domain, std::uint32_t source) {
    std::vector<os::Neighbour> seen;
    if (source == kFromArp) {
        TRY(seen, os::neighbours());
    }
    proto::domain_interface_addresses_ret ret;
    for (const Nic& nic : nics_of(domain)) {
        const auto all = source == kFromArp ? by_arp(nic.mac, seen) : by_lease(s, nic);
        if (!nic.tap || all.empty()) {
            continue;
        }
        proto::DomainInterface entry{.name = nic.tap->str(), .hwaddr = format(nic.mac), .addrs = {}};
        std::ranges::transform(all, std::back_inserter(entry.addrs),
                               [](const Sighting& one) { return to_wire(one.address, one.prefix); });
        ret.ifaces.push_back(std::move(entry));
    }
    return ret;
}

// As the guest names them.
proto::domain_interface_addresses_ret to_wire(const AgentInterfaces& interfaces) {
    proto::domain_interface_addresses_ret ret;
    for (const vmm::agent::Interface& one : interfaces) {
        proto::DomainInterface entry{
            .name = one.name, .hwaddr = one.mac ? std::optional(format(*one.mac)) : std::nullopt, .addrs = {}};
        std::ranges::transform(one.addresses, std::back_inserter(entry.addrs),
                               [](const IpInterface& address) { return to_wire(address.address, address.length); });
        ret.ifaces.push_back(std::move(entry));
    }
    return ret;
}

void ask_agent(Services& s, const std::string& channel, std::move_only_function<void(Result<AgentInterfaces>)> then) {
    s.agents.ask(channel, {.name = "guest-network-get-interfaces"},
                 [then = std::move(then)](Result<Json> answer) mutable {
                     then(answer ? vmm::agent::interfaces_from(*answer) : std::unexpected(std::move(answer).error()));
                 });
}

void interface_addresses(Services& s, Call& call, const proto::domain_interface_addresses_args& args,
                         Responder<proto::domain_interface_addresses> responder) {
    if (auto right = check_flags(args.flags, 0, "qemuDomainInterfaceAddresses"); !right) {
        return responder.fail(right.error());
    }
    if (args.source > kFromArp) {
        return responder.fail(
            {Code::invalid_argument, fmt::format("Unknown IP address data source {}", args.source), 0});
    }
    if (args.source == kFromAgent) {
        if (call.session.read_only()) {
            return responder.fail({Code::read_only, "read only access prevents virDomainInterfaceAddresses", 0});
        }
        const auto domain = s.guests.running(args.dom.uuid);
        auto channel = domain ? agent_channel((*domain)->guest->spec()) : std::unexpected(domain.error());
        if (!channel) {
            return responder.fail(channel.error());
        }
        return ask_agent(s, *channel, [responder = std::move(responder)](Result<AgentInterfaces> found) mutable {
            found ? responder.answer(to_wire(*found)) : responder.fail(found.error());
        });
    }
    s.netsvc.when_known([&s, args, responder = std::move(responder)]() mutable {
        const auto domain = s.guests.running(args.dom.uuid);
        responder.answer(domain ? by_host(s, **domain, args.source) : std::unexpected(domain.error()));
    });
}

// What all of them say, of the guest's NICs. The agent is left out where it is not to be had.
Result<proto::domain_get_addresses_ret> all_addresses(Services& s, const Uuid& guest, const AgentInterfaces& agent) {
    TRY(const Domain* const domain, s.guests.running(guest));
    TRY(const auto neighbours, os::neighbours());
    std::vector<Sighting> all;
    const std::vector<Nic> nics = nics_of(*domain);
    for (const Nic& nic : nics) {
        std::ranges::move(by_lease(s, nic), std::back_inserter(all));
        std::ranges::move(by_arp(nic.mac, neighbours), std::back_inserter(all));
        for (const vmm::agent::Interface& one : agent) {
            for (const IpInterface& address : one.mac == nic.mac ? one.addresses : std::vector<IpInterface>()) {
                all.push_back(
                    {nic.mac, address.address, address.length, Sighting::Source::agent, std::chrono::seconds(0)});
            }
        }
    }
    proto::domain_get_addresses_ret ret;
    for (const SeenAddress& one : merged(std::move(all))) {
        const auto nic = std::ranges::find(nics, one.mac, &Nic::mac);
        ret.macs.push_back(format(one.mac));
        ret.interfaces.push_back(nic->tap ? nic->tap->str() : "");
        ret.addresses.push_back(format(one.address));
        ret.prefixes.push_back(one.prefix);
        ret.sources.push_back(one.sources);
        ret.ages.push_back(one.age ? one.age->count() : -1);
    }
    return ret;
}

void get_addresses(Services& s, Call& call, const proto::domain_get_addresses_args& args,
                   Responder<proto::domain_get_addresses> responder) {
    if (auto right = check_flags(args.flags, 0, "domain-get-addresses"); !right) {
        return responder.fail(right.error());
    }
    const auto domain = s.guests.running(args.dom.uuid);
    if (!domain) {
        return responder.fail(domain.error());
    }
    auto then = [&s, guest = args.dom.uuid, responder = std::move(responder)](Result<AgentInterfaces> found) mutable {
        s.netsvc.when_known([&s, guest, responder = std::move(responder),
                             agent = std::move(found).value_or(AgentInterfaces())]() mutable {
            responder.answer(all_addresses(s, guest, agent));
        });
    };
    const auto channel = agent_channel((*domain)->guest->spec());
    if (!channel || call.session.read_only()) {
        return then(AgentInterfaces());
    }
    ask_agent(s, *channel, std::move(then));
}

}  // namespace

void add_domain_address_handlers(rpc::Handlers& h, Services& s) {
    h.add<proto::domain_interface_addresses>([&s](Call& call, const proto::domain_interface_addresses_args& args,
                                                  Responder<proto::domain_interface_addresses> responder) {
        interface_addresses(s, call, args, std::move(responder));
    });
    h.add<proto::domain_get_addresses>(
        [&s](Call& call, const proto::domain_get_addresses_args& args,
             Responder<proto::domain_get_addresses> responder) { get_addresses(s, call, args, std::move(responder)); });
}

}  // namespace bascule::daemon
