// SPDX-License-Identifier: GPL-2.0-or-later
// Changes of a network's notes. Of our own elements among them, what they say about rules takes effect at once.
#include "daemon/networks.h"
#include "kernel/reconcile.h"
#include "network/compile.h"
#include "network/extras.h"
#include "network/xml.h"

namespace bascule::daemon {

Result<void> Networks::annotate(const Uuid& uuid, bool live, bool config, const Edit& edit) {
    TRY_OK(by_uuid(uuid));
    Network& network = *find(uuid);
    if (live && !network.active()) {
        return fail(Code::invalid_state, "network is not running");
    }
    if (config && !network.persistent()) {
        return fail(Code::invalid_state, "transient networks do not have any persistent config");
    }
    const bool both = !live && !config;  // whichever the network shows
    std::optional<network::Spec> running, defined;
    if (live || (both && network.active())) {
        running = *network.live;
        TRY_OK(edit(*running));
        TRY_OK(network::check_extras(running->metadata));
    }
    if (config || (both && !network.active())) {
        defined = *network.definition;
        TRY_OK(edit(*defined));
        TRY_OK(network::check_extras(defined->metadata));
        TRY_OK(definitions_.save(defined->name, network::format(*defined)));
        network.definition = std::move(defined);
    }
    if (running) {
        TRY_OK(live_.save(running->name, network::format(*running)));
        const auto before = rules_of(*network.live), after = rules_of(*running);
        if (before && after && before != after) {  // our own elements are metadata too
            auto compiled = network::compile(*running, after->admits);
            TRY_OK(kernel::commit(host_.kernel, host_.ledger, network::owner_of(*running), std::move(compiled.state)));
            rules_changed_(*before, &*after);
        }
        set_live(network, std::move(running));
    }
    return {};
}

}  // namespace bascule::daemon
