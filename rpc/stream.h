// SPDX-License-Identifier: GPL-2.0-or-later
// The server's end of a stream (consoles, uploads, screenshots), as a handler sees it.
//
//   handlers.add<proto::domain_open_console>(
//       [&guests](Call& call, const proto::domain_open_console_args& args, Responder<proto::domain_open_console> r) {
//           auto console = guests.open_console(args.dom, args.dev_name, args.flags);   // Result<unique_ptr<Console>>
//           if (!console) { return r.fail(console.error()); }
//           Console& end = **console;                                   // a StreamHandler; owns the pty's descriptor
//           end.attach(r.open({}, std::move(*console)));                // the ok reply, then the stream
//       });
//
// Life: after open() both sides may send. When our source ends: end(). The client then finishes, on_finish() is
// called, and by default that is confirmed and the stream is over. A client that leaves first finishes, too. A client
// that gives up aborts: on_abort(), answered by the session, over. fail() ends it from our side with an error.
// "Over" destroys the StreamHandler, always later than any callback of it that is running; so does the end of the
// connection. A Stream is a handle that stays harmless after that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/bytes.h"
#include "base/result.h"

namespace bascule::rpc {

class Session;

class Stream {
public:
    Stream() = default;

    bool alive() const;
    // Sends data, split into packets as old clients need them. False: the connection has enough queued, wait for
    // on_writable() before reading more from the source (what was given is queued all the same).
    bool send(ByteView data);
    // `length` bytes of nothing, for a client that asked for a sparse transfer. As send().
    bool send_hole(std::uint64_t length);
    // What send() would say. False: on_writable() will be called.
    bool has_room() const;
    // No more data from us: an empty packet. The client answers by finishing.
    void end();
    // Confirms the client's finish (only when on_finish was overridden not to). Over.
    void finish();
    // Over, with an error.
    void fail(const Error& error);
    // The sink is full: no more on_data until resume(). What comes meanwhile stays in the client's socket.
    void pause();
    void resume();

private:
    friend class Session;
    Stream(std::weak_ptr<Session> session, std::uint64_t id) : session_(std::move(session)), id_(id) {}

    std::weak_ptr<Session> session_;
    std::uint64_t id_ = 0;
};

class StreamHandler {
public:
    virtual ~StreamHandler() = default;
    virtual void on_data(Stream& stream, ByteView data) = 0;
    // `length` bytes of nothing, from a client that was promised they are understood (the call's sparse flag). Who
    // does not override it fails the stream.
    virtual void on_hole(Stream& stream, std::uint64_t length);
    // The client has sent all. An upload that must first reach the disk overrides this and calls finish() later.
    virtual void on_finish(Stream& stream) { stream.finish(); }
    virtual void on_abort() {}
    virtual void on_writable(Stream&) {}
};

}  // namespace bascule::rpc
