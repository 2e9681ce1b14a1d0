// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/told.h"

#include <algorithm>

#include <fmt/format.h>

namespace bascule::dhcp {

namespace {

constexpr std::string_view kHttpClient = "HTTPClient", kIpxe = "iPXE";

// RFC 3004 puts a length before each class; iPXE and most others send one bare text.
std::vector<std::string> classes_of(ByteView value) {
    std::vector<std::string> out;
    ByteReader in(value);
    while (in.left() > 0 && in.ok()) {
        out.emplace_back(as_text(in.take(in.u8())));
    }
    return in.ok() ? out : std::vector{std::string(as_text(value))};
}

bool is_url(std::string_view file) { return file.starts_with("http://") || file.starts_with("https://"); }

// The options of one reply: what the client asked for, and what was written down instead of our own.
class Telling {
public:
    Telling(const Spec& spec, const Message& request, const ClientFacts& facts, Options& out)
        : list_(request.options.bytes(Opt::parameters)), out_(out) {
        for (const ExtraOption& extra : spec.options) {
            const auto same = [&](const ExtraOption* other) { return other->code == extra.code; };
            if (matches(extra.when, facts) && std::ranges::none_of(extras_, same)) {
                extras_.push_back(&extra);
            }
        }
    }

    bool asked(Opt code) const { return std::ranges::find(list_, static_cast<std::byte>(code)) != list_.end(); }
    // A client that says nothing of what it wants gets the basic ones.
    bool wanted(Opt code) const { return list_.empty() || asked(code); }
    bool replaced(Opt code) const {
        return std::ranges::any_of(extras_,
                                   [&](const ExtraOption* e) { return e->code == static_cast<std::uint8_t>(code); });
    }
    void basic(Opt code, ByteView value) {
        if (wanted(code) && !replaced(code) && !value.empty()) {
            out_.put(code, value);
        }
    }
    void special(Opt code, ByteView value) {
        if (asked(code)) {
            basic(code, value);
        }
    }
    void basic_ips(Opt code, const std::vector<Ip>& servers) {
        ByteWriter out;
        for (const Ip& server : servers) {
            if (server.is_v4()) {
                out.u32(server.v4_value());
            }
        }
        basic(code, out.view());
    }
    // An empty value stands for "do not send it".
    void extras() {
        for (const ExtraOption* const extra : extras_) {
            const auto code = static_cast<Opt>(extra->code);
            if ((extra->force || wanted(code)) && !extra->value.empty()) {
                out_.put(code, std::as_bytes(std::span(extra->value)));
            }
        }
    }

private:
    ByteView list_;
    Options& out_;
    std::vector<const ExtraOption*> extras_;
};

void tell_boot(const Spec& spec, const ClientFacts& facts, const Ip& us, const Telling& telling, Message& reply) {
    const Boot* const boot = boot_for(spec, facts);
    if (boot == nullptr) {
        return;
    }
    reply.siaddr = boot->server && boot->server->is_v4() ? *boot->server : us;
    const std::string file = boot_file(*boot, facts, reply.siaddr);
    const bool fits = file.size() < kFile && boot->server_name.size() < kSname;
    if (fits) {
        reply.file = file;
        reply.sname = boot->server_name;
    }
    const std::string server = boot->server_name.empty() ? format(reply.siaddr) : boot->server_name;
    if (!telling.replaced(Opt::boot_file) && (telling.asked(Opt::boot_file) || !fits || facts.http)) {
        reply.options.put_text(Opt::boot_file, file);
    }
    if (!telling.replaced(Opt::tftp_server) && telling.asked(Opt::tftp_server)) {
        reply.options.put_text(Opt::tftp_server, server);
    }
    if (facts.http && !telling.replaced(Opt::vendor_class)) {
        reply.options.put_text(Opt::vendor_class, kHttpClient);  // UEFI takes no answer without it
    }
}

Bytes u16(std::uint32_t value) {
    ByteWriter out;
    out.u16(static_cast<std::uint16_t>(std::min(value, 65535U)));
    return out.take();
}

Bytes u32(std::uint32_t value) {
    ByteWriter out;
    out.u32(value);
    return out.take();
}

// RFC 3442: who takes 121 ignores the router option, so the default route is among them, unless there is none.
std::vector<Route> routes_for(const Spec& spec, const Ip& router) {
    std::vector<Route> out;
    for (const Route& route : spec.routes) {
        if (route.to.network.is_v4()) {
            out.push_back(route);
        }
    }
    const auto is_default = [](const Route& route) { return route.to.length == 0; };
    if (!out.empty() && spec.gateway && std::ranges::none_of(out, is_default)) {
        out.push_back({Prefix{}, router});
    }
    return out;
}

}  // namespace

ClientFacts facts_of(const Options& options) {
    ClientFacts facts;
    ByteReader archs(options.bytes(Opt::client_arch));
    while (archs.left() >= 2) {
        facts.archs.push_back(archs.u16());
    }
    facts.vendor_class = options.text(Opt::vendor_class);
    if (facts.vendor_class.empty()) {  // RFC 3925: an enterprise, and its classes each with a length
        ByteReader identifying(options.bytes(Opt::vendor_identifying_class));
        identifying.skip(5);
        facts.vendor_class = as_text(identifying.take(identifying.u8()));
    }
    facts.user_classes = classes_of(options.bytes(Opt::user_class));
    facts.ipxe = options.has(Opt::ipxe) || std::ranges::find(facts.user_classes, kIpxe) != facts.user_classes.end();
    facts.http = facts.vendor_class.starts_with(kHttpClient);
    return facts;
}

bool matches(const ClientMatch& match, const ClientFacts& facts) {
    const auto has_arch = [&](std::uint16_t arch) { return std::ranges::find(match.archs, arch) != match.archs.end(); };
    return (match.archs.empty() || std::ranges::any_of(facts.archs, has_arch)) &&
           (!match.ipxe || *match.ipxe == facts.ipxe) && facts.vendor_class.starts_with(match.vendor_class) &&
           (match.user_class.empty() ||
            std::ranges::find(facts.user_classes, match.user_class) != facts.user_classes.end());
}

const Boot* boot_for(const Spec& spec, const ClientFacts& facts) {
    const auto found = std::ranges::find_if(spec.boot, [&](const Boot& boot) { return matches(boot.when, facts); });
    return found == spec.boot.end() ? nullptr : &*found;
}

std::string boot_file(const Boot& boot, const ClientFacts& facts, const Ip& server) {
    if (!facts.http || boot.file.empty() || is_url(boot.file)) {
        return boot.file;
    }
    return fmt::format("http://{}{}{}", format(server), boot.file.starts_with('/') ? "" : "/", boot.file);
}

Bytes encode_routes(const std::vector<Route>& routes) {
    ByteWriter out;
    for (const Route& route : routes) {
        const auto octets = std::as_bytes(std::span(route.to.network.octets()));
        out.u8(static_cast<std::uint8_t>(route.to.length));
        out.bytes(octets.first((std::min(route.to.length, 32U) + 7) / 8));
        out.u32(route.gateway.v4_value());
    }
    return out.take();
}

Bytes encode_names(const std::vector<std::string>& names, std::size_t most) {
    ByteWriter out;
    for (const std::string& name : names) {
        if (out.size() + name.size() + 2 > most) {
            break;
        }
        std::string_view rest = name;
        while (!rest.empty()) {
            const std::string_view label = rest.substr(0, std::min<std::size_t>(rest.find('.'), 63));
            out.u8(static_cast<std::uint8_t>(label.size()));
            out.text(label);
            rest.remove_prefix(std::min(label.size() + 1, rest.size()));
        }
        out.u8(0);
    }
    return out.take();
}

void tell(const Spec& spec, const Subnet& subnet, const Ip& us, const Message& request, std::string_view name,
          Message& reply) {
    const ClientFacts facts = facts_of(request.options);
    Options& out = reply.options;
    Telling telling(spec, request, facts, out);
    const Prefix prefix = subnet.server.prefix();
    // Netmask before router is the RFC's (RFC 2132 section 3.3).
    out.put_ip(Opt::subnet_mask, netmask(prefix.length));
    const bool routed = spec.gateway || subnet.relayed;
    telling.basic_ips(Opt::router, routed ? std::vector{subnet.server.address} : std::vector<Ip>());
    const std::vector<Ip> ourselves = spec.serve_dns ? std::vector{us} : std::vector<Ip>();
    const bool others = std::ranges::any_of(spec.dns_servers, &Ip::is_v4);
    telling.basic_ips(Opt::dns, others ? spec.dns_servers : ourselves);
    if (request.options.has(Opt::client_id)) {  // RFC 6842
        out.put(Opt::client_id, request.options.bytes(Opt::client_id));
    }
    const Bytes routes = encode_routes(routes_for(spec, subnet.server.address));
    telling.special(Opt::routes, routes);
    tell_boot(spec, facts, us, telling, reply);
    if (spec.mtu) {
        telling.basic(Opt::mtu, u16(*spec.mtu));
    }
    if (prefix.length < 31) {
        telling.basic_ips(Opt::broadcast, {prefix.last()});
    }
    telling.basic(Opt::hostname, as_bytes(name));
    telling.basic(Opt::domain, as_bytes(spec.domain));
    if (spec.v6_only) {
        telling.special(Opt::v6_only, u32(*spec.v6_only));
    }
    telling.basic_ips(Opt::ntp, spec.ntp_servers);
    telling.special(Opt::search, encode_names(spec.search));
    telling.special(Opt::captive_portal, as_bytes(spec.captive_portal));
    telling.special(Opt::routes_microsoft, routes);
    telling.extras();
}

}  // namespace bascule::dhcp
