// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <algorithm>
#include <chrono>
#include <unordered_map>

#include "dhcp/leases.h"

namespace bascule::netsvc {

// Batches of a socket's datagrams that a turn of the loop takes, and those of them that it takes from anybody: who is
// known waits behind them, and his patience is three seconds (udhcpc).
inline constexpr int kMostBatches = 128;
class OpenBatches {
public:
    // Whether that batch is for anybody. The first always are, a few more as long as they took little time.
    bool has(int batch) const {
        return batch < kLeast || (batch < kMost && std::chrono::steady_clock::now() - began_ < kTime);
    }

private:
    static constexpr int kLeast = 8, kMost = 32;
    static constexpr std::chrono::milliseconds kTime{20};
    std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

// A token bucket: `rate` a second on average, up to `burst` at once.
class Bucket {
public:
    bool take(double rate, double burst, dhcp::Time now) {
        const double seconds = std::chrono::duration<double>(now - last_).count();
        tokens_ = fresh_ ? burst : std::min(burst, tokens_ + rate * std::max(seconds, 0.0));
        fresh_ = false;
        last_ = now;
        if (tokens_ < 1) {
            return false;
        }
        tokens_ -= 1;
        return true;
    }

private:
    double tokens_ = 0;
    dhcp::Time last_{};
    bool fresh_ = true;
};

// One bucket a key, bounded: when there are too many keys all start again, which favours nobody for long.
template <class Key>
class Buckets {
public:
    Buckets(double rate, double burst, std::size_t most) : rate_(rate), burst_(burst), most_(most) {}

    bool take(const Key& key, dhcp::Time now) {
        if (buckets_.size() >= most_ && !buckets_.contains(key)) {
            buckets_.clear();
        }
        return buckets_[key].take(rate_, burst_, now);
    }

private:
    double rate_, burst_;
    std::size_t most_;
    std::unordered_map<Key, Bucket> buckets_;
};

}  // namespace bascule::netsvc
