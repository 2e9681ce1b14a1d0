// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/host_interfaces.h"

#include <algorithm>
#include <chrono>
#include <sstream>

#include <fmt/format.h>

#include "base/log.h"
#include "base/xml_read.h"
#include "kernel/linux/facts.h"
#include "kernel/linux/host.h"
#include "kernel/linux/kept_routes.h"
#include "kernel/reconcile.h"

namespace bascule::daemon {

namespace os = kernel::os;

namespace {

// As long as it takes to log in again and say that it works.
constexpr std::chrono::seconds kPatience{60};
constexpr const char* kNote = "/var/lib/bascule/interfaces-before/note";

ObjectName object(const std::string& name) { return *ObjectName::parse(name); }

// What was lent, in a comment at the end of the live file, one a line: "PORT up", "PORT ADDRESS/LENGTH", "PORT route
// …".
constexpr std::string_view kTaken = "<!-- taken:";

}  // namespace

std::string manager_of(const IfName& device) {
    const std::string index = [&] {
        std::string text = os::read_text("/sys/class/net/" + device.str() + "/ifindex", 16);
        std::erase(text, '\n');
        return text;
    }();
    if (!index.empty()) {
        const std::string nm = os::read_text("/run/NetworkManager/devices/" + index, 4096);
        if (nm.contains("managed=true") || nm.contains("managed=1") || nm.contains("managed=2") ||
            nm.contains("managed=full")) {
            return "NetworkManager";
        }
        const std::string networkd = os::read_text("/run/systemd/netif/links/" + index, 4096);
        if (networkd.contains("NETWORK_FILE=")) {
            return "systemd-networkd";
        }
    }
    const std::string ifstate = "\n" + os::read_text("/run/network/ifstate", 65536);
    return device.str() != "lo" && ifstate.contains("\n" + device.str() + "=") ? "ifupdown" : "";
}

HostInterfaces::HostInterfaces(Host& host)
    : host_(host),
      definitions_(host.files, "/etc/bascule/interfaces"),
      live_files_(host.files, "/run/bascule/interfaces"),
      before_(host.files, "/var/lib/bascule/interfaces-before"),
      before_live_(host.files, "/var/lib/bascule/interfaces-before/live") {}

std::vector<std::string> HostInterfaces::load() {
    std::vector<std::string> problems;
    const auto read = [&](const Store& store, auto use) {
        const auto entries = store.load();
        for (const Store::Entry& entry : entries.value_or(std::vector<Store::Entry>{})) {
            auto spec = entry.text ? parse_host_interface(*entry.text) : std::unexpected(entry.text.error());
            if (!spec) {
                problems.push_back(located(entry.path, std::move(spec).error()).message);
            } else {
                use(std::move(*spec), *entry.text);
            }
        }
    };
    read(definitions_, [&](HostInterface spec, const std::string&) {
        const std::string name = spec.name.str();
        known_.insert_or_assign(name, std::move(spec));
    });
    read(live_files_, [&](HostInterface spec, const std::string& text) {
        const auto at = text.find(kTaken);
        Live live{.spec = std::move(spec),
                  .lent = parse_lent(at == std::string::npos ? "" : std::string_view(text).substr(at + kTaken.size()))};
        if (auto put = host_.ledger.put(owner_of(live.spec), present(live.spec, problems)); !put) {
            problems.push_back(put.error().message);
            return;
        }
        const std::string name = live.spec.name.str();
        live_.insert_or_assign(name, std::move(live));
    });
    changing_ = host_.files.exists(kNote);
    return problems;
}

// Its wish without what stands on devices that are gone: nobody can bring it about, and the rest is to be.
kernel::State HostInterfaces::present(const HostInterface& spec, std::vector<std::string>& problems) const {
    kernel::State state = compile(spec);
    std::set<IfName> without;
    for (const auto& [name, link] : state.links) {
        const bool to_come = link.vlan && state.links.contains(link.vlan->parent);
        const IfName& needed = link.vlan ? link.vlan->parent : name;
        if ((link.kind == kernel::LinkKind::foreign || (link.vlan && !to_come)) && !os::link_exists(needed)) {
            problems.push_back(fmt::format("host interface {}: there is no network device {} any more", spec.name.str(),
                                           needed.str()));
            without.insert(name);
        }
    }
    const auto gone = [&without](const std::optional<IfName>& link) { return link && without.contains(*link); };
    std::erase_if(state.links, [&](const auto& entry) { return gone(entry.first); });
    std::erase_if(state.addresses, [&](const kernel::Address& address) { return gone(address.link); });
    std::erase_if(state.routes, [&](const kernel::Route& route) { return gone(route.link); });
    return state;
}

std::vector<std::string> HostInterfaces::settle() {
    std::vector<std::string> problems;
    if (changing_) {
        log::warning("host interfaces: a change was begun and not confirmed; it is taken back");
        if (auto done = rollback(); !done) {
            problems.push_back(done.error().message);
        }
    }
    // What stands on others is started after them, whatever the names are.
    std::map<std::string, std::string> failed;
    for (bool more = true; more;) {
        more = false;
        failed.clear();
        for (const auto& [name, spec] : known_) {
            if (spec.start != "onboot" || live_.contains(name)) {
                continue;
            }
            if (auto done = start(name)) {
                more = true;
            } else {
                failed.emplace(name, done.error().message);
            }
        }
    }
    for (const auto& [name, why] : failed) {
        problems.push_back(fmt::format("host interface {}: {}", name, why));
    }
    return problems;
}

const HostInterface* HostInterfaces::definition(const std::string& name) const {
    const auto found = known_.find(name);
    return found == known_.end() ? nullptr : &found->second;
}

std::vector<const HostInterface*> HostInterfaces::all() const {
    std::vector<const HostInterface*> out;
    for (const auto& [name, spec] : known_) {
        out.push_back(&spec);
    }
    return out;
}

// Neither somebody else's to configure, nor a part of what we made for networks and guests.
Result<void> HostInterfaces::check_device(const HostInterface& spec, const IfName& device, bool to_start) const {
    if (device.str() == "lo" && spec.kind != HostInterface::Kind::ethernet) {
        return fail(Code::invalid_argument, "lo is the host's own loop: it is nothing's port, member or ground");
    }
    if (const std::string manager = manager_of(device); !manager.empty()) {
        return fail(Code::conflict, fmt::format("{} manages {}: change it there, or take the device from it first",
                                                manager, device.str()));
    }
    const auto made = made_by(spec);
    const bool made_here = std::ranges::find(made, device) != made.end();
    if (!made_here && !os::link_exists(device)) {
        const auto definition = known_.find(device.str());
        const bool to_come = definition != known_.end() && definition->second.kind != HostInterface::Kind::ethernet;
        if (!to_come) {
            return fail(Code::invalid_state, fmt::format("there is no network device {} on this host", device.str()));
        }
        if (to_start) {
            return fail(Code::invalid_state,
                        fmt::format("{} is defined here but not active: start it first (iface-start {})", device.str(),
                                    device.str()));
        }
    }
    const auto taken = taken_by(spec);
    for (const auto& [owner, wish] : host_.ledger.wishes()) {
        const auto own = wish.links.find(device);
        if (own == wish.links.end() || own->second.kind == kernel::LinkKind::foreign || owner == owner_of(spec)) {
            continue;
        }
        const bool of_interface = live_.contains(device.str()) && owner == owner_of(live_.at(device.str()).spec);
        if (!of_interface) {
            return fail(Code::conflict, fmt::format("{} is Bascule's own already, of {}", device.str(), owner));
        }
        if (std::ranges::find(taken, device) != taken.end()) {
            return fail(Code::invalid_argument,
                        fmt::format("{} is a {} of Bascule's: as a port it is written with what it is made of "
                                    "(<interface type='{}'>)",
                                    device.str(), name_of(own->second.kind), name_of(own->second.kind)));
        }
    }
    return {};
}

Result<void> HostInterfaces::check_free(const HostInterface& spec, bool to_start) const {
    TRY_OK(check_device(spec, spec.name, to_start));
    for (const auto& devices : {made_by(spec), taken_by(spec), parents_of(spec)}) {
        for (const IfName& device : devices) {
            TRY_OK(check_device(spec, device, to_start));
        }
    }
    return {};
}

Result<void> HostInterfaces::check_unused(const std::string& name) const {
    const auto uses = [&name](const std::vector<IfName>& devices) {
        return std::ranges::find(devices, name, &IfName::str) != devices.end();
    };
    for (const auto& [other, live] : live_) {
        if (other != name && (uses(parents_of(live.spec)) || uses(taken_by(live.spec)))) {
            return fail(
                Code::invalid_state,
                fmt::format("interface '{}' stands on {}: stop it first (iface-destroy {})", other, name, other));
        }
    }
    return {};
}

Result<IfName> HostInterfaces::define(std::string_view xml) {
    TRY(HostInterface spec, parse_host_interface(xml));
    TRY_OK(check_free(spec, false));
    TRY_OK(definitions_.save(object(spec.name.str()), format(spec)));
    const IfName name = spec.name;
    known_.insert_or_assign(name.str(), std::move(spec));
    changed_();
    return name;
}

Result<void> HostInterfaces::undefine(const std::string& name) {
    if (!known_.contains(name)) {
        return fail(Code::no_interface,
                    fmt::format("no definition of interface '{}' here: it was made by the host's own tools", name));
    }
    TRY_OK(definitions_.remove(object(name)));
    known_.erase(name);
    changed_();
    return {};
}

Result<void> HostInterfaces::start(const std::string& name) {
    const HostInterface* const spec = definition(name);
    if (spec == nullptr) {
        return fail(Code::no_interface,
                    fmt::format("no definition of interface '{}' here: define it first (iface-define)", name));
    }
    if (live_.contains(name)) {
        return fail(Code::invalid_state, fmt::format("interface '{}' is active already", name));
    }
    TRY_OK(check_free(*spec, true));
    std::vector<IfName> devices = made_by(*spec);
    for (IfName& device : taken_by(*spec)) {
        devices.push_back(std::move(device));
    }
    for (const IfName& device : devices) {
        if (live_.contains(device.str())) {
            TRY_OK(check_unused(device.str()));
        }
    }
    std::vector<Live> absorbed;
    Lent inherited;
    auto up = [&]() -> Result<void> {
        for (const IfName& device : devices) {
            if (live_.contains(device.str())) {
                absorbed.push_back(live_.at(device.str()));
                inherited.add(absorbed.back().lent);
                TRY_OK(absorb(device.str()));
            }
        }
        return bring_up(*spec, inherited);
    }();
    if (!up) {
        for (const Live& device : absorbed) {
            if (auto back = bring_up(device.spec, device.lent); !back) {
                log::error("interface {}: {}", device.spec.name.str(), back.error().message);
            }
        }
    }
    return up;
}

// A device that was started by itself becomes a port: it is no wish of its own any more, and what it has is the
// bridge's to take.
Result<void> HostInterfaces::absorb(const std::string& name) {
    TRY_OK(kernel::withdraw(host_.kernel, host_.ledger, owner_of(live_.at(name).spec)));
    live_.erase(name);
    return live_files_.remove(object(name));
}

Result<void> HostInterfaces::stop(const std::string& name) {
    if (!live_.contains(name)) {
        return fail(Code::invalid_state,
                    fmt::format("interface '{}' was not started here, so it is not stopped here", name));
    }
    TRY_OK(check_unused(name));
    return bring_down(name);
}

void HostInterfaces::Lent::add(const Lent& other) {
    up.insert(other.up.begin(), other.up.end());
    addresses.insert(addresses.end(), other.addresses.begin(), other.addresses.end());
    routes.insert(routes.end(), other.routes.begin(), other.routes.end());
}

// What a bridge or a bond is to have, its ports must not: the host would answer from the wrong one.
Result<HostInterfaces::Lent> HostInterfaces::borrow(const HostInterface& spec) {
    Lent lent;
    const auto devices = taken_by(spec);
    TRY(const auto links, os::host_links());
    for (const kernel::HostLink& link : links) {
        if (std::ranges::find(devices, link.name) == devices.end()) {
            continue;
        }
        if (link.up) {
            lent.up.insert(link.name);
        }
        TRY(const auto routes, os::keep_routes(link.name));
        for (const std::string& route : routes) {
            lent.routes.emplace_back(link.name, route);
        }
        for (const IpInterface& address : link.addresses) {
            if (!address.address.is_link_local()) {
                lent.addresses.push_back({.link = link.name, .address = address});
                if (auto done = host_.kernel.apply(kernel::DropAddress{lent.addresses.back()}); !done) {
                    give_back(lent);
                    return std::unexpected(std::move(done).error());
                }
            }
        }
    }
    return lent;
}

void HostInterfaces::give_back(const Lent& lent) {
    const auto note = [](const std::string& what, const Result<void>& done) {
        if (!done) {
            log::error("giving {} back: {}", what, done.error().message);
        }
    };
    for (const IfName& name : lent.up) {
        note(name.str(), host_.kernel.apply(kernel::LinkUp{name, true}));
    }
    for (const kernel::Address& address : lent.addresses) {
        note(kernel::format(address), host_.kernel.apply(kernel::PutAddress{address}));
    }
    for (const auto& [name, route] : lent.routes) {
        note("a route of " + name.str(), os::put_back_route(name, route));
    }
}

Result<void> HostInterfaces::bring_up(const HostInterface& spec, const Lent& inherited) {
    const std::string name = spec.name.str();
    Live live{.spec = spec, .lent = {}};
    TRY(live.lent, borrow(spec));
    live.lent.add(inherited);
    const auto up = [&]() -> Result<void> {
        TRY_OK(commit_devices(spec));
        return save_live(live);
    };
    if (auto done = up(); !done) {
        if (auto back = kernel::withdraw(host_.kernel, host_.ledger, owner_of(spec)); !back) {
            log::error("interface {}: {}", name, back.error().message);
        }
        give_back(live.lent);
        return done;
    }
    live_.insert_or_assign(name, std::move(live));
    return {};
}

Result<void> HostInterfaces::commit_devices(const HostInterface& spec) {
    if (spec.kind == HostInterface::Kind::ethernet) {
        TRY_OK(host_.kernel.apply(kernel::LinkUp{spec.name, true}));
    }
    for (const IfName& parent : parents_of(spec)) {
        if (os::link_exists(parent)) {  // a bond that it is of comes in the same step
            TRY_OK(host_.kernel.apply(kernel::LinkUp{parent, true}));
        }
    }
    TRY_OK(kernel::commit(host_.kernel, host_.ledger, owner_of(spec), compile(spec)));
    for (const IfName& port : taken_by(spec)) {
        TRY_OK(host_.kernel.apply(kernel::LinkUp{port, true}));
    }
    return {};
}

Result<void> HostInterfaces::bring_down(const std::string& name) {
    const Live live = live_.at(name);
    const kernel::State wish = compile(live.spec);
    TRY_OK(kernel::withdraw(host_.kernel, host_.ledger, owner_of(live.spec)));
    if (live.spec.kind ==
        HostInterface::Kind::ethernet) {  // a device of the host's keeps what it has unless it is told
        for (const kernel::Address& address : wish.addresses) {
            TRY_OK(host_.kernel.apply(kernel::DropAddress{address}));
        }
        TRY_OK(host_.kernel.apply(kernel::LinkUp{live.spec.name, false}));
    }
    live_.erase(name);
    give_back(live.lent);
    return live_files_.remove(object(name));
}

Result<void> HostInterfaces::save_live(const Live& live) {
    std::string text = format(live.spec) + std::string(kTaken) + "\n";
    for (const IfName& name : live.lent.up) {
        text += fmt::format("{} up\n", name.str());
    }
    for (const kernel::Address& address : live.lent.addresses) {
        text += fmt::format("{} {}\n", address.link.str(), format(address.address));
    }
    for (const auto& [name, route] : live.lent.routes) {
        text += fmt::format("{} route {}\n", name.str(), route);
    }
    return live_files_.save(object(live.spec.name.str()), text + "-->\n");
}

HostInterfaces::Lent HostInterfaces::parse_lent(std::string_view text) {
    Lent out;
    std::istringstream lines{std::string(text)};
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string port, what, route;
        words >> port >> what >> route;
        const auto name = IfName::parse(port);
        if (!name) {
            continue;
        }
        const auto slash = what.find('/');
        const auto ip = slash == std::string::npos ? std::nullopt : parse_ip(std::string_view(what).substr(0, slash));
        const auto length =
            slash == std::string::npos ? std::nullopt : xml::parse_number<unsigned, 0, 128>(what.substr(slash + 1));
        if (what == "up") {
            out.up.insert(*name);
        } else if (what == "route") {
            out.routes.emplace_back(*name, route);
        } else if (ip && length) {
            out.addresses.push_back({.link = *name, .address = {*ip, std::min(*length, ip->bits())}});
        }
    }
    return out;
}

