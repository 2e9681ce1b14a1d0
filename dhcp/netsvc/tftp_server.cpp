// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/netsvc/tftp_server.h"

#include <algorithm>

namespace bascule::netsvc {

namespace tftp = dhcp::tftp;
using dhcp::Drop;

namespace {

// IP and UDP heads and TFTP's own, so that a block goes without fragments.
std::uint32_t block_limit(std::uint32_t mtu, const Ip& client) {
    const std::uint32_t heads = (client.is_v4() ? 20U : 40U) + 8U + 4U;
    return mtu > heads + 512 ? mtu - heads : 512;
}

template <class Map, class Key>
void decrement(Map& map, const Key& key) {
    if (const auto found = map.find(key); found != map.end() && --found->second == 0) {
        map.erase(found);
    }
}

}  // namespace

void TftpServer::refuse(const Place& place, tftp::Fault fault, std::string_view why) {
    send_(place, tftp::encode_error(fault, why));
}

TftpServer::Dropped TftpServer::request(const Place& place, ByteView datagram, int root, std::uint32_t mtu,
                                        dhcp::Time now) {
    if (!tftp::is_request(datagram)) {
        return Drop::malformed_tftp;
    }
    if (!rate_.take(place.address, now)) {
        return Drop::tftp_rate;
    }
    auto request = tftp::decode_request(datagram);
    if (!request) {
        const bool writes = request.error().code == Code::denied;
        refuse(place, writes ? tftp::Fault::access : tftp::Fault::illegal, request.error().message);
        return writes ? std::nullopt : std::optional(Drop::malformed_tftp);
    }
    const auto path = tftp::path_of(request->file);
    if (!path) {
        refuse(place, tftp::Fault::not_found, "no such file");
        return std::nullopt;
    }
    // The same client's same port again: its request was sent twice, or the answer was lost.
    if (const auto asked = asked_.find(place); asked != asked_.end()) {
        if (asked->second.request == *request) {
            return std::nullopt;
        }
        asked_.erase(asked);
        count_down(place);
    } else if (const auto again = transfers_.find(place); again != transfers_.end()) {
        end(again);
    }
    if (!make_room(place)) {
        refuse(place, tftp::Fault::other, "too many transfers at once");
        return std::nullopt;
    }
    ++by_client_[{place.network, place.address}];
    ++by_network_[place.network];
    asked_.emplace(place, Asked{*std::move(request), ++last_});
    auto asked =
        files_.open(root, *path, now, [this, place, number = last_, mtu](Result<File> file, const dhcp::Now& then) {
            begin(place, number, mtu, std::move(file), then.time);
        });
    if (!asked) {
        begin(place, last_, mtu, std::unexpected(asked.error()), now);
    }
    return std::nullopt;
}

void TftpServer::begin(const Place& place, std::uint64_t number, std::uint32_t mtu, Result<File> file, dhcp::Time now) {
    const auto asked = asked_.find(place);
    if (asked == asked_.end() || asked->second.number != number) {
        return;
    }
    const tftp::Request request = std::move(asked->second.request);
    asked_.erase(asked);
    if (!file) {
        count_down(place);
        const Error& error = file.error();
        return is_absent(error)             ? refuse(place, tftp::Fault::not_found, "no such file")
               : error.code == Code::denied ? refuse(place, tftp::Fault::access, "not for you")
                                            : refuse(place, tftp::Fault::other, "files cannot be opened now");
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
            .emplace(place, Running{held, tftp::Transfer(request, held->size, block_limit(mtu, place.address), read)})
            .first;
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

TftpServer::Dropped TftpServer::receive(const Place& place, ByteView datagram, dhcp::Time now) {
    if (!tftp::is_message(datagram)) {
        return Drop::malformed_tftp;
    }
    const auto found = transfers_.find(place);
    if (found == transfers_.end()) {
        // RFC 1350 section 4: an unknown transfer id is told so; errors are never answered.
        constexpr std::byte kError{5};
        if (datagram[1] != kError && rate_.take(place.address, now)) {
            send_(place, tftp::encode_error(tftp::Fault::unknown_id, "no such transfer"));
        }
        return std::nullopt;
    }
    found->second.acknowledged = true;
    carry_out(found, found->second.transfer.receive(datagram, now));
    return std::nullopt;
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
    count_down(at->first);
    transfers_.erase(at);
}

void TftpServer::count_down(const Place& place) {
    decrement(by_client_, std::pair(place.network, place.address));
    decrement(by_network_, place.network);
}

void TftpServer::tick(dhcp::Time now) {
    while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
        const auto at = transfers_.find(deadlines_.begin()->second);
        carry_out(at, at->second.transfer.tick(now));
    }
}

void TftpServer::forget(const Uuid& network) {
    for (auto at = asked_.begin(); at != asked_.end();) {
        if (at->first.network == network) {
            count_down(at->first);
            at = asked_.erase(at);
        } else {
            ++at;
        }
    }
    for (auto at = transfers_.begin(); at != transfers_.end();) {
        const auto next = std::next(at);
        if (at->first.network == network) {
            end(at);
        }
        at = next;
    }
}

}  // namespace bascule::netsvc
