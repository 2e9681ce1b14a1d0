// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/linux_kernel.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "kernel/linux/bridge_port.h"
#include "kernel/linux/netlink.h"
#include "kernel/linux/nft.h"
#include "kernel/linux/rtnl.h"
#include "kernel/linux/shaping.h"
#include "kernel/linux/sysctl.h"
#include "kernel/linux/tap.h"

namespace bascule::kernel::os {

namespace {

class LinuxKernel : public Kernel {
public:
    LinuxKernel(Netlink netlink, std::unique_ptr<Nft> nft) : netlink_(std::move(netlink)), nft_(std::move(nft)) {}

    Result<State> observe(const Scope& scope) override;
    Result<void> apply(const Op& op) override {
        return std::visit([this](const auto& one) { return this->apply_one(one); }, op);
    }

private:
    using Seen = std::map<int, LinkSeen>;  // by index

    Result<std::optional<LinkSeen>> find(const NlMsg& query, std::string_view what);
    Result<std::optional<LinkSeen>> find(const IfName& name);
    Result<LinkSeen> need(const IfName& name, std::string_view why);

    Result<Seen> observe_links(const Scope& scope, State& out);
    Result<Seen> named_links(const Scope& scope);
    Result<void> name_masters(const Seen& seen, State& out);
    Result<void> observe_shapings(const Scope& scope, const Seen& seen, State& out);
    Result<void> observe_addresses(const Scope& scope, const Seen& seen, State& out);
    Result<void> observe_routes(const Scope& scope, const Seen& seen, State& out);

    Result<void> apply_one(const PutLink& op);
    Result<void> apply_one(const LinkUp& op);
    Result<void> apply_one(const DropLink& op);
    Result<void> apply_one(const PutShaping& op);
    Result<void> apply_one(const DropShaping& op);
    Result<void> apply_one(const PutAddress& op);
    Result<void> apply_one(const DropAddress& op);
    Result<void> apply_one(const PutRoute& op);
    Result<void> apply_one(const DropRoute& op);
    Result<void> apply_one(const SetSysctl& op) { return write_sysctl(op.key, op.value); }
    Result<void> apply_one(const RuleBatch& op);

    Result<void> make_bridge(const PutLink& op);
    Result<void> make_tap(const PutLink& op);
    Result<void> make_vlan(const PutLink& op);
    Result<void> make_bond(const PutLink& op);
    Result<void> make(const PutLink& op, const NlMsg& request, std::string_view module);
    Result<void> adjust(const LinkSeen& seen, const PutLink& op);
    Result<std::optional<int>> new_master(const LinkSeen& seen, const PutLink& op);

