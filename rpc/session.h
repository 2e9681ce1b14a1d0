// SPDX-License-Identifier: GPL-2.0-or-later
// The server's side of one connection, without the connection.
//
// Theory of operation
//
// Bytes go in with receive(), bytes come out with next_output() and sent(); the session never blocks, never reads a
// clock and knows no sockets. In between it takes packets apart (rpc/frame), finds the handler of a call
// (rpc/handlers), and puts answers, events and stream packets into one queue.
//
//   client ──receive()──▶ FrameReader ──▶ call ──▶ Handlers ──▶ your handler
//                                    └──▶ stream packet ──▶ StreamHandler        │ Responder, now or later
//                                    └──▶ ping                                   ▼
//   client ◀──next_output()── queue ◀── replies, errors, events, stream packets, pongs
//
// How the daemon uses it:
//
//   rpc::Handlers handlers;                                              // one for all connections
//   handlers.add<proto::connect_open>([](Call& call, const proto::connect_open_args& args) -> Result<void> {
//       return is_our_uri(args.name) ? Result<void>{} : fail(Code::unsupported, "…");
//   });
//   handlers.add<proto::network_lookup_by_name>(
//       [&](Call&, const proto::network_lookup_by_name_args& args) -> Result<proto::network_lookup_by_name_ret> {
//           TRY(const auto network, networks.find(args.name));          // no_network: "no network with matching …"
//           return proto::network_lookup_by_name_ret{.net = to_wire(network)};
//       });
//   handlers.add<proto::domain_create>(
//       [&](Call&, const proto::domain_create_args& args, Responder<proto::domain_create> responder) {
//           guests.start(args.dom.uuid, [r = std::move(responder)](Result<void> done) mutable { r.answer(done); });
//       });
//   handlers.add<proto::connect_network_event_register_any>([&](Call& call, const auto& args) -> Result<…> {
//       const std::int32_t id = call.session.next_callback_id();
//       events.add({call.session.weak_from_this(), id, args.event_id, args.net});
//       return proto::connect_network_event_register_any_ret{.callback_id = id};
//   });                       // later: if (auto s = weak.lock()) s->event<proto::network_event_lifecycle>({…})
//
//   // for each accepted socket; on_wake only schedules flush(), see create()
//   auto session = rpc::Session::create(handlers, {.uid = …, .read_only = …}, [this] { loop.defer(flush); });
//   readable:  recvmsg, always with room for descriptors; session->receive(bytes, std::move(fds));
//   flush:     for (Chunk c = session->next_output(); !c.bytes.empty(); c = session->next_output()) {
//                  n = c.fd < 0 ? send(c.bytes) : sendmsg(c.bytes, SCM_RIGHTS c.fd);   // stop at EAGAIN
//                  session->sent(n);
//              }
//              watch for reading if session->wants_input(), for writing if session->queued() > 0
//              if (session->finished()) close; log session->why() if not empty
//
// Invariants, each with a test
//  * Each call gets exactly one reply with its serial, program, version and procedure, whatever the handler does,
//  unless
//    the connection ends first. Answers may overtake each other.
//  * At most Limits::in_flight calls are being worked on. With so many, packets are handled up to the next call and
//    wants_input() becomes false when that call has come: pings and stream packets in front of it are not held up.
//  * Memory is bounded: one packet in, queue_max bytes out. Over queue_high nothing new is begun and streams are told
//  to
//    hold back; a client that lets events pile up to queue_max is dropped.
//  * Bytes that are no packets end the connection; a packet that makes no sense gets an error reply or nothing, exactly
//    as the peer's daemon answers it (the table is in session.cpp).
//  * Handlers run only inside receive() and next_output(), never from inside an answer, an event or another handler.
//
// Who is let in: Peer::auth says what the client may log in with. Until it has, only the calls that log in are
// answered. For polkit, Handlers::set_polkit() is asked; then every call but the handshake may be put to
// Handlers::set_check().
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/fd.h"
#include "rpc/error_map.h"
#include "rpc/frame.h"
#include "rpc/handlers.h"
#include "rpc/stream.h"

namespace bascule::rpc {

// What the server knows about the other end.
struct Peer {
    std::uint32_t uid = 0, gid = 0;
    std::int32_t pid = 0;
    bool read_only = false;   // came through the read-only socket
    bool fd_passing = false;  // a Unix socket
    // What the client may log in with (auth_type of rpc/constants.h), the first being what most clients take. Empty, or
    // with none among them: it need not.
    std::vector<std::int32_t> auth{};
    std::string name{};  // from a certificate; empty: the uid says who it is
};

struct Limits {
    std::size_t in_flight = 5;  // the peer's max_client_requests
    std::size_t streams = 64;
    std::size_t queue_high = 1 << 20;
    std::size_t queue_max = 3 * kMaxPacket;
};

class Session : public std::enable_shared_from_this<Session> {
public:
    enum class Phase { fresh, open, closed };  // before connect-open, after it, after connect-close

