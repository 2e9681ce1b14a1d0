// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/wire.h"

#include <algorithm>

#include <fmt/format.h>

#include "dhcp/wire_values.h"
#include "kernel/helper_channel.h"

namespace bascule::dhcp::wire {

namespace {

using kernel::channel::Message;
using wire::fields_of;

template <class... F>
struct Overloaded : F... {
    using F::operator()...;
};

// Message types. Numbers are for ever.
enum Type : std::uint16_t {
    kHello = 1,
    kHeld = 2,
    kHeldUpstreams = 3,
    kLeases = 4,
    kSynced = 5,
    kLearned = 6,
    kBegin = 16,
    kNetwork = 17,
    kNetworkPart = 18,
    kUpstreams = 19,
    kCommit = 20,
    kRevokeLease = 21,
    kGuests = 22,
    kListen = 23,
    kWatch = 24,
    kUnwatch = 25,
};

// Tags are counted per message and per nested value; each pair of functions below, and of wire_values, owns its own.

// What one message may carry of hosts: well below kMaxMessage, so that the envelope always fits.
constexpr std::size_t kPartBytes = 32 * 1024;

// ---- pieces

Fields fields_of(const DnsHost& host) {
    Fields out;
    out.ip(1, host.address);
    for (const std::string& name : host.names) {
        out.text(2, name);
    }
    return out;
}

DnsHost dns_host_from(FieldReader& in) {
    DnsHost host{in.ip(1), in.texts(2)};
    for (const std::string& name : host.names) {
        const std::string_view rest = name.starts_with("*.") ? std::string_view(name).substr(2) : name;
        if (!is_dns_name(rest)) {
            in.refuse(2, "is not a DNS name");
        }
    }
    return host;
}

void put(Fields& out, std::uint16_t tag, const SocketLayout& sockets) {
    Fields layout;
    layout.flag(1, sockets.dhcp).flag(2, sockets.raw);
    const auto put_each = [&](std::uint16_t list, const std::vector<std::uint16_t>& subnets) {
        for (const std::uint16_t subnet : subnets) {
            layout.nested(list, std::move(Fields().u16(1, subnet)));
        }
    };
    put_each(3, sockets.dns);
    put_each(10, sockets.dns_tcp);
    put_each(11, sockets.tftp);
    put_each(12, sockets.http);
    layout.flag(13, sockets.root);
    layout.flag(4, sockets.frames6).flag(5, sockets.dhcp6).flag(6, sockets.advert).flag(7, sockets.arp);
    out.nested(tag, layout);
}

std::uint16_t index_from(FieldReader& in) { return in.u16(1); }

SocketLayout layout_from(FieldReader& in, std::uint16_t tag) {
    const auto layouts = in.nested(tag);
    if (layouts.size() != 1) {
        in.refuse(tag, "must be there once");
        return {};
    }
    FieldReader inner(layouts.front());
    SocketLayout sockets{inner.flag(1), inner.flag(2), list_from(inner, 3, index_from)};
    sockets.dns_tcp = list_from(inner, 10, index_from);
    sockets.tftp = list_from(inner, 11, index_from);
    sockets.http = list_from(inner, 12, index_from);
    sockets.root = inner.flag_or(13, false);
    sockets.frames6 = inner.flag_or(4, false);
    sockets.dhcp6 = inner.flag_or(5, false);
    sockets.advert = inner.flag_or(6, false);
    sockets.arp = inner.flag_or(7, false);
    if (auto done = inner.finish("sockets"); !done) {
        in.refuse(tag, done.error().message);
    } else if (sockets.count() > kMaxDescriptors) {
        in.refuse(tag, "says more descriptors than one message can carry");
    }
    return sockets;
}

// A made-up value for a name that was refused: the reader's error stops it from ever being used.
IfName bridge_from(FieldReader& in, std::uint16_t tag) {
    const auto name = IfName::parse(in.text(tag));
    if (!name) {
        in.refuse(tag, "is not the name of an interface");
    }
    return name.value_or(*IfName::parse("none"));
}

Fields fields_of(const LeaseEvent& event) {
    return std::move(Fields().u8(1, static_cast<std::uint8_t>(event.kind)).nested(2, fields_of(event.lease)));
}

LeaseEvent event_from(FieldReader& in) {
    LeaseEvent event;
    const std::uint8_t kind = in.u8(1);
    if (kind < 1 || kind > 4) {
        in.refuse(1, "is no kind of event");
    }
    auto leases = list_from(in, 2, lease_from);
    if (leases.size() != 1) {
        in.refuse(2, "must be there once");
        return event;
    }
    return {static_cast<LeaseEventKind>(kind), std::move(leases.front())};
}

Fields fields_of(const Resolver& resolver) { return std::move(Fields().ip(1, resolver.address).u16(2, resolver.port)); }

Resolver resolver_from(FieldReader& in) {
    Resolver resolver{in.ip(1), in.u16(2)};
    if (in.ok() && (resolver.port == 0 || resolver.address.is_unspecified() || resolver.address.is_multicast())) {
        in.refuse(1, "is not the address and port of a resolver");
    }
    return resolver;
}

void put(Fields& out, std::uint16_t tag, const UpstreamSockets& sockets) {
    Fields counts;
    counts.u16(1, sockets.v4_sockets).u16(2, sockets.v6_sockets);
    counts.u16(3, sockets.v4_streams).u16(4, sockets.v6_streams);
    out.nested(tag, counts);
}

UpstreamSockets upstream_sockets_from(FieldReader& in) { return {in.u16(1), in.u16(2), in.u16(3), in.u16(4)}; }

UpstreamSockets upstream_sockets_from(FieldReader& in, std::uint16_t tag) {
    UpstreamSockets (*const one)(FieldReader&) = upstream_sockets_from;
    const auto all = list_from(in, tag, one);
    if (all.size() != 1 || all.front().count() > kMaxDescriptors) {
        in.refuse(tag, "must be there once, with no more descriptors than one message can carry");
        return {};
    }
    return all.front();
}

Fields fields_of(const Trouble& trouble) { return std::move(Fields().uuid(1, trouble.network).text(2, trouble.what)); }

Trouble trouble_from(FieldReader& in) { return {in.uuid(1), in.text(2)}; }

// Milliseconds of CLOCK_BOOTTIME, which both sides have in common; 0: never.
Fields fields_of(const LearnedAddress& learned) {
    const auto ends = std::chrono::floor<std::chrono::milliseconds>(learned.ends.time_since_epoch()).count();
    return std::move(Fields()
                         .ip(1, learned.address)
                         .u64(2, learned.ends == kEndOfTime ? 0 : static_cast<std::uint64_t>(ends))
                         .flag(3, learned.leased));
}

LearnedAddress learned_from(FieldReader& in) {
    LearnedAddress out{.address = in.ip(1), .ends = kEndOfTime, .leased = in.flag(3)};
    constexpr std::uint64_t kMostMilliseconds = std::uint64_t{1} << 42U;
    const std::uint64_t ends = in.u64(2);
    if (ends > kMostMilliseconds) {
        in.refuse(2, "is too far away");
    } else if (ends != 0) {
        out.ends = Time(std::chrono::milliseconds(ends));
    }
    return out;
}

// ---- messages

Message message_of(const Watch& watch) {
    const WatchedPort& port = watch.port;
    Fields out;
    out.u32(1, port.index).text(2, port.name.str()).mac(3, port.mac);
    out.flag(4, port.any).flag(5, port.v4).flag(6, port.v6);
    for (const LearnedAddress& one : port.known) {
        out.nested(7, fields_of(one));
    }
    return {.type = kWatch, .fields = std::move(out)};
}

Watch watch_from(FieldReader& in) {
    return {{.index = in.u32(1),
             .name = bridge_from(in, 2),
             .mac = in.mac(3),
             .any = in.flag(4),
             .v4 = in.flag(5),
             .v6 = in.flag(6),
             .known = list_from(in, 7, learned_from)}};
}

Message message_of(const Learned& learned) {
    Fields out;
    out.u32(1, learned.port);
    for (const LearnedAddress& one : learned.addresses) {
        out.nested(2, fields_of(one));
    }
    return {.type = kLearned, .fields = std::move(out)};
}

Message message_of(const Network& network, bool with_hosts) {
    const Spec& spec = network.spec;
    Fields out;
    out.uuid(1, spec.uuid).text(2, spec.network).text(3, spec.bridge.str());
    for (const Subnet& subnet : spec.subnets) {
        out.nested(4, fields_of(subnet, with_hosts));
    }
    if (!spec.domain.empty()) {
        out.text(5, spec.domain);
    }
    out.flag(6, spec.domain_local);
    if (spec.mtu) {
        out.u32(7, *spec.mtu);
    }
    out.flag(8, spec.gateway).flag(9, spec.forward_dns).flag(10, spec.serve_dns);
    for (const DnsHost& host : spec.dns_hosts) {
        if (with_hosts) {
            out.nested(11, fields_of(host));
        }
    }
    out.nested(13, fields_of(spec.dns, with_hosts));
    if (!spec.file_root.empty()) {
        out.text(14, spec.file_root);
    }
    put_told(out, spec);
    put(out, 12, network.sockets);
    return {.type = kNetwork, .fields = std::move(out)};
}

Network network_from(FieldReader& in) {
    Network out{.spec = {.uuid = in.uuid(1), .network = in.text(2), .bridge = bridge_from(in, 3)}, .sockets = {}};
    Spec& spec = out.spec;
    spec.subnets = list_from(in, 4, subnet_from);
    spec.domain = dns_name_from(in, 5);
    spec.domain_local = in.flag(6);
    if (in.has(7)) {
        spec.mtu = in.u32(7);
    }
    spec.gateway = in.flag(8);
    spec.forward_dns = in.flag(9);
    spec.serve_dns = in.flag(10);
    spec.dns_hosts = list_from(in, 11, dns_host_from);
    out.sockets = layout_from(in, 12);
    told_from(in, spec);
    for (const auto* const list : {&out.sockets.dns, &out.sockets.dns_tcp, &out.sockets.tftp, &out.sockets.http}) {
        if (std::ranges::any_of(*list, [&](std::uint16_t subnet) { return subnet >= spec.subnets.size(); })) {
            in.refuse(12, "names a subnet that is not there");
        }
    }
    if (auto dns = list_from(in, 13, dns_settings_from); !dns.empty()) {
        spec.dns = std::move(dns.front());
    }
    if (in.has(14)) {
        spec.file_root = in.text(14);
    }
    return out;
}

Message message_of(const NetworkPart& part) {
    Fields out;
    out.uuid(1, part.network).u16(2, part.subnet);
    for (const Reservation& host : part.hosts) {
        out.nested(3, fields_of(host));
    }
    for (const DnsHost& host : part.dns_hosts) {
        out.nested(4, fields_of(host));
    }
    out.nested(5, fields_of(part.dns, true));
    return {.type = kNetworkPart, .fields = std::move(out)};
}

NetworkPart part_from(FieldReader& in) {
    NetworkPart part{in.uuid(1), in.u16(2), list_from(in, 3, reservation_from), list_from(in, 4, dns_host_from)};
    if (auto dns = list_from(in, 5, dns_settings_from); !dns.empty()) {
        part.dns = std::move(dns.front());
    }
    return part;
}

Message message_of(const Upstreams& upstreams) {
    Fields out;
    for (const Resolver& server : upstreams.servers) {
        out.nested(1, fields_of(server));
    }
    put(out, 2, upstreams.sockets);
    for (const std::string& domain : upstreams.search) {
        out.text(3, domain);
    }
    return {.type = kUpstreams, .fields = std::move(out)};
}

Upstreams upstreams_from(FieldReader& in) {
    return {list_from(in, 1, resolver_from), upstream_sockets_from(in, 2), in.texts(3)};
}

Message message_of(const Begin& begin) {
    Fields out;
    out.u64(1, begin.generation);
    if (begin.changes_from) {
        out.u64(2, *begin.changes_from);
    }
    for (const Uuid& uuid : begin.gone) {
        out.uuid(3, uuid);
    }
    return {.type = kBegin, .fields = std::move(out)};
}

Begin begin_from(FieldReader& in) {
    Begin begin{.generation = in.u64(1)};
    if (in.has(2)) {
        begin.changes_from = in.u64(2);
    }
    begin.gone = in.uuids(3);
    return begin;
}

Message message_of(const Guests& guests) {
    Fields out;
    out.uuid(1, guests.network);
    for (const DnsGuest& guest : guests.guests) {
        out.nested(2, fields_of(guest));
    }
    return {.type = kGuests, .fields = std::move(out)};
}

Message message_of(const Hello& hello) {
    return {.type = kHello,
            .fields = std::move(Fields().u32(1, hello.pid).u64(2, hello.generation).flag(3, hello.listening))};
}

Message message_of(const Held& held) {
    Fields out;
    out.uuid(1, held.network).text(2, held.bridge.str());
    put(out, 3, held.sockets);
    return {.type = kHeld, .fields = std::move(out)};
}

Message message_of(const HeldUpstreams& held) {
    Fields out;
    put(out, 1, held.sockets);
    return {.type = kHeldUpstreams, .fields = std::move(out)};
}

Fields fields_of(const NetworkDrops& dropped) {
    Fields out;
    out.uuid(1, dropped.network);
    for (std::size_t i = 0; i < dropped.drops.size(); ++i) {
        out.u64(static_cast<std::uint16_t>(2 + i), dropped.drops[i]);
    }
    return out;
}

// Older services know fewer reasons, newer ones more.
NetworkDrops drops_from(FieldReader& in) {
    NetworkDrops out{in.uuid(1)};
    for (std::size_t i = 0; i < out.drops.size(); ++i) {
        const auto tag = static_cast<std::uint16_t>(2 + i);
        out.drops[i] = in.has(tag) ? in.u64(tag) : 0;
    }
    return out;
}

Message message_of(const Leases& leases) {
    Fields out;
    out.flag(1, leases.reset);
    for (const LeaseEvent& event : leases.events) {
        out.nested(2, fields_of(event));
    }
    for (const NetworkDrops& one : leases.drops) {
        out.nested(3, fields_of(one));
    }
    return {.type = kLeases, .fields = std::move(out)};
}

Message message_of(const Synced& synced) {
    Fields out;
    out.u64(1, synced.generation);
    for (const Trouble& trouble : synced.troubles) {
        out.nested(2, fields_of(trouble));
    }
    out.flag(3, synced.takes_changes).flag(4, synced.wants_all);
    return {.type = kSynced, .fields = std::move(out)};
}

template <class Out, class T>
Result<Out> finished(FieldReader& in, std::string_view what, T value) {
    TRY_OK(in.finish(what));
    return Out(std::move(value));
}

// Cuts a list into NetworkParts that each fit a message.
template <class T>
void append_parts(std::vector<NetworkPart>& parts, const NetworkPart& head, const std::vector<T>& all,
                  const auto& list_of) {
    std::size_t bytes = kPartBytes;
    for (const T& one : all) {
        bytes += fields_of(one).encoded_size() + 6;
        if (bytes > kPartBytes) {
            parts.push_back(head);
            bytes = 0;
        }
        list_of(parts.back()).push_back(one);
    }
}

}  // namespace

Result<Bytes> encode(const ToService& message) {
    return kernel::channel::encode(std::visit(
        Overloaded{
            [](const Begin& m) { return message_of(m); }, [](const Network& m) { return message_of(m, true); },
            [](const NetworkPart& m) { return message_of(m); }, [](const Upstreams& m) { return message_of(m); },
            [](const Guests& m) { return message_of(m); }, [](const Watch& m) { return message_of(m); },
            [](const Listen&) { return Message{.type = kListen, .fields = {}}; },
            [](const Unwatch& m) {
                return Message{.type = kUnwatch, .fields = std::move(Fields().u32(1, m.port).flag(2, m.only_seen))};
            },
            [](const Commit& m) {
                return Message{.type = kCommit, .fields = std::move(Fields().u64(1, m.generation))};
            },
            [](const RevokeLease& m) {
                return Message{.type = kRevokeLease, .fields = std::move(Fields().uuid(1, m.network).mac(2, m.port))};
            }},
        message));
}

Result<Bytes> encode(const ToDaemon& message) {
    return kernel::channel::encode(std::visit([](const auto& m) { return message_of(m); }, message));
}

Result<std::vector<Bytes>> encode_network(const Network& network) {
    std::vector<NetworkPart> parts;
    for (std::size_t i = 0; i < network.spec.subnets.size(); ++i) {
        const NetworkPart head{network.spec.uuid, static_cast<std::uint16_t>(i), {}, {}, {}};
        append_parts(parts, head, network.spec.subnets[i].hosts, [](NetworkPart& p) -> auto& { return p.hosts; });
    }
    const NetworkPart head{network.spec.uuid, 0, {}, {}, {}};
    const DnsSettings& dns = network.spec.dns;
    append_parts(parts, head, network.spec.dns_hosts, [](NetworkPart& p) -> auto& { return p.dns_hosts; });
    append_parts(parts, head, dns.texts, [](NetworkPart& p) -> auto& { return p.dns.texts; });
    append_parts(parts, head, dns.services, [](NetworkPart& p) -> auto& { return p.dns.services; });
    append_parts(parts, head, dns.aliases, [](NetworkPart& p) -> auto& { return p.dns.aliases; });
    append_parts(parts, head, dns.guests, [](NetworkPart& p) -> auto& { return p.dns.guests; });
    std::vector<Bytes> out;
    TRY(out.emplace_back(), kernel::channel::encode(message_of(network, false)));
    for (const NetworkPart& part : parts) {
        TRY(out.emplace_back(), encode(ToService(part)));
    }
    return out;
}

Result<ToService> decode_to_service(ByteView datagram) {
    TRY(const Message message, kernel::channel::decode(datagram));
    FieldReader in(message.fields);
    switch (message.type) {
        case kBegin: return finished<ToService>(in, "Begin", begin_from(in));
        case kNetwork: return finished<ToService>(in, "Network", network_from(in));
        case kNetworkPart: return finished<ToService>(in, "NetworkPart", part_from(in));
        case kUpstreams: return finished<ToService>(in, "Upstreams", upstreams_from(in));
        case kCommit: return finished<ToService>(in, "Commit", Commit{in.u64(1)});
        case kRevokeLease: return finished<ToService>(in, "RevokeLease", RevokeLease{in.uuid(1), in.mac(2)});
        case kGuests: return finished<ToService>(in, "Guests", Guests{in.uuid(1), list_from(in, 2, dns_guest_from)});
        case kListen: return finished<ToService>(in, "Listen", Listen{});
        case kWatch: return finished<ToService>(in, "Watch", watch_from(in));
        case kUnwatch: return finished<ToService>(in, "Unwatch", Unwatch{in.u32(1), in.flag(2)});
        default: return fail(Code::malformed, fmt::format("message type {} is not for the service", message.type));
    }
}

Result<ToDaemon> decode_to_daemon(ByteView datagram) {
    TRY(const Message message, kernel::channel::decode(datagram));
    FieldReader in(message.fields);
    switch (message.type) {
        case kHello: return finished<ToDaemon>(in, "Hello", Hello{in.u32(1), in.u64(2), in.flag_or(3, false)});
        case kHeld: return finished<ToDaemon>(in, "Held", Held{in.uuid(1), bridge_from(in, 2), layout_from(in, 3)});
        case kHeldUpstreams:
            return finished<ToDaemon>(in, "HeldUpstreams", HeldUpstreams{upstream_sockets_from(in, 1)});
        case kLeases:
            return finished<ToDaemon>(in, "Leases",
                                      Leases{in.flag(1), list_from(in, 2, event_from), list_from(in, 3, drops_from)});
        case kLearned: return finished<ToDaemon>(in, "Learned", Learned{in.u32(1), list_from(in, 2, learned_from)});
        case kSynced:
            return finished<ToDaemon>(
                in, "Synced",
                Synced{in.u64(1), list_from(in, 2, trouble_from), in.flag_or(3, false), in.flag_or(4, false)});
        default: return fail(Code::malformed, fmt::format("message type {} is not for the daemon", message.type));
    }
}

std::size_t descriptors(const ToService& message) {
    if (const auto* network = std::get_if<Network>(&message)) {
        return network->sockets.count();
    }
    if (const auto* upstreams = std::get_if<Upstreams>(&message)) {
        return upstreams->sockets.count();
    }
    return std::holds_alternative<Listen>(message) ? 1 : 0;
}

std::size_t descriptors(const ToDaemon& message) {
    if (const auto* held = std::get_if<Held>(&message)) {
        return held->sockets.count();
    }
    if (const auto* upstreams = std::get_if<HeldUpstreams>(&message)) {
        return upstreams->sockets.count();
    }
    return 0;
}

}  // namespace bascule::dhcp::wire
