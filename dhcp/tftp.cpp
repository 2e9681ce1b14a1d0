// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/tftp.h"

#include <algorithm>
#include <charconv>

namespace bascule::dhcp::tftp {

namespace {

constexpr std::uint16_t kRead = 1, kWrite = 2, kData = 3, kAck = 4, kError = 5, kOptions = 6;
constexpr std::size_t kLongestRequest = 1024, kLongestName = 512;
constexpr int kMostOptions = 16;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

std::string lowered(std::string_view text) {
    std::string out(text);
    std::ranges::transform(out, out.begin(), lower);
    return out;
}

// Up to the next NUL, which must be there.
std::optional<std::string_view> next_text(std::string_view& rest) {
    const std::size_t end = rest.find('\0');
    if (end == std::string_view::npos) {
        return std::nullopt;
    }
    const std::string_view out = rest.substr(0, end);
    rest.remove_prefix(end + 1);
    return out;
}

std::optional<std::uint32_t> number(std::string_view text, std::uint32_t least, std::uint32_t most) {
    std::uint32_t value = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && stop == text.data() + text.size() && value >= least && value <= most
               ? std::optional(value)
               : std::nullopt;
}

void read_option(const std::string& name, std::string_view value, Request& out) {
    // Values out of bounds are left out, as if the option were not known (RFC 2347).
    if (name == "blksize") {
        out.block_size = number(value, 8, Transfer::kMostBlock);
    } else if (name == "timeout") {
        out.timeout = number(value, 1, 255);
    } else if (name == "windowsize") {
        out.window = number(value, 1, 65535);
    } else if (name == "tsize") {
        out.wants_size = value == "0";
    }
}

void put_option(ByteWriter& out, std::string_view name, std::uint64_t value) {
    out.text(name);
    out.u8(0);
    out.text(std::to_string(value));
    out.u8(0);
}

}  // namespace

Bytes encode_error(Fault fault, std::string_view text) {
    ByteWriter out;
    out.u16(kError);
    out.u16(static_cast<std::uint16_t>(fault));
    out.text(text);
    out.u8(0);
    return out.take();
}

bool is_request(ByteView datagram) {
    ByteReader in(datagram);
    const std::uint16_t opcode = in.u16();
    return in.ok() && (opcode == kRead || opcode == kWrite);
}

bool is_message(ByteView datagram) {
    ByteReader in(datagram);
    const std::uint16_t opcode = in.u16();
    in.skip(2);
    return in.ok() && opcode >= kRead && opcode <= kOptions;
}

Result<Request> decode_request(ByteView datagram) {
    ByteReader in(datagram);
    const std::uint16_t opcode = in.u16();
    if (opcode == kWrite) {
        return fail(Code::denied, "this server only reads");
    }
    std::string_view rest = as_text(in.rest());
    const auto file = next_text(rest);
    const auto mode = file ? next_text(rest) : std::nullopt;
    if (opcode != kRead || !mode || file->empty() || file->size() > kLongestName || datagram.size() > kLongestRequest) {
        return fail(Code::malformed, "not a read request");
    }
    Request out;
    out.file = *file;
    const std::string how = lowered(*mode);
    if (how != "octet" && how != "netascii") {
        return fail(Code::malformed, "mode is neither octet nor netascii");
    }
    out.netascii = how == "netascii";
    for (int i = 0; i < kMostOptions && !rest.empty(); ++i) {
        const auto name = next_text(rest);
        const auto value = name ? next_text(rest) : std::nullopt;
        if (!value) {
            break;  // firmware pads its requests with anything
        }
        read_option(lowered(*name), *value, out);
    }
    return out;
}

std::optional<std::string> path_of(std::string_view file) {
    std::string out;
    for (const char c : file) {
        const char one = c == '\\' ? '/' : c;  // Windows' boot manager
        if (one == '/' && (out.empty() || out.back() == '/')) {
            continue;  // absolute means from the root, as everybody has it
        }
        if (static_cast<unsigned char>(one) < ' ') {
            return std::nullopt;
        }
        out += one;
    }
    return out.empty() || out.size() > kLongestName ? std::nullopt : std::optional(out);
}

Transfer::Transfer(const Request& request, std::uint64_t size, std::uint32_t block_limit, Read read)
    : netascii_(request.netascii), read_(std::move(read)) {
    ByteWriter options;
    options.u16(kOptions);
    if (request.block_size) {
        block_size_ = std::min(*request.block_size, std::max<std::uint32_t>(block_limit, 512));
        put_option(options, "blksize", block_size_);
    }
    if (request.timeout) {
        timeout_ = std::chrono::seconds(*request.timeout);
        put_option(options, "timeout", *request.timeout);
    }
    if (request.wants_size && !netascii_) {  // of which nobody knows how long it gets
        put_option(options, "tsize", size);
    }
    if (request.window) {
        const auto most = static_cast<std::uint32_t>(kMostWindowBytes / block_size_);
        window_ = std::min({*request.window, kMostWindow, std::max<std::uint32_t>(most, 1)});
        put_option(options, "windowsize", window_);
    }
    if (options.size() > 2) {
        options_ = options.take();
    }
}

// The data of the next block; an error of the file ends it early, which the client sees by its length or size.
Bytes Transfer::next_block() {
    while (pending_.size() < block_size_ && !at_end_) {
        const std::size_t wanted = block_size_ - pending_.size();
        auto got = read_(wanted);
        if (!got || got->size() < wanted) {
            at_end_ = true;
        }
        for (const std::byte b : got ? *got : Bytes()) {
            if (netascii_ && (b == std::byte{'\n'} || b == std::byte{'\r'})) {
                pending_.push_back(std::byte{'\r'});
                pending_.push_back(b == std::byte{'\n'} ? b : std::byte{0});
            } else {
                pending_.push_back(b);
            }
        }
    }
    const auto cut =
        pending_.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(block_size_, pending_.size()));
    Bytes out(pending_.begin(), cut);
    pending_.erase(pending_.begin(), cut);
    return out;
}