// ---- trying a change -----------------------------------------------------------------------------

std::set<IfName> HostInterfaces::made() const {
    std::set<IfName> out;
    for (const auto& [name, spec] : known_) {
        const auto devices = made_by(spec);
        out.insert(devices.begin(), devices.end());
    }
    for (const auto& [name, live] : live_) {
        const auto devices = made_by(live.spec);
        out.insert(devices.begin(), devices.end());
    }
    return out;
}

Result<void> HostInterfaces::begin() {
    if (changing_) {
        return fail(Code::invalid_state,
                    "a change is under way already: confirm it (iface-commit) or take it back "
                    "(iface-rollback) first");
    }
    forget_note();
    for (const auto& [name, spec] : known_) {
        TRY_OK(before_.save(object(name), format(spec)));
    }
    for (const auto& [name, live] : live_) {
        TRY_OK(before_live_.save(object(name), format(live.spec)));
    }
    TRY_OK(host_.files.write(kNote, "a change of the host's interfaces was begun here\n"));
    changing_ = true;
    arm();
    return {};
}

void HostInterfaces::arm() {
    deadline_ = host_.loop.at(host_.loop.clock().now() + kPatience, [this] {
        log::warning("host interfaces: nobody confirmed the change within {} s; it is taken back", kPatience.count());
        if (auto done = rollback(); !done) {
            log::error("host interfaces: {}", done.error().message);
        }
    });
}

