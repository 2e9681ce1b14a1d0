// SPDX-License-Identifier: GPL-2.0-or-later
#include "nat/compile.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <set>
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace bascule::nat {

namespace {

using kernel::Chain;
using kernel::Element;
using kernel::Hook;
using kernel::Table;

constexpr std::string_view kFrom = "net_from";
constexpr std::string_view kTo = "net_to";
constexpr std::string_view kHost = "net_host";
constexpr std::string_view kMasquerade = "net_masq";
constexpr std::string_view kBridges = "net_bridges";
constexpr std::string_view kAdmits = "net_admits";
constexpr std::string_view kSelf = "net_self";

// nft's priorities "filter" and "srcnat".
constexpr int kPriorityFilter = 0;
constexpr int kPrioritySourceNat = 100;

// What `nft` makes of a bare "reject" in an inet table: ICMP or ICMPv6 port unreachable, by the packet.
constexpr std::string_view kReject = "reject";

constexpr std::array kFamilies{IpFamily::v4, IpFamily::v6};
constexpr std::array<std::uint8_t, 16> kAllOnes = [] {
    std::array<std::uint8_t, 16> out{};
    out.fill(0xff);
    return out;
}();

std::string gate_set(IpFamily family) { return family == IpFamily::v4 ? "net_gate4" : "net_gate6"; }

std::string_view family_word(IpFamily family) { return family == IpFamily::v4 ? "ip" : "ip6"; }

// A network's own subnets are in sets by their length, without intervals: the kernel walks a set of intervals whole for
// each element that goes (net/netfilter/nft_set_pipapo.c, nft_pipapo_remove).
struct SubnetSize {
    IpFamily family = IpFamily::v4;
    unsigned length = 0;
    auto operator<=>(const SubnetSize&) const = default;
};

SubnetSize size_of(const Prefix& subnet) { return {.family = subnet.network.family(), .length = subnet.length}; }

std::set<SubnetSize> sizes_of(const Spec& spec) {
    std::set<SubnetSize> out;
    std::ranges::transform(spec.subnets, std::inserter(out, out.end()), size_of);
    return out;
}

std::string own_set(const SubnetSize& size) {
    return fmt::format("net_own{}_{}", size.family == IpFamily::v4 ? '4' : '6', size.length);
}

// That a packet's interface ("iifname") and address ("saddr") are of one network: it is in the set of that size.
std::string owns(std::string_view interface, std::string_view address, const SubnetSize& size) {
    const Ip all_ones = size.family == IpFamily::v4 ? Ip::v4(0xffffffff) : Ip::v6(kAllOnes);
    const bool whole = size.length == all_ones.bits();
    return fmt::format("{} . {} {}{} @{} ", interface, family_word(size.family), address,
                       whole ? "" : fmt::format(" & {}", format(Prefix::of(all_ones, size.length).network)),
                       own_set(size));
}

std::string_view mode_word(Mode mode) {
    switch (mode) {
        case Mode::isolated: return "isolated";
        case Mode::nat: return "nat";
        case Mode::route: return "route";
        case Mode::open: return "open";
    }
    return {};
}

bool has(const Spec& spec, IpFamily family) {
    return std::ranges::any_of(spec.subnets, [&](const Prefix& subnet) { return subnet.network.family() == family; });
}

bool is_translated(const Spec& spec, IpFamily family) {
    return spec.mode == Mode::nat && (family == IpFamily::v4 || spec.nat66);
}

std::string ports_text(const PortRange& ports) {
    return ports.first == ports.last ? std::to_string(ports.first) : fmt::format("{}-{}", ports.first, ports.last);
}

// Between two networks of ours. The same for all of them.
Chain cross_chain() {
    return {.hook = std::nullopt,
            .rules = {fmt::format("iifname . oifname @{} return", kAdmits), "ct state established,related return",
                      std::string(kReject)}};
}

// What the guests send: out of the network it goes only from its own addresses and by its own device.
Chain from_chain(const Spec& spec, std::string_view cross) {
    Chain chain;
    chain.rules.push_back(fmt::format("iifname . oifname @{} accept", kSelf));
    chain.rules.push_back(fmt::format("oifname @{} jump {}", kBridges, cross));
    const std::string by = spec.device ? fmt::format("oifname \"{}\" ", spec.device->str()) : "";
    for (const SubnetSize& size : sizes_of(spec)) {
        const std::string own = owns("iifname", "saddr", size) + "return";
        if (spec.mode == Mode::isolated || spec.device) {
            chain.rules.push_back(fmt::format("oifname @{} {}", kBridges, own));
        }
        if (spec.mode != Mode::isolated) {
            chain.rules.push_back(by + own);
        }
    }
    chain.rules.emplace_back(kReject);
    return chain;
}

// What the guests are sent, but by each other: that has been accepted where it came from.
Chain to_chain(const Spec& spec, std::string_view cross) {
    Chain chain;
    chain.rules.push_back(fmt::format("iifname @{} jump {}", kBridges, cross));
    const std::string by = spec.device ? fmt::format("iifname \"{}\" ", spec.device->str()) : "";
    for (const SubnetSize& size : sizes_of(spec)) {
        const std::string own = owns("oifname", "daddr", size);
        chain.rules.push_back(fmt::format("iifname @{} {}accept", kBridges, own));
        if (spec.mode != Mode::isolated) {
            const bool answers_only = is_translated(spec, size.family);
            chain.rules.push_back(
                fmt::format("{}{}{}accept", by, own, answers_only ? "ct state established,related " : ""));
        }
    }
    chain.rules.emplace_back(kReject);
    return chain;
}

// What the guests say to the host itself. Redirects are not among what is let in: a guest must not route the host.
Chain host_chain(const Spec& spec) {
    Chain chain;
    auto& rules = chain.rules;
    rules.emplace_back("icmp type redirect drop");
    rules.emplace_back("icmpv6 type nd-redirect drop");
    rules.emplace_back("ct state established,related accept");
    rules.emplace_back("icmp type echo-request accept");
    rules.emplace_back("ip protocol igmp accept");
    rules.emplace_back(
        "icmpv6 type { echo-request, mld-listener-query, mld-listener-report, mld-listener-done, mld2-listener-report, "
        "nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } accept");
    if (spec.host.dhcp4) {
        rules.emplace_back("meta nfproto ipv4 udp dport 67 accept");
    }
    if (spec.host.dhcp6) {
        rules.emplace_back("meta nfproto ipv6 udp dport 547 accept");
    }
    for (const IpFamily family : kFamilies) {
        const std::string at = fmt::format("iifname . {} daddr @{} ", family_word(family), gate_set(family));
        if (spec.host.dns) {
            rules.push_back(at + "meta l4proto { tcp, udp } th dport 53 accept");
        }
        if (spec.host.tftp) {
            rules.push_back(at + "udp dport 69 accept");  // transfers go on as answers to it
            rules.push_back(at + "tcp dport 80 accept");  // the same files by HTTP
        }
    }
    for (const HostService& service : spec.host.more) {
        rules.push_back(fmt::format("{} dport {} accept", service.protocol, ports_text(service.ports)));
    }
    rules.emplace_back(kReject);
    return chain;
}

// Local multicast and broadcast keep their source: whoever answers must answer the guest.
Chain masquerade_chain(const Spec& spec) {
    Chain chain;
    for (const SubnetSize& size : sizes_of(spec)) {
        const IpFamily family = size.family;
        if (!is_translated(spec, family)) {
            continue;
        }
        const std::string_view word = family_word(family);
        const std::string from = owns("iifname", "saddr", size);
        const bool to_range = spec.source && spec.source->first.family() == family;
        const std::string range = !to_range                                 ? ""
                                  : spec.source->first == spec.source->last ? format(spec.source->first)
                                                                            : format(*spec.source);
        const std::string target = to_range ? fmt::format("snat {} to {}", word, range) : "masquerade";
        chain.rules.push_back(from + (family == IpFamily::v4 ? "ip daddr { 224.0.0.0/24, 255.255.255.255 } return"
                                                             : "ip6 daddr ff00::/8 return"));
        chain.rules.push_back(fmt::format("{}meta l4proto {{ tcp, udp }} {}{}:{}", from, target, to_range ? "" : " to ",
                                          ports_text(spec.ports)));
        chain.rules.push_back(from + target);
    }
    return chain;
}

std::string key_with_address(IpFamily family) {
    return family == IpFamily::v4 ? "ifname . ipv4_addr" : "ifname . ipv6_addr";
}

void add_element(Table& table, std::string_view set, std::string key, std::string data) {
    table.elements[std::string(set)].emplace(std::move(key), Element{.data = std::move(data), .expires = std::nullopt});
}

void add_verdict(Table& table, std::string_view map, const Spec& spec, std::string_view stem, Chain chain) {
    add_element(table, map, spec.bridge.str(), "jump " + table.add_chain(stem, std::move(chain)));
}

// What the chains of its class know of this network.
void add_addresses(Table& table, const Spec& spec) {
    const std::string bridge = spec.bridge.str();
    add_element(table, kSelf, fmt::format("{} . {}", bridge, bridge), "");
    for (const Prefix& subnet : spec.subnets) {
        const std::string set = own_set(size_of(subnet));
        table.sets.emplace(set, kernel::SetDef{.key = key_with_address(subnet.network.family()), .data = ""});
        add_element(table, set, fmt::format("{} . {}", bridge, format(subnet.network)), "");
    }
    if (spec.host.all || (!spec.host.dns && !spec.host.tftp)) {
        return;
    }
    for (const Ip& gateway : spec.gateways) {
        add_element(table, gate_set(gateway.family()), fmt::format("{} . {}", bridge, format(gateway)), "");
    }
}

// The same for every network, whatever its mode, so that the tables of all networks agree. Says what the chain
// between networks is called.
std::string add_base(Table& table) {
    for (const std::string_view map : {kFrom, kTo, kHost, kMasquerade}) {
        table.sets.emplace(map, kernel::SetDef{.key = "ifname", .data = "verdict"});
    }
    table.sets.emplace(kBridges, kernel::SetDef{.key = "ifname", .data = ""});
    for (const std::string_view pairs : {kAdmits, kSelf}) {
        table.sets.emplace(pairs, kernel::SetDef{.key = "ifname . ifname", .data = ""});
    }
    for (const IpFamily family : kFamilies) {
        table.sets.emplace(gate_set(family), kernel::SetDef{.key = key_with_address(family), .data = ""});
    }
    const auto add_hook = [&table](const char* name, const char* type, int priority, std::vector<std::string> rules) {
        table.add_chain(name, Chain{.hook = Hook{.type = type, .hook = name, .priority = priority, .device = ""},
                                    .rules = std::move(rules)});
    };
    add_hook("forward", "filter", kPriorityFilter,
             {fmt::format("iifname vmap @{}", kFrom), fmt::format("oifname vmap @{}", kTo)});
    add_hook("input", "filter", kPriorityFilter, {fmt::format("iifname vmap @{}", kHost)});
    add_hook("postrouting", "nat", kPrioritySourceNat,
             {fmt::format("oifname @{} return", kBridges), fmt::format("iifname vmap @{}", kMasquerade)});
    return table.add_chain("net_cross", cross_chain());
}

// Forwarding for the two devices that are concerned where they are known. IPv6 knows it for the host only
// (net/ipv6/ip6_output.c, ip6_forward looks at conf/all).
void add_forwarding(const Spec& spec, kernel::State& state) {
    if (spec.mode == Mode::isolated && spec.admits.empty()) {
        return;
    }
    if (has(spec, IpFamily::v4)) {
        if (spec.device && spec.admits.empty()) {
            state.sysctls[kernel::sysctl_key("ipv4", spec.bridge, "forwarding")] = "1";
            state.sysctls[kernel::sysctl_key("ipv4", *spec.device, "forwarding")] = "1";
        } else {
            state.sysctls["net/ipv4/ip_forward"] = "1";
        }
    }
    if (has(spec, IpFamily::v6)) {
        state.sysctls["net/ipv6/conf/all/forwarding"] = "1";
    }
}

// ---- what a change takes away -------------------------------------------------------------------

// Whether the mode lets guests' packets of that family leave, and answers come back.
bool goes_out(const Spec& spec) { return spec.mode != Mode::isolated; }

bool has_subnet(const Spec& spec, const Prefix& subnet) {
    return std::ranges::find(spec.subnets, subnet) != spec.subnets.end();
}

// Whether what `before` made of a flow to the outside is no longer what `after` makes of it.
bool outside_changed(const Spec& before, const Spec& after, IpFamily family) {
    const bool same_way = !after.device || after.device == before.device;
    const bool same_address = is_translated(before, family) == is_translated(after, family) &&
                              (!is_translated(before, family) || before.source == after.source);
    return goes_out(before) && (!goes_out(after) || !same_way || !same_address);
}

void revoke_admissions(const Spec& before, const Spec& after, std::vector<kernel::FlowFilter>& out) {
    for (const Admitted& other : before.admits) {
        const auto kept = std::ranges::find(after.admits, other.bridge, &Admitted::bridge);
        for (const Prefix& theirs : other.subnets) {
            if (kept != after.admits.end() && std::ranges::find(kept->subnets, theirs) != kept->subnets.end()) {
                continue;
            }
            for (const Prefix& subnet : before.subnets) {
                if (subnet.network.family() == theirs.network.family()) {
                    out.push_back({.end = subnet, .other = theirs});
                }
            }
        }
    }
}

std::uint8_t protocol_number(std::string_view protocol) { return protocol == "tcp" ? 6 : 17; }

void revoke_services(const Spec& before, const Spec& after, std::vector<kernel::FlowFilter>& out) {
    if (after.host.all || after.mode == Mode::open) {
        return;
    }
    for (const Prefix& subnet : before.subnets) {
        if (before.host.all || before.mode == Mode::open) {
            for (const Ip& gateway : before.gateways) {
                if (gateway.family() == subnet.network.family()) {
                    out.push_back({.end = subnet, .other = Prefix::of(gateway, gateway.bits())});
                }
            }
        }
        for (const HostService& service : before.host.more) {
            if (std::ranges::find(after.host.more, service) == after.host.more.end()) {
                out.push_back({.end = subnet, .protocol = protocol_number(service.protocol), .service = service.ports});
            }
        }
    }
}

}  // namespace

kernel::State compile(const Spec& spec) {
    kernel::State state;
    Table& table = state.rules[kernel::Family::inet];
    const std::string cross = add_base(table);
    add_element(table, kBridges, spec.bridge.str(), "");
    for (const Admitted& other : spec.admits) {
        add_element(table, kAdmits, fmt::format("{} . {}", other.bridge.str(), spec.bridge.str()), "");
    }
    if (spec.mode != Mode::open) {
        add_addresses(table, spec);
        add_verdict(table, kFrom, spec, fmt::format("from_{}", mode_word(spec.mode)), from_chain(spec, cross));
        add_verdict(table, kTo, spec, fmt::format("to_{}", mode_word(spec.mode)), to_chain(spec, cross));
        if (!spec.host.all) {
            add_verdict(table, kHost, spec, "host", host_chain(spec));
        }
    }
    if (Chain masquerade = masquerade_chain(spec); !masquerade.rules.empty()) {
        add_verdict(table, kMasquerade, spec, "masq", std::move(masquerade));
    }
    add_forwarding(spec, state);
    return state;
}

std::vector<kernel::FlowFilter> revoked(const Spec& before, const Spec* after) {
    std::vector<kernel::FlowFilter> out;
    for (const Prefix& subnet : before.subnets) {
        if (after == nullptr || !has_subnet(*after, subnet) ||
            outside_changed(before, *after, subnet.network.family())) {
            out.push_back({.end = subnet, .other_outside = true});
        }
    }
    if (after != nullptr) {
        revoke_admissions(before, *after, out);
        revoke_services(before, *after, out);
    }
    return out;
}

}  // namespace bascule::nat
