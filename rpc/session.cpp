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

constexpr std::size_t kSegment = 65536;  // small packets are gathered up to this, for one write

constexpr std::byte kCarrier{0};  // travels with a descriptor

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

std::shared_ptr<Session> Session::create(Handlers& handlers, const Peer& peer, std::move_only_function<void()> on_wake,
                                         const Limits& limits) {
    return std::shared_ptr<Session>(new Session(handlers, peer, std::move(on_wake), limits));
}

// --- in

void Session::receive(ByteView bytes, std::vector<UniqueFd> fds) {
    if (broken_ || phase_ == Phase::closed) {
        return;
    }
    assert(!pumping_);
    reader_.append(bytes, std::move(fds));
    pump();
}

bool Session::wants_input() const {
    return !broken_ && phase_ != Phase::closed && !waiting_ && queued_ < limits_.queue_high;
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
    while (!broken_ && phase_ != Phase::closed) {
        auto header = reader_.peek();
        if (!header) {
            drop(std::move(header).error().message);
            break;
        }
        if (!*header) {
            break;
        }
        if (!may_take(**header)) {
            waiting_ = true;
            break;
        }
        take(reader_.take());
    }
    pumping_ = false;
}

bool Session::may_take(const Header& header) const {
    if (queued_ >= limits_.queue_high) {
        return false;
    }
    if (is_call(header)) {
        return in_flight_ < limits_.in_flight && !opening_;
    }
    if (header.type == MessageType::stream || header.type == MessageType::stream_hole) {
        const auto* found = find_stream(header);
        return found == nullptr || !found->second.paused;
    }
    return true;
}

void Session::take(Frame frame) {
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
        queue(pong, {});
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
    ++in_flight_;
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
    queue_.clear();
    queue_at_ = queued_ = 0;
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
    queue(header, payload ? *payload : encode(rpc_error("the error is too long to be sent")).value_or(Bytes()));
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
    queue(header, *result, std::move(fds));
    answered(call, true);
    return !broken_;
}

void Session::answered(const Header& call, bool ok) {
    assert(in_flight_ > 0);
    --in_flight_;
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

void Session::queue_event(std::uint32_t program, std::int32_t number, std::optional<Bytes> payload) {
    if (phase_ != Phase::open || !payload) {
        return;
    }
    Header header;
    header.program = program;
    header.procedure = number;
    header.type = MessageType::event;
    header.serial = 1;  // as the peer sends it; clients do not look
    queue(header, *payload);
}

// --- out

void Session::queue(const Header& header, ByteView payload, std::vector<UniqueFd> fds) {
    if (broken_) {
        return;
    }
    const std::optional<std::uint32_t> count =
        fds.empty() ? std::nullopt : std::optional(static_cast<std::uint32_t>(fds.size()));
    Bytes packet = encode_packet(header, payload, count);
    const std::size_t size = packet.size() + fds.size();
    if (queued_ + size > limits_.queue_max) {
        drop(fmt::format("the client does not read: {} bytes wait for it", queued_));
        return;
    }
    queued_ += size;
    if (!queue_.empty() && queue_.back().fds.empty() && queue_.back().bytes.size() + packet.size() <= kSegment) {
        Segment& last = queue_.back();
        last.bytes.insert(last.bytes.end(), packet.begin(), packet.end());
        last.fds = std::move(fds);
    } else {
        queue_.push_back({std::move(packet), std::move(fds)});
    }
    wake();
}

Session::Chunk Session::next_output() {
    pump();
    if (queue_.empty()) {
        return {};
    }
    const Segment& first = queue_.front();
    if (queue_at_ < first.bytes.size()) {
        return {ByteView(first.bytes).subspan(queue_at_), -1};
    }
    return {ByteView(&kCarrier, 1), first.fds[queue_at_ - first.bytes.size()].get()};
}

void Session::sent(std::size_t n) {
    if (queue_.empty() || n == 0) {
        return;
    }
    Segment& first = queue_.front();
    assert(n <= first.size() - queue_at_);
    if (queue_at_ >= first.bytes.size()) {
        first.fds[queue_at_ - first.bytes.size()].reset();
    }
    queue_at_ += n;
    queued_ -= n;
    if (queue_at_ == first.size()) {
        queue_.pop_front();
        queue_at_ = 0;
    }
    if (throttled_ && queued_ < limits_.queue_high / 2) {
        const auto self = shared_from_this();
        throttled_ = false;
        tell_writable();
    }
}

void Session::wake() {
    if (on_wake_) {
        on_wake_();
    }
}

}  // namespace bascule::rpc
