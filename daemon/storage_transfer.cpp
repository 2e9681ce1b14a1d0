// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/storage_transfer.h"

#include <deque>
#include <limits>
#include <variant>

#include <fmt/format.h>

#include "kernel/linux/disk_files.h"
#include "storage/image.h"

namespace bascule::daemon {

namespace os = kernel::os;

namespace {

constexpr std::size_t kPiece = std::size_t{256} << 10;      // read at a time
constexpr std::size_t kMostWaiting = std::size_t{4} << 20;  // received and not yet written
constexpr std::size_t kPieceCost = 128;                     // what a piece weighs besides its bytes, a hole, too
constexpr std::uint64_t kEnd = std::numeric_limits<std::int64_t>::max();

// What work elsewhere needs, which may outlive the handler: the client can hang up while a piece is being written.
// The volume is in use until it, too, is done.
struct Session {
    Session(Storage& s, VolumeName n, bool w) : storage(s), name(std::move(n)), writes(w) {}
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
    ~Session() { storage.end_transfer(name, writes); }

    Storage& storage;
    VolumeName name;
    bool writes = false;
    UniqueFd fd;
};
using Shared = std::shared_ptr<Session>;

Error out_of_range() { return {Code::system, "cannot write to stream: it is longer than was announced", ENOSPC}; }

class Upload : public Transfer {
public:
    Upload(Shared session, const TransferRange& range)
        : session_(std::move(session)),
          at_(range.offset),
          end_(range.length == 0 ? kEnd : range.offset + range.length) {}

    void attach(rpc::Stream stream) override { stream_ = std::move(stream); }
    void on_data(rpc::Stream&, ByteView data) override { add(Bytes(data.begin(), data.end()), data.size()); }
    void on_hole(rpc::Stream&, std::uint64_t length) override { add(length, length); }
    void on_finish(rpc::Stream&) override {
        finishing_ = true;
        pump();
    }

private:
    using Piece = std::variant<Bytes, std::uint64_t>;  // data, or the length of a hole

    static std::size_t weight(const Piece& piece) {
        const auto* const data = std::get_if<Bytes>(&piece);
        return kPieceCost + (data != nullptr ? data->size() : 0);
    }

    void add(Piece piece, std::uint64_t length) {
        if (failed_) {
            return;
        }
        if (length > end_ - received_) {
            end_with(out_of_range());
            return;
        }
        if (length == 0) {
            return;
        }
        received_ += length;
        waiting_ += weight(piece);
        pieces_.push_back(std::move(piece));
        if (waiting_ > kMostWaiting && !paused_) {
            paused_ = true;
            stream_.pause();
        }
        pump();
    }

    void pump() {
        if (busy_ || failed_) {
            return;
        }
        if (!pieces_.empty()) {
            write_next();
        } else if (finishing_) {
            finish();
        }
    }

    void write_next() {
        busy_ = true;
        const std::uint64_t at = at_;
        Piece piece = std::move(pieces_.front());
        pieces_.pop_front();
        waiting_ -= weight(piece);
        const auto* const data = std::get_if<Bytes>(&piece);
        at_ += data != nullptr ? data->size() : std::get<std::uint64_t>(piece);
        kernel::run_on(
            session_->storage.files(),
            [session = session_, piece = std::move(piece), at] {
                if (const auto* const bytes = std::get_if<Bytes>(&piece)) {
                    return os::write_at(session->fd, at, *bytes);
                }
                return os::write_hole(session->fd, at, std::get<std::uint64_t>(piece));
            },
            [this, alive = std::weak_ptr(alive_), session = session_](Result<void> written) {
                if (!alive.expired()) {
                    wrote(std::move(written));
                }
            });
    }

    void wrote(Result<void> written) {
        busy_ = false;
        if (!written) {
            end_with(std::move(written).error());
            return;
        }
        if (paused_ && waiting_ <= kMostWaiting / 2) {
            paused_ = false;
            stream_.resume();
        }
        pump();
    }

    // The client has said what the volume holds: that is on record from now on.
    void finish() {
        busy_ = true;
        kernel::run_on(
            session_->storage.disks(),
            [session = session_]() -> Result<void> {
                TRY(Bytes head, os::read_at(session->fd, 0, storage::kHead));
                if (const std::size_t wanted = storage::head_wanted(head); wanted > head.size()) {
                    TRY(head, os::read_at(session->fd, 0, wanted));
                }
                os::record_format(session->fd, std::string(storage::kFormats.name(storage::describe(head).format)));
                return os::sync(session->fd);
            },
            [this, alive = std::weak_ptr(alive_), session = session_](Result<void> synced) {
                if (alive.expired()) {
                    return;
                }
                if (synced) {
                    failed_ = true;  // nothing more is taken
                    stream_.finish();
                } else {
                    end_with(std::move(synced).error());
                }
            });
    }

    void end_with(Error error) {
        failed_ = true;
        pieces_.clear();
        stream_.fail(error);
    }

