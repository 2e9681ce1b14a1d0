// SPDX-License-Identifier: GPL-2.0-or-later
// Definitions, and changes of what runs. A running network is never taken down for a change: the wish of its owner
// is put anew, and the plan is the difference. So the bridge, its ports and whoever is not concerned stay as they are.
#include <fmt/format.h>

#include "base/log.h"
#include "daemon/networks.h"
#include "kernel/reconcile.h"
#include "network/check.h"
#include "network/compile.h"
#include "network/xml.h"

namespace bascule::daemon {

// All of it or, with an error, what it was.
Result<void> Networks::make_live(Network& network, network::Spec next) {
    const network::Spec& running = *network.live;
    TRY_OK(network::check_realisable(next));
    TRY_OK(network::check_live(running, next, in_use_(running.uuid)));
    TRY_OK(check_clashes(next));
    TRY_OK(possible_(next));
    const std::string name = network::owner_of(next);
    const auto before = rules_of(running), after = rules_of(next);
    auto compiled = network::compile(next, admits_of(next));
    // A change of what is served alone is none to the kernel, which is not asked what it has.
    const kernel::State* const wish = host_.ledger.wish(name);
    const bool concerns_kernel = wish == nullptr || *wish != compiled.state;
    if (concerns_kernel) {
        TRY_OK(kernel::commit(host_.kernel, host_.ledger, name, std::move(compiled.state)));
    }
    auto rest = [&]() -> Result<void> {
        TRY_OK(serve(compiled.service, next));
        return live_.save(next.name, network::format(next));
    }();
    if (!rest) {
        auto former = network::compile(running, admits_of(running));
        auto undone = concerns_kernel ? kernel::commit(host_.kernel, host_.ledger, name, std::move(former.state))
                                      : Result<void>();
        if (!undone) {
            log::error("network {}: taking it back: {}", running.name.str(), undone.error().message);
        }
        if (auto served = serve(former.service, running); !served) {
            log::error("network {}: taking it back: {}", running.name.str(), served.error().message);
        }
        return rest;
    }
    set_live(network, std::move(next));
    changed_();
    if (before && before != after) {
        rules_changed_(*before, after ? &*after : nullptr);
    }
    return {};
}

// Brings a running network to its definition.
Result<void> Networks::apply_live(Network& network) { return make_live(network, *network.definition); }

Result<const Network*> Networks::define(std::string_view xml, bool live) {
    TRY(network::Spec spec, network::parse(xml));
    TRY_OK(network::check_realisable(spec));
    TRY_OK(complete(spec));
    TRY_OK(check_identity(spec));
    const Uuid uuid = spec.uuid;
    Network* const known = find(uuid);
    const auto former = known == nullptr ? std::nullopt : known->live;
    if (live && former) {
        TRY_OK(make_live(*known, spec));
    }
    if (auto saved = definitions_.save(spec.name, network::format(spec)); !saved) {
        if (live && former) {
            if (auto undone = make_live(*known, *former); !undone) {
                log::error("network {}: taking it back: {}", spec.name.str(), undone.error().message);
            }
        }
        return std::unexpected(std::move(saved).error());
    }
    TRY_OK(keep_definition(std::move(spec)));
    if (live && former) {
        tell_hook(*find(uuid)->live, "updated", "begin");
    }
    emit(*find(uuid)->definition, kDefined);
    return find(uuid);
}

Result<void> Networks::update(const Uuid& uuid, bool live, bool config, const network::Update& change) {
    TRY_OK(by_uuid(uuid));
    Network& network = *find(uuid);
    if (!live && !config) {  // whichever the network shows
        live = network.active();
        config = !live;
    }
    if (live && !network.active()) {
        return fail(Code::invalid_state, "network is not running");
    }
    if (config && !network.persistent()) {
        return fail(Code::invalid_state, "cannot change persistent config of a transient network");
    }
    const auto changed = [&](const network::Spec& spec) -> Result<network::Spec> {
        network::Spec next = spec;
        TRY_OK(network::update(next, change));
        TRY_OK(network::check(next));
        TRY_OK(network::check_realisable(next));
        return next;
    };
    std::optional<network::Spec> running, defined;
    if (live) {
        TRY(running, changed(*network.live));
    }
    if (config) {
        TRY(defined, changed(*network.definition));
        TRY_OK(definitions_.save(defined->name, network::format(*defined)));
    }
    if (running) {
        if (auto made = make_live(network, *std::move(running)); !made) {
            if (defined) {
                TRY_OK(definitions_.save(defined->name, network::format(*network.definition)));
            }
            return made;
        }
    }
    if (defined) {
        network.definition = std::move(defined);
    }
    tell_hook(network.shown(), "updated", "begin");
    return {};
}

// ---- starting, with the administrator's leave ---------------------------------------------------

void Networks::tell_hook(const network::Spec& spec, const char* operation, const char* suboperation) {
    hooks_.run(spec.name.str(), operation, suboperation, network::format(spec),
               [name = spec.name.str(), operation](Result<void> told) {
                   if (!told) {
                       log::error("network {}: {}: {}", name, operation, told.error().message);
                   }
               });
}

std::vector<Errand> Networks::port_errands(const Uuid& network, const char* operation,
                                           const network::Port& port) const {
    const auto found = by_uuid(network);
    if (!found) {
        return {};  // undefined since
    }
    const network::Spec& spec = (*found)->shown();
    auto errands = hooks_.errands(spec.name.str(), operation, "begin", network::format(spec) + network::format(port));
    if (!errands) {
        log::error("network {}: {}: {}", spec.name.str(), operation, errands.error().message);
        return {};
    }
    return *std::move(errands);
}

void Networks::begin(network::Spec spec, bool transient, Done done) {
    const Uuid uuid = spec.uuid;
    if (!starting_.insert(uuid).second) {
        return done(fail(Code::invalid_state, fmt::format("network '{}' is being started already", spec.name.str())));
    }
    const std::string name = spec.name.str(), document = network::format(spec);
    hooks_.run(name, "start", "begin", document,
               [this, transient, wanted = std::move(spec), call = std::move(done)](Result<void> allowed) mutable {
                   const Uuid id = wanted.uuid;
                   starting_.erase(id);
                   auto started = allowed ? enter(std::move(wanted), transient) : std::move(allowed);
                   call(started ? Result<Uuid>(id) : std::unexpected(std::move(started).error()));
               });
}

// Others may have changed things while the hook ran.
Result<void> Networks::enter(network::Spec spec, bool transient) {
    const Uuid uuid = spec.uuid;
    const Network* const before = find(uuid);
    if (before == nullptr && !transient) {
        return fail(Code::no_network, fmt::format("network '{}' was undefined meanwhile", spec.name.str()));
    }
    if (before != nullptr && before->active()) {
        return fail(Code::invalid_state, fmt::format("network '{}' is already active", spec.name.str()));
    }
    TRY_OK(check_identity(spec));
    names_.insert_or_assign(spec.name.str(), uuid);
    auto started = bring_up(networks_[uuid], std::move(spec));
    forget_if_gone(uuid);
    return started;
}

void Networks::create(std::string_view xml, Done done) {
    auto spec = [&]() -> Result<network::Spec> {
        TRY(network::Spec read, network::parse(xml));
        TRY_OK(network::check_realisable(read));
        TRY_OK(complete(read));
        TRY_OK(check_identity(read));
        if (const Network* const known = find(read.uuid); known != nullptr && known->active()) {
            return fail(Code::invalid_state, fmt::format("network '{}' is already active", read.name.str()));
        }
        return read;
    }();
    if (!spec) {
        return done(std::unexpected(std::move(spec).error()));
    }
    begin(*std::move(spec), true, std::move(done));
}

void Networks::start(const Uuid& uuid, Done done) {
    const auto found = by_uuid(uuid);
    if (!found) {
        return done(std::unexpected(found.error()));
    }
    if ((*found)->active()) {
        return done(fail(Code::invalid_state, "network is already active"));
    }
    begin(*(*found)->definition, false, std::move(done));
}

}  // namespace bascule::daemon
