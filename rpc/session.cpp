// SPDX-License-Identifier: GPL-2.0-or-later
// What a packet gets when something is off, as the peer's daemon was seen to answer:
//
//   unknown program, or version other than 1   code 39, domain 7, "Cannot find program N version M"
//   call with a status other than 0            code 39, "Unexpected message status N"
//   unknown procedure, an event's, 0, negative code 39, "unknown procedure: N"; so does one that we do not have yet,
//                                              since clients turn that text into "not supported" and fall back
//   arguments that do not decode               code 39, "Unable to decode message payload"
//   a call before connect-open                 code 1, "internal error: hypervisor connection not open"
//   a second connect-open                      code 1, "internal error: connection already open"
//   type reply, event or an unknown one; a stream packet for no open stream     nothing
#include "rpc/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>

#include "rpc/constants.h"
#include "rpc/proto_connect.h"
#include "rpc/proto_keepalive.h"

namespace bascule::rpc {

namespace {

bool is_call(const Header& header) {
    return header.type == MessageType::call || header.type == MessageType::call_with_fds;
}

bool is_for(const Header& header, std::uint32_t program, std::int32_t procedure) {
    return header.program == program && header.procedure == procedure;
}

std::uint64_t next_session_id() {
    static std::uint64_t last = 0;  // one thread
    return ++last;
}

}  // namespace

Session::Session(Handlers& handlers, const Peer& peer, std::move_only_function<void()> on_wake, const Limits& limits)
    : handlers_(handlers),
      peer_(peer),
      limits_(limits),
      on_wake_(std::move(on_wake)),
      id_(next_session_id()),
      authenticated_(peer.auth.empty() || std::ranges::find(peer.auth, auth_type::none) != peer.auth.end()) {}

Session::~Session() {
    if (charged_ > 0) {
        limits_.budget->give(peer_.uid, charged_);
    }
}

std::shared_ptr<Session> Session::create(Handlers& handlers, const Peer& peer, std::move_only_function<void()> on_wake,
                                         const Limits& limits) {
    return std::shared_ptr<Session>(new Session(handlers, peer, std::move(on_wake), limits));
}

// --- in

void Session::receive(ByteView bytes, std::vector<UniqueFd> fds, Time now) {
    if (broken_ || phase_ == Phase::closed) {
        return;
    }
    assert(!pumping_);
    heard_ = now;
    unanswered_ = 0;
    reader_.append(bytes, std::move(fds));
    pump();
}

bool Session::wants_input() const {
    return !broken_ && phase_ != Phase::closed && !waiting_ && outbox_.size() < limits_.queue_high;
}

// Takes packets as long as there are any that may be taken. Runs only from the server's calls, never from a handler's.
void Session::pump() {
    if (pumping_) {
        return;
    }
    const auto self = shared_from_this();  // a handler may make the server let go of us
    pumping_ = true;
    over_.clear();
    waiting_ = false;
    if (std::exchange(writable_, false)) {
        tell_writable();
    }
    for (std::size_t turn = 0; !broken_ && phase_ != Phase::closed; ++turn) {
        if (outbox_.size() >= limits_.queue_high) {
            waiting_ = full_ = true;
            break;
        }
        if (turn == limits_.turn || (limits_.pace && limits_.pace->spent())) {
            waiting_ = true;
            wake();
            break;
        }
        if (take_parked()) {
            continue;
        }
        if (parked_.size() >= limits_.parked || parked_bytes_ >= limits_.parked_bytes) {
            waiting_ = true;
            break;
        }
        auto header = reader_.peek();
        if (!header) {
            drop(std::move(header).error().message);
            break;
        }
        if (!*header) {
            break;
        }
        take_or_park(reader_.take());
    }
    pumping_ = false;
    settle_budget();
}

Session::Lane Session::lane_of(const Header& header) const {
    if (is_call(header)) {
        const ProcedureInfo* info = find_procedure(header.program, header.procedure);
        return info != nullptr && info->urgent ? kUrgentCalls : kCalls;
    }
    if (header.type == MessageType::stream || header.type == MessageType::stream_hole) {
        const auto* found = find_stream(header);
        return found == nullptr ? kFree : kStreams + found->first;
    }
    return kFree;
}

bool Session::may_take(Lane lane) const {
    if (lane == kCalls || lane == kUrgentCalls) {
        return in_flight_[lane] < limits_.in_flight && !opening_;
    }
    if (lane == kFree) {
        return true;
    }
    const auto it = streams_.find(lane - kStreams);
    return it == streams_.end() || !it->second.paused;
}

// The first that has become free to go. All of a lane are, or none, so its order is kept.
bool Session::take_parked() {
    const auto it = std::ranges::find_if(parked_, [&](const Parked& parked) { return may_take(parked.lane); });
    if (it == parked_.end()) {
        return false;
    }
    Parked parked = std::move(*it);
    parked_.erase(it);
    parked_bytes_ -= parked.cost();  // its descriptors came along
    take({parked.header, parked.payload, std::move(parked.fds)});
    return true;
}

void Session::take_or_park(Frame frame) {
    const Lane lane = lane_of(frame.header);
    // None of its lane is parked when it may go: take_parked() came first.
    if (may_take(lane)) {
        take(std::move(frame));
        return;
    }
    parked_.push_back({lane, frame.header, Bytes(frame.payload.begin(), frame.payload.end()), std::move(frame.fds)});
    parked_bytes_ += parked_.back().cost();
}

void Session::take(Frame frame) {
    if (limits_.pace) {
        limits_.pace->take();
    }
    const Header& header = frame.header;
    if (is_call(header)) {
        take_call(std::move(frame));
    } else if (header.type == MessageType::stream || header.type == MessageType::stream_hole) {
        take_stream(frame);
    } else if (header.type == MessageType::event && header.version == 1 &&
               is_for(header, program::keepalive, proto::ping::number)) {
        Header pong = header;
        pong.procedure = proto::pong::number;
        pong.serial = 0;
        pong.status = Status::ok;
        queue(Outbox::Lane::calls, pong, {});
    }
}

void Session::take_call(Frame frame) {
    const Header& header = frame.header;
    if (!is_known_program(header.program, header.version)) {
        // Signed, as the peer prints them.
        refuse(header, fmt::format("Cannot find program {} version {}", static_cast<std::int32_t>(header.program),
                                   static_cast<std::int32_t>(header.version)));
        return;
    }
    if (header.status != Status::ok) {
        refuse(header, fmt::format("Unexpected message status {}", static_cast<std::uint32_t>(header.status)));
        return;
    }
    const ProcedureInfo* info = find_procedure(header.program, header.procedure);
    Handlers::Thunk* thunk = info != nullptr && info->is_call ? handlers_.find(*info) : nullptr;
    if (thunk == nullptr) {
        refuse(header, fmt::format("unknown procedure: {}", header.procedure));
        return;
    }
    ++in_flight_[info->urgent ? 1 : 0];
    Answer answer(weak_from_this(), header, *info);
    if (is_for(header, program::remote, proto::connect_open::number) && !begin_open(frame, answer)) {
        return;
    }
    Call call{*this, *info, header.serial, std::move(frame.fds)};
    (*thunk)(call, frame.payload, std::move(answer));
}

// Calls that follow wait until the answer says whether they are let in.
bool Session::begin_open(const Frame& frame, Answer& answer) {
    if (phase_ == Phase::open) {
        answer.fail({Code::internal, "connection already open"}, error_domain::rpc);
        return false;
    }
    const auto args = decode<proto::connect_open_args>(frame.payload);
    opening_ = true;
    asked_read_only_ = args && (args->flags & connect_flags::ro) != 0;
    return true;
}

void Session::drop(std::string why) {
    broken_ = true;
    why_ = std::move(why);
    for (auto& [id, stream] : streams_) {
        over_.push_back(std::move(stream.handler));
    }
    streams_.clear();
    parked_.clear();
    parked_bytes_ = 0;
    outbox_.clear();
    wake();
}

// --- answers

void Session::refuse(const Header& call, std::string message) { send_error(call, rpc_error(std::move(message))); }

void Session::send_error(const Header& call, const proto::Error& error) {
    Header header = call;
    header.type = MessageType::reply;
    header.status = Status::error;
    // Only a message of megabytes does not encode; a shorter one then says so.
    const auto payload = encode(error);
    queue(Outbox::Lane::calls, header,
          payload ? *payload : encode(rpc_error("the error is too long to be sent")).value_or(Bytes()));
}

bool Session::send_reply(const Header& call, std::optional<Bytes> result, std::vector<UniqueFd> fds) {
    if (!result || fds.size() > kMaxFds) {
        send_error(call, rpc_error("Unable to encode message payload"));
        answered(call, false);
        return false;
    }
    Header header = call;
    header.type = fds.empty() ? MessageType::reply : MessageType::reply_with_fds;
    header.status = Status::ok;
    queue(Outbox::Lane::calls, header, *result, std::move(fds));
    answered(call, true);
    return !broken_;
}

void Session::answered(const Header& call, bool ok) {
    const ProcedureInfo* info = find_procedure(call.program, call.procedure);
    std::size_t& in_flight = in_flight_[info != nullptr && info->urgent ? 1 : 0];
    assert(in_flight > 0);
    --in_flight;
    if (is_for(call, program::remote, proto::connect_open::number) && opening_) {
        opening_ = false;
        phase_ = ok ? Phase::open : phase_;
        asked_read_only_ = asked_read_only_ && ok;
    }
    if (ok && is_for(call, program::remote, proto::connect_close::number)) {
        phase_ = Phase::closed;
    }
    wake();
}

void Session::event(std::uint32_t program, std::int32_t number, ByteView payload) {
    if (phase_ != Phase::open) {
        return;
    }
    Header header;
    header.program = program;
    header.procedure = number;
    header.type = MessageType::event;
    header.serial = 1;  // as the peer sends it; clients do not look
    queue(Outbox::Lane::calls, header, payload);
    if (!broken_ && outbox_.size() > limits_.event_max) {
        drop(fmt::format("the client does not read its events: {} bytes wait for it", outbox_.size()));
    }
}

// --- out

void Session::queue(Outbox::Lane lane, const Header& header, ByteView payload, std::vector<UniqueFd> fds) {
    if (broken_) {
        return;
    }
    if (outbox_.size() + kHeaderBytes + payload.size() > limits_.queue_max) {
        drop(fmt::format("the client does not read: {} bytes wait for it", outbox_.size()));
        return;
    }
    outbox_.push(lane, header, payload, std::move(fds));
    settle_budget();
    wake();
}

// Between two writes of one go the packets that wait are left alone: a client that reads fast would otherwise have all
// of its turns at once.
Session::Chunk Session::next_output() {
    if (!std::exchange(writing_, false)) {
        pump();
    }
    return outbox_.next();
}

void Session::sent(std::size_t n) {
    if (n == 0) {
        return;
    }
    writing_ = true;
    outbox_.sent(n);
    settle_budget();
    if (full_ && outbox_.size() <= limits_.queue_high / 2) {
        full_ = false;
        wake();
    }
    if (throttled_ && outbox_.size(Outbox::Lane::streams) < limits_.stream_high / 2) {
        throttled_ = false;
        writable_ = true;  // told in the next turn
        wake();
    }
}

// What we hold beyond the free part is the user's, of whom other connections hold more.
void Session::settle_budget() {
    if (!limits_.budget || broken_) {
        return;
    }
    const std::size_t holds = held() > limits_.free ? held() - limits_.free : 0;
    if (holds > charged_ && !limits_.budget->take(peer_.uid, holds - charged_)) {
        drop("its user's connections hold too much memory: packets half sent, and replies that were not read");
        return;
    }
    if (holds < charged_) {
        limits_.budget->give(peer_.uid, charged_ - holds);
    }
    charged_ = holds;
}

// --- time

std::optional<Session::Time> Session::next_check() const {
    if (!asked_keepalive_ || limits_.keepalive_interval.count() <= 0 || broken_ || phase_ == Phase::closed) {
        return std::nullopt;
    }
    return heard_ + limits_.keepalive_interval;
}

void Session::check(Time now) {
    const auto due = next_check();
    if (!due || now < *due) {
        return;
    }
    if (unanswered_ >= limits_.keepalive_count) {
        drop(fmt::format("no answer to {} pings", unanswered_));
        return;
    }
    ++unanswered_;
    heard_ = now;
    Header ping;
    ping.program = program::keepalive;
    ping.procedure = proto::ping::number;
    ping.type = MessageType::event;
    queue(Outbox::Lane::calls, ping, {});
}

void Session::wake() {
    if (on_wake_) {
        on_wake_();
    }
}

}  // namespace bascule::rpc
