// SPDX-License-Identifier: GPL-2.0-or-later
// The host's own network devices, to look at. Defining and changing them is refused: whatever configures the host
// (ifupdown, systemd-networkd, NetworkManager) would not know of it.
#include <charconv>

#include "daemon/handlers.h"
#include "daemon/interface_xml.h"
#include "kernel/linux/facts.h"
#include "kernel/linux/host.h"
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

bool up(const HostLink& link) { return link.up; }
bool down(const HostLink& link) { return !link.up; }

template <class Ret, class Filter>
Result<Ret> count(Filter filter) {
    TRY(const auto links, os::host_links());
    return Ret{static_cast<std::int32_t>(std::ranges::count_if(links, filter))};
}

template <class Ret, class Filter>
Result<Ret> names(std::int32_t most, Filter filter) {
    TRY(const auto links, os::host_links());
    Ret ret;
    for (const HostLink& link : links) {
        if (filter(link) && ret.names.size() < static_cast<std::size_t>(std::max(most, 0))) {
            ret.names.push_back(link.name.str());
        }
    }
    return ret;
}

void add_lists(rpc::Handlers& h) {
    h.add<proto::connect_num_of_interfaces>([](Call&, const proto::connect_num_of_interfaces::Args&) {
        return count<proto::connect_num_of_interfaces_ret>(up);
    });
    h.add<proto::connect_num_of_defined_interfaces>([](Call&, const proto::connect_num_of_defined_interfaces::Args&) {
        return count<proto::connect_num_of_defined_interfaces_ret>(down);
    });
    h.add<proto::connect_list_interfaces>([](Call&, const proto::connect_list_interfaces_args& args) {
        return names<proto::connect_list_interfaces_ret>(args.maxnames, up);
    });
    h.add<proto::connect_list_defined_interfaces>([](Call&, const proto::connect_list_defined_interfaces_args& args) {
        return names<proto::connect_list_defined_interfaces_ret>(args.maxnames, down);
    });
    h.add<proto::connect_list_all_interfaces>([](Call&, const proto::connect_list_all_interfaces_args& args)
                                                  -> Result<proto::connect_list_all_interfaces_ret> {
        TRY_OK(check_flags(args.flags, list_flags::active | list_flags::inactive, "interfaceConnectListAllInterfaces"));
        TRY(const auto links, os::host_links());
        proto::connect_list_all_interfaces_ret ret;
        for (const HostLink& link : links) {
            if (passes(args.flags, list_flags::active, list_flags::inactive, link.up)) {
                ++ret.ret;
                if (args.need_results != 0) {
                    ret.ifaces.push_back(to_wire(link));
                }
            }
        }
        return ret;
    });
}

void add_lookups(rpc::Handlers& h) {
    h.add<proto::interface_lookup_by_name>(
        [](Call&, const proto::interface_lookup_by_name_args& args) -> Result<proto::interface_lookup_by_name_ret> {
            TRY(const HostLink link, by_name(args.name));
            return proto::interface_lookup_by_name_ret{to_wire(link)};
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
        [](Call&, const proto::interface_is_active_args& args) -> Result<proto::interface_is_active_ret> {
            TRY(const HostLink link, by_name(args.iface.name));
            return proto::interface_is_active_ret{link.up ? 1 : 0};
        });
    h.add<proto::interface_get_xml_desc>(
        [](Call&, const proto::interface_get_xml_desc_args& args) -> Result<proto::interface_get_xml_desc_ret> {
            constexpr std::uint32_t kInactive = 1;  // the definition, which here is no other than what there is
            TRY_OK(check_flags(args.flags, kInactive, "interfaceGetXMLDesc"));
            TRY(const HostLink link, by_name(args.iface.name));
            TRY(const auto links, os::host_links());
            return proto::interface_get_xml_desc_ret{interface_xml(link, links, speed_of)};
        });
}

std::unexpected<Error> refuse() {
    return fail(Code::unsupported,
                "the host's own network devices are configured by the host's tools (ifupdown, systemd-networkd, "
                "NetworkManager), not here");
}

void add_changes(rpc::Handlers& h) {
    const auto of_interface = [](Call&, const auto& args) -> Result<void> {
        TRY_OK(by_name(args.iface.name));
        return refuse();
    };
    const auto of_host = [](Call&, const auto&) -> Result<void> { return refuse(); };
    h.add<proto::interface_define_xml>(
        [](Call&, const proto::interface_define_xml_args&) -> Result<proto::interface_define_xml_ret> {
            return refuse();
        });
    h.add<proto::interface_undefine>(of_interface);
    h.add<proto::interface_create>(of_interface);
    h.add<proto::interface_destroy>(of_interface);
    h.add<proto::interface_change_begin>(of_host);
    h.add<proto::interface_change_commit>(of_host);
    h.add<proto::interface_change_rollback>(of_host);
}

}  // namespace

void add_interface_handlers(rpc::Handlers& handlers, Services&) {
    add_lists(handlers);
    add_lookups(handlers);
    add_changes(handlers);
}

}  // namespace bascule::daemon
