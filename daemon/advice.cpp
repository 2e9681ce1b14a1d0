// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/advice.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "base/log.h"
#include "kernel/linux/facts.h"
#include "kernel/linux/foreign_rules.h"
#include "kernel/linux/sysctl.h"
#include "kernel/linux/uplinks.h"
#include "network/compile.h"
#include "network/subnets.h"

namespace bascule::daemon {

namespace os = kernel::os;

namespace {

constexpr std::chrono::milliseconds kSoon{500};
// Each network asks the same questions of the same chains; after some of them the answers repeat.
constexpr std::size_t kMostNetworks = 64;

struct Question {
    os::ProbePacket packet;
    std::string what;  // "what guests of network default send to the outside"
};

std::optional<nat::Spec> rules_of(const Network& network) {
    return network.live && network.live->has_own_bridge() ? std::optional(network::rules_of(*network.live))
                                                          : std::nullopt;
}

// Whether the LAN's router may need a route to it: not to what is behind an address of this host's.
bool is_routed_to(const network::Spec& spec) {
    return spec.mode == network::Mode::route ||
           (spec.mode == network::Mode::nat && !spec.nat_ipv6 && spec.has_family(IpFamily::v6));
}

std::string way_out(const nat::Spec& rules, const std::vector<os::WayOut>& ways, IpFamily family) {
    if (rules.device) {
        return rules.device->str();
    }
    const auto way = std::ranges::find(ways, family, &os::WayOut::family);
    return way == ways.end() ? std::string() : way->device.str();
}

void ask_about(const std::string& name, const nat::Spec& rules, const std::vector<os::WayOut>& ways, bool bridged,
               std::vector<Question>& out) {
    const std::string bridge = rules.bridge.str();
    for (const Prefix& subnet : rules.subnets) {
        const Ip guest = subnet.network.plus(subnet.length + 1 < subnet.network.bits() ? 2 : 0);
        const std::string beyond = way_out(rules, ways, guest.family());
        const os::ProbePacket sent{.hook = "forward",
                                   .iif = bridge,
                                   .oif = beyond,
                                   .source = guest,
                                   .destination = {},
                                   .destination_known = false};
        os::ProbePacket back{.hook = "forward",
                             .iif = beyond,
                             .oif = bridge,
                             .source = guest.is_v4() ? Ip() : Ip::v6(std::array<std::uint8_t, 16>{}),
                             .destination = guest,
                             .source_known = false,
                             .established = true};
        if (rules.mode == nat::Mode::nat || rules.mode == nat::Mode::route) {
            out.push_back({sent, fmt::format("what guests of network {} send to the outside", name)});
            out.push_back({back, fmt::format("what the outside answers guests of network {}", name)});
        }
        if (rules.mode == nat::Mode::route) {
            back.established = false;
            out.push_back({back, fmt::format("what the outside sends guests of network {}", name)});
        }
        if (bridged) {
            os::ProbePacket sibling = sent;
            sibling.oif = bridge;
            out.push_back({sibling, fmt::format("what guests of network {} send each other (br_netfilter shows bridged "
                                                "frames to IP's firewall)",
                                                name)});
        }
    }
    for (const Ip& gateway : rules.gateways) {
        const auto to_host = [&](std::uint16_t port) {
            return os::ProbePacket{.hook = "input",
                                   .iif = bridge,
                                   .oif = "",
                                   .source = gateway.plus(1),
                                   .destination = gateway,
                                   .protocol = 17,
                                   .port = port};
        };
        if (rules.host.dhcp4 && gateway.is_v4()) {
            out.push_back({to_host(67), fmt::format("DHCP of network {}", name)});
        }
        if (rules.host.dns) {
            out.push_back({to_host(53), fmt::format("DNS of network {}", name)});
        }
    }
}

std::string in_words(const Question& question, const os::ForeignDrop& drop) {
    std::string out = fmt::format("table {} {}, chain {} drops {}: {}", drop.family, drop.table, drop.chain,
                                  question.what, os::rule_text(drop));
    if (drop.unread > 0) {
        out += fmt::format(" (unless one of {} rules before it, which Bascule cannot read, accepts)", drop.unread);
    }
    const os::ProbePacket& p = question.packet;
    const bool to_guest = p.hook == "forward" && !p.source_known;
    return out + fmt::format("; to let it pass: nft insert rule {} {} {} {} \"{}\" accept", drop.family, drop.table,
                             drop.chain, to_guest ? "oifname" : "iifname", to_guest ? p.oif : p.iif);
}

}  // namespace

bool Advice::others_forward() {
    const auto rules = os::ForeignRules::read();
    return rules && rules->forwards();
}

void Advice::soon() {
    if (!timer_) {
        timer_ = host_.loop.at(host_.loop.clock().now() + kSoon, [this] {
            timer_.reset();
            look();
        });
    }
}

void Advice::routes(const std::set<kernel::NewRoute>& routes) {
    const auto meets = [&](const kernel::NewRoute& route) {
        return route.destination.length > 1 && !host_routes_.is_ours(route.device) &&
               networks_.meets(route.destination);
    };
    if (std::ranges::any_of(routes, meets)) {
        soon();
    }
}

void Advice::look() {
    std::vector<std::string> lines;
    look_at_firewalls(lines);
    look_at_routes(lines);
    for (const std::string& line : lines) {
        if (!said_.contains(line)) {
            log::warning("{}", line);
        }
    }
    look_at_uplinks(lines);
    for (const std::string& line : lines) {
        if (!said_.contains(line)) {
            log::info("{}", line);
        }
    }
    said_ = std::set<std::string>(lines.begin(), lines.end());
    told_(lines);
}

void Advice::look_at_firewalls(std::vector<std::string>& out) const {
    const auto foreign = os::ForeignRules::read();
    if (!foreign) {
        log::debug("other programs' rules: {}", foreign.error().message);
        return;
    }
    if (foreign->empty()) {
        return;
    }
    const auto ways = os::ways_out().value_or(std::vector<os::WayOut>{});
    const auto shown = os::read_sysctl("net/bridge/bridge-nf-call-iptables");
    std::vector<Question> questions;
    std::size_t count = 0;
    for (const Network* const network : networks_.all()) {
        if (const auto rules = count < kMostNetworks ? rules_of(*network) : std::nullopt) {
            ++count;
            ask_about(network->live->name.str(), *rules, ways, shown && *shown == "1", questions);
        }
    }
    for (const Question& question : questions) {
        for (const os::ForeignDrop& drop : foreign->drops(question.packet)) {
            out.push_back(in_words(question, drop));
        }
    }
}

void Advice::look_at_routes(std::vector<std::string>& out) {
    const auto routes = host_routes_.others();
    if (!routes) {
        return;
    }
    std::set<std::string> now;
    const auto free_subnet = [&](IpFamily family) {
        std::vector<Prefix> taken;
        std::ranges::transform(*routes, std::back_inserter(taken), &os::RouteTo::destination);
        for (const Network* const network : networks_.all()) {
            std::ranges::transform(network->shown().addresses, std::back_inserter(taken),
                                   [](const auto& ip) { return ip.address.prefix(); });
        }
        return network::free_subnet(family, taken);
    };
    std::vector<os::RouteTo> others;  // a handful, however many networks there are
    std::ranges::copy_if(*routes, std::back_inserter(others),
                         [](const os::RouteTo& route) { return route.destination.length > 1; });
    for (const Network* const network : networks_.all()) {
        if (!network->live || !network->live->has_own_bridge()) {
            continue;
        }
        for (const auto& ip : network->live->addresses) {
            const Prefix subnet = ip.address.prefix();
            for (const os::RouteTo& route : others) {
                if (!route.destination.overlaps(subnet)) {
                    continue;
                }
                const auto free = free_subnet(subnet.network.family());
                const std::string text = fmt::format(
                    "network {}: its subnet {} overlaps the host's route to {} by {}: some addresses are reached "
                    "there, others here{}",
                    network->live->name.str(), format(subnet), format(route.destination),
                    route.device.empty() ? "an unnamed device" : route.device,
                    free ? fmt::format("; {} is free: give the network {} instead (virsh net-edit {})", format(*free),
                                       format(IpInterface{free->network.plus(1), free->length}),
                                       network->live->name.str())
                         : "");
                now.insert(text);
                out.push_back(text);
                if (!overlaps_.contains(text)) {
                    overlap_(*network->live, text);
                }
            }
        }
    }
    overlaps_ = std::move(now);
}

void Advice::look_at_uplinks(std::vector<std::string>& out) const {
    std::optional<std::vector<os::WayOut>> ways;
    for (const Network* const network : networks_.all()) {
        if (!network->live || !is_routed_to(*network->live)) {
            continue;
        }
        const auto rules = rules_of(*network);
        for (const Prefix& subnet : rules->subnets) {
            const bool v4 = subnet.network.is_v4();
            if ((rules->mode == nat::Mode::nat && v4) || subnet.length == subnet.network.bits()) {
                continue;
            }
            ways = ways ? ways : os::ways_out().value_or(std::vector<os::WayOut>{});
            const auto device = IfName::parse(way_out(*rules, *ways, subnet.network.family()));
            const auto own =
                device ? os::addresses_of(*device).value_or(std::vector<IpInterface>{}) : std::vector<IpInterface>{};
            const auto via = std::ranges::find(own, v4, [](const IpInterface& a) { return a.address.is_v4(); });
            out.push_back(fmt::format(
                "network {} is routed: the LAN's router needs a route to it: ip {}route add {} via {}",
                network->live->name.str(), v4 ? "" : "-6 ", format(subnet),
                via != own.end()
                    ? fmt::format("{} (this host's address on {})", bascule::format(via->address), device->str())
                    : "this host's address there"));
        }
    }
}

}  // namespace bascule::daemon
