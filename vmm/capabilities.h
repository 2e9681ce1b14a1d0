// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/names.h"
#include "kernel/host_facts.h"

namespace bascule::vmm {

// A machine type of QEMU. `canonical` is set for an alias ("q35" is "pc-q35-7.2").
struct MachineType {
    std::string name{}, canonical{};
    unsigned max_cpus = 255;
    bool deprecated = false;
    bool operator==(const MachineType&) const = default;
};

// Those that we can run: q35 and pc with their versions.
bool is_our_machine(std::string_view name);
// Clients take the first as the default: q35, then pc, then the versions, newest first.
void sort_machines(std::vector<MachineType>& machines);

// The processors of the host, from the text of /proc/cpuinfo.
struct CpuInfo {
    std::string vendor{}, model{};                 // "AMD", "AMD EPYC …"
    unsigned cpus = 1;                             // online
    unsigned sockets = 1, cores = 1, threads = 1;  // cores a socket, threads a core
    unsigned mhz = 0;
    unsigned family = 0, model_number = 0, stepping = 0;
    unsigned address_bits = 0;  // of physical addresses
    std::uint64_t microcode = 0;
    std::vector<std::string> flags{};  // the kernel's names
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
    std::vector<MachineType> machines{};  // empty: there is no QEMU
    kernel::HostTopology topology{};
    std::string cpu_model{};                  // the largest that the host's processor has all of; empty: unknown
    std::vector<std::string> cpu_features{};  // and what it has beyond
};

// What clients ask for first: <capabilities>.
std::string capabilities_xml(const HostFacts& host);

}  // namespace bascule::vmm
