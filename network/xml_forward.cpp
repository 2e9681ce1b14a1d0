// SPDX-License-Identifier: GPL-2.0-or-later
// <forward>, <bridge> and <portgroup>.
#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "network/xml_parts.h"

namespace bascule::network {

namespace {

using xml::Fault;
using xml::Node;
using xml::Reader;

constexpr EnumNames<Mode, 8> kModes{{{{"nat", Mode::nat},
                                      {"route", Mode::route},
                                      {"open", Mode::open},
                                      {"bridge", Mode::bridge},
                                      {"private", Mode::priv},
                                      {"vepa", Mode::vepa},
                                      {"passthrough", Mode::passthrough},
                                      {"hostdev", Mode::hostdev}}}};
constexpr EnumNames<MacTable, 2> kMacTables{{{{"kernel", MacTable::kernel}, {"libvirt", MacTable::libvirt}}}};
constexpr EnumNames<int, 3> kDrivers{{{{"vfio", 0}, {"kvm", 1}, {"xen", 2}}}};

// The number in a template is filled in by complete().
constexpr xml::Value<IfName> kBridgeName{
    "a device name of 1 to 15 characters, or one with '%d' for a number", [](std::string_view text) {
        const auto percent = text.find('%');
        const bool fits =
            percent == std::string_view::npos || (text.substr(percent).starts_with("%d") && text.rfind('%') == percent);
        return fits ? IfName::parse(text) : std::nullopt;
    }};
constexpr xml::Value<std::uint16_t> kPort{"a port number", xml::parse_number<std::uint16_t, 1, 65535>};
constexpr xml::Value<std::string> kWord{"a name", [](std::string_view text) {
                                            const bool fits =
                                                !text.empty() && text.size() <= 200 &&
                                                std::ranges::all_of(text, [](char c) { return c >= ' '; });
                                            return fits ? std::optional(std::string(text)) : std::nullopt;
                                        }};

// Decimal, or hexadecimal with 0x, as PCI addresses are written.
template <std::uint32_t Max>
std::optional<std::uint32_t> pci_number(std::string_view text) {
    const bool hex = text.starts_with("0x");
    const std::string_view digits = hex ? text.substr(2) : text;
    std::uint32_t value = 0;
    const auto [stop, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), value, hex ? 16 : 10);
    const bool whole = ec == std::errc() && stop == digits.data() + digits.size();
    return whole && value <= Max ? std::optional(value) : std::nullopt;
}
template <std::uint32_t Max>
constexpr xml::Value<std::uint32_t> kPciNumber{Max == 0x7    ? "a number from 0 to 7"
                                               : Max == 0x1f ? "a number from 0 to 0x1f"
                                               : Max == 0xff ? "a number from 0 to 0xff"
                                                             : "a number from 0 to 0xffffffff",
                                               pci_number<Max>};

Result<PortRange> parse_ports(const Node& node) {
    Reader r(node);
    const auto start = r.req("start", kPort);
    const auto end = r.req("end", kPort);
    TRY_OK(r.finish());
    if (*end < *start) {
        return inconsistent(node, "end", fmt::format("{} comes before start {}", *end, *start));
    }
    return PortRange{*start, *end};
}

Result<IpRange> parse_nat_addresses(const Node& node) {
    Reader r(node);
    const auto start = r.req("start", xml::kIpv4);
    const auto end = r.req("end", xml::kIpv4);
    TRY_OK(r.finish());
    if (*end < *start) {
        return inconsistent(node, "end", fmt::format("{} comes before start {}", format(*end), format(*start)));
    }
    for (const Ip& one : {*start, *end}) {
        if (one.is_multicast() || one.is_loopback() || one.is_unspecified()) {
            return inconsistent(node, one == *start ? "start" : "end",
                                fmt::format("{} cannot be the source of a packet", format(one)));
        }
    }
    return IpRange{*start, *end};
}

Result<bool> parse_nat(const Node& node, Spec& spec) {
    Reader r(node);
    spec.nat_ipv6 = r.get("ipv6", xml::kYesNo, false);
    const auto addresses = r.parse_child("address", parse_nat_addresses);
    if (addresses && spec.nat_addresses) {
        r.report(Fault::Kind::repeated, {}, {}, {});
    }
    spec.nat_addresses = addresses ? addresses : spec.nat_addresses;
    spec.nat_ports = r.parse_child("port", parse_ports);
    TRY_OK(r.finish());
    if (spec.mode != Mode::nat) {
        return inconsistent(node, {}, "goes with mode 'nat' only");
    }
    return true;
}

Result<bool> parse_driver(const Node& node, Spec& spec) {
    Reader r(node);
    if (const auto name = r.opt("name", kDrivers)) {
        spec.driver_name = kDrivers.name(*name);
    }
    spec.driver_model = r.opt("model", kWord).value_or("");
    TRY_OK(r.finish());
    return true;
}

}  // namespace