    Netlink netlink_;
    std::unique_ptr<Nft> nft_;
};

std::string words(const IfName& name) { return "link " + name.str(); }

// A bridge that a former daemon made and could not sign before it was killed.
bool is_unfinished_bridge(const LinkSeen& seen, const Link& wanted) {
    return seen.kind == "bridge" && seen.alias.empty() && !seen.facts.up && seen.master == 0 && wanted.mac &&
           seen.facts.mac == wanted.mac;
}

std::unexpected<Error> not_ours(const LinkSeen& seen, const PutLink& op) {
    const std::string is = seen.ours()         ? fmt::format("a {} of Bascule's", name_of(seen.facts.kind))
                           : seen.kind.empty() ? std::string("a network device")
                                               : fmt::format("a link of kind {}", seen.kind);
    return fail(Code::conflict,
                fmt::format("{}: wanted as a {}, but there already is {} of that name, which Bascule did not make for "
                            "this; remove it (ip link delete {}) or choose another name",
                            words(op.name), name_of(op.link.kind), is, op.name.str()));
}

}  // namespace

Result<std::optional<LinkSeen>> LinuxKernel::find(const NlMsg& query, std::string_view what) {
    TRY(const Answer answer, netlink_.talk(query));
    if (answer.failed_with(ENODEV)) {
        return std::optional<LinkSeen>();
    }
    TRY_OK(check(answer, what));
    for (const NlMsg& reply : answer.objects) {
        if (auto seen = parse_link(reply)) {
            return seen;
        }
    }
    return fail(Code::malformed, fmt::format("{}: the kernel's answer does not describe it", what));
}

Result<std::optional<LinkSeen>> LinuxKernel::find(const IfName& name) { return find(link_query(name), words(name)); }

Result<LinkSeen> LinuxKernel::need(const IfName& name, std::string_view why) {
    TRY(std::optional<LinkSeen> seen, find(name));
    if (!seen) {
        return std::unexpected(
            Error{Code::system, fmt::format("{}: there is no such link; it {}", words(name), why), ENODEV});
    }
    return *std::move(seen);
}

Result<State> LinuxKernel::observe(const Scope& scope) {
    State out;
    TRY(const Seen seen, observe_links(scope, out));
    TRY_OK(observe_shapings(scope, seen, out));
    TRY_OK(observe_addresses(scope, seen, out));
    TRY_OK(observe_routes(scope, seen, out));
    for (const std::string& key : scope.sysctls) {
        TRY(std::optional<std::string> value, read_sysctl(key));
        if (value) {
            out.sysctls.emplace(key, *std::move(value));
        }
    }
    if (scope.everything || !scope.rules.empty()) {
        TRY(out.rules, nft_->observe(scope));
    }
    return out;
}

// All questions in one system call; those about links that are not there are answered with ENODEV.
Result<LinuxKernel::Seen> LinuxKernel::named_links(const Scope& scope) {
    std::vector<NlMsg> queries;
    queries.reserve(scope.links.size());
    for (const IfName& name : scope.links) {
        queries.push_back(link_query(name));
    }
    TRY(const std::vector<Answer> answers, netlink_.talk(queries));
    Seen out;
    for (auto name = scope.links.begin(); const Answer& answer : answers) {
        if (!answer.failed_with(ENODEV)) {
            TRY_OK(check(answer, words(*name)));
        }
        for (const NlMsg& reply : answer.objects) {
            // Alternative names find a link too; it is not the one that was asked for.
            if (auto seen = parse_link(reply); seen && seen->name == *name) {
                const int index = seen->index;
                out.emplace(index, *std::move(seen));
            }
        }
        ++name;
    }
    return out;
}

Result<LinuxKernel::Seen> LinuxKernel::observe_links(const Scope& scope, State& out) {
    Seen seen;
    if (scope.everything) {
        TRY(const Answer answer, netlink_.talk(link_dump()));
        TRY_OK(check(answer, "listing links"));
        for (const NlMsg& reply : answer.objects) {
            if (auto link = parse_link(reply)) {
                const int index = link->index;
                seen.emplace(index, *std::move(link));
            }
        }
    } else {
        TRY(seen, named_links(scope));
    }
    for (const auto& [index, link] : seen) {
        if (link.ours() || scope.links.contains(link.name)) {
            Link& facts = out.links.emplace(link.name, link.facts).first->second;
            TRY_OK(read_port(netlink_, index, facts));
        }
    }
    TRY_OK(name_masters(seen, out));
    return seen;
}

Result<void> LinuxKernel::name_masters(const Seen& seen, State& out) {
    std::map<int, std::optional<IfName>> names;
    const auto name_at = [&](int index, const IfName& of) -> Result<std::optional<IfName>> {
        if (const auto known = seen.find(index); known != seen.end()) {
            return std::optional(known->second.name);
        }
        if (!names.contains(index)) {
            TRY(const std::optional<LinkSeen> found, find(link_query(index), words(of)));
            names[index] = found ? std::optional(found->name) : std::nullopt;
        }
        return names[index];
    };
    for (const auto& [index, link] : seen) {
        const auto shown = out.links.find(link.name);
        if (shown == out.links.end()) {
            continue;
        }
        if (link.master != 0) {
            TRY(shown->second.master, name_at(link.master, link.name));
        }
        if (link.parent != 0) {
            TRY(const std::optional<IfName> parent, name_at(link.parent, link.name));
            if (parent) {
                shown->second.vlan = VlanSettings{*parent, link.tag};
            }
        }
    }
    return {};
}

Result<void> LinuxKernel::observe_addresses(const Scope& scope, const Seen& seen, State& out) {
    std::vector<int> indices;
    if (scope.everything) {
        indices.push_back(0);
    } else {
        std::ranges::transform(seen, std::back_inserter(indices), &Seen::value_type::first);
    }
    for (const int index : indices) {
        TRY(const Answer answer, netlink_.talk(address_dump(index)));
        if (answer.failed_with(ENODEV)) {
            continue;  // gone since we saw it
        }
        TRY_OK(check(answer, "listing addresses"));
        for (const NlMsg& reply : answer.objects) {
            const std::optional<AddressSeen> address = parse_address(reply);
            if (!address || address->by_kernel) {
                continue;
            }
            const auto link = seen.find(address->index);
            if (link != seen.end() && out.links.contains(link->second.name)) {
                out.addresses.insert({.link = link->second.name, .address = address->address, .peer = address->peer});
            }
        }
    }
    return {};
}

Result<void> LinuxKernel::observe_routes(const Scope& scope, const Seen& seen, State& out) {
    const std::pair<IpFamily, int> kinds[] = {
        {IpFamily::v4, 0},
        {IpFamily::v4, kRouteNoLink},
        {IpFamily::v6, 0},
        {IpFamily::v6, kRouteNoLink},
        {IpFamily::v6, kRouteNoMetric},
        {IpFamily::v6, kRouteNoLink | kRouteNoMetric},
    };
    for (const auto& [family, flags] : kinds) {
        // The kernel walks all routes for each kind. Those that name no link are in a scope by themselves only.
        const bool of_links = (flags & kRouteNoLink) == 0;
        if (!scope.everything && (of_links ? seen.empty() : scope.routes.empty())) {
            continue;
        }
        TRY(const Answer answer, netlink_.talk(route_dump(family, static_cast<std::uint8_t>(kRouteProtocol + flags))));
        if (answer.failed_with(ENOENT) || answer.failed_with(EAFNOSUPPORT) || answer.failed_with(EOPNOTSUPP)) {
            continue;  // no such table yet, or no IPv6 here
        }
        TRY_OK(check(answer, "listing routes"));
        for (const NlMsg& reply : answer.objects) {
            std::optional<RouteSeen> found = parse_route(reply);
            if (!found) {
                continue;
            }
            const auto link = seen.find(found->index);
            if (found->link_named) {
                if (link == seen.end()) {
                    continue;  // of a link outside the scope
                }
                found->route.link = link->second.name;
            }
            if (scope.everything || found->route.link || scope.routes.contains(found->route)) {
                out.routes.insert(std::move(found->route));
            }
        }
    }
    return {};
}

Result<void> LinuxKernel::apply_one(const PutLink& op) {
    TRY(std::optional<LinkSeen> seen, find(op.name));
    if (!seen) {
        switch (op.link.kind) {
            case LinkKind::bridge: return make_bridge(op);
            case LinkKind::tap: return make_tap(op);
            case LinkKind::vlan: return make_vlan(op);
            case LinkKind::bond: return make_bond(op);
            case LinkKind::foreign: break;
        }
        return std::unexpected(Error{Code::system,
                                     fmt::format("{}: there is no such link, and Bascule does not make it: bring it up "
                                                 "first or correct its name",
                                                 words(op.name)),
                                     ENODEV});
    }
    if (op.link.kind != LinkKind::foreign && seen->facts.kind != op.link.kind) {
        if (op.link.kind != LinkKind::bridge || seen->ours() || !is_unfinished_bridge(*seen, op.link)) {
            return not_ours(*seen, op);
        }
        seen->facts.kind = LinkKind::bridge;
    }
    return adjust(*seen, op);
}

Result<void> LinuxKernel::make_bridge(const PutLink& op) { return make(op, new_bridge(op.name, op.link), "bridge"); }

Result<void> LinuxKernel::make_vlan(const PutLink& op) {
    if (!op.link.vlan) {
        return fail(Code::internal, words(op.name) + ": a VLAN of no link");
    }
    TRY(const LinkSeen parent, need(op.link.vlan->parent, fmt::format("shall have the VLAN {}", op.name.str())));
    return make(op, new_vlan(op.name, op.link.vlan->tag, parent.index), "8021q");
}

Result<void> LinuxKernel::make_bond(const PutLink& op) { return make(op, new_bond(op.name, op.link), "bonding"); }

// `module`: what a kernel that does not know such links lacks.
Result<void> LinuxKernel::make(const PutLink& op, const NlMsg& request, std::string_view module) {
    TRY(const Answer answer, netlink_.talk(request));
    if (answer.failed_with(EOPNOTSUPP)) {
        return fail(Code::unsupported_config,
                    fmt::format("{} {}: this kernel makes no such links: it lacks the module {} (modprobe {})",
                                name_of(op.link.kind), op.name.str(), module, module));
    }
    TRY_OK(check(answer, fmt::format("{} {}: making it", name_of(op.link.kind), op.name.str())));
    TRY(const LinkSeen seen, need(op.name, "was removed while it was being made"));
    if (auto done = adjust(seen, op); !done) {
        (void)netlink_.command(delete_link(seen.index), "");  // not signed yet: nobody would clean it up
        return done;
    }
    return {};
}

Result<void> LinuxKernel::make_tap(const PutLink& op) {
    TRY(const UniqueFd tap, attach_tap(op.name, op.link.queues > 1));
    TRY(const LinkSeen seen, need(op.name, "was removed while it was being made"));
    // The host never talks on a guest's port; absent where the kernel has no IPv6.
    const std::string key = fmt::format("net/ipv6/conf/{}/disable_ipv6", op.name.str());
    TRY(const std::optional<std::string> ipv6, read_sysctl(key));
    if (ipv6 && *ipv6 != "1") {
        TRY_OK(write_sysctl(key, "1"));
    }
    TRY_OK(adjust(seen, op));
    // Last: until here it goes away with us.
    return keep_tap(tap);
}

Result<std::optional<int>> LinuxKernel::new_master(const LinkSeen& seen, const PutLink& op) {
    if (op.link.master) {
        TRY(const LinkSeen bridge, need(*op.link.master, fmt::format("shall have {} as a port", op.name.str())));
        if (bridge.index == seen.master) {
            return std::optional<int>();
        }
        if (bridge.kind == "openvswitch") {
            return fail(Code::unsupported_config,
                        fmt::format("{}: an Open vSwitch bridge: its ports need <virtualport type='openvswitch'/>",
                                    words(*op.link.master)));
        }
        if (bridge.kind != "bridge" && bridge.kind != "bond") {
            return fail(Code::invalid_argument,
                        fmt::format("{}: {}, and no bridge that {} could be a port of", words(*op.link.master),
                                    bridge.kind.empty() ? std::string("a network device")
                                                        : fmt::format("a link of kind {}", bridge.kind),
                                    op.name.str()));
        }
        if (bridge.kind == "bond" && seen.facts.up) {  // "can not be enslaved while up" (bond_main.c, bond_enslave)
            TRY_OK(apply_one(LinkUp{op.name, false}));
        }
        return std::optional(bridge.index);
    }
    if (op.link.kind != LinkKind::foreign || seen.master == 0) {
        return std::optional<int>();  // as it is
    }
    // Somebody else's device in somebody else's bridge is not our business.
    TRY(const std::optional<LinkSeen> bridge, find(link_query(seen.master), words(op.name)));
    return bridge && bridge->ours() ? std::optional(0) : std::optional<int>();
}

Result<void> LinuxKernel::adjust(const LinkSeen& seen, const PutLink& op) {
    const Link& wanted = op.link;
    LinkChange change;
    TRY(change.master, new_master(seen, op));
    if (wanted.kind != LinkKind::foreign) {
        if (seen.ours() && wanted.kind == LinkKind::tap && (seen.facts.queues > 1) != (wanted.queues > 1)) {
            return fail(Code::invalid_state,
                        fmt::format("tap {}: made for {} queues, cannot be changed to {}; it must be removed first",
                                    op.name.str(), seen.facts.queues, wanted.queues));
        }
        if (const std::string alias = link_alias(wanted); alias != seen.alias) {
            change.alias = alias;
        }
        if (wanted.mac && wanted.mac != seen.facts.mac) {
            change.mac = wanted.mac;
        }
        if (wanted.mtu && wanted.mtu != seen.facts.mtu) {
            change.mtu = wanted.mtu;
        }
    }
    if (wanted.kind == LinkKind::bridge && wanted.bridge && wanted.bridge != seen.facts.bridge) {
        const BridgeSettings had = seen.facts.bridge.value_or(BridgeSettings{.stp = !wanted.bridge->stp});
        if (had.stp && !wanted.bridge->stp) {
            // A delay below two seconds is refused while STP is on, and the kernel looks at the delay first.
            LinkChange stp_off;
            stp_off.stp = false;
            TRY_OK(netlink_.command(change_link(seen.index, stp_off), words(op.name)));
        } else if (had.stp != wanted.bridge->stp) {
            change.stp = wanted.bridge->stp;
        }
        change.forward_delay_cs = wanted.bridge->forward_delay_cs;
    }
    if (wanted.kind == LinkKind::bond && wanted.bond && wanted.bond != seen.facts.bond) {
        change.bond = wanted.bond;
    }
    if (!change.empty()) {
        TRY_OK(netlink_.command(change_link(seen.index, change), words(op.name)));
    }
    // With its master: the settings belong to the membership.
    const bool is_port = wanted.kind == LinkKind::tap && (wanted.master || seen.master != 0);
    return is_port ? put_port(netlink_, seen.index, wanted, words(op.name)) : Result<void>();
}

Result<void> LinuxKernel::apply_one(const PutShaping& op) {
    TRY(const LinkSeen seen, need(op.name, "shall have its traffic limited"));
    return put_shaping(netlink_, seen.index, op.shaping, op.floors, words(op.name) + ": limiting its traffic");
}

Result<void> LinuxKernel::apply_one(const DropShaping& op) {
    TRY(const std::optional<LinkSeen> seen, find(op.name));
    return seen ? drop_shaping(netlink_, seen->index, words(op.name) + ": no longer limiting its traffic")
                : Result<void>();
}

Result<void> LinuxKernel::observe_shapings(const Scope& scope, const Seen& seen, State& out) {
    std::map<int, IfName> links;
    if (scope.everything) {
        TRY(const std::set<int> shaped, shaped_links(netlink_));
        for (const int index : shaped) {
            const auto link = seen.find(index);
            if (link != seen.end() && (link->second.ours() || scope.shapings.contains(link->second.name))) {
                links.emplace(index, link->second.name);
            }
        }
    } else {
        for (const IfName& name : scope.shapings) {
            TRY(const std::optional<LinkSeen> link, find(name));
            if (link) {
                links.emplace(link->index, name);
            }
        }
    }
    for (const auto& [index, name] : links) {
        TRY(auto shaping, read_shaping(netlink_, index));
        if (!shaping) {
            continue;
        }
        out.shapings.emplace(name, shaping->shaping);
        for (const auto& [station, rate] : shaping->floors) {
            out.floors.emplace(FloorKey{name, station}, rate);
        }
    }
    return {};
}

Result<void> LinuxKernel::apply_one(const LinkUp& op) {
    TRY(const LinkSeen seen, need(op.name, op.up ? "shall be set up" : "shall be set down"));
    if (seen.facts.up == op.up) {
        return {};
    }
    LinkChange change;
    change.up = op.up;
    TRY(const Answer answer, netlink_.talk(change_link(seen.index, change)));
    if (op.up && seen.facts.kind == LinkKind::vlan && answer.failed_with(ENETDOWN)) {
        return {};  // it comes up with the link that it is of (net/8021q/vlan.c, vlan_device_event)
    }
    return check(answer, fmt::format("{}: setting it {}", words(op.name), op.up ? "up" : "down"));
}

Result<void> LinuxKernel::apply_one(const DropLink& op) {
    TRY(const std::optional<LinkSeen> seen, find(op.name));
    if (!seen) {
        return {};
    }
    if (!seen->ours()) {
        return fail(Code::conflict,
                    fmt::format("{}: not made by Bascule (no alias bascule:…), so it stays", words(op.name)));
    }
    TRY(const Answer answer, netlink_.talk(delete_link(seen->index)));
    return answer.failed_with(ENODEV) ? Result<void>() : check(answer, fmt::format("{}: removing it", words(op.name)));
}

Result<void> LinuxKernel::apply_one(const PutAddress& op) {
    TRY(const LinkSeen seen, need(op.address.link, "shall have address " + format(op.address.address)));
    return netlink_.command(put_address(op.address.address, seen.index, op.address.peer),
                            fmt::format("{}: address {}", words(op.address.link), format(op.address.address)));
}

Result<void> LinuxKernel::apply_one(const DropAddress& op) {
    TRY(const std::optional<LinkSeen> seen, find(op.address.link));
    if (!seen) {
        return {};
    }
    TRY(const Answer answer, netlink_.talk(drop_address(op.address.address, seen->index, op.address.peer)));
    if (answer.failed_with(EADDRNOTAVAIL) || answer.failed_with(ENODEV)) {
        return {};
    }
    return check(answer, fmt::format("{}: removing address {}", words(op.address.link), format(op.address.address)));
}

Result<void> LinuxKernel::apply_one(const PutRoute& op) {
    int index = 0;
    if (op.route.link) {
        TRY(const LinkSeen seen, need(*op.route.link, "shall have the route to " + format(op.route.destination)));
        index = seen.index;
    }
    TRY(const Answer answer, netlink_.talk(put_route(op.route, index)));
    const std::string what = "route to " + format(op.route.destination);
    if (!answer.failed_with(EEXIST)) {
        return check(answer, what);
    }
    // Ours already, or somebody else's?
    Scope scope;
    if (op.route.link) {
        scope.links.insert(*op.route.link);
    } else {
        scope.routes.insert(op.route);
    }
    State there;
    TRY(const Seen seen, named_links(scope));
    TRY_OK(observe_routes(scope, seen, there));
    if (there.routes.contains(op.route)) {
        return {};
    }
    return fail(Code::conflict,
                fmt::format("{}: the host already has one with metric {}; remove it (ip route delete {}) "
                            "or give this one another metric",
                            what, op.route.metric, format(op.route.destination)));
}

Result<void> LinuxKernel::apply_one(const DropRoute& op) {
    int index = 0;
    if (op.route.link) {
        TRY(const std::optional<LinkSeen> seen, find(*op.route.link));
        if (!seen) {
            return {};
        }
        index = seen->index;
    }
    TRY(const Answer answer, netlink_.talk(drop_route(op.route, index)));
    return answer.failed_with(ESRCH) ? Result<void>()
                                     : check(answer, "removing the route to " + format(op.route.destination));
}

Result<void> LinuxKernel::apply_one(const RuleBatch& op) {
    // Since Linux 6.16 a chain may name a device that is still to come. Ours guard one that is there.
    if (const auto netdev = op.add.find(Family::netdev); netdev != op.add.end()) {
        for (const auto& [name, chain] : netdev->second.chains) {
            if (const auto device = chain.hook ? IfName::parse(chain.hook->device) : std::nullopt) {
                TRY_OK(need(*device, "shall be guarded by chain " + name));
            }
        }
    }
    return nft_->run(op);
}

Result<std::unique_ptr<Kernel>> make_linux_kernel(Generations* generations) {
    TRY(Netlink netlink, Netlink::open());
    TRY(std::unique_ptr<Nft> nft, Nft::open(generations));
    return std::make_unique<LinuxKernel>(std::move(netlink), std::move(nft));
}

}  // namespace bascule::kernel::os
