// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/host_names.h"

#include <algorithm>
#include <iterator>
#include <sstream>

#include <fmt/format.h>

#include "base/log.h"
#include "kernel/linux/facts.h"
#include "kernel/linux/files.h"

namespace bascule::daemon {

namespace os = kernel::os;

namespace {

constexpr std::string_view kResolvConf = "/etc/resolv.conf";
constexpr std::string_view kResolvedConf = "/run/systemd/resolve/resolv.conf";
// Where the peer's libnss-libvirt looks; the path is compiled in there.
constexpr std::string_view kStatusFolder = "/var/lib/libvirt/dnsmasq";
// How often a network's files are written at most: a thousand guests that boot are not a thousand writes.
constexpr std::chrono::milliseconds kPause{500};

bool is_resolveds_own(const Ip& address) {
    return address == Ip::v4(0x7f000035) || address == Ip::v4(0x7f000036);  // 127.0.0.53, .54
}

// The reverse zones that hold exactly the subnet: one, or several where its prefix ends within an octet or nibble. None
// for one that would need a multitude.
std::vector<std::string> reverse_domains(const IpInterface& server) {
    constexpr unsigned kMost = 16;
    const bool v4 = server.address.is_v4();
    const unsigned step = v4 ? 8 : 4;
    const Prefix prefix = server.prefix();
    const unsigned labels = (prefix.length + step - 1) / step;
    const unsigned zones = 1U << (labels * step - prefix.length);
    std::vector<std::string> out;
    for (unsigned zone = 0; labels > 0 && zones <= kMost && zone < zones; ++zone) {
        std::string text;
        for (unsigned i = labels; i-- > 0;) {
            const std::uint8_t octet = prefix.network.octets()[i * step / 8];
            const unsigned label = (v4 ? octet : i % 2 == 0 ? octet >> 4U : octet & 15U) + (i + 1 == labels ? zone : 0);
            text += v4 ? fmt::format("{}.", label) : fmt::format("{:x}.", label);
        }
        out.push_back(text + (v4 ? "in-addr.arpa" : "ip6.arpa"));
    }
    return out;
}

// As a JSON string (RFC 8259 section 7).
std::string quoted(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            out += {'\\', c};
        } else if (static_cast<unsigned char>(c) < ' ') {
            out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
        } else {
            out += c;
        }
    }
    return out + '"';
}

// An array with each item on lines of its own, as the peer writes it.
std::string listed(const std::vector<std::string>& items, std::string_view indent) {
    return items.empty() ? "[]"
                         : fmt::format("[\n{}{}\n{}]", indent, fmt::join(items, fmt::format(",\n{}", indent)),
                                       indent.substr(std::min<std::size_t>(2, indent.size())));
}

}  // namespace

HostResolvers resolvers_of(std::string_view resolv_conf, std::string_view resolved_conf,
                           const std::multiset<Ip>& ours) {
    HostResolvers out;
    const auto upstreams = os::name_servers(resolved_conf);
    const bool circle =
        !upstreams.empty() && std::ranges::all_of(upstreams, [&](const Ip& ip) { return ours.contains(ip); });
    for (const Ip& server : os::name_servers(resolv_conf)) {
        const bool known = std::ranges::find(out.servers, server) != out.servers.end();
        if (!known && !ours.contains(server) && !(circle && is_resolveds_own(server))) {
            out.servers.push_back(server);
        }
    }
    std::istringstream lines{std::string(resolv_conf)};
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string keyword;
        if (words >> keyword && (keyword == "search" || keyword == "domain")) {
            out.search.clear();  // the last such line counts (resolv.conf(5))
            for (std::string domain; words >> domain;) {
                if (is_dns_name(domain)) {
                    out.search.push_back(domain);
                }
            }
        }
    }
    return out;
}

std::vector<std::string> host_domains(const dhcp::Spec& spec) {
    std::vector<std::string> out;
    if (!spec.serve_dns) {
        return out;
    }
    if (!spec.domain.empty()) {
        out.push_back(spec.domain);
    }
    for (const dhcp::Subnet& subnet : spec.subnets) {
        for (const std::string& reverse : reverse_domains(subnet.server)) {
            if (!subnet.relayed && std::ranges::find(out, reverse) == out.end()) {
                out.push_back(reverse);
            }
        }
    }
    return out;
}

// Written whole however long it is, so into one text.
std::string status_file(const std::vector<dhcp::Lease>& leases) {
    std::string out = "[";
    const auto to = std::back_inserter(out);
    for (const dhcp::Lease& lease : leases) {
        fmt::format_to(to, "{}\n  {{\n    \"ip-address\": \"{}\",\n    \"mac-address\": \"{}\",\n",
                       out.size() == 1 ? "" : ",", format(lease.address), format(lease.port));
        if (!lease.hostname.empty()) {
            fmt::format_to(to, "    \"hostname\": {},\n", quoted(lease.hostname));
        }
        if (!lease.client_id.empty()) {
            fmt::format_to(to, "    \"client-id\": \"{:02x}\",\n", fmt::join(lease.client_id, ":"));
        }
        // 0: for ever, as the peer's files have it.
        const auto expires = lease.expires == dhcp::kNever ? 0 : lease.expires.time_since_epoch().count();
        fmt::format_to(to, "    \"expiry-time\": {}\n  }}", expires);
    }
    return out + (leases.empty() ? "]\n" : "\n]\n");
}

std::string macs_file(const std::vector<dhcp::DnsGuest>& guests) {
    std::map<std::string, std::vector<std::string>> by_name;
    for (const dhcp::DnsGuest& guest : guests) {
        by_name[guest.name].push_back(quoted(format(guest.mac)));
    }
    std::vector<std::string> all;
    for (const auto& [name, macs] : by_name) {
        all.push_back(
            fmt::format("{{\n    \"domain\": {},\n    \"macs\": {}\n  }}", quoted(name), listed(macs, "      ")));
    }
    return listed(all, "  ") + "\n";
}

