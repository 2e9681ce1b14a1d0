// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>
#include <charconv>
#include <limits>
#include <set>

#include <fmt/format.h>

#include "vmm/names.h"
#include "vmm/xml_parts.h"

namespace bascule::vmm::parts {

namespace {

using xml::kText;
using xml::Value;

constexpr std::string_view kLaterDevices[] = {
    "crypto",    "disk",  "filesystem", "graphics", "hostdev", "hub",      "iommu",       "lease",
    "memory",    "nvram", "panic",      "parallel", "pstore",  "redirdev", "redirfilter", "shmem",
    "smartcard", "sound", "tpm",        "video",    "vsock",   "watchdog",
};

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
constexpr Value<unsigned> kSerialPort{"a serial port, 0 to 3", xml::parse_number<unsigned, 0, 3>};
constexpr Value<std::string> kAlias{
    "an alias of letters, digits, '-' and '_', at most 64", [](std::string_view t) {
        const bool good = !t.empty() && t.size() <= 64 && std::ranges::all_of(t, [](char c) {
            return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
        });
        return good ? std::optional(std::string(t)) : std::nullopt;
    }};

// <serial> or <console>; a port of none is "the next".
struct CharDevice {
    std::optional<unsigned> port;
    std::string alias;
};

Result<std::optional<unsigned>> read_serial_target(const Node& node) {
    Reader r(node);
    only(r, "type", "isa-serial");
    const auto port = r.opt("port", kSerialPort);
    if (const Node* const model = r.child("model")) {
        Reader m(*model);
        only(m, "name", "isa-serial");
        TRY_OK(m.finish());
    }
    TRY_OK(r.finish());
    return port;
}

Result<std::optional<unsigned>> read_console_target(const Node& node) {
    Reader r(node);
    only(r, "type", "serial");
    const auto port = r.opt("port", kSerialPort);
    TRY_OK(r.finish());
    return port;
}

template <class ReadTarget>
Result<CharDevice> read_char_device(const Node& node, ReadTarget read_target) {
    Reader r(node);
    CharDevice out;
    only(r, "type", "pty");
    if (!r.opt("type", kText)) {
        r.report(Fault::Kind::missing, "type", "'pty'", {});
    }
    r.ignore_attr("tty");      // of a running guest
    r.ignore_child("source");  // likewise: the pty is QEMU's choice
    out.port = r.parse_child("target", read_target).value_or(std::nullopt);
    out.alias = r.parse_child("alias", read_alias).value_or("");
    r.not_supported_child("log");
    r.not_supported_child("protocol");
    r.not_supported_child("address", "serial ports have their place by port number");
    TRY_OK(r.finish());
    return out;
}

// The first console of a PC *is* its first serial port: either element alone makes both, as for the peer.
Result<void> read_serials(Reader& r, Spec& spec) {
    const auto serials =
        r.parse_children("serial", [](const Node& n) { return read_char_device(n, read_serial_target); });
    const auto consoles =
        r.parse_children("console", [](const Node& n) { return read_char_device(n, read_console_target); });
    if (!r.ok()) {
        return r.finish();
    }
    std::set<unsigned> taken;
    for (const CharDevice& device : serials) {
        if (device.port && !taken.insert(*device.port).second) {
            r.report(Fault::Kind::inconsistent, {}, fmt::format("two <serial> want port {}", *device.port), {});
        }
    }
    const auto add = [&](const CharDevice& device) {
        unsigned port = device.port.value_or(0);
        while (!device.port && taken.contains(port)) {
            ++port;
        }
        taken.insert(port);
        spec.serials.push_back({port, device.alias, {}});
    };
    std::ranges::for_each(serials, add);
    if (spec.serials.empty() && !consoles.empty()) {
        add(consoles.front());
    }
    if (spec.serials.size() > 4 || taken.size() > 4 || (!taken.empty() && *taken.rbegin() > 3)) {
        r.report(Fault::Kind::inconsistent, {}, "a PC has at most 4 serial ports", {});
    }
    if (consoles.size() > 1) {
        r.report(Fault::Kind::not_supported, {}, "more than one <console>; use <serial> for further ports", {});
    }
    return {};
}

Result<void> read_input(const Node& node, Spec& spec) {
    Reader r(node);
    const auto type = r.req("type", kText);
    only(r, "bus", "ps2");
    r.ignore_child("alias");
    if (type == "mouse" || type == "keyboard") {
        (type == "mouse" ? spec.ps2_mouse : spec.ps2_keyboard) = true;
    } else {
        r.report(Fault::Kind::not_supported, "type", fmt::format("'{}'; use 'mouse' or 'keyboard'", type.value_or("")),
                 {});
    }
    return r.finish();
}

Result<void> read_audio(const Node& node, Spec& spec) {
    Reader r(node);
    only(r, "type", "none");
    only(r, "id", "1");
    spec.audio_none = true;
    return r.finish();
}

Result<std::optional<PlainDevice>> read_balloon(const Node& node) {
    Reader r(node);
    const auto model = r.req("model", kText);
    PlainDevice out;
    out.alias = r.parse_child("alias", read_alias).value_or("");
    out.address = r.parse_child("address", read_pci_address).value_or(std::nullopt);
    if (model && model != "virtio" && model != "none") {
        r.report(Fault::Kind::not_supported, "model", fmt::format("'{}'; use 'virtio' or 'none'", *model), {});
    }
    refuse_attributes(r, {"autodeflate", "freePageReporting"});
    refuse_children(r, {"driver", "stats"});
    TRY_OK(r.finish());
    return model == "virtio" ? std::optional(out) : std::nullopt;
}

Result<bool> read_rng_backend(const Node& node) {
    Reader r(node);
    only(r, "model", "random");
    if (r.text() != "/dev/urandom") {
        r.report(Fault::Kind::not_supported, {}, "'" + r.text() + "'; use '/dev/urandom'", {});
    }
    TRY_OK(r.finish());
    return true;
}

Result<PlainDevice> read_rng(const Node& node) {
    Reader r(node);
    PlainDevice out;
    only(r, "model", "virtio");
    r.req_child("backend");
    r.parse_child("backend", read_rng_backend);
    out.alias = r.parse_child("alias", read_alias).value_or("");
    out.address = r.parse_child("address", read_pci_address).value_or(std::nullopt);
    refuse_children(r, {"driver", "rate"});
    TRY_OK(r.finish());
    return out;
}

// Every name once: they are QEMU's ids too.
Result<void> check_aliases(const Spec& spec, Reader& r) {
    std::set<std::string> seen;
    const auto add = [&](const std::string& alias) {
        if (!alias.empty() && !seen.insert(alias).second) {
            r.report(Fault::Kind::inconsistent, {}, fmt::format("two devices have the alias '{}'", alias), {});
        }
    };
    for (const Interface& nic : spec.interfaces) {
        add(nic.alias);
    }
    for (const Serial& serial : spec.serials) {
        add(serial.alias);
    }
    for (const Channel& channel : spec.channels) {
        add(channel.alias);
    }
    for (const Controller& controller : spec.controllers) {
        add(controller.alias);
    }
    for (const PlainDevice& rng : spec.rngs) {
        add(rng.alias);
    }
    if (spec.balloon) {
        add(spec.balloon->alias);
    }
    return {};
}

}  // namespace

Result<std::string> read_alias(const Node& node) {
    Reader r(node);
    const auto name = r.req("name", kAlias);
    TRY_OK(r.finish());
    return name->starts_with("ua-") ? *name : std::string();
}

Result<std::optional<PciAddress>> read_pci_address(const Node& node) {
    Reader r(node);
    only(r, "type", "pci");
    only(r, "multifunction", "off");
    const auto domain = r.opt("domain", kDomain);
    const auto bus = r.opt("bus", kBus);
    const auto slot = r.opt("slot", kSlot);
    const auto function = r.opt("function", kFunction);
    if (domain.value_or(0) != 0) {
        r.report(Fault::Kind::not_supported, "domain", "the machines have PCI domain 0 only", {});
    }
    if (bus.value_or(0) != 0) {
        r.report(Fault::Kind::not_supported, "bus", "there are no PCI bridges yet; use bus 0", {});
    }
    if (function.value_or(0) != 0) {
        r.report(Fault::Kind::not_supported, "function", "there are no multi-function devices yet; use function 0", {});
    }
    if (!slot && (domain || bus || function)) {
        r.report(Fault::Kind::missing, "slot", "a PCI slot, 0 to 0x1f", {});
    }
    TRY_OK(r.finish());
    return slot ? std::optional(PciAddress{0, 0, *slot, 0}) : std::nullopt;
}

Result<void> read_devices(const Node& node, Spec& spec) {
    Reader r(node);
    if (const auto emulator = r.child_text("emulator", kAbsolutePath)) {
        spec.emulator = *emulator;
    }
    spec.interfaces = r.parse_children("interface", read_interface);
    TRY_OK(read_serials(r, spec));
    for (const Node* const n : r.children("controller")) {
        TRY_OK(read_controller(*n, spec));
    }
    spec.channels = r.parse_children("channel", read_channel);
    for (const Node* const n : r.children("input")) {
        TRY_OK(read_input(*n, spec));
    }
    for (const Node* const n : r.children("audio")) {
        TRY_OK(read_audio(*n, spec));
    }
    spec.balloon = r.parse_child("memballoon", read_balloon).value_or(std::nullopt);
    spec.rngs = r.parse_children("rng", read_rng);
    refuse_children(r, kLaterDevices);
    TRY_OK(check_aliases(spec, r));
    if (spec.interfaces.size() > 24) {
        r.report(Fault::Kind::not_supported, {}, "more than 24 interfaces", {});
    }
    return r.finish();
}

}  // namespace bascule::vmm::parts
