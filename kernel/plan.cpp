// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/plan.h"

#include <algorithm>
#include <utility>

namespace bascule::kernel {

namespace {

using std::chrono::abs;

// A timeout set from an expiry and read back again has lost a little on the way through the kernel.
constexpr std::chrono::seconds kExpiryTolerance{2};

bool ours(const Link& link) { return link.kind != LinkKind::foreign; }

// Whether a link can only be had by making it anew.
bool must_be_remade(const Link& actual, const Link& wanted) {
    if (!ours(actual) || !ours(wanted)) {
        return false;
    }
    return actual.kind != wanted.kind || (wanted.kind == LinkKind::tap && actual.queues != wanted.queues) ||
           actual.vlan != wanted.vlan || (actual.bond && wanted.bond && actual.bond->mode != wanted.bond->mode);
}

template <class T>
bool fits(const std::optional<T>& actual, const std::optional<T>& wanted) {
    return !wanted || actual == wanted;
}

// What a wish leaves open is as it should be.
bool fits(const Link& actual, const Link& wanted) {
    if (!fits(actual.master, wanted.master)) {
        return false;
    }
    return !ours(wanted) ||
           (actual.kind == wanted.kind && actual.owner == wanted.owner && fits(actual.mac, wanted.mac) &&
            fits(actual.mtu, wanted.mtu) && fits(actual.bridge, wanted.bridge) && fits(actual.port, wanted.port) &&
            fits(actual.station, wanted.station) && fits(actual.bond, wanted.bond));
}

// The kernel keeps a burst as the time that it takes, in steps of 64 ns: it comes back a little smaller.
bool same_burst(std::uint64_t actual, std::uint64_t wanted) {
    const std::uint64_t apart = actual > wanted ? actual - wanted : wanted - actual;
    return apart <= wanted / 100 + 64;
}

bool same(const Shaping& actual, const Shaping& wanted) {
    const auto alike = [](const auto& a, const auto& b) {
        return a.has_value() == b.has_value() && (!a || (a->rate == b->rate && same_burst(a->burst, b->burst)));
    };
    return actual.shared == wanted.shared && alike(actual.out, wanted.out) && alike(actual.in, wanted.in) &&
           (!actual.out || actual.out->ceil == wanted.out->ceil) && (!actual.in || actual.in->peak == wanted.in->peak);
}

bool same(const Element& actual, const Element& wanted) {
    if (actual.data != wanted.data || actual.expires.has_value() != wanted.expires.has_value()) {
        return false;
    }
    return !actual.expires || abs(*actual.expires - *wanted.expires) <= kExpiryTolerance;
}

template <class Map, class Key>
const typename Map::mapped_type& at_or_empty(const Map& map, const Key& key) {
    static const typename Map::mapped_type empty;
    const auto found = map.find(key);
    return found == map.end() ? empty : found->second;
}

// One pass from an actual state to a wanted one. Each step appends its ops and brings left_ to what the kernel
// holds after them, so that later steps see what earlier ones took along.
class Planner {
public:
    Planner(const State& actual, const State& wanted) : actual_(actual), wanted_(wanted), left_(actual) {}

    std::vector<Op> run() {
        for (const auto& [name, link] : actual_.links) {
            const auto wish = wanted_.links.find(name);
            if (ours(link) && (wish == wanted_.links.end() || must_be_remade(link, wish->second))) {
                going_.insert(name);
            }
        }
        take_vlans_along();
        take_down();
        release_foreign_links();
        drop_addresses_and_routes();
        drop_shapings();
        drop_links();
        put_bridges();
        change_rules();
        put_ports();
        put_shapings();
        set_sysctls();
        put_addresses();
        set_up();
        put_routes();
        return std::move(ops_);
    }

private:
    // VLANs go with the link that they are of, whether or not they are wanted (net/8021q/vlan.c, vlan_device_event).
    void take_vlans_along() {
        for (bool more = true; more;) {
            more = false;
            for (const auto& [name, link] : actual_.links) {
                more |= link.vlan && going_.contains(link.vlan->parent) && going_.insert(name).second;
            }
        }
    }

    // Down before anything that guards it goes: what shall be down, what moves to another bridge, and
    // devices that netdev chains are on. Such a chain goes before its device: with some kernels it goes
    // along with it (net/netfilter/nft_chain_filter.c, nft_netdev_event), with others it stays, and in a
    // transaction removing what is gone is an error.
    void take_down() {
        for (const auto& [name, link] : wanted_.links) {
            const auto now = actual_.links.find(name);
            if (now != actual_.links.end() && ours(link) && ours(now->second) && !going_.contains(name) &&
                (!link.up || (now->second.master && !fits(now->second.master, link.master)))) {
                set_down(name);
            }
        }
        RuleBatch hooks;
        for (const auto& [name, chain] : at_or_empty(actual_.rules, Family::netdev).chains) {
            const auto device = chain.hook ? IfName::parse(chain.hook->device) : std::nullopt;
            if (device && going_.contains(*device)) {
                set_down(*device);
                hooks.remove[Family::netdev].chains.insert(name);
                left_.rules[Family::netdev].chains.erase(name);
            }
        }
        if (!hooks.empty()) {
            ops_.emplace_back(std::move(hooks));
        }
    }

