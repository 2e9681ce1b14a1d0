// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "dhcp/drops.h"
#include "dhcp/netsvc/batch_io.h"
#include "dhcp/netsvc/files.h"
#include "dhcp/netsvc/rate.h"
#include "dhcp/tftp.h"

namespace bascule::netsvc {

// The transfers by TFTP of all networks. Requests come in at port 69; a transfer goes on at another port of ours, one
// for each of the network's addresses: a client's address and port tell its transfers apart.
//
// A request waits for its file to be opened, then it is a transfer.
//
// A client has at most kMostPerClient of both and kRequestRate requests a second; a network has kMostPerNetwork
// transfers, and when that is not enough, those that were never acknowledged make room: who only asks gets nobody
// else's place.
class TftpServer {
public:
    static constexpr std::size_t kMostPerClient = 16, kMostPerNetwork = 256;
    static constexpr double kRequestRate = 50, kRequestBurst = 100;

    // Where a transfer takes place: the network, the index among its sockets for TFTP, and the client.
    struct Place {
        Uuid network;
        std::size_t index = 0;
        Ip address;
        std::uint16_t port = 0;
        auto operator<=>(const Place&) const = default;
    };
    // Sends from the transfers' socket of that place.
    using Send = std::function<void(const Place&, Bytes)>;

    TftpServer(Files& files, Send send) : files_(files), send_(std::move(send)) {}

    // Why it comes to nothing, where that is the client's doing.
    using Dropped = std::optional<dhcp::Drop>;
    Dropped request(const Place& place, ByteView datagram, int root, std::uint32_t mtu, dhcp::Time now);
    Dropped receive(const Place& place, ByteView datagram, dhcp::Time now);
    void tick(dhcp::Time now);
    dhcp::Time next_tick() const { return deadlines_.empty() ? dhcp::kEndOfTime : deadlines_.begin()->first; }
    void forget(const Uuid& network);
    std::size_t size() const { return transfers_.size(); }

private:
    struct Running {
        std::shared_ptr<File> file;
        dhcp::tftp::Transfer transfer;
        bool acknowledged = false;
        dhcp::Time deadline{};
    };
    using Transfers = std::map<Place, Running>;
    struct Asked {
        dhcp::tftp::Request request;
        std::uint64_t number;  // tells an answer to an earlier request apart
    };

    void begin(const Place& place, std::uint64_t number, std::uint32_t mtu, Result<File> file, dhcp::Time now);
    void refuse(const Place& place, dhcp::tftp::Fault fault, std::string_view why);
    bool make_room(const Place& place);
    void count_down(const Place& place);
    void carry_out(Transfers::iterator at, dhcp::tftp::Transfer::Step step);
    void end(Transfers::iterator at);

    Files& files_;
    Send send_;
    Transfers transfers_;
    std::map<Place, Asked> asked_;
    std::uint64_t last_ = 0;
    std::set<std::pair<dhcp::Time, Place>> deadlines_;
    std::map<std::pair<Uuid, Ip>, std::size_t> by_client_;
    std::map<Uuid, std::size_t> by_network_;
    Buckets<Ip> rate_{kRequestRate, kRequestBurst, 4096};
};

}  // namespace bascule::netsvc
