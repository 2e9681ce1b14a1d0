// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "daemon/claims.h"
#include "daemon/hooks.h"
#include "daemon/host.h"
#include "daemon/host_routes.h"
#include "daemon/netsvc.h"
#include "daemon/store.h"
#include "nat/spec.h"
#include "network/defaults.h"
#include "network/port.h"
#include "network/spec.h"
#include "network/update.h"

namespace bascule::daemon {

// One network: what is on the disk and what runs. A persistent one has a definition; an active one has a
// live specification, which a later define does not change; a transient one has only that.
struct Network {
    std::optional<network::Spec> definition;
    std::optional<network::Spec> live;
    bool autostart = false;

    bool active() const { return live.has_value(); }
    bool persistent() const { return definition.has_value(); }
    const network::Spec& shown() const { return live ? *live : *definition; }
};

// The network use cases. Pointers returned are valid until the next change.
class Networks {
public:
    // virNetworkEventLifecycleType
    static constexpr int kDefined = 0, kUndefined = 1, kStarted = 2, kStopped = 3;
    // Detail of kDefined, ours: a route of the host's came to overlap its subnet, `bascule status` proposes another.
    static constexpr int kOverlaps = 1;

    // `in_use` says how many ports a network has.
    using InUse = std::function<unsigned(const Uuid&)>;
    Networks(Host& host, HostRoutes& routes, Netsvc& netsvc, Events& events, InUse in_use);

    // Told when a running network's rules changed: what it let pass, and what it lets pass now (null: it stopped).
    using RulesChanged = std::function<void(const nat::Spec& before, const nat::Spec* after)>;
    void on_rules_changed(RulesChanged on) { rules_changed_ = std::move(on); }

    // What a network asks of the host beside its own links: asked before anything is done, told when all of it is.
    using Possible = std::function<Result<void>(const network::Spec&)>;
    void on_host_side(Possible possible, std::function<void()> changed) {
        possible_ = std::move(possible);
        changed_ = std::move(changed);
    }

    // Definitions and live state from the disk, wishes into the ledger; no effect on the kernel. Broken files are
    // reported and left alone.
    std::vector<std::string> load();
    // What a fresh installation has: the network `default`, which starts with the host.
    Result<void> install_default();
    // Starts what starts with the host. Problems are reported.
    std::vector<std::string> autostart();
    // Files dropped, edited or removed since: definitions follow, a running network whose bridge stays the same
    // is brought to its new definition.
    std::vector<std::string> reload();

    // `live`: the running network becomes what the definition says, or nothing changes and the error says why not.
    Result<const Network*> define(std::string_view xml, bool live = false);
    // These two wait for the administrator's hook, which may refuse. `done` is called once.
    using Done = std::move_only_function<void(Result<Uuid>)>;
    void create(std::string_view xml, Done done);  // transient, active
    void start(const Uuid& uuid, Done done);
    Result<void> destroy(const Uuid& uuid);
    Result<void> undefine(const Uuid& uuid);
    Result<void> set_autostart(const Uuid& uuid, bool on);
    // Changes notes of what runs, of the definition, or (neither) of what the network shows. On an error nothing is.
    // net-update: one section, of what runs, of the definition, or (neither) of what the network shows. What runs
    // changes at once, bridge and ports stay. On an error nothing changes.
    Result<void> update(const Uuid& uuid, bool live, bool config, const network::Update& change);
    using Edit = std::function<Result<void>(network::Spec&)>;
    Result<void> annotate(const Uuid& uuid, bool live, bool config, const Edit& edit);

    Result<const Network*> by_name(std::string_view name) const;
    Result<const Network*> by_uuid(const Uuid& uuid) const;
    std::optional<Uuid> of_bridge(const IfName& bridge) const;  // the active network that has it
    std::vector<const Network*> all() const;                    // by name
    std::vector<const network::Spec*> running() const;
    // Whether it overlaps a subnet of one that runs.
    bool meets(const Prefix& subnet) const { return !claims_.meeting(subnet).empty(); }
    std::set<IfName> bridges() const;  // of ours, whether they run or not
    std::string format(const Network& network, bool inactive) const;
    // What the administrator's hook is to be told of a port ("port-created", "port-deleted"); of the first it may say
    // no.
    std::vector<Errand> port_errands(const Uuid& network, const char* operation, const network::Port& port) const;

private:
    Network* find(const Uuid& uuid);
    // What a network is while it runs changes here only.
    void set_live(Network& network, std::optional<network::Spec> spec);
    Network* find_name(std::string_view name);
    Result<void> check_identity(const network::Spec& spec) const;
    Result<void> complete(network::Spec& spec) const;
    Result<void> check_clashes(const network::Spec& spec) const;
    Result<void> check_clashes_now(const network::Spec& spec) const;
    Result<void> serve(const std::optional<dhcp::Spec>& service, const network::Spec& spec);
    // Asks the hook, then brings up what there is by then.
    void begin(network::Spec spec, bool transient, Done done);
    Result<void> enter(network::Spec spec, bool transient);
    void tell_hook(const network::Spec& spec, const char* operation, const char* suboperation);
    Result<void> bring_up(Network& network, network::Spec spec);
    Result<void> bring_down(Network& network);
    Result<void> keep_definition(network::Spec spec);
    Result<void> read_file(const Store::Entry& entry);
    Result<void> apply_live(Network& network);
    Result<void> make_live(Network& network, network::Spec next);
    std::vector<nat::Admitted> admits_of(const network::Spec& spec) const;
    std::optional<nat::Spec> rules_of(const network::Spec& spec) const;
    Result<void> tell_admitting(const std::string& name);
    void forget_if_gone(const Uuid& uuid);
    void emit(const network::Spec& spec, int event);

    Host& host_;
    HostRoutes& routes_;
    Netsvc& netsvc_;
    Events& events_;
    InUse in_use_;
    Hooks hooks_;
    std::set<Uuid> starting_;  // whose hook is asked
    RulesChanged rules_changed_ = [](const nat::Spec&, const nat::Spec*) {};
    Possible possible_ = [](const network::Spec&) { return Result<void>(); };
    std::function<void()> changed_ = [] {};
    Store definitions_, live_;
    std::map<Uuid, Network> networks_;
    std::map<std::string, Uuid, std::less<>> names_;
    // Of those that run: what each claims, and who has notes, in which it may admit others.
    Claims claims_;
    std::set<Uuid> noted_;
};

}  // namespace bascule::daemon
