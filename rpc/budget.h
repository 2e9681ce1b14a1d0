// SPDX-License-Identifier: GPL-2.0-or-later
// How much memory the connections of one user may hold together: half-sent packets of megabytes, replies that nobody
// reads. Small amounts are free for each connection (Limits::free), since the number of connections is limited, too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>

namespace bascule::rpc {

class Budget {
public:
    explicit Budget(std::size_t of_a_user) : of_a_user_(of_a_user) {}

    // False: that would be too much, and nothing was taken.
    bool take(std::uint32_t uid, std::size_t n) {
        std::size_t& held = held_[uid];
        if (n > of_a_user_ - held) {
            return false;
        }
        held += n;
        return true;
    }
    void give(std::uint32_t uid, std::size_t n) {
        if (const auto it = held_.find(uid); it != held_.end() && (it->second -= n) == 0) {
            held_.erase(it);
        }
    }
    std::size_t held(std::uint32_t uid) const {
        const auto it = held_.find(uid);
        return it == held_.end() ? 0 : it->second;
    }

private:
    const std::size_t of_a_user_;
    std::map<std::uint32_t, std::size_t> held_;
};

}  // namespace bascule::rpc
