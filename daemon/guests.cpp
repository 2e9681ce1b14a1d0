// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/guests.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/log.h"
#include "kernel/linux/stream.h"
#include "vmm/defaults.h"
#include "vmm/live.h"
#include "vmm/xml.h"

namespace bascule::daemon {

namespace os = kernel::os;

namespace {

// virDomainEventType and its details.
constexpr int kDefined = 0, kUndefined = 1, kStarted = 2, kSuspended = 3, kResumed = 4, kStopped = 5, kShutdown = 6,
              kPmSuspended = 7;
constexpr int kStartedWakeup = 4;
constexpr int kDefinedAdded = 0, kDefinedUpdated = 1;
constexpr int kStoppedShutdown = 0, kStoppedDestroyed = 1, kStoppedCrashed = 2, kStoppedFailed = 5;
constexpr int kShutdownFinished = 0, kShutdownHost = 2;

int stopped_detail(const vmm::Status& status) {
    switch (status.reason) {
        case vmm::reason::kShutoffShutdown: return kStoppedShutdown;
        case vmm::reason::kShutoffDestroyed: return kStoppedDestroyed;
        case vmm::reason::kShutoffCrashed: return kStoppedCrashed;
        default: return kStoppedFailed;
    }
}

}  // namespace

Guests::Guests(Deps deps) : deps_(std::move(deps)), definitions_(deps_.host.files, "/etc/bascule/domains") {}

// ---- looking up ---------------------------------------------------------------------------------

Domain* Guests::find(const Uuid& uuid) {
    const auto it = domains_.find(uuid);
    return it == domains_.end() ? nullptr : &it->second;
}

Result<const Domain*> Guests::by_name(std::string_view name) const {
    const auto it = names_.find(name);
    if (it == names_.end()) {
        return fail(Code::no_domain, fmt::format("no domain with matching name '{}'", name));
    }
    return &domains_.at(it->second);
}

Result<const Domain*> Guests::by_uuid(const Uuid& uuid) const {
    const auto it = domains_.find(uuid);
    if (it == domains_.end()) {
        return fail(Code::no_domain, fmt::format("no domain with matching uuid '{}'", bascule::format(uuid)));
    }
    return &it->second;
}

Result<const Domain*> Guests::by_id(int id) const {
    for (const auto& [uuid, domain] : domains_) {
        if (domain.active() && domain.id == id) {
            return &domain;
        }
    }
    return fail(Code::no_domain, fmt::format("no domain with matching id {}", id));
}

std::vector<const Domain*> Guests::all() const {
    std::vector<const Domain*> out;
    for (const auto& [name, uuid] : names_) {
        out.push_back(&domains_.at(uuid));
    }
    return out;
}

std::string Guests::format(const Domain& domain, bool inactive, bool secrets) const {
    if (domain.active() && !(inactive && domain.persistent())) {
        return vmm::format(domain.guest->spec(), domain.id, secrets);
    }
    return vmm::format(domain.definition ? *domain.definition : domain.shown(), std::nullopt, secrets);
}

unsigned Guests::ports_of(const Uuid& network) const {
    unsigned count = 0;
    for (const auto& [uuid, domain] : domains_) {
        count += static_cast<unsigned>(
            std::ranges::count_if(domain.nics, [&](const Domain::Nic& nic) { return nic.network == network; }));
    }
    return count;
}

// ---- definitions --------------------------------------------------------------------------------

Result<void> Guests::check_identity(const vmm::Spec& spec) const {
    const auto named = names_.find(spec.name.str());
    if (named != names_.end() && named->second != spec.uuid) {
        return fail(Code::exists, fmt::format("domain '{}' already exists with uuid {}", spec.name.str(),
                                              bascule::format(named->second)));
    }
    const auto same = domains_.find(spec.uuid);
    if (same != domains_.end() && same->second.name != spec.name.str()) {
        return fail(Code::exists, fmt::format("domain '{}' is already defined with uuid {}", same->second.name,
                                              bascule::format(spec.uuid)));
    }
    return {};
}

// A document, with what it leaves out filled in.
Result<vmm::Spec> Guests::read(std::string_view xml) const {
    TRY(vmm::Spec spec, vmm::parse(xml));
    if (spec.emulator.empty()) {
        spec.emulator = deps_.emulator;
    }
    TRY_OK(vmm::complete(spec, {.mac = [this] { return fresh_mac(); }}));
    TRY_OK(check_identity(spec));
    TRY_OK(check_stations(spec));
    return spec;
}

Result<const Domain*> Guests::define(std::string_view xml) {
    TRY(vmm::Spec spec, read(xml));
    TRY_OK(definitions_.save(spec.name, vmm::format(spec, std::nullopt, true)));
    const bool known = domains_.contains(spec.uuid);
    Domain& domain = domains_[spec.uuid];
    names_.insert_or_assign(spec.name.str(), spec.uuid);
    domain.name = spec.name.str();
    domain.autostart = definitions_.autostart(spec.name);
    domain.definition = std::move(spec);
    save_live(domain);
    emit(domain, kDefined, known ? kDefinedUpdated : kDefinedAdded);
    return &domain;
}

Result<void> Guests::undefine(const Uuid& uuid) {
    TRY_OK(by_uuid(uuid));
    Domain& domain = *find(uuid);
    if (!domain.persistent()) {
        return fail(Code::invalid_state, "cannot undefine transient domain");
    }
    TRY_OK(definitions_.remove(domain.definition->name));
    emit(domain, kUndefined, 0);
    if (domain.guest) {  // it runs on and is gone when it stops, as the peer has it
        domain.definition.reset();
        domain.autostart = false;
        save_live(domain);
    } else {
        names_.erase(domain.name);
        domains_.erase(uuid);
    }
    return {};
}

Result<void> Guests::set_autostart(const Uuid& uuid, bool on) {
    TRY_OK(by_uuid(uuid));
    Domain& domain = *find(uuid);
    if (!domain.persistent()) {
        return fail(Code::invalid_state, "cannot set autostart for transient domain");
    }
    TRY_OK(definitions_.set_autostart(domain.definition->name, on));
    domain.autostart = on;
    return {};
}

// ---- running ------------------------------------------------------------------------------------

void Guests::create(std::string_view xml, bool paused, Done done) {
    auto spec = read(xml);
    if (!spec) {
        done(std::unexpected(std::move(spec).error()));
        return;
    }
    const Uuid uuid = spec->uuid;
    if (const Domain* const known = find(uuid); known != nullptr && known->guest) {
        done(fail(Code::invalid_state, fmt::format("domain '{}' is already active", spec->name.str())));
        return;
    }
    names_.insert_or_assign(spec->name.str(), uuid);
    launch(uuid, std::move(*spec), paused, std::move(done));
}

void Guests::start(const Uuid& uuid, bool paused, Done done) {
    const auto known = by_uuid(uuid);
    if (!known) {
        done(std::unexpected(known.error()));
    } else if ((*known)->guest) {
        done(fail(Code::invalid_state, "domain is already running"));
    } else {
        launch(uuid, *(*known)->definition, paused, std::move(done));
    }
}

void Guests::launch(const Uuid& uuid, vmm::Spec spec, bool paused, Done done) {
    Domain& domain = domains_[uuid];
    domain.name = spec.name.str();
    domain.id = next_id_++;
    domain.starting = true;
    auto plan = prepare(domain, std::move(spec));
    if (!plan) {
        release(uuid);
        done(std::unexpected(std::move(plan).error()));
        return;
    }
    plan->paused = paused;
    plan->persistent = domain.persistent();
    domain.guest = std::make_unique<vmm::Guest>(vmm::Guest::Deps{deps_.host.loop, deps_.host.spawner, os::connect_unix},
                                                callbacks(uuid));
    auto errands = errands_of(domain, plan->spec);
    domain.errands = std::make_unique<CommandChain>(
        deps_.host.spawner, deps_.host.loop, std::move(errands), kScriptTime,
        [this, uuid, plan = std::move(*plan), done = std::move(done)](Result<void> ready) mutable {
            Domain& starting = *find(uuid);
            if (!ready) {
                started(uuid, std::move(ready), std::move(done));
                return;
            }
            starting.guest->start(std::move(plan), [this, uuid, done = std::move(done)](Result<void> result) mutable {
                started(uuid, std::move(result), std::move(done));
            });
        });
    domain.errands->run();
}

void Guests::started(const Uuid& uuid, Result<void> result, Done done) {
    if (!result) {
        release(uuid);
        done(std::unexpected(std::move(result).error()));
        return;
    }
    Domain& domain = *find(uuid);
    domain.starting = false;
    domain.errands.reset();
    save_live(domain);
    if (domain.status().state == vmm::State::running) {
        emit(domain, kResumed, 0);
    }
    emit(domain, kStarted, 0);
    if (domain.status().state == vmm::State::paused) {
        emit(domain, kSuspended, 0);
    }
    done(uuid);
}

vmm::Guest::Callbacks Guests::callbacks(const Uuid& uuid) {
    return {.changed =
                [this, uuid](vmm::Status status) {
                    const Domain* const domain = find(uuid);
                    if (domain == nullptr || !domain->active()) {
                        return;
                    }
                    if (status.state == vmm::State::paused) {
                        emit(*domain, kSuspended, 0);
                    } else if (status.state == vmm::State::pmsuspended) {
                        emit(*domain, kPmSuspended, 0);
                    } else if (status.state == vmm::State::running && status.reason == vmm::reason::kRunningWakeup) {
                        emit(*domain, kStarted, kStartedWakeup);
                    } else if (status.state == vmm::State::running) {
                        emit(*domain, kResumed, 0);
                    }
                },
            .rebooted = [this, uuid] { tell(uuid, DomainNews::Rebooted{}); },
            .resized =
                [this, uuid] {
                    if (const Domain* const domain = find(uuid); domain != nullptr && domain->guest) {
                        tell(uuid, DomainNews::Resized{domain->guest->spec().current_memory_kib});
                    }
                },
            .ended = [this, uuid](const vmm::Guest::Ended& end) { ended(uuid, end); },
            .monitor_lost =
                [this, uuid](const Error& error) {
                    if (const Domain* const domain = find(uuid)) {
                        log::error("guest {}: its monitor is lost, it runs on: {}", domain->name, error.message);
                    }
                    tell(uuid, DomainNews::ControlError{});
                },
            .channel_changed =
                [this, uuid](std::size_t index) {
                    const Domain* const domain = find(uuid);
                    if (domain == nullptr) {
                        return;
                    }
                    save_live(*domain);
                    const auto& channel = domain->shown().channels.at(index);
                    if (channel.name == "org.qemu.guest_agent.0" && channel.live) {
                        tell(uuid, DomainNews::Agent{channel.live->connected});
                    }
                },
            .monitor_event = [this, uuid](const std::string& event,
                                          const std::string& data) { tell(uuid, DomainNews::Monitor{event, data}); }};
}

void Guests::tell(const Uuid& uuid, const decltype(DomainNews::what)& what) {
    if (const Domain* const domain = find(uuid)) {
        deps_.events.news({domain->name, uuid, domain->active() ? domain->id : -1, what});
    }
}

void Guests::ended(const Uuid& uuid, const vmm::Guest::Ended& end) {
    Domain* const domain = find(uuid);
    if (domain == nullptr || !domain->guest) {
        return;
    }
    log::info("guest {}: {}", domain->name, end.words);
    emit(*domain, kShutdown, end.status.reason == vmm::reason::kShutoffDestroyed ? kShutdownHost : kShutdownFinished);
    emit(*domain, kStopped, stopped_detail(end.status), true);
    domain->last = end.status;
    release(uuid);
}

Result<void> Guests::set_agent_timeout(const Uuid& uuid, int seconds) {
    TRY_OK(running(uuid));
    Domain& domain = *find(uuid);
    domain.agent_timeout = seconds;
    save_live(domain);
    return {};
}

// Withdraws all that a running (or half started) guest owned; a transient one is forgotten.
void Guests::release(const Uuid& uuid) {
    Domain& domain = *find(uuid);
    for (const Domain::Nic& nic : domain.nics) {
        unplug(nic);
    }
    domain.errands.reset();
    domain.nics.clear();
    for (const std::string& socket : domain.sockets) {
        if (auto done = os::unlink_socket(socket); !done) {
            log::error("{}", done.error().message);
        }
    }
    domain.sockets.clear();
    for (const std::string& file : {live_file(domain.name), monitor_file(domain.name)}) {
        if (auto done = deps_.host.files.remove(file); !done) {
            log::error("{}", done.error().message);
        }
    }
    domain.guest.reset();
    domain.starting = false;
    domain.id = -1;
    domain.agent_timeout = vmm::kAgentDefault;
    if (!domain.persistent()) {
        names_.erase(domain.name);
        domains_.erase(uuid);
    }
}

template <class Operation>
void Guests::on_running(const Uuid& uuid, Done done, Operation operation) {
    const auto known = by_uuid(uuid);
    if (!known) {
        done(std::unexpected(known.error()));
        return;
    }
    if (!(*known)->guest) {
        done(fail(Code::invalid_state, "domain is not running"));
        return;
    }
    operation(*find(uuid)->guest, [uuid, done = std::move(done)](Result<void> result) mutable {
        done(result ? Result<Uuid>(uuid) : std::unexpected(std::move(result).error()));
    });
}

void Guests::destroy(const Uuid& uuid, bool graceful, Done done) {
    if (const Domain* const domain = find(uuid); domain != nullptr && domain->guest && !domain->guest->active()) {
        done(
            fail(Code::invalid_state, "the programs that plug its interfaces in still run; try again when they ended"));
        return;
    }
    on_running(uuid, std::move(done),
               [&](vmm::Guest& guest, vmm::Done next) { guest.destroy(graceful, std::move(next)); });
}

void Guests::suspend(const Uuid& uuid, Done done) {
    on_running(uuid, std::move(done), [](vmm::Guest& guest, vmm::Done next) { guest.suspend(std::move(next)); });
}

void Guests::resume(const Uuid& uuid, Done done) {
    on_running(uuid, std::move(done), [](vmm::Guest& guest, vmm::Done next) { guest.resume(std::move(next)); });
}

void Guests::shutdown(const Uuid& uuid, Done done) {
    on_running(uuid, std::move(done),
               [](vmm::Guest& guest, vmm::Done next) { guest.press_power_button(std::move(next)); });
}

void Guests::reset(const Uuid& uuid, Done done) {
    on_running(uuid, std::move(done), [](vmm::Guest& guest, vmm::Done next) { guest.reset(std::move(next)); });
}

void Guests::reboot(const Uuid& uuid, Done done) {
    on_running(uuid, std::move(done), [](vmm::Guest& guest, vmm::Done next) { guest.reboot(std::move(next)); });
}

void Guests::operate(const Uuid& uuid, const std::function<void(vmm::Guest&, vmm::Done)>& operation, Done done) {
    on_running(uuid, std::move(done), operation);
}

void Guests::emit(const Domain& domain, int event, int detail, bool gone) {
    deps_.events.domain({domain.name, domain.shown().uuid, gone || !domain.active() ? -1 : domain.id, event, detail});
}

}  // namespace bascule::daemon
