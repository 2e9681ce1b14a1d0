// SPDX-License-Identifier: GPL-2.0-or-later
// Procedure to use case, one table a file. A handler takes arguments apart, checks flags, calls one use case and
// puts the answer together; it decides nothing.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/bytes.h"

#include "base/result.h"
#include "daemon/agents.h"
#include "daemon/console.h"
#include "daemon/device_events.h"
#include "daemon/emulator.h"
#include "daemon/filters.h"
#include "daemon/guests.h"
#include "daemon/host_interfaces.h"
#include "daemon/netsvc.h"
#include "daemon/networks.h"
#include "daemon/subscriptions.h"
#include "daemon/traces.h"
#include "kernel/host_facts.h"
#include "kernel/linux/host.h"
#include "rpc/handlers.h"
#include "rpc/proto_types.h"
#include "vmm/capabilities.h"

namespace bascule::daemon {

class Storage;

struct Services {
    Host& host;
    Networks& networks;
    Filters& filters;
    Guests& guests;
    Ports& ports;
    Netsvc& netsvc;
    Subscriptions& subscriptions;
    DeviceEvents& device_events;
    Emulator& emulator;
    Consoles& consoles;
    Traces& traces;
    Agents& agents;
    HostInterfaces& interfaces;
    vmm::HostFacts facts;
    // What was wrong with files at start or at the last reload; `bascule status` shows it until it is mended.
    std::vector<std::string> problems;
    std::function<void()> reload;  // reads the files again and sets `problems`
};

void add_connect_handlers(rpc::Handlers& handlers, Services& services);
void add_node_handlers(rpc::Handlers& handlers, Services& services);  // the host's processors and memory
void add_cpu_handlers(rpc::Handlers& handlers, Services& services);   // capabilities and processor models
void add_device_handlers(rpc::Handlers& handlers, Services& services);
void add_interface_handlers(rpc::Handlers& handlers, Services& services);
void add_event_handlers(rpc::Handlers& handlers, Services& services);  // registering for events, all classes
void add_network_handlers(rpc::Handlers& handlers, Services& services);
class NetworkPorts;
void add_network_port_handlers(rpc::Handlers& handlers, Services& services, NetworkPorts& ports);
void add_filter_handlers(rpc::Handlers& handlers, Services& services);
void add_domain_handlers(rpc::Handlers& handlers, Services& services);
void add_domain_device_handlers(rpc::Handlers& handlers, Services& services);  // counters, console
void add_domain_address_handlers(rpc::Handlers& handlers, Services& services);
void add_domain_change_handlers(rpc::Handlers& handlers, Services& services);  // memory, processors, notes, name
void add_domain_vcpu_handlers(rpc::Handlers& handlers, Services& services);
void add_domain_stats_handlers(rpc::Handlers& handlers, Services& services, Storage& storage);
void add_domain_tuning_handlers(rpc::Handlers& handlers, Services& services);
void add_domain_bandwidth_handlers(rpc::Handlers& handlers, Services& services);                // of one NIC
void add_domain_block_handlers(rpc::Handlers& handlers, Services& services, Storage& storage);  // disks
void add_domain_display_handlers(rpc::Handlers& handlers, Services& services, Storage& storage);
void add_domain_control_handlers(rpc::Handlers& handlers, Services& services);  // of a running one: keys, reboot …
void add_agent_handlers(rpc::Handlers& handlers, Services& services);           // what a guest's agent is told
void add_agent_facts_handlers(rpc::Handlers& handlers, Services& services);     // what it says
void add_refusals(rpc::Handlers& handlers, Services& services);  // what belongs to engines that are not there

// Flags that a call may carry; others are refused in the peer's words. `function` is libvirt's driver function.
inline Result<void> check_flags(std::uint32_t flags, std::uint32_t known, std::string_view function) {
    if ((flags & ~known) != 0) {
        return fail(Code::invalid_argument,
                    fmt::format("unsupported flags (0x{:x}) in function {}", flags & ~known, function));
    }
    return {};
}

// VIR_TYPED_PARAM_STRING_OKAY: the client understands text parameters. Its library sets it by itself.
inline constexpr std::uint32_t kStringOkay = 4;

// The answer of a "get parameters" call: clients ask with 0 first and are told how many there are.
template <class Ret>
Ret sized(std::vector<rpc::TypedParam> params, std::int32_t wanted) {
    Ret ret;
    ret.nparams = static_cast<std::int32_t>(params.size());
    if (wanted > 0) {
        params.resize(std::min(params.size(), static_cast<std::size_t>(wanted)));
        ret.nparams = static_cast<std::int32_t>(params.size());
        ret.params = std::move(params);
    }
    return ret;
}

// Sets of processors as they travel: bit N%8 of byte N/8 is processor N.
Bytes cpu_bitmap(const std::vector<unsigned>& cpus, std::size_t bytes);
std::vector<unsigned> cpus_of(ByteView bitmap);

kernel::HostTopology host_topology();

// Asks the agent of a running guest. `timeout`: of the call, in seconds or one of vmm::kAgent*; else the guest's holds,
// else the command's.
void ask_agent(Services& services, const Uuid& guest, Agents::Command command, Agents::Answer answer,
               std::int32_t timeout = vmm::kAgentDefault);
// How many processors a running guest has online, and how many it is to have: by its agent.
void guest_cpus_online(Services& services, const Uuid& guest, std::move_only_function<void(Result<std::size_t>)> then);
void set_guest_cpus_online(Services& services, const Uuid& guest, std::size_t wanted,
                           std::move_only_function<void(Result<void>)> then);
// Down ("powerdown") or up again ("reboot") through the agent; answers when the guest has gone down.
void power_by_agent(Services& services, const Uuid& guest, std::string_view mode, Agents::Answer answer);
// What a shutdown or reboot with these flags (of any that libvirt knows) is done by.
enum class PowerBy { button, agent };
Result<PowerBy> power_by(std::uint32_t flags, std::string_view function);

// The threads of a running guest's processors, by the name that QEMU gives them (-name debug-threads=on).
std::optional<unsigned> vcpu_of(std::string_view thread_name);
std::map<unsigned, kernel::os::ThreadUse> vcpu_threads(const Domain& domain);

// VIR_DOMAIN_AFFECT_*, the lower bits of many calls' flags.
inline constexpr std::uint32_t kAffectLive = 1, kAffectConfig = 2;
inline Guests::Impact impact_of(std::uint32_t flags) {
    switch (flags & (kAffectLive | kAffectConfig)) {
        case 0: return Guests::Impact::current;
        case kAffectLive: return Guests::Impact::live;
        case kAffectConfig: return Guests::Impact::config;
        default: return Guests::Impact::both;
    }
}

// For questions about a guest's settings: it is there, it runs where its running self is meant, and it has a definition
// where that is. `flags` may also say that text parameters are understood.
Result<void> check_target(const Services& s, const rpc::proto::Domain& dom, std::uint32_t flags,
                          std::string_view function);

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

// For operations of guests that end later: answers with nothing.
template <class P>
Guests::Done answering(rpc::Responder<P> responder) {
    return [r = std::move(responder)](const Result<Uuid>& result) mutable {
        r.answer(result ? Result<void>() : std::unexpected(result.error()));
    };
}

rpc::proto::Network to_wire(const Network& network);
rpc::proto::Domain to_wire(const Domain& domain);
rpc::proto::Nwfilter to_wire(const nwfilter::Filter& filter);
rpc::proto::NwfilterBinding to_wire(const nwfilter::Binding& binding);

}  // namespace bascule::daemon
