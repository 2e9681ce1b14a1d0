// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>

#include "vmm/xml_interface_parts.h"

namespace bascule::vmm::parts {

namespace {

using xml::kText;
using xml::Value;
using Type = Interface::Type;

// Types that are the peer's and not realised here, and what to use instead.
struct Other {
    std::string_view type, why;
};
constexpr Other kOthers[] = {
    {"direct", "a device of the host by macvtap; put the device into a bridge and use 'bridge'"},
    {"hostdev", "a device of the host handed to the guest"},
    {"vhostuser", "a switch in another process"},
    {"vdpa", "a vDPA device"},
    {"internal", "another hypervisor's"},
    {"null", "another hypervisor's"},
    {"vds", "another hypervisor's"},
};

bool all_of(std::string_view text, std::string_view more) {
    return !text.empty() && std::ranges::all_of(text, [more](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || more.contains(c);
    });
}

constexpr Value<MacAddr> kUnicastMac{"the MAC address of one station",
                                     [](std::string_view t) -> std::optional<MacAddr> {
                                         const auto mac = parse_mac(t);
                                         return mac && !mac->is_multicast() ? mac : std::nullopt;
                                     }};
// RFC 791: every link carries 68 bytes; 65521 is the most that tap and bridge take.
constexpr Value<std::uint32_t> kMtu{"an MTU, 68 to 65521", xml::parse_number<std::uint32_t, 68, 65521>};
constexpr Value<std::uint32_t> kFrames{"a number of frames", xml::parse_number<std::uint32_t>};
constexpr Value<std::uint64_t> kBytes{"a number of bytes", xml::parse_number<std::uint64_t, 0, INT32_MAX>};
constexpr Value<unsigned> kAcpiIndex{"an index, 1 to 16383", xml::parse_number<unsigned, 1, 16383>};
// The alphabets of the peer's filter language; what is outside them it drops without a word, and we refuse.
constexpr Value<std::string> kParameterName{"a name of letters, digits and '_'", [](std::string_view t) {
                                                return all_of(t, "_") ? std::optional(std::string(t)) : std::nullopt;
                                            }};
constexpr Value<std::string> kParameterValue{"a value of letters, digits, '_', '.' and ':'", [](std::string_view t) {
                                                 return all_of(t, "_.:") ? std::optional(std::string(t)) : std::nullopt;
                                             }};
constexpr Value<ObjectName> kFilterName{"a filter's name", ObjectName::parse};
constexpr std::string_view kMacTypes[] = {"generated", "static"}, kMacChecks[] = {"yes", "no"};

Result<void> read_mac(const Node& node, Interface& out) {
    Reader r(node);
    out.mac = r.req("address", kUnicastMac);
    out.mac_type = word(r, "type", kMacTypes);
    out.mac_check = word(r, "check", kMacChecks);
    r.ignore_attr("currentAddress");  // of a running guest
    if (out.mac && out.mac->is_zero()) {
        out.mac.reset();  // the peer's way to ask for a fresh one
    }
    return r.finish();
}

Result<NicModel> read_model(const Node& node) {
    Reader r(node);
    const auto text = r.req("type", kText);
    std::optional<NicModel> model;
    if (text) {
        std::string lower(*text);  // the peer compares without regard to case
        std::ranges::transform(lower, lower.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
        model = kNicModels.parse(lower);
        if (!model) {
            r.report(Fault::Kind::not_supported, "type", "'" + *text + "'; use " + kNicModels.choices(), *text);
        }
    }
    TRY_OK(r.finish());
    return *model;
}

Result<void> read_target(const Node& node, Interface& out) {
    Reader r(node);
    out.managed_written = r.opt("managed", xml::kYesNo);
    out.managed = out.managed_written.value_or(true);
    const auto dev = out.managed_written ? r.opt("dev", kNicDevice) : r.req("dev", kNicDevice);
    TRY_OK(r.finish());
    if (dev && (!out.managed || !is_generated_target(dev->str()))) {
        out.target = dev;
    }
    return {};
}

Result<void> read_backend(const Node& node, Interface& out) {
    constexpr EnumNames<bool, 2> kTypes{{{{"passt", true}, {"default", false}}}};
    Reader r(node);
    out.passt = r.get("type", kTypes, false);
    out.passt_log = r.opt("logFile", kAbsolutePath).value_or("");
    // The peer opens these instead of /dev/net/tun and /dev/vhost-net; we open the host's own.
    only(r, "tap", "/dev/net/tun");
    only(r, "vhost", "/dev/vhost-net");
    return r.finish();
}

Result<void> read_coalesce(const Node& node, Interface& out) {
    Reader r(node);
    r.parse_child("rx", [&out](const Node& rx) -> Result<bool> {
        Reader x(rx);
        out.rx_frames = x.parse_child("frames", attribute("max", kFrames));
        TRY_OK(x.finish());
        return true;
    });
    return r.finish();
}

Result<std::optional<std::uint64_t>> read_tune(const Node& node) {
    Reader r(node);
    const auto bytes = r.child_text("sndbuf", kBytes);
    TRY_OK(r.finish());
    return bytes;
}

Result<bool> read_teaming(const Node& node) {
    Reader r(node);
    only(r, "type", "persistent");
    r.not_supported_attr("persistent", "the device that may go: type='hostdev'");
    TRY_OK(r.finish());
    return true;
}

Result<std::pair<std::string, std::string>> read_parameter(const Node& node) {
    Reader r(node);
    const auto name = r.req("name", kParameterName);
    const auto value = r.req("value", kParameterValue);
    TRY_OK(r.finish());
    return std::pair(*name, *value);
}

Result<FilterRef> read_filterref(const Node& node) {
    Reader r(node);
    const auto filter = r.req("filter", kFilterName);
    auto parameters = r.parse_children("parameter", read_parameter);
    TRY_OK(r.finish());
    return FilterRef{filter->str(), std::move(parameters)};
}

Result<void> read_rom(const Node& node, Interface& out) {
    Reader r(node);
    out.rom = r.get("enabled", xml::kYesNo, true);
    out.rom_bar = r.opt("bar", xml::kOnOff);
    out.rom_file = r.opt("file", kAbsolutePath).value_or("");
    if (!out.rom && (out.rom_bar || !out.rom_file.empty())) {
        r.report(Fault::Kind::inconsistent, "enabled", "there is no ROM then; leave bar and file out", "no");
    }
    return r.finish();
}

// An element that fills in parts of the interface.
void into(Reader& r, std::string_view name, Interface& out, Result<void> (*read)(const Node&, Interface&)) {
    r.parse_child(name, [&](const Node& node) -> Result<bool> {
        TRY_OK(read(node, out));
        return true;
    });
}

void read_type(Reader& r, Interface& out) {
    if (const std::string* const text = r.node().attr("type")) {
        for (const Other& other : kOthers) {
            if (*text == other.type) {
                r.report(Fault::Kind::not_supported, "type",
                         "'" + *text + "' (" + std::string(other.why) + "); use " + kInterfaceTypes.choices(), *text);
            }
        }
    }
    if (const auto type = one_of(r, "type", kInterfaceTypes)) {
        out.type = *type;
    } else {
        r.report(Fault::Kind::missing, "type", kInterfaceTypes.choices(), {});
    }
}

void read_switch(Reader& r, Interface& out) {
    out.vlan = r.parse_child("vlan", read_vlan);
    out.virtual_port = r.parse_child("virtualport", read_virtual_port);
    out.bandwidth = r.parse_child("bandwidth", read_bandwidth);
    if (out.bandwidth && out.bandwidth->empty()) {
        out.bandwidth.reset();
    }
    out.isolated = r.parse_child("port", attribute("isolated", xml::kYesNo));
    out.trust_rx_filters = r.opt("trustGuestRxFilters", xml::kYesNo);
    out.filter = r.parse_child("filterref", read_filterref);
}

}  // namespace

Result<Interface> read_interface(const Node& node) {
    Reader r(node);
    Interface out;
    read_type(r, out);
    r.not_supported_attr("managed", "type='hostdev'");
    if (r.ok()) {
        TRY_OK(read_nic_source(r, out));
    }
    into(r, "mac", out, read_mac);
    into(r, "target", out, read_target);
    out.guest_device = r.parse_child("guest", attribute("dev", kNicDevice));
    out.model = r.parse_child("model", read_model).value_or(NicModel::virtio);
    into(r, "driver", out, read_nic_driver);
    into(r, "backend", out, read_backend);
    out.script = r.parse_child("script", attribute("path", kAbsolutePath)).value_or("");
    out.downscript = r.parse_child("downscript", attribute("path", kAbsolutePath)).value_or("");
    read_switch(r, out);
    out.link_state = r.parse_child("link", attribute("state", kLinkStates));
    out.link_up = out.link_state.value_or(true);
    out.mtu = r.parse_child("mtu", attribute("size", kMtu));
    into(r, "coalesce", out, read_coalesce);
    out.send_buffer = r.parse_child("tune", read_tune).value_or(std::nullopt);
    out.teaming = r.parse_child("teaming", read_teaming).value_or(false);
    out.boot_order = r.parse_child("boot", attribute("order", kBootOrder));
    into(r, "rom", out, read_rom);
    out.acpi_index = r.parse_child("acpi", attribute("index", kAcpiIndex));
    out.alias = r.parse_child("alias", read_alias).value_or("");
    out.address = r.parse_child("address", read_pci_address).value_or(std::nullopt);
    r.not_supported_child("backenddomain", "another hypervisor's");
    if (r.ok()) {
        check_interface(r, out);
    }
    TRY_OK(r.finish());
    return out;
}

}  // namespace bascule::vmm::parts
