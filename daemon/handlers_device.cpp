// SPDX-License-Identifier: GPL-2.0-or-later
// Devices of the host, to look at. Taking them from their drivers, giving them back and making new ones is refused.
#include <algorithm>
#include <array>

#include "daemon/device_xml.h"
#include "daemon/handlers.h"
#include "kernel/linux/devices.h"
#include "rpc/constants.h"
#include "rpc/proto_connect.h"
#include "rpc/proto_node_device.h"
#include "rpc/session.h"

namespace bascule::daemon {

namespace proto = rpc::proto;
namespace os = kernel::os;
namespace flag = rpc::connect_list_all_node_device_flags;
using kernel::HostDevice;
using rpc::Call;

namespace {

// The kind as documents and lists have it, and its bit in the flags of a list.
struct KindName {
    HostDevice::Kind kind;
    std::string_view name;
    std::uint32_t bit;
};
constexpr std::array kKinds{KindName{HostDevice::Kind::computer, "system", flag::cap_system},
                            KindName{HostDevice::Kind::pci, "pci", flag::cap_pci_dev},
                            KindName{HostDevice::Kind::usb, "usb_device", flag::cap_usb_dev},
                            KindName{HostDevice::Kind::net, "net", flag::cap_net}};

const KindName& kind_of(const HostDevice& device) { return *std::ranges::find(kKinds, device.kind, &KindName::kind); }

std::vector<HostDevice> devices() { return os::host_devices("/sys"); }

Result<HostDevice> by_name(const std::string& name) {
    for (HostDevice& device : devices()) {
        if (device.name == name) {
            return std::move(device);
        }
    }
    return fail(Code::no_node_device, fmt::format("no node device with matching name '{}'", name));
}

std::vector<std::string> names(const std::optional<std::string>& cap) {
    std::vector<std::string> out;
    for (const HostDevice& device : devices()) {
        if (!cap || kind_of(device).name == *cap) {
            out.push_back(device.name);
        }
    }
    return out;
}

void add_lists(rpc::Handlers& h) {
    h.add<proto::node_num_of_devices>(
        [](Call&, const proto::node_num_of_devices_args& args) -> Result<proto::node_num_of_devices_ret> {
            TRY_OK(check_flags(args.flags, 0, "nodeNumOfDevices"));
            return proto::node_num_of_devices_ret{static_cast<std::int32_t>(names(args.cap).size())};
        });
    h.add<proto::node_list_devices>(
        [](Call&, const proto::node_list_devices_args& args) -> Result<proto::node_list_devices_ret> {
            TRY_OK(check_flags(args.flags, 0, "nodeListDevices"));
            auto all = names(args.cap);
            all.resize(std::min(all.size(), static_cast<std::size_t>(std::max(args.maxnames, 0))));
            return proto::node_list_devices_ret{std::move(all)};
        });
    h.add<proto::connect_list_all_node_devices>(
        [](Call&,
           const proto::connect_list_all_node_devices_args& args) -> Result<proto::connect_list_all_node_devices_ret> {
            constexpr std::uint32_t kCaps = (flag::cap_ccwgroup_member << 1) - 1;
            TRY_OK(check_flags(args.flags, kCaps | flag::persistent | flag::transient | flag::inactive | flag::active,
                               "nodeConnectListAllNodeDevices"));
            proto::connect_list_all_node_devices_ret ret;
            for (const HostDevice& device : devices()) {
                const bool kind = (args.flags & kCaps) == 0 || (args.flags & kind_of(device).bit) != 0;
                // They are there as long as the hardware is, and not by a definition of ours.
                if (kind && passes(args.flags, flag::active, flag::inactive, true) &&
                    passes(args.flags, flag::persistent, flag::transient, false)) {
                    ++ret.ret;
                    if (args.need_results != 0) {
                        ret.devices.push_back({device.name});
                    }
                }
            }
            return ret;
        });
}

void add_facts(rpc::Handlers& h, Services& s) {
    h.add<proto::node_device_lookup_by_name>(
        [](Call&, const proto::node_device_lookup_by_name_args& args) -> Result<proto::node_device_lookup_by_name_ret> {
            TRY(const HostDevice device, by_name(args.name));
            return proto::node_device_lookup_by_name_ret{{device.name}};
        });
    h.add<proto::node_device_get_xml_desc>(
        [&s](Call&, const proto::node_device_get_xml_desc_args& args) -> Result<proto::node_device_get_xml_desc_ret> {
            constexpr std::uint32_t kInactive = 1;
            TRY_OK(check_flags(args.flags, kInactive, "nodeDeviceGetXMLDesc"));
            TRY(const HostDevice device, by_name(args.name));
            return proto::node_device_get_xml_desc_ret{device_xml(device, s.facts.uuid)};
        });
    h.add<proto::node_device_get_parent>(
        [](Call&, const proto::node_device_get_parent_args& args) -> Result<proto::node_device_get_parent_ret> {
            TRY(HostDevice device, by_name(args.name));
            return proto::node_device_get_parent_ret{device.parent.empty() ? std::nullopt
                                                                           : std::optional(std::move(device.parent))};
        });
    h.add<proto::node_device_num_of_caps>(
        [](Call&, const proto::node_device_num_of_caps_args& args) -> Result<proto::node_device_num_of_caps_ret> {
            TRY_OK(by_name(args.name));
            return proto::node_device_num_of_caps_ret{1};
        });
    h.add<proto::node_device_list_caps>(
        [](Call&, const proto::node_device_list_caps_args& args) -> Result<proto::node_device_list_caps_ret> {
            TRY(const HostDevice device, by_name(args.name));
            proto::node_device_list_caps_ret ret;
            if (args.maxnames > 0) {
                ret.names.emplace_back(kind_of(device).name);
            }
            return ret;
        });
    h.add<proto::node_device_is_active>(
        [](Call&, const proto::node_device_is_active_args& args) -> Result<proto::node_device_is_active_ret> {
            TRY_OK(by_name(args.name));
            return proto::node_device_is_active_ret{1};
        });
    h.add<proto::node_device_is_persistent>(
        [](Call&, const proto::node_device_is_persistent_args& args) -> Result<proto::node_device_is_persistent_ret> {
            TRY_OK(by_name(args.name));
            return proto::node_device_is_persistent_ret{0};
        });
    h.add<proto::node_device_get_autostart>(
        [](Call&, const proto::node_device_get_autostart_args& args) -> Result<proto::node_device_get_autostart_ret> {
            TRY_OK(by_name(args.name));
            return proto::node_device_get_autostart_ret{0};
        });
}

void add_changes(rpc::Handlers& h) {
    const auto of_device = [](Call&, const auto& args) -> Result<void> {
        TRY_OK(by_name(args.name));
        return fail(Code::unsupported, fmt::format("device '{}' cannot be taken from the host yet", args.name));
    };
    h.add<proto::node_device_dettach>(of_device);
    h.add<proto::node_device_detach_flags>(of_device);
    h.add<proto::node_device_re_attach>(of_device);
    h.add<proto::node_device_reset>(of_device);
    h.add<proto::node_device_destroy>(of_device);
    h.add<proto::node_device_undefine>(of_device);
    h.add<proto::node_device_create>(of_device);
    h.add<proto::node_device_set_autostart>(of_device);
    h.add<proto::node_device_update>(of_device);
    h.add<proto::node_device_create_xml>(
        [](Call&, const proto::node_device_create_xml_args&) -> Result<proto::node_device_create_xml_ret> {
            return fail(Code::unsupported, "devices of the host cannot be made yet");
        });
    h.add<proto::node_device_define_xml>(
        [](Call&, const proto::node_device_define_xml_args&) -> Result<proto::node_device_define_xml_ret> {
            return fail(Code::unsupported, "devices of the host cannot be made yet");
        });
}

}  // namespace

void add_device_handlers(rpc::Handlers& handlers, Services& services) {
    add_lists(handlers);
    add_facts(handlers, services);
    add_changes(handlers);
}

}  // namespace bascule::daemon
