// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <utility>

#include "daemon/storage.h"

namespace bascule::daemon {

// A pool's job, while it lives.
class Storage::Busy {
public:
    Busy(Storage& storage, const Uuid& pool) : storage_(&storage), pool_(pool) { ++storage.pools_[pool].jobs; }
    Busy(Busy&& other) noexcept : storage_(std::exchange(other.storage_, nullptr)), pool_(other.pool_) {}
    Busy& operator=(Busy&&) = delete;
    ~Busy() { release(); }

    void release() {
        if (storage_ != nullptr) {
            --std::exchange(storage_, nullptr)->pools_[pool_].jobs;
        }
    }

private:
    Storage* storage_;
    Uuid pool_;
};

}  // namespace bascule::daemon
