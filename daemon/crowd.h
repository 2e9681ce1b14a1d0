// SPDX-License-Identifier: GPL-2.0-or-later
// How many clients there may be, and how many of whom, so that one who opens ten thousand connections is alone with it.
//
// Besides the peer's limits (max_clients; max_anonymous_clients for those that have not logged in), each source has a
// share: a process a quarter of all places, an ordinary user and a remote address half. Of the anonymous places a
// source has half. Root's connections are counted by process only, and kForRoot places are kept for root beyond
// max_clients: whoever has to end somebody's connections must get in.
//
// Who has no place is turned away at once. To let newcomers wait, as the peer does, would let one source's waiting
// connections stand in front of everybody's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/net.h"
#include "base/result.h"

namespace bascule::daemon {

// Where a connection comes from: a process of this host, as the kernel vouches for it, or an address.
struct LocalOrigin {
    std::uint32_t uid = 0;
    int pid = 0;
};
using Origin = std::variant<LocalOrigin, Ip>;
std::string format(const Origin& origin);  // "user 1000, process 4711", "192.0.2.7"
inline bool is_root(const Origin& origin) {
    const auto* const local = std::get_if<LocalOrigin>(&origin);
    return local != nullptr && local->uid == 0;
}

class Crowd {
public:
    struct Limits {
        std::size_t clients = 5000, anonymous = 20;
    };
    static constexpr std::size_t kForRoot = 5;

    explicit Crowd(const Limits& limits) : limits_(limits) {}

    // One client's place, until it is destroyed. The crowd must outlive it.
    class Place {
    public:
        Place() = default;
        Place(Place&& other) noexcept;
        Place& operator=(Place&& other) noexcept;
        ~Place();
        void set_known();  // has logged in
        bool anonymous() const { return anonymous_; }

    private:
        friend class Crowd;
        Crowd* crowd_ = nullptr;
        Origin origin_;
        bool anonymous_ = false;
    };
    // The error says which limit it was.
    Result<Place> enter(const Origin& origin, bool anonymous);

    void set_limits(const Limits& limits) { limits_ = limits; }  // who is in stays
    const Limits& limits() const { return limits_; }
    std::size_t clients() const { return clients_; }
    std::size_t anonymous() const { return anonymous_; }

    using Key = std::variant<int, std::uint32_t, Ip>;  // a process, a user, an address
    // Whom a connection is counted with: root's by process, as everything on the host is root's.
    static Key source(const Origin& origin) { return shares(origin).back().key; }

private:
    struct Share {
        Key key;
        std::size_t parts;  // one of how many
        std::string_view what;
    };
    struct Count {
        std::size_t all = 0, anonymous = 0;
    };
    static std::vector<Share> shares(const Origin& origin);
    void join(const Origin& origin, bool anonymous);
    void leave(const Origin& origin, bool anonymous);

    Limits limits_;
    std::size_t clients_ = 0, anonymous_ = 0;
    std::map<Key, Count> counts_;
};

}  // namespace bascule::daemon
