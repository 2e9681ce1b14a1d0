// SPDX-License-Identifier: GPL-2.0-or-later
// The pieces of the <domain> reader, by subject: only for vmm/xml*.cpp.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/xml_read.h"
#include "vmm/spec.h"

namespace bascule::vmm::parts {

using xml::Fault;
using xml::Node;
using xml::Reader;
using xml::to_error;

// xml_platform.cpp
Result<Features> read_features(const Node& node);
Result<Cpu> read_cpu(const Node& node);
Result<Clock> read_clock(const Node& node);
Result<PowerManagement> read_power_management(const Node& node);
// xml_devices.cpp: all of <devices> into the spec.
Result<void> read_devices(const Node& node, Spec& spec);
// xml_controller.cpp
Result<void> read_controller(const Node& node, Spec& spec);
// xml_channel.cpp
Result<Channel> read_channel(const Node& node);
// xml_serial.cpp
Result<void> read_serials(Reader& r, Spec& spec);
// xml_interface.cpp
Result<Interface> read_interface(const Node& node);
// xml_display.cpp
Result<Input> read_input(const Node& node);
Result<Graphics> read_graphics(const Node& node);
Result<std::optional<Video>> read_video(const Node& node);  // none: model='none'
Result<Sound> read_sound(const Node& node);
// xml_disk.cpp
Result<Disk> read_disk(const Node& node);

// <alias name=>: the user's own begin with "ua-"; any other was given by a daemon and is passed over.
Result<std::string> read_alias(const Node& node);
// A byte as the peer writes it in addresses: 0x1f or 31.
std::optional<unsigned> parse_hex_byte(std::string_view text);
// xml_address.cpp. <address type='pci'>: none when it says no more than that.
Result<std::optional<PciAddress>> read_pci_address(const Node& node);
Result<UsbAddress> read_usb_address(const Node& node);
Result<DriveAddress> read_drive_address(const Node& node);

// Refuses elements that libvirt knows and we do not realise yet, whatever they hold.
template <std::size_t N>
void refuse_children(Reader& r, const std::string_view (&names)[N]) {
    for (const std::string_view name : names) {
        r.not_supported_child(name);
    }
}
template <std::size_t N>
void refuse_attributes(Reader& r, const std::string_view (&names)[N]) {
    for (const std::string_view name : names) {
        r.not_supported_attr(name);
    }
}

// An attribute of which we realise only some of libvirt's values: "'user' is; use …".
template <class E, std::size_t N>
std::optional<E> one_of(Reader& r, std::string_view attr, const EnumNames<E, N>& names) {
    const auto text = r.opt(attr, xml::kText);
    if (!text) {
        return std::nullopt;
    }
    const auto value = names.parse(*text);
    if (!value) {
        r.report(Fault::Kind::not_supported, attr, "'" + *text + "'; use " + names.choices(), *text);
    }
    return value;
}

// An attribute that may only have the one value which changes nothing.
inline void only(Reader& r, std::string_view attr, std::string_view value) {
    const auto text = r.opt(attr, xml::kText);
    if (text && *text != value) {
        r.report(Fault::Kind::not_supported, attr, "'" + *text + "'; use '" + std::string(value) + "'", *text);
    }
}

// One of a few words, kept as such.
template <std::size_t N>
std::string word(Reader& r, std::string_view attr, const std::string_view (&words)[N]) {
    const auto text = r.opt(attr, xml::kText);
    if (!text || text->empty()) {
        return {};
    }
    std::string choices;
    for (std::size_t i = 0; i < N; ++i) {
        if (words[i] == *text) {
            return *text;
        }
        choices += (i == 0 ? "" : i + 1 == N ? " or " : ", ") + ("'" + std::string(words[i]) + "'");
    }
    r.report(Fault::Kind::not_supported, attr, "'" + *text + "'; use " + choices, *text);
    return {};
}

// "yes" or "no", which must be there.
inline std::optional<bool> req_yes_no(Reader& r, std::string_view attr) {
    const auto value = r.opt(attr, xml::kYesNo);
    if (!value) {
        r.report(Fault::Kind::missing, attr, xml::kYesNo.choices(), {});
    }
    return value;
}

inline constexpr xml::Value<unsigned> kBootOrder{"a boot order, 1 or more", xml::parse_number<unsigned, 1, 10000>};

inline constexpr xml::Value<std::string> kAbsolutePath{
    "an absolute path", [](std::string_view t) {
        return t.starts_with('/') && t.size() < 4096 ? std::optional(std::string(t)) : std::nullopt;
    }};

}  // namespace bascule::vmm::parts
