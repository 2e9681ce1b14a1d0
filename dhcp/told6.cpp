// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/told6.h"

#include <algorithm>

#include <fmt/format.h>

namespace bascule::dhcp {

namespace {

constexpr std::uint32_t kRefresh = 3600;  // seconds until a stateless client asks again

void put_ip(ByteWriter& out, const Ip& ip) { out.bytes(std::as_bytes(std::span(ip.octets()))); }

Bytes ips(const std::vector<Ip>& addresses) {
    ByteWriter out;
    for (const Ip& ip : addresses) {
        if (ip.is_v6()) {
            put_ip(out, ip);
        }
    }
    return out.take();
}

// RFC 5908: each server as a suboption 1.
Bytes time_servers(const std::vector<Ip>& addresses) {
    ByteWriter out;
    for (const Ip& ip : addresses) {
        if (ip.is_v6()) {
            out.u16(1);
            out.u16(16);
            put_ip(out, ip);
        }
    }
    return out.take();
}

// RFC 5970 takes URLs only.
std::string boot_url(const Boot& boot, const ClientFacts& facts, const Ip& us) {
    if (boot.file.empty() || boot.file.contains("://")) {
        return boot.file;
    }
    const Ip server = boot.server && boot.server->is_v6() ? *boot.server : us;
    return fmt::format("{}://[{}]{}{}", facts.http ? "http" : "tftp", format(server),
                       boot.file.starts_with('/') ? "" : "/", boot.file);
}

}  // namespace

std::string wanted_hostname6(const Message6& message) {
    ByteReader in(message.bytes(Opt6::fqdn));
    in.skip(1);
    const ByteView label = in.take(in.u8());
    if (!in.ok()) {
        return {};
    }
    Options as_if;
    as_if.put(Opt::hostname, label);
    return wanted_hostname(as_if);
}

ClientFacts facts_of(const Message6& message) {
    ClientFacts facts;
    for (ByteReader in(message.bytes(Opt6::client_arch)); in.left() >= 2;) {
        facts.archs.push_back(in.u16());
    }
    ByteReader classes(message.bytes(Opt6::user_class));
    while (classes.left() > 2) {
        facts.user_classes.emplace_back(as_text(classes.take(classes.u16())));
    }
    ByteReader vendor(message.bytes(Opt6::vendor_class));
    vendor.skip(4);
    facts.vendor_class = std::string(as_text(vendor.take(vendor.u16())));
    facts.ipxe = std::ranges::find(facts.user_classes, "iPXE") != facts.user_classes.end();
    facts.http = facts.vendor_class.starts_with("HTTPClient");
    return facts;
}

void tell6(const Spec& spec, const Ip& us, const Message6& request, Message6& reply) {
    const ClientFacts facts = facts_of(request);
    const auto replaced = [&](Opt6 code) {
        return std::ranges::any_of(spec.options6, [&](const ExtraOption& extra) {
            return extra.code == static_cast<std::uint16_t>(code) && matches(extra.when, facts);
        });
    };
    const auto put = [&](Opt6 code, Bytes value) {
        if (!value.empty() && request.wants(code) && !replaced(code)) {
            reply.others.push_back({code, std::move(value)});
        }
    };
    if (reply.type == Type6::advertise) {
        reply.others.push_back({Opt6::preference, {std::byte{255}}});  // no other server to wait for
    }
    const bool others = std::ranges::any_of(spec.dns_servers, &Ip::is_v6);
    put(Opt6::dns, others ? ips(spec.dns_servers) : spec.serve_dns ? ips({us}) : Bytes());
    const std::vector<std::string> domain = spec.domain.empty() ? std::vector<std::string>() : std::vector{spec.domain};
    put(Opt6::search, encode_names(spec.search.empty() ? domain : spec.search, 1000));
    put(Opt6::ntp, time_servers(spec.ntp_servers));
    const ByteView portal = as_bytes(spec.captive_portal);
    put(Opt6::captive_portal, Bytes(portal.begin(), portal.end()));
    if (const Boot* const boot = boot_for(spec, facts)) {
        const std::string url = boot_url(*boot, facts, us);
        const ByteView bytes = as_bytes(url);
        put(Opt6::boot_url, Bytes(bytes.begin(), bytes.end()));
        if (facts.http) {
            const ByteView asked = request.bytes(Opt6::vendor_class);
            reply.others.push_back({Opt6::vendor_class, Bytes(asked.begin(), asked.end())});
        }
    }
    if (request.type == Type6::information_request) {
        ByteWriter refresh;
        refresh.u32(kRefresh);
        put(Opt6::refresh, refresh.take());
    }
    for (const ExtraOption& extra : spec.options6) {
        const auto code = static_cast<Opt6>(extra.code);
        if (matches(extra.when, facts) && (extra.force || request.wants(code)) && !extra.value.empty()) {
            const ByteView bytes = std::as_bytes(std::span(extra.value));
            reply.others.push_back({code, Bytes(bytes.begin(), bytes.end())});
        }
    }
}

}  // namespace bascule::dhcp
