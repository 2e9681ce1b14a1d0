// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/networks.h"

#include <algorithm>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "kernel/linux/facts.h"
#include "kernel/reconcile.h"
#include "network/check.h"
#include "network/compile.h"
#include "network/extras.h"
#include "network/xml.h"

namespace bascule::daemon {

namespace os = kernel::os;

namespace {

std::string owner(const Uuid& uuid) { return "network:" + bascule::format(uuid); }  // network::owner_of

}  // namespace

Networks::Networks(Host& host, HostRoutes& routes, Netsvc& netsvc, Events& events, InUse in_use)
    : host_(host),
      routes_(routes),
      netsvc_(netsvc),
      events_(events),
      in_use_(std::move(in_use)),
      hooks_(host, "network"),
      definitions_(host.files, "/etc/bascule/networks"),
      live_(host.files, "/run/bascule/networks") {}

// ---- looking up ---------------------------------------------------------------------------------

Network* Networks::find(const Uuid& uuid) {
    const auto it = networks_.find(uuid);
    return it == networks_.end() ? nullptr : &it->second;
}

Network* Networks::find_name(std::string_view name) {
    const auto it = names_.find(name);
    return it == names_.end() ? nullptr : find(it->second);
}

Result<const Network*> Networks::by_name(std::string_view name) const {
    const auto it = names_.find(name);
    if (it == names_.end()) {
        return fail(Code::no_network, fmt::format("no network with matching name '{}'", name));
    }
    return &networks_.at(it->second);
}

Result<const Network*> Networks::by_uuid(const Uuid& uuid) const {
    const auto it = networks_.find(uuid);
    if (it == networks_.end()) {
        return fail(Code::no_network, fmt::format("no network with matching uuid '{}'", bascule::format(uuid)));
    }
    return &it->second;
}

std::optional<Uuid> Networks::of_bridge(const IfName& bridge) const {
    for (const auto& [uuid, network] : networks_) {
        if (network.live && network.live->bridge == bridge) {
            return uuid;
        }
    }
    return std::nullopt;
}

std::vector<const Network*> Networks::all() const {
    std::vector<const Network*> out;
    for (const auto& [name, uuid] : names_) {
        out.push_back(&networks_.at(uuid));
    }
    return out;
}

std::set<IfName> Networks::bridges() const {
    std::set<IfName> out;
    for (const auto& [uuid, network] : networks_) {
        for (const auto* const spec : {&network.live, &network.definition}) {
            if (*spec && (*spec)->has_own_bridge() && (*spec)->bridge) {
                out.insert(*(*spec)->bridge);
            }
        }
    }
    return out;
}

std::vector<const network::Spec*> Networks::running() const {
    std::vector<const network::Spec*> out;
    for (const auto& [uuid, network] : networks_) {
        if (network.live) {
            out.push_back(&*network.live);
        }
    }
    return out;
}

std::string Networks::format(const Network& network, bool inactive) const {
    const bool live = network.active() && !(inactive && network.persistent());
    const network::Spec& spec = live ? *network.live : *network.definition;
    return network::format(spec, {.inactive = !live, .connections = live ? in_use_(spec.uuid) : 0});
}

void Networks::set_live(Network& network, std::optional<network::Spec> spec) {
    if (network.live) {
        claims_.remove(*network.live);
        noted_.erase(network.live->uuid);
    }
    network.live = std::move(spec);
    if (network.live) {
        claims_.add(*network.live);
        if (!network.live->metadata.empty()) {
            noted_.insert(network.live->uuid);
        }
    }
}

// ---- checks -------------------------------------------------------------------------------------

// Same name and uuid: the same network. Same name or same uuid only: the peer's refusals.
Result<void> Networks::check_identity(const network::Spec& spec) const {
    const auto named = names_.find(spec.name.str());
    if (named != names_.end() && named->second != spec.uuid) {
        return fail(Code::exists, fmt::format("network '{}' already exists with uuid {}", spec.name.str(),
                                              bascule::format(named->second)));
    }
    const auto same = networks_.find(spec.uuid);
    if (same != networks_.end() && same->second.shown().name != spec.name) {
        return fail(Code::exists, fmt::format("network '{}' is already defined with uuid {}",
                                              same->second.shown().name.str(), bascule::format(spec.uuid)));
    }
    return {};
}

// What the document left out is taken from the network's former definition, which its uuid names, else generated.
Result<void> Networks::complete(network::Spec& spec) const {
    if (const auto known = networks_.find(spec.uuid); known != networks_.end()) {
        const network::Spec& former = known->second.shown();
        spec.bridge = spec.bridge ? spec.bridge : former.bridge;
        spec.mac = spec.mac ? spec.mac : former.mac;
        if (network::needs_subnet(spec) && spec.addresses.empty()) {
            spec.addresses = former.addresses;
        }
    }
    const bool named = !spec.has_own_bridge() || (spec.bridge && !spec.bridge->str().contains("%d"));
    if (named && !network::needs_subnet(spec)) {
        return network::complete(spec, {});  // nothing to look for
    }
    network::Taken taken;
    TRY(taken.links, os::link_names());
    TRY(const auto routes, os::route_destinations());
    for (const os::RouteTo& route : routes) {
        taken.subnets.push_back(route.destination);
    }
    for (const auto& [uuid, network] : networks_) {
        for (const auto* const other : {&network.definition, &network.live}) {
            if (!*other || (*other)->name == spec.name) {
                continue;
            }
            if ((*other)->bridge) {
                taken.links.insert(*(*other)->bridge);
            }
            for (const auto& ip : (*other)->addresses) {
                taken.subnets.push_back(ip.address.prefix());
            }
        }
    }
    return network::complete(spec, taken);
}

Result<void> Networks::check_clashes_now(const network::Spec& spec) const {
    std::vector<const network::Spec*> others;
    for (const Uuid& uuid : claims_.meeting(spec)) {
        if (const auto other = networks_.find(uuid);
            uuid != spec.uuid && other != networks_.end() && other->second.live) {
            others.push_back(&*other->second.live);
        }
    }
    std::vector<network::HostRoute> routes;
    TRY(const auto seen, routes_.others());
    for (const os::RouteTo& route : seen) {
        routes.push_back({route.destination, route.device});
    }
    for (const kernel::Route& route : host_.ledger.wanted().routes) {  // of our networks
        routes.push_back({route.destination, route.link ? route.link->str() : std::string()});
    }
    return network::check_clashes(spec, others, routes);
}

// A clash with a route that is only remembered may be none any more: news of its end may be on their way.
Result<void> Networks::check_clashes(const network::Spec& spec) const {
    const bool remembered = routes_.remembered();
    auto done = check_clashes_now(spec);
    if (!done && remembered) {
        routes_.forget();
        return check_clashes_now(spec);
    }
    return done;
}

// ---- up and down --------------------------------------------------------------------------------

Result<void> Networks::serve(const std::optional<dhcp::Spec>& service, const network::Spec& spec) {
    if (service) {
        return netsvc_.serve(*service, spec.domain_register.value_or(true));
    }
    netsvc_.stop_serving(spec.uuid);
    return {};
}

Result<void> Networks::bring_up(Network& network, network::Spec spec) {
    TRY_OK(network::check_realisable(spec));
    TRY_OK(check_clashes(spec));
    TRY_OK(possible_(spec));
    auto compiled = network::compile(spec, admits_of(spec));
    const std::string name = owner(spec.uuid);
    TRY_OK(kernel::commit(host_.kernel, host_.ledger, name, std::move(compiled.state)));
    auto rest = [&]() -> Result<void> {
        TRY_OK(serve(compiled.service, spec));
        return live_.save(spec.name, network::format(spec));
    }();
    if (!rest) {
        netsvc_.stop_serving(spec.uuid);
        if (auto undone = kernel::withdraw(host_.kernel, host_.ledger, name); !undone) {
            log::error("network {}: taking it back: {}", spec.name.str(), undone.error().message);
        }
        return rest;
    }
    set_live(network, std::move(spec));
    tell_hook(*network.live, "started", "begin");
    emit(*network.live, kStarted);
    return tell_admitting(network.live->name.str());
}

Result<void> Networks::bring_down(Network& network) {
    const network::Spec spec = *network.live;
    TRY_OK(live_.remove(spec.name));
    netsvc_.stop_serving(spec.uuid);
    const auto rules = rules_of(spec);
    set_live(network, std::nullopt);
    auto withdrawn = kernel::withdraw(host_.kernel, host_.ledger, owner(spec.uuid));
    if (rules) {
        rules_changed_(*rules, nullptr);
    }
    tell_hook(spec, "stopped", "end");
    emit(spec, kStopped);
    TRY_OK(tell_admitting(spec.name.str()));
    return withdrawn;
}

// ---- who may reach whom -------------------------------------------------------------------------

// The running ones of the networks that the definition admits.
std::vector<nat::Admitted> Networks::admits_of(const network::Spec& spec) const {
    std::vector<nat::Admitted> out;
    for (const std::string& name : network::extras_of(spec.metadata).admits) {
        const auto other = by_name(name);
        if (other && (*other)->live && (*other)->live->has_own_bridge() && name != spec.name.str()) {
            const nat::Spec theirs = network::rules_of(*(*other)->live);
            out.push_back({.bridge = theirs.bridge, .subnets = theirs.subnets});
        }
    }
    return out;
}

// None for what has no bridge of ours.
std::optional<nat::Spec> Networks::rules_of(const network::Spec& spec) const {
    return spec.has_own_bridge() ? std::optional(network::rules_of(spec, admits_of(spec))) : std::nullopt;
}

// The network of that name came or went: those that admit it let it in, or its bridge's name no longer.
Result<void> Networks::tell_admitting(const std::string& name) {
    for (const Uuid& uuid : noted_) {
        const Network& network = networks_.at(uuid);
        const auto admits = network::extras_of(network.live->metadata).admits;
        if (std::ranges::find(admits, name) != admits.end()) {
            auto compiled = network::compile(*network.live, admits_of(*network.live));
            TRY_OK(kernel::commit(host_.kernel, host_.ledger, owner(uuid), std::move(compiled.state)));
        }
    }
    return {};
}

// ---- the use cases ------------------------------------------------------------------------------

Result<void> Networks::keep_definition(network::Spec spec) {
    const Uuid uuid = spec.uuid;
    names_.insert_or_assign(spec.name.str(), uuid);
    Network& network = networks_[uuid];
    network.autostart = definitions_.autostart(spec.name);
    network.definition = std::move(spec);
    return {};
}

Result<void> Networks::destroy(const Uuid& uuid) {
    TRY(const Network* const found, by_uuid(uuid));
    if (!found->active()) {
        return fail(Code::invalid_state, fmt::format("network '{}' is not active", found->shown().name.str()));
    }
    auto done = bring_down(*find(uuid));
    forget_if_gone(uuid);
    return done;
}

Result<void> Networks::undefine(const Uuid& uuid) {
    TRY(const Network* const found, by_uuid(uuid));
    const std::string name = found->shown().name.str();
    if (found->active()) {
        return fail(Code::invalid_state, fmt::format("network '{}' is still active: destroy it first", name));
    }
    TRY_OK(definitions_.remove(found->definition->name));
    const network::Spec spec = *found->definition;
    names_.erase(name);
    networks_.erase(uuid);
    netsvc_.forget(uuid);
    emit(spec, kUndefined);
    return {};
}

Result<void> Networks::set_autostart(const Uuid& uuid, bool on) {
    TRY(const Network* const found, by_uuid(uuid));
    if (!found->persistent()) {
        return fail(Code::invalid_state, "cannot set autostart for transient network");
    }
    TRY_OK(definitions_.set_autostart(found->definition->name, on));
    find(uuid)->autostart = on;
    return {};
}

void Networks::forget_if_gone(const Uuid& uuid) {
    const Network* const network = find(uuid);
    if (network != nullptr && !network->active() && !network->persistent()) {
        networks_.erase(uuid);
        netsvc_.forget(uuid);
        std::erase_if(names_, [&](const auto& entry) { return entry.second == uuid; });
    }
}

void Networks::emit(const network::Spec& spec, int event) {
    events_.network({spec.name.str(), spec.uuid, event, 0});
    changed_();
}

// ---- from the disk ------------------------------------------------------------------------------

// One definition file. What had to be made up (uuid, bridge, mac) is written back, so that it stays.
Result<void> Networks::read_file(const Store::Entry& entry) {
    TRY(const std::string text, entry.text);
    TRY(network::Spec spec, network::parse(text));
    if (spec.name.str() != entry.name) {
        return fail(Code::invalid_xml, fmt::format("the network is called '{}', but the file's name says '{}': "
                                                   "rename one of them",
                                                   spec.name.str(), entry.name));
    }
    const network::Spec written = spec;
    if (const auto named = names_.find(spec.name.str()); spec.uuid.is_nil() && named != names_.end()) {
        spec.uuid = named->second;  // a file that was replaced by one without is still the same network
    }
    TRY_OK(complete(spec));
    TRY_OK(check_identity(spec));
    if (!(spec == written)) {
        TRY_OK(definitions_.save(spec.name, network::format(spec)));
    }
    return keep_definition(std::move(spec));
}

std::vector<std::string> Networks::load() {
    std::vector<std::string> problems;
    const auto note = [&](const std::string& path, Error error) {
        problems.push_back(located(path, std::move(error)).message);
    };
    const auto each = [&](const Store& store, auto read) {
        const auto entries = store.load();
        if (!entries) {
            problems.push_back(entries.error().message);
            return;
        }
        for (const Store::Entry& entry : *entries) {
            if (auto done = read(entry); !done) {
                note(entry.path, std::move(done).error());
            }
        }
    };
    each(definitions_, [&](const Store::Entry& entry) { return read_file(entry); });
    each(live_, [&](const Store::Entry& entry) -> Result<void> {
        TRY(const std::string text, entry.text);
        TRY(network::Spec spec, network::parse(text));
        auto compiled = network::compile(spec);  // who is admitted is told as the others are read
        TRY(const kernel::Scope scope, host_.ledger.put(owner(spec.uuid), std::move(compiled.state)));
        (void)scope;  // made true by the first full reconcile
        TRY_OK(serve(compiled.service, spec));
        names_.insert_or_assign(spec.name.str(), spec.uuid);
        Network& network = networks_[spec.uuid];
        set_live(network, std::move(spec));
        return {};
    });
    for (const auto& [uuid, network] : networks_) {
        if (auto admits = network.live ? admits_of(*network.live) : std::vector<nat::Admitted>(); !admits.empty()) {
            // Elements of the network's own: they contradict nobody.
            [[maybe_unused]] const auto scope =
                host_.ledger.put(owner(uuid), network::compile(*network.live, std::move(admits)).state);
        }
    }
    return problems;
}

Result<void> Networks::install_default() {
    TRY(const Network* const network, define(network::default_definition()));
    return set_autostart(network->definition->uuid, true);
}

std::vector<std::string> Networks::autostart() {
    std::vector<const Network*> wanted;
    for (const auto& [uuid, network] : networks_) {
        if (network.autostart && !network.active()) {
            wanted.push_back(&network);
        }
    }
    // What a hook makes wait is told of later.
    const auto problems = std::make_shared<std::optional<std::vector<std::string>>>(std::in_place);
    for (const Network* const network : wanted) {
        begin(*network->definition, false, [problems, name = network->definition->name.str()](Result<Uuid> started) {
            if (started) {
                return;
            }
            std::string said = fmt::format("network {}: {}", name, started.error().message);
            if (*problems) {
                (*problems)->push_back(std::move(said));
            } else {
                log::error("{}", said);
            }
        });
    }
    auto out = *std::exchange(*problems, std::nullopt);
    return out;
}

std::vector<std::string> Networks::reload() {
    std::vector<std::string> problems;
    const auto entries = definitions_.load();
    if (!entries) {
        return {entries.error().message};
    }
    std::set<std::string> on_disk;
    for (const Store::Entry& entry : *entries) {
        on_disk.insert(entry.name);
        const Network* const before = find_name(entry.name);
        const auto known = before != nullptr ? before->definition : std::nullopt;
        auto done = read_file(entry);
        Network* const network = find_name(entry.name);
        if (done && network->definition != known) {
            emit(*network->definition, kDefined);
            if (network->active()) {
                done = apply_live(*network);
            }
        }
        if (!done) {
            problems.push_back(located(entry.path, std::move(done).error()).message);
        }
    }
    for (const Network* const network : all()) {
        if (network->persistent() && !on_disk.contains(network->definition->name.str())) {
            const network::Spec spec = *network->definition;
            find(spec.uuid)->definition.reset();
            emit(spec, kUndefined);
            forget_if_gone(spec.uuid);
        }
    }
    for (std::string& problem : autostart()) {
        problems.push_back(std::move(problem));
    }
    return problems;
}

}  // namespace bascule::daemon
