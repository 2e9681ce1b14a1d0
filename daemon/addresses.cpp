// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/addresses.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <tuple>

namespace bascule::daemon {

std::vector<SeenAddress> merged(std::vector<Sighting> all) {
    constexpr std::array<std::string_view, 3> kNames{"lease", "arp", "agent"};
    std::ranges::sort(all, {}, [](const Sighting& one) { return std::tuple(one.mac, one.address, one.source); });
    std::vector<SeenAddress> out;
    for (auto one = all.begin(); one != all.end(); ++one) {
        const bool same = !out.empty() && out.back().mac == one->mac && out.back().address == one->address;
        if (!same) {
            out.emplace_back().mac = one->mac;
            out.back().address = one->address;
        }
        SeenAddress& seen = out.back();
        if (!same || std::prev(one)->source != one->source) {
            seen.sources += (same ? " " : "") + std::string(kNames[static_cast<std::size_t>(one->source)]);
        }
        seen.prefix = seen.prefix == 0 ? one->prefix : seen.prefix;
        if (one->age && (!seen.age || *one->age < *seen.age)) {
            seen.age = one->age;
        }
    }
    return out;
}

}  // namespace bascule::daemon
