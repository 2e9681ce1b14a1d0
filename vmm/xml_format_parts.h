// SPDX-License-Identifier: GPL-2.0-or-later
// The pieces of the <domain> writer, by subject: only for vmm/xml_format*.cpp.
#pragma once

#include <optional>
#include <string>

#include "base/xml.h"
#include "vmm/spec.h"

namespace bascule::vmm::parts {

using xml::Writer;

// What the document is for: with `running`, aliases and live members are shown; with `secrets`, passwords.
struct View {
    bool running = false, secrets = false;
};

// Attributes in the order given, without those that are empty.
Writer::Attrs present(Writer::Attrs attrs);
template <class T>
std::string number(const std::optional<T>& value) {
    return value ? std::to_string(*value) : std::string();
}
std::string on_off(const std::optional<bool>& value);
std::string yes_no(const std::optional<bool>& value);

void write_alias(Writer& w, const std::string& own, const std::string& live_name, bool running);
void write_address(Writer& w, const std::optional<PciAddress>& address);
void write_address(Writer& w, const std::optional<UsbAddress>& address);
void write_address(Writer& w, const std::optional<DriveAddress>& address);

// xml_format_platform.cpp
void write_os(Writer& w, const Os& os);
void write_features(Writer& w, const Features& features);
void write_cpu(Writer& w, const Cpu& cpu);
void write_clock(Writer& w, const Clock& clock);
void write_power_management(Writer& w, const PowerManagement& pm);
// xml_format_devices.cpp
void write_devices(Writer& w, const Spec& spec, View view);
// xml_format_interface.cpp
void write_interface(Writer& w, const Spec& spec, std::size_t index, bool running);
// xml_format_bus.cpp
void write_disk(Writer& w, const Disk& disk, View view);
void write_controllers(Writer& w, const Spec& spec, View view);
// xml_format_display.cpp
void write_input(Writer& w, const Spec& spec, std::size_t index, View view);
void write_graphics(Writer& w, const Graphics& graphics, View view);
void write_sound(Writer& w, const Spec& spec, std::size_t index, View view);
void write_video(Writer& w, const Spec& spec, std::size_t index, View view);

}  // namespace bascule::vmm::parts
