// SPDX-License-Identifier: GPL-2.0-or-later
// Both ends of the same thing: the handle that a StreamHandler holds, and the session's table of open streams.
#include "rpc/stream.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "rpc/constants.h"
#include "rpc/session.h"

namespace bascule::rpc {

// --- Stream

bool Stream::alive() const {
    const auto session = session_.lock();
    return session && session->find_stream(id_) != nullptr;
}

bool Stream::send(ByteView data) {
    const auto session = session_.lock();
    Session::OpenStream* stream = session ? session->find_stream(id_) : nullptr;
    if (stream == nullptr || stream->ended) {
        return false;
    }
    Header header = stream->header;
    header.status = Status::more;
    bool room = true;
    while (!data.empty()) {
        const std::size_t n = std::min(data.size(), kMaxStreamData);
        room = session->queue_stream(header, data.first(n));
        data = data.subspan(n);
    }
    return room;
}

bool Stream::send_hole(std::uint64_t length) {
    const auto session = session_.lock();
    Session::OpenStream* stream = session ? session->find_stream(id_) : nullptr;
    if (stream == nullptr || stream->ended || length > std::numeric_limits<std::int64_t>::max()) {
        return false;
    }
    Header header = stream->header;
    header.type = MessageType::stream_hole;
    header.status = Status::more;
    ByteWriter payload;
    payload.u64(length);
    payload.u32(0);  // flags
    return session->queue_stream(header, payload.take());
}

bool Stream::has_room() const {
    const auto session = session_.lock();
    return session && session->find_stream(id_) != nullptr && session->stream_room();
}

void Stream::end() {
    const auto session = session_.lock();
    Session::OpenStream* stream = session ? session->find_stream(id_) : nullptr;
    if (stream == nullptr || stream->ended) {
        return;
    }
    stream->ended = true;
    Header header = stream->header;
    header.status = Status::more;
    session->queue(Outbox::Lane::streams, header, {});
}

void Stream::finish() {
    const auto session = session_.lock();
    Session::OpenStream* stream = session ? session->find_stream(id_) : nullptr;
    if (stream != nullptr && stream->finishing) {
        session->queue(Outbox::Lane::streams, stream->header, {});
        session->close_stream(id_);
    }
}

void Stream::fail(const Error& error) {
    const auto session = session_.lock();
    Session::OpenStream* stream = session ? session->find_stream(id_) : nullptr;
    if (stream != nullptr) {
        Header header = stream->header;
        header.status = Status::error;
        session->queue(Outbox::Lane::streams, header, encode(to_wire(error, error_domain::streams)).value_or(Bytes()));
        session->close_stream(id_);
    }
}

void Stream::pause() {
    const auto session = session_.lock();
    if (Session::OpenStream* stream = session ? session->find_stream(id_) : nullptr) {
        stream->paused = true;
    }
}

void Stream::resume() {
    const auto session = session_.lock();
    if (Session::OpenStream* stream = session ? session->find_stream(id_) : nullptr) {
        stream->paused = false;
        session->wake();
    }
}

void StreamHandler::on_hole(Stream& stream, std::uint64_t) {
    stream.fail({Code::unsupported, "holes are not supported on this stream, send the zeros"});
}

// --- Session

// False: hold back until on_writable().
bool Session::queue_stream(const Header& header, ByteView payload) {
    queue(Outbox::Lane::streams, header, payload);
    return stream_room();
}

bool Session::stream_room() {
    const bool room = outbox_.size(Outbox::Lane::streams) < limits_.stream_high;
    throttled_ = throttled_ || !room;
    return room;
}

Stream Session::send_reply_and_open(const Header& call, std::optional<Bytes> result,
                                    std::unique_ptr<StreamHandler> handler) {
    if (streams_.size() >= limits_.streams || find_stream(call) != nullptr) {
        send_error(call,
                   to_wire({Code::invalid_state, "too many open streams, or one of this serial, on the connection"},
                           error_domain::streams));
        answered(call, false);
        return {};
    }
    if (!send_reply(call, std::move(result), {})) {
        return {};
    }
    const std::uint64_t id = next_stream_++;
    OpenStream& stream = streams_[id];
    stream.header = call;
    stream.header.type = MessageType::stream;
    stream.header.status = Status::ok;
    stream.handler = std::move(handler);
    return Stream(weak_from_this(), id);
}

Session::OpenStream* Session::find_stream(std::uint64_t id) {
    const auto it = streams_.find(id);
    return it == streams_.end() ? nullptr : &it->second;
}

const Session::Streams::value_type* Session::find_stream(const Header& header) const {
    for (const auto& entry : streams_) {
        const Header& of = entry.second.header;
        if (of.serial == header.serial && of.procedure == header.procedure && of.program == header.program) {
            return &entry;
        }
    }
    return nullptr;
}

// The handler may be the caller, so it is only put aside.
void Session::close_stream(std::uint64_t id) {
    if (const auto it = streams_.find(id); it != streams_.end()) {
        over_.push_back(std::move(it->second.handler));
        streams_.erase(it);
        wake();  // packets behind a paused stream may go on
    }
}

void Session::take_stream(const Frame& frame) {
    const auto* found = find_stream(frame.header);
    if (found == nullptr) {
        return;  // never was one, or late packets of one that is over
    }
    const std::uint64_t id = found->first;
    OpenStream& open = streams_.at(id);
    StreamHandler& handler = *open.handler;
    Stream stream(weak_from_this(), id);
    if (frame.header.type == MessageType::stream_hole) {
        take_hole(frame, open, stream);
        return;
    }
    switch (frame.header.status) {
        case Status::more:
            if (!frame.payload.empty() && !open.finishing) {
                handler.on_data(stream, frame.payload);
            }
            return;
        case Status::ok:
            if (!std::exchange(open.finishing, true)) {
                handler.on_finish(stream);
            }
            return;
        case Status::error:
            queue(Outbox::Lane::streams, open.header, {});
            handler.on_abort();
            close_stream(id);
            return;
    }
}

void Session::take_hole(const Frame& frame, OpenStream& open, Stream& stream) {
    ByteReader in(frame.payload);
    const std::uint64_t length = in.u64();
    const std::uint32_t flags = in.u32();
    if (open.finishing) {
        return;
    }
    if (!in.ok() || length > std::numeric_limits<std::int64_t>::max() || flags != 0 ||
        frame.header.status != Status::more) {
        stream.fail({Code::malformed, "a hole on a stream that does not decode"});
        return;
    }
    open.handler->on_hole(stream, length);
}

void Session::tell_writable() {
    std::vector<std::uint64_t> ids;
    for (const auto& [id, stream] : streams_) {
        ids.push_back(id);
    }
    for (const std::uint64_t id : ids) {
        if (OpenStream* open = find_stream(id)) {
            Stream stream(weak_from_this(), id);
            open->handler->on_writable(stream);
        }
    }
}

}  // namespace bascule::rpc
