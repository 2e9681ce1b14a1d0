// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/devices.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "kernel/linux/facts.h"
#include "kernel/linux/host.h"
#include "kernel/linux/sysfs.h"

namespace bascule::kernel::os {

namespace {

using Kind = HostDevice::Kind;

std::string word(const std::string& path) { return printable(small_file(path)); }

// Where a link of /sys leads; empty: nowhere.
std::string target(const std::string& link) {
    std::error_code error;
    const auto path = std::filesystem::canonical(link, error);
    return error ? std::string() : path.string();
}

std::string last_part(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// "0000:00:1f.2" as "0000_00_1f_2", and other names likewise.
std::string plain(std::string text) {
    std::ranges::replace_if(
        text, [](char c) { return !(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z'); },
        '_');
    return text;
}

bool is_pci_address(const std::string& text) {
    return text.size() == 12 && text[4] == ':' && text[7] == ':' && text[10] == '.';
}

std::optional<int> integer(const std::string& text) {
    int value = 0;
    const auto [stop, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
    return ec == std::errc() ? std::optional(value) : std::nullopt;
}

// The nearest device above in the tree that has a name: a USB device or a PCI device, else the computer.
std::string parent_of(std::string path, const std::string& sys) {
    for (path = path.substr(0, path.rfind('/')); path.size() > sys.size(); path = path.substr(0, path.rfind('/'))) {
        const std::string name = last_part(path);
        if (is_pci_address(name)) {
            return "pci_" + plain(name);
        }
        if (!word(path + "/devnum").empty()) {
            return "usb_" + plain(name);
        }
    }
    return "computer";
}

void read_facts(HostDevice& device, std::initializer_list<const char*> files) {
    for (const char* const file : files) {
        if (std::string text = word(device.path + "/" + file); !text.empty()) {
            device.facts.emplace(file, std::move(text));
        }
    }
}

HostDevice read_pci(const std::string& address, const std::string& path, const std::string& sys) {
    HostDevice device{.kind = Kind::pci, .name = "pci_" + plain(address), .parent = parent_of(path, sys), .path = path};
    device.facts.emplace("slot", address);
    read_facts(device, {"class", "vendor", "device"});
    device.driver = last_part(target(path + "/driver"));
    if (const auto node = integer(word(path + "/numa_node")); node && *node >= 0) {
        device.numa_node = node;
    }
    if (const std::string group = target(path + "/iommu_group"); !group.empty()) {
        device.iommu_group = static_cast<unsigned>(integer(last_part(group)).value_or(0));
        device.iommu_members = folder_entries(group + "/devices");
    }
    device.physical_function = last_part(target(path + "/physfn"));
    device.most_virtual_functions =
        static_cast<unsigned>(std::max(integer(word(path + "/sriov_totalvfs")).value_or(0), 0));
    for (unsigned i = 0; i < device.most_virtual_functions; ++i) {
        const std::string function = target(path + "/virtfn" + std::to_string(i));
        if (function.empty()) {
            break;
        }
        device.virtual_functions.push_back(last_part(function));
    }
    return device;
}

HostDevice read_usb(const std::string& name, const std::string& path, const std::string& sys) {
    HostDevice device{.kind = Kind::usb, .name = "usb_" + plain(name), .parent = parent_of(path, sys), .path = path};
    read_facts(device, {"busnum", "devnum", "idVendor", "idProduct", "manufacturer", "product"});
    device.driver = last_part(target(path + "/driver"));
    return device;
}

HostDevice read_net(const std::string& name, const std::string& path, const std::string& sys) {
    HostDevice device{.kind = Kind::net, .parent = parent_of(path, sys), .path = path};
    device.facts.emplace("interface", name);
    read_facts(device, {"address", "ifindex", "operstate", "speed"});
    device.name = "net_" + plain(name) + "_" + plain(device.facts["address"]);
    return device;
}

}  // namespace

std::vector<HostDevice> host_devices(const std::string& sys) {
    std::vector<HostDevice> out{{.kind = Kind::computer, .name = "computer", .facts = firmware_facts(sys)}};
    for (const std::string& address : folder_entries(sys + "/bus/pci/devices")) {
        const std::string path = target(sys + "/bus/pci/devices/" + address);
        if (is_pci_address(address) && !path.empty()) {
            out.push_back(read_pci(address, path, sys));
        }
    }
    for (const std::string& name : folder_entries(sys + "/bus/usb/devices")) {
        const std::string path = target(sys + "/bus/usb/devices/" + name);
        if (name.find(':') == std::string::npos && !path.empty()) {  // with a colon: an interface of a device
            out.push_back(read_usb(name, path, sys));
        }
    }
    for (const std::string& name : folder_entries(sys + "/class/net")) {
        const std::string path = target(sys + "/class/net/" + name);
        if (!path.empty()) {
            out.push_back(read_net(name, path, sys));
        }
    }
    std::ranges::sort(out, {}, &HostDevice::name);
    return out;
}

}  // namespace bascule::kernel::os
