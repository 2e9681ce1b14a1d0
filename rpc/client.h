// SPDX-License-Identifier: GPL-2.0-or-later
// The client's side: what `bascule` and the tests call the daemon with. Synchronous; the socket is the caller's.
//
//   Client client(transport);
//   TRY_OK(client.open("qemu:///system"));
//   TRY(const auto found, client.call<proto::network_lookup_by_name>({.name = "default"}));
//   TRY_OK(client.call<proto::network_create>({.net = found.net}));
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "rpc/frame.h"
#include "rpc/xdr.h"

namespace bascule::rpc {

class Transport {
public:
    virtual ~Transport() = default;
    virtual Result<void> write(ByteView all) = 0;
    // Waits for some. 0: the daemon has closed the connection.
    virtual Result<std::size_t> read(std::span<std::byte> into) = 0;
};

class Client {
public:
    struct Packet {
        Header header;
        Bytes payload;
    };
    // Names an open stream: the header of the call that opened it.
    struct StreamId {
        Header header;
    };

    explicit Client(Transport& transport) : transport_(transport) {}

    // The handshake: auth-list and connect-open. Code::denied when the daemon wants an authentication.
    Result<void> open(const std::string& uri, std::uint32_t flags = 0);
    Result<void> close();

    // Fails with the daemon's error (from_wire), or Code::unreachable when the connection ends.
    template <class P>
    Result<typename P::Ret> call(const typename P::Args& args = {}) {
        TRY(const Packet reply, exchange(P::program, P::number, encode(args)));
        return decode<typename P::Ret>(reply.payload);
    }

    // Events come in between and are kept. next_event() waits for one; try_event() looks only at those kept.
    Result<Packet> next_event();
    std::optional<Packet> try_event();
    // The event's message, when it is a P.
    template <class P>
    static std::optional<typename P::Msg> as(const Packet& event) {
        if (event.header.program != P::program || event.header.procedure != P::number) {
            return std::nullopt;
        }
        auto message = decode<typename P::Msg>(event.payload);
        return message ? std::optional(*std::move(message)) : std::nullopt;
    }

    // A call that opens a stream, and the stream. Reading an empty Bytes means that the daemon's end has come; then,
    // or to leave, finish_stream().
    template <class P>
        requires P::opens_stream
    Result<StreamId> open_stream(const typename P::Args& args) {
        TRY(const Packet reply, exchange(P::program, P::number, encode(args)));
        return StreamId{reply.header};
    }
    Result<void> write_stream(const StreamId& stream, ByteView data);
    Result<Bytes> read_stream(const StreamId& stream);
    Result<void> finish_stream(const StreamId& stream);

private:
    Result<Packet> exchange(std::uint32_t program, std::int32_t number, std::optional<Bytes> args);
    Result<Packet> next_packet();  // pings answered, anything else as it comes
    Result<Packet> next_stream_packet(const StreamId& stream);
    Result<void> send_stream(const StreamId& stream, Status status, ByteView data);

    Transport& transport_;
    FrameReader reader_;
    std::uint32_t next_serial_ = 0;
    std::deque<Packet> events_, stream_packets_;
};

}  // namespace bascule::rpc
