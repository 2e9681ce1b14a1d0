// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/host.h"
#include "daemon/ports.h"
#include "daemon/store.h"
#include "kernel/linux/nft_counters.h"
#include "nwfilter/port.h"
#include "nwfilter/spec.h"

namespace bascule::daemon {

// The network filters: those that come with the program, and the user's, which may stand in for one of them under
// its name and uuid. And the bindings that clients made by hand; a guest's are its ports.
class Filters {
public:
    // `network_of` names the running network whose bridge that is: its leases feed ports in it.
    using NetworkOf = std::function<std::optional<Uuid>(const IfName& bridge)>;
    Filters(Host& host, Ports& ports, NetworkOf network_of);

    std::vector<std::string> load();           // definitions
    std::vector<std::string> load_bindings();  // those of a former daemon, into the ledger; after load()
    std::vector<std::string> reload();
    // What filters can rely on here: asks the kernel, and reads named sets from /etc/bascule/sets/NAME.
    nwfilter::Abilities abilities() const;

    const nwfilter::Filter* find(const std::string& name) const;
    Result<const nwfilter::Filter*> by_name(std::string_view name) const;
    Result<const nwfilter::Filter*> by_uuid(const Uuid& uuid) const;
    std::vector<const nwfilter::Filter*> all() const;  // by name
    // In force on every port that uses it when it returns, or refused and nothing changed.
    Result<const nwfilter::Filter*> define(std::string_view xml);
    Result<void> undefine(const Uuid& uuid);
    // What define would change, port by port, as text for people. Nothing changes.
    Result<std::string> diff(std::string_view xml) const;
    // Which rules of its filter decide about a packet of that port (nwfilter/explain.h), and how.
    Result<std::string> explain(std::string_view port, std::string_view packet) const;

    // What filters have dropped or rejected at a port, or at all of them (nwfilter/counters.h), by rule.
    struct Drop {
        IfName port;
        bool from_guest = false;
        std::string rule;  // "no-ip-spoofing/rule 3"
        std::uint64_t packets = 0, bytes = 0;
    };
    Result<std::vector<Drop>> drops(std::optional<std::string_view> port) const;

    Result<const nwfilter::Binding*> bind(std::string_view xml);
    Result<void> unbind(const IfName& port);
    Result<const nwfilter::Binding*> binding(std::string_view port) const;
    std::vector<const nwfilter::Binding*> bindings() const;
    // A guest's port is shown as a binding, too, but is not kept here.
    void note_guest_port(nwfilter::Binding binding);
    void forget_guest_port(const IfName& port);

private:
    struct Kept {
        nwfilter::Binding binding;
        bool guests = false;
    };
    Result<nwfilter::Filter> accept(nwfilter::Filter filter) const;
    Result<void> put(nwfilter::Filter filter);
    Result<PortSpec> port_of(const nwfilter::Binding& binding) const;
    const nwfilter::Port* counted_port(const kernel::os::Counted& counted) const;
    void sweep_soon();
    void sweep();
    std::string binding_file(const IfName& port) const { return "/run/bascule/bindings/" + port.str() + ".xml"; }

    Host& host_;
    Ports& ports_;
    NetworkOf network_of_;
    Store definitions_;
    std::map<std::string, nwfilter::Filter, std::less<>> filters_;
    std::map<IfName, Kept> bindings_;
    std::unique_ptr<kernel::Watch> sweep_;
};

}  // namespace bascule::daemon
