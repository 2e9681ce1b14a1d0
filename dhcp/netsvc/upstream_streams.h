// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/fd.h"
#include "dhcp/leases.h"
#include "dhcp/netsvc/batch_io.h"
#include "dhcp/netsvc/poller.h"
#include "dhcp/wire.h"

namespace bascule::netsvc {

// Queries to name servers by TCP, one a connection, on a pool of sockets that the daemon opened: a socket that has been
// disconnected (connect(2) to AF_UNSPEC) can be connected again, so none needs to be made here.
class UpstreamStreams {
public:
    // `sockets` outlives this; IPv4 ones come first.
    UpstreamStreams(Poller& poller, const std::vector<UniqueFd>& sockets) : poller_(poller), sockets_(sockets) {}

    // Before the sockets are replaced: all ends. After: so many of them are IPv4 ones.
    void drop_all();
    void begin(std::size_t v4_count);

    // False when all sockets of the family are busy, or the network says no at once.
    bool start(const dhcp::wire::Resolver& to, const Bytes& query, dhcp::Time now);

    // What became of it: the whole reply, or that there will be none (no bytes), for the query with that id.
    struct Outcome {
        std::uint16_t id;
        dhcp::wire::Resolver from;
        Bytes reply;
    };
    std::optional<Outcome> ready(std::size_t index, bool writable);

private:
    struct Slot {
        bool busy = false, connected = false;
        std::uint16_t id = 0;
        dhcp::wire::Resolver to;
        Bytes out, in;
        std::size_t sent = 0;
        dhcp::Time since{};
    };

    Outcome end(std::size_t index, Bytes reply = {});
    std::optional<Outcome> receive(std::size_t index);

    Poller& poller_;
    const std::vector<UniqueFd>& sockets_;
    std::vector<Slot> slots_;
    std::size_t v4_count_ = 0;
};

}  // namespace bascule::netsvc
