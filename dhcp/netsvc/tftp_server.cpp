// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/netsvc/tftp_server.h"

#include <algorithm>

namespace bascule::netsvc {

namespace tftp = dhcp::tftp;

namespace {

// IP and UDP heads and TFTP's own, so that a block goes without fragments.
std::uint32_t block_limit(std::uint32_t mtu, const Ip& client) {
    const std::uint32_t heads = (client.is_v4() ? 20U : 40U) + 8U + 4U;
    return mtu > heads + 512 ? mtu - heads : 512;
}

template <class Map, class Key>
void count_down(Map& map, const Key& key) {
    if (const auto found = map.find(key); found != map.end() && --found->second == 0) {
        map.erase(found);
    }
}

}  // namespace

void TftpServer::request(const Place& place, ByteView datagram, int root, std::uint32_t mtu, dhcp::Time now) {
    if (!tftp::is_request(datagram) || !rate_.take(place.address, now)) {
        return;
    }
    const auto refuse = [&](tftp::Fault fault, std::string_view why) { send_(place, tftp::encode_error(fault, why)); };
    const auto request = tftp::decode_request(datagram);
    if (!request) {
        const bool writes = request.error().code == Code::denied;
        return refuse(writes ? tftp::Fault::access : tftp::Fault::illegal, request.error().message);
    }
    // The same client's same port again: its request was sent twice, or the answer was lost.
    if (const auto again = transfers_.find(place); again != transfers_.end()) {
        end(again);
    }
    const auto path = tftp::path_of(request->file);
    auto file = path ? files_.open(root, *path) : Result<File>(fail_errno("no such file", ENOENT));
    if (!file) {
        const bool absent = is_absent(file.error());
        return refuse(absent ? tftp::Fault::not_found : tftp::Fault::access, absent ? "no such file" : "not for you");
    }
    if (!make_room(place)) {
        return refuse(tftp::Fault::other, "too many transfers at once");
    }
    auto held = std::make_shared<File>(*std::move(file));
    auto at = std::make_shared<std::uint64_t>(0);
    auto read = [held, at](std::size_t most) -> Result<Bytes> {
        auto bytes = read_at(*held, *at, most);
        *at += bytes ? bytes->size() : 0;
        return bytes;
    };
    const auto added =
        transfers_
            .emplace(place, Running{held, tftp::Transfer(*request, held->size, block_limit(mtu, place.address), read)})
            .first;
    ++by_client_[{place.network, place.address}];
    ++by_network_[place.network];
    carry_out(added, added->second.transfer.begin(now));
}

bool TftpServer::make_room(const Place& place) {
    if (const auto mine = by_client_.find({place.network, place.address});
        mine != by_client_.end() && mine->second >= kMostPerClient) {
        return false;
    }
    if (const auto ours = by_network_.find(place.network);
        ours == by_network_.end() || ours->second < kMostPerNetwork) {
        return true;
    }
    for (const auto& [when, other] : deadlines_) {
        const auto found = transfers_.find(other);
        if (other.network == place.network && !found->second.acknowledged) {
            end(found);
            return true;
        }
    }
    return false;
}

void TftpServer::receive(const Place& place, ByteView datagram, dhcp::Time now) {
    const auto found = transfers_.find(place);
    if (found == transfers_.end()) {
        // RFC 1350 section 4: an unknown transfer id is told so; errors are never answered.
        constexpr std::byte kError{5};
        if (datagram.size() >= 2 && datagram[1] != kError && rate_.take(place.address, now)) {
            send_(place, tftp::encode_error(tftp::Fault::unknown_id, "no such transfer"));
        }
        return;
    }
    found->second.acknowledged = true;
    carry_out(found, found->second.transfer.receive(datagram, now));
}

void TftpServer::carry_out(Transfers::iterator at, tftp::Transfer::Step step) {
    for (Bytes& datagram : step.send) {
        send_(at->first, std::move(datagram));
    }
    if (step.done) {
        return end(at);
    }
    Running& running = at->second;
    deadlines_.erase({running.deadline, at->first});
    running.deadline = running.transfer.next_tick();
    deadlines_.insert({running.deadline, at->first});
}

void TftpServer::end(Transfers::iterator at) {
    deadlines_.erase({at->second.deadline, at->first});
    count_down(by_client_, std::pair(at->first.network, at->first.address));
    count_down(by_network_, at->first.network);
    transfers_.erase(at);
}

void TftpServer::tick(dhcp::Time now) {
    while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
        const auto at = transfers_.find(deadlines_.begin()->second);
        carry_out(at, at->second.transfer.tick(now));
    }
}

void TftpServer::forget(const Uuid& network) {
    for (auto at = transfers_.begin(); at != transfers_.end();) {
        const auto next = std::next(at);
        if (at->first.network == network) {
            end(at);
        }
        at = next;
    }
}

}  // namespace bascule::netsvc