// Reads ahead until the window is full. The last block is the first that is not.
void Transfer::fill() {
    while (blocks_.size() < window_ && !complete_) {
        const Bytes data = next_block();
        complete_ = data.size() < block_size_;
        ByteWriter out;
        out.u16(kData);
        out.u16(static_cast<std::uint16_t>(first_ + blocks_.size()));  // wraps to 0, as everybody has it
        out.bytes(data);
        sent_bytes_ += data.size();
        blocks_.push_back(out.take());
    }
}

void Transfer::send_window(Step& step, std::size_t from) {
    for (std::size_t i = from; i < blocks_.size(); ++i) {
        step.send.push_back(blocks_[i]);
    }
}

Transfer::Step Transfer::begin(Time now) {
    Step step;
    deadline_ = now + timeout_;
    if (!options_.empty()) {
        step.send.push_back(options_);
    } else {
        fill();
        send_window(step, 0);
    }
    return step;
}

Transfer::Step Transfer::receive(ByteView datagram, Time now) {
    Step step;
    ByteReader in(datagram);
    const std::uint16_t opcode = in.u16();
    const std::uint16_t number = in.u16();
    if (!in.ok() || opcode != kAck) {
        step.done = in.ok() && opcode == kError;
        return step;
    }
    if (!options_.empty()) {
        if (number == 0) {
            options_.clear();
            tries_ = 0;
            deadline_ = now + timeout_;
            fill();
            send_window(step, 0);
        }
        return step;
    }
    // How far it moves the window: 0 is what we have heard already.
    const auto acknowledged = static_cast<std::uint16_t>(number - static_cast<std::uint16_t>(first_ - 1));
    if (acknowledged == 0 || acknowledged > blocks_.size()) {
        return step;
    }
    blocks_.erase(blocks_.begin(), blocks_.begin() + acknowledged);
    first_ += acknowledged;
    tries_ = 0;
    deadline_ = now + timeout_;
    fill();
    if (blocks_.empty()) {
        step.done = true;
        deadline_ = kEndOfTime;
        return step;
    }
    send_window(step, 0);
    return step;
}

Transfer::Step Transfer::tick(Time now) {
    Step step;
    if (now < deadline_) {
        return step;
    }
    if (++tries_ >= kTries) {
        step.done = true;
        deadline_ = kEndOfTime;
        step.send.push_back(encode_error(Fault::other, "no acknowledgement"));
        return step;
    }
    deadline_ = now + timeout_ * (1U << std::min(tries_, 3U));
    if (!options_.empty()) {
        step.send.push_back(options_);
    } else {
        send_window(step, 0);
    }
    return step;
}

}  // namespace bascule::dhcp::tftp
