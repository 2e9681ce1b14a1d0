// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/netsvc/streams.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace bascule::netsvc {

namespace {

constexpr std::size_t kChunk = 16U << 10;
constexpr int kMostAccepts = 32;  // a turn
// A query has one name and a little besides; nobody's is longer.
constexpr std::size_t kLongestQuery = 4096;

}  // namespace

void Streams::accept(int listener, const Source& source, const dhcp::Now& now) {
    for (int i = 0; i < kMostAccepts; ++i) {
        sockaddr_storage address{};
        socklen_t length = sizeof address;
        UniqueFd fd(::accept4(listener, reinterpret_cast<sockaddr*>(&address), &length, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!fd) {
            return;
        }
        const auto peer = from_sockaddr(address);
        if (peer && callbacks_.welcome(source.network, *peer) && make_room({source.network, peer->address})) {
            add(std::move(fd), source, *peer, now);
        }
    }
}

// False when there is none. Who has too many loses the one that has been idle longest.
bool Streams::make_room(const Client& client) {
    if (const auto mine = by_client_.find(client); mine != by_client_.end() && mine->second.size() >= kMostPerClient) {
        close(*std::ranges::min_element(mine->second, {},
                                        [this](std::uint64_t s) { return connections_.at(s).deadline; }));
    }
    const bool all = connections_.size() >= kMost;
    if (all || by_network_[client.first] >= kMostPerNetwork) {
        for (const auto& [when, stream] : deadlines_) {
            if (all || connections_.at(stream).source.network == client.first) {
                close(stream);
                return true;
            }
        }
        return false;
    }
    return true;
}

void Streams::add(UniqueFd fd, const Source& source, const Endpoint& peer, const dhcp::Now& now) {
    const std::uint64_t stream = ++last_;
    if (!poller_.watch(fd.get(), {Source::Kind::client, source.network, static_cast<std::size_t>(stream)})) {
        return;
    }
    Connection c;
    c.fd = std::move(fd);
    c.source = source;
    c.peer = peer;
    const auto added = connections_.emplace(stream, std::move(c)).first;
    by_client_[{source.network, peer.address}].insert(stream);
    ++by_network_[source.network];
    idle_until(stream, added->second, now.time + kIdle);
}

void Streams::close(std::uint64_t stream) {
    const auto found = connections_.find(stream);
    if (found == connections_.end()) {
        return;
    }
    const Connection& c = found->second;
    poller_.unwatch(c.fd.get());
    deadlines_.erase({c.deadline, stream});
    const auto mine = by_client_.find({c.source.network, c.peer.address});
    mine->second.erase(stream);
    if (mine->second.empty()) {
        by_client_.erase(mine);
    }
    if (const auto ours = by_network_.find(c.source.network); --ours->second == 0) {
        by_network_.erase(ours);
    }
    connections_.erase(found);
}

void Streams::idle_until(std::uint64_t stream, Connection& c, dhcp::Time when) {
    deadlines_.erase({c.deadline, stream});
    c.deadline = when;
    deadlines_.insert({when, stream});
}

// False: the connection is over.
bool Streams::read(Connection& c) {
    std::array<std::byte, kChunk> chunk;
    const ssize_t got = ::read(c.fd.get(), chunk.data(), chunk.size());
    if (got > 0 && !c.lingering) {
        c.in.insert(c.in.end(), chunk.begin(), chunk.begin() + got);
    }
    if (got == 0 && !c.closing) {
        c.closing = true;  // it has said all that it wants to; what it asked is still answered
        return true;
    }
    return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

bool Streams::write(Connection& c) {
    for (std::size_t budget = kSliceOfFile;;) {
        while (c.sent < c.out.size()) {
            const ssize_t sent = ::write(c.fd.get(), c.out.data() + c.sent, c.out.size() - c.sent);
            if (sent < 0) {
                return errno == EAGAIN || errno == EINTR;
            }
            c.sent += static_cast<std::size_t>(sent);
        }
        c.out.clear();
        c.sent = 0;
        if (!c.file || c.file_left == 0 || budget == 0) {
            break;
        }
        auto bytes =
            read_at(*c.file, c.file_at, static_cast<std::size_t>(std::min<std::uint64_t>(c.file_left, kChunk * 4)));
        if (!bytes || bytes->empty()) {
            return false;  // shorter than it was: the client sees that it lacks the rest
        }
        c.out = *std::move(bytes);
        c.file_at += c.out.size();
        c.file_left -= c.out.size();
        budget -= std::min(budget, c.out.size());
    }
    if (c.file && c.file_left == 0) {
        c.file.reset();
    }
    return true;
}

void Streams::ready(std::uint64_t stream, bool readable, bool writable, const dhcp::Now& now) {
    const auto found = connections_.find(stream);
    if (found == connections_.end()) {
        return;
    }
    Connection& c = found->second;
    const bool idle = c.out.empty() && !c.file;
    if ((readable && !read(c)) || (writable && !idle && !write(c))) {
        return close(stream);
    }
    if (writable) {
        idle_until(stream, c, now.time + kIdle);
    }
    settle(stream, now);
}

// Whole messages of those that have come; then what there is to send; then what is to be waited for.
void Streams::settle(std::uint64_t stream, const dhcp::Now& now) {
    const auto found = connections_.find(stream);
    if (found == connections_.end()) {
        return;
    }
    Connection& c = found->second;
    const auto sends = [&c] { return !c.out.empty() || c.file; };
    std::size_t before = 0;
    bool sent = false;
    do {  // requests that came together are answered one after the other
        before = c.in.size();
        sent = sends();
        if (!c.closing && !c.lingering) {
            if (c.source.kind == Source::Kind::dns_tcp) {
                take_queries(stream, c, now);
            } else {
                take_requests(stream, c, now);
            }
        }
        if (c.out.size() - c.sent > kMostUnsent || c.pending > kMostPending || !write(c)) {
            return close(stream);
        }
        sent = sent && !sends();
    } while (sent || c.in.size() != before);
    const bool busy = sends();
    if (c.closing && !busy && !c.opening && c.pending == 0 && !c.lingering) {
        // What the client still sends would reset the connection under the reply (RFC 9112 section 9.6).
        ::shutdown(c.fd.get(), SHUT_WR);
        c.lingering = true;
        idle_until(stream, c, now.time + kLinger);
    }
    const bool reads = c.lingering || (!c.closing && !busy && !c.opening);
    if (reads != c.reads || busy != c.writes) {
        c.reads = reads;
        c.writes = busy;
        poller_.change(c.fd.get(), reads, busy);
    }
}

void Streams::take_queries(std::uint64_t stream, Connection& c, const dhcp::Now& now) {
    std::size_t at = 0;
    while (c.in.size() - at >= 2) {
        const std::size_t size =
            std::to_integer<std::size_t>(c.in[at]) << 8 | std::to_integer<std::size_t>(c.in[at + 1]);
        if (size > kLongestQuery || size < 12) {
            callbacks_.malformed(c.source);
            c.closing = true;
            at = c.in.size();
            break;
        }
        if (c.in.size() - at < 2 + size) {
            break;
        }
        const Bytes message(c.in.begin() + static_cast<std::ptrdiff_t>(at + 2),
                            c.in.begin() + static_cast<std::ptrdiff_t>(at + 2 + size));
        at += 2 + size;
        ++c.pending;
        idle_until(stream, c, now.time + kIdle);
        callbacks_.query({stream, c.source.network, c.source.index, c.peer, message});
    }
    c.in.erase(c.in.begin(), c.in.begin() + static_cast<std::ptrdiff_t>(at));
}

// The answer is put behind those before it; settle() sends it.
void Streams::reply(std::uint64_t stream, const Bytes& message, const dhcp::Now& now) {
    const auto found = connections_.find(stream);
    if (found == connections_.end() || message.size() > 0xffff) {
        return;
    }
    Connection& c = found->second;
    c.pending -= c.pending > 0 ? 1 : 0;
    const bool waits = c.out.empty();
    c.out.push_back(static_cast<std::byte>(message.size() >> 8));
    c.out.push_back(static_cast<std::byte>(message.size()));
    c.out.insert(c.out.end(), message.begin(), message.end());
    idle_until(stream, c, now.time + kIdle);
    if (waits && !c.writes) {
        c.writes = true;
        poller_.change(c.fd.get(), c.reads, true);
    }
}

void Streams::forget_query(std::uint64_t stream) {
    if (const auto found = connections_.find(stream); found != connections_.end() && found->second.pending > 0) {
        --found->second.pending;
    }
}

void Streams::take_requests(std::uint64_t stream, Connection& c, const dhcp::Now& now) {
    while (!c.closing && !c.opening && !c.file && c.out.empty() && !c.in.empty()) {
        const auto parsed = dhcp::http::parse(c.in);
        if (!parsed) {
            return;
        }
        c.in.erase(c.in.begin(), c.in.begin() + static_cast<std::ptrdiff_t>(std::min(parsed->size, c.in.size())));
        c.closing = !parsed->request.keep_alive;
        idle_until(stream, c, now.time + kIdle);
        answer(stream, c, parsed->request, now);
    }
}

void Streams::answer(std::uint64_t stream, Connection& c, const dhcp::http::Request& request, const dhcp::Now& now) {
    if (request.status != 0) {
        if (request.status == 400 || request.status == 431) {
            callbacks_.malformed(c.source);
        }
        c.out = dhcp::http::error(request, request.status, 0, now.wall);
        return;
    }
    c.opening = true;
    auto asked = files_.open(callbacks_.root(c.source.network), request.path, now.time,
                             [this, stream, request](Result<File> file, const dhcp::Now& then) {
                                 if (const auto found = connections_.find(stream); found != connections_.end()) {
                                     send_file(found->second, request, std::move(file), then);
                                     settle(stream, then);
                                 }
                             });
    if (!asked) {
        send_file(c, request, std::unexpected(asked.error()), now);
    }
}

void Streams::send_file(Connection& c, const dhcp::http::Request& request, Result<File> file, const dhcp::Now& now) {
    namespace http = dhcp::http;
    c.opening = false;
    if (!file) {
        const int status = is_absent(file.error()) ? 404 : file.error().code == Code::denied ? 403 : 503;
        c.out = http::error(request, status, 0, now.wall);
        return;
    }
    const auto slice = http::slice_of(request.range, file->size);
    if (!slice) {
        c.out = http::error(request, 416, file->size, now.wall);
        return;
    }
    c.out = http::head(request, *slice, file->size, now.wall);
    if (!request.head_only && slice->size > 0) {
        c.file = *std::move(file);
        c.file_at = slice->first;
        c.file_left = slice->size;
    }
}

void Streams::tick(const dhcp::Now& now) {
    while (!deadlines_.empty() && deadlines_.begin()->first <= now.time) {
        close(deadlines_.begin()->second);
    }
}

void Streams::forget(const Uuid& network) {
    for (auto it = connections_.begin(); it != connections_.end();) {
        const auto stream = (it++)->first;
        if (connections_.at(stream).source.network == network) {
            close(stream);
        }
    }
}

}  // namespace bascule::netsvc
