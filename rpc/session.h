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
//   timer:     at session->next_check(): session->check(now), then flush and arm it again
//
// Invariants, each with a test
//  * Each call gets exactly one reply with its serial, program, version and procedure, whatever the handler does,
//    unless the connection ends first. Answers may overtake each other.
//  * At most Limits::in_flight calls are being worked on. Calls that never wait for a guest or a disk (`urgent` in
//    procedures.tsv: destroy, lookups, close, …) have as many places of their own, so five calls that are stuck do not
//    keep their client from ending the guest they are stuck on.
//  * What may not be taken yet is parked, in order: calls beyond those in flight, data of a stream whose sink is full.
//    So neither holds up what is behind it, until the parking place (Limits::parked, parked_bytes) is full; then
//    wants_input() is false and the rest waits in the client's socket.
//  * Replies and events go before stream data (rpc/outbox.h), and streams hold back at Limits::stream_high, long before
//    calls do: a console that nobody reads never starves them.
//  * One turn takes at most Limits::turn packets, so that one busy client does not starve the others; the connections
//  of
//    one source together have a Pace, so that neither do a hundred of one process.
//  * Memory is bounded. Over queue_high nothing new is begun; a client that lets events pile up to event_max, replies
//    to queue_max, or whose user holds more than the Budget with all connections, is dropped.
//  * Bytes that are no packets end the connection; a packet that makes no sense gets an error reply or nothing, exactly
//    as the peer's daemon answers it (the table is in session.cpp).
//  * Handlers run only inside receive(), next_output() and a verdict of Handlers' check, never from inside an answer or
//    an event.
//  * Pings are sent only to a client that asked for feature 10: others have nobody to answer them.
//
// Who is let in: Peer::auth says what the client may log in with. Until it has, only the calls that log in are
// answered. For polkit, Handlers::set_polkit() is asked; then every call but the handshake may be put to
// Handlers::set_check().
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/fd.h"
#include "rpc/budget.h"
#include "rpc/error_map.h"
#include "rpc/frame.h"
#include "rpc/handlers.h"
#include "rpc/outbox.h"
#include "rpc/pace.h"
#include "rpc/stream.h"

namespace bascule::rpc {

// What the server knows about the other end.
struct Peer {
    std::uint32_t uid = 0, gid = 0;
    std::int32_t pid = 0;
    std::uint64_t process_start = 0;  // of pid, in ticks since boot: its number alone could be a later one's
    bool read_only = false;           // came through the read-only socket
    bool fd_passing = false;          // a Unix socket
    bool secure = true;               // nobody on the way can read it
    // What the client may log in with (auth_type of rpc/constants.h), the first being what most clients take. Empty, or
    // with none among them: it need not.
    std::vector<std::int32_t> auth{};
    std::string name{};  // from a certificate; empty: the uid says who it is
};

struct Limits {
    std::size_t in_flight = 5;  // the peer's max_client_requests; as many urgent ones beside them
    std::size_t parked = 32, parked_bytes = 1 << 18;
    std::size_t turn = 16;
    std::size_t streams = 64;
    std::size_t stream_high = 1 << 18, queue_high = 1 << 20;
    std::size_t event_max = 8 << 20, queue_max = 3 * kMaxPacket;
    std::size_t free = 1 << 16;  // of a connection's memory that no Budget is asked for
    // After so long a silence the client is pinged, and dropped when that many pings had no answer. 0 s: never.
    std::chrono::seconds keepalive_interval{5};
    unsigned keepalive_count = 5;
    std::shared_ptr<Budget> budget{};  // null: none
    std::shared_ptr<Pace> pace{};      // beside `turn`; null: none
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
    using Time = std::chrono::steady_clock::time_point;
    using Chunk = Outbox::Chunk;
    // `now` is only needed for pings.
    void receive(ByteView bytes, std::vector<UniqueFd> fds = {}, Time now = {});
    bool wants_input() const;
    // Also goes on with packets that had to wait, so call it after each wake.
    Chunk next_output();
    void sent(std::size_t n);
    std::size_t queued() const { return outbox_.size(); }
    // When to call check(), if ever. It may become later with every receive(), which needs no new timer: check() before
    // its time does nothing, and next_check() then says when to come again.
    std::optional<Time> next_check() const;
    void check(Time now);
    // Time to close: the client said so and has its answer, or what it sent cannot be followed.
    bool finished() const { return broken_ || (phase_ == Phase::closed && outbox_.size() == 0); }
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
        if (const auto payload = encode(message)) {
            event(P::program, P::number, *payload);
        }
    }
    void event(std::uint32_t program, std::int32_t number, ByteView payload);  // encoded already
    std::size_t calls_in_flight() const { return in_flight_[0] + in_flight_[1]; }
    std::size_t held() const { return reader_.buffered() + outbox_.size() + parked_bytes_; }
    ~Session();

private:
    friend class Answer;
    friend class Handlers;
    friend class Stream;
    struct OpenStream {
        Header header;  // of everything sent: the call's, type stream
        std::unique_ptr<StreamHandler> handler;
        bool paused = false, finishing = false, ended = false;
    };
    using Streams = std::map<std::uint64_t, OpenStream>;

