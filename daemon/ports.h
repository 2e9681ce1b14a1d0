// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "dhcp/learner.h"
#include "kernel/io.h"
#include "kernel/kernel.h"
#include "kernel/ledger.h"
#include "nwfilter/classes.h"
#include "nwfilter/port.h"

namespace bascule::daemon {

// Where something plugs into a bridge: a guest's NIC, or a device that a client put under a filter by
// nwfilter-binding-create. Each port is one owner in the ledger ("port:vnet0"), whose wish is the link, its elements in
// its filter's sets, and the addresses learned for it. What ports of a class have together, chains and sets, is an
// owner of its own ("filters_…"), which comes with the first of them and goes with the last. Both change together, so
// that the plan can put the filter in force before the link comes up.
struct PortSpec {
    IfName ifname;
    MacAddr mac;
    std::optional<Uuid> network;  // the network whose leases feed the filter's IP variable
    kernel::State link;           // empty when the device is not ours
    std::optional<nwfilter::Port> filter;
};

class Ports {
public:
    Ports(kernel::Kernel& kernel, kernel::Ledger& ledger, nwfilter::Lookup lookup)
        : kernel_(kernel), ledger_(ledger), lookup_(std::move(lookup)) {}
    // Asked when a filter first needs it, and again when one was refused: a module may be there now. Nobody asked:
    // filters can rely on nothing.
    void rely_on(std::function<nwfilter::Abilities()> abilities) { ask_abilities_ = std::move(abilities); }

    // Makes the port so. On failure nothing of it is left (or what was before).
    Result<void> plug(PortSpec spec);
    // The same without touching the kernel: a port found at start, made true by the first full reconcile.
    Result<void> remember(PortSpec spec);
    Result<void> unplug(const IfName& ifname);
    bool has(const IfName& ifname) const { return ports_.contains(ifname); }
    std::set<IfName> names() const;

    // Some filters changed: every port whose tree holds one of them gets its new rules, all in one
    // transaction, or none does.
    Result<void> refilter(const std::set<std::string>& changed);
    bool uses(const std::string& filter) const;
    // The named sets may have changed: every port whose filter asks one gets what they are now.
    Result<void> refresh_sets();
    // What the port's filter was compiled from; null: the port has no filter.
    const nwfilter::Port* filter_of(const IfName& ifname) const;
    std::vector<Ip> learned_by(const IfName& ifname) const;
    // All that its filter takes for the guest's: given as IP or IPV6, or learned.
    std::vector<Ip> addresses_of(const IfName& ifname) const;
    // The filtered port that rules know by that bridge and MAC address; null: none.
    const nwfilter::Port* by_mac(const IfName& bridge, const MacAddr& mac) const;
    std::vector<const nwfilter::Port*> using_filter(const std::string& filter) const;

    // A lease of that network's port was given, or has ended. Leases are kept for ports that are not plugged yet: they
    // may be older than the port.
    struct Lease {
        Ip address;
        std::optional<kernel::Time> expires;  // none: never
        bool ended = false;
        bool operator==(const Lease&) const = default;
    };
    Result<void> lease(const Uuid& network, const MacAddr& mac, const Lease& lease);
    // The same with the kernel left to a later reconcile.
    void lease_quietly(const Uuid& network, const MacAddr& mac, const Lease& lease);
    // All that bascule-netsvc has learned of the port from copies of its frames (daemon/learning.h).
    Result<void> learned(const IfName& ifname, const std::vector<dhcp::LearnedAddress>& addresses);
    void learned_quietly(const IfName& ifname, const std::vector<dhcp::LearnedAddress>& addresses);
    // How the port learns, and what it has learned; its index is left to the caller. None: it does not.
    std::optional<dhcp::WatchedPort> watched(const IfName& ifname) const;
    // Told when that port came, went, or may learn in another way now.
    void on_change(std::function<void(const IfName&)> changed) { changed_ = std::move(changed); }

    // The network's bridge is there again: its ports are put back into it.
    Result<void> settle(const Uuid& network);

private:
    using LeaseKey = std::pair<Uuid, MacAddr>;
    struct Port {
        PortSpec spec;
        std::optional<nwfilter::Member> member;  // none: it has no filter
        bool by_mac = false;                     // its rules may take its MAC address in its bridge for the port
    };
    using Common = std::shared_ptr<const nwfilter::Common>;
    static std::string owner(const IfName& ifname) { return "port:" + ifname.str(); }
    const nwfilter::Abilities& abilities() const;
    Result<Port> attach(PortSpec spec) const;
    // What ports that are made ready together share: their classes, and who of them has which MAC address.
    using Station = std::pair<IfName, MacAddr>;  // in that bridge
    struct Ready {
        nwfilter::Classes classes;
        std::map<Station, IfName> by_mac{};
    };
    Ready ready() const { return {{lookup_, abilities(), ledger_.wanted().rules}}; }
    Result<Port> attach(PortSpec spec, Ready& ready) const;
    bool takes_mac(const nwfilter::Port& filter, Ready& ready) const;
    template <class Reached>
    Result<void> attach_again(Reached reached);
    template <class Reached>
    Result<std::vector<Port>> attached_again(Reached reached);
    kernel::State wish(const Port& port) const;
    kernel::Scope scope_of(const Port& port) const;
    void keep(Port port);
    void know(const Port& port);  // by bridge and MAC address, if it may be
    void forget(const Port& port);

    // Classes that ports come to, or leave.
    struct Moves {
        std::map<std::string, std::pair<Common, int>> by_class;
        void add(const Port& port, int ports);
        void replace(const Port* former, const Port& next);
    };
    kernel::Ledger::Changes changes(const Moves& moves) const;
    void note(const Moves& moves);
    const Port* find(const IfName& ifname) const;
    // Notes a lease; the wishes that change by it.
    kernel::Ledger::Changes note(const LeaseKey& key, const Lease& lease);
    // Every address the port may use, and when that ends.
    std::map<Ip, std::optional<kernel::Time>> addresses_of(const Port& port) const;
    void tell(const IfName& ifname) const;

    kernel::Kernel& kernel_;
    kernel::Ledger& ledger_;
    nwfilter::Lookup lookup_;
    std::function<nwfilter::Abilities()> ask_abilities_;
    mutable std::optional<nwfilter::Abilities> abilities_;
    std::map<IfName, Port> ports_;
    std::map<Station, IfName> by_mac_;            // those that rules know so
    std::map<std::string, std::size_t> classes_;  // how many ports each has
    std::map<LeaseKey, std::map<Ip, std::optional<kernel::Time>>> leases_;
    std::map<IfName, std::vector<dhcp::LearnedAddress>> learned_;
    std::function<void(const IfName&)> changed_;
    std::map<LeaseKey, std::set<IfName>> by_lease_;  // the ports that a lease feeds
};

}  // namespace bascule::daemon