    void set_down(const IfName& name) {
        if (Link& link = left_.links.at(name); link.up) {
            ops_.emplace_back(LinkUp{name, false});
            link.up = false;
        }
    }

    // A foreign link that nobody wants any more leaves our bridge, if it is in one that stays.
    void release_foreign_links() {
        for (const auto& [name, link] : actual_.links) {
            if (ours(link) || !link.master || wanted_.links.contains(name) || going_.contains(*link.master)) {
                continue;
            }
            const auto bridge = actual_.links.find(*link.master);
            if (bridge != actual_.links.end() && ours(bridge->second)) {
                Link released = link;
                released.master.reset();
                ops_.emplace_back(PutLink{name, std::move(released)});
            }
        }
    }

    // Removing comes before adding: the kernel removes the secondary addresses of a subnet with its primary one
    // (net/ipv4/devinet.c, __inet_del_ifa), and routes with the last address. So what
    // is to stay is put again afterwards.
    void drop_addresses_and_routes() {
        for (const Route& route : actual_.routes) {
            if (!wanted_.routes.contains(route) && !(route.link && going_.contains(*route.link))) {
                ops_.emplace_back(DropRoute{route});
                left_.routes.erase(route);
            }
        }
        for (const Address& address : actual_.addresses) {
            if (wanted_.addresses.contains(address) || going_.contains(address.link) || !is_managed(address.link)) {
                continue;
            }
            ops_.emplace_back(DropAddress{address});
            std::erase_if(left_.addresses, [&address](const Address& other) {
                return other == address || (other.link == address.link && other.address.address.is_v4() &&
                                            other.address.prefix() == address.address.prefix());
            });
            std::erase_if(left_.routes, [&address](const Route& route) { return route.link == address.link; });
        }
    }

    // Foreign links keep their addresses, whoever gave them.
    bool is_managed(const IfName& name) const {
        const auto link = actual_.links.find(name);
        return link != actual_.links.end() && ours(link->second);
    }

    void drop_shapings() {
        for (const auto& [name, shaping] : actual_.shapings) {
            if (!wanted_.shapings.contains(name) && !going_.contains(name)) {
                ops_.emplace_back(DropShaping{name});
            }
        }
    }

    // Before the link comes up.
    void put_shapings() {
        for (const auto& [name, shaping] : wanted_.shapings) {
            const auto now = actual_.shapings.find(name);
            Floors floors = floors_of(wanted_.floors, name);
            if (now == actual_.shapings.end() || going_.contains(name) || !same(now->second, shaping) ||
                floors_of(actual_.floors, name) != floors) {
                ops_.emplace_back(PutShaping{name, shaping, std::move(floors)});
            }
        }
    }

    void drop_links() {
        for (const LinkKind kind : {LinkKind::tap, LinkKind::vlan, LinkKind::bond, LinkKind::bridge}) {
            for (const IfName& name : going_) {
                if (actual_.links.at(name).kind == kind) {
                    ops_.emplace_back(DropLink{name});
                    forget(name);
                }
            }
        }
    }

    void forget(const IfName& name) {
        left_.links.erase(name);
        std::erase_if(left_.addresses, [&name](const Address& address) { return address.link == name; });
        std::erase_if(left_.routes, [&name](const Route& route) { return route.link == name; });
        for (auto& [other, link] : left_.links) {
            if (link.master == name) {
                link.master.reset();
            }
        }
    }

    // Bridges, so that ports and addresses have something to go to; and those new taps that a netdev chain
    // is about to name, which are not let into a bridge before that chain is there.
    void put_bridges() {
        for (const auto& [name, link] : wanted_.links) {
            if (link.kind == LinkKind::bridge) {
                put(name, link);
            }
        }
        for (const auto& [name, chain] : at_or_empty(wanted_.rules, Family::netdev).chains) {
            const auto device = chain.hook ? IfName::parse(chain.hook->device) : std::nullopt;
            const auto wish = device ? wanted_.links.find(*device) : wanted_.links.end();
            if (wish != wanted_.links.end() && wish->second.kind == LinkKind::tap && !left_.links.contains(*device)) {
                Link alone = wish->second;
                alone.master.reset();
                put(*device, alone);
            }
        }
    }

    void put_ports() {
        for (const LinkKind kind : {LinkKind::bond, LinkKind::vlan, LinkKind::tap, LinkKind::foreign}) {
            for (const auto& [name, link] : wanted_.links) {
                if (link.kind == kind) {
                    put(name, link);
                }
            }
        }
    }

    void put(const IfName& name, const Link& wish) {
        const auto now = left_.links.find(name);
        if (now != left_.links.end() && fits(now->second, wish)) {
            return;
        }
        if (wish.vlan && putting_.insert(name).second) {
            if (const auto parent = wanted_.links.find(wish.vlan->parent); parent != wanted_.links.end()) {
                put(parent->first, parent->second);  // which may be a VLAN itself
            }
        }
        ops_.emplace_back(PutLink{name, wish});
        Link made = wish;
        made.up = now != left_.links.end() && now->second.up;
        left_.links.insert_or_assign(name, std::move(made));
    }

