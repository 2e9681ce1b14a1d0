// SPDX-License-Identifier: GPL-2.0-or-later
#include "nwfilter/learning.h"

#include <algorithm>

#include <fmt/format.h>

namespace bascule::nwfilter {

namespace {

// In front of the filters (render.cpp) for what comes from a guest, behind them for what goes to it.
constexpr int kBefore = -160, kBehind = -140;
// The peer's: 10 packets a second, and 50 at once.
constexpr std::string_view kRate = "limit rate 10/second burst 50 packets",
                           kTell = "limit rate 1/minute burst 1 packets";

// One direction of one port.
struct Side {
    bool from = true;  // from the guest

    std::string name(std::string_view what) const { return fmt::format("nwf_{}_{}", what, from ? "from" : "to"); }
    std::string_view device() const { return from ? "iifname" : "oifname"; }
};

// The chain that copies what it is entered with, as far as the port's rate goes.
std::string add_copy(kernel::Table& table, const Side& side) {
    const std::string rate = side.name("copied"), over = side.name("not_copied"), tell = side.name("told");
    table.sets[rate] = {.key = "ifname", .data = {}, .statement = std::string(kRate)};
    table.sets[over] = {.key = "ifname", .data = {}, .statement = "counter"};
    table.sets[tell] = {.key = "ifname", .data = {}, .statement = std::string(kTell)};
    kernel::Chain chain;
    chain.rules = {
        fmt::format("{} @{} log group {} snaplen 1500 queue-threshold 1 return", side.device(), rate, kCopyGroup),
        fmt::format("{} @{}", side.device(), over),
        fmt::format("{} @{} log prefix \"{}\" group {} snaplen 64 queue-threshold 1", side.device(), tell, kTooMany,
                    kCopyGroup)};
    return table.add_chain(side.name("copy"), std::move(chain));
}

std::string add_side(kernel::Table& table, const Side& side, kernel::Chain chain) {
    const std::string map = side.name("learn");
    std::string name = table.add_chain(map, std::move(chain));
    table.sets[map] = {"ifname", "verdict"};
    table.add_chain(
        "nwf_copies",
        {kernel::Hook{"filter", side.from ? "prerouting" : "postrouting", side.from ? kBefore : kBehind, {}, "accept"},
         {fmt::format("{} vmap @{}", side.device(), map)}});
    return name;
}

std::string server_set(IpFamily family) { return family == IpFamily::v4 ? "nwf_dhcp_servers" : "nwf_dhcp6_servers"; }

}  // namespace

Result<std::optional<Learning>> learning_of(const Parameters& parameters) {
    Learning out{.any = true};
    if (const auto found = parameters.find("CTRL_IP_LEARNING"); found != parameters.end()) {
        const std::string how = found->second.size() == 1 ? found->second.front() : std::string();
        if (how != "any" && how != "dhcp" && how != "none") {
            return fail(Code::invalid_argument,
                        fmt::format("parameter CTRL_IP_LEARNING: expected 'any', 'dhcp' or 'none', got '{}'",
                                    found->second.empty() ? how : found->second.front()));
        }
        if (how == "none") {
            return std::optional<Learning>();
        }
        out.any = how == "any";
    }
    for (const char* const name : {"DHCPSERVER", "DHCPSERVERV6"}) {
        const auto found = parameters.find(name);
        for (const std::string& text : found == parameters.end() ? std::vector<std::string>{} : found->second) {
            const auto address = parse_ip(text);
            if (!address) {
                return fail(Code::invalid_argument,
                            fmt::format("parameter {}: expected a server's address, got '{}'", name, text));
            }
            out.servers.push_back(*address);
        }
    }
    return std::optional(std::move(out));
}

Copies copies(const Learning& learning) {
    Copies copies;
    kernel::Table& table = copies.table;
    const Side from{true}, to{false};
    const std::string copy_from = "goto " + add_copy(table, from), copy_to = "goto " + add_copy(table, to);
    table.sets["nwf_learn_mac"] = {"ifname . ether_addr", {}};

    // Whose replies count.
    const auto believed = [&](IpFamily family) -> std::string {
        const std::string set = server_set(family);
        const bool four = family == IpFamily::v4;
        if (std::ranges::find(learning.servers, family, &Ip::family) == learning.servers.end()) {
            return {};
        }
        table.sets[set] = {four ? "ifname . ipv4_addr" : "ifname . ipv6_addr", {}};
        return fmt::format("oifname . {} saddr @{} ", four ? "ip" : "ip6", set);
    };
    kernel::Chain out{{}, {"iifname . ether saddr != @nwf_learn_mac return"}}, in;
    if (learning.v4) {
        out.rules.push_back("ether type ip udp sport 68 udp dport 67 " + copy_from);
        in.rules.push_back("ether type ip udp sport 67 udp dport 68 " + believed(IpFamily::v4) + copy_to);
    }
    if (learning.v4 && learning.any) {
        table.sets["nwf_unlearned"] = {"ifname", {}};
        out.rules.push_back("iifname @nwf_unlearned ether type { ip, arp } " + copy_from);
    }
    if (learning.v6) {
        out.rules.push_back("ether type ip6 udp sport 546 udp dport 547 " + copy_from);
        in.rules.push_back("ether type ip6 udp sport 547 udp dport 546 oifname . ether daddr @nwf_learn_mac " +
                           believed(IpFamily::v6) + copy_to);
    }
    if (learning.v6 && learning.any) {
        out.rules.push_back("ether type ip6 icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } " + copy_from);
        in.rules.push_back("ether type ip6 icmpv6 type nd-router-advert " + copy_to);
    }
    copies.from = add_side(table, from, std::move(out));
    copies.to = add_side(table, to, std::move(in));
    return copies;
}

kernel::Ruleset copied(const Copies& copies, const Learning& learning, const IfName& port, const MacAddr& mac) {
    kernel::Table table;
    auto& elements = table.elements;
    for (const Side side : {Side{true}, Side{false}}) {
        for (const std::string_view set : {"copied", "not_copied", "told"}) {
            elements[side.name(set)][port.str()] = {};
        }
        elements[side.name("learn")][port.str()] = {"jump " + (side.from ? copies.from : copies.to), std::nullopt};
    }
    elements["nwf_learn_mac"][fmt::format("{} . {}", port.str(), format(mac))] = {};
    for (const Ip& server : learning.servers) {
        if (const std::string set = server_set(server.family()); copies.table.sets.contains(set)) {
            elements[set][fmt::format("{} . {}", port.str(), format(server))] = {};
        }
    }
    return {{kernel::Family::bridge, std::move(table)}};
}

kernel::Ruleset first_frame(const Learning& learning, const IfName& port) {
    if (!learning.any || !learning.v4) {
        return {};
    }
    kernel::Table table;
    table.sets["nwf_unlearned"] = {"ifname", {}};
    table.elements["nwf_unlearned"][port.str()] = {};
    return {{kernel::Family::bridge, std::move(table)}};
}

}  // namespace bascule::nwfilter
