// SPDX-License-Identifier: GPL-2.0-or-later
// Devices of the host, as plain values: kernel/linux/devices.h reads them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace bascule::kernel {

// A device by the name that clients know it by: "computer", "pci_0000_00_1f_2", "net_eth0_52_54_00_…", "usb_1_1_4".
struct HostDevice {
    enum class Kind { computer, pci, usb, net };
    Kind kind = Kind::computer;
    std::string name{}, parent{};  // parent is empty only of the computer itself
    std::string path{};            // below /sys
    std::string driver{};          // bound to it; empty: none
    // What the kernel's files say: "class", "vendor", "device", "interface", "address" …
    std::map<std::string, std::string> facts{};
    std::optional<int> numa_node{};            // of a PCI device
    std::optional<unsigned> iommu_group{};     // and the addresses of all that are in it
    std::vector<std::string> iommu_members{};  // "0000:00:1f.2"
    std::string physical_function{};           // of a virtual function, the address of what it is part of
    std::vector<std::string> virtual_functions{};
    unsigned most_virtual_functions = 0;
    bool operator==(const HostDevice&) const = default;
};

}  // namespace bascule::kernel