Result<PciAddress> parse_pci(const Node& node) {
    Reader r(node);
    if (const std::string* const type = node.attr("type"); type != nullptr && *type != "pci") {
        r.report(Fault::Kind::malformed, "type", "'pci'", *type);
    }
    r.ignore_attr("type");
    PciAddress out{.domain = r.get("domain", kPciNumber<0xffff'ffff>, 0),
                   .bus = static_cast<std::uint8_t>(r.get("bus", kPciNumber<0xff>, 0)),
                   .slot = static_cast<std::uint8_t>(r.get("slot", kPciNumber<0x1f>, 0)),
                   .function = static_cast<std::uint8_t>(r.get("function", kPciNumber<0x7>, 0))};
    r.ignore_attr("connections");  // a count that libvirt prints
    TRY_OK(r.finish());
    if (out == PciAddress{}) {
        return inconsistent(node, {}, "0000:00:00.0 is no device that could be handed out");
    }
    return out;
}

Result<IfName> parse_forward_interface(const Node& node) {
    Reader r(node);
    auto device = r.req("dev", kDevice);
    r.ignore_attr("connections");  // a count that libvirt prints
    TRY_OK(r.finish());
    return *std::move(device);
}

Result<void> parse_forward(const Node& node, Spec& spec) {
    Reader r(node);
    spec.mode = r.get("mode", kModes, Mode::nat);
    const auto device = r.opt("dev", kDevice);
    spec.managed = r.get("managed", xml::kYesNo, false);
    spec.forward_devices = r.parse_children("interface", parse_forward_interface);
    // Some guides print the addresses of NAT without <nat> around them.
    const auto parse_address = [&](const Node& n) -> Result<bool> {
        if (n.attr("start") == nullptr) {
            TRY(const PciAddress pci, parse_pci(n));
            spec.forward_pci.push_back(pci);
            return true;
        }
        if (spec.nat_addresses) {
            return inconsistent(n, {}, "NAT goes to one range of addresses only");
        }
        TRY(spec.nat_addresses, parse_nat_addresses(n));
        return true;
    };
    spec.forward_pci.clear();
    r.parse_children("address", parse_address);
    spec.forward_pf = r.parse_child("pf", parse_forward_interface);
    r.parse_child("driver", [&spec](const Node& n) { return parse_driver(n, spec); });
    r.parse_child("nat", [&spec](const Node& n) { return parse_nat(n, spec); });
    if (device && spec.forward_devices.empty()) {
        spec.forward_devices.push_back(*device);
    } else if (device && *device != spec.forward_devices[0]) {
        r.report(Fault::Kind::inconsistent, "dev",
                 fmt::format("'{}' is not the device '{}' of the first <interface>", device->str(),
                             spec.forward_devices[0].str()),
                 {});
    }
    return r.finish();
}

// After <forward>: only a bridge of ours has settings that we could make.
Result<void> parse_bridge(const Node& node, Spec& spec) {
    Reader r(node);
    spec.bridge = r.opt("name", kBridgeName);
    spec.stp = r.get("stp", xml::kOnOff, true);
    spec.delay_seconds = r.get("delay", xml::kUnsigned, 0U);
    spec.zone = r.opt("zone", kWord).value_or("");
    spec.mac_table = r.opt("macTableManager", kMacTables);
    for (const std::string_view ours : {"stp", "delay", "zone"}) {
        if (!spec.has_own_bridge() && node.attr(ours) != nullptr) {
            r.report(Fault::Kind::inconsistent, ours,
                     fmt::format("the bridge of mode '{}' is not ours to set up", name_of(spec.mode)), {});
        }
    }
    if (spec.bridge && spec.bridge->str().contains('%') && !spec.has_own_bridge()) {
        r.report(Fault::Kind::inconsistent, "name", "names a bridge that is there already", spec.bridge->str());
    }
    return r.finish();
}

Result<PortGroup> parse_portgroup(const Node& node) {
    Reader r(node);
    PortGroup out{.name = r.req("name", kWord).value_or(""),
                  .is_default = r.get("default", xml::kYesNo, false),
                  .trust_rx_filters = r.opt("trustGuestRxFilters", xml::kYesNo),
                  .virtual_port = r.parse_child("virtualport", read_virtual_port),
                  .bandwidth = r.parse_child("bandwidth", read_bandwidth).value_or(Bandwidth{}),
                  .vlan = r.parse_child("vlan", read_vlan)};
    TRY_OK(r.finish());
    return out;
}

}  // namespace bascule::network
