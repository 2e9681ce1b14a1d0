// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/filters.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/log.h"
#include "base/xml_read.h"
#include "kernel/linux/bridge_abilities.h"
#include "kernel/linux/facts.h"
#include "kernel/linux/log_socket.h"
#include "kernel/linux/nft_counters.h"
#include "nwfilter/builtin.h"
#include "nwfilter/counters.h"
#include "nwfilter/explain.h"
#include "nwfilter/render.h"
#include "nwfilter/xml.h"

namespace bascule::daemon {

namespace os = kernel::os;

namespace {

constexpr std::chrono::seconds kSweep{5};
constexpr std::size_t kMaxBinding = 1U << 20, kMaxSet = 4U << 20;

const nwfilter::Filter* stock(const std::string& name) {
    const auto& all = nwfilter::builtin_filters();
    const auto it = std::ranges::find(all, name, &nwfilter::Filter::name);
    return it == all.end() ? nullptr : &*it;
}

}  // namespace

Filters::Filters(Host& host, Ports& ports, NetworkOf network_of)
    : host_(host),
      ports_(ports),
      network_of_(std::move(network_of)),
      definitions_(host.files, "/etc/bascule/nwfilter") {
    for (const nwfilter::Filter& filter : nwfilter::builtin_filters()) {
        filters_.emplace(filter.name, filter);
    }
    ports_.rely_on([this] { return abilities(); });
}

// ---- looking up ---------------------------------------------------------------------------------

const nwfilter::Filter* Filters::find(const std::string& name) const {
    const auto it = filters_.find(name);
    return it == filters_.end() ? nullptr : &it->second;
}

Result<const nwfilter::Filter*> Filters::by_name(std::string_view name) const {
    const auto it = filters_.find(name);
    if (it == filters_.end()) {
        return fail(Code::no_nwfilter, fmt::format("no nwfilter with matching name '{}'", name));
    }
    return &it->second;
}

Result<const nwfilter::Filter*> Filters::by_uuid(const Uuid& uuid) const {
    for (const auto& [name, filter] : filters_) {
        if (filter.uuid == uuid) {
            return &filter;
        }
    }
    return fail(Code::no_nwfilter, fmt::format("no nwfilter with matching uuid '{}'", format(uuid)));
}

std::vector<const nwfilter::Filter*> Filters::all() const {
    std::vector<const nwfilter::Filter*> out;
    for (const auto& [name, filter] : filters_) {
        out.push_back(&filter);
    }
    return out;
}

// ---- definitions --------------------------------------------------------------------------------

// Completes a filter and refuses one that cannot stand beside the others.
Result<nwfilter::Filter> Filters::accept(nwfilter::Filter filter) const {
    const nwfilter::Filter* const former = find(filter.name);
    if (filter.uuid.is_nil()) {
        filter.uuid = Uuid::random();
    }
    if (former != nullptr && former->uuid != filter.uuid) {
        return fail(Code::exists,
                    fmt::format("filter '{}' already exists with uuid {}", filter.name, format(former->uuid)));
    }
    if (const auto same = by_uuid(filter.uuid); same && (*same)->name != filter.name) {
        return fail(Code::exists,
                    fmt::format("filter with same UUID but different name ('{}') already exists", (*same)->name));
    }
    TRY_OK(
        nwfilter::reach(filter, [&](const std::string& name) { return name == filter.name ? &filter : find(name); }));
    return filter;
}

// Makes it the filter of its name on every port that uses it, or changes nothing.
Result<void> Filters::put(nwfilter::Filter filter) {
    const std::string name = filter.name;
    const auto known = filters_.find(name);
    std::optional<nwfilter::Filter> former;
    if (known != filters_.end()) {
        former = known->second;
    }
    filters_.insert_or_assign(name, std::move(filter));
    auto applied = ports_.refilter({name});
    if (!applied) {
        if (former) {
            filters_.insert_or_assign(name, std::move(*former));
        } else {
            filters_.erase(name);
        }
    }
    return applied;
}

Result<const nwfilter::Filter*> Filters::define(std::string_view xml) {
    TRY(nwfilter::Filter parsed, nwfilter::parse(xml));
    TRY(nwfilter::Filter filter, accept(std::move(parsed)));
    const auto name = ObjectName::parse(filter.name);
    if (!name) {
        return fail(Code::invalid_argument, fmt::format("'{}' cannot be a filter's name", filter.name));
    }
    const std::string text = nwfilter::format(filter);
    const nwfilter::Filter* const known = find(filter.name);
    const std::optional<nwfilter::Filter> former = known == nullptr ? std::nullopt : std::optional(*known);
    TRY_OK(put(std::move(filter)));
    if (auto saved = definitions_.save(*name, text); !saved) {
        if (former) {
            if (auto back = put(*former); !back) {
                log::error("nwfilter {}: going back to its former rules: {}", name->str(), back.error().message);
            }
        } else {
            filters_.erase(name->str());
        }
        return std::unexpected(std::move(saved).error());
    }
    return find(name->str());
}

Result<std::string> Filters::diff(std::string_view xml) const {
    TRY(nwfilter::Filter parsed, nwfilter::parse(xml));
    TRY(const nwfilter::Filter filter, accept(std::move(parsed)));
    const auto before = [this](const std::string& name) { return find(name); };
    const auto after = [&](const std::string& name) { return name == filter.name ? &filter : find(name); };
    // Ports that change alike are told of together.
    std::map<std::string, std::string> ports;
    for (const nwfilter::Port* const port : ports_.using_filter(filter.name)) {
        TRY(const std::string now, nwfilter::describe(*port, before));
        auto then = nwfilter::describe(*port, after);
        if (!then) {
            return std::unexpected(std::move(then).error().in("port " + port->ifname.str()));
        }
        std::string& names = ports[nwfilter::difference(now, *then)];
        names += (names.empty() ? "" : ", ") + port->ifname.str();
    }
    if (ports.empty()) {
        return fmt::format("no port uses filter {}\n", filter.name);
    }
    std::string out;
    for (const auto& [lines, names] : ports) {
        out += fmt::format("{}: {}\n{}", names, lines.empty() ? "no change" : "changes", lines);
    }
    return out;
}

Result<std::string> Filters::explain(std::string_view port, std::string_view packet) const {
    const auto name = IfName::parse(port);
    const nwfilter::Port* const filtered = name ? ports_.filter_of(*name) : nullptr;
    if (filtered == nullptr) {
        return fail(Code::no_nwfilter_binding, fmt::format("no port '{}' has a filter", port));
    }
    return nwfilter::explain(
        *filtered, [this](const std::string& filter) { return find(filter); }, ports_.learned_by(*name), packet);
}

Result<std::vector<Filters::Drop>> Filters::drops(std::optional<std::string_view> port) const {
    const auto wanted = port ? IfName::parse(*port) : std::nullopt;
    if (port && (!wanted || ports_.filter_of(*wanted) == nullptr)) {
        return fail(Code::no_nwfilter_binding, fmt::format("no port '{}' has a filter", *port));
    }
    // What is dropped ahead and what is dropped at the port itself was on its way to the guest either way.
    std::map<std::tuple<IfName, bool, std::string>, Drop> sums;
    std::map<IfName, std::map<std::uint32_t, std::string>> reasons;
    for (const nwfilter::CounterSet& set : {nwfilter::kDropsFrom, nwfilter::kDropsTo, nwfilter::kDropsAhead}) {
        TRY(const auto counted, os::counters_of(set.name));
        for (const os::Counted& one : counted) {
            const nwfilter::Port* const at = counted_port(one);
            const auto mark = xml::parse_number<std::uint32_t>(one.key.back());
            if (at == nullptr || !mark || (wanted && at->ifname != *wanted)) {
                continue;
            }
            auto& known = reasons[at->ifname];
            if (known.empty()) {
                TRY(known, nwfilter::reasons(*at, [this](const std::string& name) { return find(name); }));
            }
            const auto reason = known.find(*mark);
            const std::string rule = reason == known.end() ? "a rule that is no longer there" : reason->second;
            const bool from = set.name == nwfilter::kDropsFrom.name;
            Drop& sum = sums.try_emplace({at->ifname, from, rule}, Drop{at->ifname, from, rule, 0, 0}).first->second;
            sum.packets += one.packets;
            sum.bytes += one.bytes;
        }
    }
    std::vector<Drop> out;
    for (auto& [key, sum] : sums) {
        out.push_back(std::move(sum));
    }
    return out;
}

// "vnet0", mark; or "virbr0", MAC address, mark. Null: the port is gone.
const nwfilter::Port* Filters::counted_port(const os::Counted& counted) const {
    const auto name = counted.key.empty() ? std::nullopt : IfName::parse(counted.key.front());
    if (!name || counted.key.size() < 2) {
        return nullptr;
    }
    if (counted.key.size() == 2) {
        return ports_.filter_of(*name);
    }
    const auto mac = parse_mac(counted.key[1]);
    return mac ? ports_.by_mac(*name, *mac) : nullptr;
}

// What was counted of ports that are gone stays in sets that can be full. It is looked for some time after ports went,
// not while one goes: that takes reading all of it.
void Filters::sweep_soon() {
    if (!sweep_) {
        sweep_ = host_.loop.at(host_.loop.clock().now() + kSweep, [this] { sweep(); });
    }
}

void Filters::sweep() {
    sweep_.reset();
    kernel::RuleBatch batch;
    for (const nwfilter::CounterSet& set : {nwfilter::kDropsFrom, nwfilter::kDropsTo, nwfilter::kDropsAhead}) {
        const std::string name(set.name);
        const auto counted = os::counters_of(name);
        for (const os::Counted& one : counted ? *counted : std::vector<os::Counted>{}) {
            if (one.key.empty() || counted_port(one) != nullptr) {
                continue;
            }
            std::vector<std::string> key = one.key;
            if (const auto index = os::interface_index(key.front()); index != 0 && set.type == "iface_index") {
                key.front() = fmt::format("{}", index);
            }
            batch.types[kernel::Family::bridge][name] = nwfilter::definition_of(set);
            batch.remove[kernel::Family::bridge].elements[name].insert(fmt::format("{}", fmt::join(key, " . ")));
        }
    }
    if (auto done = batch.empty() ? Result<void>() : host_.kernel.apply(batch); !done) {
        log::error("what filters counted of ports that are gone: {}", done.error().message);
    }
}

Result<void> Filters::undefine(const Uuid& uuid) {
    TRY(const nwfilter::Filter* const filter, by_uuid(uuid));
    const nwfilter::Filter* const original = stock(filter->name);
    if (original != nullptr && *original == *filter) {
        return fail(Code::invalid_state, fmt::format("nwfilter '{}' comes with the program and stays; define a filter "
                                                     "of that name to replace it",
                                                     filter->name));
    }
    if (original == nullptr && ports_.uses(filter->name)) {
        return fail(Code::invalid_state, "nwfilter is in use");
    }
    const auto name = ObjectName::parse(filter->name);
    if (original != nullptr) {
        TRY_OK(put(*original));
    }
    TRY_OK(definitions_.remove(*name));
    if (original == nullptr) {
        filters_.erase(name->str());
    }
    return {};
}

std::vector<std::string> Filters::load() {
    std::vector<std::string> problems;
    const auto entries = definitions_.load();
    if (!entries) {
        return {entries.error().message};
    }
    for (const Store::Entry& entry : *entries) {
        const auto done = [&]() -> Result<void> {
            TRY(const std::string text, entry.text);
            TRY(nwfilter::Filter parsed, nwfilter::parse(text));
            if (parsed.name != entry.name) {
                return fail(Code::invalid_xml, fmt::format("the filter is called '{}', but the file's name says '{}'",
                                                           parsed.name, entry.name));
            }
            const bool complete = !parsed.uuid.is_nil();
            if (const nwfilter::Filter* const former = find(parsed.name); !complete && former != nullptr) {
                parsed.uuid = former->uuid;  // a file that was replaced by one without is still the same filter
            }
            TRY(nwfilter::Filter filter, accept(std::move(parsed)));
            if (!complete) {
                TRY_OK(definitions_.save(*ObjectName::parse(filter.name), nwfilter::format(filter)));
            }
            const nwfilter::Filter* const known = find(filter.name);
            return known != nullptr && *known == filter ? Result<void>() : put(std::move(filter));
        }();
        if (!done) {
            problems.push_back(located(entry.path, done.error()).message);
        }
    }
    return problems;
}

namespace {

// One address or net a line; what follows a '#' is a remark.
Result<nwfilter::NamedSet> parse_set(std::string_view text) {
    nwfilter::NamedSet out;
    for (unsigned number = 1; !text.empty(); ++number) {
        const auto end = text.find('\n');
        std::string_view line = text.substr(0, end);
        text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
        line = line.substr(0, line.find('#'));
        const auto first = line.find_first_not_of(" \t\r");
        if (first == std::string_view::npos) {
            continue;
        }
        line = line.substr(first, line.find_last_not_of(" \t\r") - first + 1);
        const auto address = parse_ip(line);
        const auto prefix = address ? std::optional(Prefix::of(*address, address->bits())) : parse_prefix(line);
        if (!prefix) {
            return fail(
                Code::invalid_argument,
                fmt::format("line {}: expected an address or a net such as 10.0.0.0/8, got '{}'", number, line));
        }
        out.insert(*prefix);
    }
    return out;
}

}  // namespace

nwfilter::Abilities Filters::abilities() const {
    const os::BridgeAbilities bridge = os::bridge_abilities(nwfilter::helpers());
    return {.tracking = bridge.tracking,
            .reject = bridge.reject,
            .bridge_name = bridge.bridge_name,
            .reject_routed = bridge.reject_routed,
            .timeouts = bridge.timeouts,
            .helpers = bridge.helpers,
            .sets = [this](const std::string& name) -> Result<nwfilter::NamedSet> {
                const std::string path = "/etc/bascule/sets/" + name;
                if (!ObjectName::parse(name) || !host_.files.exists(path)) {
                    return fail(Code::invalid_argument, fmt::format("there is no set of that name; write its addresses "
                                                                    "into {}, one a line",
                                                                    host_.files.real(path)));
                }
                TRY(const std::string text, host_.files.read(path, kMaxSet));
                auto set = parse_set(text);
                return set ? std::move(set)
                           : Result<nwfilter::NamedSet>(std::unexpected(located(path, std::move(set).error())));
            }};
}

// The pass of the start again (its put() reaches the ports, which there are none of at start), then the files that
// were removed: a stock filter comes back, another one goes unless it is used.
std::vector<std::string> Filters::reload() {
    std::vector<std::string> problems = load();
    for (const nwfilter::Filter* const filter : all()) {
        const auto name = ObjectName::parse(filter->name);
        const nwfilter::Filter* const original = stock(filter->name);
        if (!name || (original != nullptr && *original == *filter) || definitions_.has(*name)) {
            continue;
        }
        if (auto gone = undefine(filter->uuid); !gone) {
            problems.push_back(
                std::move(gone.error()).in("nwfilter " + name->str() + ": its file was removed").message);
        }
    }
    if (auto sets = ports_.refresh_sets(); !sets) {
        problems.push_back(std::move(sets.error()).in("named sets").message);
    }
    return problems;
}

// ---- bindings -----------------------------------------------------------------------------------

// The device as it is now; a device that is gone stays bound, so that it is filtered when it comes back.
Result<PortSpec> Filters::port_of(const nwfilter::Binding& binding) const {
    kernel::Scope scope;
    scope.links.insert(binding.port);
    TRY(const kernel::State seen, host_.kernel.observe(scope));
    const auto device = seen.links.find(binding.port);
    const bool plugged = device != seen.links.end() && device->second.master;
    return PortSpec{
        .ifname = binding.port,
        .mac = binding.mac,
        .network = plugged ? network_of_(*device->second.master) : std::nullopt,
        .link = {},
        .filter = nwfilter::Port{binding.port, binding.mac, binding.filter.filter, binding.filter.parameters,
                                 plugged ? device->second.master : std::nullopt}};
}

Result<const nwfilter::Binding*> Filters::bind(std::string_view xml) {
    TRY(nwfilter::Binding binding, nwfilter::parse_binding(xml));
    if (bindings_.contains(binding.port)) {
        return fail(Code::exists, fmt::format("binding '{}' already exists", binding.port.str()));
    }
    if (!os::link_exists(binding.port)) {
        return fail(Code::invalid_argument, fmt::format("there is no network device '{}'", binding.port.str()));
    }
    const IfName port = binding.port;
    TRY(PortSpec spec, port_of(binding));
    TRY_OK(ports_.plug(std::move(spec)));
    if (auto saved = host_.files.write(binding_file(port), nwfilter::format(binding)); !saved) {
        TRY_OK(ports_.unplug(port));
        return std::unexpected(std::move(saved).error());
    }
    return &bindings_.insert_or_assign(port, Kept{std::move(binding), false}).first->second.binding;
}

Result<void> Filters::unbind(const IfName& port) {
    TRY_OK(binding(port.str()));
    if (bindings_.at(port).guests) {
        return fail(Code::invalid_state,
                    fmt::format("the port '{}' belongs to a running guest and stays filtered", port.str()));
    }
    TRY_OK(host_.files.remove(binding_file(port)));
    bindings_.erase(port);
    sweep_soon();
    return ports_.unplug(port);
}

Result<const nwfilter::Binding*> Filters::binding(std::string_view port) const {
    const auto name = IfName::parse(port);
    const auto it = name ? bindings_.find(*name) : bindings_.end();
    if (it == bindings_.end()) {
        return fail(Code::no_nwfilter_binding, fmt::format("no nwfilter binding for port dev '{}'", port));
    }
    return &it->second.binding;
}

std::vector<const nwfilter::Binding*> Filters::bindings() const {
    std::vector<const nwfilter::Binding*> out;
    for (const auto& [port, kept] : bindings_) {
        out.push_back(&kept.binding);
    }
    return out;
}

void Filters::note_guest_port(nwfilter::Binding binding) {
    const IfName port = binding.port;
    bindings_.insert_or_assign(port, Kept{std::move(binding), true});
}

void Filters::forget_guest_port(const IfName& port) {
    bindings_.erase(port);
    sweep_soon();
}

std::vector<std::string> Filters::load_bindings() {
    std::vector<std::string> problems;
    const auto files = host_.files.list("/run/bascule/bindings");
    for (const std::string& file : files.value_or(std::vector<std::string>{})) {
        const std::string path = "/run/bascule/bindings/" + file;
        const auto done = [&]() -> Result<void> {
            TRY(const std::string text, host_.files.read(path, kMaxBinding));
            TRY(nwfilter::Binding binding, nwfilter::parse_binding(text));
            TRY(PortSpec spec, port_of(binding));
            TRY_OK(ports_.remember(std::move(spec)));
            bindings_.insert_or_assign(binding.port, Kept{binding, false});
            return {};
        }();
        if (!done) {
            problems.push_back(located(host_.files.real(path), done.error()).message);
        }
    }
    return problems;
}

}  // namespace bascule::daemon
