// SPDX-License-Identifier: GPL-2.0-or-later
#include "rpc/transfer.h"

#include <utility>

#include "rpc/frame.h"

namespace bascule::rpc {

namespace {

constexpr std::size_t kPiece = kMaxStreamData;

// Calls that come back on the spot are looped over, not nested: a file of gigabytes is many pieces.
class Download : public StreamHandler, public std::enable_shared_from_this<Download> {
public:
    explicit Download(std::unique_ptr<Source> source) : source_(std::move(source)) {}

    void start(Stream stream) {
        stream_ = stream;
        go_on();
    }
    void stop() { source_.reset(); }
    // A client has nothing to say on a download; the session ignores what is over, so this does, too.
    void on_data(Stream&, ByteView) override {}
    void on_writable(Stream&) override { go_on(); }

private:
    void go_on() {
        if (std::exchange(busy_, true)) {
            return;
        }
        while (source_ && !waiting_ && !over_ && room()) {
            waiting_ = true;
            source_->read(kPiece, [weak = weak_from_this()](Result<Piece> piece) {
                if (const auto self = weak.lock()) {
                    self->take(std::move(piece));
                }
            });
        }
        busy_ = false;
    }
    bool room() { return stream_.alive() && stream_.has_room(); }

    void take(Result<Piece> piece) {
        waiting_ = false;
        if (!piece) {
            over_ = true;
            stream_.fail(piece.error());
            return;
        }
        if (piece->is_end()) {
            over_ = true;
            stream_.end();
            return;
        }
        if (piece->hole > 0) {
            stream_.send_hole(piece->hole);
        }
        stream_.send(piece->data);
        go_on();
    }

    std::unique_ptr<Source> source_;
    Stream stream_;
    bool busy_ = false, waiting_ = false, over_ = false;
};

class Upload : public StreamHandler, public std::enable_shared_from_this<Upload> {
public:
    explicit Upload(std::unique_ptr<Sink> sink) : sink_(std::move(sink)) {}

    void stop() { sink_.reset(); }
    void on_data(Stream& stream, ByteView data) override {
        begin(stream);
        sink_->write(Bytes(data.begin(), data.end()), written());
        settle();
    }
    void on_hole(Stream& stream, std::uint64_t length) override {
        begin(stream);
        sink_->skip(length, written());
        settle();
    }
    // Comes only when all before it is written: while a write is out, the stream is paused.
    void on_finish(Stream& stream) override {
        stream_ = stream;
        sink_->finish([weak = weak_from_this()](Result<void> done) {
            if (const auto self = weak.lock()) {
                if (done) {
                    self->stream_.finish();
                } else {
                    self->stream_.fail(done.error());
                }
            }
        });
    }

private:
    void begin(Stream& stream) {
        stream_ = stream;
        waiting_ = true;
    }
    void settle() {
        if (waiting_) {
            paused_ = true;
            stream_.pause();
        }
    }
    Sink::Done written() {
        return [weak = weak_from_this()](Result<void> done) {
            const auto self = weak.lock();
            if (!self) {
                return;
            }
            self->waiting_ = false;
            if (!done) {
                self->stream_.fail(done.error());
            } else if (std::exchange(self->paused_, false)) {
                self->stream_.resume();
            }
        };
    }

    std::unique_ptr<Sink> sink_;
    Stream stream_;
    bool waiting_ = false, paused_ = false;
};

// What a session owns of a transfer: answers that are still out must find either all of it or nothing, and it may be
// destroyed inside one of them.
template <class T>
class Owner : public StreamHandler {
public:
    explicit Owner(std::shared_ptr<T> transfer) : transfer_(std::move(transfer)) {}
    ~Owner() override { transfer_->stop(); }
    T& transfer() { return *transfer_; }
    void on_data(Stream& stream, ByteView data) override { transfer_->on_data(stream, data); }
    void on_hole(Stream& stream, std::uint64_t length) override { transfer_->on_hole(stream, length); }
    void on_finish(Stream& stream) override { transfer_->on_finish(stream); }
    void on_writable(Stream& stream) override { transfer_->on_writable(stream); }

private:
    std::shared_ptr<T> transfer_;
};

}  // namespace

namespace detail {

std::unique_ptr<StreamHandler> make_download(std::unique_ptr<Source> source) {
    return std::make_unique<Owner<Download>>(std::make_shared<Download>(std::move(source)));
}

void start_download(StreamHandler& download, Stream stream) {
    static_cast<Owner<Download>&>(download).transfer().start(stream);
}

std::unique_ptr<StreamHandler> make_upload(std::unique_ptr<Sink> sink) {
    return std::make_unique<Owner<Upload>>(std::make_shared<Upload>(std::move(sink)));
}

}  // namespace detail

}  // namespace bascule::rpc
