// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>

#include "daemon/handlers.h"
#include "kernel/linux/facts.h"
#include "rpc/constants.h"
#include "rpc/proto_domain.h"
#include "rpc/session.h"

namespace bascule::daemon {

namespace proto = rpc::proto;
namespace os = kernel::os;
namespace list_flags = rpc::connect_list_all_domains_flags;
using rpc::Call;
using rpc::Responder;

namespace {

// Flags of VIR_DOMAIN_*: only those with a meaning here; any other is refused.
constexpr std::uint32_t kStartPaused = 1;
constexpr std::uint32_t kNoSavedImage = 4 | 8;  // how to read a saved image, or not to: there is none
constexpr std::uint32_t kDestroyGraceful = 1;
constexpr std::uint32_t kXmlSecure = 1, kXmlInactive = 2;
constexpr std::uint32_t kDefineValidate = 1;
constexpr std::uint32_t kCreateValidate = 16;
// What undefine is asked to clean up besides: managed saves, snapshots, NVRAM, checkpoints. There are none yet, so
// each of these is done by doing nothing.
constexpr std::uint32_t kUndefineCleanUps = 1 | 2 | 4 | 8 | 16;

bool inactive(const Domain& domain) { return !domain.active(); }
std::string name_of(const Domain& domain) { return domain.name; }

// Looks a domain up, and answers with what `make` makes of it.
template <class Ret, class Make>
Result<Ret> of_domain(const Services& s, const proto::Domain& dom, Make make) {
    TRY(const Domain* const domain, s.guests.by_uuid(dom.uuid));
    return Ret{make(*domain)};
}

// The same, answering with the domain as it then is.
template <class P>
Guests::Done answering_domain(const Services& s, Responder<P> responder) {
    return [&s, r = std::move(responder)](const Result<Uuid>& result) mutable {
        const auto domain = result ? s.guests.by_uuid(*result) : std::unexpected(result.error());
        if (domain) {
            r.ok({to_wire(**domain)});
        } else {
            r.fail(domain.error());
        }
    };
}

// ---- lookups and lists

bool listed(const Domain& domain, std::uint32_t flags) {
    const vmm::State state = domain.status().state;
    const bool running = state == vmm::State::running, paused = state == vmm::State::paused,
               shutoff = state == vmm::State::shutoff;
    const std::uint32_t states =
        flags & (list_flags::running | list_flags::paused | list_flags::shutoff | list_flags::other);
    const std::uint32_t mine = running   ? list_flags::running
                               : paused  ? list_flags::paused
                               : shutoff ? list_flags::shutoff
                                         : list_flags::other;
    return passes(flags, list_flags::active, list_flags::inactive, domain.active()) &&
           passes(flags, list_flags::persistent, list_flags::transient, domain.persistent()) &&
           passes(flags, list_flags::autostart, list_flags::no_autostart, domain.autostart) &&
           passes(flags, list_flags::managedsave, list_flags::no_managedsave, false) &&
           passes(flags, list_flags::has_snapshot, list_flags::no_snapshot, false) &&
           passes(flags, list_flags::has_checkpoint, list_flags::no_checkpoint, false) &&
           (states == 0 || (states & mine) != 0);
}

void add_lookups(rpc::Handlers& h, Services& s) {
    h.add<proto::domain_lookup_by_name>(
        [&s](Call&, const proto::domain_lookup_by_name_args& args) -> Result<proto::domain_lookup_by_name_ret> {
            TRY(const Domain* const domain, s.guests.by_name(args.name));
            return proto::domain_lookup_by_name_ret{to_wire(*domain)};
        });
    h.add<proto::domain_lookup_by_uuid>(
        [&s](Call&, const proto::domain_lookup_by_uuid_args& args) -> Result<proto::domain_lookup_by_uuid_ret> {
            TRY(const Domain* const domain, s.guests.by_uuid(args.uuid));
            return proto::domain_lookup_by_uuid_ret{to_wire(*domain)};
        });
    h.add<proto::domain_lookup_by_id>(
        [&s](Call&, const proto::domain_lookup_by_id_args& args) -> Result<proto::domain_lookup_by_id_ret> {
            TRY(const Domain* const domain, s.guests.by_id(args.id));
            return proto::domain_lookup_by_id_ret{to_wire(*domain)};
        });
    h.add<proto::connect_list_all_domains>(
        [&s](Call&, const proto::connect_list_all_domains_args& args) -> Result<proto::connect_list_all_domains_ret> {
            TRY_OK(check_flags(args.flags, 0xffff, "qemuConnectListAllDomains"));
            proto::connect_list_all_domains_ret ret;
            for (const Domain* const domain : s.guests.all()) {
                if (listed(*domain, args.flags)) {
                    ++ret.ret;
                    if (args.need_results != 0) {
                        ret.domains.push_back(to_wire(*domain));
                    }
                }
            }
            return ret;
        });
    h.add<proto::connect_num_of_domains>(
        [&s](Call&, const proto::connect_num_of_domains::Args&) -> Result<proto::connect_num_of_domains_ret> {
            const auto all = s.guests.all();
            return proto::connect_num_of_domains_ret{static_cast<std::int32_t>(
                std::ranges::count_if(all, [](const Domain* domain) { return domain->active(); }))};
        });
    h.add<proto::connect_num_of_defined_domains>(
        [&s](Call&,
             const proto::connect_num_of_defined_domains::Args&) -> Result<proto::connect_num_of_defined_domains_ret> {
            const auto all = s.guests.all();
            return proto::connect_num_of_defined_domains_ret{static_cast<std::int32_t>(
                std::ranges::count_if(all, [](const Domain* domain) { return !domain->active(); }))};
        });
    h.add<proto::connect_list_domains>(
        [&s](Call&, const proto::connect_list_domains_args& args) -> Result<proto::connect_list_domains_ret> {
            proto::connect_list_domains_ret ret;
            for (const Domain* const domain : s.guests.all()) {
                if (domain->active() && static_cast<std::int32_t>(ret.ids.size()) < args.maxids) {
                    ret.ids.push_back(domain->id);
                }
            }
            return ret;
        });
    h.add<proto::connect_list_defined_domains>(
        [&s](Call&,
             const proto::connect_list_defined_domains_args& args) -> Result<proto::connect_list_defined_domains_ret> {
            return proto::connect_list_defined_domains_ret{names_of(s.guests.all(), args.maxnames, inactive, name_of)};
        });
}

// ---- life cycle

void add_definitions(rpc::Handlers& h, Services& s) {
    h.add<proto::domain_define_xml>(
        [&s](Call&, const proto::domain_define_xml_args& args) -> Result<proto::domain_define_xml_ret> {
            TRY(const Domain* const domain, s.guests.define(args.xml));
            return proto::domain_define_xml_ret{to_wire(*domain)};
        });
    h.add<proto::domain_define_xml_flags>(
        [&s](Call&, const proto::domain_define_xml_flags_args& args) -> Result<proto::domain_define_xml_flags_ret> {
            TRY_OK(check_flags(args.flags, kDefineValidate, "qemuDomainDefineXMLFlags"));
            TRY(const Domain* const domain, s.guests.define(args.xml));
            return proto::domain_define_xml_flags_ret{to_wire(*domain)};
        });
    h.add<proto::domain_undefine>(
        [&s](Call&, const proto::domain_undefine_args& args) { return s.guests.undefine(args.dom.uuid); });
    h.add<proto::domain_undefine_flags>([&s](Call&, const proto::domain_undefine_flags_args& args) -> Result<void> {
        TRY_OK(check_flags(args.flags, kUndefineCleanUps, "qemuDomainUndefineFlags"));
        return s.guests.undefine(args.dom.uuid);
    });
    h.add<proto::domain_set_autostart>([&s](Call&, const proto::domain_set_autostart_args& args) {
        return s.guests.set_autostart(args.dom.uuid, args.autostart != 0);
    });
}

void add_life_cycle(rpc::Handlers& h, Services& s) {
    h.add<proto::domain_create_xml>(
        [&s](Call&, const proto::domain_create_xml_args& args, Responder<proto::domain_create_xml> responder) {
            if (auto ok = check_flags(args.flags, kStartPaused | kCreateValidate, "qemuDomainCreateXML"); !ok) {
                return responder.fail(ok.error());
            }
            s.guests.create(args.xml_desc, (args.flags & kStartPaused) != 0, answering_domain(s, std::move(responder)));
        });
    h.add<proto::domain_create>(
        [&s](Call&, const proto::domain_create_args& args, Responder<proto::domain_create> responder) {
            s.guests.start(args.dom.uuid, false, answering(std::move(responder)));
        });
    h.add<proto::domain_create_with_flags>([&s](Call&, const proto::domain_create_with_flags_args& args,
                                                Responder<proto::domain_create_with_flags> responder) {
        if (auto ok = check_flags(args.flags, kStartPaused | kNoSavedImage, "qemuDomainCreateWithFlags"); !ok) {
            return responder.fail(ok.error());
        }
        s.guests.start(args.dom.uuid, (args.flags & kStartPaused) != 0, answering_domain(s, std::move(responder)));
    });
    h.add<proto::domain_destroy>(
        [&s](Call&, const proto::domain_destroy_args& args, Responder<proto::domain_destroy> responder) {
            s.guests.destroy(args.dom.uuid, false, answering(std::move(responder)));
        });
    h.add<proto::domain_destroy_flags>(
        [&s](Call&, const proto::domain_destroy_flags_args& args, Responder<proto::domain_destroy_flags> responder) {
            if (auto ok = check_flags(args.flags, kDestroyGraceful, "qemuDomainDestroyFlags"); !ok) {
                return responder.fail(ok.error());
            }
            s.guests.destroy(args.dom.uuid, (args.flags & kDestroyGraceful) != 0, answering(std::move(responder)));
        });
    h.add<proto::domain_suspend>(
        [&s](Call&, const proto::domain_suspend_args& args, Responder<proto::domain_suspend> responder) {
            s.guests.suspend(args.dom.uuid, answering(std::move(responder)));
        });
    h.add<proto::domain_resume>(
        [&s](Call&, const proto::domain_resume_args& args, Responder<proto::domain_resume> responder) {
            s.guests.resume(args.dom.uuid, answering(std::move(responder)));
        });
    h.add<proto::domain_reset>(
        [&s](Call&, const proto::domain_reset_args& args, Responder<proto::domain_reset> responder) {
            if (auto known = check_flags(args.flags, 0, "qemuDomainReset"); !known) {
                return responder.fail(known.error());
            }
            s.guests.reset(args.dom.uuid, answering(std::move(responder)));
        });
    h.add<proto::domain_shutdown>(
        [&s](Call&, const proto::domain_shutdown_args& args, Responder<proto::domain_shutdown> responder) {
            s.guests.shutdown(args.dom.uuid, answering(std::move(responder)));
        });
    h.add<proto::domain_shutdown_flags>(
        [&s](Call&, const proto::domain_shutdown_flags_args& args, Responder<proto::domain_shutdown_flags> responder) {
            const auto by = power_by(args.flags, "qemuDomainShutdownFlags");
            if (!by) {
                return responder.fail(by.error());
            }
            if (*by == PowerBy::agent) {
                return power_by_agent(s, args.dom.uuid, "powerdown",
                                      [responder = std::move(responder)](const Result<vmm::qmp::Json>& answer) mutable {
                                          responder.answer(answer ? Result<void>() : std::unexpected(answer.error()));
                                      });
            }
            s.guests.shutdown(args.dom.uuid, answering(std::move(responder)));
        });
}

// ---- facts

void add_facts(rpc::Handlers& h, Services& s) {
    h.add<proto::domain_get_xml_desc>(
        [&s](Call&, const proto::domain_get_xml_desc_args& args) -> Result<proto::domain_get_xml_desc_ret> {
            TRY_OK(check_flags(args.flags, kXmlSecure | kXmlInactive, "qemuDomainGetXMLDesc"));
            TRY(const Domain* const domain, s.guests.by_uuid(args.dom.uuid));
            return proto::domain_get_xml_desc_ret{
                s.guests.format(*domain, (args.flags & kXmlInactive) != 0, (args.flags & kXmlSecure) != 0)};
        });
    h.add<proto::domain_get_info>([&s](Call&,
                                       const proto::domain_get_info_args& args) -> Result<proto::domain_get_info_ret> {
        TRY(const Domain* const domain, s.guests.by_uuid(args.dom.uuid));
        const vmm::Spec& spec = domain->shown();
        return proto::domain_get_info_ret{.state = static_cast<std::uint8_t>(domain->status().state),
                                          .max_mem = spec.memory_kib,
                                          .memory = domain->active() ? spec.current_memory_kib : 0,
                                          .nr_virt_cpu = static_cast<std::uint16_t>(spec.vcpus),
                                          .cpu_time = domain->active() ? os::process_time_ns(domain->guest->pid()) : 0};
    });
    h.add<proto::domain_get_state>(
        [&s](Call&, const proto::domain_get_state_args& args) -> Result<proto::domain_get_state_ret> {
            TRY_OK(check_flags(args.flags, 0, "qemuDomainGetState"));
            TRY(const Domain* const domain, s.guests.by_uuid(args.dom.uuid));
            return proto::domain_get_state_ret{static_cast<std::int32_t>(domain->status().state),
                                               domain->status().reason};
        });
    h.add<proto::domain_get_os_type>([&s](Call&, const proto::domain_get_os_type_args& args) {
        return of_domain<proto::domain_get_os_type_ret>(s, args.dom, [](const Domain&) { return "hvm"; });
    });
    h.add<proto::domain_get_max_memory>([&s](Call&, const proto::domain_get_max_memory_args& args) {
        return of_domain<proto::domain_get_max_memory_ret>(s, args.dom,
                                                           [](const Domain& d) { return d.shown().memory_kib; });
    });
    h.add<proto::domain_get_max_vcpus>([&s](Call&, const proto::domain_get_max_vcpus_args& args) {
        return of_domain<proto::domain_get_max_vcpus_ret>(
            s, args.dom, [](const Domain& d) { return static_cast<std::int32_t>(d.shown().vcpus); });
    });
    h.add<proto::domain_is_active>([&s](Call&, const proto::domain_is_active_args& args) {
        return of_domain<proto::domain_is_active_ret>(s, args.dom, [](const Domain& d) { return d.active() ? 1 : 0; });
    });
    h.add<proto::domain_is_persistent>([&s](Call&, const proto::domain_is_persistent_args& args) {
        return of_domain<proto::domain_is_persistent_ret>(s, args.dom,
                                                          [](const Domain& d) { return d.persistent() ? 1 : 0; });
    });
    h.add<proto::domain_is_updated>([&s](Call&, const proto::domain_is_updated_args& args) {
        return of_domain<proto::domain_is_updated_ret>(s, args.dom, [](const Domain&) { return 0; });
    });
    h.add<proto::domain_get_autostart>([&s](Call&, const proto::domain_get_autostart_args& args) {
        return of_domain<proto::domain_get_autostart_ret>(s, args.dom,
                                                          [](const Domain& d) { return d.autostart ? 1 : 0; });
    });
    // Starting once with the host and not again is not there.
    h.add<proto::domain_get_autostart_once>([&s](Call&, const proto::domain_get_autostart_once_args& args) {
        return of_domain<proto::domain_get_autostart_once_ret>(s, args.dom, [](const Domain&) { return 0; });
    });
    // What there is none of yet: saved images, taints.
    h.add<proto::domain_has_managed_save_image>([&s](Call&, const proto::domain_has_managed_save_image_args& args)
                                                    -> Result<proto::domain_has_managed_save_image_ret> {
        TRY_OK(check_flags(args.flags, 0, "qemuDomainHasManagedSaveImage"));
        return of_domain<proto::domain_has_managed_save_image_ret>(s, args.dom, [](const Domain&) { return 0; });
    });
    h.add<proto::domain_get_messages>(
        [&s](Call&, const proto::domain_get_messages_args& args) -> Result<proto::domain_get_messages_ret> {
            TRY_OK(check_flags(args.flags, 7, "qemuDomainGetMessages"));  // deprecation, tainting, I/O errors
            return of_domain<proto::domain_get_messages_ret>(s, args.dom,
                                                             [](const Domain&) { return std::vector<std::string>(); });
        });
}

}  // namespace

proto::Domain to_wire(const Domain& domain) {
    return {.name = domain.name, .uuid = domain.shown().uuid, .id = domain.active() ? domain.id : -1};
}

void add_domain_handlers(rpc::Handlers& handlers, Services& services) {
    add_lookups(handlers, services);
    add_definitions(handlers, services);
    add_life_cycle(handlers, services);
    add_facts(handlers, services);
}

}  // namespace bascule::daemon
