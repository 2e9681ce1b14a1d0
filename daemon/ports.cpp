// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/ports.h"

#include <algorithm>

#include "kernel/reconcile.h"

namespace bascule::daemon {

void merge(kernel::Ruleset& into, kernel::Ruleset from) {
    for (auto& [family, table] : from) {
        kernel::Table& target = into[family];
        target.sets.merge(table.sets);
        target.chains.merge(table.chains);
        for (auto& [set, elements] : table.elements) {
            target.elements[set].merge(elements);
        }
    }
}

Result<Ports::Port> Ports::attach(PortSpec spec) const {
    Port port{std::move(spec), std::nullopt};
    if (port.spec.filter) {
        TRY(port.attachment, attach_filter(*port.spec.filter));
    }
    return port;
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
    merge(state.rules, port.attachment->rules);
    if (port.attachment->learns_ip && port.spec.network) {
        const auto lease = learned_.find({*port.spec.network, port.spec.mac});
        if (lease != learned_.end()) {
            merge(state.rules, nwfilter::learned(*port.attachment, lease->second.address, lease->second.expires));
        }
    }
    return state;
}

void Ports::keep(Port port) {
    const IfName name = port.spec.ifname;
    if (port.spec.network) {
        by_lease_[{*port.spec.network, port.spec.mac}].insert(name);
    }
    ports_.insert_or_assign(name, std::move(port));
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
    const auto port = ports_.find(ifname);
    if (port == ports_.end() || !port->second.spec.network) {
        return {};
    }
    const auto lease = learned_.find({*port->second.spec.network, port->second.spec.mac});
    return lease == learned_.end() ? std::vector<Ip>{} : std::vector{lease->second.address};
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
    std::vector<std::pair<std::string, kernel::State>> wishes;
    for (const auto& [name, port] : ports_) {
        if (port.attachment && reached(*port.attachment)) {
            auto attached = attach(port.spec);
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

std::vector<std::pair<std::string, kernel::State>> Ports::note(const LeaseKey& key,
                                                               const std::optional<Learned>& lease) {
    if (lease) {
        learned_.insert_or_assign(key, *lease);
    } else {
        learned_.erase(key);
    }
    std::vector<std::pair<std::string, kernel::State>> wishes;
    if (const auto fed = by_lease_.find(key); fed != by_lease_.end()) {
        for (const IfName& name : fed->second) {
            const Port& port = ports_.at(name);
            if (port.attachment && port.attachment->learns_ip) {
                wishes.emplace_back(owner(name), wish(port));
            }
        }
    }
    return wishes;
}

Result<void> Ports::learn(const Uuid& network, const MacAddr& mac, const std::optional<Learned>& lease) {
    auto wishes = note({network, mac}, lease);
    return wishes.empty() ? Result<void>() : kernel::commit_all(kernel_, ledger_, std::move(wishes));
}

void Ports::learn_quietly(const Uuid& network, const MacAddr& mac, const std::optional<Learned>& lease) {
    for (auto& [name, wish] : note({network, mac}, lease)) {
        // Cannot contradict another owner: the elements carry this port's own name.
        [[maybe_unused]] const auto scope = ledger_.put(name, std::move(wish));
    }
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
