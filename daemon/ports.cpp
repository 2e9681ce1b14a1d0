// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/ports.h"

#include <algorithm>

#include "kernel/reconcile.h"

namespace bascule::daemon {

// Ports of a class hold one copy of its rules: a chain's name stands for its content.
void Ports::share(kernel::Ruleset& rules, Pool& pool) const {
    for (auto& [family, table] : rules) {
        const auto known = ledger_.wanted().rules.find(family);
        for (auto& [name, chain] : table.chains) {
            if (known != ledger_.wanted().rules.end()) {
                if (const auto same = known->second.chains.find(name); same != known->second.chains.end()) {
                    chain.rules = same->second.rules;
                    continue;
                }
            }
            chain.rules = pool.try_emplace(name, chain.rules).first->second;
        }
    }
}

Result<Ports::Port> Ports::attach(PortSpec spec) const {
    Pool pool;
    return attach(std::move(spec), pool);
}

Result<Ports::Port> Ports::attach(PortSpec spec, Pool& pool) const {
    Port port{std::move(spec), std::nullopt};
    if (port.spec.filter) {
        nwfilter::Port filter = *port.spec.filter;
        port.by_mac = filter.bridge && mac_is_free(filter);
        if (!port.by_mac) {
            filter.bridge.reset();
        }
        TRY(port.attachment, attach_filter(filter));
        share(port.attachment->rules, pool);
    }
    return port;
}

const nwfilter::Port* Ports::by_mac(const IfName& bridge, const MacAddr& mac) const {
    const auto found = std::ranges::find_if(ports_, [&](const auto& entry) {
        const Port& port = entry.second;
        return port.by_mac && port.spec.filter->mac == mac && port.spec.filter->bridge == bridge;
    });
    return found == ports_.end() ? nullptr : &*found->second.spec.filter;
}

bool Ports::mac_is_free(const nwfilter::Port& filter) const {
    const nwfilter::Port* const other = by_mac(*filter.bridge, filter.mac);
    return other == nullptr || other->ifname == filter.ifname;
}

Result<nwfilter::Attachment> Ports::attach_filter(const nwfilter::Port& filter) const {
    const bool fresh = !abilities_;
    if (fresh) {
        abilities_ = ask_abilities_ ? ask_abilities_() : nwfilter::Abilities{};
    }
    auto attachment = nwfilter::attach(filter, lookup_, *abilities_);
    if (!attachment && !fresh && ask_abilities_ && attachment.error().code == Code::unsupported_config) {
        abilities_ = ask_abilities_();
        attachment = nwfilter::attach(filter, lookup_, *abilities_);
    }
    return attachment;
}

const nwfilter::Port* Ports::filter_of(const IfName& ifname) const {
    const auto port = ports_.find(ifname);
    return port == ports_.end() || !port->second.spec.filter ? nullptr : &*port->second.spec.filter;
}

kernel::State Ports::wish(const Port& port) const {
    kernel::State state = port.spec.link;
    if (!port.attachment) {
        return state;
    }
    kernel::merge(state.rules, port.attachment->rules);
    for (const auto& [key, value] : port.attachment->sysctls) {
        state.sysctls.emplace(key, value);
    }
    if (!port.attachment->learning) {
        return state;
    }
    bool four = false;
    for (const auto& [address, expires] : addresses_of(port)) {
        kernel::merge(state.rules, nwfilter::learned(*port.attachment, address, expires));
        four = four || address.is_v4();
    }
    if (!four) {
        kernel::merge(state.rules, nwfilter::first_frame(*port.attachment->learning, port.spec.ifname));
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
        learned != learned_.end() && (!port.attachment || !port.attachment->learning)) {
        // Where addresses are given, or none matters, what the port's own frames taught is over.
        std::erase_if(learned->second, [](const dhcp::LearnedAddress& one) { return !one.leased; });
    }
    ports_.insert_or_assign(name, std::move(port));
    tell(name);
}

Result<void> Ports::plug(PortSpec spec) {
    TRY(Port port, attach(std::move(spec)));
    TRY_OK(kernel::commit(kernel_, ledger_, owner(port.spec.ifname), wish(port)));
    keep(std::move(port));
    return {};
}

Result<void> Ports::remember(PortSpec spec) {
    TRY(Port port, attach(std::move(spec)));
    TRY(const kernel::Scope scope, ledger_.put(owner(port.spec.ifname), wish(port)));
    (void)scope;  // the caller reconciles everything
    keep(std::move(port));
    return {};
}

Result<void> Ports::unplug(const IfName& ifname) {
    if (const auto port = ports_.find(ifname); port != ports_.end()) {
        if (port->second.spec.network) {
            const LeaseKey key{*port->second.spec.network, port->second.spec.mac};
            auto& fed = by_lease_[key];
            fed.erase(ifname);
            if (fed.empty()) {
                by_lease_.erase(key);
            }
        }
        ports_.erase(port);
        learned_.erase(ifname);
        tell(ifname);
    }
    return kernel::withdraw(kernel_, ledger_, owner(ifname));
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
        if (port.attachment && port.attachment->filters.contains(filter)) {
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
        if (port.attachment && port.attachment->filters.contains(filter)) {
            out.push_back(&*port.spec.filter);
        }
    }
    return out;
}

// Those ports anew, all in one transaction.
template <class Reached>
Result<void> Ports::attach_again(Reached reached) {
    std::map<IfName, Port> next;
    Pool pool;
    std::vector<std::pair<std::string, kernel::State>> wishes;
    for (const auto& [name, port] : ports_) {
        if (port.attachment && reached(*port.attachment)) {
            auto attached = attach(port.spec, pool);
            if (!attached) {
                return std::unexpected(std::move(attached.error()).in("port " + name.str()));
            }
            wishes.emplace_back(owner(name), wish(*attached));
            next.emplace(name, std::move(*attached));
        }
    }
    TRY_OK(kernel::commit_all(kernel_, ledger_, std::move(wishes)));
    for (auto& [name, port] : next) {
        ports_.insert_or_assign(name, std::move(port));
        tell(name);
    }
    return {};
}

Result<void> Ports::refilter(const std::set<std::string>& changed) {
    return attach_again([&](const nwfilter::Attachment& attachment) {
        return std::ranges::any_of(changed,
                                   [&](const std::string& filter) { return attachment.filters.contains(filter); });
    });
}

Result<void> Ports::refresh_sets() {
    return attach_again([](const nwfilter::Attachment& attachment) { return !attachment.sets.empty(); });
}

std::vector<std::pair<std::string, kernel::State>> Ports::note(const LeaseKey& key, const Lease& lease) {
    const auto fed = by_lease_.find(key);
    if (!lease.ended) {
        leases_[key][lease.address] = lease.expires;
    } else if (const auto known = leases_.find(key); known != leases_.end()) {
        known->second.erase(lease.address);
        if (known->second.empty()) {
            leases_.erase(known);
        }
    }
    std::vector<std::pair<std::string, kernel::State>> wishes;
    for (const IfName& name : fed == by_lease_.end() ? std::set<IfName>{} : fed->second) {
        // A server that takes a lease back takes what its own words had taught, too.
        if (const auto learned = learned_.find(name); lease.ended && learned != learned_.end()) {
            std::erase_if(learned->second, [&](const auto& one) { return one.leased && one.address == lease.address; });
        }
        const Port& port = ports_.at(name);
        if (port.attachment && port.attachment->learning) {
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
    for (auto& [name, wish] : note({network, mac}, lease)) {
        // Cannot contradict another owner: the elements carry this port's own name.
        [[maybe_unused]] const auto scope = ledger_.put(name, std::move(wish));
    }
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
    if (port == ports_.end() || !port->second.attachment || !port->second.attachment->learning) {
        return std::nullopt;
    }
    const nwfilter::Learning& how = *port->second.attachment->learning;
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
            scope.add(wish(port));
        }
    }
    TRY([[maybe_unused]] const std::size_t applied, kernel::reconcile(kernel_, ledger_, scope));
    return {};
}

}  // namespace bascule::daemon
