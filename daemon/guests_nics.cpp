// SPDX-License-Identifier: GPL-2.0-or-later
// A guest's NICs on the host: their taps and descriptors, the programs that plug them in, and changing them while the
// guest runs.
#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "base/log.h"
#include "daemon/guests.h"
#include "daemon/network_ports.h"
#include "daemon/plug.h"
#include "kernel/linux/facts.h"
#include "kernel/linux/sockets.h"
#include "kernel/linux/tap.h"
#include "vhost/choose.h"
#include "vmm/names.h"
#include "vmm/xml.h"

namespace bascule::daemon {

namespace os = kernel::os;

namespace {

using Type = vmm::Interface::Type;

vhost::Asked asked(vmm::NicBackend backend) {
    switch (backend) {
        case vmm::NicBackend::qemu: return vhost::Asked::qemu;
        case vmm::NicBackend::vhost: return vhost::Asked::vhost;
        case vmm::NicBackend::automatic: break;
    }
    return vhost::Asked::nothing;
}

nwfilter::Parameters parameters(const vmm::FilterRef& reference) {
    nwfilter::Parameters out;
    for (const auto& [name, value] : reference.parameters) {
        out[name].push_back(value);
    }
    return out;
}

kernel::Command program_of(std::string program, std::vector<std::string> args) {
    return {.program = std::move(program),
            .args = std::move(args),
            .environment = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"},
            .uid = {},
            .gid = {},
            .groups = {},
            .fds = {}};
}

// ---- Open vSwitch

constexpr std::string_view kVsctl = "ovs-vsctl";
constexpr std::string_view kVswitchFiles = "/run/openvswitch";

kernel::Command vsctl(std::vector<std::string> args) {
    args.insert(args.begin(), {"--timeout=5", "--"});
    kernel::Command command = program_of(std::string(kVsctl), std::move(args));
    // It talks to a socket of the database's, and nobody else.
    command.confine = kernel::Confinement{.reads = {"/etc/openvswitch"},
                                          .writes = {std::string(kVswitchFiles)},
                                          .memory = std::uint64_t{1} << 30,
                                          .processor = std::chrono::seconds{10}};
    std::erase_if(command.confine->reads, [](const std::string& path) { return !os::path_exists(path); });
    return command;
}

void add_vlan(std::vector<std::string>& args, const Vlan& vlan) {
    std::string trunks;
    for (const VlanTag& tag : vlan.tags) {
        trunks += (trunks.empty() ? "" : ",") + std::to_string(tag.id);
        if (tag.native != VlanTag::Native::no) {
            args.push_back(
                fmt::format("vlan_mode=native-{}", tag.native == VlanTag::Native::tagged ? "tagged" : "untagged"));
            args.push_back(fmt::format("tag={}", tag.id));
        }
    }
    args.push_back(vlan.trunk ? "trunks=" + trunks : "tag=" + trunks);
}

// What the peer writes there, so that a controller finds the port by it.
kernel::Command add_to_vswitch(const Plug& plug, const vmm::Spec& spec, const vmm::Interface& nic, const IfName& tap) {
    std::vector<std::string> args{"--if-exists", "del-port",         tap.str(), "--",
                                  "add-port",    plug.bridge->str(), tap.str()};
    if (plug.vlan) {
        add_vlan(args, *plug.vlan);
    }
    const auto set = [&](std::string_view key, const std::string& value) {
        args.insert(args.end(),
                    {"--", "set", "Interface", tap.str(), fmt::format("external-ids:{}=\"{}\"", key, value)});
    };
    set("attached-mac", format(*nic.mac));
    set("iface-id", format(*plug.virtual_port->interface));
    set("vm-id", format(spec.uuid));
    if (!plug.virtual_port->profile.empty()) {
        set("port-profile", plug.virtual_port->profile);
    }
    set("iface-status", "active");
    return vsctl(std::move(args));
}

// ---- passt

std::string forward_words(const vmm::PortForward& forward) {
    std::string out;
    if (forward.address) {
        out += format(*forward.address);
    }
    if (forward.device) {
        out += "%" + forward.device->str();
    }
    out += out.empty() ? "" : "/";
    bool first = true;
    if (forward.ranges.empty()) {
        out += "all";
    }
    for (const vmm::PortForward::Range& range : forward.ranges) {
        out += fmt::format("{}{}{}", first ? "" : ",", range.exclude ? "~" : "", range.start);
        first = false;
        if (range.end != 0) {
            out += fmt::format("-{}", range.end);
        }
        if (range.to != 0) {
            out += fmt::format(":{}", range.to);
            if (range.end != 0) {
                out += fmt::format("-{}", range.to + (range.end - range.start));
            }
        }
    }
    return out;
}

// As QEMU's user, with one end of a pair of sockets as descriptor 3. It ends when the guest does.
kernel::Command passt(const vmm::Interface& nic) {
    kernel::Command command = program_of("passt", {"--foreground", "--one-off", "--quiet", "--fd", "3"});
    for (const vmm::NicIp& ip : nic.guest_ips) {
        command.args.insert(command.args.end(), {"--address", format(ip.address)});
        if (ip.prefix && ip.address.is_v4()) {
            command.args.insert(command.args.end(), {"--netmask", std::to_string(*ip.prefix)});
        }
    }
    if (!nic.passt_log.empty()) {
        command.args.insert(command.args.end(), {"--log-file", nic.passt_log});
    }
    for (const vmm::PortForward& forward : nic.forwards) {
        command.args.insert(command.args.end(), {forward.tcp ? "--tcp-ports" : "--udp-ports", forward_words(forward)});
    }
    return command;
}

}  // namespace

// The name the user wants, else the first free vnetN.
Result<IfName> Guests::tap_name(const vmm::Interface& nic) {
    const auto there = [this](const IfName& name) {
        kernel::Scope scope;
        scope.links.insert(name);
        const auto seen = deps_.host.kernel.observe(scope);
        return !seen || seen->links.contains(name);
    };
    if (nic.target && !nic.managed) {
        if (deps_.ports.has(*nic.target)) {
            return fail(Code::in_use, fmt::format("the tap '{}' is another guest's already", nic.target->str()));
        }
        if (!there(*nic.target)) {
            return fail(
                Code::invalid_state,
                fmt::format("there is no tap '{}', and <target managed='no'> leaves making it to you (ip tuntap "
                            "add {} mode tap vnet_hdr)",
                            nic.target->str(), nic.target->str()));
        }
        return *nic.target;
    }
    const auto taken = [&](const IfName& name) { return deps_.ports.has(name) || there(name); };
    if (nic.target) {
        if (taken(*nic.target)) {
            return fail(Code::conflict,
                        fmt::format("the device '{}' that <target dev> names exists already", nic.target->str()));
        }
        return *nic.target;
    }
    constexpr unsigned kMostTaps = 100'000;
    for (unsigned tried = 0; tried < kMostTaps; ++tried, next_tap_ = (next_tap_ + 1) % kMostTaps) {
        const auto name = IfName::parse(fmt::format("{}{}", vmm::kGeneratedTarget, next_tap_));
        if (name && !taken(*name)) {
            next_tap_ = (next_tap_ + 1) % kMostTaps;
            return *name;
        }
    }
    return fail(Code::conflict, "every name from vnet0 on is taken");
}

// The port of one NIC, and where it plugs in.
Result<PortSpec> Guests::port_of(const vmm::Spec& spec, std::size_t index, Domain::Nic& place) const {
    const vmm::Interface& nic = spec.interfaces[index];
    const IfName& tap = *place.tap;
    TRY(Plug plug, plug_of(nic, deps_.networks));
    place.network = plug.network;
    place.bridge = plug.bridge;
    place.open_vswitch = plug.open_vswitch();
    place.downscript = nic.downscript;
    if (plug.network) {
        TRY(const Network* const network, deps_.networks.by_uuid(*plug.network));
        place.port = port_of_nic(spec, nic, network->shown(), plug.bridge);
    }
    if (place.open_vswitch) {
        if (!os::path_exists(std::string(kVswitchFiles) + "/db.sock")) {
            return fail(Code::unsupported_config,
                        fmt::format("{}: Open vSwitch does not run on this host (package openvswitch-switch, unit "
                                    "openvswitch-switch.service)",
                                    vmm::nic_alias(spec, index)));
        }
        place.plug_in = add_to_vswitch(plug, spec, nic, tap);
    }
    if (plug.bandwidth.inbound && plug.bandwidth.inbound->floor != 0 && nic.type == Type::network) {
        TRY(const Network* const network, deps_.networks.by_name(nic.source));
        std::uint64_t others = 0;
        for (const auto& [key, rate] : kernel::floors_of(deps_.host.ledger.wanted().floors, *plug.bridge)) {
            others += key.station == *nic.mac ? 0 : rate / 1000;
        }
        TRY_OK(check_floor(*network, vmm::nic_alias(spec, index), plug.bandwidth.inbound->floor, others));
    }
    PortSpec port{.ifname = tap, .mac = *nic.mac, .network = plug.network, .link = {}, .filter = {}};
    port.link = compile(plug, nic, tap);
    if (nic.filter) {
        if (place.open_vswitch) {
            return fail(Code::unsupported_config,
                        fmt::format("{}: a port of an Open vSwitch bridge cannot have a <filterref>: its frames do not "
                                    "pass the kernel's bridge rules; use its own flows, or a kernel bridge",
                                    vmm::nic_alias(spec, index)));
        }
        port.filter = nwfilter::Port{tap, *nic.mac, nic.filter->filter, parameters(*nic.filter), plug.bridge};
    }
    return port;
}

// Clients see a filtered NIC as a binding.
void Guests::show_binding(const vmm::Spec& spec, std::size_t index, const IfName& tap) {
    const vmm::Interface& nic = spec.interfaces[index];
    if (nic.filter) {
        deps_.filters.note_guest_port({.owner_name = spec.name.str(),
                                       .owner_uuid = spec.uuid,
                                       .port = tap,
                                       .link_device = {},
                                       .mac = *nic.mac,
                                       .filter = {nic.filter->filter, parameters(*nic.filter)}});
    }
}

Result<UniqueFd> Guests::start_passt(const vmm::Interface& nic) {
    TRY(auto ends, os::stream_pair());
    kernel::Command command = passt(nic);
    command.fds = {ends.second.get()};
    command.uid = deps_.uid;
    command.gid = deps_.gid;
    auto process = deps_.host.spawner.spawn(command);
    if (!process) {
        return std::unexpected(std::move(process).error().in("<backend type='passt'>: passt (package passt)"));
    }
    return std::move(ends.first);
}

Result<Guests::OpenNics> Guests::open_nics(Domain& domain, vmm::Spec& spec) {
    const bool host_vhost = deps_.host.taps.open_vhost_net().has_value();
    OpenNics out;
    for (std::size_t i = 0; i < spec.interfaces.size(); ++i) {
        vmm::Interface& nic = spec.interfaces[i];
        auto& tap_fds = out.taps.emplace_back();
        auto& vhost_fds = out.vhosts.emplace_back();
        out.passts.emplace_back();
        if (!nic.has_tap()) {
            out.plans.push_back({});
            domain.nics.push_back({});
            if (nic.passt) {
                TRY(out.passts.back(), start_passt(nic));
            }
            continue;
        }
        TRY(const auto path, vhost::choose({.asked = asked(nic.backend), .virtio = vmm::is_virtio(nic.model)},
                                           {.vhost_net = host_vhost}));
        const bool vhost = path == vhost::DataPath::vhost;
        TRY(const IfName tap, tap_name(nic));
        Domain::Nic place{.tap = tap};
        TRY(PortSpec port, port_of(spec, i, place));
        domain.nics.push_back(place);
        TRY_OK(deps_.ports.plug(std::move(port)));
        show_binding(spec, i, tap);
        for (unsigned queue = 0; queue < nic.queue_count(); ++queue) {
            TRY(UniqueFd fd, deps_.host.taps.open_tap(tap, nic.queue_count() > 1));
            tap_fds.push_back(std::move(fd));
            if (vhost) {
                TRY(UniqueFd vhost_fd, deps_.host.taps.open_vhost_net());
                vhost_fds.push_back(std::move(vhost_fd));
            }
        }
        if (nic.rx_frames) {
            TRY_OK(os::set_rx_frames(tap, *nic.rx_frames));
        }
        out.plans.push_back({.vhost = vhost});
        nic.live =
            vmm::NicLive{.target = tap, .bridge = place.bridge ? place.bridge->str() : std::string(), .vhost = vhost};
    }
    return out;
}

// What plugs the taps in, before the guest runs.
std::vector<Errand> Guests::errands_of(const Domain& domain, const vmm::Spec& spec) const {
    std::vector<Errand> out;
    for (const Domain::Nic& place : domain.nics) {
        if (place.port) {
            auto hooks = deps_.networks.port_errands(*place.network, "port-created", *place.port);
            std::ranges::move(hooks, std::back_inserter(out));
        }
    }
    for (std::size_t i = 0; i < std::min(domain.nics.size(), spec.interfaces.size()); ++i) {
        const vmm::Interface& nic = spec.interfaces[i];
        const Domain::Nic& place = domain.nics[i];
        if (!place.tap) {
            continue;
        }
        if (!nic.script.empty()) {
            out.push_back(
                {fmt::format("{}: <script>", vmm::nic_alias(spec, i)), program_of(nic.script, {place.tap->str()}), {}});
        }
        if (place.plug_in) {
            out.push_back({fmt::format("{}: plugging it into the Open vSwitch bridge {}", vmm::nic_alias(spec, i),
                                       place.bridge->str()),
                           *place.plug_in,
                           {}});
        }
    }
    return out;
}

// The port goes; what a program put there is taken away by a program, which nobody waits for.
void Guests::unplug(const Domain::Nic& nic) {
    if (!nic.tap) {
        return;
    }
    deps_.filters.forget_guest_port(*nic.tap);
    std::vector<Errand> errands;
    if (nic.open_vswitch) {
        errands.push_back(
            {"taking the port from its Open vSwitch bridge", vsctl({"--if-exists", "del-port", nic.tap->str()}), {}});
    }
    if (!nic.downscript.empty()) {
        errands.push_back({"<downscript>", program_of(nic.downscript, {nic.tap->str()}), {}});
    }
    if (nic.port) {
        auto hooks = deps_.networks.port_errands(*nic.network, "port-deleted", *nic.port);
        std::ranges::move(hooks, std::back_inserter(errands));
    }
    if (errands.empty()) {
        drop_port(*nic.tap);
        return;
    }
    // The tap is there as long as the script is about it.
    see_off(*nic.tap, std::move(errands), [this, tap = *nic.tap] { drop_port(tap); });
}

void Guests::see_off(const IfName& tap, std::vector<Errand> errands, std::move_only_function<void()> then) {
    const unsigned number = next_farewell_++;
    auto chain =
        std::make_unique<CommandChain>(deps_.host.spawner, deps_.host.loop, std::move(errands), kScriptTime,
                                       [this, number, tap, rest = std::move(then)](const Result<void>& result) mutable {
                                           if (!result) {
                                               log::error("port {}: {}", tap.str(), result.error().message);
                                           }
                                           rest();
                                           deps_.host.loop.defer([this, number] { farewells_.erase(number); });
                                       });
    CommandChain& running = *chain;
    farewells_.emplace(number, std::move(chain));
    running.run();
}

void Guests::drop_port(const IfName& tap) {
    if (auto done = deps_.ports.unplug(tap); !done) {
        log::error("port {}: {}", tap.str(), done.error().message);
    }
}

// ---- stations ------------------------------------------------------------------------------------

namespace {

bool on_a_switch(const vmm::Interface& nic) { return nic.type == Type::network || nic.type == Type::bridge; }

}  // namespace

// One station address twice on one wire: neither guest would be reached.
Result<void> Guests::check_stations(const vmm::Spec& spec) const {
    for (const vmm::Interface& nic : spec.interfaces) {
        for (const auto& [uuid, other] : domains_) {
            if (uuid == spec.uuid || !nic.mac || !on_a_switch(nic)) {
                continue;
            }
            for (const vmm::Interface& theirs : other.shown().interfaces) {
                if (theirs.mac == nic.mac && theirs.type == nic.type && theirs.source == nic.source) {
                    return fail(
                        Code::conflict,
                        fmt::format("the guest '{}' has the MAC address {} on '{}' already; leave <mac> out, and "
                                    "a fresh one is found",
                                    other.name, bascule::format(*nic.mac), nic.source));
                }
            }
        }
    }
    return {};
}

// That no guest has, on whatever network.
MacAddr Guests::fresh_mac() const {
    std::set<MacAddr> taken;
    for (const auto& [uuid, domain] : domains_) {
        for (const vmm::Interface& nic : domain.shown().interfaces) {
            if (nic.mac) {
                taken.insert(*nic.mac);
            }
        }
    }
    MacAddr mac = random_mac();
    while (taken.contains(mac)) {
        mac = random_mac();
    }
    return mac;
}

// ---- while it runs -------------------------------------------------------------------------------

namespace {

// What can differ from what runs; the rest is the guest's own view of its hardware.
void take_switch_side(const vmm::Interface& from, vmm::Interface& to) {
    to.type = from.type;
    to.source = from.source;
    to.portgroup = from.portgroup;
    to.vlan = from.vlan;
    to.virtual_port = from.virtual_port;
    to.bandwidth = from.bandwidth;
    to.isolated = from.isolated;
    to.trust_rx_filters = from.trust_rx_filters;
    to.filter = from.filter;
    to.link_state = from.link_state;
    to.link_up = from.link_up;
}

Result<void> check_rest(const vmm::Interface& is, const vmm::Interface& wanted) {
    vmm::Interface changed = is;
    take_switch_side(wanted, changed);
    if (changed != wanted) {
        return fail(Code::unsupported,
                    "of a running guest's interface the network, bridge, portgroup, VLAN, virtualport, bandwidth, "
                    "isolation, filter and link state can be changed; the rest is its hardware: change the definition "
                    "and restart it");
    }
    if (is.type != wanted.type && !(on_a_switch(is) && on_a_switch(wanted))) {
        return fail(Code::unsupported,
                    "a running guest's interface can move between networks and bridges only; for another type change "
                    "the definition and restart it");
    }
    return {};
}

}  // namespace

Result<void> Guests::replug(Domain& domain, vmm::Spec& spec, std::size_t index) {
    Domain::Nic& nic = domain.nics.at(index);
    if (!nic.tap) {
        return {};
    }
    Domain::Nic next{.tap = nic.tap};
    TRY(PortSpec port, port_of(spec, index, next));
    // What the kernel does for the port (its limits) may change; what ovs-vsctl was told may not.
    const auto told = [](const Domain::Nic& one) {
        return one.plug_in ? one.plug_in->args : std::vector<std::string>{};
    };
    if (told(next) != told(nic)) {
        return fail(Code::unsupported,
                    "the port of a running guest on an Open vSwitch bridge is not moved or changed: change the "
                    "definition and restart it");
    }
    TRY_OK(deps_.ports.plug(std::move(port)));
    if (nic.network != next.network) {  // it has moved, and the hook is told so
        std::vector<Errand> errands;
        for (const auto& [place, operation] : {std::pair{&next, "port-created"}, std::pair{&nic, "port-deleted"}}) {
            if (place->port) {
                auto hooks = deps_.networks.port_errands(*place->network, operation, *place->port);
                std::ranges::move(hooks, std::back_inserter(errands));
            }
        }
        see_off(*nic.tap, std::move(errands), [] {});
    }
    nic = std::move(next);
    deps_.filters.forget_guest_port(*nic.tap);
    show_binding(spec, index, *nic.tap);
    spec.interfaces[index].live->bridge = nic.bridge ? nic.bridge->str() : std::string();
    return {};
}

Result<void> Guests::update_nic(const Uuid& uuid, Impact impact, const NicEdit& edit) {
    TRY_OK(by_uuid(uuid));
    Domain& domain = *find(uuid);
    return change(uuid, impact, [&](vmm::Spec& spec, bool live) -> Result<void> {
        TRY(const std::size_t index, edit.find(spec));
        vmm::Interface wanted = spec.interfaces[index];
        TRY_OK(edit.apply(wanted));
        if (!live) {
            spec.interfaces[index] = std::move(wanted);
            return check_stations(spec);
        }
        vmm::Interface& nic = spec.interfaces[index];
        TRY_OK(check_rest(nic, wanted));
        const bool up = nic.link_up;
        take_switch_side(wanted, nic);
        TRY_OK(check_stations(spec));
        TRY_OK(replug(domain, spec, index));
        nic.link_up = up;  // QEMU is told, and notes it then
        return {};
    });
}

}  // namespace bascule::daemon