    Shared session_;
    std::uint64_t at_, end_;
    std::uint64_t received_ = at_;
    rpc::Stream stream_;
    std::deque<Piece> pieces_;
    std::size_t waiting_ = 0;
    bool busy_ = false, paused_ = false, finishing_ = false, failed_ = false;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

class Download : public Transfer {
public:
    Download(Shared session, std::uint64_t at, std::uint64_t end, bool sparse)
        : session_(std::move(session)), at_(at), end_(end), sparse_(sparse) {}

    void attach(rpc::Stream stream) override {
        stream_ = std::move(stream);
        next();
    }
    void on_data(rpc::Stream& stream, ByteView) override {
        over_ = true;
        stream.fail({Code::invalid_argument, "this stream is for reading", 0});
    }
    void on_writable(rpc::Stream&) override { next(); }

private:
    struct Piece {
        Bytes data;
        std::uint64_t hole = 0;  // else this many bytes of nothing
    };

    static Result<Piece> read(const Session& session, std::uint64_t at, std::uint64_t end, bool sparse) {
        std::uint64_t stop = end;
        if (sparse) {
            TRY(const os::Extent extent, os::extent_at(session.fd, at, end));
            if (!extent.data) {
                return Piece{.data = {}, .hole = extent.end - at};
            }
            stop = extent.end;
        }
        TRY(Bytes data,
            os::read_at(session.fd, at, static_cast<std::size_t>(std::min<std::uint64_t>(stop - at, kPiece))));
        return Piece{.data = std::move(data)};
    }

    void next() {
        if (busy_ || over_ || !stream_.has_room()) {
            return;
        }
        if (at_ >= end_) {
            over_ = true;
            stream_.end();
            return;
        }
        busy_ = true;
        kernel::run_on(
            session_->storage.files(),
            [session = session_, at = at_, end = end_, sparse = sparse_] { return read(*session, at, end, sparse); },
            [this, alive = std::weak_ptr(alive_), session = session_](Result<Piece> piece) {
                if (!alive.expired()) {
                    got(std::move(piece));
                }
            });
    }

    void got(Result<Piece> piece) {
        busy_ = false;
        if (!piece) {
            over_ = true;
            stream_.fail(piece.error());
            return;
        }
        if (piece->hole > 0) {
            at_ += piece->hole;
            stream_.send_hole(piece->hole);
        } else if (piece->data.empty()) {
            at_ = end_;  // it became shorter meanwhile
        } else {
            at_ += piece->data.size();
            stream_.send(piece->data);
        }
        next();
    }

    Shared session_;
    std::uint64_t at_, end_;
    bool sparse_;
    rpc::Stream stream_;
    bool busy_ = false, over_ = false;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// The file is opened and measured elsewhere; `make` gets its size.
template <class Make>
void open_transfer(Storage& storage, const VolumeName& name, const TransferRange& range, bool write, Make make,
                   Reply<std::unique_ptr<Transfer>> reply) {
    const auto volume = storage.begin_transfer(name);
    if (!volume) {
        reply(std::unexpected(volume.error()));
        return;
    }
    auto session = std::make_shared<Session>(storage, name, write);
    if (range.offset > kEnd || range.length > kEnd - range.offset) {
        reply(fail(Code::invalid_argument,
                   fmt::format("offset {} and length {} are more than a volume can have", range.offset, range.length)));
        return;
    }
    kernel::run_on(
        storage.files(),
        [session, path = volume->path, write]() -> Result<std::uint64_t> {
            TRY(session->fd, os::open_disk(path, write));
            return os::size_of(session->fd);
        },
        [session, make = std::move(make), reply = std::move(reply)](Result<std::uint64_t> size) mutable {
            reply(size ? make(std::move(session), *size)
                       : Result<std::unique_ptr<Transfer>>(std::unexpected(std::move(size).error())));
        });
}

}  // namespace

void open_upload(Storage& storage, const VolumeName& name, const TransferRange& range,
                 Reply<std::unique_ptr<Transfer>> reply) {
    open_transfer(
        storage, name, range, true,
        [range](Shared session, std::uint64_t) -> Result<std::unique_ptr<Transfer>> {
            return std::make_unique<Upload>(std::move(session), range);
        },
        std::move(reply));
}

void open_download(Storage& storage, const VolumeName& name, const TransferRange& range,
                   Reply<std::unique_ptr<Transfer>> reply) {
    open_transfer(
        storage, name, range, false,
        [range](Shared session, std::uint64_t size) -> Result<std::unique_ptr<Transfer>> {
            if (range.offset > size) {
                return fail(Code::invalid_argument,
                            fmt::format("offset {} is behind the volume's end at {}", range.offset, size));
            }
            const std::uint64_t end = range.length == 0 ? size : std::min(size, range.offset + range.length);
            return std::make_unique<Download>(std::move(session), range.offset, end, range.sparse);
        },
        std::move(reply));
}

}  // namespace bascule::daemon
