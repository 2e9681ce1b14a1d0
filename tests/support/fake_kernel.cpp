// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/support/fake_kernel.h"

#include <fmt/format.h>

#include <algorithm>

#include "tests/support/fake_rules.h"

namespace bascule::test {

using namespace kernel;

namespace {

std::unexpected<Error> no_such(const IfName& name) { return fail_errno("link " + name.str(), ENODEV); }

bool ours(const Link& link) { return link.kind != LinkKind::foreign; }

}  // namespace

bool FakeKernel::is_bridge(const IfName& name) const {
    const auto link = state.links.find(name);
    return link != state.links.end() && (link->second.kind == LinkKind::bridge || link->second.kind == LinkKind::bond ||
                                         foreign_bridges.contains(name));
}

void FakeKernel::add_foreign(std::string_view name, bool bridge) {
    const IfName link = IfName::parse(name).value();
    state.links[link] = Link{};
    if (bridge) {
        foreign_bridges.insert(link);
    }
}

std::vector<std::string> FakeKernel::log() const {
    std::vector<std::string> out;
    for (const Op& op : ops) {
        out.push_back(format(op));
    }
    return out;
}

Result<State> FakeKernel::observe(const Scope& scope) {
    ++observations;
    if (!scope.everything) {
        return restrict(state, scope);
    }
    // All that is ours, and of the rest what is asked for by name.
    State out = state;
    std::erase_if(out.links,
                  [&](const auto& entry) { return !ours(entry.second) && !scope.links.contains(entry.first); });
    std::erase_if(out.addresses, [&](const Address& address) { return !out.links.contains(address.link); });
    std::erase_if(out.sysctls, [&](const auto& entry) { return !scope.sysctls.contains(entry.first); });
    return out;
}

Result<void> FakeKernel::apply(const Op& op) {
    if (refuse_in_ && (*refuse_in_)-- == 0) {
        refuse_in_.reset();
        return fail_errno("refused for the test", EPERM);
    }
    const State before = on_apply ? state : State();
    TRY_OK(std::visit([this](const auto& one_op) { return one(one_op); }, op));
    ops.push_back(op);
    if (on_apply) {
        on_apply(before, op);
    }
    return {};
}

Result<void> FakeKernel::one(const PutLink& op) {
    const auto now = state.links.find(op.name);
    const bool exists = now != state.links.end();
    if (op.link.master && !is_bridge(*op.link.master)) {
        return fail(Code::system, fmt::format("link {}: its master {} is not a bridge, or not there", op.name.str(),
                                              op.link.master->str()));
    }
    if (!ours(op.link)) {
        if (!exists) {
            return no_such(op.name);
        }
        now->second.master = op.link.master;
        const auto master = op.link.master ? state.links.find(*op.link.master) : state.links.end();
        now->second.up = now->second.up || (master != state.links.end() && master->second.kind == LinkKind::bond);
        return {};
    }
    if (exists && !ours(now->second)) {
        return fail(Code::conflict, fmt::format("link {} exists and is not ours", op.name.str()));
    }
    if (op.link.vlan && !state.links.contains(op.link.vlan->parent)) {
        return no_such(op.link.vlan->parent);
    }
    if (exists && (now->second.kind != op.link.kind || now->second.queues != op.link.queues ||
                   now->second.vlan != op.link.vlan)) {
        return fail(Code::conflict, fmt::format("link {} exists and is of another kind", op.name.str()));
    }
    Link& link = state.links[op.name];
    const Link former = std::exchange(link, op.link);
    link.up = exists && former.up;
    if (exists) {
        link.mac = op.link.mac ? op.link.mac : former.mac;
        link.mtu = op.link.mtu ? op.link.mtu : former.mtu;
        link.master = op.link.master ? op.link.master : former.master;
        link.bridge = op.link.bridge ? op.link.bridge : former.bridge;
        link.port = op.link.port ? op.link.port : former.port;
        link.station = op.link.station ? op.link.station : former.station;
        link.bond = op.link.bond ? op.link.bond : former.bond;
    }
    return {};
}

Result<void> FakeKernel::one(const LinkUp& op) {
    const auto link = state.links.find(op.name);
    if (link == state.links.end()) {
        return no_such(op.name);
    }
    const auto parent = link->second.vlan ? state.links.find(link->second.vlan->parent) : state.links.end();
    if (op.up && parent != state.links.end() && !parent->second.up) {
        return {};  // with its parent
    }
    link->second.up = op.up;
    for (auto& [name, vlan] : state.links) {
        if (vlan.vlan && vlan.vlan->parent == op.name && vlan.up != op.up) {
            TRY_OK(one(LinkUp{name, op.up}));
        }
    }
    if (!op.up) {
        std::erase_if(state.routes, [&op](const Route& route) { return route.link == op.name; });
    }
    return {};
}

Result<void> FakeKernel::one(const DropLink& op) {
    const auto link = state.links.find(op.name);
    if (link == state.links.end()) {
        return {};
    }
    if (!ours(link->second)) {
        return fail(Code::conflict, fmt::format("link {} is not ours", op.name.str()));
    }
    forget(op.name);
    return {};
}

void FakeKernel::forget(const IfName& name) {
    state.links.erase(name);
    state.shapings.erase(name);
    std::erase_if(state.floors, [&name](const auto& entry) { return entry.first.link == name; });
    std::erase_if(state.addresses, [&name](const Address& address) { return address.link == name; });
    std::erase_if(state.routes, [&name](const Route& route) { return route.link == name; });
    std::erase_if(state.sysctls, [&name](const auto& entry) { return entry.first.contains("/" + name.str() + "/"); });
    for (auto& [other, link] : state.links) {
        if (link.master == name) {
            link.master.reset();
        }
    }
    forget_device(state.rules, name);
    std::vector<IfName> vlans;
    for (const auto& [other, link] : state.links) {
        if (link.vlan && link.vlan->parent == name) {
            vlans.push_back(other);
        }
    }
    for (const IfName& vlan : vlans) {
        forget(vlan);
    }
}

Result<void> FakeKernel::one(const PutShaping& op) {
    if (!state.links.contains(op.name)) {
        return no_such(op.name);
    }
    state.shapings.insert_or_assign(op.name, op.shaping);
    std::erase_if(state.floors, [&op](const auto& entry) { return entry.first.link == op.name; });
    state.floors.insert(op.floors.begin(), op.floors.end());
    return {};
}

Result<void> FakeKernel::one(const DropShaping& op) {
    state.shapings.erase(op.name);
    std::erase_if(state.floors, [&op](const auto& entry) { return entry.first.link == op.name; });
    return {};
}

Result<void> FakeKernel::one(const PutAddress& op) {
    if (!state.links.contains(op.address.link)) {
        return no_such(op.address.link);
    }
    state.addresses.insert(op.address);
    return {};
}

Result<void> FakeKernel::one(const DropAddress& op) {
    if (state.addresses.erase(op.address) == 0) {
        return {};
    }
    const IfName& link = op.address.link;
    std::erase_if(state.addresses, [&](const Address& other) {
        return other.link == link && other.address.address.is_v4() &&
               other.address.prefix() == op.address.address.prefix();
    });
    const bool some = std::ranges::any_of(state.addresses, [&link](const Address& a) { return a.link == link; });
    if (!some) {
        std::erase_if(state.routes, [&link](const Route& route) { return route.link == link; });
    }
    return {};
}

Result<void> FakeKernel::one(const PutRoute& op) {
    const Route& route = op.route;
    if (route.link) {
        const auto link = state.links.find(*route.link);
        if (link == state.links.end()) {
            return no_such(*route.link);
        }
        if (!link->second.up) {
            return fail_errno("route " + format(route), ENETDOWN);
        }
    }
    const bool reachable = !route.gateway || std::ranges::any_of(state.addresses, [&route](const Address& a) {
        return (!route.link || a.link == *route.link) && a.address.prefix().contains(*route.gateway);
    });
    if (!reachable) {
        return fail_errno("route " + format(route), ENETUNREACH);
    }
    state.routes.insert(route);
    return {};
}

Result<void> FakeKernel::one(const DropRoute& op) {
    state.routes.erase(op.route);
    return {};
}

Result<void> FakeKernel::one(const SetSysctl& op) {
    constexpr std::string_view kConf = "/conf/";
    if (const auto at = op.key.find(kConf); at != std::string::npos) {
        const std::string rest = op.key.substr(at + kConf.size());
        const std::string device = rest.substr(0, rest.find('/'));
        const auto name = IfName::parse(device);
        if (device != "all" && device != "default" && (!name || !state.links.contains(*name))) {
            return fail_errno("sysctl " + op.key, ENOENT);
        }
    }
    state.sysctls[op.key] = op.value;
    return {};
}

Result<void> FakeKernel::one(const RuleBatch& op) {
    const auto has_device = [this](const std::string& device) {
        const auto name = IfName::parse(device);
        return name && state.links.contains(*name);
    };
    TRY(state.rules, transact(state.rules, op, has_device));
    return {};
}

}  // namespace bascule::test