    // All changes of rules that are not about a vanishing device, in one transaction.
    void change_rules() {
        RuleBatch batch;
        for (const Family family : {Family::inet, Family::bridge, Family::netdev}) {
            change_table(family, at_or_empty(left_.rules, family), at_or_empty(wanted_.rules, family), batch);
        }
        if (!batch.empty()) {
            ops_.emplace_back(std::move(batch));
        }
    }

    static void change_table(Family family, const Table& now, const Table& wish, RuleBatch& batch) {
        Table add;
        RuleBatch::Removal remove;
        for (const auto& [name, set] : wish.sets) {
            if (const auto found = now.sets.find(name); found == now.sets.end() || found->second != set) {
                add.sets.emplace(name, set);
            }
        }
        for (const auto& [name, chain] : wish.chains) {
            const auto found = now.chains.find(name);
            if (found == now.chains.end() || found->second.rules.size() != chain.rules.size()) {
                add.chains.emplace(name, chain);
            }
        }
        for (const auto& [name, set] : now.sets) {
            if (!wish.sets.contains(name)) {
                remove.sets.insert(name);
            }
        }
        for (const auto& [name, chain] : now.chains) {
            if (!wish.chains.contains(name)) {
                remove.chains.insert(name);
            }
        }
        change_elements(now, wish, add, remove);
        note_types(now, wish, add, remove, batch.types[family]);
        if (batch.types[family].empty()) {
            batch.types.erase(family);
        }
        if (!add.empty()) {
            batch.add.emplace(family, std::move(add));
        }
        if (!remove.empty()) {
            batch.remove.emplace(family, std::move(remove));
        }
    }

    static void change_elements(const Table& now, const Table& wish, Table& add, RuleBatch::Removal& remove) {
        for (const auto& [set, elements] : wish.elements) {
            const auto& present = at_or_empty(now.elements, set);
            for (const auto& [key, element] : elements) {
                const auto found = present.find(key);
                if (found != present.end() && same(found->second, element)) {
                    continue;
                }
                add.elements[set].emplace(key, element);
                if (found != present.end()) {
                    remove.elements[set].insert(key);
                }
            }
        }
        for (const auto& [set, elements] : now.elements) {
            if (remove.sets.contains(set)) {
                continue;  // they go with it
            }
            const auto& wished = at_or_empty(wish.elements, set);
            for (const auto& [key, element] : elements) {
                if (!wished.contains(key)) {
                    remove.elements[set].insert(key);
                }
            }
        }
    }

    static void note_types(const Table& now, const Table& wish, const Table& add, const RuleBatch::Removal& remove,
                           std::map<std::string, SetDef>& types) {
        const auto note = [&](const std::string& set) {
            if (const auto wished = wish.sets.find(set); wished != wish.sets.end()) {
                types.insert(*wished);
            } else if (const auto present = now.sets.find(set); present != now.sets.end()) {
                types.insert(*present);
            }
        };
        for (const auto& [set, elements] : add.elements) {
            note(set);
        }
        for (const auto& [set, keys] : remove.elements) {
            note(set);
        }
    }

    // After the links that some of them belong to, and after the rules: forwarding is not turned on before
    // what limits it is there. Never taken back, since others may rely on them.
    void set_sysctls() {
        for (const auto& [key, value] : wanted_.sysctls) {
            if (const auto now = actual_.sysctls.find(key);
                now == actual_.sysctls.end() || now->second != value || is_remade(key)) {
                ops_.emplace_back(SetSysctl{key, value});
            }
        }
    }

    // A link that was made anew has the defaults again.
    bool is_remade(const std::string& key) const {
        return std::ranges::any_of(going_, [&key](const IfName& name) { return key.contains("/" + name.str() + "/"); });
    }

    void put_addresses() {
        for (const Address& address : wanted_.addresses) {
            if (!left_.addresses.contains(address)) {
                ops_.emplace_back(PutAddress{address});
            }
        }
    }

    void set_up() {
        // A VLAN comes up only on a link that is.
        for (const LinkKind kind : {LinkKind::bridge, LinkKind::bond, LinkKind::vlan, LinkKind::tap}) {
            for (const auto& [name, link] : wanted_.links) {
                const auto now = left_.links.find(name);
                const bool up = now != left_.links.end() && now->second.up;
                if (link.kind == kind && link.up && !up) {
                    ops_.emplace_back(LinkUp{name, true});
                }
            }
        }
    }

    // The kernel takes routes only on links that are up.
    void put_routes() {
        for (const Route& route : wanted_.routes) {
            if (!left_.routes.contains(route)) {
                ops_.emplace_back(PutRoute{route});
            }
        }
    }

    const State& actual_;
    const State& wanted_;
    State left_;
    std::set<IfName> going_;    // ours, dropped in this pass
    std::set<IfName> putting_;  // VLANs whose parents were looked after
    std::vector<Op> ops_;
};

}  // namespace

std::vector<Op> plan(const State& actual, const State& wanted) { return Planner(actual, wanted).run(); }

}  // namespace bascule::kernel
