// SPDX-License-Identifier: GPL-2.0-or-later
// How many packets the connections of one source may have taken in one turn of the server's loop, all together: with a
// number for each connection, who opens a hundred of them makes everybody else wait for a hundred times as much.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace bascule::rpc {

class Pace : public std::enable_shared_from_this<Pace> {
public:
    // Runs what it is given in the loop's next turn.
    using Later = std::function<void(std::function<void()>)>;

    Pace(std::size_t most, Later later) : most_(most), later_(std::move(later)) {}

    // Nothing more is to be taken in this turn.
    bool spent() const { return taken_ >= most_; }
    void take() {
        if (taken_++ == 0) {
            later_([weak = weak_from_this()] {
                if (const auto self = weak.lock()) {
                    self->taken_ = 0;
                }
            });
        }
    }

private:
    const std::size_t most_;
    const Later later_;
    std::size_t taken_ = 0;
};

}  // namespace bascule::rpc
