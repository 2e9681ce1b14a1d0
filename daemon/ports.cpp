// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/ports.h"

#include <algorithm>

#include "kernel/reconcile.h"

namespace bascule::daemon {

const nwfilter::Abilities& Ports::abilities() const {
    if (!abilities_) {
        abilities_ = ask_abilities_ ? ask_abilities_() : nwfilter::Abilities{};
    }
    return *abilities_;
}

Result<Ports::Port> Ports::attach(PortSpec spec) const {
    const bool fresh = !abilities_;
    Ready ready = this->ready();
    auto port = attach(spec, ready);
    if (!port && !fresh && ask_abilities_ && port.error().code == Code::unsupported_config) {
        abilities_.reset();
        Ready again = this->ready();
        port = attach(std::move(spec), again);
    }
    return port;
}

Result<Ports::Port> Ports::attach(PortSpec spec, Ready& ready) const {
    Port port{std::move(spec), std::nullopt};
    if (port.spec.filter) {
        const nwfilter::Port& filter = *port.spec.filter;
        port.by_mac = filter.bridge && takes_mac(filter, ready);
        if (port.by_mac || !filter.bridge) {
            TRY(port.member, ready.classes.attach(filter));
        } else {
            nwfilter::Port unknown = filter;
            unknown.bridge.reset();
            TRY(port.member, ready.classes.attach(unknown));
        }
    }
    return port;
}

const nwfilter::Port* Ports::by_mac(const IfName& bridge, const MacAddr& mac) const {
    const auto found = by_mac_.find({bridge, mac});
    return found == by_mac_.end() ? nullptr : &*ports_.at(found->second).spec.filter;
}

void Ports::know(const Port& port) {
    if (port.by_mac) {
        by_mac_.insert_or_assign({*port.spec.filter->bridge, port.spec.filter->mac}, port.spec.ifname);
    }
}

void Ports::forget(const Port& port) {
    if (port.by_mac) {
        const auto found = by_mac_.find({*port.spec.filter->bridge, port.spec.filter->mac});
        if (found != by_mac_.end() && found->second == port.spec.ifname) {
            by_mac_.erase(found);
        }
    }
}

// The first that asks, if nobody has it.
bool Ports::takes_mac(const nwfilter::Port& filter, Ready& ready) const {
    const nwfilter::Port* const other = by_mac(*filter.bridge, filter.mac);
    return (other == nullptr || other->ifname == filter.ifname) &&
           ready.by_mac.try_emplace({*filter.bridge, filter.mac}, filter.ifname).first->second == filter.ifname;
}

// ---- classes ------------------------------------------------------------------------------------

void Ports::Moves::add(const Port& port, int ports) {
    if (port.member) {
        auto& [common, sum] = by_class[port.member->common->name];
        common = port.member->common;
        sum += ports;
    }
}

void Ports::Moves::replace(const Port* former, const Port& next) {
    if (former != nullptr) {
        add(*former, -1);
    }
    add(next, 1);
}

// The classes that come with their first port, or go with their last.
kernel::Ledger::Changes Ports::changes(const Moves& moves) const {
    kernel::Ledger::Changes out;
    for (const auto& [name, move] : moves.by_class) {
        const auto& [common, sum] = move;
        const auto found = classes_.find(name);
        const auto before = found == classes_.end() ? 0 : static_cast<std::ptrdiff_t>(found->second);
        if (before == 0 && sum > 0) {
            kernel::State wish;
            wish.rules = common->rules;
            wish.sysctls = common->sysctls;
            out.emplace_back(name, std::move(wish));
        } else if (before > 0 && before + sum == 0) {
            out.emplace_back(name, std::nullopt);
        }
    }
    return out;
}

void Ports::note(const Moves& moves) {
    for (const auto& [name, move] : moves.by_class) {
        std::size_t& ports = classes_[name];
        ports = static_cast<std::size_t>(static_cast<std::ptrdiff_t>(ports) + move.second);
        if (ports == 0) {
            classes_.erase(name);
        }
    }
}

const Ports::Port* Ports::find(const IfName& ifname) const {
    const auto found = ports_.find(ifname);
    return found == ports_.end() ? nullptr : &found->second;
}

// ---- ports --------------------------------------------------------------------------------------

const nwfilter::Port* Ports::filter_of(const IfName& ifname) const {
    const auto port = ports_.find(ifname);
    return port == ports_.end() || !port->second.spec.filter ? nullptr : &*port->second.spec.filter;
}

kernel::State Ports::wish(const Port& port) const {
    kernel::State state = port.spec.link;
    if (!port.member) {
        return state;
    }
    kernel::merge(state.rules, port.member->elements);
    if (!port.member->learning) {
        return state;
    }
    bool four = false;
    for (const auto& [address, expires] : addresses_of(port)) {
        kernel::merge(state.rules, nwfilter::learned(port.member->learned, address, expires));
        four = four || address.is_v4();
    }
    if (!four) {
        kernel::merge(state.rules, nwfilter::first_frame(*port.member->learning, port.spec.ifname));
    }
    return state;
}

std::map<Ip, std::optional<kernel::Time>> Ports::addresses_of(const Port& port) const {
    std::map<Ip, std::optional<kernel::Time>> out;
    if (port.spec.network) {
        const auto leases = leases_.find({*port.spec.network, port.spec.mac});
        if (leases != leases_.end()) {
            out = leases->second;
        }
    }
    if (const auto learned = learned_.find(port.spec.ifname); learned != learned_.end()) {
        for (const dhcp::LearnedAddress& one : learned->second) {
            out.emplace(one.address, one.ends == dhcp::kEndOfTime ? std::nullopt : std::optional(one.ends));
        }
    }
    return out;
}

void Ports::tell(const IfName& ifname) const {
    if (changed_) {
        changed_(ifname);
    }
}

void Ports::keep(Port port) {
    const IfName name = port.spec.ifname;
    if (port.spec.network) {
        by_lease_[{*port.spec.network, port.spec.mac}].insert(name);
    }
    if (const auto learned = learned_.find(name);
        learned != learned_.end() && (!port.member || !port.member->learning)) {
        // Where addresses are given, or none matters, what the port's own frames taught is over.
        std::erase_if(learned->second, [](const dhcp::LearnedAddress& one) { return !one.leased; });
    }
    if (const Port* const former = find(name); former != nullptr) {
        forget(*former);
    }
    know(port);
    ports_.insert_or_assign(name, std::move(port));
    tell(name);
}

// Its own things and those of its class.
kernel::Scope Ports::scope_of(const Port& port) const {
    kernel::Scope scope = kernel::Scope::of(wish(port));
    if (port.member) {
        kernel::State common;
        common.rules = port.member->common->rules;
        scope.add(common);
    }
    return scope;
}

Result<void> Ports::plug(PortSpec spec) {
    TRY(Port port, attach(std::move(spec)));
    const Port* const former = find(port.spec.ifname);
    Moves moves;
    moves.replace(former, port);
    auto changes = this->changes(moves);
    // Looked at is all of it, and what it had.
    kernel::Scope scope = scope_of(port);
    if (const kernel::State* const had = ledger_.wish(owner(port.spec.ifname)); had != nullptr) {
        scope.add(*had);
    }
    changes.emplace_back(owner(port.spec.ifname), wish(port));
    TRY_OK(kernel::commit_all(kernel_, ledger_, std::move(changes), std::move(scope)));
    note(moves);
    keep(std::move(port));
    return {};
}

Result<void> Ports::remember(PortSpec spec) {
    TRY(Port port, attach(std::move(spec)));
    Moves moves;
    moves.replace(find(port.spec.ifname), port);
    auto changes = this->changes(moves);
    changes.emplace_back(owner(port.spec.ifname), wish(port));
    TRY(const kernel::Scope scope, ledger_.exchange(changes));
    (void)scope;  // the caller reconciles everything
    note(moves);
    keep(std::move(port));
    return {};
}

Result<void> Ports::unplug(const IfName& ifname) {
    std::vector<std::string> owners{owner(ifname)};
    if (const auto port = ports_.find(ifname); port != ports_.end()) {
        if (port->second.spec.network) {
            const LeaseKey key{*port->second.spec.network, port->second.spec.mac};
            auto& fed = by_lease_[key];
            fed.erase(ifname);
            if (fed.empty()) {
                by_lease_.erase(key);
            }
        }
        Moves moves;
        moves.add(port->second, -1);
        for (auto& [name, wish] : changes(moves)) {
            owners.push_back(std::move(name));
        }
        note(moves);
        forget(port->second);
        ports_.erase(port);
        learned_.erase(ifname);
        tell(ifname);
    }
    return kernel::withdraw(kernel_, ledger_, owners);
}

std::set<IfName> Ports::names() const {
    std::set<IfName> out;
    for (const auto& [name, port] : ports_) {
        out.insert(name);
    }
    return out;
}

bool Ports::uses(const std::string& filter) const {
    for (const auto& [name, port] : ports_) {
        if (port.member && port.member->common->filters.contains(filter)) {
            return true;
        }
    }
    return false;
}

std::vector<Ip> Ports::learned_by(const IfName& ifname) const {
    std::vector<Ip> out;
    if (const auto port = ports_.find(ifname); port != ports_.end()) {
        for (const auto& [address, expires] : addresses_of(port->second)) {
            out.push_back(address);
        }
    }
    return out;
}

std::vector<Ip> Ports::addresses_of(const IfName& ifname) const {
    std::vector<Ip> out = learned_by(ifname);
    const nwfilter::Port* const filter = filter_of(ifname);
    for (const char* const name : {"IP", "IPV6"}) {
        if (filter == nullptr || !filter->parameters.contains(name)) {
            continue;
        }
        for (const std::string& text : filter->parameters.at(name)) {
            if (const auto address = parse_ip(text); address && std::ranges::find(out, *address) == out.end()) {
                out.push_back(*address);
            }
        }
    }
    return out;
}

std::vector<const nwfilter::Port*> Ports::using_filter(const std::string& filter) const {
    std::vector<const nwfilter::Port*> out;
    for (const auto& [name, port] : ports_) {
        if (port.member && port.member->common->filters.contains(filter)) {
            out.push_back(&*port.spec.filter);
        }
    }
    return out;
}

// Those ports anew.
template <class Reached>
Result<std::vector<Ports::Port>> Ports::attached_again(Reached reached) {
    std::vector<Port> out;
    Ready ready = this->ready();
    for (const auto& [name, port] : ports_) {
        if (!port.member || !reached(*port.member->common)) {
            continue;
        }
        auto next = attach(port.spec, ready);
        if (!next) {
            return std::unexpected(std::move(next.error()).in("port " + name.str()));
        }
        out.push_back(std::move(*next));
    }
    return out;
}

// Those ports anew, all in one transaction. What the kernel is told of is what differs.
template <class Reached>
Result<void> Ports::attach_again(Reached reached) {
    const bool fresh = !abilities_;
    auto next = attached_again(reached);
    if (!next && !fresh && ask_abilities_ && next.error().code == Code::unsupported_config) {
        abilities_.reset();
        next = attached_again(reached);
    }
    if (!next) {
        return std::unexpected(std::move(next).error());
    }
    Moves moves;
    for (const Port& port : *next) {
        moves.replace(find(port.spec.ifname), port);
    }
    auto changes = this->changes(moves);
    for (const Port& port : *next) {
        changes.emplace_back(owner(port.spec.ifname), wish(port));
    }
    TRY_OK(kernel::commit_all(kernel_, ledger_, std::move(changes)));
    note(moves);
    for (Port& port : *next) {
        Port& kept = ports_.at(port.spec.ifname);
        const bool learns_otherwise = kept.member->learning != port.member->learning;
        forget(kept);
        know(port);
        kept = std::move(port);
        if (learns_otherwise) {
            tell(kept.spec.ifname);
        }
    }
    return {};
}

Result<void> Ports::refilter(const std::set<std::string>& changed) {
    return attach_again([&](const nwfilter::Common& common) {
        return std::ranges::any_of(changed, [&](const std::string& filter) { return common.filters.contains(filter); });
    });
}

Result<void> Ports::refresh_sets() {
    return attach_again([](const nwfilter::Common& common) { return !common.sets.empty(); });
}

kernel::Ledger::Changes Ports::note(const LeaseKey& key, const Lease& lease) {
    const auto fed = by_lease_.find(key);
    if (!lease.ended) {
        leases_[key][lease.address] = lease.expires;
    } else if (const auto known = leases_.find(key); known != leases_.end()) {
        known->second.erase(lease.address);
        if (known->second.empty()) {
            leases_.erase(known);
        }
    }
    kernel::Ledger::Changes wishes;
    for (const IfName& name : fed == by_lease_.end() ? std::set<IfName>{} : fed->second) {
        // A server that takes a lease back takes what its own words had taught, too.
        if (const auto learned = learned_.find(name); lease.ended && learned != learned_.end()) {
            std::erase_if(learned->second, [&](const auto& one) { return one.leased && one.address == lease.address; });
        }
        const Port& port = ports_.at(name);
        if (port.member && port.member->learning) {
            wishes.emplace_back(owner(name), wish(port));
        }
    }
    return wishes;
}

Result<void> Ports::lease(const Uuid& network, const MacAddr& mac, const Lease& lease) {
    auto wishes = note({network, mac}, lease);
    return wishes.empty() ? Result<void>() : kernel::commit_all(kernel_, ledger_, std::move(wishes));
}

void Ports::lease_quietly(const Uuid& network, const MacAddr& mac, const Lease& lease) {
    auto wishes = note({network, mac}, lease);
    // Cannot contradict another owner: the elements carry the port's own name.
    [[maybe_unused]] const auto scope = ledger_.exchange(wishes);
}

Result<void> Ports::learned(const IfName& ifname, const std::vector<dhcp::LearnedAddress>& addresses) {
    learned_[ifname] = addresses;
    const auto port = ports_.find(ifname);
    return port == ports_.end() ? Result<void>() : kernel::commit(kernel_, ledger_, owner(ifname), wish(port->second));
}

void Ports::learned_quietly(const IfName& ifname, const std::vector<dhcp::LearnedAddress>& addresses) {
    learned_[ifname] = addresses;
    if (const auto port = ports_.find(ifname); port != ports_.end()) {
        [[maybe_unused]] const auto scope = ledger_.put(owner(ifname), wish(port->second));
    }
}

std::optional<dhcp::WatchedPort> Ports::watched(const IfName& ifname) const {
    const auto port = ports_.find(ifname);
    if (port == ports_.end() || !port->second.member || !port->second.member->learning) {
        return std::nullopt;
    }
    const nwfilter::Learning& how = *port->second.member->learning;
    dhcp::WatchedPort out{
        .index = 0, .name = ifname, .mac = port->second.spec.filter->mac, .any = how.any, .v4 = how.v4, .v6 = how.v6};
    if (const auto learned = learned_.find(ifname); learned != learned_.end()) {
        out.known = learned->second;
    }
    return out;
}

Result<void> Ports::settle(const Uuid& network) {
    kernel::Scope scope;
    for (const auto& [name, port] : ports_) {
        if (port.spec.network == network) {
            scope.add(scope_of(port));
        }
    }
    TRY([[maybe_unused]] const std::size_t applied, kernel::reconcile(kernel_, ledger_, scope));
    return {};
}

}  // namespace bascule::daemon
