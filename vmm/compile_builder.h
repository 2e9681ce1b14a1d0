// SPDX-License-Identifier: GPL-2.0-or-later
// The inside of compile(): only for vmm/compile*.cpp.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/compile.h"

namespace bascule::vmm {

// A comma inside a value is written twice (QemuOpts).
std::string quoted(std::string_view value);

// compile_cpu.cpp: the value of -cpu.
std::string cpu_option(const Spec& spec);

class Builder {
public:
    Builder(const Spec& spec, const std::vector<NicPlan>& nics, const std::vector<DiskPlan>& disks)
        : spec_(spec), nics_(nics), disks_(disks) {}
    Launch build();

private:
    void flag(std::string name) { out_.args.push_back(std::move(name)); }
    void option(std::string name, std::string value) {
        out_.args.push_back(std::move(name));
        out_.args.push_back(std::move(value));
    }
    // The number that a descriptor will have in the child.
    int slot(Slot::Kind kind, std::size_t index = 0, std::size_t queue = 0);
    // "bus=pci.1,addr=0x0"
    std::string place(const std::optional<PciAddress>& address) const;
    std::string place(const UsbAddress& address) const;

    // compile.cpp
    void machine();
    std::string machine_type() const;
    std::string smp() const;
    void clock();
    void power_management();
    void monitor();
    void boot();

    // compile_devices.cpp
    void controllers();
    void controller(const Controller& one);
    void serial(std::size_t index);
    void channel(std::size_t index);
    void balloon();
    void rng(std::size_t index);
    void watchdog(std::size_t index);

    // compile_nic.cpp
    void nic(std::size_t index);
    std::string netdev(std::size_t index);
    std::string nic_device(std::size_t index);

    // compile_display.cpp
    void display();
    void graphics(const Graphics& one);
    void video(std::size_t index);
    void sound(std::size_t index);
    void input(std::size_t index);

    // compile_disk.cpp
    void disk(std::size_t index);
    std::string disk_nodes(std::size_t index);
    std::string disk_bus(const Disk& disk) const;

    // Its own order, or its place in <os><boot dev=>; 0: none.
    unsigned boot_index(const Disk& disk) const;
    unsigned boot_index(std::size_t nic) const;

    const Spec& spec_;
    const std::vector<NicPlan>& nics_;
    const std::vector<DiskPlan>& disks_;
    unsigned fd_sets_ = 0;
    Launch out_;
};

}  // namespace bascule::vmm
