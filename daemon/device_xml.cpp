// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/device_xml.h"

#include <charconv>

#include <fmt/format.h>

#include "base/xml.h"

namespace bascule::daemon {

namespace {

using kernel::HostDevice;

std::string fact(const HostDevice& device, const std::string& name) {
    const auto it = device.facts.find(name);
    return it == device.facts.end() ? std::string() : it->second;
}

void leaf_of(xml::Writer& w, const HostDevice& device, std::string_view element, const std::string& name) {
    if (const std::string text = fact(device, name); !text.empty()) {
        w.leaf(element, text);
    }
}

unsigned hexadecimal(std::string_view text) {
    unsigned value = 0;
    text.remove_prefix(text.starts_with("0x") ? 2 : 0);
    std::from_chars(text.data(), text.data() + text.size(), value, 16);
    return value;
}

// The parts of "0000:00:1f.2".
struct Place {
    unsigned domain, bus, slot, function;
    explicit Place(std::string_view text)
        : domain(hexadecimal(text.substr(0, 4))),
          bus(hexadecimal(text.substr(std::min<std::size_t>(5, text.size()), 2))),
          slot(hexadecimal(text.substr(std::min<std::size_t>(8, text.size()), 2))),
          function(hexadecimal(text.substr(std::min<std::size_t>(11, text.size()), 1))) {}
};

void write_address(xml::Writer& w, const std::string& text) {
    const Place place(text);
    w.empty("address", {{"domain", fmt::format("0x{:04x}", place.domain)},
                        {"bus", fmt::format("0x{:02x}", place.bus)},
                        {"slot", fmt::format("0x{:02x}", place.slot)},
                        {"function", fmt::format("0x{:x}", place.function)}});
}

void write_id(xml::Writer& w, std::string_view element, std::string_view number, const std::string& name) {
    const std::string id = fmt::format("0x{:04x}", hexadecimal(number));
    if (name.empty()) {
        w.empty(element, {{"id", id}});
    } else {
        w.leaf(element, name, {{"id", id}});
    }
}

void write_pci(xml::Writer& w, const HostDevice& device) {
    const Place place(fact(device, "slot"));
    w.open("capability", {{"type", "pci"}});
    w.leaf("class", fmt::format("0x{:06x}", hexadecimal(fact(device, "class"))));
    w.leaf("domain", std::to_string(place.domain));
    w.leaf("bus", std::to_string(place.bus));
    w.leaf("slot", std::to_string(place.slot));
    w.leaf("function", std::to_string(place.function));
    write_id(w, "product", fact(device, "device"), "");
    write_id(w, "vendor", fact(device, "vendor"), "");
    if (!device.physical_function.empty()) {
        w.open("capability", {{"type", "phys_function"}});
        write_address(w, device.physical_function);
        w.close();
    }
    if (device.most_virtual_functions > 0) {
        w.open("capability", {{"type", "virt_functions"}, {"maxCount", std::to_string(device.most_virtual_functions)}});
        for (const std::string& function : device.virtual_functions) {
            write_address(w, function);
        }
        w.close();
    }
    if (device.iommu_group && !device.iommu_members.empty()) {
        w.open("iommuGroup", {{"number", std::to_string(*device.iommu_group)}});
        for (const std::string& member : device.iommu_members) {
            write_address(w, member);
        }
        w.close();
    }
    if (device.numa_node) {
        w.empty("numa", {{"node", std::to_string(*device.numa_node)}});
    }
    w.close();
}

void write_usb(xml::Writer& w, const HostDevice& device) {
    w.open("capability", {{"type", "usb_device"}});
    w.leaf("bus", fact(device, "busnum"));
    w.leaf("device", fact(device, "devnum"));
    write_id(w, "product", fact(device, "idProduct"), fact(device, "product"));
    write_id(w, "vendor", fact(device, "idVendor"), fact(device, "manufacturer"));
    w.close();
}

void write_net(xml::Writer& w, const HostDevice& device) {
    w.open("capability", {{"type", "net"}});
    w.leaf("interface", fact(device, "interface"));
    leaf_of(w, device, "address", "address");
    xml::Writer::Attrs link;
    const std::string speed = fact(device, "speed"), state = fact(device, "operstate");
    if (!speed.empty() && speed.find_first_not_of("0123456789") == std::string::npos) {  // -1: unknown
        link.emplace_back("speed", speed);
    }
    if (!state.empty()) {
        link.emplace_back("state", state);
    }
    w.empty("link", link);
    w.empty("capability", {{"type", "80203"}});
    w.close();
}

void write_computer(xml::Writer& w, const HostDevice& device, const Uuid& host) {
    w.open("capability", {{"type", "system"}});
    leaf_of(w, device, "product", "product_name");
    w.open("hardware");
    leaf_of(w, device, "vendor", "sys_vendor");
    leaf_of(w, device, "version", "product_version");
    leaf_of(w, device, "serial", "product_serial");
    w.leaf("uuid", format(host));
    w.close();
    w.open("firmware");
    leaf_of(w, device, "vendor", "bios_vendor");
    leaf_of(w, device, "version", "bios_version");
    leaf_of(w, device, "release_date", "bios_date");
    w.close();
    w.close();
}

}  // namespace

std::string device_xml(const HostDevice& device, const Uuid& host) {
    xml::Writer w;
    w.open("device");
    w.leaf("name", device.name);
    if (!device.path.empty()) {
        w.leaf("path", device.path);
    }
    if (!device.parent.empty()) {
        w.leaf("parent", device.parent);
    }
    if (!device.driver.empty()) {
        w.open("driver");
        w.leaf("name", device.driver);
        w.close();
    }
    switch (device.kind) {
        case HostDevice::Kind::computer: write_computer(w, device, host); break;
        case HostDevice::Kind::pci: write_pci(w, device); break;
        case HostDevice::Kind::usb: write_usb(w, device); break;
        case HostDevice::Kind::net: write_net(w, device); break;
    }
    w.close();
    return w.take();
}

}  // namespace bascule::daemon
