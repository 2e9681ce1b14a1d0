// SPDX-License-Identifier: GPL-2.0-or-later
// Whatever parses must format to what parses to the same, and complete and compile without a fault.
#include <cstdlib>
#include <string_view>

#include "network/compile.h"
#include "network/defaults.h"
#include "network/xml.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    using namespace bascule;
    auto spec = network::parse(std::string_view(reinterpret_cast<const char*>(data), size));
    if (!spec) {
        return 0;
    }
    const auto again = network::parse(network::format(*spec));
    if (!again || *again != *spec) {
        std::abort();
    }
    if (network::complete(*spec, {})) {
        const auto compiled = network::compile(*spec);
        if (spec->has_own_bridge() && kernel::dump(compiled.state).empty()) {
            std::abort();
        }
    }
    return 0;
}