HostNames::HostNames(Host& host, Resolvers resolvers, Leases leases)
    : host_(host), resolvers_(std::move(resolvers)), leases_(std::move(leases)) {}

// ---- from the host

void HostNames::follow() {
    if (!std::exchange(following_, true)) {
        resolved_ = os::make_resolved(host_.loop, [](const std::string& why) { log::warning("{}", why); });
        resolved_->on_start([this] {
            for (const auto& [uuid, known] : networks_) {
                tell_resolved(known.spec);
            }
        });
        for (const auto& [uuid, known] : networks_) {
            tell_resolved(known.spec);
        }
        std::vector<std::string> watched{"/etc", std::string(kResolvConf), "/run/systemd/resolve"};
        if (const std::string real = os::real_path(std::string(kResolvConf)); real.contains('/')) {
            watched.push_back(real.substr(0, real.rfind('/')));
        }
        if (auto changes = os::watch_files(watched)) {
            changes_ = *std::move(changes);
            watch_ = host_.loop.watch(changes_.get(), true, false, [this](kernel::Ready) {
                os::drain(changes_.get());
                read();
            });
        } else {
            log::warning("{}", changes.error().message);
        }
    }
    read();
}

void HostNames::read() {
    HostResolvers now =
        resolvers_of(os::read_text(std::string(kResolvConf)), os::read_text(std::string(kResolvedConf)), ours_);
    if (now != last_ || !std::exchange(told_, true)) {
        last_ = std::move(now);
        resolvers_(last_);
    }
}

// ---- to the host

void HostNames::keep_from_host(const Uuid& network, bool kept) {
    if (kept) {
        kept_.insert(network);
    } else {
        kept_.erase(network);
    }
}

void HostNames::add_servers(const dhcp::Spec& spec) {
    for (const dhcp::Subnet& subnet : spec.subnets) {
        ours_.insert(subnet.server.address);
    }
}

void HostNames::remove_servers(const dhcp::Spec& spec) {
    for (const dhcp::Subnet& subnet : spec.subnets) {
        ours_.extract(subnet.server.address);  // one of them: another network may have the same
    }
}

void HostNames::network_up(const dhcp::Spec& spec) {
    const bool kept = kept_.contains(spec.uuid);
    const auto [at, fresh] = networks_.try_emplace(spec.uuid, Known{spec, kept, nullptr, {}});
    if (!fresh) {
        remove_servers(at->second.spec);
    }
    add_servers(spec);
    dhcp::Spec& known = at->second.spec;
    const bool was_kept = std::exchange(at->second.kept, kept);
    const bool other =
        fresh || known.bridge != spec.bridge || host_domains(known) != host_domains(spec) || was_kept != kept;
    known = spec;
    if (!following_) {
        return;
    }
    if (other) {
        tell_resolved(spec);
        read();
    }
    leases_changed(spec.uuid);
}

void HostNames::network_down(const Uuid& network) {
    const auto found = networks_.find(network);
    if (found == networks_.end()) {
        return;
    }
    // resolved forgets the link when it goes; the files would say that its guests are still there.
    const std::string bridge = found->second.spec.bridge.str();
    remove_servers(found->second.spec);
    networks_.erase(found);
    kept_.erase(network);
    for (const char* const kind : {"status", "macs"}) {
        if (auto removed = host_.files.remove(fmt::format("{}/{}.{}", kStatusFolder, bridge, kind)); !removed) {
            log::warning("{}", removed.error().message);
        }
    }
    if (following_) {
        read();
    }
}

void HostNames::tell_resolved(const dhcp::Spec& spec) {
    const auto domains = host_domains(spec);
    if (!resolved_ || domains.empty()) {
        return;
    }
    if (kept_.contains(spec.uuid)) {  // what it may know of the link is taken back
        resolved_->set_link(spec.bridge, {}, {});
        return;
    }
    std::vector<Ip> servers;
    for (const dhcp::Subnet& subnet : spec.subnets) {
        if (!subnet.relayed) {
            servers.push_back(subnet.server.address);
        }
    }
    resolved_->set_link(spec.bridge, servers, domains);
}

void HostNames::leases_changed(const Uuid& network) {
    const auto found = networks_.find(network);
    if (found == networks_.end() || found->second.later || !following_) {
        return;
    }
    found->second.later = host_.loop.at(std::max(found->second.next, host_.loop.clock().now()), [this, network] {
        if (const auto known = networks_.find(network); known != networks_.end()) {
            known->second.later.reset();
            write_files(known->second);
        }
    });
}

void HostNames::write_files(Known& known) {
    constexpr unsigned kMode = 0644;
    const kernel::Time before = host_.loop.clock().now();
    const std::string path = fmt::format("{}/{}", kStatusFolder, known.spec.bridge.str());
    const auto write = [&](std::string_view kind, const std::string& text) {
        if (auto written = host_.files.write(fmt::format("{}.{}", path, kind), text, kMode); !written) {
            log::warning("names for the host's NSS module: {}", written.error().message);
        }
    };
    write("status", status_file(leases_(known.spec.uuid)));
    write("macs", macs_file(known.spec.dns.guests));
    // However long the list and slow the disk: a fiftieth of the time at most, which is seconds for 50,000 leases.
    const kernel::Time after = host_.loop.clock().now();
    known.next = after + std::max<kernel::Time::duration>(kPause, (after - before) * 49);
}

}  // namespace bascule::daemon
