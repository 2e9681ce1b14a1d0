// SPDX-License-Identifier: GPL-2.0-or-later
// Procedure to use case, one table a file. A handler takes arguments apart, checks flags, calls one use case and
// puts the answer together; it decides nothing.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/result.h"
#include "daemon/console.h"
#include "daemon/emulator.h"
#include "daemon/filters.h"
#include "daemon/guests.h"
#include "daemon/netsvc.h"
#include "daemon/networks.h"
#include "daemon/subscriptions.h"
#include "rpc/handlers.h"
#include "rpc/proto_types.h"
#include "vmm/capabilities.h"

namespace bascule::daemon {

struct Services {
    Host& host;
    Networks& networks;
    Filters& filters;
    Guests& guests;
    Ports& ports;
    Netsvc& netsvc;
    Subscriptions& subscriptions;
    Emulator& emulator;
    Consoles& consoles;
    vmm::HostFacts facts;
    // What was wrong with files at start or at the last reload; `bascule status` shows it until it is mended.
    std::vector<std::string> problems;
    std::function<void()> reload;  // reads the files again and sets `problems`
};

void add_connect_handlers(rpc::Handlers& handlers, Services& services);
void add_event_handlers(rpc::Handlers& handlers, Services& services);  // registering for events, all classes
void add_network_handlers(rpc::Handlers& handlers, Services& services);
void add_filter_handlers(rpc::Handlers& handlers, Services& services);
void add_domain_handlers(rpc::Handlers& handlers, Services& services);
void add_domain_device_handlers(rpc::Handlers& handlers, Services& services);  // addresses, counters, console

// Flags that a call may carry; others are refused in the peer's words. `function` is libvirt's driver function.
inline Result<void> check_flags(std::uint32_t flags, std::uint32_t known, std::string_view function) {
    if ((flags & ~known) != 0) {
        return fail(Code::invalid_argument,
                    fmt::format("unsupported flags (0x{:x}) in function {}", flags & ~known, function));
    }
    return {};
}

// One group of a "list all" call's flags: none or all of them set is no filter at all.
inline bool passes(std::uint32_t flags, std::uint32_t yes, std::uint32_t no, bool value) {
    const bool wants_yes = (flags & yes) != 0, wants_no = (flags & no) != 0;
    return wants_yes == wants_no || (value ? wants_yes : wants_no);
}

// The names of some objects, at most `most` of them: what the older calls return.
template <class Objects, class Filter, class Name>
std::vector<std::string> names_of(const Objects& objects, std::int32_t most, Filter filter, Name name) {
    std::vector<std::string> names;
    for (const auto* const object : objects) {
        if (filter(*object) && names.size() < static_cast<std::size_t>(std::max(most, 0))) {
            names.push_back(name(*object));
        }
    }
    return names;
}

rpc::proto::Network to_wire(const Network& network);
rpc::proto::Domain to_wire(const Domain& domain);
rpc::proto::Nwfilter to_wire(const nwfilter::Filter& filter);
rpc::proto::NwfilterBinding to_wire(const nwfilter::Binding& binding);

}  // namespace bascule::daemon
