// SPDX-License-Identifier: GPL-2.0-or-later
// Which part of what is served a push says. Both ends' half of one promise: whatever was pushed whole or by difference,
// in whatever order, and whoever died in between, the service ends up with what the daemon has. Pure.
//
//   daemon    Pushes notes what changed since the last push, and says what the next one has to bring
//   service   ending() says what a push ends, or that it is a difference to something else than what is served
//
// A push says everything when the service was just found or started, when it does not understand differences, and when
// it asks for it.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <vector>

#include "base/names.h"
#include "dhcp/wire.h"

namespace bascule::dhcp {

class Pushes {
public:
    struct Push {
        wire::Begin begin;
        std::optional<std::set<Uuid>> networks{};  // none: all there are
        bool upstreams = true;
    };

    // A service greets: nothing is known of what it has, but for the generation that it names.
    void attached(std::uint64_t generation);
    // What its Synced says. True: it wants everything, now.
    bool heard(const wire::Synced& synced);

    void changed(const Uuid& network);
    void gone(const Uuid& network);
    void upstreams_changed() { upstreams_ = true; }

    // What the next push brings.
    Push next();
    // Of the last one there was.
    std::uint64_t generation() const { return generation_; }

private:
    std::uint64_t generation_ = 0;
    bool takes_changes_ = false, whole_ = true, upstreams_ = true;
    std::set<Uuid> changed_, gone_;
};

// Which of the served networks (a map by them, as of `generation`) end with a push; none: it does not follow what is
// served, and nothing of it is done.
template <class Served>
std::optional<std::vector<Uuid>> ending(const wire::Begin& begin, const std::set<Uuid>& pushed,
                                        std::uint64_t generation, const Served& served) {
    std::vector<Uuid> out;
    if (!begin.changes_from) {
        for (const auto& [uuid, one] : served) {
            if (!pushed.contains(uuid)) {
                out.push_back(uuid);
            }
        }
        return out;
    }
    if (*begin.changes_from != generation) {
        return std::nullopt;
    }
    for (const Uuid& uuid : begin.gone) {
        if (served.contains(uuid) && !pushed.contains(uuid)) {
            out.push_back(uuid);
        }
    }
    return out;
}

}  // namespace bascule::dhcp
