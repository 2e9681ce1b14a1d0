// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/connection.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "kernel/linux/sockets.h"

namespace bascule::daemon {

namespace os = kernel::os;

namespace {
// What one connection may read in one turn, so that a busy one does not starve the others.
constexpr std::size_t kReadAtOnce = 64 * 1024;
constexpr std::size_t kEncryptAtOnce = 64 * 1024;
}  // namespace

Connection::Connection(kernel::Loop& loop, rpc::Handlers& handlers, Setup setup, Callbacks callbacks)
    : loop_(loop),
      handlers_(handlers),
      setup_(std::move(setup)),
      callbacks_(std::move(callbacks)),
      since_(loop.clock().wall()) {}

Result<void> Connection::start() {
    if (setup_.place.anonymous()) {
        login_ = loop_.at(loop_.clock().now() + setup_.login_limit,
                          [this] { end(fmt::format("did not log in within {} seconds", setup_.login_limit.count())); });
    }
    if (setup_.transport == Transport::tls) {
        TRY(tls_, TlsChannel::make(setup_.tls));
    } else {
        open_session();
    }
    wake();
    return {};
}

std::string Connection::who() const {
    std::string out = format(setup_.origin);
    if (setup_.transport != Transport::local) {
        out += fmt::format(" port {}", setup_.port);
    }
    return tls_ && !tls_->name().empty() ? fmt::format("{} ({})", out, tls_->name()) : out;
}

void Connection::open_session() {
    session_ = rpc::Session::create(handlers_, setup_.peer, [this] { wake(); }, setup_.limits);
}

void Connection::wake() {
    if (!std::exchange(scheduled_, true)) {
        loop_.defer([weak = weak_from_this()] {
            if (const auto self = weak.lock()) {
                self->service();
            }
        });
    }
}

void Connection::end(std::string why) {
    if (closed_ || std::exchange(ending_, true)) {
        return;
    }
    if (!why.empty()) {
        callbacks_.complain(fmt::format("the client {}: {}", who(), why));
    }
    wake();
}

// Writes what there is, and arms the watch for what comes next.
void Connection::service() {
    const auto self = shared_from_this();
    scheduled_ = false;
    if (closed_) {
        return;
    }
    const bool open = flush();
    if (open && !ending_ && session_ && session_->finished() && !session_->why().empty()) {
        callbacks_.complain(fmt::format("the client {} was dropped: {}", who(), session_->why()));
    }
    const bool finished = session_ && session_->finished() && (!tls_ || tls_->output().empty());
    if (!open || ending_ || finished) {
        close();
        return;
    }
    after_login();
    arm();
}

// False: the connection is gone.
bool Connection::flush() {
    for (;;) {
        rpc::Session::Chunk chunk{};
        if (tls_ && tls_->output().empty() && tls_->established() && session_) {
            const auto plain = session_->next_output().bytes;
            const auto part = plain.first(std::min(plain.size(), kEncryptAtOnce));
            if (!tls_->write(part)) {
                return false;
            }
            session_->sent(part.size());
        }
        if (tls_) {
            chunk.bytes = tls_->output();
        } else if (session_) {
            chunk = session_->next_output();
        }
        if (chunk.bytes.empty()) {
            return true;
        }
        const auto sent = os::send_stream(setup_.fd.get(), chunk.bytes, chunk.fd);
        if (!sent) {
            return sent.error().sys_errno == EAGAIN;
        }
        tls_ ? tls_->sent(*sent) : session_->sent(*sent);
    }
}

void Connection::after_login() {
    if (login_ && session_ && session_->authenticated()) {
        login_.reset();
        setup_.place.set_known();
    }
}

void Connection::arm() {
    const bool reading = !session_ || session_->wants_input();
    const bool writing = tls_ ? !tls_->output().empty() : session_->queued() > 0;
    if (!watch_ || reading != reading_ || writing != writing_) {
        reading_ = reading;
        writing_ = writing;
        watch_.reset();  // first, since epoll takes a descriptor once
        watch_ = loop_.watch(setup_.fd.get(), reading, writing, [this](kernel::Ready ready) { on_ready(ready); });
    }
    if (const auto when = session_ ? session_->next_check() : std::nullopt; when && !check_) {
        check_ = loop_.at(*when, [this] {
            const auto self = shared_from_this();
            check_.reset();
            session_->check(loop_.clock().now());
            wake();
        });
    }
}

void Connection::on_ready(kernel::Ready ready) {
    const auto self = shared_from_this();
    if (ready.readable && (!session_ || session_->wants_input())) {
        read();
    } else if (ready.hangup && !ready.readable) {
        end("");
    }
    if (!std::exchange(scheduled_, true)) {
        service();
    }
}

void Connection::read() {
    auto received = os::receive_stream(setup_.fd.get(), kReadAtOnce);
    if (!received) {
        if (received.error().sys_errno != EAGAIN) {
            end("");
        }
    } else if (received->bytes.empty()) {
        end("");
    } else if (tls_) {
        tls_->receive(received->bytes);
        progress();
    } else {
        session_->receive(received->bytes, std::move(received->fds), loop_.clock().now());
    }
}

void Connection::progress() {
    const auto agreed = tls_->handshake();
    if (!agreed) {
        end(agreed.error().message);
        return;
    }
    if (!*agreed) {
        return;
    }
    if (!session_) {
        setup_.peer.name = tls_->name();
        open_session();
    }
    auto plain = tls_->read();
    if (!plain) {
        end(plain.error().code == Code::unreachable ? "" : plain.error().message);
    } else if (!plain->empty()) {
        session_->receive(*plain, {}, loop_.clock().now());
    }
}

void Connection::close() {
    closed_ = true;
    watch_.reset();
    login_.reset();
    check_.reset();
    session_.reset();
    setup_.fd.reset();
    callbacks_.gone(*this);
}

}  // namespace bascule::daemon
