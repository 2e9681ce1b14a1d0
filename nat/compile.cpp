// SPDX-License-Identifier: GPL-2.0-or-later
#include "nat/compile.h"

#include <algorithm>
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
constexpr std::string_view kMasquerade = "net_masq";
constexpr std::string_view kBridges = "net_bridges";

// nft's priorities "filter" and "srcnat".
constexpr int kPriorityFilter = 0;
constexpr int kPrioritySourceNat = 100;

// What `nft` makes of a bare "reject" in an inet table: ICMP or ICMPv6 port unreachable, by the packet.
constexpr std::string_view kReject = "reject";

std::string_view family_word(const Prefix& subnet) { return subnet.network.is_v4() ? "ip" : "ip6"; }

// The network's name for its chains, so that a listing can be read: a device name may hold bytes that an
// identifier of nft may not.
std::string stem(std::string_view what, const IfName& bridge) {
    std::string out = fmt::format("{}_{}", what, bridge.str());
    std::ranges::replace_if(
        out, [](char c) { return !((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z')); }, '_');
    return out;
}

bool has(const Spec& spec, IpFamily family) {
    return std::ranges::any_of(spec.subnets, [&](const Prefix& subnet) { return subnet.network.family() == family; });
}

// What the guests send: out of the network it goes only from its own addresses and by its own device.
Chain from_chain(const Spec& spec) {
    Chain chain;
    chain.rules.push_back(fmt::format("oifname \"{}\" accept", spec.bridge.str()));
    if (spec.mode != Mode::isolated) {
        const std::string by = spec.device ? fmt::format("oifname \"{}\" ", spec.device->str()) : "";
        for (const Prefix& subnet : spec.subnets) {
            chain.rules.push_back(fmt::format("{}{} saddr {} return", by, family_word(subnet), format(subnet)));
        }
    }
    chain.rules.emplace_back(kReject);
    return chain;
}

// What the guests are sent.
Chain to_chain(const Spec& spec) {
    Chain chain;
    chain.rules.push_back(fmt::format("iifname \"{}\" accept", spec.bridge.str()));
    if (spec.mode != Mode::isolated) {
        const std::string by = spec.device ? fmt::format("iifname \"{}\" ", spec.device->str()) : "";
        for (const Prefix& subnet : spec.subnets) {
            const bool answers_only = spec.mode == Mode::nat && subnet.network.is_v4();
            chain.rules.push_back(fmt::format("{}{} daddr {} {}accept", by, family_word(subnet), format(subnet),
                                              answers_only ? "ct state established,related " : ""));
        }
    }
    chain.rules.emplace_back(kReject);
    return chain;
}

// Local multicast and broadcast keep their source: whoever answers must answer the guest.
Chain masquerade_chain(const Spec& spec) {
    const std::string ports = spec.ports.first == spec.ports.last
                                  ? std::to_string(spec.ports.first)
                                  : fmt::format("{}-{}", spec.ports.first, spec.ports.last);
    Chain chain;
    for (const Prefix& subnet : spec.subnets) {
        if (subnet.network.is_v6()) {
            continue;
        }
        const std::string from = fmt::format("ip saddr {}", format(subnet));
        chain.rules.push_back(from + " ip daddr { 224.0.0.0/24, 255.255.255.255 } return");
        chain.rules.push_back(fmt::format("{} meta l4proto {{ tcp, udp }} masquerade to :{}", from, ports));
        chain.rules.push_back(from + " masquerade");
    }
    return chain;
}

void add_element(Table& table, std::string_view set, const IfName& key, std::string data) {
    table.elements[std::string(set)].emplace(key.str(), Element{.data = std::move(data), .expires = std::nullopt});
}

void add_verdict(Table& table, std::string_view map, const Spec& spec, std::string_view what, Chain chain) {
    add_element(table, map, spec.bridge, "jump " + table.add_chain(stem(what, spec.bridge), std::move(chain)));
}

// The same for every network, whatever its mode, so that the tables of all networks agree.
void add_base(Table& table) {
    for (const std::string_view map : {kFrom, kTo, kMasquerade}) {
        table.sets.emplace(map, kernel::SetDef{.key = "ifname", .data = "verdict"});
    }
    table.sets.emplace(kBridges, kernel::SetDef{.key = "ifname", .data = ""});
    table.add_chain("forward",
                    Chain{.hook = Hook{.type = "filter", .hook = "forward", .priority = kPriorityFilter, .device = ""},
                          .rules = {fmt::format("iifname vmap @{}", kFrom), fmt::format("oifname vmap @{}", kTo)}});
    table.add_chain(
        "postrouting",
        Chain{.hook = Hook{.type = "nat", .hook = "postrouting", .priority = kPrioritySourceNat, .device = ""},
              .rules = {fmt::format("oifname @{} return", kBridges), fmt::format("iifname vmap @{}", kMasquerade)}});
}

}  // namespace

kernel::State compile(const Spec& spec) {
    kernel::State state;
    Table& table = state.rules[kernel::Family::inet];
    add_base(table);
    add_element(table, kBridges, spec.bridge, "");
    add_verdict(table, kFrom, spec, "from", from_chain(spec));
    add_verdict(table, kTo, spec, "to", to_chain(spec));
    if (spec.mode == Mode::nat && has(spec, IpFamily::v4)) {
        add_verdict(table, kMasquerade, spec, "masq", masquerade_chain(spec));
    }
    if (spec.mode != Mode::isolated) {
        if (has(spec, IpFamily::v4)) {
            state.sysctls["net/ipv4/ip_forward"] = "1";
        }
        if (has(spec, IpFamily::v6)) {
            state.sysctls["net/ipv6/conf/all/forwarding"] = "1";
        }
    }
    return state;
}

}  // namespace bascule::nat
