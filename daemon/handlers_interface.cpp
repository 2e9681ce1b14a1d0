// SPDX-License-Identifier: GPL-2.0-or-later
// The host's own network devices: what there is, and those that are defined here (daemon/host_interfaces.h).
#include <charconv>

#include "daemon/handlers.h"
#include "daemon/interface_xml.h"
#include "kernel/linux/facts.h"
#include "kernel/linux/host.h"
#include "kernel/linux/uplinks.h"
#include "rpc/constants.h"
#include "rpc/proto_interface.h"
#include "rpc/session.h"

namespace bascule::daemon {

namespace proto = rpc::proto;
namespace os = kernel::os;
namespace list_flags = rpc::connect_list_all_interfaces_flags;
using kernel::HostLink;
using rpc::Call;

namespace {

proto::Interface to_wire(const HostLink& link) {
    return {.name = link.name.str(), .mac = link.mac ? format(*link.mac) : std::string("00:00:00:00:00:00")};
}

std::uint32_t speed_of(const HostLink& link) {
    const std::string text = os::read_text("/sys/class/net/" + link.name.str() + "/speed", 64);
    std::int64_t speed = 0;
    std::from_chars(text.data(), text.data() + text.size(), speed);
    return speed > 0 && speed < UINT32_MAX ? static_cast<std::uint32_t>(speed) : 0;  // -1: unknown
}

Result<HostLink> by_name(const std::string& name) {
    TRY(const auto links, os::host_links());
    for (const HostLink& link : links) {
        if (link.name.str() == name) {
            return link;
        }
    }
    return fail(Code::no_interface, fmt::format("couldn't find interface named '{}'", name));
}

proto::Interface nameless(const std::string& name) { return {.name = name, .mac = "00:00:00:00:00:00"}; }

// A device, or a definition whose device is not there yet.
Result<proto::Interface> known(const Services& s, const std::string& name) {
    const auto link = by_name(name);
    if (!link && s.interfaces.definition(name) != nullptr) {
        return nameless(name);
    }
    return link ? Result<proto::Interface>(to_wire(*link)) : std::unexpected(link.error());
}

struct Shown {
    proto::Interface wire;
    bool up = false;
};

Result<std::vector<Shown>> all_of(const Services& s) {
    TRY(const auto links, os::host_links());
    std::vector<Shown> out;
    for (const HostLink& link : links) {
        out.push_back({to_wire(link), link.up});
    }
    for (const HostInterface* const one : s.interfaces.all()) {
        if (std::ranges::none_of(links, [one](const HostLink& link) { return link.name == one->name; })) {
            out.push_back({nameless(one->name.str()), false});
        }
    }
    return out;
}

template <class Ret>
Result<Ret> count(const Services& s, bool up) {
    TRY(const auto all, all_of(s));
    return Ret{static_cast<std::int32_t>(std::ranges::count(all, up, &Shown::up))};
}

template <class Ret>
Result<Ret> names(const Services& s, std::int32_t most, bool up) {
    TRY(const auto all, all_of(s));
    Ret ret;
    for (const Shown& one : all) {
        if (one.up == up && ret.names.size() < static_cast<std::size_t>(std::max(most, 0))) {
            ret.names.push_back(one.wire.name);
        }
    }
    return ret;
}

void add_lists(rpc::Handlers& h, Services& s) {
    h.add<proto::connect_num_of_interfaces>([&s](Call&, const proto::connect_num_of_interfaces::Args&) {
        return count<proto::connect_num_of_interfaces_ret>(s, true);
    });
    h.add<proto::connect_num_of_defined_interfaces>([&s](Call&, const proto::connect_num_of_defined_interfaces::Args&) {
        return count<proto::connect_num_of_defined_interfaces_ret>(s, false);
    });
    h.add<proto::connect_list_interfaces>([&s](Call&, const proto::connect_list_interfaces_args& args) {
        return names<proto::connect_list_interfaces_ret>(s, args.maxnames, true);
    });
    h.add<proto::connect_list_defined_interfaces>([&s](Call&, const proto::connect_list_defined_interfaces_args& args) {
        return names<proto::connect_list_defined_interfaces_ret>(s, args.maxnames, false);
    });
    h.add<proto::connect_list_all_interfaces>([&s](Call&, const proto::connect_list_all_interfaces_args& args)
                                                  -> Result<proto::connect_list_all_interfaces_ret> {
        TRY_OK(check_flags(args.flags, list_flags::active | list_flags::inactive, "interfaceConnectListAllInterfaces"));
        TRY(auto all, all_of(s));
        proto::connect_list_all_interfaces_ret ret;
        for (Shown& one : all) {
            if (passes(args.flags, list_flags::active, list_flags::inactive, one.up)) {
                ++ret.ret;
                if (args.need_results != 0) {
                    ret.ifaces.push_back(std::move(one.wire));
                }
            }
        }
        return ret;
    });
}

void add_lookups(rpc::Handlers& h, Services& s) {
    h.add<proto::interface_lookup_by_name>(
        [&s](Call&, const proto::interface_lookup_by_name_args& args) -> Result<proto::interface_lookup_by_name_ret> {
            TRY(auto found, known(s, args.name));
            return proto::interface_lookup_by_name_ret{std::move(found)};
        });
    h.add<proto::interface_lookup_by_mac_string>([](Call&, const proto::interface_lookup_by_mac_string_args& args)
                                                     -> Result<proto::interface_lookup_by_mac_string_ret> {
        const auto mac = parse_mac(args.mac);
        TRY(const auto links, os::host_links());
        std::vector<const HostLink*> found;
        for (const HostLink& link : links) {
            if (mac && link.mac == mac) {
                found.push_back(&link);
            }
        }
        if (found.empty()) {
            return fail(Code::no_interface, fmt::format("couldn't find interface with MAC address '{}'", args.mac));
        }
        if (found.size() > 1) {
            return fail(Code::invalid_argument,
                        fmt::format("{} devices have the MAC address '{}': name one of them", found.size(), args.mac));
        }
        return proto::interface_lookup_by_mac_string_ret{to_wire(*found.front())};
    });
    h.add<proto::interface_is_active>(
        [&s](Call&, const proto::interface_is_active_args& args) -> Result<proto::interface_is_active_ret> {
            TRY_OK(known(s, args.iface.name));
            const auto link = by_name(args.iface.name);
            return proto::interface_is_active_ret{link && link->up ? 1 : 0};
        });
    h.add<proto::interface_get_xml_desc>(
        [&s](Call&, const proto::interface_get_xml_desc_args& args) -> Result<proto::interface_get_xml_desc_ret> {
            constexpr std::uint32_t kInactive = 1;  // the definition; without one, what there is
            TRY_OK(check_flags(args.flags, kInactive, "interfaceGetXMLDesc"));
            const HostInterface* const definition = s.interfaces.definition(args.iface.name);
            if (definition != nullptr && ((args.flags & kInactive) != 0 || !by_name(args.iface.name))) {
                return proto::interface_get_xml_desc_ret{format(*definition)};
            }
            TRY(HostLink link, by_name(args.iface.name));
            TRY(link.gateways, os::gateways_of(link.name));
            TRY(const auto links, os::host_links());
            return proto::interface_get_xml_desc_ret{interface_xml(link, links, speed_of)};
        });
}

void add_changes(rpc::Handlers& h, Services& s) {
    h.add<proto::interface_define_xml>(
        [&s](Call&, const proto::interface_define_xml_args& args) -> Result<proto::interface_define_xml_ret> {
            constexpr std::uint32_t kValidate = 1;  // documents are always held to what is known
            TRY_OK(check_flags(args.flags, kValidate, "interfaceDefineXML"));
            TRY(const IfName name, s.interfaces.define(args.xml));
            return proto::interface_define_xml_ret{known(s, name.str()).value_or(nameless(name.str()))};
        });
    h.add<proto::interface_undefine>([&s](Call&, const proto::interface_undefine_args& args) -> Result<void> {
        return s.interfaces.undefine(args.iface.name);
    });
    h.add<proto::interface_create>([&s](Call&, const proto::interface_create_args& args) -> Result<void> {
        TRY_OK(check_flags(args.flags, 0, "interfaceCreate"));
        return s.interfaces.start(args.iface.name);
    });
    h.add<proto::interface_destroy>([&s](Call&, const proto::interface_destroy_args& args) -> Result<void> {
        TRY_OK(check_flags(args.flags, 0, "interfaceDestroy"));
        TRY_OK(known(s, args.iface.name));
        return s.interfaces.stop(args.iface.name);
    });
    h.add<proto::interface_change_begin>([&s](Call&, const proto::interface_change_begin_args& args) -> Result<void> {
        TRY_OK(check_flags(args.flags, 0, "interfaceChangeBegin"));
        return s.interfaces.begin();
    });
    h.add<proto::interface_change_commit>([&s](Call&, const proto::interface_change_commit_args& args) -> Result<void> {
        TRY_OK(check_flags(args.flags, 0, "interfaceChangeCommit"));
        return s.interfaces.commit();
    });
    h.add<proto::interface_change_rollback>(
        [&s](Call&, const proto::interface_change_rollback_args& args) -> Result<void> {
            TRY_OK(check_flags(args.flags, 0, "interfaceChangeRollback"));
            return s.interfaces.rollback();
        });
}

}  // namespace

void add_interface_handlers(rpc::Handlers& handlers, Services& services) {
    add_lists(handlers, services);
    add_lookups(handlers, services);
    add_changes(handlers, services);
}

}  // namespace bascule::daemon
