// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/console.h"

#include <chrono>
#include <utility>

#include "kernel/linux/facts.h"
#include "kernel/linux/stream.h"

namespace bascule::daemon {

namespace os = kernel::os;

namespace {
constexpr std::size_t kChunk = 16384;
// What a client typed and the guest has not taken: over it the client's stream is paused.
constexpr std::size_t kMostPending = 65536;
// A guest that takes none of it for so long is deaf, and what is typed meanwhile is lost, as on any serial line: else
// it would sooner or later stand in front of all that its client has to say.
constexpr std::chrono::seconds kPatience{30};
}  // namespace

// One open device: bytes from the pseudo-terminal or the socket to the stream and back. Lives as long as the stream.
class Consoles::Console : public rpc::StreamHandler {
public:
    Console(Consoles& consoles, Device device, UniqueFd terminal)
        : consoles_(consoles), device_(std::move(device)), terminal_(std::move(terminal)) {}
    ~Console() override {
        if (const auto it = consoles_.open_.find(device_); it != consoles_.open_.end() && it->second == this) {
            consoles_.open_.erase(it);
        }
    }

    void attach(rpc::Stream stream) {
        stream_ = stream;
        watch();
    }
    // Another client takes the console.
    void give_up() {
        watch_.reset();
        stream_.fail({Code::malformed, "stream had I/O failure: another client took the console over", 0});
    }

    void on_data(rpc::Stream& stream, ByteView data) override {
        stream_ = stream;
        pending_.insert(pending_.end(), data.begin(), data.end());
        write_pending();
        if (deaf_) {
            pending_.clear();
            watch();
        }
    }
    void on_writable(rpc::Stream&) override {
        held_ = false;
        watch();
    }

private:
    void watch() {
        if (terminal_) {
            watch_ = consoles_.loop_.watch(terminal_.get(), !held_, !pending_.empty(),
                                           [this](kernel::Ready ready) { on_ready(ready); });
        }
    }

    void on_ready(kernel::Ready ready) {
        if (ready.writable) {
            write_pending();
        }
        if (ready.readable || ready.hangup) {
            read_terminal();
        }
    }

    void read_terminal() {
        const auto got = os::read_some(terminal_, kChunk);
        if (!got && got.error().sys_errno == EAGAIN) {
            return;
        }
        if (!got || got->empty()) {  // the guest is gone
            watch_.reset();
            terminal_.reset();
            stream_.end();
            return;
        }
        if (!stream_.send(*got)) {
            held_ = true;
            watch();
        }
    }

    void write_pending() {
        if (!terminal_) {
            pending_.clear();
            return;
        }
        const auto written = os::write_some(terminal_, pending_);
        if (written && *written > 0) {
            patience_.reset();
            pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(*written));
            // Not at the first bit that is taken: the kernel moves bytes from one buffer to another when it likes,
            // which makes room though nobody listens.
            deaf_ = deaf_ && !pending_.empty();
        } else if (!written && written.error().sys_errno != EAGAIN) {
            pending_.clear();
        }
        if (pending_.size() > kMostPending && !paused_ && !deaf_) {
            paused_ = true;
            stream_.pause();
        }
        if (paused_ && !patience_) {
            patience_ = consoles_.loop_.at(consoles_.loop_.clock().now() + kPatience, [this] { lose_patience(); });
        }
        resume_if_empty();
        watch();
    }

    void resume_if_empty() {
        if (pending_.empty() && std::exchange(paused_, false)) {
            patience_.reset();
            stream_.resume();
        }
    }

    void lose_patience() {
        patience_.reset();
        deaf_ = true;
        pending_.clear();
        resume_if_empty();
        watch();
    }

    Consoles& consoles_;
    Device device_;
    UniqueFd terminal_;
    rpc::Stream stream_;
    std::unique_ptr<kernel::Watch> watch_, patience_;
    Bytes pending_;
    bool held_ = false, paused_ = false, deaf_ = false;
};

Result<std::unique_ptr<rpc::StreamHandler>> Consoles::open(const Device& device, Kind kind, bool force) {
    if (const auto known = open_.find(device); known != open_.end()) {
        if (!force) {
            return fail(Code::exists, kind == Kind::terminal ? "Active console session exists for this domain"
                                                             : "Active channel stream exists for this domain");
        }
        known->second->give_up();
        open_.erase(device);
    }
    TRY(UniqueFd fd, kind == Kind::terminal ? os::open_terminal(device.path) : os::connect_socket(device.path));
    auto console = std::make_unique<Console>(*this, device, std::move(fd));
    open_[device] = console.get();
    return console;
}

void Consoles::attach(const Device& device, rpc::Stream stream) {
    if (const auto it = open_.find(device); it != open_.end()) {
        it->second->attach(stream);
    }
}

}  // namespace bascule::daemon
