// SPDX-License-Identifier: GPL-2.0-or-later
// Downloads and uploads over a stream, with back-pressure, for content that is read and written piece by piece.
//
//   handlers.add<proto::storage_vol_download>(
//       [&](Call&, const proto::storage_vol_download_args& args, Responder<proto::storage_vol_download> r) {
//           auto content = volumes.open_to_read(args…);               // Result<unique_ptr<Source>>
//           if (!content) { return r.fail(content.error()); }
//           download(r, {}, *std::move(content));                     // the ok reply, the pieces, the end
//       });
//
// A download asks its Source for the next piece when the connection has room, one piece at a time. An upload gives its
// Sink one piece at a time; while it is being written nothing more is taken from the client. The finish of an upload
// is confirmed when finish() is done, so by then all must be where it belongs. Both may answer at once or in a later
// turn of the loop; an answer that comes after the stream is over is lost. An error ends the stream, and the client
// gets it. Source and Sink are destroyed when the stream is over, whatever ended it: a Sink whose finish() was never
// called has part of something.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "base/bytes.h"
#include "base/result.h"
#include "rpc/handlers.h"
#include "rpc/stream.h"

namespace bascule::rpc {

struct Piece {
    Bytes data{};
    std::uint64_t hole = 0;  // that many bytes of nothing, then `data`; only for clients that asked for holes
    bool is_end() const { return data.empty() && hole == 0; }
};

class Source {
public:
    using Done = std::move_only_function<void(Result<Piece>)>;
    virtual ~Source() = default;
    virtual void read(std::size_t most, Done done) = 0;  // the end is a piece of nothing
};

class Sink {
public:
    using Done = std::move_only_function<void(Result<void>)>;
    virtual ~Sink() = default;
    virtual void write(Bytes data, Done done) = 0;
    virtual void skip(std::uint64_t length, Done done) = 0;  // a hole
    virtual void finish(Done done) = 0;                      // the client has sent all
};

namespace detail {
std::unique_ptr<StreamHandler> make_download(std::unique_ptr<Source> source);
void start_download(StreamHandler& download, Stream stream);
std::unique_ptr<StreamHandler> make_upload(std::unique_ptr<Sink> sink);
}  // namespace detail

template <class P>
void download(Responder<P>& responder, const typename P::Ret& ret, std::unique_ptr<Source> source) {
    auto handler = detail::make_download(std::move(source));
    StreamHandler& download = *handler;
    if (const Stream stream = responder.open(ret, std::move(handler)); stream.alive()) {
        detail::start_download(download, stream);
    }
}

template <class P>
void upload(Responder<P>& responder, const typename P::Ret& ret, std::unique_ptr<Sink> sink) {
    responder.open(ret, detail::make_upload(std::move(sink)));
}

}  // namespace bascule::rpc
