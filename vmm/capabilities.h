// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/names.h"

namespace bascule::vmm {

// A machine type of QEMU. `canonical` is set for an alias ("q35" is "pc-q35-7.2").
struct MachineType {
    std::string name{}, canonical{};
    unsigned max_cpus = 255;
    bool operator==(const MachineType&) const = default;
};

// From the text of `qemu-system-x86_64 -machine help`: the types we can run, q35 first. Never empty: text that
// says nothing gives q35 and pc.
std::vector<MachineType> parse_machines(std::string_view text);

// The processors of the host, from the text of /proc/cpuinfo.
struct CpuInfo {
    std::string vendor{}, model{};                 // "AMD", "AMD EPYC …"
    unsigned cpus = 1;                             // online
    unsigned sockets = 1, cores = 1, threads = 1;  // cores a socket, threads a core
    unsigned mhz = 0;
    bool operator==(const CpuInfo&) const = default;
};
CpuInfo parse_cpuinfo(std::string_view text);

// MemTotal of the text of /proc/meminfo; 0 when it is not there.
std::uint64_t parse_memory_kib(std::string_view text);

struct HostFacts {
    Uuid uuid{};
    std::string arch = "x86_64";
    CpuInfo cpu;
    std::uint64_t memory_kib = 0;
    bool kvm = false;  // /dev/kvm can be opened
    std::string emulator = "/usr/bin/qemu-system-x86_64";
    std::vector<MachineType> machines{};
};

// What clients ask for first: <capabilities>.
std::string capabilities_xml(const HostFacts& host);

}  // namespace bascule::vmm