    // `on_wake`: there may be something to write, wants_input() may have changed, or finished() is true. It is called
    // from inside every other function, also from answers and events; so it must only note that, or Loop::defer.
    // `handlers` must outlive the session.
    static std::shared_ptr<Session> create(Handlers& handlers, const Peer& peer,
                                           std::move_only_function<void()> on_wake, const Limits& limits = {});

    // --- for the server: bytes
    void receive(ByteView bytes, std::vector<UniqueFd> fds = {});
    bool wants_input() const;
    struct Chunk {
        ByteView bytes;  // empty: nothing to write. Valid until the session is touched
        int fd = -1;     // to be sent along with these bytes (then it is one byte); stays the session's until sent()
    };
    // Also goes on with packets that had to wait, so call it after each wake.
    Chunk next_output();
    void sent(std::size_t n);
    std::size_t queued() const { return queued_; }
    // Time to close: the client said so and has its answer, or what it sent cannot be followed.
    bool finished() const { return broken_ || (phase_ == Phase::closed && queued_ == 0); }
    const std::string& why() const { return why_; }  // of a connection that is dropped; else empty

    // --- for handlers
    std::uint64_t id() const { return id_; }  // never used twice in a process
    const Peer& peer() const { return peer_; }
    Phase phase() const { return phase_; }
    // Until then only the calls that log in are answered; the others get "authentication required".
    bool authenticated() const { return authenticated_; }
    void set_authenticated() { authenticated_ = true; }
    bool read_only() const { return peer_.read_only || asked_read_only_; }  // the socket, or connect-open's flag
    bool asked_keepalive() const { return asked_keepalive_; }
    void arm_keepalive() { asked_keepalive_ = true; }
    // From 0, one counter for all classes of events: go-libvirt keeps one table of them.
    std::int32_t next_callback_id() { return next_callback_id_++; }
    // Nothing happens when the connection is not open (any more).
    template <class P>
    void event(const typename P::Msg& message) {
        queue_event(P::program, P::number, encode(message));
    }
    std::size_t calls_in_flight() const { return in_flight_; }

private:
    friend class Answer;
    friend class Handlers;
    friend class Stream;
    struct Segment {
        Bytes bytes;
        std::vector<UniqueFd> fds;  // one byte each behind the bytes
        std::size_t size() const { return bytes.size() + fds.size(); }
    };
    struct OpenStream {
        Header header;  // of everything sent: the call's, type stream
        std::unique_ptr<StreamHandler> handler;
        bool paused = false, finishing = false, ended = false;
    };
    using Streams = std::map<std::uint64_t, OpenStream>;

    Session(Handlers& handlers, const Peer& peer, std::move_only_function<void()> on_wake, const Limits& limits);

    // packets in
    void pump();
    bool may_take(const Header& header) const;
    void take(Frame frame);
    void take_call(Frame frame);
    void take_stream(const Frame& frame);
    bool begin_open(const Frame& frame, Answer& answer);
    void drop(std::string why);

    // answers
    void refuse(const Header& call, std::string message);
    void send_error(const Header& call, const proto::Error& error);
    bool send_reply(const Header& call, std::optional<Bytes> result, std::vector<UniqueFd> fds);
    void answered(const Header& call, bool ok);
    void queue_event(std::uint32_t program, std::int32_t number, std::optional<Bytes> payload);
    void queue(const Header& header, ByteView payload, std::vector<UniqueFd> fds = {});
    void wake();

    // streams
    Stream send_reply_and_open(const Header& call, std::optional<Bytes> result, std::unique_ptr<StreamHandler> handler);
    OpenStream* find_stream(std::uint64_t id);
    const Streams::value_type* find_stream(const Header& header) const;  // null: none
    bool queue_stream(const Header& header, ByteView payload);
    void take_hole(const Frame& frame, OpenStream& open, Stream& stream);
    void close_stream(std::uint64_t id);
    void tell_writable();

    Handlers& handlers_;
    const Peer peer_;
    const Limits limits_;
    std::move_only_function<void()> on_wake_;
    const std::uint64_t id_;

    FrameReader reader_;
    Phase phase_ = Phase::fresh;
    bool authenticated_ = false;
    bool opening_ = false;  // connect-open is being answered
    bool asked_read_only_ = false, asked_keepalive_ = false;
    bool pumping_ = false, waiting_ = false, throttled_ = false, broken_ = false;
    std::string why_;
    std::size_t in_flight_ = 0;
    std::int32_t next_callback_id_ = 0;

    std::deque<Segment> queue_;
    std::size_t queue_at_ = 0;  // of the first segment
    std::size_t queued_ = 0;

    Streams streams_;
    std::uint64_t next_stream_ = 1;
    std::vector<std::unique_ptr<StreamHandler>> over_;  // destroyed when no callback can be running
};

}  // namespace bascule::rpc
