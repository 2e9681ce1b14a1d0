// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include "vmm/names.h"
#include "vmm/xml.h"
#include "vmm/xml_format_parts.h"

namespace bascule::vmm {

namespace parts {

Writer::Attrs present(Writer::Attrs attrs) {
    std::erase_if(attrs, [](const auto& attr) { return attr.second.empty(); });
    return attrs;
}

std::string on_off(const std::optional<bool>& value) { return !value ? "" : *value ? "on" : "off"; }
std::string yes_no(const std::optional<bool>& value) { return !value ? "" : *value ? "yes" : "no"; }

void write_alias(Writer& w, const std::string& own, const std::string& live_name, bool running) {
    if (running || !own.empty()) {
        w.empty("alias", {{"name", running ? live_name : own}});
    }
}

void write_address(Writer& w, const std::optional<PciAddress>& address) {
    if (address) {
        w.empty("address", present({{"type", "pci"},
                                    {"domain", fmt::format("0x{:04x}", address->domain)},
                                    {"bus", fmt::format("0x{:02x}", address->bus)},
                                    {"slot", fmt::format("0x{:02x}", address->slot)},
                                    {"function", fmt::format("0x{:x}", address->function)},
                                    {"multifunction", on_off(address->multifunction)}}));
    }
}

void write_address(Writer& w, const std::optional<UsbAddress>& address) {
    if (address) {
        w.empty("address",
                {{"type", "usb"}, {"bus", std::to_string(address->bus)}, {"port", std::to_string(address->port)}});
    }
}

void write_address(Writer& w, const std::optional<DriveAddress>& address) {
    if (address) {
        w.empty("address", {{"type", "drive"},
                            {"controller", std::to_string(address->controller)},
                            {"bus", std::to_string(address->bus)},
                            {"target", std::to_string(address->target)},
                            {"unit", std::to_string(address->unit)}});
    }
}

}  // namespace parts

namespace {

using namespace parts;

void write_identity(Writer& w, const Spec& spec) {
    w.leaf("name", spec.name.str());
    if (!spec.uuid.is_nil()) {
        w.leaf("uuid", format(spec.uuid));
    }
    if (!spec.title.empty()) {
        w.leaf("title", spec.title);
    }
    if (!spec.description.empty()) {
        w.leaf("description", spec.description);
    }
    if (!spec.metadata.empty()) {
        w.open("metadata");
        for (const std::string& element : spec.metadata) {
            w.raw(element);
        }
        w.close();
    }
}

}  // namespace

std::string format(const Spec& spec, std::optional<int> id, bool secrets) {
    Writer w;
    w.open("domain", present({{"type", std::string(kAccelerators.name(spec.accelerator))},
                              {"id", id ? std::to_string(*id) : ""}}));
    write_identity(w, spec);
    w.leaf("memory", std::to_string(spec.memory_kib), {{"unit", "KiB"}});
    w.leaf("currentMemory", std::to_string(spec.current_memory_kib), {{"unit", "KiB"}});
    w.leaf("vcpu", std::to_string(spec.vcpus), {{"placement", "static"}});
    write_os(w, spec.os);
    write_features(w, spec.features);
    write_cpu(w, spec.cpu);
    write_clock(w, spec.clock);
    w.leaf("on_poweroff", "destroy");
    w.leaf("on_reboot", kLifecycles.name(spec.on_reboot));
    w.leaf("on_crash", kCrashLifecycles.name(spec.on_crash));
    write_power_management(w, spec.pm);
    write_devices(w, spec, {.running = id.has_value(), .secrets = secrets});
    return w.take();
}

}  // namespace bascule::vmm
