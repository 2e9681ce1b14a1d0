// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "vmm/cpu_models.h"
#include "vmm/spec.h"

namespace bascule::vmm {

// A firmware that QEMU's packages describe (/usr/share/qemu/firmware, docs/interop/firmware.json of QEMU).
struct Firmware {
    std::string kind{};  // "bios", "efi"
    std::string path{};
    bool secure = false;
    bool operator==(const Firmware&) const = default;
};
// The descriptors' texts, in the order of their names; what cannot be read or is not for the machine is left out.
std::vector<Firmware> parse_firmware(const std::vector<std::string>& descriptors, std::string_view machine);

// What one combination of emulator, machine and accelerator can do.
struct DomainFacts {
    std::string emulator{}, machine{};  // the machine's own name, no alias
    Accelerator accelerator = Accelerator::tcg;
    unsigned max_cpus = 255;
    const CpuModels& cpus;
    std::vector<Firmware> firmware{};
};

// <domainCapabilities>. Of each list of values those are named that a definition may have: every one of them is tried
// on our own parser.
std::string domain_capabilities_xml(const DomainFacts& facts);

}  // namespace bascule::vmm
