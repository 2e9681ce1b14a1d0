// SPDX-License-Identifier: GPL-2.0-or-later
#include "rpc/client.h"

#include <algorithm>
#include <array>

#include "rpc/constants.h"
#include "rpc/error_map.h"
#include "rpc/proto_connect.h"
#include "rpc/proto_keepalive.h"

namespace bascule::rpc {

namespace {

constexpr std::size_t kMaxKept = 65536;  // packets kept for later: events, stream data

Result<Client::Packet> refuse_error(Client::Packet packet) {
    if (packet.header.status != Status::error) {
        return packet;
    }
    TRY(const proto::Error error, decode<proto::Error>(packet.payload));
    return std::unexpected(from_wire(error));
}

Result<void> keep(std::deque<Client::Packet>& where, Client::Packet packet) {
    if (where.size() >= kMaxKept) {
        return fail(Code::internal, "the daemon sends more than is read");
    }
    where.push_back(std::move(packet));
    return {};
}

bool answers(const Header& header, const Header& call) {
    return header.serial == call.serial && header.procedure == call.procedure && header.program == call.program;
}

}  // namespace

Result<void> Client::open(const std::string& uri, std::uint32_t flags) {
    TRY(const auto auth, call<proto::auth_list>());
    if (!auth.types.empty() && std::ranges::find(auth.types, auth_type::none) == auth.types.end()) {
        return fail(Code::denied, "the daemon asks for an authentication that is not supported here");
    }
    TRY_OK(call<proto::connect_open>({.name = uri, .flags = flags}));
    return {};
}

Result<void> Client::close() {
    TRY_OK(call<proto::connect_close>());
    return {};
}

Result<Client::Packet> Client::exchange(std::uint32_t program, std::int32_t number, std::optional<Bytes> args) {
    if (!args) {
        return fail(Code::invalid_argument, "an argument is longer than the protocol allows");
    }
    Header header;
    header.program = program;
    header.procedure = number;
    header.serial = next_serial_++;
    TRY_OK(transport_.write(encode_packet(header, *args)));
    for (;;) {
        TRY(Packet packet, next_packet());
        const bool is_reply =
            packet.header.type == MessageType::reply || packet.header.type == MessageType::reply_with_fds;
        if (is_reply && answers(packet.header, header)) {
            return refuse_error(std::move(packet));
        }
        if (packet.header.type == MessageType::event) {
            TRY_OK(keep(events_, std::move(packet)));
        } else if (packet.header.type == MessageType::stream) {
            TRY_OK(keep(stream_packets_, std::move(packet)));
        }
    }
}

Result<Client::Packet> Client::next_packet() {
    for (;;) {
        TRY(const auto header, reader_.peek());
        if (!header) {
            std::array<std::byte, 65536> buffer;
            TRY(const std::size_t n, transport_.read(buffer));
            if (n == 0) {
                return fail(Code::unreachable, "the daemon closed the connection");
            }
            reader_.append(ByteView(buffer).first(n));
            continue;
        }
        const Frame frame = reader_.take();
        if (frame.header.program == program::keepalive) {
            if (frame.header.procedure == proto::ping::number) {
                Header pong = frame.header;
                pong.procedure = proto::pong::number;
                TRY_OK(transport_.write(encode_packet(pong, {})));
            }
            continue;
        }
        return Packet{frame.header, Bytes(frame.payload.begin(), frame.payload.end())};
    }
}

std::optional<Client::Packet> Client::try_event() {
    if (events_.empty()) {
        return std::nullopt;
    }
    Packet out = std::move(events_.front());
    events_.pop_front();
    return out;
}

Result<Client::Packet> Client::next_event() {
    for (;;) {
        if (auto event = try_event()) {
            return *std::move(event);
        }
        TRY(Packet packet, next_packet());
        if (packet.header.type == MessageType::event) {
            TRY_OK(keep(events_, std::move(packet)));
        } else if (packet.header.type == MessageType::stream) {
            TRY_OK(keep(stream_packets_, std::move(packet)));
        }
    }
}

Result<void> Client::send_stream(const StreamId& stream, Status status, ByteView data) {
    Header header = stream.header;
    header.type = MessageType::stream;
    header.status = status;
    return transport_.write(encode_packet(header, data));
}

Result<void> Client::write_stream(const StreamId& stream, ByteView data) {
    while (!data.empty()) {
        const std::size_t n = std::min(data.size(), kMaxStreamData);
        TRY_OK(send_stream(stream, Status::more, data.first(n)));
        data = data.subspan(n);
    }
    return {};
}

Result<Client::Packet> Client::next_stream_packet(const StreamId& stream) {
    const auto ours = [&](const Packet& packet) { return answers(packet.header, stream.header); };
    for (;;) {
        if (const auto it = std::ranges::find_if(stream_packets_, ours); it != stream_packets_.end()) {
            Packet out = std::move(*it);
            stream_packets_.erase(it);
            return refuse_error(std::move(out));
        }
        TRY(Packet packet, next_packet());
        if (packet.header.type == MessageType::stream) {
            TRY_OK(keep(stream_packets_, std::move(packet)));
        } else if (packet.header.type == MessageType::event) {
            TRY_OK(keep(events_, std::move(packet)));
        }
    }
}

Result<Bytes> Client::read_stream(const StreamId& stream) {
    TRY(Packet packet, next_stream_packet(stream));
    return packet.header.status == Status::more ? std::move(packet.payload) : Bytes();
}

Result<void> Client::finish_stream(const StreamId& stream) {
    TRY_OK(send_stream(stream, Status::ok, {}));
    for (;;) {  // what was still on its way is dropped
        TRY(const Packet packet, next_stream_packet(stream));
        if (packet.header.status == Status::ok) {
            return {};
        }
    }
}

}  // namespace bascule::rpc
