// SPDX-License-Identifier: GPL-2.0-or-later
// What several sources say of the addresses of a guest's NICs, as one list. Pure.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/net.h"

namespace bascule::daemon {

struct Sighting {
    enum class Source { lease, arp, agent };
    MacAddr mac;
    Ip address;
    unsigned prefix = 0;  // 0: the source does not know
    Source source = Source::lease;
    std::optional<std::chrono::seconds> age{};  // since it was known to be right; none: unknown
};

struct SeenAddress {
    MacAddr mac;
    Ip address;
    unsigned prefix = 0;
    std::string sources;  // "lease arp"
    std::optional<std::chrono::seconds> age{};
    bool operator==(const SeenAddress&) const = default;
};

// One a MAC and address, in their order: with all who know it, the youngest age and the prefix length of who has one.
std::vector<SeenAddress> merged(std::vector<Sighting> all);

}  // namespace bascule::daemon
