// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/push.h"

#include <algorithm>
#include <utility>

namespace bascule::dhcp {

namespace {

// A Begin that names more would not fit a message; by then everything is not much more.
constexpr std::size_t kMostGone = 1000;

}  // namespace

void Pushes::attached(std::uint64_t generation) {
    generation_ = std::max(generation_, generation);
    takes_changes_ = false;  // until it says so
    whole_ = true;
}

bool Pushes::heard(const wire::Synced& synced) {
    takes_changes_ = synced.takes_changes;
    whole_ = whole_ || synced.wants_all;
    return synced.wants_all;
}

void Pushes::changed(const Uuid& network) {
    changed_.insert(network);
    gone_.erase(network);
}

void Pushes::gone(const Uuid& network) {
    gone_.insert(network);
    changed_.erase(network);
}

Pushes::Push Pushes::next() {
    Push out{.begin = {.generation = generation_ + 1}};
    if (takes_changes_ && !whole_ && gone_.size() <= kMostGone) {
        out.begin.changes_from = generation_;
        out.begin.gone.assign(gone_.begin(), gone_.end());
        out.networks = std::move(changed_);
        out.upstreams = upstreams_;
    }
    ++generation_;
    whole_ = upstreams_ = false;
    changed_.clear();
    gone_.clear();
    return out;
}

}  // namespace bascule::dhcp
