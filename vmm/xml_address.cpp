// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>
#include <charconv>

#include "vmm/xml_parts.h"

namespace bascule::vmm::parts {

namespace {

using xml::Value;

// A number as the peer writes it in addresses: 0x1f or 31.
template <class T, unsigned Max>
std::optional<T> parse_hex(std::string_view text) {
    const bool hex = text.starts_with("0x");
    text.remove_prefix(hex ? 2 : 0);
    unsigned value = 0;
    const auto [stop, ec] = std::from_chars(text.data(), text.data() + text.size(), value, hex ? 16 : 10);
    const bool whole = ec == std::errc() && stop == text.data() + text.size();
    return whole && value <= Max ? std::optional(static_cast<T>(value)) : std::nullopt;
}
constexpr Value<std::uint16_t> kDomain{"a PCI domain", parse_hex<std::uint16_t, 0xffff>};
constexpr Value<std::uint8_t> kBus{"a PCI bus, 0 to 0xff", parse_hex<std::uint8_t, 0xff>};
constexpr Value<std::uint8_t> kSlot{"a PCI slot, 0 to 0x1f", parse_hex<std::uint8_t, 0x1f>};
constexpr Value<std::uint8_t> kFunction{"a PCI function, 0 to 7", parse_hex<std::uint8_t, 7>};
constexpr Value<unsigned> kSmall{"a number, 0 to 255", xml::parse_number<unsigned, 0, 255>};
constexpr Value<unsigned> kUsbPort{"a USB port, 1 to 15; there are no hubs", xml::parse_number<unsigned, 1, 15>};
constexpr Value<std::string> kAlias{
    "an alias of letters, digits, '-' and '_', at most 64", [](std::string_view t) {
        if (!t.starts_with("ua-")) {
            return std::optional(std::string());
        }
        const bool good = !t.empty() && t.size() <= 64 && std::ranges::all_of(t, [](char c) {
            return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
        });
        return good ? std::optional(std::string(t)) : std::nullopt;
    }};

}  // namespace

std::optional<unsigned> parse_hex_byte(std::string_view text) { return parse_hex<unsigned, 0xff>(text); }

Result<std::string> read_alias(const Node& node) {
    Reader r(node);
    const auto name = r.req("name", kAlias);
    TRY_OK(r.finish());
    return *name;
}

Result<std::optional<PciAddress>> read_pci_address(const Node& node) {
    Reader r(node);
    only(r, "type", "pci");
    PciAddress out;
    const auto domain = r.opt("domain", kDomain);
    const auto bus = r.opt("bus", kBus);
    const auto slot = r.opt("slot", kSlot);
    const auto function = r.opt("function", kFunction);
    out.multifunction = r.opt("multifunction", xml::kOnOff);
    if (domain.value_or(0) != 0) {
        r.report(Fault::Kind::not_supported, "domain", "the machines have PCI domain 0 only", {});
    }
    // A bus alone is a place on a port; everything else without a slot says too little.
    if (!slot && bus.value_or(0) == 0 && (domain || bus || function || out.multifunction)) {
        r.report(Fault::Kind::missing, "slot", "a PCI slot, 0 to 0x1f", {});
    }
    TRY_OK(r.finish());
    if (!slot && bus.value_or(0) == 0) {
        return std::nullopt;
    }
    out.bus = bus.value_or(0);
    out.slot = slot.value_or(0);
    out.function = function.value_or(0);
    return out;
}

Result<UsbAddress> read_usb_address(const Node& node) {
    Reader r(node);
    only(r, "type", "usb");
    UsbAddress out;
    out.bus = r.get("bus", kSmall, 0);
    out.port = r.get("port", kUsbPort, 0);
    r.ignore_attr("device");  // of the host's numbering, which a guest's device has not got
    TRY_OK(r.finish());
    return out;
}

Result<DriveAddress> read_drive_address(const Node& node) {
    Reader r(node);
    only(r, "type", "drive");
    DriveAddress out;
    out.controller = r.get("controller", kSmall, 0);
    out.bus = r.get("bus", kSmall, 0);
    out.target = r.get("target", kSmall, 0);
    out.unit = r.get("unit", kSmall, 0);
    TRY_OK(r.finish());
    return out;
}

}  // namespace bascule::vmm::parts
