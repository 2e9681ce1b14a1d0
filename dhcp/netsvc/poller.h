// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>

#include "base/fd.h"
#include "base/names.h"
#include "base/result.h"

namespace bascule::netsvc {

// What a descriptor is, so that an event of it can be told to whom it concerns.
struct Source {
    enum class Kind : std::uint8_t {
        listener,
        daemon,
        dhcp,
        frames6,
        arp,
        copies,
        dns,
        dns_tcp,   // listening
        http,      // listening
        client,    // a connection that was accepted; index: its number
        tftp,      // requests
        transfer,  // TFTP's other datagrams
        upstream,
        upstream_stream,
        files,  // answers of the process that opens them
    };
    Kind kind;
    Uuid network{};
    std::size_t index = 0;  // of the subnet's socket, or in a pool
};

// The epoll set, and what is in it.
class Poller {
public:
    Poller();
    bool works() const { return static_cast<bool>(epoll_); }
    int fd() const { return epoll_.get(); }

    Result<void> watch(int fd, const Source& source, bool read = true, bool write = false);
    void change(int fd, bool read, bool write);
    // Must come before the descriptor is closed: the daemon may hold copies, which would keep it in the set.
    void unwatch(int fd);
    std::optional<Source> find(int fd) const;

private:
    UniqueFd epoll_;
    std::unordered_map<int, Source> sources_;
};

}  // namespace bascule::netsvc
