// SPDX-License-Identifier: GPL-2.0-or-later
// What the tests of dhcp/ share: a network, clients' messages, DNS queries.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/net.h"
#include "dhcp/dns_message.h"
#include "dhcp/message.h"
#include "dhcp/server.h"

namespace bascule::dhcp::test {

using namespace bascule::literals;

inline const Uuid kUuid = *Uuid::parse("5b4b42b8-7f0a-4f0e-8f5d-2a7b8e0d1c11");
inline const MacAddr kMac1 = "52:54:00:00:00:01"_mac, kMac2 = "52:54:00:00:00:02"_mac, kMac3 = "52:54:00:00:00:03"_mac;
inline const MacAddr kReserved = "52:54:00:00:00:99"_mac;
inline const Ip kServer = "192.168.122.1"_ip, kReservedIp = "192.168.122.9"_ip;

// 192.168.122.1/24, dynamic .10 to .13 (four addresses), a reservation of .9 for kReserved called "db", one of .8 for
// who calls itself "byname".
inline Spec small_network() {
    Spec spec{.uuid = kUuid, .network = "default", .bridge = *IfName::parse("virbr0")};
    Subnet subnet{.server = {kServer, 24}};
    subnet.ranges = {{"192.168.122.10"_ip, "192.168.122.13"_ip}};
    subnet.hosts = {{kReserved, "db", kReservedIp}, {std::nullopt, "byname", "192.168.122.8"_ip}};
    spec.subnets = {subnet};
    spec.domain = "example.test";
    spec.dns_hosts = {{"192.168.122.1"_ip, {"host.example.test", "www"}}};
    return spec;
}

inline Now at(std::int64_t seconds) {
    return {Time(std::chrono::seconds(1000 + seconds)),
            std::chrono::sys_seconds(std::chrono::seconds(1'700'000'000 + seconds))};
}

inline Message from_client(MessageType type, const MacAddr& mac) {
    Message m;
    m.type = type;
    m.xid = 0x01020304;
    m.chaddr = mac;
    return m;
}

inline Message discover(const MacAddr& mac) { return from_client(MessageType::discover, mac); }

inline Message selecting(const MacAddr& mac, const Ip& address, const Ip& server = kServer) {
    Message m = from_client(MessageType::request, mac);
    m.options.put_ip(Opt::server_id, server);
    m.options.put_ip(Opt::requested_ip, address);
    return m;
}

inline Message init_reboot(const MacAddr& mac, const Ip& address) {
    Message m = from_client(MessageType::request, mac);
    m.options.put_ip(Opt::requested_ip, address);
    return m;
}

inline Message renewing(const MacAddr& mac, const Ip& address) {
    Message m = from_client(MessageType::request, mac);
    m.ciaddr = address;
    return m;
}

inline Message release(const MacAddr& mac, const Ip& address) {
    Message m = from_client(MessageType::release, mac);
    m.ciaddr = address;
    m.options.put_ip(Opt::server_id, kServer);
    return m;
}

inline Message decline(const MacAddr& mac, const Ip& address) {
    Message m = from_client(MessageType::decline, mac);
    m.options.put_ip(Opt::requested_ip, address);
    m.options.put_ip(Opt::server_id, kServer);
    return m;
}

inline Message named(Message m, std::string_view hostname) {
    m.options.put_text(Opt::hostname, hostname);
    return m;
}

// DISCOVER and REQUEST; the address bound, or none.
inline std::optional<Ip> lease(Server& server, const MacAddr& mac, const Now& now, std::string_view hostname = {}) {
    const auto name = [&](Message m) { return hostname.empty() ? m : named(m, hostname); };
    const Outcome offer = server.handle(name(discover(mac)), false, now);
    if (!offer.reply) {
        return std::nullopt;
    }
    const Outcome ack = server.handle(name(selecting(mac, offer.reply->yiaddr, offer.from)), false, now);
    return ack.reply && ack.reply->type == MessageType::ack ? std::optional(ack.reply->yiaddr) : std::nullopt;
}

inline Bytes bytes(std::initializer_list<int> octets) {
    Bytes out;
    for (const int octet : octets) {
        out.push_back(static_cast<std::byte>(octet));
    }
    return out;
}

// A query as a resolver sends it: RD set, EDNS when edns_size is not 0.
inline Bytes dns_query(std::string_view name, std::uint16_t type, std::uint16_t id = 0x1234,
                       std::uint16_t edns_size = 0) {
    ByteWriter out;
    out.u16(id);
    out.u16(0x0100);
    out.u16(1);
    out.u32(0);
    out.u16(edns_size == 0 ? 0 : 1);
    while (!name.empty()) {
        const std::string_view label = name.substr(0, name.find('.'));
        out.u8(static_cast<std::uint8_t>(label.size()));
        out.text(label);
        name.remove_prefix(std::min(label.size() + 1, name.size()));
    }
    out.u8(0);
    out.u16(type);
    out.u16(kClassIn);
    if (edns_size != 0) {
        out.u8(0);
        out.u16(kTypeOpt);
        out.u16(edns_size);
        out.u32(0x8000);  // DO
        out.u16(0);
    }
    return out.take();
}

}  // namespace bascule::dhcp::test
