// SPDX-License-Identifier: GPL-2.0-or-later
// Changes of what a guest is, other than by a new document.
#include <fmt/format.h>

#include "daemon/guests.h"
#include "vmm/defaults.h"
#include "vmm/xml.h"

namespace bascule::daemon {

namespace {
// virDomainEventType and its details.
constexpr int kDefined = 0, kUndefined = 1;
constexpr int kDefinedRenamed = 2, kUndefinedRenamed = 1;
}  // namespace

Result<const Domain*> Guests::running(const Uuid& uuid) const {
    TRY(const Domain* const domain, by_uuid(uuid));
    if (!domain->active()) {
        return fail(Code::invalid_state, "domain is not running");
    }
    return domain;
}

Result<void> Guests::change(const Uuid& uuid, Impact impact, const Edit& edit) {
    TRY_OK(by_uuid(uuid));
    Domain& domain = *find(uuid);
    const bool live =
        impact == Impact::live || impact == Impact::both || (impact == Impact::current && domain.active());
    const bool config =
        impact == Impact::config || impact == Impact::both || (impact == Impact::current && !domain.active());
    if (live && !domain.active()) {
        return fail(Code::invalid_state,
                    fmt::format("domain is not running: '{}' is off, so there is nothing live to change; --config "
                                "changes its definition",
                                domain.name));
    }
    if (config && !domain.persistent()) {
        return fail(Code::invalid_state, "transient domains do not have any persistent config");
    }
    std::optional<vmm::Spec> running, defined;
    if (live) {
        running = domain.guest->spec();
        TRY_OK(edit(*running, true));
    }
    if (config) {
        defined = *domain.definition;
        TRY_OK(edit(*defined, false));
        TRY_OK(vmm::complete(*defined));
        TRY_OK(definitions_.save(defined->name, vmm::format(*defined, std::nullopt, true)));
        domain.definition = std::move(defined);
    }
    if (running) {
        domain.guest->spec() = std::move(*running);
        save_live(domain);
    }
    return {};
}

// The new definition is on the disk before the old one goes: a crash in between leaves both files, of which the next
// daemon takes one and reports the other.
Result<void> Guests::rename(const Uuid& uuid, const std::string& name) {
    TRY_OK(by_uuid(uuid));
    Domain& domain = *find(uuid);
    const auto parsed = ObjectName::parse(name);
    if (!parsed) {
        return fail(Code::invalid_argument, fmt::format("'{}' is no name for a guest", name));
    }
    if (domain.guest) {
        return fail(Code::invalid_state, "cannot rename active domain");
    }
    if (!domain.persistent()) {
        return fail(Code::invalid_state, "cannot rename a transient domain");
    }
    if (names_.contains(name)) {
        return fail(Code::exists, fmt::format("domain with name '{}' already exists", name));
    }
    vmm::Spec spec = *domain.definition;
    const ObjectName old = spec.name;
    spec.name = *parsed;
    TRY_OK(definitions_.save(*parsed, vmm::format(spec, std::nullopt, true)));
    TRY_OK(definitions_.set_autostart(*parsed, domain.autostart));
    TRY_OK(definitions_.remove(old));
    emit(domain, kUndefined, kUndefinedRenamed);
    names_.erase(domain.name);
    names_.insert_or_assign(name, uuid);
    domain.name = name;
    domain.definition = std::move(spec);
    emit(domain, kDefined, kDefinedRenamed);
    return {};
}

}  // namespace bascule::daemon
