// SPDX-License-Identifier: GPL-2.0-or-later
// Changes of a guest without a new document: its memory, name, notes, and the cable of a NIC.
#include "daemon/handlers.h"
#include "daemon/metadata.h"
#include "rpc/constants.h"
#include "rpc/proto_domain.h"
#include "rpc/session.h"
#include "vmm/xml.h"

namespace bascule::daemon {

namespace proto = rpc::proto;
using rpc::Call;
using rpc::Responder;

namespace {

// ---- memory

constexpr std::uint32_t kMaximum = rpc::domain_memory_mod_flags::maximum;
// One guest's, in KiB: 64 TiB.
constexpr std::uint64_t kMostMemory = std::uint64_t{64} << 30;

Result<void> set_memory(const Services& s, const proto::domain_set_memory_flags_args& args, Guests::Impact impact) {
    return s.guests.change(args.dom.uuid, impact, [&](vmm::Spec& spec, bool live) -> Result<void> {
        if ((args.flags & kMaximum) != 0) {
            if (live) {
                return fail(Code::invalid_state, "cannot resize the maximum memory on an active domain");
            }
            if (args.memory > kMostMemory) {
                return fail(Code::invalid_argument,
                            fmt::format("{} KiB of memory are more than any host has", args.memory));
            }
            spec.memory_kib = args.memory;
            spec.current_memory_kib = std::min(spec.current_memory_kib, args.memory);
            return {};
        }
        if (args.memory > spec.memory_kib) {
            return fail(Code::invalid_argument, "cannot set memory higher than max memory");
        }
        if (live && !spec.balloon) {
            return fail(Code::invalid_state,
                        "the guest has no memory balloon: its definition says <memballoon "
                        "model='none'/>");
        }
        if (!live) {
            spec.current_memory_kib = args.memory;
        }
        return {};
    });
}

// Of a running guest the balloon is told, and what that comes to the guest says later.
void change_memory(Services& s, const proto::domain_set_memory_flags_args& args, Guests::Done done) {
    const auto checked = [&]() -> Result<const Domain*> {
        TRY_OK(check_flags(args.flags, kAffectLive | kAffectConfig | kMaximum, "qemuDomainSetMemoryFlags"));
        if (args.memory == 0) {
            return fail(Code::invalid_argument, "a guest needs memory");
        }
        TRY(const Domain* const domain, s.guests.by_uuid(args.dom.uuid));
        TRY_OK(set_memory(s, args, impact_of(args.flags)));
        return domain;
    }();
    if (!checked) {
        return done(std::unexpected(checked.error()));
    }
    const bool live = (args.flags & kAffectLive) != 0 || ((args.flags & kAffectConfig) == 0 && (*checked)->active());
    if (!live || (args.flags & kMaximum) != 0) {
        return done(args.dom.uuid);
    }
    s.guests.operate(
        args.dom.uuid,
        [memory = args.memory](vmm::Guest& guest, vmm::Done next) { guest.set_memory(memory, std::move(next)); },
        std::move(done));
}

void add_memory(rpc::Handlers& h, Services& s) {
    h.add<proto::domain_set_memory_flags>([&s](Call&, const proto::domain_set_memory_flags_args& args,
                                               Responder<proto::domain_set_memory_flags> responder) {
        change_memory(s, args, answering(std::move(responder)));
    });
    h.add<proto::domain_set_memory>(
        [&s](Call&, const proto::domain_set_memory_args& args, Responder<proto::domain_set_memory> responder) {
            change_memory(s, {.dom = args.dom, .memory = args.memory, .flags = kAffectLive},
                          answering(std::move(responder)));
        });
    h.add<proto::domain_set_max_memory>([&s](Call&, const proto::domain_set_max_memory_args& args,
                                             Responder<proto::domain_set_max_memory> responder) {
        change_memory(s, {.dom = args.dom, .memory = args.memory, .flags = kMaximum}, answering(std::move(responder)));
    });
}

// ---- name and notes

Notes notes_of(vmm::Spec& spec) {
    return {.title = spec.title, .description = spec.description, .metadata = spec.metadata};
}

void add_notes(rpc::Handlers& h, Services& s) {
    h.add<proto::domain_get_metadata>(
        [&s](Call&, const proto::domain_get_metadata_args& args) -> Result<proto::domain_get_metadata_ret> {
            TRY_OK(check_flags(args.flags, kAffectLive | kAffectConfig, "qemuDomainGetMetadata"));
            TRY(const Domain* const domain, s.guests.by_uuid(args.dom.uuid));
            if ((args.flags & kAffectLive) != 0) {
                TRY_OK(s.guests.running(args.dom.uuid));
            }
            vmm::Spec spec =
                (args.flags & kAffectConfig) != 0 && domain->persistent() ? *domain->definition : domain->shown();
            TRY(std::string text, get_note(notes_of(spec), args.type, args.uri, Code::no_domain_metadata));
            return proto::domain_get_metadata_ret{std::move(text)};
        });
    h.add<proto::domain_set_metadata>([&s](Call&, const proto::domain_set_metadata_args& args) -> Result<void> {
        TRY_OK(check_flags(args.flags, kAffectLive | kAffectConfig, "qemuDomainSetMetadata"));
        const auto set = [&](vmm::Spec& spec, bool) {
            return set_note(notes_of(spec), args.type, args.metadata, args.key, args.uri);
        };
        TRY_OK(s.guests.change(args.dom.uuid, impact_of(args.flags), set));
        TRY(const Domain* const domain, s.guests.by_uuid(args.dom.uuid));
        s.subscriptions.publish<proto::domain_event_callback_metadata_change>(
            {.dom = to_wire(*domain), .type = args.type, .nsuri = args.uri});
        return {};
    });
    h.add<proto::domain_rename>([&s](Call&, const proto::domain_rename_args& args) -> Result<proto::domain_rename_ret> {
        TRY_OK(check_flags(args.flags, 0, "qemuDomainRename"));
        TRY_OK(s.guests.rename(args.dom.uuid, args.new_name.value_or("")));
        return proto::domain_rename_ret{};
    });
}

// ---- devices

// A device by itself, read as part of a guest that has nothing else.
Result<vmm::Interface> read_nic(const std::string& device) {
    TRY(vmm::Spec spec, vmm::parse("<domain type='qemu'><name>device</name><memory>65536</memory><os><type "
                                   "arch='x86_64'>hvm</type></os><devices>" +
                                   device + "</devices></domain>"));
    if (spec.interfaces.size() != 1) {
        return fail(Code::unsupported, "of a guest that is there only its network interfaces can be changed");
    }
    return spec.interfaces.front();
}

Result<std::size_t> find_nic(const vmm::Spec& spec, const vmm::Interface& wanted) {
    for (std::size_t i = 0; i < spec.interfaces.size(); ++i) {
        if (wanted.mac && spec.interfaces[i].mac == wanted.mac) {
            return i;
        }
    }
    return fail(Code::invalid_argument, fmt::format("no interface of the guest has the MAC address {}",
                                                    wanted.mac ? format(*wanted.mac) : "that the document leaves out"));
}

struct LinkChange {
    vmm::Interface wanted;
    std::optional<std::size_t> live;  // which NIC of the running guest
};

Result<LinkChange> prepare_update(const Services& s, const proto::domain_update_device_flags_args& args) {
    constexpr std::uint32_t kForce = 4;
    TRY_OK(check_flags(args.flags, kAffectLive | kAffectConfig | kForce, "qemuDomainUpdateDeviceFlags"));
    TRY_OK(s.guests.by_uuid(args.dom.uuid));
    TRY(vmm::Interface wanted, read_nic(args.xml));
    LinkChange change{.wanted = std::move(wanted), .live = std::nullopt};
    const Guests::NicEdit edit{.find = [&](const vmm::Spec& spec) { return find_nic(spec, change.wanted); },
                               .apply = [&](vmm::Interface& nic) -> Result<void> {
                                   const vmm::Interface is = std::exchange(nic, change.wanted);
                                   // A document may leave out what finds the NIC its place.
                                   nic.address = nic.address ? nic.address : is.address;
                                   nic.alias = nic.alias.empty() ? is.alias : nic.alias;
                                   nic.target = nic.target ? nic.target : is.target;
                                   nic.live = is.live;
                                   return {};
                               }};
    TRY_OK(s.guests.update_nic(args.dom.uuid, impact_of(args.flags), edit));
    TRY(const Domain* const domain, s.guests.by_uuid(args.dom.uuid));
    if ((args.flags & kAffectLive) != 0 || ((args.flags & kAffectConfig) == 0 && domain->active())) {
        TRY(change.live, find_nic(domain->guest->spec(), change.wanted));
    }
    return change;
}

void update_device(Services& s, const proto::domain_update_device_flags_args& args,
                   Responder<proto::domain_update_device_flags> responder) {
    const auto change = prepare_update(s, args);
    if (!change || !change->live) {
        return responder.answer(change ? Result<void>() : std::unexpected(change.error()));
    }
    s.guests.operate(
        args.dom.uuid,
        [&](vmm::Guest& guest, vmm::Done done) {
            guest.set_link(*change->live, change->wanted.link_up, std::move(done));
        },
        answering(std::move(responder)));
}

// Into the definition only: plugging into what runs is not there yet.
Result<void> change_devices(const Services& s, const Uuid& uuid, std::uint32_t flags, const std::string& xml,
                            bool add) {
    TRY_OK(check_flags(flags, kAffectLive | kAffectConfig,
                       add ? "qemuDomainAttachDeviceFlags" : "qemuDomainDetachDeviceFlags"));
    TRY_OK(s.guests.by_uuid(uuid));
    TRY(vmm::Interface nic, read_nic(xml));
    return s.guests.change(uuid, impact_of(flags), [&](vmm::Spec& spec, bool live) -> Result<void> {
        if (live) {
            return fail(Code::unsupported,
                        "devices of a running guest stay as they are: use --config, which is for its "
                        "next start");
        }
        if (!add) {
            TRY(const std::size_t index, find_nic(spec, nic));
            spec.interfaces.erase(spec.interfaces.begin() + static_cast<std::ptrdiff_t>(index));
            return {};
        }
        if (nic.mac && find_nic(spec, nic)) {
            return fail(Code::exists,
                        fmt::format("the guest has an interface with the MAC address {}", format(*nic.mac)));
        }
        spec.interfaces.push_back(nic);
        return {};
    });
}

void add_devices(rpc::Handlers& h, Services& s) {
    h.add<proto::domain_update_device_flags>(
        [&s](Call&, const proto::domain_update_device_flags_args& args,
             Responder<proto::domain_update_device_flags> responder) { update_device(s, args, std::move(responder)); });
    // The calls without flags are for the running guest.
    h.add<proto::domain_attach_device>([&s](Call&, const proto::domain_attach_device_args& args) {
        return change_devices(s, args.dom.uuid, kAffectLive, args.xml, true);
    });
    h.add<proto::domain_attach_device_flags>([&s](Call&, const proto::domain_attach_device_flags_args& args) {
        return change_devices(s, args.dom.uuid, args.flags, args.xml, true);
    });
    h.add<proto::domain_detach_device>([&s](Call&, const proto::domain_detach_device_args& args) {
        return change_devices(s, args.dom.uuid, kAffectLive, args.xml, false);
    });
    h.add<proto::domain_detach_device_flags>([&s](Call&, const proto::domain_detach_device_flags_args& args) {
        return change_devices(s, args.dom.uuid, args.flags, args.xml, false);
    });
    h.add<proto::domain_detach_device_alias>([&s](Call&,
                                                  const proto::domain_detach_device_alias_args& args) -> Result<void> {
        TRY_OK(check_flags(args.flags, kAffectLive | kAffectConfig, "qemuDomainDetachDeviceAlias"));
        return s.guests.change(args.dom.uuid, impact_of(args.flags), [&](vmm::Spec& spec, bool live) -> Result<void> {
            if (live) {
                return fail(Code::unsupported,
                            "devices of a running guest stay as they are: use --config, which is "
                            "for its next start");
            }
            if (std::erase_if(spec.interfaces, [&](const vmm::Interface& nic) { return nic.alias == args.alias; }) ==
                0) {
                return fail(Code::invalid_argument, fmt::format("no device found with alias '{}'", args.alias));
            }
            return {};
        });
    });
}

}  // namespace

void add_domain_change_handlers(rpc::Handlers& handlers, Services& services) {
    add_memory(handlers, services);
    add_notes(handlers, services);
    add_devices(handlers, services);
}

}  // namespace bascule::daemon