void HostInterfaces::forget_note() {
    for (Store* const store : {&before_, &before_live_}) {
        const auto entries = store->load();
        for (const Store::Entry& entry : entries.value_or(std::vector<Store::Entry>{})) {
            if (auto done = store->remove(object(entry.name)); !done) {
                log::error("{}", done.error().message);
            }
        }
    }
    if (auto done = host_.files.remove(kNote); !done) {
        log::error("{}", done.error().message);
    }
    changing_ = false;
}

Result<void> HostInterfaces::commit() {
    if (!changing_) {
        return fail(Code::invalid_state, "no change is under way: iface-begin starts one");
    }
    deadline_.reset();
    forget_note();
    return {};
}

Result<void> HostInterfaces::rollback() {
    if (!changing_) {
        return fail(Code::invalid_state, "no change is under way: iface-begin starts one");
    }
    deadline_.reset();
    auto done = put_back();
    forget_note();
    changed_();
    return done;
}

Result<void> HostInterfaces::put_back() {
    const auto read = [](const Store& store) {
        std::map<std::string, HostInterface> out;
        const auto entries = store.load();
        for (const Store::Entry& entry : entries.value_or(std::vector<Store::Entry>{})) {
            if (auto spec = entry.text ? parse_host_interface(*entry.text) : std::unexpected(entry.text.error())) {
                out.insert_or_assign(entry.name, std::move(*spec));
            }
        }
        return out;
    };
    const auto definitions = read(before_), running = read(before_live_);
    std::vector<std::string> stop;
    for (const auto& [name, live] : live_) {
        const auto was = running.find(name);
        if (was == running.end() || was->second != live.spec) {
            stop.push_back(name);
        }
    }
    // As much of it as can be: a step that fails does not keep the others from being taken back.
    Result<void> first;
    const auto keep = [&first](Result<void> done) {
        if (!done && first) {
            first = std::move(done);
        }
    };
    for (const std::string& name : stop) {
        keep(bring_down(name));
    }
    for (auto it = known_.begin(); it != known_.end();) {
        if (definitions.contains(it->first)) {
            ++it;
            continue;
        }
        keep(definitions_.remove(object(it->first)));
        it = known_.erase(it);
    }
    for (const auto& [name, spec] : definitions) {
        keep(definitions_.save(object(name), format(spec)));
        known_.insert_or_assign(name, spec);
    }
    for (const auto& [name, spec] : running) {
        if (!live_.contains(name)) {
            keep(bring_up(spec, {}));
        }
    }
    return first;
}

}  // namespace bascule::daemon