    Session(Handlers& handlers, const Peer& peer, std::move_only_function<void()> on_wake, const Limits& limits);

    // Packets of one lane are taken in order, those of another may overtake them: ordinary calls, urgent ones, each
    // stream, and what needs no order at all.
    using Lane = std::uint64_t;
    static constexpr Lane kCalls = 0, kUrgentCalls = 1, kFree = 2, kStreams = 3;  // kStreams + id
    struct Parked {
        Lane lane;
        Header header;
        Bytes payload;
        std::vector<UniqueFd> fds;
        // Descriptors are scarce: one packet with the most of them fills the place.
        std::size_t cost() const { return kHeaderBytes + payload.size() + 8192 * fds.size(); }
    };

    // packets in
    void pump();
    bool take_parked();
    Lane lane_of(const Header& header) const;
    bool may_take(Lane lane) const;
    void take_or_park(Frame frame);
    void take(Frame frame);
    void take_call(Frame frame);
    void take_stream(const Frame& frame);
    bool begin_open(const Frame& frame, Answer& answer);
    void drop(std::string why);
    void settle_budget();

    // answers
    void refuse(const Header& call, std::string message);
    void send_error(const Header& call, const proto::Error& error);
    bool send_reply(const Header& call, std::optional<Bytes> result, std::vector<UniqueFd> fds);
    void answered(const Header& call, bool ok);
    void queue(Outbox::Lane lane, const Header& header, ByteView payload, std::vector<UniqueFd> fds = {});
    void wake();

    // streams
    Stream send_reply_and_open(const Header& call, std::optional<Bytes> result, std::unique_ptr<StreamHandler> handler);
    OpenStream* find_stream(std::uint64_t id);
    const Streams::value_type* find_stream(const Header& header) const;  // null: none
    bool queue_stream(const Header& header, ByteView payload);
    bool stream_room();
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
    bool full_ = false;      // waiting because of too much to write
    bool writing_ = false;   // sent() was the last that happened
    bool writable_ = false;  // streams that held back may go on
    std::string why_;
    std::array<std::size_t, 2> in_flight_{};  // ordinary, urgent
    std::int32_t next_callback_id_ = 0;

    std::list<Parked> parked_;
    std::size_t parked_bytes_ = 0;
    Outbox outbox_;
    std::size_t charged_ = 0;  // to the budget
    Time heard_{};             // or pinged
    unsigned unanswered_ = 0;  // pings

    Streams streams_;
    std::uint64_t next_stream_ = 1;
    std::vector<std::unique_ptr<StreamHandler>> over_;  // destroyed when no callback can be running
};

}  // namespace bascule::rpc
