// SPDX-License-Identifier: GPL-2.0-or-later
// Whatever parses must format to what parses to the same, inactive and running, and complete and compile without a
// fault.
#include <cstdlib>
#include <string_view>

#include "vmm/compile.h"
#include "vmm/defaults.h"
#include "vmm/xml.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    using namespace bascule;
    auto spec = vmm::parse(std::string_view(reinterpret_cast<const char*>(data), size));
    if (!spec) {
        return 0;
    }
    const auto again = vmm::parse(vmm::format(*spec));
    const auto running = vmm::parse(vmm::format(*spec, 1));
    if (!again || *again != *spec || !running || *running != *spec) {
        std::abort();
    }
    if (vmm::complete(*spec)) {
        const auto launch = vmm::compile(*spec, std::vector<vmm::NicPlan>(spec->interfaces.size()));
        if (!launch || launch->slots.empty()) {
            std::abort();
        }
    }
    return 0;
}
