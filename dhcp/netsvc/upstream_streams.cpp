// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/netsvc/upstream_streams.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "dhcp/forwarder.h"

namespace bascule::netsvc {

void UpstreamStreams::drop_all() {
    for (std::size_t i = 0; i < slots_.size(); ++i) {
        if (slots_[i].busy) {
            end(i);
        }
    }
    slots_.clear();
}

void UpstreamStreams::begin(std::size_t v4_count) {
    v4_count_ = v4_count;
    slots_.assign(sockets_.size(), {});
}

bool UpstreamStreams::start(const dhcp::wire::Resolver& to, const Bytes& query, dhcp::Time now) {
    const std::size_t first = to.address.is_v4() ? 0 : v4_count_;
    const std::size_t last = to.address.is_v4() ? v4_count_ : slots_.size();
    std::size_t index = first;
    // Whom nobody waits for any longer makes room.
    while (index < last && slots_[index].busy && slots_[index].since + dhcp::Forwarder::kStreamTimeout > now) {
        ++index;
    }
    if (index < last && slots_[index].busy) {
        end(index);
    }
    if (index >= last || query.size() < 2 || query.size() > 0xffff) {
        return false;
    }
    const int fd = sockets_[index].get();
    socklen_t length = 0;
    const sockaddr_storage address = to_sockaddr({to.address, to.port}, length);
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), length) != 0 && errno != EINPROGRESS) {
        return false;
    }
    Slot& slot = slots_[index];
    slot = {.busy = true, .connected = false, .id = 0, .to = to, .out = {}, .in = {}, .sent = 0, .since = now};
    slot.id =
        static_cast<std::uint16_t>(std::to_integer<unsigned>(query[0]) << 8 | std::to_integer<unsigned>(query[1]));
    slot.out = {static_cast<std::byte>(query.size() >> 8), static_cast<std::byte>(query.size())};
    slot.out.insert(slot.out.end(), query.begin(), query.end());
    if (!poller_.watch(fd, {Source::Kind::upstream_stream, {}, index}, false, true)) {
        end(index);
        return false;
    }
    return true;
}

UpstreamStreams::Outcome UpstreamStreams::end(std::size_t index, Bytes reply) {
    Slot& slot = slots_[index];
    poller_.unwatch(sockets_[index].get());
    sockaddr nobody{};
    nobody.sa_family = AF_UNSPEC;
    ::connect(sockets_[index].get(), &nobody, sizeof nobody);
    Outcome out{slot.id, slot.to, std::move(reply)};
    slot = {};
    return out;
}

std::optional<UpstreamStreams::Outcome> UpstreamStreams::ready(std::size_t index, bool writable) {
    if (index >= slots_.size() || !slots_[index].busy) {
        return std::nullopt;
    }
    Slot& slot = slots_[index];
    const int fd = sockets_[index].get();
    if (!slot.connected) {
        int error = 0;
        socklen_t length = sizeof error;
        if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0 || error != 0) {
            return end(index);
        }
        slot.connected = true;
    }
    if (writable && slot.sent < slot.out.size()) {
        const ssize_t sent = ::write(fd, slot.out.data() + slot.sent, slot.out.size() - slot.sent);
        if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            return end(index);
        }
        slot.sent += sent > 0 ? static_cast<std::size_t>(sent) : 0;
        if (slot.sent == slot.out.size()) {
            poller_.change(fd, true, false);
        }
        return std::nullopt;
    }
    return receive(index);
}

std::optional<UpstreamStreams::Outcome> UpstreamStreams::receive(std::size_t index) {
    Slot& slot = slots_[index];
    std::array<std::byte, 16384> chunk;
    const ssize_t got = ::read(sockets_[index].get(), chunk.data(), chunk.size());
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return std::nullopt;
    }
    if (got <= 0) {
        return end(index);
    }
    slot.in.insert(slot.in.end(), chunk.begin(), chunk.begin() + got);
    if (slot.in.size() < 2) {
        return std::nullopt;
    }
    const std::size_t size = std::to_integer<std::size_t>(slot.in[0]) << 8 | std::to_integer<std::size_t>(slot.in[1]);
    if (slot.in.size() < 2 + size) {
        return std::nullopt;
    }
    return end(index, Bytes(slot.in.begin() + 2, slot.in.begin() + static_cast<std::ptrdiff_t>(2 + size)));
}

}  // namespace bascule::netsvc
